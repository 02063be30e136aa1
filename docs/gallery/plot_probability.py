"""
How probable is yes?
====================

The logistic loss; the curve is a probability. With ``Increasing`` it cannot fall.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Increasing, Logistic, Problem, Ridge, fit
from hw4opt.plotting import plot_fit

draw = np.random.default_rng(0)
x = np.sort(draw.uniform(-3, 3, 120))
y = np.where(draw.uniform(size=120) < 1 / (1 + np.exp(-2 * x)), 1, -1)

figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
for axes, constraints in zip(panels, ([], [Increasing()]), strict=True):
    plot_fit(fit(Problem(x, y, RBF(gamma=2), Logistic(), [Ridge(0.05)], constraints)).raise_for_status(), axes)
