"""A zoom of many hyper-parameters: one axis after the other, then all together."""

import math

import numpy as np
import pytest

from hw4opt import RBF, Additive, Component, Huber, Problem, Ridge, TotalVariation
from hw4opt.selection import select
from hw4opt.selection.axes import Axis, Tried
from hw4opt.selection.search import MOST_GRID_AXES, START_POINTS, most_settings, rounds


def searched(axes, score):
    """Every setting that a zoom tries of a function of the logarithms, in order."""
    tried = []
    for settings in rounds("zoom", axes, 10, 0, lambda: tried):
        logs = [{name: math.log(value) for name, value in one.items()} for one in settings]
        tried.extend(Tried(one, score(at), 1e-3) for one, at in zip(settings, logs, strict=True))
    return tried


@pytest.mark.parametrize("count", [4, 6, 8])
def test_settings_grow_with_the_number_of_axes(count):
    names = [f"gamma.{place}" for place in range(count - 1)] + ["ridge"]
    axes = [Axis(name, 1e-3, 1e3) for name in names]
    center = dict(zip(names, np.random.default_rng(count).uniform(-4, 4, count), strict=True))

    def score(at):  # neighbours pull on each other
        apart = np.array([at[name] - center[name] for name in names])
        return 1 + 0.01 * (apart @ apart + 0.8 * apart[1:] @ apart[:-1])

    tried = searched(axes, score)
    assert len(tried) <= most_settings("zoom", axes) < 40 * count + 16
    assert min(one.score for one in tried) < 1 + 1e-6
    assert all(1e-3 <= value <= 1e3 for one in tried for value in one.setting.values())
    assert searched(axes, score) == tried


@pytest.mark.slow
def test_many_gammas_beat_a_random_search():
    draw = np.random.default_rng(0)
    x = draw.uniform(0, 1, (60, 4))
    y = np.sin(6 * x[:, 0]) + x[:, 1] ** 2 + 0.5 * x[:, 2] + 0.1 * draw.standard_normal(60)
    problem = Problem(x, y, RBF((1.0,) * 4), Huber(0.3), [Ridge(0.1)])
    free = [*(f"gamma.{place}" for place in range(4)), "ridge"]
    zoomed, drawn = (select(problem, free, "kfold:5", search) for search in ("zoom", "random:200"))
    assert zoomed.score <= 1.01 * drawn.score and len(zoomed.table) < 200
    said = []
    again = select(problem, free, "kfold:5", budget=lambda settings, seconds: said.append((settings, seconds)))
    assert again.table == zoomed.table
    ((most, seconds),) = said
    assert len(again.table) <= most and 0 < seconds < 60


@pytest.mark.parametrize("count", [5, 9])
def test_a_budget_is_kept_where_a_score_goes_on_falling(count):
    """Narrow curved valleys along which every setting improves on the previous ones."""
    axes = [Axis(f"gamma.{place}", 1e-3, 1e3, reach=(1e-6, 1e6)) for place in range(count)]

    def score(at):
        z = np.array(list(at.values()))
        return float(np.sum(10 * np.square(z[1:] - np.square(z[:-1]) / 4)) - z[-1])

    assert 60 < len(searched(axes, score)) <= most_settings("zoom", axes)


def test_settings_are_refined_along_all_axes_together():
    """A narrow valley oblique to the axes, where coordinate search is slow."""
    axes = [Axis(f"gamma.{place}", 1e-3, 1e3) for place in range(MOST_GRID_AXES + 1)]

    def score(at):
        apart = np.array(list(at.values())) - [-1.0, 2.0, 0.5, 1.5]
        return 1 + 0.01 * apart @ apart + 0.3 * apart.sum() ** 2

    assert min(one.score for one in searched(axes, score)) < 1 + 1e-5


def test_hyperparameters_of_one_kind_start_together_in_a_sum():
    x = np.random.default_rng(0).uniform(0, 1, (30, 3))
    both = Component("both", [1, 2], RBF((1.0, 2.0)), 0.1)
    sums = Additive([Component("a", [0], RBF(5.0), 0.1, [TotalVariation(0.1)]), both])
    axes = [Axis(name, 1e-3, 1e3) for name in Problem(x, x[:, 0], sums).hyperparameters]
    assert {axis.name for axis in axes} == {"a.gamma", "a.ridge", "a.tv", "both.gamma.0", "both.gamma.1", "both.ridge"}
    first = next(rounds("zoom", axes, 10, 0, lambda: []))
    assert len(first) == START_POINTS[3] ** 3
    for one in first:
        assert one["a.gamma"] == one["both.gamma.0"] == one["both.gamma.1"] and one["a.ridge"] == one["both.ridge"]
