"""Default ranges and the noise they go by: in the units of the data, unmoved by levels, by outliers and by a few heavy
rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hw4opt import (
    L1,
    RBF,
    Absolute,
    EpsilonInsensitive,
    Huber,
    InputError,
    Polynomial,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
    fit,
)
from hw4opt.problem.noise import noise_size, spread_of
from hw4opt.selection import leave_one_out, score_settings
from hw4opt.selection.ranges import default_range, is_gamma, reach_of

CODES = 2.0**31 * np.array([1, -1])  # of missing values in files of whole numbers


def dyadic(values):
    """Multiples of 2⁻¹⁰: levels to 2³⁰ and factors of 2 change them exactly."""
    return np.round(np.asarray(values) * 1024) / 1024


def sample(columns, n=60, seed=0, sigma=0.5):
    """x (n, columns) and y, smooth in one column and linear in several, with normal noise."""
    draw = np.random.default_rng(seed)
    x = draw.uniform(0, 3, (n, columns))
    f = np.sin(2 * x[:, 0]) + x[:, 0] if columns == 1 else x @ np.linspace(1, -1, columns)
    return dyadic(x), dyadic(f + sigma * draw.standard_normal(n))


DATA = {
    "one column": sample(1),
    "rounded, one column": (np.round(sample(1)[0] * 4) / 4, sample(1)[1]),
    "six doses": (
        np.repeat([0.0, 1, 3, 10, 30, 100], 8)[:, None],
        dyadic(np.random.default_rng(1).normal(np.repeat(np.arange(6), 8))),
    ),
    "two columns": sample(2),
    "five columns": sample(5),
    "two columns of few levels": (np.random.default_rng(2).integers(0, 3, (60, 2)).astype(float), sample(2)[1]),
}


# ---- the size of the noise


@pytest.mark.parametrize("name", DATA)
def test_the_noise_follows_the_units_and_nothing_else(name):
    x, y = DATA[name]
    size = noise_size(x, y)
    order = np.random.default_rng(3).permutation(len(y))
    assert 0 < size <= spread_of(y)
    for factor in (2.0**40, 2.0**-40):
        assert_allclose(noise_size(x, factor * y), factor * size, rtol=1e-12)
        assert_allclose(noise_size(factor * x, y), size, rtol=1e-12)
    assert_allclose(noise_size(x, y + 2.0**30), size, rtol=1e-12)
    assert_allclose(noise_size(x[order], y[order]), size, rtol=1e-12)


@pytest.mark.parametrize("name", DATA)
def test_an_outlier_moves_the_noise_no_further_than_it_is_one(name):
    x, y = DATA[name]
    far, further = y.copy(), y.copy()
    far[7], further[7] = 1e3, 1e12
    assert noise_size(x, further) == noise_size(x, far)
    assert_allclose(noise_size(x, far), noise_size(x, y), rtol=0.3)


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_codes_of_missing_values_leave_the_noise_a_size(columns):
    x, y = sample(columns, n=200)
    coded = y.copy()
    coded[::8] = np.resize(CODES, len(coded[::8]))  # 25 of 200
    assert 0.5 * 0.5 < noise_size(x, coded) < 2.5 * 0.5


@pytest.mark.parametrize(("columns", "within"), [(1, 1.3), (2, 1.3), (5, 1.3), (12, 1.6)])
def test_the_noise_is_the_one_that_was_drawn(columns, within):
    sizes = [noise_size(*sample(columns, n=300, seed=seed, sigma=0.5)) for seed in range(9)]
    assert 0.5 / within < np.median(sizes) < 0.5 * within


def test_rows_of_equal_x_tell_the_noise_whatever_the_signal():
    draw = np.random.default_rng(0)
    x = np.repeat(draw.uniform(0, 1, (30, 2)), 4, axis=0)
    y = np.repeat(100 * draw.standard_normal(30), 4) + 0.1 * draw.standard_normal(120)
    assert 0.06 < noise_size(x, y) < 0.16
    assert 0.06 < noise_size(x[:, :1], y) < 0.16


def test_the_noise_of_targets_without_a_middle():
    x = np.arange(40.0)[:, None]
    assert noise_size(x, np.full(40, 7.0)) == 0
    rare = np.where(np.arange(40) % 5 == 0, 3.0, 0.0)  # half of the differences, and the median itself, are 0
    assert 0.5 < noise_size(x, rare) < 5
    line = noise_size(x, 2.0 * np.arange(40))
    assert 0 < line < spread_of(2.0 * np.arange(40))


# ---- levels of columns


def lines(x, y=None, loss=None, intercept=True, **more):
    y = sample(1)[1] if y is None else y
    return Problem(x, y, None, loss or Huber(0.5), [Ridge(1.0), L1(1.0)], intercept=intercept, **more)


@pytest.mark.parametrize("name", ["ridge", "l1"])
@pytest.mark.parametrize("level", [2.0**11, 2.0**20, 2.0**30])
def test_the_level_of_a_column_counts_for_nothing_where_an_intercept_is_free(name, level):
    x, _ = sample(2)
    centred = x - x.mean(axis=0)
    assert_allclose(default_range(lines(x + level), name), default_range(lines(centred), name), rtol=1e-9)
    without = default_range(lines(x + level, intercept=False), name)
    assert without[1] > 100 * default_range(lines(x + level), name)[1]


def test_a_kernel_design_keeps_its_ranges_with_an_intercept():
    x, y = sample(1)
    for kernel in (RBF(3.0), Polynomial(1.0)):
        for name in ("gamma", "ridge"):
            with_one, without = (
                default_range(Problem(x, y, kernel, regularizers=[Ridge(1.0)], intercept=i), name)
                for i in (True, False)
            )
            assert with_one == without


def test_the_range_of_the_ridge_reaches_from_the_least_column_to_all_of_them():
    """A column of populations beside one of ages: the ridge that matters to either lies in the range."""
    draw = np.random.default_rng(0)
    x = np.column_stack([draw.lognormal(14, 0.5, 60), draw.uniform(20, 60, 60)])
    y = 1e-6 * x[:, 0] + 0.3 * x[:, 1] + draw.standard_normal(60)
    low, high = default_range(lines(x, y), "ridge")
    for column in x.T:
        alone = default_range(lines(column, y), "ridge")
        assert low <= 3 * alone[0] and alone[1] <= 3 * high
    constant = lines(np.column_stack([x, np.full(60, 5.0)]), y)
    assert_allclose(default_range(constant, "ridge"), (low, high), rtol=1e-9)


# ---- weights and units


def curves(loss, y, x=None, weights=None):
    x = sample(1)[0] if x is None else x
    return Problem(x, y, RBF(2.0), loss, [Ridge(1.0), TotalVariation(1.0), Trend(1.0)], weights=weights)


def test_a_few_heavy_rows_do_not_move_the_range():
    x, y = sample(1)
    weights = np.full(60, 4.0)
    plain = default_range(curves(Squared(), y, x, weights), "ridge")
    weights[::10] = 1e6
    assert default_range(curves(Squared(), y, x, weights), "ridge") == plain
    assert_allclose(
        default_range(curves(Squared(), y, x, 2.0**20 * weights), "ridge"), 2.0**20 * np.array(plain), rtol=1e-12
    )


LOSSES = {  # of s: the loss in units of y that are s times smaller, and the power of s that the ridge's range goes with
    "squared": (lambda s: Squared(), 0),
    "huber": (lambda s: Huber(0.3 * s), 0),
    "absolute": (lambda s: Absolute(), -1),
    "quantile": (lambda s: Quantile(0.2), -1),
    "epsilon": (lambda s: EpsilonInsensitive(0.1 * s), -1),
}


@pytest.mark.parametrize("s", [2.0**40, 2.0**-40])
@pytest.mark.parametrize("name", LOSSES)
def test_ranges_follow_the_unit_of_y(name, s):
    loss, power = LOSSES[name]
    _, y = sample(1)
    one, other = curves(loss(1.0), y), curves(loss(s), s * y)
    for term, factor in (("ridge", s**power), ("tv", s ** (power + 1)), ("trend", s ** (power + 1)), ("gamma", 1.0)):
        assert_allclose(default_range(other, term), factor * np.array(default_range(one, term)), rtol=1e-9)
    x, y = sample(3)
    ridge, l1 = ([default_range(lines(x, u * y, loss(u)), term) for u in (1.0, s)] for term in ("ridge", "l1"))
    assert_allclose(ridge[1], s**power * np.array(ridge[0]), rtol=1e-9)
    assert_allclose(l1[1], s ** (power + 1) * np.array(l1[0]), rtol=1e-9)


@pytest.mark.parametrize("s", [2.0**30, 2.0**-30])
def test_ranges_follow_the_unit_of_x(s):
    x, y = sample(1)
    one, other = curves(Huber(0.3), y), curves(Huber(0.3), y, s * x)
    for term, factor in (("gamma", s**-2), ("ridge", 1.0), ("tv", 1.0), ("trend", s)):
        assert_allclose(default_range(other, term), factor * np.array(default_range(one, term)), rtol=1e-9)
    x, y = sample(3)
    for term, factor in (("ridge", s**2), ("l1", s)):
        assert_allclose(
            default_range(lines(s * x, y), term), factor * np.array(default_range(lines(x, y), term)), rtol=1e-9
        )


@pytest.mark.parametrize("loss", [Squared(), Huber(0.3), Absolute()], ids=lambda loss: loss.name)
@pytest.mark.parametrize("columns", [1, 3])
def test_ranges_are_the_same_at_any_level_and_for_any_outlier(loss, columns):
    x, y = sample(columns)
    names = ["ridge", "tv", "trend"] if columns == 1 else ["ridge", "l1"]
    made = (lambda y: curves(loss, y)) if columns == 1 else (lambda y: lines(x, y, loss))
    far, further, coded = y.copy(), y.copy(), y.copy()
    far[7], further[7], coded[[7, 20, 33]] = 1e3, 1e12, np.resize(CODES, 3)
    for name in names:
        assert_allclose(default_range(made(y + 2.0**30), name), default_range(made(y), name), rtol=1e-9)
        assert default_range(made(further), name) == default_range(made(far), name)
        assert_allclose(default_range(made(coded), name), default_range(made(y), name), rtol=0.5)


def test_an_offset_is_no_noise():
    x, y = sample(1)
    o = 1e6 * np.random.default_rng(5).standard_normal(60)
    plain, moved = (
        Problem(x, t, RBF(2.0), Huber(0.3), [Ridge(1.0)], offset=offset) for t, offset in ((y, None), (y + o, o))
    )
    assert_allclose(default_range(moved, "ridge"), default_range(plain, "ridge"), rtol=1e-6)


def test_how_far_a_search_may_go_on():
    problem = curves(Squared(), sample(1)[1])
    assert reach_of(problem, "ridge", 1.0, 10.0) == (1e-3, 1e4) and reach_of(problem, "gamma", 1.0, 10.0) == (1e-3, 1e4)
    many = Problem(np.linspace(0, 1, 600), np.zeros(600), RBF(2.0))
    low, high = reach_of(many, "gamma", 1.0, 10.0)
    assert low == 1e-3 and 10 < high < 100  # larger bases than 500 are not asked for
    assert is_gamma(problem, "gamma") and is_gamma(problem, "rbf.gamma") and not is_gamma(problem, "matern32.gamma")


# ---- delta=auto


@pytest.mark.parametrize("columns", [1, 3])
def test_an_automatic_delta_is_the_noise_of_all_rows_in_use(columns):
    x, y = sample(columns)
    loss = Problem(x, y, loss=Huber("auto"), regularizers=[Ridge(1.0)]).loss
    assert loss == Huber(1.345 * noise_size(x, y))
    weights = np.ones(60)
    weights[::3] = 0
    kept = weights > 0
    assert Problem(x, np.where(kept, y, 9e9), loss=Huber("auto"), weights=weights).loss == Huber(
        1.345 * noise_size(x[kept], y[kept])
    )
    for s in (2.0**-40, 2.0**40):
        assert_allclose(Problem(x, s * y, loss=Huber("auto")).loss.delta, s * loss.delta, rtol=1e-12)


def test_an_automatic_delta_is_fixed_once():
    x, y = sample(1)
    problem = Problem(x, y, RBF(5.0), Huber("auto"), [Ridge(0.1)])
    by_hand = Problem(x, y, RBF(5.0), Huber(problem.loss.delta), [Ridge(0.1)])
    assert problem.with_hyperparameters({"ridge": 3.0, "gamma": 2.0}).loss == problem.loss
    found, expected = (score_settings([one], leave_one_out(60))[0] for one in (problem, by_hand))
    assert np.array_equal(found.predictions, expected.predictions)


def test_a_model_file_holds_the_delta_that_was_found(tmp_path):
    x, y = sample(1)
    result = fit(Problem(x, y, RBF(5.0), Huber("auto"), [Ridge(0.1)]))
    result.save(tmp_path / "m.json")
    loaded = type(result).load(tmp_path / "m.json")
    assert loaded.problem.loss == result.problem.loss == Huber(1.345 * noise_size(x, y))
    assert np.array_equal(loaded.predict(x), result.predict(x))


def test_without_a_problem_an_automatic_delta_has_no_value():
    loss = Huber("auto")
    assert (
        hash(loss) == hash(Huber("auto"))
        and loss.settle(lambda: 2.0) == Huber(2.69)
        and Huber(3.0).settle(lambda: 2.0) == Huber(3.0)
    )
    for use in (
        lambda: loss.value(np.ones(3)),
        lambda: loss.prox(np.ones(3), 1.0),
        lambda: loss.conjugate(np.ones(3)),
        lambda: loss.tables,
    ):
        with pytest.raises(InputError, match=r'^huber: delta is "auto", which becomes a number in a Problem'):
            use()
    with pytest.raises(InputError, match="delta is 'car'; it must be a number above 0"):
        Huber("car")
