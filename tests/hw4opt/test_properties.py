"""Problems drawn at random: the native solver against the compiled model, and what must not change a fit.

HYPOTHESIS_PROFILE=explore draws others than the ones that everybody runs.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    Concave,
    Convex,
    Decreasing,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Laplacian,
    Logistic,
    Matern32,
    Matern52,
    Nonnegative,
    Polynomial,
    Precomputed,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
    fit,
)

EXAMPLES = 90  # of each of the four kinds of design
WEIGHT = st.floats(-3, 1).map(lambda power: 10.0**power)
SHAPES = [
    (),
    (Increasing(),),
    (Decreasing(),),
    (Convex(),),
    (Concave(),),
    (Increasing(), Concave()),
    (Decreasing(), Convex()),
]


@st.composite
def losses(draw, scale):
    return draw(
        st.sampled_from(
            [
                Squared(),
                Huber(scale * draw(st.floats(0.01, 3))),
                Absolute(),
                Quantile(draw(st.floats(0.05, 0.95))),
                EpsilonInsensitive(scale * draw(st.floats(0, 0.5))),
                Logistic(),
            ]
        )
    )


@st.composite
def ranges(draw, scale):
    """No constraint on values, or one that some constant satisfies with room to spare."""
    low = scale * draw(st.floats(-2, 1))
    high = low + scale * draw(st.floats(0.2, 2))
    return draw(
        st.sampled_from(
            [(), (), (), (Nonnegative(),), (Bounds(low, high),), (Bounds(lower=low),), (Bounds(upper=high),)]
        )
    )


@st.composite
def rows(draw, columns):
    """x (sometimes rounded until rows repeat), y at any scale, and sometimes weights with zeros, and an offset."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(8, 45))
    x = random.uniform(-1, 1, (n, columns))
    x = np.round(x, 1) if draw(st.booleans()) else x
    scale = draw(st.sampled_from([1.0, 1.0, 1e-3, 1e4]))
    y = scale * (np.sin(4 * x[:, 0]) + x.sum(axis=1) + draw(st.sampled_from([0.05, 0.3])) * random.standard_t(2, n))
    weights = (
        random.uniform(0.1, 2, n) * (random.uniform(size=n) > draw(st.sampled_from([0, 0.2])))
        if draw(st.booleans())
        else None
    )
    offset = scale * random.standard_normal(n) if draw(st.integers(0, 4)) == 0 else None
    kept = slice(None) if weights is None else weights > 0
    assume(len(np.unique(x[kept], axis=0)) > columns + 4)
    return x, y, scale, weights, offset


@st.composite
def problems(draw, kernel, columns):
    x, y, scale, weights, offset = draw(rows(columns))
    loss = draw(losses(scale))
    if isinstance(loss, Logistic):
        y, scale, offset = 1.0 * (y > np.median(y)), 1.0, None if offset is None else offset / scale
    intercept, regularizers, constraints = draw(st.booleans()), [], []
    if kernel:
        power = draw(st.floats(-1, 2))
        shapes = [
            RBF(10**power),
            RBF(10**power),
            Laplacian(10 ** (power / 2)),
            Matern32(10**power),
            Matern52(10**power),
            Polynomial(1, 3, 1),
        ]
        kernel = draw(st.sampled_from(shapes))
        constraints += draw(ranges(scale))
    elif intercept:
        constraints += draw(ranges(scale))
    if (
        kernel or isinstance(loss, Logistic) or draw(st.booleans())
    ):  # without a ridge the logistic loss may have no minimum
        regularizers.append(Ridge(draw(WEIGHT)))
    if not kernel and draw(st.booleans()):
        regularizers.append(L1(scale * draw(WEIGHT)))
    if columns == 1:
        if draw(st.integers(0, 2)) == 0:
            regularizers.append(TotalVariation(draw(WEIGHT)))
        if draw(st.integers(0, 3)) == 0:
            regularizers.append(Trend(0.1 * draw(WEIGHT), draw(st.sampled_from([1, 2, 2, 3]))))
        constraints += draw(st.sampled_from(SHAPES if kernel else SHAPES[:3]))
    elif not isinstance(kernel, Laplacian) and draw(st.booleans()):
        constraints.append(draw(st.sampled_from([Increasing, Decreasing]))(draw(st.integers(0, columns - 1))))
    return Problem(
        x, y, kernel or None, loss, regularizers, constraints, weights, offset, intercept, draw(st.integers(0, 9)) == 0
    )


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "columns"), [(True, 1), (True, 2), (False, 1), (False, 3)])
def test_native_agrees_with_the_compiled_model(kernel, columns, oracle):
    @settings(max_examples=EXAMPLES)
    @given(problem=problems(kernel, columns), steps=st.integers(1, 12))
    def agrees(problem, steps):
        result = fit(problem, "interior")
        assert result.certificate.solved(1e-9), result.message  # but rounding alone may pass the tolerance, and is told
        certified.append(result.status.word == "certified")
        early, best = fit(problem, "interior", max_iterations=steps), oracle(problem)
        if early.certificate.gap is not None:
            assert early.objective - result.objective <= early.certificate.gap + 1e-9 * abs(result.objective)
        if best.certificate.gap is None:  # Clarabel failed, and says so
            return
        gaps = result.certificate.gap + best.certificate.gap
        assert abs(result.objective - best.objective) <= max(1e-7 * abs(best.objective), gaps)
        counted.append(best.certificate.relative_gap <= 1e-7)

    counted, certified = [], []
    agrees()
    assert sum(counted) >= 0.9 * EXAMPLES  # the oracle nearly always has a say
    assert sum(certified) >= 0.98 * len(certified)


