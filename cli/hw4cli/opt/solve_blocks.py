"""`hw4opt solve` of rows that are read a block at a time."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from hw4cli.opt import poisson_options
from hw4cli.opt.blocks_record import fit_record, selection_record, shown_rows, with_columns
from hw4cli.opt.build_problem import coefficient_warnings, constraints_of, terms_of, with_gammas
from hw4cli.opt.columns import Roles
from hw4cli.opt.components import is_sum
from hw4cli.opt.gamma_option import NamedGammas
from hw4cli.opt.missing_cells import dropped_rows_sentence
from hw4cli.opt.option_syntax import LogRange, parse_range
from hw4cli.opt.options import OutputOptions, ProblemOptions, SolverOptions
from hw4cli.opt.outputs import check_outputs, provenance, write_json
from hw4cli.opt.problem_file import check_digest, problem_text
from hw4cli.opt.report import description, number_text, show, warn
from hw4cli.opt.row_files import check_sizes, feature_names
from hw4cli.opt.select_hyperparameters import (
    LEAVE_ONE_OUT,
    check_anything_to_select,
    check_selection_options,
    full_name,
)
from hw4cli.opt.selection_options import SelectionOptions
from hw4cli.opt.solve import exit_status
from hw4cli.options import typed
from hw4cli.progress import Bar
from hw4opt import InputError, Status
from hw4opt.blocks import BlocksSelection, DaskRows, TableRows, fit_blocks, save_blocks, select_blocks
from hw4opt.blocks.all_rows import needs_row_duals
from hw4opt.blocks.fit import refuse
from hw4opt.blocks.rows import BlockSums, SourceSums
from hw4opt.errors import RefusedError, listed
from hw4opt.problem import Model
from hw4opt.problem.hyperparameters import GAMMA, column_key
from hw4opt.running.dask import connect
from hw4opt.running.files import write_text
from hw4opt.tables import Table, TableFiles

IN_MEMORY = {  # options whose work needs all rows at once, by their name in Python
    "plot": "--plot",
    "keep_folds": "--keep-folds",
    "groups": "--groups",
    "categorical": "--categorical",
    "errors": "--errors",
    "arrays": "--arrays",
}


def solve_in_blocks(
    files: TableFiles,
    problem_options: ProblemOptions,
    solver_options: SolverOptions,
    selection_options: SelectionOptions,
    output_options: OutputOptions,
    dask: str | None = None,
    save_problem: str | None = None,
    memory: int | None = None,
) -> int:
    """The exit status: 0 certified, 1 not, 130 interrupted; raises `InputError`. dask: the address of a scheduler."""
    _check_options(solver_options, selection_options)
    check_sizes(files, problem_options.max_input)
    if save_problem is not None and problem_options.data is None:
        raise InputError(
            "--save-problem names one file, folder or pattern as data, and DATA is several; give a pattern"
        )
    read = {f"the data {path}": str(path) for path in files.paths} | {"the problem": problem_options.problem}
    check_outputs(output_options, read, **{"save-problem": save_problem})
    if problem_options.data_sha256 is not None:
        check_digest(_nameplate(files), problem_options)
    task = _task(files, problem_options, solver_options)
    source = task.source
    with _sums(source, dask) as sums:
        with Bar("choosing", output_options.quiet) as bar:
            model, selection = _choose(task, sums, selection_options, output_options.seed, bar, memory)
        with Bar("solving", output_options.quiet):
            limits = solver_options.tol, solver_options.max_iterations, solver_options.time_limit
            result = fit_blocks(model, sums, *limits, memory)
            record = provenance(output_options.seed, files.sha256) | fit_record(result, source)
        if isinstance(sums, DaskRows):
            record["dask"] = sums.usage()._asdict()
    if selection is not None:
        selection = dataclasses.replace(selection, notes=[with_columns(note, source.x) for note in selection.notes])
    warnings = [*coefficient_warnings(model), *(one.sentence(*source.x) for one in result.breaks)]
    warnings += [] if selection is None else selection.notes
    if source.drop:
        dropped, columns = source.missing()
        record["dropped_rows"] = dropped
        if len(dropped):
            warnings.insert(0, f"{dropped_rows_sentence(dropped, columns)}, counted through all files in sorted order")
    record["warnings"] = warnings
    if selection is not None:
        record |= selection_record(selection, record["hyperparameters"], source)
    status = Status.INTERRUPTED if selection is not None and selection.interrupted else result.status
    if status is Status.INTERRUPTED:
        record |= {"status": status.word, "message": status.value}
    named = ((role, getattr(source, role)) for role in ("weights", "offset", "exposure"))
    roles = {role: name for role, name in named if name is not None}
    result = dataclasses.replace(result, context={"x": list(source.x), "y": source.y, **roles})
    write_json(record, output_options.json)
    if save_problem is not None:
        described = problem_options, solver_options, selection_options
        write_text(save_problem, problem_text(*described, _nameplate(files), os.path.dirname(save_problem)))
    if status is Status.CERTIFIED and output_options.save is not None:
        save_blocks(result, output_options.save)
    rows = [
        (name, number_text(value) if isinstance(value, float) else str(value))
        for name, value in shown_rows(record, selection)
    ]
    title = f"{description(model, source.x)}: {result.count:,} rows of {files.source}, in blocks"
    show(output_options, title, ("", ""), rows)
    warn(warnings)
    return exit_status(status, record["message"], output_options)


def _nameplate(files: TableFiles) -> Table:
    """What the files are called and their SHA-256, as a table without columns."""
    return Table({}, files.source, files.sha256)


def _check_options(solver_options: SolverOptions, selection_options: SelectionOptions) -> None:
    """Raise `InputError` for what rows in blocks do not have."""
    check_selection_options(selection_options)
    for name, option in IN_MEMORY.items():
        if typed(name):
            advice = "drop it, or fit one file with a larger --memory"
            raise InputError(f"{option} needs all rows at once and these are read in blocks; {advice}")
    if selection_options.select in LEAVE_ONE_OUT:
        raise InputError(
            f"--select {selection_options.select} needs all rows at once; give auto, which chooses on a sample, or "
            "kfold:K, which chooses on all rows"
        )
    if typed("separated") and solver_options.separated != "refuse":
        raise InputError("--separated drop needs all rows at once; leave out the separated rows, or give a ridge")


@dataclasses.dataclass(frozen=True)
class _BlocksTask:
    """The model on rows of files; free and given hyper-parameters, gammas by the place of their column."""

    model: Model
    source: TableRows
    free: tuple[str, ...]
    given: frozenset[str]


def _task(files: TableFiles, options: ProblemOptions, solver_options: SolverOptions) -> _BlocksTask:
    if is_sum(options):
        raise RefusedError("a sum of components needs all rows at once; fit one file, with a larger `memory`")
    terms = terms_of(options, sums=False)
    if options.n is not None:
        raise InputError(f"--n {options.n} sizes the built-in data, and DATA names files; give one of them")
    poisson_options.check_likelihood(terms.loss, solver_options)
    if options.offset is not None and options.exposure is not None:
        raise InputError("--offset and --exposure are two ways to say one thing; give one of them")
    taken = Roles(options.x, options.y, options.weights, options.offset, options.exposure).taken
    names = feature_names(files, options.x, taken)
    constraints = constraints_of(terms.constraints, names)
    kernel, gammas = with_gammas(terms.kernel, options.gamma, names)
    gammas = tuple(_by_place(name, names) for name in gammas)
    model = Model(
        *(kernel, terms.loss, terms.regularizers, constraints, options.intercept, options.scale == "standard")
    )
    if (refusal := refuse(model)) is not None:
        raise RefusedError(with_columns(refusal, names))
    only = "interior" if needs_row_duals(model) else "newton"
    if solver_options.solver not in ("auto", only):
        raise InputError(
            f"--solver {solver_options.solver} needs all rows at once; rows in blocks are fitted by --solver {only}"
        )
    drop = options.missing == "drop"
    source = TableRows(files, names, options.y, options.weights, options.offset, options.exposure, drop)
    if options.gamma == NamedGammas():
        return _BlocksTask(model, source, (*gammas, *terms.free), terms.given)
    return _BlocksTask(model, source, terms.free, terms.given.union(gammas))


def _by_place(name: str, columns: Sequence[str]) -> str:
    """The name of a gamma, with the place of its column for the column's name."""
    return next((column_key(place) for place, one in enumerate(columns) if name == column_key(one)), name)


