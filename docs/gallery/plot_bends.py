"""
Where does the slope change?
============================

``trend:order=2`` penalises changes of slope: straight pieces with few bends.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Problem, Ridge, Squared, Trend, fit

draw = np.random.default_rng(2)
x = np.linspace(0, 10, 80)
y = np.interp(x, [0, 3, 7, 10], [0, 4, 3, 8]) + 0.4 * draw.standard_normal(80)

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(x, y, ".", color="#8a97a6")
for weight in (0.0, 2.0):
    result = fit(
        Problem(x, y, RBF(gamma=3), Squared(), [Ridge(0.01), Trend(order=2, weight=weight)])
    ).raise_for_status()
    axes.plot(x, result.fitted, label=f"trend = {weight:g}")
axes.legend(frameon=False)
