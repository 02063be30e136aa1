"""The settings tried: beyond default ranges, by zoom, at several minima, and by refinement, for scores given by a
formula."""

import math

import numpy as np
import pytest

from hw4opt.selection.axes import Axis, Tried, lowest
from hw4opt.selection.notes import beyond, edge
from hw4opt.selection.search import rounds

SEARCHES = ["zoom", "grid", "random:40"]


def drive(search, axes, score, *, dense=False, error=1e-3, folds=1):
    """All settings that a search tries for a score `score` (log10 of the axes)."""
    tried = []
    for settings in rounds(search, axes, folds, 0, lambda: tried, dense):
        for setting in settings:
            found = score(*(math.log10(setting[axis.name]) for axis in axes))
            found, proven = found if isinstance(found, tuple) else (found, True)
            tried.append(Tried(setting, found, error, proven))
    return tried


def default(name="ridge", low=1.0, high=1e4):
    return Axis(name, low, high, reach=(low / 1e3, high * 1e3))


def bowl(*center):
    return lambda *place: 1 + sum((a - b) ** 2 for a, b in zip(place, center, strict=True))


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("center", [-2.2, 6.1])
def test_a_search_walks_on_to_a_best_beyond_its_default_range(search, center):
    tried = drive(search, [default()], bowl(center))
    near = {"zoom": 1e-3, "grid": 0.25, "random:40": 0.25}[search]
    assert abs(math.log10(lowest(tried).setting["ridge"]) - center) < near
    assert len(tried) < {"zoom": 35, "grid": 20, "random:40": 50}[search]


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("center", [-5.0, 9.0])
def test_a_walk_ends_three_decades_on(search, center):
    tried = drive(search, [default()], bowl(center))
    values = np.log10([one.setting["ridge"] for one in tried])
    end = math.log10(lowest(tried).setting["ridge"])
    assert end == pytest.approx(-3 if center < 0 else 7) and -3.000001 <= values.min() <= values.max() <= 7.000001
    side, way = ("lower", "downwards") if center < 0 else ("upper", "upwards")
    said = edge(default(), lowest(tried).setting)
    assert f"{side} edge of its range 0.001 to 1e+07; widen it {way} with" in said and beyond(default(), tried) is None


@pytest.mark.parametrize("search", SEARCHES)
def test_a_named_range_is_never_left(search):
    for center in (-5.0, 9.0):
        tried = drive(search, [Axis("ridge", 1.0, 1e4, 7)], bowl(center))
        values = np.array([one.setting["ridge"] for one in tried])
        assert 0.999999 <= values.min() <= values.max() <= 1.000001e4


@pytest.mark.parametrize("search", SEARCHES)
def test_a_best_inside_the_range_is_not_walked_from(search):
    tried = drive(search, [default()], bowl(2.0))
    values = np.array([one.setting["ridge"] for one in tried])
    assert 0.999999 <= values.min() <= values.max() <= 1.000001e4 and beyond(default(), tried) is None
    assert search == "zoom" or len(tried) == int(search.partition(":")[2] or 10)


def test_a_walk_says_how_far_it_went():
    low, high = (drive("grid", [default()], bowl(center)) for center in (-2.2, 6.1))
    assert beyond(default(), low).startswith("ridge was searched beyond its default range 1 to 1e+04, down to 0.00")
    assert beyond(default(), high).startswith("ridge was searched beyond its default range 1 to 1e+04, up to 4.642e+06")


@pytest.mark.parametrize("search", ["zoom", "grid"])
def test_a_walk_out_of_a_corner_and_along_a_valley(search):
    """Two axes: both are left, and the best moves along the one while the other is left."""
    axes = [default("gamma"), default("ridge")]
    corner = lowest(drive(search, axes, bowl(-2.0, -1.5))).setting
    assert abs(math.log10(corner["gamma"]) + 2) < 0.5 and abs(math.log10(corner["ridge"]) + 1.5) < 0.5
    valley = lowest(
        drive(search, axes, lambda gamma, ridge: 1 + (gamma + 2) ** 2 + 4 * (ridge - 2 - 0.5 * gamma) ** 2)
    ).setting
    assert abs(math.log10(valley["gamma"]) + 2) < 0.5


