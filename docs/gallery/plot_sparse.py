"""
Which of many features matter?
==============================

The l1 penalty sets coefficients to 0. Thirty features, of which three are real.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import L1, Problem, Squared, fit

draw = np.random.default_rng(0)
features = draw.standard_normal((100, 30))
y = features[:, [3, 12, 25]] @ [2.0, -1.5, 1.0] + draw.standard_normal(100)

weights = np.geomspace(1, 300, 30)
paths = [
    fit(Problem(features, y, loss=Squared(), regularizers=[L1(weight)], intercept=True)).raise_for_status().coef
    for weight in weights
]
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.semilogx(weights, paths, color="#c3ccd6", lw=1)
axes.semilogx(weights, np.array(paths)[:, [3, 12, 25]], lw=2)
axes.set(xlabel="l1", ylabel="coefficient")
