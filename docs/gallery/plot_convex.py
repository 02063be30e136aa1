"""
Is it bent one way only?
========================

A cost curve that must be convex, and not below 0.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Convex, Nonnegative, Problem, Ridge, Squared, fit
from hw4opt.plotting import plot_fit

draw = np.random.default_rng(1)
x = np.linspace(-2, 2, 40)
y = np.maximum(np.abs(x) - 0.7, 0) + 0.15 * draw.standard_normal(40)

figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
for axes, constraints in zip(panels, ([], [Convex(), Nonnegative()]), strict=True):
    plot_fit(fit(Problem(x, y, RBF(gamma=2), Squared(), [Ridge(0.01)], constraints)).raise_for_status(), axes)
