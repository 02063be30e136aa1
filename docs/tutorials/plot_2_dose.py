"""
A dose-response curve
=====================

Sixteen doses, three wells each, three wells that went wrong. The curve must rise with the dose, at every dose.
Asked for: the curve, the dose of half the response, and where a new well will lie. ``dose.csv`` is a simulated
assay that comes with this documentation.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Huber, Increasing, Problem, Ridge, fit
from hw4opt.plotting import outliers, plot_fit
from hw4opt.selection import select
from hw4opt.tables import read_table

table = read_table("../data/dose.csv")
dose, response = table.numbers("dose"), table.numbers("response")

# %%
# Describe
# --------
#
# Huber's ``delta`` follows the noise. Rows that share a dose must leave together, or each would be known by its
# twins: ``loo:x``.

start = Problem(dose, response, RBF(gamma=0.1), Huber("auto"), [Ridge(0.1)], [Increasing()])
chosen = select(start, ["gamma", "ridge"], "loo:x", keep_folds=True)
print(chosen.problem.hyperparameters, f"score {chosen.score:.3g} ± {chosen.standard_error:.2g}")

# %%
# Fit, and look at it
# -------------------

result = fit(chosen.problem).raise_for_status()
figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
plot_fit(result, axes)
print("rows that stand out:", sorted(map(int, outliers(response - result.fitted))))
print("largest proven error of a fitted value:", f"{result.bound(dose).max():.1g}")

# %%
# Rising at every dose
# --------------------
#
# The constraint above holds at the sixteen doses. With ``everywhere`` it is proven for all between.

problem = Problem(
    dose,
    response,
    chosen.problem.kernel,
    chosen.problem.loss,
    chosen.problem.regularizers,
    [Increasing(everywhere=True)],
)
everywhere = fit(problem).raise_for_status()
(proof,) = everywhere.shapes
print("proven:", proof.proven, "with", proof.cells, "cells")

# %%
# The dose of half the response
# -----------------------------
#
# The curve rises, so it crosses half its range once.

grid = np.linspace(dose.min(), dose.max(), 20_001)
curve = everywhere.predict(grid)
half = grid[np.searchsorted(curve, (curve[0] + curve[-1]) / 2)]
print(f"half of the response at dose {half:.2f}")

# %%
# Where a new well will lie
# -------------------------
#
# Intervals from the same folds. Rows left together by dose, after choosing on them: no guarantee covers that; it is
# an estimate.

points, intervals = result.predict_interval([2.5, 5.0, 7.5], [0.9])
for at, point, (low, high) in zip([2.5, 5.0, 7.5], points, intervals[:, :, 0], strict=True):
    print(f"dose {at}: {point:.1f}, 90 % between {low:.1f} and {high:.1f}")
