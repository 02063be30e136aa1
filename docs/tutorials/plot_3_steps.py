"""
A noisy step signal with outliers
=================================

A sensor that sits on levels, jumps between them, and sometimes reads nonsense. Asked for: the levels and the jumps.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import Huber, Laplacian, Problem, Ridge, Squared, TotalVariation, fit
from hw4opt.selection import select
from hw4opt.tables import read_table

table = read_table("../data/steps.csv")
time, signal = table.numbers("time"), table.numbers("signal")

# %%
# Least squares follows the spikes; Huber alone is smooth across the jumps; total variation makes levels. The
# Laplacian kernel :math:`e^{-\gamma|x - z|}` has no derivative at 0, so that its curves can turn sharply.

figure, panels = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained", sharey=True)
kernel = Laplacian(gamma=0.2)
descriptions = {
    "squared": (Squared(), [Ridge(0.3)]),
    "Huber": (Huber("auto"), [Ridge(0.3)]),
    "Huber, total variation": (Huber("auto"), [Ridge(0.02), TotalVariation(1.5)]),
}
results = {}
for axes, (title, (loss, regularizers)) in zip(panels, descriptions.items(), strict=True):
    results[title] = fit(Problem(time, signal, kernel, loss, regularizers)).raise_for_status()
    axes.plot(time, signal, ".", color="#8a97a6", ms=4)
    axes.plot(time, results[title].fitted, color="#0b5fa5")
    axes.set_title(title, fontsize=10)

# %%
# The jumps
# ---------
#
# Neighbours that differ: the dual of total variation is at its bound there, and inside it where the fit is flat.

result = results["Huber, total variation"]
jumps = np.diff(result.fitted)
for place in np.flatnonzero(np.abs(jumps) > 0.5):
    print(f"between {time[place]:.0f} and {time[place + 1]:.0f}: {jumps[place]:+.2f}")
print("differences that are 0:", np.sum(np.abs(jumps) < 1e-6), "of", jumps.size)

# %%
# How strong a penalty?
# ---------------------
#
# By held-out absolute error, which the outliers that are held out do not rule.

chosen = select(result.problem, ["tv"], "loo", grid={"tv": (0.1, 10.0, 9)}, search="grid", metric="absolute")
print(f"tv {chosen.problem.hyperparameters['tv']:.3g}: {chosen.score:.3f} ± {chosen.standard_error:.3f}")
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
tried = chosen.table
axes.errorbar([row["tv"] for row in tried], [row["score"] for row in tried], [row["standard_error"] for row in tried])
axes.set(xscale="log", xlabel="tv", ylabel="held-out absolute error")
