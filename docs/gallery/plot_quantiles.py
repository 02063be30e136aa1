"""
What do the low and the high values do?
=======================================

The quantile loss fits a quantile in place of the mean. Here the noise grows with x, and the quantiles spread.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Problem, Quantile, Ridge, fit

draw = np.random.default_rng(0)
x = np.sort(draw.uniform(0, 5, 200))
y = np.sin(x) + (0.1 + 0.2 * x) * draw.standard_normal(200)

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(x, y, ".", color="#8a97a6", ms=4)
for tau in (0.1, 0.5, 0.9):
    result = fit(Problem(x, y, RBF(gamma=0.3), Quantile(tau), [Ridge(0.05)])).raise_for_status()
    axes.plot(x, result.fitted, label=f"tau = {tau}: {np.mean(y < result.fitted):.0%} of the rows lie below")
axes.legend(frameon=False)
