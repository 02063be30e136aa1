"""Choosing what was not given: the options checked and handed to `hw4opt.selection`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hw4cli.opt.describe import Description
from hw4cli.opt.options import Choosing
from hw4cli.opt.words import Range, parse_range
from hw4cli.options import typed
from hw4opt import InputError, Problem, UnknownNameError
from hw4opt.errors import shortened
from hw4opt.validation.arguments import whole_of

if TYPE_CHECKING:
    from hw4opt.selection import Selection

log = logging.getLogger("hw4opt.cli")

LEAVE_ONE_OUT = ("loo", "loo:x")

Progress = Callable[[int, int, float], None]


def choose(
    description: Description, options: Choosing, seed: int, progress: Progress | None = None, along: Range | None = None
) -> tuple[Problem, Selection | None]:
    """The problem at its chosen hyper-parameters, and how they were chosen (None with --select none).

    `along` is one more range: of a hyper-parameter that a path will vary.
    """
    ranges = _ranges(description, options)
    if along is not None:
        if along.name in ranges:
            raise InputError(f"--grid {along.name} and --vary {along.name} give two ranges of one hyper-parameter; drop the --grid")
        ranges[along.name] = along
    if options.select == "none":
        _check_given(description, options, along)
        return description.problem, None
    check_open(options, {*description.free, *ranges})
    selection = held_out(description, description.problem, description.free, ranges, options, seed, progress)
    return selection.problem, selection


def held_out(
    description: Description,
    problem: Problem,
    free: Sequence[str],
    ranges: Mapping[str, Range],
    options: Choosing,
    seed: int,
    progress: Progress | None = None,
) -> Selection:
    """`hw4opt.selection.select` with the options' words; raises `InputError` for options that do not go together."""
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
        groups=_groups(description, problem, options),
        seed=seed if options.search_seed is None else options.search_seed,
        one_se=options.one_se,
        progress=progress,
        **({} if options.workers is None else {"workers": options.workers}),
    )
    log.info("%s: %d fits in %.2f s, score %.6g", selection.method, selection.fits, selection.seconds, selection.score)
    return selection


def _groups(description: Description, problem: Problem, options: Choosing) -> np.ndarray | None:
    """The group of every row; raises `InputError` where the rows in use have fewer groups than folds need."""
    labels = description.groups
    if labels is None:
        return None
    count = len(np.unique(labels if problem.active is None else labels[problem.active]))
    if count == 1:
        raise InputError(f"--groups {options.groups}: there is one group only; its rows leave together, so at least two groups are needed")
    kind, _, folds = options.select.partition(":")
    if kind == "kfold" and int(folds) > count:
        raise InputError(f"--select {options.select}: column {options.groups!r} has {count} groups; K must lie between 2 and {count}")
    return labels


def completed(selection: Selection | None) -> None:
    """Raise `KeyboardInterrupt` for a search that one cut short: for commands to which a part of it is no use."""
    if selection is not None and selection.interrupted:
        raise KeyboardInterrupt


def check_choosing(options: Choosing) -> None:
    """Raise `InputError` for what is wrong whatever the data are."""
    kind, _, count = options.select.partition(":")
    if not (options.select in ("auto", *LEAVE_ONE_OUT, "none") or (kind == "kfold" and whole_of(count.removeprefix("-")) is not None)):
        raise InputError(f"--select {shortened(options.select)}: there are auto, loo, loo:x, kfold:K (as in kfold:10) and none")
    if kind == "kfold" and int(count) < 2:
        raise InputError(f"--select {options.select}: K must be 2 or more")
    kind, _, count = options.search.partition(":")
    if not (options.search in ("zoom", "grid") or (kind == "random" and whole_of(count))):
        raise InputError(f"--search {shortened(options.search)}: there are zoom, grid and random:N (as in random:50)")
    for text in options.grid:
        parse_range("--grid", text)
    _check_meaning(options)


