"""
Where does a signal jump?
=========================

Total variation pulls neighbouring values together, so a fit is flat with few jumps. More weight leaves fewer.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import Huber, Laplacian, Problem, Ridge, TotalVariation, fit

draw = np.random.default_rng(0)
x = np.arange(120.0)
y = np.repeat([1.0, 3.0, 2.0, 4.0], 30) + 0.3 * draw.standard_normal(120)

figure, panels = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained", sharey=True)
for axes, weight in zip(panels, (0.0, 1.0, 10.0), strict=True):
    problem = Problem(x, y, Laplacian(gamma=0.2), Huber(1.0), [Ridge(0.02), TotalVariation(weight)])
    fitted = fit(problem).raise_for_status().fitted
    axes.plot(x, y, ".", color="#8a97a6", ms=4)
    axes.plot(x, fitted, color="#0b5fa5")
    axes.set_title(f"tv = {weight:g}: {np.sum(np.abs(np.diff(fitted)) > 1e-6)} differences left", fontsize=10)
