"""The functions of a form's rows, which solvers call, against the terms' own functions and brute force."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hw4opt import RBF, Bounds, EpsilonInsensitive, Huber, Logistic, Poisson, Problem, Ridge, Squared, TotalVariation
from hw4opt.form import BoxRows, SmoothRows
from hw4opt.form.canonicalize import canonicalize
from hw4opt.terms import PiecewiseQuadratic, Smooth, find, names

RANDOM = np.random.default_rng(5)
X = np.sort(RANDOM.uniform(size=14))
Y = np.sin(6 * X) + 0.3 * RANDOM.normal(size=14)
WEIGHTS = RANDOM.uniform(0.5, 2.0, size=14)
OFFSET = 0.2 * RANDOM.normal(size=14)
GIVEN = {"poisson": {}, "bounds": {"lower": -0.5, "upper": 0.7}}
PRICE = np.ones((1, 1))


def targets(loss):
    if isinstance(loss, Logistic):
        return np.where(Y > 0, 1.0, -1.0)
    return np.round(2 + 2 * (Y - Y.min())) if isinstance(loss, Poisson) else Y


def losses():
    return [find("loss", name) for name in names("loss")]


def others():
    """Terms that act on fitted values or differences of them, which a kernel design has."""
    for kind in ("regularizer", "constraint"):
        for name in names(kind):
            if name not in ("ridge", "l1", "coef_bounds", "coef_nonnegative"):
                yield kind, find(kind, name, **GIVEN.get(name, {}))


def form_of(loss, kind=None, term=None, **more):
    given = {} if kind is None else {f"{kind}s": [Ridge(0.1), term] if kind == "regularizer" else [term]}
    given.setdefault("regularizers", [Ridge(0.1)])
    return canonicalize(Problem(X, targets(loss), RBF(20.0), loss, **given, **more))


def points(form, place):
    """z inside and outside of breakpoints, (1, m), and the rows' own breakpoints among them."""
    count = form.terms[place].count
    z = RANDOM.normal(scale=1.5, size=(1, count))
    for rows in form.terms[place].boxes:
        z[:, : count // 3] = np.broadcast_to(rows.shift, z.shape)[:, : count // 3]
    return z


@pytest.mark.parametrize("loss", losses(), ids=lambda loss: loss.name)
def test_a_loss_has_the_value_of_its_term(loss):
    """The table's rows against `pointwise`, written apart: weights, offset and targets in."""
    form = form_of(loss, weights=WEIGHTS, offset=OFFSET)
    z = points(form, 0)
    found = sum(rows.value(z) for rows in form.loss.functions)
    y = loss.check_targets(targets(loss)) if isinstance(loss, Smooth) else targets(loss)
    own = loss.pointwise(z[0] + OFFSET, y) if isinstance(loss, Smooth) else loss.pointwise(z[0] + OFFSET - y)
    assert_allclose(found[0], WEIGHTS * own, rtol=1e-12, atol=1e-13)
    assert_allclose(form.loss.excess(z), found - (WEIGHTS * least(loss, y)), rtol=1e-9, atol=1e-11)


def least(loss, y):
    """The smallest value of each row: 0 of residual losses."""
    return -loss.conjugate_pointwise(np.zeros_like(y), y) if isinstance(loss, Smooth) else np.zeros_like(y)


@pytest.mark.parametrize(("kind", "term"), list(others()), ids=lambda one: getattr(one, "name", one))
def test_another_term_has_the_value_of_its_own(kind, term):
    form = form_of(Squared(), kind, term)
    z = points(form, 1)
    found = sum(rows.value(z) for rows in form.terms[1].functions)
    assert isinstance(term, PiecewiseQuadratic)
    assert_allclose(found[0], term.pointwise(z[0]), rtol=1e-12, atol=1e-13)


def every_rows():
    """(name, rows of one function, how many there are)."""
    for loss in losses():
        form = form_of(loss, weights=WEIGHTS, offset=OFFSET)
        yield from ((f"{loss.name} {i}", rows, form.loss.count) for i, rows in enumerate(form.loss.functions))
    for kind, term in others():
        rows = form_of(Squared(), kind, term).terms[1]
        yield from ((f"{term.name} {i}", one, rows.count) for i, one in enumerate(rows.functions))


EVERY = list(every_rows())
every_rows_once = pytest.mark.parametrize(("rows", "count"), [one[1:] for one in EVERY], ids=[one[0] for one in EVERY])


@every_rows_once
def test_no_slope_lies_below_the_function(rows, count):
    """u = gradient(z): f(z') ≥ f(z) + u (z' - z) at every other point."""
    z, other = RANDOM.normal(size=(2, 1, count)) * 2
    u = rows.gradient(z)
    inside = np.isfinite(u)
    below = rows.value(z) + np.where(inside, u, 0.0) * (other - z)
    assert (rows.value(other) >= np.where(inside, below, -np.inf) - 1e-12).all()


@every_rows_once
def test_curvature_is_the_derivative_of_the_slope(rows, count):
    z = RANDOM.normal(scale=2, size=(1, count))
    step = 1e-6
    slopes = np.array([rows.gradient(z - step), rows.gradient(z), rows.gradient(z + step)])
    smooth = np.isfinite(slopes).all(axis=0)
    left, here, right = np.where(smooth, slopes, 0.0)
    straight = smooth & (np.abs(left + right - 2 * here) < 1e-7)  # no breakpoint within the step
    found = np.broadcast_to(rows.curvature(z), z.shape)
    differences = right - left
    assert_allclose(np.where(straight, found, 0.0), np.where(straight, differences / (2 * step), 0.0), atol=1e-5)
    assert (found <= rows.largest_curvature * (1 + 1e-9)).all()


@every_rows_once
@pytest.mark.parametrize("step", [0.03, 1.0, 20.0])
def test_prox_minimises_and_its_dual_is_the_slope_there(rows, count, step):
    v, center = RANDOM.normal(scale=2, size=(2, 1, count))
    wide = np.full((1, 1), step)
    best = rows.prox(v, wide)

    def objective(z):
        near = np.min(
            [rows.value(z), rows.value(z - 1e-12), rows.value(z + 1e-12)], axis=0
        )  # rounding outside a constraint
        return near + np.square(z - v) / (2 * step)

    for move in (1e-3, -1e-3, 0.1, -0.1, 2.0, -2.0):
        assert (objective(best) <= objective(best + move) + 1e-9).all()
    u = rows.prox_dual(v, center, wide)
    at = v + step * (center - u)
    assert_allclose(at, rows.prox(v + step * center, wide), rtol=1e-9, atol=1e-9)
    assert_allclose(rows.clip_dual(u), u, rtol=1e-9, atol=1e-12)
    slope = (rows.prox_dual(v + 1e-6, center, wide) - rows.prox_dual(v - 1e-6, center, wide)) / 2e-6
    found = np.broadcast_to(rows.prox_dual_slope(v, center, wide, u), v.shape)
    bent = np.abs(rows.prox_dual(v + 1e-6, center, wide) + rows.prox_dual(v - 1e-6, center, wide) - 2 * u) > 1e-8
    assert_allclose(np.where(bent, 0.0, found), np.where(bent, 0.0, slope), rtol=1e-4, atol=1e-4)


@every_rows_once
def test_slack_is_what_fenchel_young_leaves(rows, count):
    """f(z) + f*(u) - z u with f* by brute force; 0 at the slope; the price where a constraint is violated."""
    z = RANDOM.normal(scale=1.5, size=(1, count))
    u = rows.clip_dual(RANDOM.normal(scale=1.0, size=(1, count)))
    grid = np.linspace(-60, 60, 240_001)[:, None]
    middle = np.broadcast_to(rows.shift, z.shape)
    values = np.array(
        [_values(rows, grid[low : low + 40_000] + middle) for low in range(0, len(grid), 40_000)], dtype=object
    )
    conjugate = np.max([(part[0] * u - part[1]).max(axis=0) for part in values], axis=0)
    outside = ~np.isfinite(rows.value(z))
    expected = np.where(outside, 0.0, np.where(outside, 0.0, rows.value(z)) + conjugate - z * u)
    found = np.where(outside, 0.0, rows.slack(z, u, PRICE))
    assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
    slope = rows.gradient(z)
    fine = np.isfinite(slope)
    at_slope = rows.slack(z, np.where(fine, slope, 0.0), PRICE)
    assert_allclose(np.where(fine, at_slope, 0.0), 0.0, atol=1e-12)
    if outside.any():
        dear = rows.slack(z, u, 1e6 * PRICE)
        assert (dear[outside] > 1e5 * np.abs(z - middle)[outside]).all()


def _values(rows, z):
    return z, rows.value(z)


@every_rows_once
def test_units_and_parts_are_those_of_the_function(rows, count):
    """in_units: f(size z)/worth; cut: some rows of some problems."""
    size = np.full((1, 1), 1.0 if isinstance(rows, SmoothRows) else 3.0)
    worth = np.full((1, 1), 5.0)
    z = RANDOM.normal(size=(1, count))
    scaled = rows.in_units(size, worth)
    value = rows.value(size * z)
    inside = np.isfinite(value)
    assert_allclose(
        np.where(inside, scaled.value(z), 0.0), np.where(inside, value / worth, 0.0), rtol=1e-12, atol=1e-14
    )
    some = np.array([0, 2, count - 1])
    assert_allclose(rows.cut(some).value(z[:, some]), rows.value(z)[:, some])
    assert_allclose(rows.cut(slice(1, 4), np.array([0])).gradient(z[:, 1:4]), rows.gradient(z)[:, 1:4])


def test_a_row_without_weight_takes_no_part():
    box = BoxRows(*(np.full((1, 1), one) for one in (0.5, 0.3, -1.0, np.inf))).without(np.array([[False, True]]))
    z, u = np.array([[2.0, 2.0]]), np.array([[0.7, 0.7]])
    assert box.open.tolist() == [[True, False]] and not box.all_open
    for found in (
        box.value(z),
        box.gradient(z),
        box.clip_dual(u),
        box.slack(z, box.clip_dual(u), PRICE),
        box.curvature(z),
    ):
        assert found[0, 0] != 0 and found[0, 1] == 0
    assert box.prox(z, np.ones((1, 1)))[0, 1] == 2.0


def test_rows_behind_each_other_are_the_rows_of_the_parts():
    one = BoxRows(*(np.full((2, 1), value) for value in (0.5, 0.1, -1.0, 1.0)))
    other = BoxRows(np.zeros((2, 3)), RANDOM.normal(size=(2, 3)), np.full((2, 1), -np.inf), np.full((2, 1), 0.0))
    both, z = BoxRows.join([one, other], [2, 3]), RANDOM.normal(size=(2, 5))
    assert_allclose(both.gradient(z)[:, :2], one.gradient(z[:, :2]))
    assert_allclose(both.gradient(z)[:, 2:], other.gradient(z[:, 2:]))
    assert both.low_bounded and both.high_bounded and not other.low_bounded


def test_a_term_of_two_functions_lists_its_rows_twice():
    form = form_of(EpsilonInsensitive(0.1), "constraint", Bounds(-1.0, 1.0))
    assert [len(term.functions) for term in form.terms] == [2, 2] and form.size == 4 * 14
    u = RANDOM.uniform(-0.9, 0.9, size=(1, 14))
    split = form.split_duals([u, np.abs(u)])
    assert_allclose(form.of_terms(split)[0], u)
    assert (np.abs(split[:, :14] * split[:, 14:28]) == 0).all()  # each function takes its own sign


@pytest.mark.parametrize("terms", [[], [TotalVariation(0.0)]], ids=["none", "weight 0"])
def test_a_weight_of_0_leaves_no_rows(terms):
    form = canonicalize(Problem(X, Y, RBF(20.0), Huber(0.3), [Ridge(0.1), *terms]))
    assert [term.names for term in form.terms] == [("huber",)]
