"""Figures of fits, choices and comparisons, with matplotlib's object interface: pyplot is not used."""

from hw4opt.plotting.choices import plot_choice, plot_heatmap, plot_path, plot_scores
from hw4opt.plotting.comparison import SolverRow, plot_check
from hw4opt.plotting.components import plot_components
from hw4opt.plotting.fits import plot_fit, plot_predictions
from hw4opt.plotting.frame import figure_of
from hw4opt.views import Truth, outliers

__all__ = [
    "SolverRow", "Truth", "figure_of", "outliers", "plot_check", "plot_choice", "plot_components", "plot_fit",
    "plot_heatmap", "plot_path", "plot_predictions", "plot_scores",
]  # fmt: skip
