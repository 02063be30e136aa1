"""Options of choosing hyper-parameters, and the frozen record of their values."""

from __future__ import annotations

from dataclasses import dataclass

import click

from hw4cli.options import whole


@dataclass(frozen=True)
class SelectionOptions:
    """How hyper-parameters that are not given are chosen."""

    select: str
    search: str
    grid: tuple[str, ...]
    metric: str
    folds: str
    groups: str | None
    search_seed: int | None
    one_se: bool
    workers: int | None
    keep_folds: bool = False


SELECT = (
    click.option(
        "--select",
        default="auto",
        show_default=True,
        metavar="auto|loo|loo:x|kfold:K|none",
        help="How hyper-parameters that are not given (gamma, ridge, every weight) are chosen; if all are given, "
        "how their held-out score is computed. loo:x leaves out rows of equal x together.",
    ),
    click.option(
        "--search",
        default="zoom",
        show_default=True,
        metavar="zoom|grid|random:N",
        help="How the settings to try are chosen.",
    ),
    click.option(
        "--grid",
        multiple=True,
        metavar="NAME=LOW:HIGH:COUNT",
        help="A log-spaced range of a hyper-parameter, or of a parameter of the loss (delta=0.1:10:5). Default: "
        "ranges from the units of the data. Repeat for more.",
    ),
    click.option(
        "--metric",
        type=click.Choice(["loss", "squared", "absolute"]),
        default="loss",
        show_default=True,
        help="Error averaged over held-out rows.",
    ),
    click.option(
        "--folds",
        type=click.Choice(["shuffled", "contiguous"]),
        default="shuffled",
        show_default=True,
        help="Rows of a fold of kfold:K: drawn at random, or consecutive in the table.",
    ),
    click.option(
        "--groups", metavar="COL", help="Rows with equal cells here are left out together. Default: none are."
    ),
    click.option("--search-seed", type=whole(0), metavar="S", help="Seed of folds and random search; default: --seed."),
    click.option("--one-se", is_flag=True, help="Choose the smoothest setting within one standard error of the best."),
    click.option(
        "--workers",
        type=whole(1),
        metavar="N",
        help="Threads of the search; default: the cores that the process may use.",
    ),
)

KEEP_FOLDS = click.option(
    "--keep-folds",
    is_flag=True,
    help="Keep the fits without each fold, for prediction intervals: --save writes them for `predict --interval`, "
    "--plot draws the intervals of level 0.9 if there is one x column.",
)
