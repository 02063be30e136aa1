"""
Do independent solvers agree?
=============================

One description goes to solvers that share no code; each answer gets the same certificate.
"""

import matplotlib.pyplot as plt

from hw4opt import RBF, Huber, Increasing, Problem, Ridge, TotalVariation, fit
from hw4opt.datasets import step_data

data = step_data()
problem = Problem(data.x, data.y, RBF(gamma=80), Huber(1.0), [Ridge(0.1), TotalVariation(0.3)], [Increasing()])
names = ("interior", "admm", "cvxpy:CLARABEL", "cvxpy:OSQP")
results = [fit(problem, solver=name) for name in names]
for name, result in zip(names, results, strict=True):
    print(f"{name:15} {result.status.word:12} {result.objective:.9f}  gap {result.certificate.gap:.1e}")

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.barh(names, [max(result.certificate.relative_gap, 1e-18) for result in results], color="#0b5fa5")
axes.set(xscale="log", xlabel="relative gap (certified: at most 1e-9, of cvxpy's solvers 1e-6)")
axes.invert_yaxis()
