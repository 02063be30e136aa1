"""
Which kernel?
=============

Rougher kernels follow corners; smoother ones average more. Each with gamma and ridge chosen by leave-one-out.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Laplacian, Matern32, Problem, Ridge, Squared, fit
from hw4opt.selection import select

draw = np.random.default_rng(0)
x = np.linspace(0, 4, 70)
y = np.abs(np.sin(2 * x)) + 0.08 * draw.standard_normal(70)

figure, panels = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained", sharey=True)
for axes, kernel in zip(panels, (Laplacian, Matern32, RBF), strict=True):
    chosen = select(Problem(x, y, kernel(1.0), Squared(), [Ridge(1.0)]), ["gamma", "ridge"], "loo")
    axes.plot(x, y, ".", color="#8a97a6", ms=4)
    axes.plot(x, fit(chosen.problem).raise_for_status().fitted, color="#0b5fa5")
    axes.set_title(f"{kernel.name}: leave-one-out {chosen.score:.4f} ± {chosen.standard_error:.4f}", fontsize=10)
