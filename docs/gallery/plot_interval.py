"""
Between which values will a new y lie?
======================================

Jackknife+ intervals of level 0.9 from the exact leave-one-out fits; hyper-parameters were given, so a new y of an
exchangeable row lies inside with a probability of at least 0.8, and usually about 0.9 (:doc:`measured
</measured>`).
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Problem, Ridge, Squared, fit
from hw4opt.plotting import plot_fit
from hw4opt.selection import select

draw = np.random.default_rng(4)
x = np.sort(draw.uniform(0, 10, 70))
y = np.sin(x) + 0.3 * draw.standard_normal(70)
problem = Problem(x, y, RBF(gamma=0.5), Squared(), [Ridge(0.1)])
kept = select(problem, [], "loo", keep_folds=True)
result = fit(kept.problem).raise_for_status()

new_x = draw.uniform(0, 10, 1000)
new_y = np.sin(new_x) + 0.3 * draw.standard_normal(1000)
low, high = result.predict_interval(new_x, [0.9])[1][:, :, 0].T
print(f"{np.mean((low <= new_y) & (new_y <= high)):.1%} of 1000 new rows lie inside")

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
plot_fit(result, axes)
