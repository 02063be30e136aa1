"""Build a `Problem` from options: read the table and its columns, and find the terms and the open hyper-parameters."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from hw4cli.opt import poisson_options
from hw4cli.opt.columns import LARGEST_VALUE, DataColumns, Roles, read_columns
from hw4cli.opt.components import SumOfComponents, is_sum, named_columns, sum_of_components
from hw4cli.opt.gamma_option import NamedGammas
from hw4cli.opt.option_syntax import kernel_of
from hw4cli.opt.options import ProblemOptions
from hw4cli.opt.problem_file import check_digest
from hw4cli.opt.row_files import check_one_file
from hw4opt import Additive, InputError, Poisson, Problem, UnknownNameError
from hw4opt.datasets import step_data, step_function
from hw4opt.design import Sum
from hw4opt.errors import listed
from hw4opt.kernels import Kernel
from hw4opt.problem import ColumnNames, Model
from hw4opt.problem.hyperparameters import GAMMA, column_key
from hw4opt.problem.words import Spec, parse_spec, term_of
from hw4opt.tables import Table, read_table
from hw4opt.terms import AUTO, Interval, Loss, Term, load
from hw4opt.terms.base import Array

log = logging.getLogger("hw4opt.cli")

SMALLEST_SPREAD = 1e-152  # the smallest number whose square is above 0
COEFFICIENT_CONSTRAINTS = {"nonnegative": "coef_nonnegative", "bounds": "coef_bounds:lower=,upper="}
SPREAD_RATIO = 10.0  # largest over smallest spread of columns, above which a warning is given


@dataclass(frozen=True, eq=False)
class BuiltProblem:
    """The problem; the hyper-parameters in `free`, which were not given, are 1.

    given         names of the parameters that were given, as in huber.delta
    roles         the columns of weights and offset or exposure that were named, by their role
    groups (n,)   the number of each row's group
    automatic     parameters of the loss that the data determine, as huber.delta of huber:delta=auto
    """

    problem: Problem
    free: tuple[str, ...]
    given: frozenset[str]
    columns: DataColumns
    y: str
    roles: Mapping[str, str]
    groups: np.ndarray | None
    truth: Callable[[Array], Array] | None
    warnings: tuple[str, ...]
    automatic: Mapping[str, float] = field(default_factory=dict)

    @property
    def table(self) -> Table:
        """The table that was read."""
        return self.columns.table

    @property
    def context(self) -> dict[str, Any]:
        """The description of the columns in a model file."""
        return {**self.columns.context(), "y": self.y, **self.roles}


@dataclass(frozen=True)
class ProblemTerms:
    """The terms that the options name; constraints are unresolved, because they may name columns of the table."""

    kernel: Kernel | Additive | None
    loss: Loss
    regularizers: tuple[Term, ...]
    constraints: tuple[Spec, ...]
    free: tuple[str, ...]
    given: frozenset[str]


def build_problem(options: ProblemOptions, groups: str | None = None, table: Table | None = None) -> BuiltProblem:
    """The problem that the options specify; `groups` is the column of groups. Raises `InputError`.

    table    the data, if already read; `options.data` then only names them
    """
    more, levels, levels_option = list[str](), set[str](), "--categorical {name}"
    if sums := is_sum(options):
        options, more, levels = named_columns(options)
        levels_option = "--component {name}:categorical"
    terms = terms_of(options, sums)
    table = read_data(options) if table is None else table
    roles = Roles(options.x, options.y, options.weights, options.offset, options.exposure, groups)
    drop_first = terms.kernel is None and options.intercept
    columns = read_columns(table, options, roles, drop_first, more=more, levels=levels, levels_option=levels_option)
    if sums:
        terms = _with_components(terms, sum_of_components(options, columns.features.names))
    names, used = columns.features.names, columns.used
    for name, column in zip(names, columns.of_used(columns.x).T, strict=True):
        _check_size(name, column)
    _check_size(options.y, columns.of_used(columns.y))
    if isinstance(terms.kernel, Kernel):
        _check_varies(columns.of_used(columns.x), names)
    notes = (
        poisson_options.check_counts(columns.y, options.y, terms.loss, used, "--loss poisson:truncated=1")
        if isinstance(terms.loss, Poisson)
        else []
    )
    if isinstance(terms.loss, Poisson) and terms.kernel is None and options.intercept:
        poisson_options.check_columns(columns.of_used(columns.x), names)
    kernel, gammas = with_gammas(terms.kernel, options.gamma, names)
    problem = Problem(
        columns.without_dropped(columns.x),
        columns.without_dropped(columns.y),
        kernel=kernel,
        loss=terms.loss,
        regularizers=terms.regularizers,
        constraints=constraints_of(terms.constraints, names),
        weights=columns.without_dropped(columns.weights),
        offset=columns.without_dropped(poisson_options.log_offset(table, options.offset, options.exposure, used)),
        intercept=options.intercept,
        standardize=options.scale == "standard",
        names=ColumnNames(x=names),
    )
    log.info("%s: %d rows, x %s, y %s", table.source, len(table), ", ".join(names), options.y)
    truth = step_function if options.data is None and names == ("x",) and options.y == "y" else None
    warnings = (*columns.warnings, *notes, *_warnings(problem, names))
    named = {
        role: name
        for role, name in (("weights", options.weights), ("offset", options.offset), ("exposure", options.exposure))
        if name is not None
    }
    labels = None if groups is None else columns.without_dropped(table.labels(groups, used))
    return BuiltProblem(
        problem,
        (*gammas, *terms.free) if options.gamma == NamedGammas() else terms.free,
        terms.given if options.gamma == NamedGammas() else terms.given.union(gammas),
        columns,
        options.y,
        named,
        labels,
        truth,
        warnings,
        _automatic(terms.loss, problem),
    )


def _automatic(loss: Loss, problem: Problem) -> dict[str, float]:
    return {
        f"{loss.name}.{name}": float(vars(problem.loss)[name]) for name in loss.automatic if vars(loss)[name] == AUTO
    }


def _with_components(terms: ProblemTerms, found: SumOfComponents) -> ProblemTerms:
    """The terms, with a sum for the kernel."""
    return replace(
        terms, kernel=found.kernel, constraints=found.constraints, free=found.free, given=terms.given | found.given
    )


def terms_of(options: ProblemOptions, sums: bool) -> ProblemTerms:
    """The terms by name and parameters, checked before any file is read; for a sum, only the loss."""
    if sums:
        loss = poisson_options.loss_spec(parse_spec("--loss", options.loss), options)
        return ProblemTerms(None, cast(Loss, term_of("loss", "--loss", loss)), (), (), (), _given([loss], None))
    linear = options.design == "linear"
    for name, value in (("kernel", options.kernel), ("gamma", options.gamma)):
        if linear and value is not None:
            raise InputError(f"--{name} {value} belongs to a kernel design; drop it, or drop --design linear")
    kernel, gamma = parse_spec("--kernel", options.kernel or "rbf"), _one_gamma(options.gamma)
    loss = poisson_options.loss_spec(parse_spec("--loss", options.loss), options)
    regularizers = [parse_spec("--reg", text, short="weight") for text in options.reg]
    if not linear and "ridge" not in [spec.name for spec in regularizers]:
        regularizers.insert(0, Spec("ridge", "ridge", {}))
    constraints = tuple(parse_spec("--constraint", text) for text in options.constraint)
    for spec in constraints:
        load("constraint", spec.name)
    weightless = [spec.name for spec in regularizers if "weight" not in spec.parameters]
    return ProblemTerms(
        None if linear else kernel_of("--kernel", kernel, 1.0 if gamma is None else gamma),
        cast(Loss, term_of("loss", "--loss", loss)),
        tuple(term_of("regularizer", "--reg", spec) for spec in regularizers),
        constraints,
        free=tuple(weightless if linear or options.gamma is not None else ["gamma", *weightless]),
        given=_given([kernel, loss, *regularizers, *constraints], options.gamma),
    )


def _one_gamma(gamma: float | NamedGammas | None) -> float | None:
    return None if isinstance(gamma, NamedGammas) else gamma


def with_gammas(
    kernel: Kernel | Additive | None, gamma: float | NamedGammas | None, names: Sequence[str]
) -> tuple[Kernel | Additive | None, tuple[str, ...]]:
    """The kernel with one gamma per column, if requested, and the names of these hyper-parameters."""
    if not isinstance(kernel, Kernel) or not isinstance(gamma, NamedGammas):
        return kernel, ()
    given = dict(gamma.given) or dict.fromkeys(names, 1.0)
    for name in given:
        if name not in names:
            raise UnknownNameError("x column", name, names)
    if missing := [name for name in names if name not in given]:
        raise InputError(f"--gamma {gamma}: {listed(missing)} has no gamma; give one for each of {listed(names)}")
    kernel = replace(kernel, gamma=tuple(given[name] for name in names))
    return kernel, tuple(map(column_key, names)) if kernel.gammas else (GAMMA,)


def _given(specs: Sequence[Spec], gamma: float | NamedGammas | None) -> frozenset[str]:
    """The names of the hyper-parameters and parameters that were given."""
    names = {spec.name if key == "weight" else f"{spec.name}.{key}" for spec in specs for key in spec.parameters}
    return frozenset(names if _one_gamma(gamma) is None else names | {GAMMA})


def read_data(options: ProblemOptions) -> Table:
    """The table that DATA names, or the built-in step data."""
    if options.data is not None:
        if options.n is not None:
            raise InputError(f"--n {options.n} is for the built-in data and {options.data} is a file; give one of them")
        check_one_file(options.data)
        table = read_table(options.data, options.max_input)
        check_digest(table, options)
        return table
    data = step_data(50 if options.n is None else options.n, options.seed)
    return Table.of({"x": data.x, "y": data.y}, "the built-in step data")


def _check_size(name: str, column: Array) -> None:
    """Raise `InputError` for numbers whose squares are 0 or infinite."""
    largest = float(np.abs(column).max())
    span = float(np.ptp(column)) if largest <= LARGEST_VALUE else largest
    if largest > LARGEST_VALUE or 0 < span < SMALLEST_SPREAD:
        raise InputError(
            f"column {name!r} has a spread of {span:.3g}, whose square is beyond floating point; "
            "measure it in another unit"
        )


def _check_varies(x: Array, names: Sequence[str]) -> None:
    if len(x) > 1 and np.all(x == x[0]):
        which = f"column {names[0]!r} is" if len(names) == 1 else f"columns {listed(names)} are"
        raise InputError(f"{which} constant; a kernel design needs at least two different x")


def constraints_of(specs: Sequence[Spec], columns: Sequence[str]) -> list[Term]:
    """The constraints, over features of these names. Raises `InputError`."""
    places = {name: place for place, name in enumerate(columns)}
    terms = [term_of("constraint", "--constraint", spec, places) for spec in specs]
    for (one, first), (other, second) in itertools.combinations(zip(specs, terms, strict=True), 2):
        if first == second:
            raise InputError(f"--constraint {one.text} is given twice; drop one of them")
        _check_bounds(one.text, first, other.text, second)
    return terms


def _check_bounds(one: str, first: Term, other: str, second: Term) -> None:
    """Raise `InputError` for two sets of bounds that exclude each other."""
    if first.name == second.name and isinstance(first, Interval):
        what = "f" if first.name == "bounds" else "every coefficient"
        lower = max(vars(first)["lower"], vars(second)["lower"])
        upper = min(vars(first)["upper"], vars(second)["upper"])
        if lower >= upper:
            bounds = f"{what} ≥ {lower:g} and {what} ≤ {upper:g}"
            raise InputError(f"{one} and {other} conflict: {bounds} leave no fit; loosen or drop one of them")


def _warnings(problem: Problem, names: Sequence[str]) -> tuple[str, ...]:
    return (*coefficient_warnings(problem.model), *_spread_warnings(problem, names))


def coefficient_warnings(model: Model) -> Iterator[str]:
    """A warning for constraints on fitted values of a linear design, which may be meant for the coefficients."""
    for term in model.constraints if model.kernel is None else ():
        if term.name in ("nonnegative", "bounds"):
            yield (
                f"{term.name} holds for the fitted values, not for the coefficients; "
                f"--constraint {COEFFICIENT_CONSTRAINTS[term.name]} is for those"
            )


def _spread_warnings(problem: Problem, names: Sequence[str]) -> tuple[str, ...]:
    if problem.kernel is None or isinstance(problem.kernel, Sum) or problem.kernel.gammas:
        return ()
    if problem.standardize or len(names) < 2:
        return ()
    spreads = dict(zip(names, problem.active_x.std(axis=0).tolist(), strict=True))
    varying = {name: spread for name, spread in spreads.items() if spread > 0}
    low, high = min(varying, key=lambda name: varying[name]), max(varying, key=lambda name: varying[name])
    if varying[high] <= SPREAD_RATIO * varying[low]:
        return ()
    both = f"column {high!r} ({varying[high]:.3g}) and column {low!r} ({varying[low]:.3g})"
    problem_found = f"the spreads of {both} differ over {SPREAD_RATIO:g} times and share one gamma"
    return (f"{problem_found}; --scale standard puts them on one scale, --gamma each chooses one per column",)