def wide(kernel=None, **given):
    """A small problem in one column with ties, unsorted x and an outlier."""
    random = np.random.default_rng(5)
    x = np.round(random.uniform(0, 2, 30), 1)
    y = 3 + x**2 + 0.5 * random.standard_normal(30)
    y[7] += 9
    return Problem(x, y, kernel, **given)


TERMS = {
    "squared": {"loss": Squared(), "regularizers": [Ridge(0.2)]},
    "squared, tv": {"loss": Squared(), "regularizers": [Ridge(0.2), TotalVariation(0.7)]},
    "huber, tv, trend": {"loss": Huber(0.8), "regularizers": [Ridge(0.2), TotalVariation(0.4), Trend(0.3)]},
    "huber, increasing": {"loss": Huber(0.8), "regularizers": [Ridge(0.2)], "constraints": [Increasing()]},
    "huber, decreasing, bounds": {
        "loss": Huber(0.8),
        "regularizers": [Ridge(0.2)],
        "constraints": [Decreasing(), Bounds(1, 20)],
    },
    "squared, convex": {"loss": Squared(), "regularizers": [Ridge(0.2)], "constraints": [Convex()]},
    "absolute": {"loss": Absolute(), "regularizers": [Ridge(0.2)]},
    "quantile, tv": {"loss": Quantile(0.8), "regularizers": [Ridge(0.2), TotalVariation(0.1)]},
    "epsilon, nonnegative": {
        "loss": EpsilonInsensitive(0.4),
        "regularizers": [Ridge(0.2)],
        "constraints": [Nonnegative()],
    },
}
DESIGNS = {
    "rbf": RBF(2.0),
    "laplacian": Laplacian(1.5),
    "matern52": Matern52(1.0),
    "polynomial": Polynomial(0.5, 3, 1.0),
    "linear": None,
}
CASES = {
    f"{design} {terms}": wide(kernel, **TERMS[terms], intercept=intercept)
    for design, kernel, intercept, chosen in [
        ("rbf", DESIGNS["rbf"], False, TERMS),
        ("rbf + 1", DESIGNS["rbf"], True, ["squared", "huber, increasing", "quantile, tv"]),
        ("laplacian", DESIGNS["laplacian"], False, ["absolute", "huber, tv, trend"]),
        ("matern52", DESIGNS["matern52"], True, ["huber, decreasing, bounds", "squared, convex"]),
        ("polynomial", DESIGNS["polynomial"], False, ["squared, tv", "epsilon, nonnegative"]),
        ("linear", DESIGNS["linear"], True, ["squared", "huber, increasing", "quantile, tv", "squared, tv"]),
    ]
    for terms in chosen
}
RESIDUAL_SQUARED = (Squared, Huber)  # losses that grow by s² when y and their own parameters do by s


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def same(one, other, factor=1.0, fitted=lambda f: f):
    """The second fit is the first one with `factor` times the objective and `fitted` of its values, as far as both are
    proven."""
    assert one.status.word == other.status.word == "certified", (one.message, other.message)
    assert_allclose(other.objective, factor * one.objective, rtol=3e-9)
    expected = fitted(one.fitted)
    assert_allclose(other.fitted, expected, rtol=0, atol=3e-5 * np.abs(expected).max())


def changed(problem, **values):
    return dataclasses.replace(problem, **values)


def test_the_order_of_the_rows_does_not_matter(case):
    order = np.random.default_rng(0).permutation(len(case.y))
    same(fit(case), fit(changed(case, x=case.x[order], y=case.y[order])), fitted=lambda f: f[order])


def test_a_row_given_twice_is_a_row_of_weight_two(case):
    weights = np.ones(len(case.y))
    weights[[2, 7]] = 2
    rows = np.r_[np.arange(len(case.y)), 2, 7]
    same(
        fit(changed(case, weights=weights)),
        fit(changed(case, x=case.x[rows], y=case.y[rows])),
        fitted=lambda f: f[rows],
    )


