"""
Which rows are outliers?
========================

The Huber loss grows linearly beyond ``delta``, so a wrong reading pulls with a bounded force. The residuals that
stand out from the others are marked.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Huber, Problem, Ridge, Squared, fit
from hw4opt.plotting import outliers, plot_fit

draw = np.random.default_rng(0)
x = np.linspace(0, 1, 80)
y = np.sin(6 * x) + 0.1 * draw.standard_normal(80)
y[[12, 40, 63]] += [2.5, -3.0, 2.0]

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
for axes, loss in ((left, Squared()), (right, Huber("auto"))):
    result = fit(Problem(x, y, RBF(gamma=20), loss, [Ridge(0.01)])).raise_for_status()
    plot_fit(result, axes, lambda at: np.sin(6 * at))

print("rows that stand out:", sorted(outliers(y - result.fitted)))
