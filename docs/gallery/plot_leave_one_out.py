"""
Which row rules the fit?
========================

Leave-one-out predictions come with the score. A row whose own prediction moves far when it is left out rules its
neighbourhood.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Problem, Ridge, Squared, fit
from hw4opt.selection import leave_one_out, score_settings

draw = np.random.default_rng(0)
x = np.r_[np.linspace(0, 1, 40), 1.6]  # the last row stands alone
y = np.sin(5 * x) + 0.2 * draw.standard_normal(41)
problem = Problem(x, y, RBF(gamma=10), Squared(), [Ridge(0.1)])
(score,) = score_settings([problem], leave_one_out(41))
fitted = fit(problem).raise_for_status().fitted

moved = np.abs(fitted - score.predictions)
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(x, y, ".", color="#8a97a6")
grid = np.linspace(0, 1.6, 400)
axes.plot(grid, fit(problem).predict(grid), color="#0b5fa5")
axes.vlines(x, fitted, score.predictions, color="#d1495b")
print("row that moves most:", int(moved.argmax()), f"by {moved.max():.2f}")