def test_weight_zero_is_no_row(case):
    gone = np.array([1, 5, 7, 20])
    weights = np.ones(len(case.y))
    weights[gone] = 0
    whole = fit(changed(case, weights=weights))
    rest = fit(changed(case, x=np.delete(case.x, gone, axis=0), y=np.delete(case.y, gone)))
    same(whole, rest, fitted=lambda f: np.delete(f, gone))
    assert_allclose(whole.fitted[gone], rest.predict(case.x[gone]), atol=3e-5 * np.abs(whole.fitted).max())
    assert whole.dual_coef is None or not whole.dual_coef[gone].any()


def in_other_units_of_x(problem, s):
    kernel = problem.kernel
    kernel = kernel and dataclasses.replace(kernel, gamma=kernel.gamma / s**kernel.gamma_power)

    def converted(term):
        if isinstance(term, Trend):
            return Trend(term.weight * s ** (term.order - 1), term.order)
        return Ridge(term.weight * s**2) if isinstance(term, Ridge) and kernel is None else term

    return changed(
        problem, x=problem.x * s, kernel=kernel, regularizers=[converted(term) for term in problem.regularizers]
    )


@pytest.mark.parametrize("s", [1e-9, 3.0, 1e9])
def test_the_units_of_x_do_not_matter(case, s):
    same(fit(case), fit(in_other_units_of_x(case, s)))


def in_other_units_of_y(problem, s):
    squared = isinstance(problem.loss, RESIDUAL_SQUARED)

    def converted(term):
        match term:
            case Ridge(weight):
                return Ridge(weight if squared else weight / s)
            case TotalVariation(weight):
                return TotalVariation(weight * s if squared else weight)
            case Trend(weight, order):
                return Trend(weight * s if squared else weight, order)
            case Huber(delta):
                return Huber(delta * s)
            case EpsilonInsensitive(epsilon):
                return EpsilonInsensitive(epsilon * s)
            case Bounds(lower, upper):
                return Bounds(lower * s, upper * s)
        return term

    return changed(
        problem,
        y=problem.y * s,
        loss=converted(problem.loss),
        regularizers=[converted(term) for term in problem.regularizers],
        constraints=[converted(term) for term in problem.constraints],
    )


@pytest.mark.parametrize("s", [1e-9, 3.0, 1e9])
def test_the_units_of_y_do_not_matter(case, s):
    factor = s**2 if isinstance(case.loss, RESIDUAL_SQUARED) else s
    same(fit(case), fit(in_other_units_of_y(case, s)), factor, lambda f: s * f)


def test_reflecting_x_swaps_increasing_and_decreasing(case):
    swap = {Increasing: Decreasing, Decreasing: Increasing}
    constraints = [swap.get(type(term), lambda term=term: term)() for term in case.constraints]
    same(fit(case), fit(changed(case, x=-case.x, constraints=constraints)))


def test_reflecting_a_column_swaps_slopes(references):
    problem = references["slopes along columns"]
    same(fit(problem), fit(changed(problem, x=-problem.x, constraints=[Decreasing(0), Increasing(1)])))
    one = changed(problem, constraints=[Increasing(0)])
    same(fit(one), fit(changed(one, x=one.x * [-1, 1], constraints=[Decreasing(0)])))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.intercept and "bounds" not in name])
@pytest.mark.parametrize("level", [-40.0, 1e3])
def test_an_intercept_takes_up_a_shift_of_y(name, level):
    one, other = fit(CASES[name]), fit(changed(CASES[name], y=CASES[name].y + level))
    same(one, other, fitted=lambda f: f + level)
    assert_allclose(other.intercept, one.intercept + level, atol=1e-4 * abs(level))


@pytest.mark.parametrize("loss", [Squared(), Huber(0.3), Absolute(), Quantile(0.7)])
@pytest.mark.parametrize("intercept", [False, True])
def test_a_linear_design_takes_up_a_linear_shift_of_y(loss, intercept):
    random = np.random.default_rng(6)
    x, coef = random.standard_normal((30, 3)), np.array([2.0, -1.0, 40.0])
    problem = Problem(x, x @ [1, 1, 0] + random.standard_t(3, 30), loss=loss, intercept=intercept)
    one, other = fit(problem), fit(changed(problem, y=problem.y + x @ coef))
    same(one, other, fitted=lambda f: f + x @ coef)
    assert_allclose(other.coef, one.coef + coef, atol=1e-4)


@pytest.mark.parametrize("order", [2, 3])
def test_a_line_has_no_curvature_to_constrain_or_penalise(order):
    plain = wide(loss=Huber(0.8), intercept=True)
    for terms in ({"constraints": [Convex()]}, {"constraints": [Concave()]}, {"regularizers": [Trend(5, order=order)]}):
        same(fit(plain), fit(changed(plain, **terms)))


