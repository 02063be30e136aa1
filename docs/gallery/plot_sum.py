"""
What does each input do?
========================

A sum of functions: each input has its own curve, here increasing in one and free in the other. The
points are partial residuals.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Additive, Component, Increasing, Problem, Squared, fit

draw = np.random.default_rng(0)
x = np.column_stack([draw.uniform(0, 10, 150), draw.uniform(0, 5, 150)])
y = np.tanh(x[:, 0] / 3 - 1) + 0.4 * np.sin(2 * x[:, 1]) + 0.15 * draw.standard_normal(150)
dose = Component("dose", columns=[0], kernel=RBF(0.1), ridge=0.1, constraints=[Increasing()])
hour = Component("hour", columns=[1], kernel=RBF(1.0), ridge=0.1)
result = fit(Problem(x, y, Additive([dose, hour]), Squared())).raise_for_status()

figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
for axes, part, column in zip(panels, result.components, x.T, strict=True):
    order = np.argsort(column)
    axes.plot(column, y - result.fitted + part.fitted, ".", color="#8a97a6", ms=4)
    axes.plot(column[order], part.fitted[order], color="#0b5fa5")
    axes.set_title(f"{part.name}: {part.effective_degrees_of_freedom:.1f} degrees of freedom", fontsize=10)
