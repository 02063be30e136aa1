"""Options that several commands share, and the frozen records of their values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from hw4cli.opt.gamma_option import NamedGammas, gamma_of
from hw4cli.opt.name_options import NameOption
from hw4cli.opt.problem_file_options import PROBLEM_FROM_FILE, of_the_data
from hw4cli.options import JSON, QUIET, bytes_of, verbose_option, version_option, whole

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class TableOptions:
    """How a table is read, and which of its rows and columns are used."""

    max_input: int
    missing: str
    categorical: tuple[str, ...]


@dataclass(frozen=True)
class ProblemOptions(TableOptions):
    """The data and the terms of a problem."""

    data: str | None
    x: str | None
    y: str
    weights: str | None
    offset: str | None
    exposure: str | None
    quasi: bool
    n: int | None
    seed: int
    design: str
    intercept: bool
    scale: str
    kernel: str | None
    gamma: float | NamedGammas | None
    loss: str
    reg: tuple[str, ...]
    constraint: tuple[str, ...]
    additive: bool
    component: tuple[str, ...]
    problem: str | None = None
    data_sha256: str | None = None

    @property
    def files(self) -> dict[str, str | None]:
        """The files that are read, by what they are."""
        return {"the data": self.data, "the problem": self.problem}


@dataclass(frozen=True)
class SolverOptions:
    """How a problem is solved."""

    solver: str
    tol: float | None
    max_iterations: int | None
    separated: str = "refuse"
    errors: str = "information"
    # infinite: none; any other one runs a solver that ignores Ctrl-C in a process that can be killed
    time_limit: float = math.inf


@dataclass(frozen=True)
class OutputOptions:
    """What a command writes, and where."""

    json: str | None
    plot: str | None
    quiet: bool
    seed: int
    save: str | None = None
    arrays: bool | None = None
    style: str | None = None


def time_limit_option(default: float, text: str) -> Callable[[F], F]:
    """The option --time-limit of a command."""
    kind = click.FloatRange(0, min_open=True)
    return click.option("--time-limit", type=kind, default=default, show_default=False, metavar="SECONDS", help=text)


version = version_option("hw4opt")

DATA_TABLE = click.argument("data", required=False, metavar="[DATA]")

TABLE = (
    click.option(
        "--missing",
        type=click.Choice(["refuse", "drop"]),
        default="refuse",
        show_default=True,
        help="Rows with an empty cell (or NA, nan, …) in a column that is used: refuse them, or leave them out.",
    ),
    click.option(
        "--max-input",
        default="2G",
        show_default=True,
        metavar="BYTES",
        callback=bytes_of,
        help="Largest table that is read, as in 500M or 2GiB.",
    ),
)
CATEGORICAL = click.option(
    "--categorical",
    multiple=True,
    metavar="COL",
    help="A column whose levels become 0/1 features COL=level; with the intercept of a linear design the first is "
    "left out. Default: none. Repeat for more.",
)

COLUMNS_AND_TERMS = (
    *PROBLEM_FROM_FILE,
    click.option(
        "--x", metavar="COL[,COL…]", help="Feature columns; default: every numeric column that has no other role."
    ),
    CATEGORICAL,
    *TABLE,
    click.option("--y", default="y", show_default=True, metavar="COL", help="Target column."),
    click.option("--weights", metavar="COL", help="Row weights of the loss, ≥ 0; 0 leaves a row out. Default: all 1."),
    click.option("--offset", metavar="COL", help="Counts: a column added to the log of the mean. Default: none."),
    click.option(
        "--exposure", metavar="COL", help="Counts: a column that the mean is proportional to, above 0. Default: none."
    ),
    click.option("--quasi", is_flag=True, help="Counts: accept fractions (quasi-likelihood)."),
    click.option(
        "--n",
        type=whole(),
        metavar="N",
        callback=of_the_data,
        help="Rows of the built-in step data, not together with DATA; default: 50.",
    ),
    click.option(
        "--design",
        type=click.Choice(["kernel", "linear"]),
        default="kernel",
        show_default=True,
        help="A kernel expansion over the rows, or a linear function of the x columns.",
    ),
    click.option("--intercept/--no-intercept", default=False, help="Fit an unpenalised intercept; default: no."),
    click.option(
        "--scale",
        type=click.Choice(["none", "standard"]),
        default="none",
        show_default=True,
        help="Standardise the x columns, over all rows in use; held-out folds keep that scale.",
    ),
    click.option(
        "--kernel",
        cls=NameOption,
        kind="kernel",
        without=("gamma",),
        metavar="NAME[:param=value,…]",
        help="Default: rbf.",
    ),
    click.option(
        "--gamma",
        metavar="G|NAME=G,…|each",
        callback=gamma_of,
        help="The kernel's gamma, for x in its own units. One per column: dose=20,age=0.1; each: one per column, "
        "chosen. For components of a sum: one for all, or one by name. Default: one, chosen.",
    ),
    click.option(
        "--additive",
        is_flag=True,
        help="Fit a sum of functions, one of each x column. --reg and --constraint can then name a component, as "
        "in dose.tv=0.3 or dose.increasing; without a name --reg, --gamma and --kernel apply to all kernels.",
    ),
    click.option(
        "--component",
        multiple=True,
        metavar="NAME[=COL[,COL…]][:SPACE]",
        help="A component of a sum: a function of the column NAME, or of the columns given; SPACE is linear, "
        "categorical or a kernel (default: --kernel). Default: none. Repeat for more; with --additive it changes "
        "those columns only.",
    ),
    click.option(
        "--loss",
        cls=NameOption,
        kind="loss",
        default="squared",
        show_default=True,
        metavar="NAME[:param=value,…]",
        help="",
    ),
    click.option(
        "--reg",
        cls=NameOption,
        kind="regularizer",
        without=("weight",),
        multiple=True,
        metavar="NAME[=WEIGHT]",
        help="A weight that is not given is chosen; trend:order=1,weight=W gives both. Default: ridge, which a "
        "kernel always has. Repeat for more.",
    ),
    click.option(
        "--constraint",
        cls=NameOption,
        kind="constraint",
        multiple=True,
        metavar="NAME[:param=value,…]",
        help="Default: none. Repeat for more.",
    ),
)

PROBLEM = (DATA_TABLE, *COLUMNS_AND_TERMS)

SOLVER: dict[str, Any] = {"cls": NameOption, "kind": "solver", "metavar": "NAME"}

SOLVE = (
    click.option(
        "--solver",
        default="auto",
        show_default=True,
        help="cvxpy:NAME and qp:NAME name a solver of cvxpy or qpsolvers.",
        **SOLVER,
    ),
    click.option(
        "--tol",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        metavar="T",
        help="Largest relative gap of a certified answer; default: the solver's own.",
    ),
    click.option(
        "--max-iterations", type=whole(1), metavar="N", help="Stop a solver after N iterations; default: its own limit."
    ),
    time_limit_option(math.inf, "Stop the solver after this time; default: no limit."),
)

SEPARATED = click.option(
    "--separated",
    type=click.Choice(["refuse", "drop"]),
    default="refuse",
    show_default=True,
    help="Counts whose likelihood has no finite maximum: refuse, or drop the rows that cause it.",
)

STANDARD_ERRORS = click.option(
    "--errors",
    type=click.Choice(["information", "dispersion", "sandwich"]),
    default="information",
    show_default=True,
    help="Standard errors of coefficients. Likelihoods: from the observed information; times the square root of the "
    "dispersion (quasi-likelihood); or HC0. Squared loss: dispersion (the classical ones) or HC0. Huber and quantile "
    "loss: sandwich.",
)

ARRAYS = click.option(
    "--arrays/--no-arrays",
    default=None,
    help="Write long arrays into the JSON, or leave them out; default: written for up to 100,000 rows.",
)
MODEL_FILE = click.option(
    "--save", metavar="PATH", help="Write the model, one self-contained JSON file. Default: none."
)

OUTPUT = (
    click.option("--seed", type=whole(0), default=0, show_default=True, metavar="S", help="Seed of data and search."),
    JSON,
    click.option("--plot", metavar="PATH", help="Write a figure: .png, .pdf, .svg, .jpg or .webp. Default: none."),
    click.option(
        "--style",
        metavar="PATH",
        help="A matplotlib style file for the figure: fonts, background, lines. Default: none.",
    ),
    QUIET,
    verbose_option("hw4opt"),
    version,
)
