"""What a gap is relative to, against the formula of gap_scale.py written here row by row, from the problem's words
alone."""

import dataclasses
import itertools
import math
import statistics

import numpy as np
import pytest
from scipy import optimize

from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Logistic,
    Poisson,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
    fit,
)
from hw4opt.form.canonicalize import canonicalize
from hw4opt.form.equilibrate import equilibrate
from hw4opt.form.gap_scale import constant_fit, median_of_positive
from hw4opt.proof.certificate import certify
from hw4opt.proof.feasibility import strictly_feasible

LOSSES = [
    Squared(),
    Huber(0.4),
    Absolute(),
    Quantile(0.8),
    EpsilonInsensitive(0.15),
    Logistic(),
    Poisson(),
    Poisson(truncated=True),
]
every_loss = pytest.mark.parametrize(
    "loss", LOSSES, ids=lambda loss: loss.name + " truncated" * getattr(loss, "truncated", False)
)
GAUSSIAN = RBF(20.0)
SETTINGS = {
    "plain": {},
    "tv, increasing": dict(regularizers=[TotalVariation(0.3)], constraints=[Increasing()]),
    "trend, bounds": dict(regularizers=[Trend(0.05)], constraints=[Bounds(-3, 3)]),
    "weights, offset": dict(weighted=True),
    "intercept": dict(intercept=True),
    "intercept, weights, offset": dict(intercept=True, weighted=True),
    "linear": dict(kernel=None, regularizers=[L1(0.4)], intercept=True),
}


# ---- the formula, in plain Python ------------------------------------------------------------------------------------


def above_least(loss, z, y):
    """ℓ(z, y) - min ℓ of one row; of counts, half the deviance."""
    r = z - y
    match loss.name:
        case "squared":
            return r * r
        case "huber":
            return r * r if abs(r) <= loss.delta else 2 * loss.delta * abs(r) - loss.delta**2
        case "absolute":
            return abs(r)
        case "quantile":
            return max(-loss.tau * r, (1 - loss.tau) * r)
        case "epsilon_insensitive":
            return max(abs(r) - loss.epsilon, 0.0)
        case "logistic":
            return math.log1p(math.exp(-z if y > 0 else z))
        case "poisson" if loss.truncated:
            value = lambda z: math.exp(z) + math.log(-math.expm1(-math.exp(z))) - y * z  # noqa: E731
            return value(z) - (value(optimize.brentq(lambda t: mean(t) - y, -30, 6, xtol=1e-14)) if y > 1 else 0.0)
        case "poisson":
            return math.exp(z) - y * z - (y - y * math.log(y) if y > 0 else 0.0)


def mean(z):
    """Of counts of at least 1."""
    return math.exp(z) / -math.expm1(-math.exp(z))


def lower_median(values):
    positive = sorted(value for value in values if value > 0)
    return statistics.median_low(positive) if positive else 0.0


def rows_of(problem):
    """(y, weight, offset) of every row with a weight above 0."""
    ones, zeros = np.ones(len(problem.y)), np.zeros(len(problem.y))
    weights, offset = (
        ones if problem.weights is None else problem.weights,
        zeros if problem.offset is None else problem.offset,
    )
    return [(float(y), float(o), float(w)) for y, o, w in zip(problem.y, offset, weights, strict=True) if w > 0]


