"""The table of problems: every loss × regularizer × constraint × design found in the folders, on a dyadic grid.

x lies on multiples of 2^-5 in [-2, 2), y on multiples of 2^-10, parameters are sums of few powers of two: a change by
powers of two, or by levels up to 2^40, is exact in float64.
"""

import itertools
from functools import cache

import numpy as np

from hw4opt import Problem, Ridge
from hw4opt.errors import InputError, RefusedError
from hw4opt.form.canonicalize import canonicalize
from hw4opt.kernels import KERNELS, find_kernel
from hw4opt.terms import Coefficients, Differences, Smooth, Values, find, load, names, parameters

ROWS = 32  # a power of two: the mean of dyadic columns is exact
DEFAULTS = {  # others are taken as their file has them
    "huber": {"delta": 0.5},
    "quantile": {"tau": 0.75},
    "epsilon_insensitive": {"epsilon": 0.25},
    "bounds": {"lower": -1.0, "upper": 1.5},
    "coef_bounds": {"lower": -0.25, "upper": 0.375},
    "ridge": {"weight": 0.125},
    "tv": {"weight": 0.25},
    "trend": {"weight": 0.0625},
    "l1": {"weight": 0.5},
    "polynomial": {"gamma": 0.5},
}
VARIANTS = {"poisson": [{"truncated": True}]}  # of a term that is another one by a parameter
PAIRS = [("increasing", "bounds"), ("decreasing", "convex")]


def dyadic(values, bits=10):
    """The nearest multiples of 2^-bits."""
    return np.round(np.ldexp(values, bits)) / 2.0**bits


def _columns():
    draw = np.random.default_rng(7)
    one = draw.choice(128, ROWS, replace=False) / 32 - 2
    ties = np.repeat(one[: ROWS // 2], 2)
    other = draw.choice(128, ROWS, replace=False) / 32 - 2
    return {"one": one[:, None], "ties": ties[:, None], "two": np.column_stack([one, other])}


def _targets():
    """What a loss may take: values, counts, counts of at least 1, or labels; the first that it accepts is used."""
    draw = np.random.default_rng(8)
    x = _columns()["one"][:, 0]
    signal = x / 2 + np.sin(2 * x) / 2
    values = dyadic(signal + 0.25 * draw.standard_normal(ROWS))
    counts = 1.0 * draw.poisson(np.exp(0.5 * signal + 0.75))
    return [values, counts, counts + 1, 1.0 * (signal + draw.logistic(size=ROWS) > 0)]


X, Y = _columns(), _targets()
DRAW = np.random.default_rng(9)
WEIGHTS = DRAW.choice([0.5, 1.0, 2.0], ROWS)
OFFSET = DRAW.integers(-8, 9, ROWS) / 32


def targets(loss):
    """The series that the loss accepts."""
    for y in Y if isinstance(loss, Smooth) else Y[:1]:
        try:
            if isinstance(loss, Smooth):
                loss.check_targets(y)
        except InputError:
            continue
        return y
    raise AssertionError(f"{loss.name} takes none of the series; add one to _targets")


@cache
def designs():
    """name → (x, kernel, intercept)."""
    found = {}
    for name in KERNELS:
        if name == "precomputed":
            gram = dyadic(np.exp(-np.abs(X["one"] - X["one"].T)), 40)
            found |= {
                "precomputed": (gram, find_kernel(name), False),
                "precomputed + 1": (gram, find_kernel(name), True),
            }
            continue
        kernel = find_kernel(name, **DEFAULTS.get(name, {}))
        found |= {
            name: (X["one"], kernel, False),
            f"{name} + 1": (X["one"], kernel, True),
            f"{name}, ties": (X["ties"], kernel, True),
            f"{name}, two columns": (X["two"], kernel, len(found) % 2 == 0),
        }
    linear = {
        "linear + 1": ("one", True),
        "linear, two columns + 1": ("two", True),
        "linear, two columns": ("two", False),
    }
    return found | {name: (X[x], None, intercept) for name, (x, intercept) in linear.items()}


def _regularizers(linear):
    """Sets of regularizers: each alone beside a ridge, all on differences together; of linear designs also without a
    ridge, and none."""
    every = [find("regularizer", name, **DEFAULTS.get(name, {})) for name in names("regularizer")]
    others = [term for term in every if not isinstance(term, Ridge)]
    ridge = next(term for term in every if isinstance(term, Ridge))
    sets = [
        (ridge,),
        *((ridge, term) for term in others),
        (ridge, *(term for term in others if isinstance(term.acts, Differences))),
    ]
    return [*sets, (), *((term,) for term in others if isinstance(term.acts, Coefficients))] if linear else sets


def _constraint(name, columns):
    """The constraint of that name; along the first of several columns, where it can be."""
    given = DEFAULTS.get(name, {}) | (
        {"column": 0} if columns > 1 and "column" in parameters(load("constraint", name)) else {}
    )
    return find("constraint", name, **given)


def _problem(loss, kept, constraints, design, number):
    """The problem, or None where a term has no rows, or the design does not have it; every third has weights, every
    fourth an offset."""
    x, kernel, intercept = designs()[design]
    columns = 1 if x.shape[0] == x.shape[1] else x.shape[1]
    shapes = [_constraint(name, columns) for name in constraints]
    if kernel is None and not intercept and any(isinstance(term.acts, Values) for term in shapes):
        return None  # nothing but f = 0 may satisfy them
    weights, offset = WEIGHTS if number % 3 == 0 else None, OFFSET if number % 4 == 0 else None
    problem = Problem(x, targets(loss), kernel, loss, kept, shapes, weights, offset, intercept)
    try:
        canonicalize(problem)
        if any(problem.design.rows(term.acts, term.name).count == 0 for term in problem.terms):
            return None  # a straight line has no second differences
        _ = problem.design.slopes and problem.design.matrix  # a kernel without a derivative refuses here
    except RefusedError:
        return None
    return problem


@cache
def problems():
    """name → problem. Designs are dealt out in turn, one kernel and one linear design for each set of terms that one
    takes."""
    losses = {name: find("loss", name, **DEFAULTS.get(name, {})) for name in names("loss")}
    losses |= {
        f"{name} {' '.join(given)}": find("loss", name, **given) for name, many in VARIANTS.items() for given in many
    }
    shapes = [(), *((name,) for name in names("constraint")), *PAIRS]
    found, turn = {}, itertools.count()
    refused = set()  # terms that a design does not take, whatever the loss
    for linear in (False, True):
        order = [name for name, (_, kernel, _) in designs().items() if (kernel is None) == linear]
        for (label, loss), kept, constraints in itertools.product(losses.items(), _regularizers(linear), shapes):
            number = next(turn)
            for design in [one for one in order if (one, kept, constraints) not in refused]:
                if (problem := _problem(loss, kept, constraints, design, number)) is not None:
                    terms = ", ".join([label, *(term.name for term in kept), *constraints])
                    found[f"{design}: {terms}"] = problem
                    order.remove(design)
                    order.append(design)
                    break
                refused.add((design, kept, constraints))
    return found


def spread(problem):
    """A robust standard deviation of y, from its quartiles; 1 for losses of labels and counts, whose fit is a
    logarithm."""
    if isinstance(problem.loss, Smooth):
        return 1.0
    low, high = np.quantile(problem.y, [0.25, 0.75])
    return float(high - low) / 1.349
