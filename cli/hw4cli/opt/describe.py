"""From options to a `Problem`: read the table, find its columns, name the terms, and note which hyper-parameters were not given."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from hw4cli.opt import counts
from hw4cli.opt.columns import LARGEST, Roles, Sheet, read_sheet
from hw4cli.opt.options import Describing
from hw4cli.opt.words import Word, kernel_of, parse_word, term_of
from hw4opt import InputError, Poisson, Problem
from hw4opt.datasets import step_data, step_function
from hw4opt.errors import listed
from hw4opt.kernels import Kernel
from hw4opt.tables import Table, read_table
from hw4opt.terms import AUTO, Interval, Loss, Term, load
from hw4opt.terms.base import Array

log = logging.getLogger("hw4opt.cli")

SMALLEST = 1e-152  # a spread that can be squared
ON_COEFFICIENTS = {"nonnegative": "coef_nonnegative", "bounds": "coef_bounds:lower=,upper="}
SPREADS = 10.0  # times the smallest: from here on column spreads that differ are worth a warning


@dataclass(frozen=True, eq=False)
class Description:
    """The problem, with 1 in place of every hyper-parameter in `free`; `given` names the parameters that were typed, as in huber.delta.

    offset    {"offset": column} or {"exposure": column}, where one was named;  groups (n,)  the number of each row's group
    settled   parameters of the loss that the data settled, as huber.delta of huber:delta=auto
    """

    problem: Problem
    free: tuple[str, ...]
    given: frozenset[str]
    sheet: Sheet
    y: str
    offset: Mapping[str, str]
    groups: np.ndarray | None
    truth: Callable[[Array], Array] | None
    warnings: tuple[str, ...]
    settled: Mapping[str, float] = field(default_factory=dict)

    @property
    def table(self) -> Table:
        """What was read."""
        return self.sheet.table

    @property
    def context(self) -> dict[str, Any]:
        """What a model file keeps of the columns."""
        return {**self.sheet.context(), "y": self.y, **self.offset}


@dataclass(frozen=True)
class _Model:
    """What the options say before any data are known; constraints stay words, because they may name columns."""

    kernel: Kernel | None
    loss: Loss
    regularizers: tuple[Term, ...]
    constraints: tuple[Word, ...]
    free: tuple[str, ...]
    given: frozenset[str]


def describe(options: Describing, groups: str | None = None) -> Description:
    """The problem that the options describe; `groups` is the column of groups, which is no feature. Raises `InputError`."""
    model = _model(options)
    table = _read(options)
    roles = Roles(options.x, options.y, options.weights, options.offset, options.exposure, groups)
    sheet = read_sheet(table, options, roles, drop_first=model.kernel is None and options.intercept)
    names, here = sheet.features.names, sheet.here
    for name, column in zip(names, sheet.counted(sheet.x).T, strict=True):
        _check_size(name, column)
    _check_size(options.y, sheet.counted(sheet.y))
    if model.kernel is not None:
        _check_varies(sheet.counted(sheet.x), names)
    notes = counts.check(sheet.y, options.y, model.loss, here, "--loss poisson:truncated=1") if isinstance(model.loss, Poisson) else []
    if isinstance(model.loss, Poisson) and model.kernel is None and options.intercept:
        counts.check_columns(sheet.counted(sheet.x), names)
    problem = Problem(
        sheet.kept(sheet.x),
        sheet.kept(sheet.y),
        kernel=model.kernel,
        loss=model.loss,
        regularizers=model.regularizers,
        constraints=_constraints(model.constraints, names),
        weights=sheet.kept(sheet.weights),
        offset=sheet.kept(counts.offset(table, options.offset, options.exposure, here)),
        intercept=options.intercept,
        standardize=options.scale == "standard",
    )
    log.info("%s: %d rows, x %s, y %s", table.source, len(table), ", ".join(names), options.y)
    truth = step_function if options.data is None and names == ("x",) and options.y == "y" else None
    warnings = (*sheet.warnings, *notes, *_warnings(problem, names))
    offset = {role: name for role, name in (("offset", options.offset), ("exposure", options.exposure)) if name is not None}
    labels = None if groups is None else sheet.kept(table.labels(groups, here))
    return Description(problem, model.free, model.given, sheet, options.y, offset, labels, truth, warnings, _settled(model.loss, problem))


def _settled(loss: Loss, problem: Problem) -> dict[str, float]:
    return {f"{loss.name}.{name}": float(vars(problem.loss)[name]) for name in loss.automatic if vars(loss)[name] == AUTO}


def _model(options: Describing) -> _Model:
    """The words' names and parameters, checked before any file is read."""
    linear = options.design == "linear"
    for name, value in (("kernel", options.kernel), ("gamma", options.gamma)):
        if linear and value is not None:
            raise InputError(f"--{name} {value} belongs to a kernel design; drop it, or drop --design linear")
    kernel = parse_word("--kernel", options.kernel or "rbf")
    loss = counts.word(parse_word("--loss", options.loss), options)
    regularizers = [parse_word("--reg", text, short="weight") for text in options.reg]
    if not linear and "ridge" not in [word.name for word in regularizers]:
        regularizers.insert(0, Word("ridge", "ridge", {}))
    constraints = tuple(parse_word("--constraint", text) for text in options.constraint)
    for word in constraints:
        load("constraint", word.name)
    weightless = [word.name for word in regularizers if "weight" not in word.given]
    return _Model(
        None if linear else kernel_of("--kernel", kernel, 1.0 if options.gamma is None else options.gamma),
        cast(Loss, term_of("loss", "--loss", loss)),
        tuple(term_of("regularizer", "--reg", word) for word in regularizers),
        constraints,
        free=tuple(weightless if linear or options.gamma is not None else ["gamma", *weightless]),
        given=_given([kernel, loss, *regularizers, *constraints], options.gamma),
    )


