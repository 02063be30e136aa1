"""
How does a rate of events change?
=================================

Counts with exposure, a smooth rate that is not negative by construction: Poisson loss, the curve is the log rate.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import RBF, Poisson, Problem, Ridge, fit

draw = np.random.default_rng(0)
day = np.arange(100.0)
hours = draw.uniform(2, 8, 100)
rate = np.exp(1 + np.sin(day / 15))
counts = draw.poisson(hours * rate)

problem = Problem(day, counts, RBF(gamma=0.003), Poisson(), [Ridge(0.5)], offset=np.log(hours))
result = fit(problem).raise_for_status()
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(day, counts / hours, ".", color="#8a97a6", label="counts an hour")
axes.plot(day, np.exp(result.predict(day)), color="#0b5fa5", label="fitted rate")
axes.plot(day, rate, color="#2b2b2b", lw=0.8, label="true rate")
axes.legend(frameon=False)
