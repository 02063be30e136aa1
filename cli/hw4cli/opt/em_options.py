"""The options of `hw4opt em`."""

from __future__ import annotations

import re
from dataclasses import dataclass

import click

from hw4cli.opt.options import CATEGORICAL, TABLE
from hw4cli.options import whole
from hw4opt import InputError
from hw4opt.mixture.budget import PERTURBATIONS_PER_START, STARTS_PER_CHAIN, Budget
from hw4opt.mixture.selection import CRITERIA

BUILT_IN_MOODS = 3  # of the built-in simulated listener
PLAIN_CYCLES = 100  # default of --cycles
PLAYLISTS_HELP = (
    "Write mood_1.csv, mood_2.csv, … into this folder, made if absent. "
    "A text column named rank, row, score, … is written as catalogue_rank, … Default: not written."
)
K_RANGE = re.compile(r"([0-9]{1,15}):([0-9]{1,15})")
PLAYLIST_FILE = re.compile(r"mood_([1-9][0-9]{0,15})\.csv")  # `playlist_path`


@dataclass(frozen=True)
class MixtureOptions:
    """How the mixture is fitted."""

    k: int | None
    k_range: str | None
    criterion: str
    restarts: int | None
    search: int | None
    search_seconds: float | None
    ridge: float
    plain: bool
    cycles: int | None
    errors: str
    workers: int | None = None
    dask: str | None = None

    @property
    def k_values(self) -> range | None:
        """The values of k in --k-range, None without it."""
        if self.k_range is None:
            return None
        match = K_RANGE.fullmatch(self.k_range)
        if match is None or not 1 <= (low := int(match[1])) <= (high := int(match[2])):
            raise InputError(f"--k-range {self.k_range}: give LOW:HIGH with 1 ≤ LOW ≤ HIGH, as in 1:6")
        return range(low, high + 1)


@dataclass(frozen=True)
class PlaylistOptions:
    """What the playlists contain, and where they are written."""

    catalogue: str | None
    top: int
    playlists: str | None
    report: str | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is anything that holds playlists."""
        return (self.catalogue, self.playlists, self.report) != (None, None, None)


EM_OPTIONS = (
    click.option(
        "--x", metavar="COL[,COL…]", help="Feature columns; default: every numeric column that has no other role."
    ),
    CATEGORICAL,
    *TABLE,
    click.option("--y", metavar="COL", help="The column of counts; default: y."),
    click.option("--offset", metavar="COL", help="A column added to the log of the rate. Default: none."),
    click.option(
        "--exposure", metavar="COL", help="A column that the rate is proportional to, above 0. Default: none."
    ),
    click.option("--weights", metavar="COL", help="Frequency of a row, ≥ 0; 0 leaves a row out. Default: all 1."),
    click.option(
        "--groups", metavar="COL", help="Rows with equal cells here share one mood. Default: each has its own."
    ),
    click.option(
        "--k",
        type=whole(1),
        metavar="K",
        help="Number of moods. Default: 3 for the built-in listener; with DATA give it, or --k-range.",
    ),
    click.option(
        "--k-range",
        metavar="LOW:HIGH",
        help="Try every k in the range, as in 1:6; at most the number of distinct rows. Default: --k alone.",
    ),
    click.option(
        "--criterion",
        type=click.Choice(CRITERIA),
        default="bic",
        show_default=True,
        help="The criterion that selects k in --k-range.",
    ),
    click.option("--intercept/--no-intercept", default=True, help="A column of ones; default yes."),
    click.option("--restarts", type=whole(1), metavar="R", help=f"Starts, at most; default {Budget().starts}."),
    click.option(
        "--search",
        type=whole(0),
        metavar="N",
        help=f"Perturbations, at most; default {PERTURBATIONS_PER_START} per start.",
    ),
    click.option(
        "--search-seconds",
        type=click.FloatRange(0, min_open=True),
        metavar="S",
        help="A further limit of the search, for all k of --k-range together; unfinished runs stop. Default: none.",
    ),
    click.option(
        "--workers",
        type=whole(1),
        metavar="N",
        help=f"Processes that search in parallel, in tasks of {STARTS_PER_CHAIN} starts; the result does not depend on "
        "N. Default: 1, this process.",
    ),
    click.option(
        "--dask",
        metavar="SCHEDULER",
        help="Address of a Dask scheduler, as in tcp://host:8786, whose workers run the search, "
        "with the same result. Default: this process runs it.",
    ),
    click.option(
        "--ridge",
        type=click.FloatRange(min=0),
        default=0.0,
        show_default=True,
        metavar="W",
        help="Weight W of the penalty W·Σ‖w‖² in the M-step.",
    ),
    click.option("--quasi", is_flag=True, help="Accept fractional counts (quasi-likelihood)."),
    click.option(
        "--truncated",
        is_flag=True,
        help="Zero-truncated counts: rows are observed only if their count is at least 1.",
    ),
    click.option("--plain", is_flag=True, help="The textbook's EM from the labels in --init, for --cycles cycles."),
    click.option(
        "--init", metavar="COL", help="With --plain, which needs it: a column of labels 0 … k-1. Default: none."
    ),
    click.option(
        "--cycles", type=whole(1), metavar="N", help=f"With --plain: exactly N cycles; default {PLAIN_CYCLES}."
    ),
    click.option("--catalogue", metavar="CSV", help="Songs with the same features, to rank; default: DATA's own."),
    click.option("--top", type=whole(1), default=20, show_default=True, metavar="N", help="Songs per playlist."),
    click.option("--playlists", metavar="DIR", help=PLAYLISTS_HELP),
    click.option(
        "--report",
        metavar="PATH",
        help="Write a report, one HTML file: moods, how many, playlists; also of an answer that is not certified. "
        "Default: none.",
    ),
)
