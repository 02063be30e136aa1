"""Random problems with ties, repeated columns, zero and huge weights, and shapes that go against the data:
`python tests/hw4opt/random_problems.py COUNT [SEED]` fits them, and prints how many answers are certified.

It ends with status 1 where something is raised that the package does not raise on purpose, where an answer that is
called certified fails a check of its own, or where hardly any is certified. What is compiled is checked by running it
on a library that was built with sanitizers (`.ci/sanitize`).
"""

import argparse
import collections
import sys
import traceback

import numpy as np

import hw4opt
from hw4opt import Problem, Status, fit, fit_batch
from hw4opt.core import lanes
from hw4opt.selection import select

LEAST_CERTIFIED = 0.8  # of all answers
FOLDS_EVERY = 10  # of so many problems one is put to `select`
SHAPES = ["Increasing", "Decreasing", "Convex", "Concave"]


def make_x(rng):
    """Points of one column or two, some of them equal; rows from 2 to 60."""
    rows = int(rng.integers(2, rng.choice([6, 25, 60])))
    x = rng.normal(size=(rows, int(rng.choice([1, 1, 1, 2]))))
    kind = rng.integers(4)
    if kind == 0:
        x = np.round(x, 1)
    if kind == 1:
        x = x[rng.integers(0, rows, rows)]
    return np.sort(x, axis=0) * 10.0 ** rng.integers(-2, 3)


def make_y(rng, x, loss):
    """Targets that follow x, or a shape's opposite, or are all equal; with outliers."""
    first = x[:, 0] / (np.abs(x[:, 0]).max() or 1.0)
    y = rng.choice([1.0, -1.0, 3.0, 0.0]) * first + rng.choice([0.0, 0.1, 1.0]) * rng.normal(size=len(x))
    y[rng.random(len(x)) < 0.05] += 30.0
    y = y * 10.0 ** rng.integers(-3, 4)
    if loss == "Logistic":
        return np.where(y > np.median(y), 1.0, -1.0)
    return rng.poisson(np.exp(np.clip(first, -3, 3))).astype(float) if loss == "Poisson" else y


def make_terms(rng, spread, columns, linear):
    """Regularizers and constraints, as words."""
    weight = 10.0 ** rng.uniform(-4, 2)
    regularizers = [hw4opt.Ridge(weight)] if rng.random() < 0.95 else []
    constraints = []
    if columns == 1 and rng.random() < 0.4:
        regularizers.append(hw4opt.TotalVariation(10.0 ** rng.uniform(-3, 2)))
    if columns == 1 and rng.random() < 0.15:
        regularizers.append(hw4opt.Trend(10.0 ** rng.uniform(-3, 1)))
    if linear and rng.random() < 0.4:
        regularizers.append(hw4opt.L1(10.0 ** rng.uniform(-3, 1)))
    if columns == 1 and rng.random() < 0.5:
        constraints.append(getattr(hw4opt, rng.choice(SHAPES))())
    if rng.random() < 0.2:
        constraints.append(hw4opt.Bounds(-spread * rng.uniform(0, 2), spread * rng.uniform(0.1, 2)))
    return regularizers, constraints


def make_problem(rng):
    """One problem of any kind; `InputError` where what was drawn does not go together."""
    x = make_x(rng)
    rows = len(x)
    loss = str(rng.choice(["Huber", "Quantile", "Squared", "Absolute", "EpsilonInsensitive", "Logistic", "Poisson"]))
    y = make_y(rng, x, loss)
    spread = float(np.ptp(y)) or 1.0
    linear = rng.random() < 0.25
    if linear and rng.random() < 0.5:
        x = np.hstack([x, x[:, :1]])  # a repeated column
    values = {"Huber": spread * 10.0 ** rng.uniform(-3, 0.5), "Quantile": rng.uniform(0.02, 0.98)}
    values["EpsilonInsensitive"] = spread * rng.choice([0.0, 0.05, 0.5])
    kind = getattr(hw4opt, loss)
    regularizers, constraints = make_terms(rng, spread, x.shape[1], linear)
    weights = None
    if rng.random() < 0.3:
        weights = rng.choice([0.0, 1.0, 1.0, 3.5, 1e6], rows)
    gamma = 10.0 ** rng.uniform(-2, 2) / max(float(np.var(x)), 1e-12)
    return Problem(
        x,
        y,
        None if linear else hw4opt.RBF(gamma),
        kind(values[loss]) if loss in values else kind(),
        regularizers,
        constraints,
        weights=weights,
        intercept=bool(rng.random() < 0.4),
    )


def check(problem, result):
    """An answer that is called certified: finite values and a small gap, also counted again."""
    if result.status is not Status.CERTIFIED:
        return
    fitted = result.predict(problem.x)
    assert np.isfinite(fitted).all(), "a certified answer isn't finite"
    assert result.certificate.relative_gap <= 1e-8, "a certified answer has a large gap"
    assert result.verify().relative_gap <= 1e-8, "a certified answer isn't certified the second time"


def work(rng, number, seen):
    """One problem: fitted, as a batch with another weight, and now and then with its folds."""
    problem = make_problem(rng)
    result = fit(problem)
    seen[result.status.word] += 1
    check(problem, result)
    if number % 3 == 0:
        for one in fit_batch([problem, problem]):
            check(problem, one)
    if number % FOLDS_EVERY == 0 and problem.ridge > 0 and len(problem.y) >= 4:
        grid = {"ridge": (problem.ridge, 10 * problem.ridge, 2)}
        select(problem, ["ridge"], method=str(rng.choice(["loo", "kfold:3"])), search="grid", grid=grid)
        seen["selected"] += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    options = parser.parse_args()
    seen, failures = collections.Counter(), 0
    for number in range(options.count):
        try:
            work(np.random.default_rng([options.seed, number]), number, seen)
        except hw4opt.Hw4Error as error:
            seen[type(error).__name__] += 1
        except Exception:
            failures += 1
            print(f"problem {number} of seed {options.seed}:\n{traceback.format_exc()}")
    print(f"{options.count} problems, vectors of {lanes()}: {dict(sorted(seen.items()))}, {failures} failures")
    answers = sum(seen[status.word] for status in Status)
    sys.exit(failures > 0 or seen["certified"] < LEAST_CERTIFIED * answers)


if __name__ == "__main__":
    main()