def best_constant(problem):
    """The c of least Σ ω ℓ(c + offset, y)."""
    rows = rows_of(problem)
    lost = lambda c: sum(w * above_least(problem.loss, c + o, y) for y, o, w in rows)  # noqa: E731
    targets = [y - o for y, o, _ in rows]
    low, high = (-20, 20) if problem.loss.targets else (min(targets), max(targets))
    return optimize.minimize_scalar(lost, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x


def penalties_of(problem, w, f):
    """ridge ‖w‖² + tv ‖Df‖₁ + … with f at the rows of a weight above 0."""
    total = problem.ridge * sum(float(one) ** 2 for one in w[: len(w) - problem.intercept])
    x = problem.active_x[:, 0]
    order = np.unique(x, return_index=True)[1]
    for term in problem.regularizers:
        if term.name == "tv":
            total += term.weight * sum(abs(f[b] - f[a]) for a, b in itertools.pairwise(order))
        elif term.name == "trend":
            for a, b, c in zip(order[:-2], order[1:-1], order[2:], strict=True):
                total += term.weight * abs((f[c] - f[b]) / (x[c] - x[b]) - (f[b] - f[a]) / (x[b] - x[a]))
        elif term.name == "l1":
            total += term.weight * sum(abs(one) for one in w[: len(w) - problem.intercept])
    return total


def without_largest(values):
    """Their sum, the largest taken for the second largest."""
    ranked = sorted(values)
    return sum([*ranked[:-1], ranked[-2]])


def scale_by_hand(problem, w, gap, least=0.0):
    """max(min(P̂, E), 1e-4 L); the constant, which the code finds on its own ways, has tests of its own. ℓ_i up to
    `least` count as 0."""
    rows = rows_of(problem)
    typical = lower_median([weight for _, _, weight in rows])
    most = max(100 * typical, sorted(weight for _, _, weight in rows)[-2])
    shares = [min(weight, most) for _, _, weight in rows]
    design = problem.design  # B at the base rows as it is: trend multiplies the rounding of another product by 1e5
    base = design.matrix[: len(design.base_x)] @ w + problem.level
    f = base if design.row_of is None else base[design.row_of]
    constant = problem.level + float(constant_fit(canonicalize(problem).loss)[0, 0]) if problem.intercept else 0.0
    left = [share * above_least(problem.loss, z + o, y) for share, z, (y, o, _) in zip(shares, f, rows, strict=True)]
    lost = [share * above_least(problem.loss, constant + o, y) for share, (y, o, _) in zip(shares, rows, strict=True)]
    lost = [one if one > least else 0.0 for one in lost]
    median, count = lower_median(lost), sum(one > 0 for one in lost)
    penalties = penalties_of(problem, w, f)
    remains = without_largest(left) + penalties
    explained = without_largest([one - other for one, other in zip(lost, left, strict=True)]) - penalties + gap
    targets = sorted(y - o for y, o, _ in rows) if problem.loss.name not in ("logistic", "poisson") else [0.0, 1.0]
    quarter = (len(targets) - 1) // 4
    spread = targets[-1 - quarter] - targets[quarter]
    x = problem.features(problem.active_x)
    largest = max(float(np.sum(np.square(one))) for one in x) if problem.kernel is None else 1.0
    charged = problem.ridge * spread**2 / largest
    return max(min(remains, max(explained, charged)), 1e-4 * count * median)


# ---- the code against it ---------------------------------------------------------------------------------------------


def one_problem(loss, seed, kernel=GAUSSIAN, regularizers=(), constraints=(), weighted=False, intercept=False, rows=17):
    random = np.random.default_rng([seed, rows])
    x = random.uniform(size=rows)
    y = np.sin(6 * x) + 0.3 * random.standard_t(2, size=rows)
    y = {
        "logistic": y > 0,
        "poisson": random.poisson(np.exp(1 + np.sin(6 * x))) + getattr(loss, "truncated", False),
    }.get(loss.name, y + 2.0 * intercept)
    weights = random.uniform(0.3, 2, size=rows) * (random.random(rows) < 0.8) if weighted or intercept else None
    if weighted:
        weights[np.flatnonzero(weights)[0]] *= 1e4  # counts as 100 medians
    offset = 0.3 * random.normal(size=rows) if weighted else None
    return Problem(x, y, kernel, loss, [Ridge(0.1), *regularizers], constraints, weights, offset, intercept)


def points(problem, form):
    """The optimum, points beside it, far from it, and w = 0; with an order only functions that hold it: others have an
    infinite loss."""
    random = np.random.default_rng(5)
    if any(term.name == "increasing" for term in problem.constraints):
        return np.array([0.0, 0.1, 0.3, 0.7, 1.0, 1.5, 3.0, 10.0])[:, None] * strictly_feasible(form)
    best = fit(problem).w
    sizes = np.array([0.0, 1e-6, 1e-3, 0.03, 0.3, 1.0, 3.0])
    return np.concatenate([best + sizes[:, None] * random.normal(size=(7, len(best))), np.zeros((1, len(best)))])


@pytest.mark.thinned(3)
@every_loss
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_scale_is_the_formula(loss, setting):
    """Alone and as problems of one batch, which share x and have other y."""
    problems = [one_problem(loss, seed, **SETTINGS[setting]) for seed in range(3)]
    problems = [dataclasses.replace(one, x=problems[0].x, weights=problems[0].weights) for one in problems]
    sides = []
    for number, problem in enumerate(problems):
        form = canonicalize(problem)
        w = points(problem, form)
        gaps = np.geomspace(1e-6, 1, len(w))
        found = canonicalize([problem] * len(w)).gap_scale(w, gaps)
        together = canonicalize(problems).gap_scale(np.repeat(w[:1], 3, axis=0), np.full(3, 1e-6))[number]
        expected = [scale_by_hand(problem, one, gap) for one, gap in zip(w, gaps, strict=True)]
        if (
            problem.intercept
        ):  # a row that the best constant meets loses 0, or its rounding: either count of positive ℓ_i is right
            other = [scale_by_hand(problem, one, gap, least=1e-12) for one, gap in zip(w, gaps, strict=True)]
            expected = np.where(np.isclose(found, other, rtol=1e-11, atol=0), other, expected)
        np.testing.assert_allclose(found, expected, rtol=1e-11)
        assert together == pytest.approx(found[0], rel=1e-11)
        sides.append(np.array(expected))
    assert (
        loss.targets or np.ptp(np.log(np.concatenate(sides))) > 0.3
    )  # several branches of max and min; R alone for most of those


@every_loss
def test_the_certificate_divides_by_it(loss):
    problem = one_problem(loss, 1, regularizers=[TotalVariation(0.3)], weighted=True)
    form = canonicalize([problem] * 8)
    w = points(problem, form)
    for point, certificate in zip(w, certify(form, w, np.zeros((8, form.size))).certificates, strict=True):
        by_hand = scale_by_hand(problem, point, certificate.gap)
        assert certificate.gap_scale == pytest.approx(by_hand, rel=1e-12)
        assert certificate.relative_gap == pytest.approx(certificate.gap / by_hand, rel=1e-12)


@every_loss
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [17, 400])
def test_the_best_constant_is_near_the_best(loss, weighted, rows):
    """To 1/256 of the largest distance between two of 17 quantiles of the rows' own best constants (0.02 of smooth
    losses)."""
    problem = one_problem(loss, 3, intercept=True, weighted=weighted, rows=rows)
    found = problem.level + float(constant_fit(canonicalize(problem).loss)[0, 0])
    exact = best_constant(problem)
    total = lambda c: sum(w * above_least(loss, c + o, y) for y, o, w in rows_of(problem))  # noqa: E731
    own = [y - o for y, o, _ in rows_of(problem)]
    near = 0.02 if loss.targets else np.diff(np.quantile(own, np.linspace(0, 1, 17))).max() / 256
    assert abs(found - exact) <= near or total(found) <= total(exact) * (1 + 1e-12)
    assert total(found) <= total(exact) * (1 + (0.01 if weighted else 1e-3))


