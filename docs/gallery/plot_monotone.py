"""
Does it rise at every x, or at the data only?
=============================================

With the shape at the data rows the curve may dip between them; with ``everywhere`` it is proven not to.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Increasing, Problem, Ridge, Squared, fit
from hw4opt.datasets import step_data, step_function

data = step_data()
x = np.linspace(0, 1, 2001)
figure, (axes, slopes) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
axes.plot(data.x, data.y, ".", color="#8a97a6")
axes.plot(x, step_function(x), color="#2b2b2b", lw=0.8)
for everywhere in (False, True):
    problem = Problem(data.x, data.y, RBF(gamma=80), Squared(), [Ridge(0.1)], [Increasing(everywhere=everywhere)])
    result = fit(problem).raise_for_status()
    curve = result.predict(x)
    falls = np.mean(np.diff(curve) < 0)
    axes.plot(x, curve, label=f"{'everywhere' if everywhere else 'at the rows'}: falls on {falls:.1%} of the range")
    slopes.plot(x, np.gradient(curve, x))
axes.legend(frameon=False)
slopes.axhline(0, color="#2b2b2b", lw=0.8)
slopes.set(ylim=(-6, 30), title="slope")
