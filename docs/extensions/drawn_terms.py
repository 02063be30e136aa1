"""The page reference/terms.md: value, proximal map and conjugate of every loss, regularizer and constraint, drawn from
the registry that the solvers use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from docstrings import to_rst
from hw4opt.terms import Smooth, registry

RANGE = 3.0
POINTS = 601
TITLES = {"loss": "Losses", "regularizer": "Regularizers", "constraint": "Constraints"}
NEEDED = {"bounds": {"lower": -1.0, "upper": 1.0}, "coef_bounds": {"lower": -1.0, "upper": 1.0}}
INTRODUCTION = """\
Every term drawn
================

A term is a closed convex function f of one row z (residual fitted - y, difference, slope or coefficient). Solvers
use three
faces of it: its value, its proximal map argmin f(z) + ½ (z - v)², and its conjugate f*(u) = max u z - f(z). The
figures
are drawn from the classes themselves, when the site is built. Dashed lines mark where a function is infinite. Losses
of
targets (logistic, poisson) are drawn for y = 1. Weights are 1, parameters have their defaults, bounds are -1 and 1.
"""


def write_page(folder: Path) -> None:
    """terms.rst and a figure for each term, in the folder."""
    figures = folder / "drawn"
    figures.mkdir(parents=True, exist_ok=True)
    text = [INTRODUCTION]
    for kind, title in TITLES.items():
        text += [title, "-" * len(title), ""]
        for name, item in registry.classes(kind).items():
            _draw(item(**NEEDED.get(name, {}))).savefig(figures / f"{name}.png", dpi=110)
            summary = to_rst((inspect.getdoc(item) or "").split("\n\n")[0].splitlines())
            text += [name, "~" * len(name), "", *summary, ""]
            text += [f":py:obj:`hw4opt.{item.__name__}`, as ``{registry.usage(item)}`` on the command line", ""]
            text += [f".. image:: drawn/{name}.png", f"   :alt: value, proximal map and conjugate of {name}", ""]
    (folder / "terms.rst").write_text("\n".join(text), encoding="utf-8")


def _draw(term: Any) -> Figure:
    targets = (1.0,) if isinstance(term, Smooth) else ()
    grid = np.linspace(-RANGE, RANGE, POINTS)
    figure = Figure(figsize=(9, 2.5), layout="constrained")
    value, prox, conjugate = figure.subplots(1, 3)
    _draw_function(value, grid, lambda z: term.value(np.array([z]), *targets))
    value.set(title="value f(z)", xlabel="z")
    prox.plot(grid, term.prox(grid, 1.0, *targets), color="#0b5fa5")
    prox.plot(grid, grid, color="#9aa5b1", lw=0.7)
    prox.set(title="proximal map, step 1", xlabel="v")
    _draw_function(conjugate, grid, lambda u: term.conjugate(np.array([u]), *targets))
    conjugate.set(title="conjugate f*(u)", xlabel="u")
    for axes in (value, prox, conjugate):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_function(axes: Any, grid: np.ndarray, function: Callable[[float], float]) -> None:
    values = np.array([function(float(point)) for point in grid])
    finite = np.isfinite(values)
    axes.plot(grid[finite], values[finite], color="#0b5fa5", marker="." if finite.sum() == 1 else None)
    inside = grid[finite]
    for end in (inside.min(), inside.max()):
        if RANGE - abs(end) > RANGE / POINTS:
            axes.axvline(end, color="#d1495b", lw=1, ls="--")
    top = float(values[finite].max())
    axes.set(xlim=(-RANGE, RANGE), ylim=(min(-0.5, float(values[finite].min()) - 0.2), max(1.0, min(top, 9.0))))


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", lambda app, config: write_page(Path(app.srcdir) / "reference"), priority=100)
    return {"parallel_read_safe": True}
