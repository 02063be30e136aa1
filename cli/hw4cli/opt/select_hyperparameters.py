"""Select the hyper-parameters that were not given: check the options and call `hw4opt.selection`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hw4cli.opt.build_problem import BuiltProblem
from hw4cli.opt.option_syntax import LogRange, parse_range
from hw4cli.opt.selection_options import SelectionOptions
from hw4cli.options import typed
from hw4opt import InputError, Problem, UnknownNameError
from hw4opt.design import Sum
from hw4opt.errors import shortened
from hw4opt.problem import HyperparameterKey, Model
from hw4opt.running.processes import Executor
from hw4opt.validation.arguments import whole_of

if TYPE_CHECKING:
    from hw4opt.selection import Selection

log = logging.getLogger("hw4opt.cli")

LEAVE_ONE_OUT = ("loo", "loo:x")

Progress = Callable[[int, int, float], None]  # done, total, best score so far
Budget = Callable[[int, float], None]  # settings at most, seconds


def choose(
    built: BuiltProblem,
    options: SelectionOptions,
    seed: int,
    progress: Progress | None = None,
    along: LogRange | None = None,
    budget: Budget | None = None,
    executor: Executor | None = None,
) -> tuple[Problem, Selection | None]:
    """The problem with its selected hyper-parameters, and the selection (None with --select none).

    along       a further range: that of the hyper-parameter that a path varies
    executor    scores settings in parallel; None: this process does
    """
    ranges = _ranges(built, options)
    if along is not None:
        if along.name in ranges:
            raise InputError(
                f"--grid {along.name} and --vary {along.name} give two ranges of one hyper-parameter; drop the --grid"
            )
        ranges[along.name] = along
    if options.select == "none":
        _check_given(built, options, along)
        return built.problem, None
    check_anything_to_select(options, {*built.free, *ranges})
    selection = select_with_options(built, built.problem, built.free, ranges, options, seed, progress, budget, executor)
    return selection.problem, selection


def select_with_options(
    built: BuiltProblem,
    problem: Problem,
    free: Sequence[str],
    ranges: Mapping[str, LogRange],
    options: SelectionOptions,
    seed: int,
    progress: Progress | None = None,
    budget: Budget | None = None,
    executor: Executor | None = None,
) -> Selection:
    """Call `hw4opt.selection.select`; raises `InputError` for options that exclude each other."""
    _check(problem, options, ranges)
    from hw4opt.selection import select

    selection = select(
        problem,
        free,
        method=options.select,
        search=options.search,
        grid={name: span.axis for name, span in ranges.items()},
        metric=options.metric,
        folds=options.folds,
        groups=_groups(built, problem, options),
        seed=seed if options.search_seed is None else options.search_seed,
        one_se=options.one_se,
        keep_folds=options.keep_folds,
        progress=progress,
        budget=budget,
        workers=options.workers,
        executor=executor,
    )
    log.info("%s: %d fits in %.2f s, score %.6g", selection.method, selection.fits, selection.seconds, selection.score)
    return selection


def _groups(built: BuiltProblem, problem: Problem, options: SelectionOptions) -> np.ndarray | None:
    """The group of every row; raises `InputError` if the used rows have fewer groups than folds."""
    labels = built.groups
    if labels is None:
        return None
    count = len(np.unique(labels if problem.active is None else labels[problem.active]))
    if count == 1:
        raise InputError(
            f"--groups {options.groups}: there is one group only; its rows are left out together, "
            "so at least two groups are needed"
        )
    kind, _, folds = options.select.partition(":")
    if kind == "kfold" and int(folds) > count:
        raise InputError(
            f"--select {options.select}: column {options.groups!r} has {count} groups; K must lie between 2 and {count}"
        )
    return labels


def raise_if_interrupted(selection: Selection | None) -> None:
    """Raise `KeyboardInterrupt` for an interrupted search, in commands that have no use for its partial result."""
    if selection is not None and selection.interrupted:
        raise KeyboardInterrupt


def check_selection_options(options: SelectionOptions) -> None:
    """Raise `InputError` for values that are wrong for any data."""
    kind, _, count = options.select.partition(":")
    if not (
        options.select in ("auto", *LEAVE_ONE_OUT, "none")
        or (kind == "kfold" and whole_of(count.removeprefix("-")) is not None)
    ):
        raise InputError(
            f"--select {shortened(options.select)}: there are auto, loo, loo:x, kfold:K (as in kfold:10) and none"
        )
    if kind == "kfold" and int(count) < 2:
        raise InputError(f"--select {options.select}: K must be 2 or more")
    kind, _, count = options.search.partition(":")
    if not (options.search in ("zoom", "grid") or (kind == "random" and whole_of(count))):
        raise InputError(f"--search {shortened(options.search)}: there are zoom, grid and random:N (as in random:50)")
    for text in options.grid:
        parse_range("--grid", text)
    _check_unused(options)


def _check_unused(options: SelectionOptions) -> None:
    """Raise `InputError` for given options that have no effect with the given --select."""
    if options.select == "none":
        for name in ("search", "metric", "folds", "search_seed", "one_se", "workers"):
            if typed(name):
                raise InputError(
                    f"{_option_text(name, options)} is for choosing and --select none chooses nothing; drop one of them"
                )
        if options.keep_folds:
            raise InputError("--keep-folds keeps held-out fits and --select none makes none; drop one of them")
        if options.groups is not None and typed("x"):  # without --x it excludes that column from the features
            raise InputError(
                f"--groups {options.groups} is for held-out rows and --select none holds none out; drop one of them"
            )
    if options.select in LEAVE_ONE_OUT:
        if options.groups is not None:
            conflict = (
                f"--groups {options.groups} keeps rows together and --select {options.select} holds out one at a time"
            )
            raise InputError(f"{conflict}; give --select kfold:K")
        if typed("folds"):
            one = "row" if options.select == "loo" else "x"
            conflict = f"--folds {options.folds}: with --select {options.select} every {one} is a fold of its own"
            raise InputError(f"{conflict}; drop one of them")
    if typed("search_seed") and not _uses_seed(options):
        raise InputError(
            f"--search-seed {options.search_seed}: nothing is drawn with the given --select, --folds and --search; "
            "drop it"
        )


def _option_text(name: str, options: SelectionOptions) -> str:
    value = vars(options)[name]
    return f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}")


def _uses_seed(options: SelectionOptions) -> bool:
    """Whether the seed has an effect: on random settings, shuffled folds, or a subset of rows."""
    return (
        options.search.startswith("random")
        or options.select == "auto"
        or (options.select not in LEAVE_ONE_OUT and options.folds == "shuffled")
    )


def check_anything_to_select(options: SelectionOptions, names: Collection[str]) -> None:
    """Raise `InputError` for options of the search if every hyper-parameter is given."""
    for name in ("search", "one_se"):
        if not names and typed(name):
            raise InputError(
                f"{_option_text(name, options)} is for choosing and every hyper-parameter is given; "
                "drop it, or give a --grid"
            )


def _ranges(built: BuiltProblem, options: SelectionOptions) -> dict[str, LogRange]:
    found: dict[str, LogRange] = {}
    for text in options.grid:
        span = with_full_name(built, "--grid", parse_range("--grid", text))
        if span.name in found:
            raise InputError(f"--grid {span.name} is given twice")
        found[span.name] = span
    return found


def with_full_name(built: BuiltProblem, option: str, span: LogRange) -> LogRange:
    """The range under the hyper-parameter's full name; raises `InputError` if a value is given, too."""
    name = full_name(built.problem, span.name)
    if name in built.given:
        raise InputError(f"{option} {span.name}: {name} is given a value, too; give the value or the range")
    return dataclasses.replace(span, name=name)