def test_of_many_rows_a_sample_gives_the_constant():
    problem = one_problem(Huber(0.4), 3, intercept=True, rows=2000)
    found = problem.level + float(constant_fit(canonicalize(problem).loss)[0, 0])
    assert abs(found - best_constant(problem)) <= 0.1 * np.std(np.sin(6 * problem.x))


def test_median_of_positive_against_the_standard_library():
    random = np.random.default_rng(6)
    values = random.normal(size=(30, 9))
    values[4], values[5, 1:] = 0.0, 0.0
    np.testing.assert_array_equal(median_of_positive(values), [lower_median(row) for row in values])
    even = np.abs(random.normal(size=(5, 8)))
    np.testing.assert_array_equal(median_of_positive(even), [lower_median(row) for row in even])


# ---- what must hold (issue 13) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES[:5], ids=lambda loss: loss.name)
@pytest.mark.parametrize("kernel", [RBF(20.0), None], ids=["kernel", "linear"])
def test_a_level_moves_nothing(loss, kernel):
    """Targets on a dyadic grid, so that adding the level is exact."""
    random = np.random.default_rng(7)
    x, y = random.uniform(size=21), np.round(64 * random.normal(size=21)) / 64
    near, far = (Problem(x, y + level, kernel, loss, [Ridge(0.1)], intercept=True) for level in (0.0, 2.0**28))
    w = random.normal(size=(1, near.design.matrix.shape[1]))
    one, other = (canonicalize(problem).gap_scale(w, np.array([1e-3])) for problem in (near, far))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("loss", LOSSES[:5], ids=lambda loss: loss.name)