def _given(words: Sequence[Word], gamma: float | None) -> frozenset[str]:
    """The names of the hyper-parameters and parameters that were typed."""
    names = {word.name if key == "weight" else f"{word.name}.{key}" for word in words for key in word.given}
    return frozenset(names if gamma is None else names | {"gamma"})


def _read(options: Describing) -> Table:
    if options.data is not None:
        if options.n is not None:
            raise InputError(f"--n {options.n} sizes the built-in data and {options.data} is a file; give one of them")
        return read_table(options.data, options.max_input)
    data = step_data(50 if options.n is None else options.n, options.seed)
    return Table.of({"x": data.x, "y": data.y}, "the built-in step data")


def _check_size(name: str, column: Array) -> None:
    """Raise `InputError` for numbers whose squares are 0 or infinite."""
    largest = float(np.abs(column).max())
    span = float(np.ptp(column)) if largest <= LARGEST else largest
    if largest > LARGEST or 0 < span < SMALLEST:
        raise InputError(f"column {name!r} has a spread of {span:.3g}, whose square is beyond floating point; measure it in another unit")


def _check_varies(x: Array, names: Sequence[str]) -> None:
    if len(x) > 1 and np.all(x == x[0]):
        which = f"column {names[0]!r} is" if len(names) == 1 else f"columns {listed(names)} are"
        raise InputError(f"{which} constant; a kernel design needs at least two different x")


def _constraints(words: Sequence[Word], columns: Sequence[str]) -> list[Term]:
    terms = [term_of("constraint", "--constraint", word, columns) for word in words]
    for (one, first), (other, second) in itertools.combinations(zip(words, terms, strict=True), 2):
        if first == second:
            raise InputError(f"--constraint {one.text} is given twice; drop one of them")
        _check_bounds(one.text, first, other.text, second)
    return terms


def _check_bounds(one: str, first: Term, other: str, second: Term) -> None:
    """Two sets of bounds of which one lies above the other: say so in the words that were typed."""
    if first.name == second.name and isinstance(first, Interval):
        what = "f" if first.name == "bounds" else "every coefficient"
        lower = max(vars(first)["lower"], vars(second)["lower"])
        upper = min(vars(first)["upper"], vars(second)["upper"])
        if lower >= upper:
            raise InputError(
                f"{one} and {other} conflict: {what} ≥ {lower:g} and {what} ≤ {upper:g} leave no fit; loosen or drop one of them"
            )


def _warnings(problem: Problem, names: Sequence[str]) -> tuple[str, ...]:
    return (*_on_coefficients(problem), *_on_spreads(problem, names))


def _on_coefficients(problem: Problem) -> Iterator[str]:
    """What a linear design's constraints hold: fitted values, where coefficients may be meant."""
    for term in problem.constraints if problem.kernel is None else ():
        if term.name in ("nonnegative", "bounds"):
            said = f"{term.name} holds for the fitted values, not for the coefficients"
            yield f"{said}; --constraint {ON_COEFFICIENTS[term.name]} is for those"


def _on_spreads(problem: Problem, names: Sequence[str]) -> tuple[str, ...]:
    if problem.kernel is None or problem.standardize or len(names) < 2:
        return ()
    spreads = dict(zip(names, problem.active_x.std(axis=0).tolist(), strict=True))
    varying = {name: spread for name, spread in spreads.items() if spread > 0}
    low, high = min(varying, key=lambda name: varying[name]), max(varying, key=lambda name: varying[name])
    if varying[high] <= SPREADS * varying[low]:
        return ()
    apart = f"column {high!r} ({varying[high]:.3g}) and column {low!r} ({varying[low]:.3g})"
    return (f"the spreads of {apart} differ over {SPREADS:g} times and one gamma serves both; --scale standard puts them on one scale",)
