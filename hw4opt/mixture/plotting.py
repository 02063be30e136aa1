"""The figure of a mixture: likelihood by cycle, coefficients, responsibilities, and observed against fitted counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hw4opt.mixture.likelihood import MAX_LOG_RATE
from hw4opt.mixture.result import MixtureResult
from hw4opt.plotting.frame import plain, text_color
from hw4opt.terms.base import Array

COMPONENT_COLORS = ("#0b5fa5", "#d08a2e", "#3a7d44", "#d1495b", "#6b4c9a", "#5c6670")
MAX_ROWS_DRAWN = 4_000  # rows drawn of larger data, evenly spaced


def plot_mixture(result: MixtureResult, truth: Array | None = None, names: Sequence[str] | None = None) -> Figure:
    """A figure of four panels: likelihood by cycle, coefficients, responsibilities, observed against fitted counts.

    truth    coefficients (k, p) of the true components in any order, marked beside the fitted ones
    names    of the components in the legend; default: component 0, component 1, …
    """
    figure = Figure(figsize=(12, 8.4), layout="constrained")
    trace, coef, shares, fitted = figure.subplots(2, 2).ravel()
    _trace(result, trace)
    _coefficients(result, coef, truth, names or [f"component {c}" for c in range(result.k)])
    _responsibilities(result, shares)
    _fitted(result, fitted)
    for axes in (trace, coef, shares, fitted):
        plain(axes)
    return figure


def color(component: int) -> str:
    """A component's color."""
    return COMPONENT_COLORS[component % len(COMPONENT_COLORS)]


def _trace(result: MixtureResult, axes: Axes) -> None:
    """Draw ℓ at the end less ℓ after each cycle."""
    short = result.log_likelihood - result.trace
    axes.plot(
        np.arange(1, len(short) + 1),
        np.maximum(short, 1e-12 * abs(result.log_likelihood)),
        color=COMPONENT_COLORS[0],
        marker="o",
        ms=3,
        lw=1.4,
    )
    axes.set_yscale("log")
    axes.set_xlabel("cycle")
    axes.set_ylabel("final log-likelihood less that of the cycle")
    axes.set_title(f"log-likelihood {result.log_likelihood:.8g} after {result.cycles} cycles", loc="left", fontsize=10)


def _coefficients(result: MixtureResult, axes: Axes, truth: Array | None, names: Sequence[str]) -> None:
    """Draw coefficients with two standard errors; on a log axis if one exceeds 10 times their median size."""
    k, errors = result.k, result.uncertainty.standard_errors
    units = "rows" if result.design.groups is None else "groups"
    places = np.arange(len(result.feature_names))
    for component, coef in enumerate(result.coef):
        spots = places + (component - (k - 1) / 2) * 0.7 / k
        spread = None if errors is None else 2 * errors[component]
        shares = f"{result.proportions[component]:.0%} of {units}, {result.explained[component]:.0%} of counts"
        label = f"{names[component]}: {shares}"
        axes.errorbar(spots, coef, yerr=spread, fmt="o", ms=5, color=color(component), elinewidth=1.4, label=label)
    if truth is not None:
        for number, coef in enumerate(truth):
            axes.hlines(
                coef,
                places - 0.42,
                places + 0.42,
                color=text_color(),
                lw=0.8,
                zorder=0,
                label="true" if number == 0 else "_",
            )
    axes.axhline(0, color=text_color(), lw=0.6)
    size = np.abs(result.coef)
    if size.max() > 10 * max(float(np.median(size)), 1e-12):
        axes.set_yscale("symlog", linthresh=max(float(np.median(size)), 1e-6))
    axes.set_xticks(places, result.feature_names, rotation=20, ha="right")
    axes.set_title(
        "coefficients, ± 2 standard errors" if errors is not None else "coefficients", loc="left", fontsize=10
    )
    axes.legend(frameon=False, fontsize=8)


def _responsibilities(result: MixtureResult, axes: Axes) -> None:
    """Draw every row's responsibilities as a bar, sorted by component and certainty; a subset of many rows."""
    shares = result.responsibilities
    order = np.lexsort((-shares.max(axis=1), result.labels))
    order = order[:: -(-len(order) // MAX_ROWS_DRAWN)]
    axes.stackplot(
        np.linspace(0, len(shares) - 1, len(order)),
        shares[order].T,
        step="mid",
        colors=[color(component) for component in range(result.k)],
        lw=0,
    )
    axes.set_xlim(-0.5, len(shares) - 0.5)
    axes.set_ylim(0, 1)
    axes.set_xlabel("rows, sorted by component")
    axes.set_ylabel("responsibility")
    axes.set_title(f"responsibilities: entropy {result.criteria.entropy:.3g}", loc="left", fontsize=10)


def _fitted(result: MixtureResult, axes: Axes) -> None:
    """Draw each row's count over the rate of its most probable component; rows of weight 0 are left out."""
    design, labels = result.design.active, result.labels[result.design.weights > 0]
    step = -(-len(labels) // MAX_ROWS_DRAWN)
    rates = design.law.least + design.law.rise(
        np.minimum(design.features @ result.coef.T + design.offset[:, None], MAX_LOG_RATE)
    )
    own = np.take_along_axis(rates, labels[:, None], axis=1)[:, 0]
    y = design.counts
    for component in range(result.k):
        rows = np.flatnonzero(labels == component)[::step]
        axes.scatter(np.maximum(own[rows], 1e-2), y[rows] + 0.5, s=14, color=color(component), alpha=0.6, lw=0)
    low, high = max(min(float(own.min()), float(y.min()) + 0.5), 1e-2), float(max(own.max(), y.max() + 0.5))
    line = np.geomspace(low, high, 200)
    axes.plot(line, line + 0.5, color=text_color(), lw=0.8)
    two = 2 * np.sqrt(line)
    axes.fill_between(line, np.maximum(line - two, 0.0) + 0.5, line + two + 0.5, color=text_color(), alpha=0.08, lw=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("fitted rate of the row's component")
    axes.set_ylabel("count + ½")
    axes.set_title("observed against fitted; in the band: within two Poisson deviations", loc="left", fontsize=10)