def full_name(problem: Problem | Model, name: str) -> str:
    """The full name of a hyper-parameter: gamma, ridge, … or huber.delta for `delta`; raises `UnknownNameError`."""
    owned = [f"{owner.name}.{item}" for owner in _owners(problem) for item in _parameters(owner)]
    known = [*problem.hyperparameters, *owned]
    matches = [name] if name in known else [one for one in known if name == one.partition(".")[2]]
    if len(matches) != 1:
        raise UnknownNameError("hyper-parameter", name, known)
    return matches[0]


def _owners(problem: Problem | Model) -> list[Any]:
    if isinstance(problem.kernel, Sum):
        return [problem.loss]
    kernels = [] if problem.kernel is None else [problem.kernel]
    return [problem.loss, *problem.regularizers, *problem.constraints, *kernels]


def _parameters(owner: Any) -> list[str]:
    return [
        item.name
        for item in dataclasses.fields(owner)
        if item.name not in ("weight", "gamma", "column", "lower", "upper")
    ]


def _check_given(built: BuiltProblem, options: SelectionOptions, along: LogRange | None) -> None:
    if options.grid:
        raise InputError(
            f"--grid {options.grid[0]} is a range to choose from and --select none chooses nothing; drop one of them"
        )
    free = [name for name in built.free if along is None or name != along.name]
    if free:
        of_components = [f"{name.removesuffix('.gamma')}=G" for name in free if name.endswith(".gamma")]
        others = [_giving(name) for name in free if not name.endswith(".gamma")]
        give = " ".join(dict.fromkeys([*([f"--gamma {','.join(of_components)}"] if of_components else []), *others]))
        verb = "is" if len(free) == 1 else "are"
        raise InputError(f"--select none chooses nothing and {' and '.join(free)} {verb} not given; give {give}")


def _giving(name: str) -> str:
    """The option that gives a hyper-parameter."""
    if HyperparameterKey.parse(name).column is not None:
        return "--gamma COL=G,…"
    return "--gamma G" if name == "gamma" else f"--reg {name}=WEIGHT"


def _check(problem: Problem, options: SelectionOptions, ranges: Mapping[str, LogRange]) -> None:
    searched = next((name for name in ranges if name.startswith(f"{problem.loss.name}.")), None)
    if searched is not None and options.metric == "loss":
        raise InputError(
            f"--metric loss rewards a shrinking loss while {searched} is searched; "
            "give --metric absolute or --metric squared"
        )
    kind, _, count = options.select.partition(":")
    rows = len(problem.active_x)
    if kind == "kfold" and int(count) > rows:
        raise InputError(f"--select {options.select}: there are {rows} rows; K must lie between 2 and {rows}")
