"""
How sure is the choice of gamma and ridge?
==========================================

The map of leave-one-out error. A broad valley: many settings do as well, within a standard error; ``one_se`` takes
the smoothest of these.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Problem, Ridge, Squared, fit
from hw4opt.plotting import plot_heatmap
from hw4opt.selection import select

draw = np.random.default_rng(0)
x = np.linspace(0, 1, 60)
y = np.sin(8 * x) + 0.3 * draw.standard_normal(60)
start = Problem(x, y, RBF(gamma=1), Squared(), [Ridge(1)])

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
right.plot(x, y, ".", color="#8a97a6")
for one_se in (False, True):
    chosen = select(start, ["gamma", "ridge"], "loo", one_se=one_se)
    values = chosen.problem.hyperparameters
    label = f"{'one standard error' if one_se else 'lowest'}: gamma {values['gamma']:.2g}, ridge {values['ridge']:.2g}"
    right.plot(x, fit(chosen.problem).raise_for_status().fitted, label=label)
right.legend(frameon=False)
plot_heatmap(chosen.table, "gamma", "ridge", axes=left)