def _check_meaning(options: Choosing) -> None:
    """Raise `InputError` for options that were typed and that --select leaves without a meaning."""
    if options.select == "none":
        for name in ("search", "metric", "folds", "search_seed", "one_se", "workers"):
            if typed(name):
                raise InputError(f"{_as_typed(name, options)} is for choosing and --select none chooses nothing; drop one of them")
        if options.groups is not None and typed("x"):  # without --x it says which column is no feature
            raise InputError(f"--groups {options.groups} is for held-out rows and --select none holds none out; drop one of them")
    if options.select in LEAVE_ONE_OUT:
        if options.groups is not None:
            said = f"--groups {options.groups} keeps rows together and --select {options.select} holds out one at a time"
            raise InputError(f"{said}; give --select kfold:K")
        if typed("folds"):
            one = "row" if options.select == "loo" else "x"
            said = f"--folds {options.folds}: with --select {options.select} every {one} is a fold of its own"
            raise InputError(f"{said}; drop one of them")
    if typed("search_seed") and not _draws(options):
        raise InputError(f"--search-seed {options.search_seed}: nothing is drawn with the given --select, --folds and --search; drop it")


def _as_typed(name: str, options: Choosing) -> str:
    value = vars(options)[name]
    return f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}")


def _draws(options: Choosing) -> bool:
    """Whether a seed matters: to random settings, shuffled folds, or rows of a subset."""
    return (
        options.search.startswith("random")
        or options.select == "auto"
        or (options.select not in LEAVE_ONE_OUT and options.folds == "shuffled")
    )


def check_open(options: Choosing, names: Collection[str]) -> None:
    """Raise `InputError` for options on what is tried where nothing but one setting is."""
    for name in ("search", "one_se"):
        if not names and typed(name):
            raise InputError(f"{_as_typed(name, options)} is for choosing and every hyper-parameter is given; drop it, or give a --grid")


def _ranges(description: Description, options: Choosing) -> dict[str, Range]:
    found: dict[str, Range] = {}
    for text in options.grid:
        span = named(description, "--grid", parse_range("--grid", text))
        if span.name in found:
            raise InputError(f"--grid {span.name} is given twice")
        found[span.name] = span
    return found


def named(description: Description, option: str, span: Range) -> Range:
    """The range with the hyper-parameter's full name; raises `InputError` if that was given a value, too."""
    name = full_name(description.problem, span.name)
    if name in description.given:
        raise InputError(f"{option} {span.name}: {name} is given a value, too; give the value or the range")
    return dataclasses.replace(span, name=name)


def full_name(problem: Problem, name: str) -> str:
    """The hyper-parameter meant by a name: gamma, ridge, … or `delta` for huber.delta; raises `UnknownNameError`."""
    owned = [f"{owner.name}.{item}" for owner in _owners(problem) for item in _parameters(owner)]
    known = [*problem.hyperparameters, *owned]
    meant = [one for one in known if name in (one, one.partition(".")[2])]
    if len(meant) != 1:
        raise UnknownNameError("hyper-parameter", name, known)
    return meant[0]


def _owners(problem: Problem) -> list[Any]:
    return [problem.loss, *problem.regularizers, *problem.constraints, *([] if problem.kernel is None else [problem.kernel])]


def _parameters(owner: Any) -> list[str]:
    return [item.name for item in dataclasses.fields(owner) if item.name not in ("weight", "gamma", "column", "lower", "upper")]


def _check_given(description: Description, options: Choosing, along: Range | None) -> None:
    if options.grid:
        raise InputError(f"--grid {options.grid[0]} is a range to choose from and --select none chooses nothing; drop one of them")
    free = [name for name in description.free if along is None or name != along.name]
    if free:
        give = " ".join("--gamma G" if name == "gamma" else f"--reg {name}=WEIGHT" for name in free)
        verb = "is" if len(free) == 1 else "are"
        raise InputError(f"--select none chooses nothing and {' and '.join(free)} {verb} not given; give {give}")


def _check(problem: Problem, options: Choosing, ranges: Mapping[str, Range]) -> None:
    searched = next((name for name in ranges if name.startswith(f"{problem.loss.name}.")), None)
    if searched is not None and options.metric == "loss":
        raise InputError(f"--metric loss rewards a shrinking loss while {searched} is searched; give --metric absolute or --metric squared")
    kind, _, count = options.select.partition(":")
    rows = len(problem.active_x)
    if kind == "kfold" and int(count) > rows:
        raise InputError(f"--select {options.select}: there are {rows} rows; K must lie between 2 and {rows}")
