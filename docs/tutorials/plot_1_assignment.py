"""
The assignment's data: four fits, every hyper-parameter chosen
==============================================================

Part 2 of the assignment: fifty points in steps, :math:`f(x) = 10\\sum_{k=1}^4 1\\{x \\ge k/5\\}`, with standard
normal noise and one outlier, :math:`y_{25} = 0`. Every hyper-parameter is chosen by exact leave-one-out, when this
page is made.
"""

import matplotlib.pyplot as plt

from hw4opt import fit
from hw4opt.assignment import REGRESSION_PARTS, at_reported, choose
from hw4opt.datasets import step_data, step_function
from hw4opt.plotting import plot_fit, plot_heatmap

data = step_data(seed=0)


def answer(number):
    """Choose, fit and draw one part; the source document's own values beside it."""
    part = REGRESSION_PARTS[number]
    selection, result = choose(part, data)
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    plot_fit(result, left, step_function)
    reported = at_reported(part, data)
    if reported is not None:
        left.plot(data.x, reported[1].fitted, color="#d08a2e", ls="--", lw=1.2, label="at the reported values")
        left.legend(frameon=False)
    plot_heatmap(selection.table, "gamma", "tv" if "tv" in part.free else "ridge", axes=right)
    print(result.status.word, {name: round(value, 4) for name, value in selection.problem.hyperparameters.items()})
    print(f"leave-one-out loss {selection.score:.4g} ± {selection.standard_error:.2g}, of {selection.fits:,} fits")
    if reported is not None:
        print(f"at the reported {part.reported}: {reported[0].score:.4g} ± {reported[0].standard_error:.2g}")


# %%
# 2a. Least squares with a Gaussian kernel
# ----------------------------------------
#
# :math:`\hat\alpha = \operatorname{argmin} \|K\alpha - y\|^2 + \lambda\,\alpha^\top K\alpha`.
# The outlier pulls the curve down.

answer(0)

# %%
# 2b. Huber loss
# --------------
#
# Squared within 1, linear beyond: the outlier's pull is bounded.

answer(1)

# %%
# 2c. Total variation
# -------------------
#
# :math:`\|K\alpha - y\|^2 + \lambda_1\|DK\alpha\|_1 + \lambda_2\,\alpha^\top K\alpha`: few jumps (``tv`` is
# :math:`\lambda_1`, ``ridge`` :math:`\lambda_2`).

answer(2)

# %%
# 2d. Non-decreasing
# ------------------
#
# :math:`DK\alpha \ge 0`, a quadratic program (:doc:`written out here </assignment/quadratic-program>`).

answer(3)

# %%
# What the hyper-parameters of 2c do
# ----------------------------------

figure, panels = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained", sharey=True)
middle = {"gamma": 80.0, "ridge": 0.36, "tv": 0.38}
for axes, (name, values) in zip(
    panels, {"gamma": (5, 80, 1000), "tv": (0, 20, 100), "ridge": (0.01, 0.36, 10)}.items(), strict=True
):
    axes.plot(data.x, data.y, ".", color="#8a97a6", ms=4)
    for value in values:
        result = fit(REGRESSION_PARTS[2].problem(data).with_hyperparameters({**middle, name: float(value)}))
        axes.plot(data.x, result.raise_for_status().fitted, label=f"{name} = {value}")
    axes.legend(frameon=False, fontsize=8)