EXTREMES = {
    "squared": {"loss": Squared()},
    "huber, tv": {"loss": Huber(1), "regularizers": [TotalVariation(0.4)]},
    "absolute": {"loss": Absolute()},
    "increasing": {"loss": Squared(), "constraints": [Increasing()]},
    "convex": {"loss": Huber(1), "constraints": [Convex()]},
    "quantile, bounds": {"loss": Quantile(0.7), "constraints": [Bounds(-1, 30)]},
}


def extreme(terms, gamma, n, intercept):
    x = np.arange(n) / (n - 1)
    y = 30 * x + np.random.default_rng(7).standard_normal(n)
    given = EXTREMES[terms]
    return Problem(
        x,
        y,
        RBF(gamma),
        given["loss"],
        [Ridge(0.5), *given.get("regularizers", [])],
        given.get("constraints", []),
        intercept=intercept,
    )


@pytest.mark.thinned(5)
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("n", [20, 200])
@pytest.mark.parametrize("gamma", [1e-8, 1e-2, 1e8])
@pytest.mark.parametrize("terms", EXTREMES)
def test_kernels_from_constant_to_diagonal(terms, gamma, n, intercept, oracle):
    problem = extreme(terms, gamma, n, intercept)
    result, best = fit(problem), oracle(problem)
    unproven = (terms, gamma) == (
        "convex",
        1e-8,
    )  # its duals reach 1e10: what any basis in doubles leaves out is beyond proof
    assert result.status.word == "certified" or (unproven and "basis leaves out" in result.message), result.message
    if best.certificate.gap is not None:
        gaps = result.certificate.gap + best.certificate.gap
        assert abs(result.objective - best.objective) <= max(1e-7 * abs(best.objective), gaps)


@pytest.mark.parametrize("n", [20, 200])
def test_the_limits_of_gamma_are_known_in_closed_form(n):
    near, far = extreme("squared", 1e-8, n, False), extreme("squared", 1e8, n, False)
    y = near.y
    assert_allclose(fit(near).fitted, np.full(n, y.sum() / (n + 0.5)), rtol=1e-6)  # K = 1 1ᵀ
    assert_allclose(fit(far).fitted, y / 1.5, rtol=1e-12)  # K = I
    assert_allclose(fit(far).objective, (y @ y) / 3, rtol=1e-12)


@pytest.mark.parametrize("gamma", [1.0, 100.0])
@pytest.mark.parametrize("weight", [1e2, 1e3, 1e4])
def test_a_large_tv_flattens_the_fit(weight, gamma, oracle):
    x = np.random.default_rng(9).uniform(-1, 1, 36)
    y = np.sin(4 * x) + x
    level = fit(Problem(x, y, RBF(gamma), Squared(), [Ridge(0.1), TotalVariation(weight)], intercept=True))
    assert level.status.word == "certified", level.message
    assert_allclose(level.objective, np.square(y - y.mean()).sum(), rtol=1e-8)
    plain = Problem(x, y, RBF(gamma), Huber(1), [Ridge(0.1), TotalVariation(weight)])
    assert fit(plain).status.word == "certified"
    assert_allclose(fit(plain).objective, oracle(plain).objective, rtol=1e-6)


@pytest.mark.parametrize(
    "loss", [Squared(), Huber(0.5), Absolute(), Quantile(0.3), EpsilonInsensitive(0.1)], ids=lambda loss: loss.name
)
@pytest.mark.parametrize(("slope", "level"), [(2.0, 1.0), (0.0, 5.0), (0.0, 0.0)])
@pytest.mark.parametrize("constraints", [[], [Increasing()]])
def test_a_perfect_fit_costs_nothing(loss, slope, level, constraints):
    x = np.random.default_rng(10).uniform(-1, 1, 36)
    result = fit(Problem(x, slope * x + level, loss=loss, constraints=constraints, intercept=True))
    assert result.status.word == "certified", result.message
    assert result.objective <= 1e-14 * 36 and np.abs(result.fitted - slope * x - level).max() <= 0.11


def test_a_gram_matrix_of_rank_one_and_a_repeated_point():
    random = np.random.default_rng(8)
    v, y = random.standard_normal(25), random.standard_normal(25)
    same(
        fit(Problem(v, y, loss=Huber(0.5), regularizers=[Ridge(0.3)])),
        fit(Problem(np.outer(v, v), y, Precomputed(), Huber(0.5), [Ridge(0.3)])),
    )
    x = np.r_[v, v + 1e-13]  # as good as equal
    result = fit(Problem(x, np.r_[y, y], RBF(3), Huber(0.5), [Ridge(0.3), TotalVariation(0.2)]))
    assert result.status.word == "certified" and result.rank <= 25
