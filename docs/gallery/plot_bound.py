"""
How wrong can an unfinished fit be?
===================================

A solver that is stopped after three steps still says how far it is from the optimum, at every x. The shaded band is
proven; the dashed line is the exact fit.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Increasing, Problem, Ridge, Squared, TotalVariation, fit
from hw4opt.datasets import step_data

data = step_data()
problem = Problem(data.x, data.y, RBF(gamma=80), Squared(), [Ridge(1.0), TotalVariation(2.0)], [Increasing()])
rough, exact = fit(problem, solver="interior", max_iterations=3), fit(problem).raise_for_status()
x = np.linspace(0, 1, 801)
bound = rough.bound(x)
assert np.all(np.abs(rough.predict(x) - exact.predict(x)) <= bound + exact.bound(x))
print(
    rough.status.word,
    "bound",
    f"{bound.max():.2g}",
    "largest true error",
    f"{np.abs(rough.predict(x) - exact.predict(x)).max():.2g}",
)

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.fill_between(x, rough.predict(x) - bound, rough.predict(x) + bound, color="#0b5fa5", alpha=0.2)
axes.plot(x, rough.predict(x), color="#0b5fa5")
axes.plot(x, exact.predict(x), "k--", lw=1)
