"""Violations of shapes between the data rows, against a dense grid and closed forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hw4opt import (
    RBF,
    Bounds,
    Concave,
    Convex,
    Decreasing,
    Huber,
    Increasing,
    Laplacian,
    Matern32,
    Nonnegative,
    Polynomial,
    Precomputed,
    Problem,
    Ridge,
    fit,
)
from hw4opt.between import MAX_POINTS, _lower_hull, _points, breaks

DOSE = np.repeat([0.0, 1, 3, 10, 30, 100], 4)
RESPONSE = 80 * DOSE / (DOSE + 10) + np.tile([-3.0, 1, 2, 4], 6)


def fitted(constraint, x=DOSE, y=RESPONSE, kernel=None, **more):
    return fit(Problem(x, y, kernel or RBF(1.4e-3), Huber(5.0), [Ridge(2e-4)], [constraint], **more)).raise_for_status()


def dense(result):
    x = np.unique(
        np.concatenate([np.linspace(result.problem.x.min(), result.problem.x.max(), 200_001), result.problem.x[:, 0]])
    )
    return x, result.predict(x)


@pytest.mark.parametrize("kernel", [RBF(1.4e-3), Matern32(1e-2), Laplacian(0.05)], ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("side", [1, -1])
def test_the_largest_fall_of_a_curve_that_should_rise(kernel, side):
    result = fitted(Increasing() if side > 0 else Decreasing(), y=side * RESPONSE, kernel=kernel)
    (found,) = breaks(result)
    _, f = dense(result)
    falls = np.maximum.accumulate(side * f) - side * f
    assert_allclose(found.size, falls.max(), rtol=0.02)
    assert found.size <= falls.max() * (1 + 1e-9) and found.size > 5
    start, end = result.predict([found.start, found.end])
    assert found.start < found.end and side * (start - end) == pytest.approx(found.size)
    verb = "falls" if side > 0 else "rises"
    assert (
        f"between them the curve {verb} by up to {found.size:.4g} between dose = {found.start:.4g}"
        in found.sentence("dose")
    )


def test_a_curve_that_rises_everywhere_has_no_fall():
    x = np.linspace(0, 1, 60)
    assert breaks(fitted(Increasing(), x, 3 * x + np.sin(x), RBF(1.0))) == []
    assert breaks(fitted(Increasing(), x, 3 * x, Polynomial(1.0, 2))) == []


def test_a_fall_below_a_millionth_of_the_spread_is_none():
    x = np.linspace(0, 1, 400)
    result = fitted(Increasing(), x, np.tanh(8 * (x - 0.5)), RBF(20.0))
    x, f = dense(result)
    fall = (np.maximum.accumulate(f) - f).max()
    assert [one.size > 1e-6 for one in breaks(result)] == ([True] if fall > 2e-6 else [])


@pytest.mark.parametrize("side", [1, -1])
def test_the_distance_from_the_hull_of_a_curve_that_should_be_convex(side):
    x = np.array([0.0, 1, 2, 4, 7, 11])
    result = fitted(Convex() if side > 0 else Concave(), x, side * np.square(x - 4), RBF(0.6))
    (found,) = breaks(result)
    points, f = dense(result)
    corner = (
        np.interp(found.end, points, side * f) - found.size
    )  # a convex function below the curve that is this high there
    lines = (side * f - corner) / np.where(points == found.end, np.nan, points - found.end)
    left, right = np.nanmax(lines[points < found.end]), np.nanmin(lines[points > found.end])
    assert left <= right + 0.02 * (abs(right) + 1) and found.size > 1  # some line through that place is above no point
    assert ("lies above its lower hull" if side > 0 else "lies below its upper hull") in found.sentence()


@pytest.mark.parametrize(
    ("constraint", "excess"),
    [
        (Nonnegative(), lambda f: -f.min()),
        (Bounds(lower=2.0), lambda f: 2 - f.min()),
        (Bounds(upper=5.0), lambda f: f.max() - 5),
        (Bounds(lower=1.0, upper=6.0), lambda f: max(1 - f.min(), f.max() - 6)),
    ],
    ids=["nonnegative", "above", "below", "between"],
)
def test_the_largest_excess_over_bounds(constraint, excess):
    x = np.arange(12.0)
    result = fitted(constraint, x, 4 + 4 * np.sin(2.2 * x), RBF(0.8))
    (found,) = breaks(result)
    assert_allclose(found.size, excess(dense(result)[1]), rtol=0.05)
    assert (
        found.start == found.end
        and "leaves its bounds by up to" in found.sentence()
        and f"at x = {found.end:.4g}" in found.sentence()
    )


def test_what_is_not_looked_at():
    assert breaks(fit(Problem(DOSE, RESPONSE, None, regularizers=[Ridge(1.0)], constraints=[Bounds(upper=20)]))) == []
    assert breaks(fit(Problem(DOSE, RESPONSE, RBF(1e-3), regularizers=[Ridge(1.0)]))) == []
    gram = RBF(1e-3).gram(DOSE[:, None], DOSE[:, None])
    assert (
        breaks(fit(Problem(gram, RESPONSE, Precomputed(), regularizers=[Ridge(1.0)], constraints=[Bounds(upper=20)])))
        == []
    )


def test_units_of_x_and_of_y_and_rows_of_weight_0():
    weights = np.where(np.arange(24) % 4 == 0, 0.0, 1.0)
    ones = [
        breaks(fitted(Increasing(), s * DOSE, t * RESPONSE, RBF(1.4e-3 / s**2), weights=weights))
        for s, t in ((1, 1), (2.0**20, 1))
    ]
    assert_allclose(ones[1][0].size, ones[0][0].size, rtol=1e-6)
    assert_allclose(ones[1][0].start, 2.0**20 * ones[0][0].start, rtol=1e-6)
    scaled = fit(Problem(DOSE, RESPONSE, RBF(1.5), Huber(5.0), [Ridge(2e-4)], [Increasing()], standardize=True))
    _, f = dense(scaled)
    assert_allclose(breaks(scaled)[0].size, (np.maximum.accumulate(f) - f).max(), rtol=0.02)


# ---- where it is looked


def test_points_are_as_fine_as_the_gaps_and_as_the_kernel():
    x = np.array([0.0, 1.0, 100.0])
    points = _points(x, 0.5)
    assert set(x) <= set(points) and np.all(np.diff(points) > 0)
    gaps = np.diff(points)
    near = np.minimum(np.abs(points[:-1] - 1), np.abs(points[:-1] - 100)) < 2.5
    assert gaps[near & (points[:-1] > 1)].max() <= 0.5 / 8 + 1e-12 and gaps.max() <= 99 / 20 + 1e-12
    assert len(_points(x, np.inf)) == 41


def test_of_many_gaps_the_widest_are_looked_at():
    x = np.cumsum(np.where(np.arange(20_000) == 7_000, 5.0, 1e-3))
    points = _points(x, 1.0)
    assert len(points) <= MAX_POINTS + 2 and ((points > x[6_999]) & (points < x[7_000])).sum() >= 19


def test_the_lower_hull_is_the_largest_convex_function_below():
    draw = np.random.default_rng(0)
    x, f = np.sort(draw.uniform(0, 1, 200)), draw.standard_normal(200)
    u, v = (np.array(values) for values in _lower_hull(x, f))
    assert np.all(np.diff(np.diff(v) / np.diff(u)) > 0) and np.all(np.interp(x, u, v) <= f + 1e-12)
    assert set(u) <= set(x) and u[0] == x[0] and u[-1] == x[-1]
    assert _lower_hull(np.arange(4.0), np.arange(4.0)) == ([0.0, 3.0], [0.0, 3.0])


def test_several_columns_are_looked_at_between_neighbouring_rows():
    """A reported violation exists: slope and value at the point, from the curve itself."""
    draw = np.random.default_rng(0)
    x = draw.uniform(size=(40, 2)) * [1, 1000]
    y = x[:, 0] - (x[:, 1] / 1000) ** 2 + 0.2 * draw.standard_normal(40)
    shapes = [Increasing(0), Decreasing(1), Bounds(-0.5, 0.6)]
    result = fit(
        Problem(x, y, RBF(20.0), regularizers=[Ridge(0.01)], constraints=shapes, standardize=True)
    ).raise_for_status()
    found = {one.term.label: one for one in breaks(result)}
    assert set(found) <= {"increasing:column=0", "decreasing:column=1", "bounds"} and len(found) >= 2
    for label, one in found.items():
        point = np.array(one.point)
        assert ((x.min(axis=0) <= point) & (point <= x.max(axis=0))).all()
        if label == "bounds":
            f = result.predict(point[None])[0]
            assert one.size == pytest.approx(max(f - 0.6, -0.5 - f))
        else:
            step = np.zeros(2)
            step[one.term.acts.column] = 1e-4 * np.ptp(x[:, one.term.acts.column])
            low, high = result.predict(np.array([point - step, point + step]))
            slope = (high - low) / (2 * step.sum())
            assert one.size == pytest.approx(-slope if label.startswith("increasing") else slope, rel=1e-4)
        sentence = one.sentence("dose", "age")
        assert "holds at the data rows only: between them the curve" in sentence and f"age = {point[1]:.4g}" in sentence
    assert "increasing:column=dose" in found["increasing:column=0"].sentence("dose", "age")


def test_a_plane_fails_nowhere_between_its_rows():
    x = np.random.default_rng(0).uniform(size=(30, 2))
    result = fit(
        Problem(
            x,
            x[:, 0] - x[:, 1],
            Polynomial(1.0, 1, 0.0),
            regularizers=[Ridge(1e-3)],
            constraints=[Increasing(0), Bounds(-2, 2)],
        )
    )
    assert breaks(result.raise_for_status()) == []
