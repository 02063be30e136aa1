"""Labels of figures: wherever outliers and ticks are, no two lie over each other."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from hw4opt import RBF, Huber, Problem, Ridge, fit
from hw4opt.plotting import figure_of, plot_check, plot_fit
from hw4opt.plotting.labels import SpreadLabel

X = np.arange(50) / 50


@pytest.mark.parametrize("rows", [(24, 25, 26), (0, 1, 2), (47, 48, 49), (10, 11, 40)])
@pytest.mark.parametrize("size", [(8, 5), (3, 2)])
def test_labels_of_neighbours_do_not_overlap(rows, size):
    y = np.sin(6 * X) + 0.05 * np.random.default_rng(0).standard_normal(50)
    y[list(rows)] += (3, 3.05, 2.95)
    problem = Problem(X, y, kernel=RBF(gamma=80), loss=Huber(delta=0.1), regularizers=[Ridge(0.01)])
    axes = plot_fit(fit(problem))
    figure = figure_of(axes)
    figure.set_size_inches(size)
    for _ in range(2):  # drawn again, they stay apart
        figure.draw_without_rendering()
        labels = [one for one in axes.get_children() if isinstance(one, SpreadLabel)]
        boxes = [one.get_window_extent() for one in labels]
        assert len(boxes) == 3
        for k, box in enumerate(boxes):
            assert axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1
            assert not any(box.overlaps(other) for other in boxes[:k]), [one.get_text() for one in labels]


def test_they_would_overlap_without_moving():
    """Shows that the test above can fail."""
    axes = plot_fit(fit(Problem(X, np.sin(6 * X), kernel=RBF(gamma=80), regularizers=[Ridge(0.01)])))
    first = SpreadLabel(axes, "one", (0.5, 0.0), False, "red")
    second = SpreadLabel(axes, "two", (0.5, 0.01), False, "red")
    figure_of(axes).draw_without_rendering()
    assert first.get_window_extent().overlaps(second.get_window_extent())


@pytest.mark.parametrize("most", [0.0022, 0.0078, 0.024, 0.07, 1.5, 300.0])
def test_tick_labels_of_solvers_stand_apart(most):
    seconds = np.geomspace(0.0021, most, 4)
    rows = [SimpleNamespace(solver=f"{k}", status="certified", relative_gap=k, seconds=k) for k in seconds]
    figure = plot_check(rows)
    figure.draw_without_rendering()
    for axes in figure.axes:
        ticks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
        low, high = sorted(axes.get_xlim())
        labels = [tick.label1 for tick in ticks if tick.label1.get_text() and low <= tick.get_loc() <= high]
        boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
        assert boxes and all(one.x1 + 5 < other.x0 for one, other in pairwise(boxes))
