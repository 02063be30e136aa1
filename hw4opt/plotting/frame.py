"""Colors and axes that all figures share."""

from __future__ import annotations

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hw4opt.terms.base import Array

DATA_COLOR, FIT_COLOR, MARK_COLOR = "#8a97a6", "#0b5fa5", "#d1495b"
NOTE_OPACITY = 0.7


def figure_of(axes: Axes) -> Figure:
    """The figure that holds the axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def new_axes() -> Axes:
    """New axes in a figure of their own."""
    return Figure(figsize=(8, 5), layout="constrained").add_subplot()


def text_color(opacity: float = 1.0) -> tuple[str, float]:
    """The neutral color, of all but data and fit: that of text in the style in use."""
    return str(rcParams["text.color"]), opacity


def note_color() -> tuple[str, float]:
    """The color of notes beside a figure."""
    return text_color(NOTE_OPACITY)


def plain(axes: Axes) -> None:
    """Keep two spines, and draw a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)


def finite(values: Array) -> Array:
    """NaN in place of infinite values: matplotlib leaves it out."""
    return np.where(np.isfinite(values), values, np.nan)