def test_a_named_axis_beside_a_default_one_stays():
    tried = drive("zoom", [default("gamma"), Axis("ridge", 1.0, 1e4, 5)], bowl(-2.0, -3.0))
    assert min(one.setting["ridge"] for one in tried) > 0.999999 and min(one.setting["gamma"] for one in tried) < 0.011


def test_a_flat_edge_is_not_walked_from():
    """A gain that is next to nothing beside the standard error ends the walk."""
    tried = drive("grid", [default()], lambda ridge: 1 + 1e-7 * ridge, error=1e-3)
    assert len(tried) == 11


def test_a_wide_range_has_a_point_a_decade():
    first = next(rounds("zoom", [Axis("ridge", 1e-3, 1e13)], 1, 0, list))
    assert len(first) == 17


# ---- zoom, minima, polish


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_a_zoom_ends_at_the_minimum_of_a_smooth_score(dimension):
    center = np.array([1.234, 2.345, 1.618])[:dimension]
    mixed = np.array([[1.0, 0.8, 0.2], [0.8, 1.0, 0.3], [0.2, 0.3, 1.0]])[:dimension, :dimension]

    def score(*place):
        apart = np.array(place) - center
        return 1 + apart @ mixed @ apart + 0.05 * (apart**3).sum() + 0.02 * (apart**4).sum()

    axes = [default(name) for name in ("gamma", "ridge", "tv")[:dimension]]
    tried = drive("zoom", axes, score, error=0.5)
    assert lowest(tried).score < 1 + 1e-6


def test_a_polish_of_a_score_with_kinks_does_no_harm():
    tried = drive("zoom", [default()], lambda ridge: 1 + abs(ridge - 1.7), error=0.5)
    assert lowest(tried).score < 1.1 and len(tried) < 40


def test_a_dense_search_finds_a_narrow_minimum_beside_a_wide_one():
    def score(gamma, ridge):
        return (
            2 + (gamma - 3) ** 2 + (ridge - 2) ** 2 - 4.5 * math.exp(-60 * (gamma - 1.1) ** 2 - 4 * (ridge - 1.2) ** 2)
        )

    axes = [default("gamma"), default("ridge")]
    wide, narrow = (lowest(drive("zoom", axes, score, dense=dense)) for dense in (False, True))
    assert wide.score > 1.9 and abs(math.log10(narrow.setting["gamma"]) - 1.1) < 0.1 and narrow.score < 1.85


# ---- what counts as best


def test_proven_settings_come_first_then_finite_ones():
    good, doubtful, endless = (
        Tried({"a": 1}, 3.0, 0.1),
        Tried({"a": 2}, 1.0, 0.1, proven=False),
        Tried({"a": 3}, math.inf, math.inf),
    )
    undefined = Tried({"a": 4}, math.nan, math.nan)
    assert lowest([endless, undefined, doubtful, good]) is good
    assert lowest([undefined, endless, doubtful]) is doubtful


def test_the_search_does_not_follow_scores_without_proof():
    """Scores decrease towards small ridges, and only there they are unproven."""
    tried = drive("zoom", [default()], lambda ridge: (1 + (ridge - 0.5) ** 2 if ridge > 0.4 else -5.0, ridge > 0.4))
    assert lowest(tried).proven and lowest(tried).score < 1.01
    assert min(one.setting["ridge"] for one in tried) > 0.999


def test_a_search_without_a_finite_score_ends():
    for search in SEARCHES:
        assert drive(search, [default()], lambda ridge: math.inf)
        assert drive(search, [default()], lambda ridge: math.nan)