@contextmanager
def _sums(source: TableRows, dask: str | None) -> Iterator[BlockSums]:
    """Sums over the rows in this process, or on the workers of a scheduler."""
    if dask is None:
        yield SourceSums(source)
        return
    with closing(connect(dask)) as client:
        yield DaskRows(source, client)


def _choose(
    task: _BlocksTask, sums: BlockSums, options: SelectionOptions, seed: int, bar: Bar, memory: int | None
) -> tuple[Model, BlocksSelection | None]:
    """The model with its hyper-parameters chosen, and how; None where all are given and no score is asked for."""
    ranges: dict[str, LogRange] = {}
    for text in options.grid:
        span = parse_range("--grid", text)
        name = full_name(task.model, _by_place(span.name, task.source.x))
        if name in task.given:
            raise InputError(f"--grid {span.name}: {name} is given a value, too; give the value or the range")
        if name in ranges:
            raise InputError(f"--grid {span.name} is given twice")
        ranges[name] = span
    names = {*task.free, *ranges}
    if options.select == "none" and names:
        words = ["--gamma" if GAMMA in name else f"--reg {name}=WEIGHT" for name in sorted(names)]
        raise InputError(f"--select none chooses nothing: give {listed(dict.fromkeys(words))}, and no --grid")
    check_anything_to_select(options, names)
    for name in ("metric", "folds", "search_seed"):
        if not names and not typed("select") and typed(name):
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} is for held-out rows, and none are held out: drop it, or give --select kfold:K")
    if options.select == "none" or not (names or typed("select")):
        return task.model, None
    selection = select_blocks(
        task.model,
        sums,
        task.free,
        method=options.select,
        search=options.search,
        grid={name: span.axis for name, span in ranges.items()},
        metric=options.metric,
        folds=options.folds,
        seed=seed if options.search_seed is None else options.search_seed,
        one_se=options.one_se,
        workers=options.workers,
        progress=bar.update,
        memory=memory,
        cost=bar.cost,
    )
    return selection.model, selection