@pytest.mark.parametrize("intercept", [False, True])
def test_no_single_row_lifts_it(loss, intercept):
    """A target, or a weight, that goes to 1e12: the scale at the optimum stays at most what the other rows have at
    stake."""
    problem = one_problem(loss, 4, intercept=intercept)
    weights = np.where(problem.weights > 0, 1.0, 0.0) if intercept else np.ones(17)
    constant = best_constant(problem) if intercept else 0.0
    most = 17 * 100 * lower_median([above_least(loss, constant, y) for y in problem.y])
    row = int(np.flatnonzero(weights)[3])
    for size in (1e4, 1e8, 1e12):
        y, heavy = problem.y.copy(), weights.copy()
        y[row], heavy[row] = size, size
        far, weighty = dataclasses.replace(problem, y=y, weights=weights), dataclasses.replace(problem, weights=heavy)
        follows = intercept and loss.name == "squared"  # the mean does, and with it what every other row has at stake
        for changed in (weighty,) if follows else (weighty, far):
            assert 0 < fit(changed).certificate.gap_scale <= 2 * most


@pytest.mark.parametrize(
    "loss", [Huber(0.4), Absolute(), Quantile(0.8), EpsilonInsensitive(0.15)], ids=lambda loss: loss.name
)
@pytest.mark.parametrize("intercept", [False, True])
def test_an_outlier_moved_further_out_changes_nothing(loss, intercept):
    """Its row counts the same before and after, so that the scale is that of the other rows' fit."""
    problem = one_problem(loss, 8, intercept=intercept)
    found = []
    for size in (2.0**10, 2.0**20, 2.0**40):
        y = problem.y.copy()
        y[3] = size
        changed = dataclasses.replace(problem, y=y, weights=None)
        found.append(fit(changed).certificate.gap_scale)
    same = 0.02 if intercept else 1e-6  # the best constant may be one of several, or be found a little beside
    assert found[1] == pytest.approx(found[0], rel=same) and found[2] == pytest.approx(found[0], rel=same)


def test_a_fit_that_explains_nothing_is_judged_by_the_floor():
    """At w = 0 with no gap E is 0: the scale is 1e-4 L, not 0 and not the loss."""
    problem = dataclasses.replace(
        one_problem(Squared(), 9), regularizers=[]
    )  # without a ridge, which would charge for any function
    form = canonicalize(problem)
    lost = [y * y for y in problem.y]
    expected = 1e-4 * len(lost) * lower_median(lost)
    assert form.gap_scale(np.zeros((1, form.matrix.shape[1])), np.zeros(1))[0] == pytest.approx(expected, rel=1e-12)


def test_rare_events_have_little_to_explain():
    """Of 3 in 400 labels, and of as many counts, the best constant is far from 0 and from every row's own best z."""
    random = np.random.default_rng(12)
    x, y = random.uniform(size=(400, 2)), np.zeros(400)
    y[[5, 80, 300]] = 1
    for loss in (Logistic(), Poisson()):
        problem = Problem(x, y, loss=loss, intercept=True, regularizers=[Ridge(1.0)])
        found = float(constant_fit(canonicalize(problem).loss)[0, 0])
        assert found == pytest.approx(math.log(3 / 397) if loss.name == "logistic" else math.log(3 / 400), abs=1e-4)
        none = dataclasses.replace(problem, y=0 * y)
        assert constant_fit(canonicalize(none).loss)[0, 0] < -8  # its loss is next to nothing there
        big = dataclasses.replace(problem, offset=np.where(x[:, 0] > 0.5, 800.0, 0.0))
        assert np.isfinite(constant_fit(canonicalize(big).loss)).all()


@every_loss
def test_the_scaled_form_has_the_same_scale_in_its_own_units(loss):
    """Solvers stop by the scale that the certificate divides by."""
    problem = one_problem(loss, 10, regularizers=[TotalVariation(0.3)], weighted=True, intercept=True)
    form = canonicalize([problem] * 8)
    scaled = equilibrate(form)
    v = np.random.default_rng(11).normal(size=form.penalty.shape)
    gap = np.geomspace(1e-8, 1, 8)
    worth = scaled.units.worth[:, 0]
    np.testing.assert_allclose(
        worth * scaled.form.gap_scale(v, gap / worth), form.gap_scale(scaled.point(v), gap), rtol=1e-9
    )
