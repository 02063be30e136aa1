"""The figure of a mixture: what its panels show, read back from them."""

import numpy as np
import pytest

from hw4opt.mixture.budget import Budget
from hw4opt.mixture.listener import simulated_listener
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.plotting import MAX_ROWS_DRAWN, plot_mixture
from hw4opt.mixture.validation import Rows

QUICK = Budget(4, 0)


def panels(result, truth=None):
    """trace, coefficients, responsibilities, fitted"""
    return plot_mixture(result, truth).axes


def band(axes):
    """Of the band: rates, its lower and upper end there."""
    vertices = axes.collections[-1].get_paths()[0].vertices
    rates = np.unique(vertices[:, 0])
    ends = np.array(
        [[vertices[vertices[:, 0] == rate, 1].min(), vertices[vertices[:, 0] == rate, 1].max()] for rate in rates]
    )
    return rates, *ends.T


@pytest.mark.parametrize("level", [-3.6, 0.0, 3.0])
def test_counts_in_the_band_are_those_within_two_deviations(level):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 1))
    y = draw.poisson(np.exp(level + 0.1 * x[:, 0])).astype(float)
    result = PoissonMixture(1).fit(x, y)
    axes = panels(result)[3]
    rates, low, high = band(axes)
    fitted = result.predict(x)
    points = np.vstack([np.asarray(spots.get_offsets()) for spots in axes.collections[:-1]])
    assert points == pytest.approx(np.column_stack([fitted, y + 0.5]))
    drawn = (points[:, 1] >= np.interp(fitted, rates, low) - 0.05) & (
        points[:, 1] <= np.interp(fitted, rates, high) + 0.05
    )
    within = np.abs(y - fitted) <= 2 * np.sqrt(fitted)
    clear = np.abs(np.abs(y - fitted) - 2 * np.sqrt(fitted)) > 0.1
    assert (drawn == within)[clear].all() and within.mean() > 0.8
    assert axes.lines[0].get_ydata() - axes.lines[0].get_xdata() == pytest.approx(0.5)


def test_of_many_rows_some_are_drawn_over_the_width_of_all():
    draw = np.random.default_rng(0)
    n = MAX_ROWS_DRAWN + 2_000
    x, components = draw.normal(size=(n, 1)), draw.integers(2, size=n)
    result = PoissonMixture(2, budget=QUICK).fit(x, draw.poisson(np.exp(1 + 2 * components)))
    axes = panels(result)[2]
    drawn = axes.collections[0].get_paths()[0].vertices[:, 0]
    assert axes.get_xlim() == (-0.5, n - 0.5) and (drawn.min(), drawn.max()) == (0, n - 1)


def test_rows_of_weight_0_are_not_drawn_against_their_rates():
    listener = simulated_listener(2)
    x, y = np.vstack([listener.x, [[0.0, 0, 0], [1, 1, 1]]]), np.r_[listener.plays, 1e300, -999.0]
    weights = np.r_[np.ones(len(listener.plays)), 0, 0]
    spoiled = panels(PoissonMixture(3, budget=QUICK).fit(x, y, Rows(weights=weights)))[3]
    plain = panels(PoissonMixture(3, budget=QUICK).fit(listener.x, listener.plays))[3]
    assert spoiled.get_ylim() == pytest.approx(plain.get_ylim(), rel=1e-6)
    assert sum(len(spots.get_offsets()) for spots in spoiled.collections[:-1]) == len(listener.plays)


@pytest.mark.parametrize(("groups", "unit"), [(None, "rows"), (np.arange(400) // 2, "groups")])
def test_a_proportion_is_a_share_of_the_units(groups, unit):
    listener = simulated_listener(3)
    legend = panels(PoissonMixture(1).fit(listener.x, listener.plays, Rows(groups=groups)))[1].get_legend()
    assert f"100% of {unit}, 100% of counts" in legend.get_texts()[0].get_text()


@pytest.mark.parametrize(("names", "expected"), [(None, ["component 0", "component 1"]), (["calm", "loud"],) * 2])
def test_components_are_named_in_the_legend(names, expected):
    listener = simulated_listener(3)
    result = PoissonMixture(2, budget=QUICK).fit(listener.x, listener.plays)
    texts = plot_mixture(result, names=names).axes[1].get_legend().get_texts()
    assert [text.get_text().partition(":")[0] for text in texts] == expected
