"""The figure that compares solvers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

from hw4opt.plotting.frame import DATA_COLOR, FIT_COLOR, MARK_COLOR, plain

NARROW_RANGE = 30.0  # largest over smallest size, below which tick labels stand at 3, 30, … too


class SolverRow(Protocol):
    """The fields of one solver's answer that a comparison shows; `hw4opt.crosscheck.Row` has them."""

    @property
    def solver(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def relative_gap(self) -> float | None: ...
    @property
    def seconds(self) -> float | None: ...


def plot_check(rows: Sequence[SolverRow]) -> Figure:
    """Relative gap and seconds of every solver that gave an answer."""
    solved = [row for row in rows if row.relative_gap is not None and row.seconds is not None]
    figure = Figure(figsize=(9, 1.2 + 0.36 * max(len(solved), 2)), layout="constrained")
    gaps, times = figure.subplots(1, 2, sharey=True)
    names = [row.solver for row in solved]
    colors = [FIT_COLOR if row.status == "certified" else MARK_COLOR for row in solved]
    for axes, sizes, label in (
        (gaps, [max(row.relative_gap or 0.0, 1e-17) for row in solved], "relative gap"),
        (times, [row.seconds or 0.0 for row in solved], "seconds"),
    ):
        axes.set_xscale("log")
        axes.hlines(names, min(sizes, default=1) / 3, sizes, color=DATA_COLOR, lw=1)
        axes.scatter(sizes, names, c=colors, s=36, zorder=3)
        is_narrow = max(sizes, default=1) < NARROW_RANGE * min(sizes, default=1)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if is_narrow else (1,), numticks=7))
        axes.xaxis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=(math.inf, math.inf)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(label)
        plain(axes)
    gaps.invert_yaxis()
    gaps.set_title(
        "certified" if MARK_COLOR not in colors else "certified (blue) and not (red)", loc="left", fontsize=10
    )
    return figure
