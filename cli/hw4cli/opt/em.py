"""`hw4opt em`: a listener's moods from play counts, and a playlist for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from hw4cli.opt import em_output
from hw4cli.opt.em_input import Catalogue, EmData, EmDataOptions, read_catalogue, read_data, text_columns
from hw4cli.opt.em_options import (
    BUILT_IN_MOODS,
    EM_OPTIONS,
    PLAIN_CYCLES,
    PLAYLIST_FILE,
    MixtureOptions,
    PlaylistOptions,
)
from hw4cli.opt.em_report import ReportedMoods, em_report
from hw4cli.opt.executors import executor_of
from hw4cli.opt.exit_status import Exit, say
from hw4cli.opt.options import ARRAYS, DATA_TABLE, MODEL_FILE, OUTPUT, STANDARD_ERRORS, OutputOptions
from hw4cli.opt.outputs import check_outputs, draw, provenance, with_arrays, write_json
from hw4cli.opt.report import figure_line, show, warn
from hw4cli.options import options, take
from hw4cli.output_paths import Files
from hw4cli.progress import Bar
from hw4opt import InputError, Status
from hw4opt.mixture.budget import Budget
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.playlists import Playlist, cautions, make_playlists, write_playlists
from hw4opt.mixture.result import MixtureResult
from hw4opt.mixture.selection import CRITERIA, Choice, choose_k
from hw4opt.running.files import write_text
from hw4opt.running.processes import Executor
from hw4opt.tables import STDIN


@click.command("em")
@options(
    DATA_TABLE,
    EM_OPTIONS,
    STANDARD_ERRORS,
    MODEL_FILE,
    ARRAYS,
    OUTPUT,
)
def command(**given: Any) -> int:
    """Find a listener's k moods by EM, and make a playlist for each.

    Every mood is a Poisson regression of the counts on the features; which count came from which mood is not observed.
    DATA is a CSV with a header, or a Parquet file. Without it: a simulated listener, whose true moods are shown, too.
    """
    return em(
        take(EmDataOptions, given),
        take(MixtureOptions, given),
        take(PlaylistOptions, given),
        take(OutputOptions, given),
    )


def em(
    data_options: EmDataOptions,
    mixture_options: MixtureOptions,
    playlist_options: PlaylistOptions,
    output_options: OutputOptions,
) -> int:
    """The exit status: 0 stationary to tolerance, 1 not."""
    _check_options(data_options, mixture_options, playlist_options)
    inputs = {"the data": data_options.data, "the catalogue": playlist_options.catalogue}
    report = {"report": playlist_options.report}
    check_outputs(output_options, inputs, *_playlist_files(playlist_options, mixture_options), **report)
    data = read_data(data_options)
    songs = read_catalogue(data, playlist_options.catalogue, data_options) if playlist_options.wanted else None
    where = executor_of(mixture_options.dask, mixture_options.workers or 1)
    with where as executor, Bar("searching", output_options.quiet) as bar:
        try:
            result, choice = _fit(data_options, mixture_options, data, bar, executor)
        except InputError as error:
            raise em_output.error_of_table(error, np.flatnonzero(~data.columns.dropped)) from error
    result = em_output.result_with_moods(result)
    lists = [] if songs is None else make_playlists(result, songs.x, playlist_options.top)
    texts = {} if songs is None else songs.texts
    warnings = [
        *data.warnings,
        *(() if choice is None else choice.warnings),
        *result.warnings,
        *([] if songs is None else [*songs.warnings, *cautions(result, songs.x, lists)]),
        *_stale_playlists(result, playlist_options),
    ]
    lists = [] if songs is None else _with_table_rows(lists, songs, data)
    record = provenance(output_options.seed, data.columns.table.sha256) | em_output.mixture_record(
        result, with_arrays(output_options, len(data.counts))
    )
    record |= (
        {"errors": mixture_options.errors}
        | em_output.choice_record(choice)
        | em_output.truth_record(result, data.truth)
    )
    record |= (
        data.columns.record()
        | {"warnings": warnings}
        | ({} if songs is None else {"playlists": em_output.playlist_records(lists, texts)})
    )
    write_json(data.columns.with_blank_rows(record), output_options.json)
    if playlist_options.report is not None:
        origin = provenance(output_options.seed, data.columns.table.sha256)
        about = ReportedMoods(result, choice, data, lists, texts, warnings, origin)
        write_text(playlist_options.report, em_report(about))
    if result.status is Status.CERTIFIED:
        draw(output_options, lambda: em_output.figure(result, data.truth))
        if output_options.save is not None:
            dataclasses.replace(result.components, context=data_options.context(data)).save(output_options.save)
        if playlist_options.playlists is not None:
            write_playlists(playlist_options.playlists, lists, texts)
    _show(result, choice, data, output_options)
    _show_lists(lists, texts, text_columns(data.columns.table), output_options)
    warn(warnings)
    return _exit_status(result, playlist_options, output_options)


def _check_options(
    data_options: EmDataOptions, mixture_options: MixtureOptions, playlist_options: PlaylistOptions
) -> None:
    """Raise `InputError` for options that exclude each other, before any work."""
    if data_options.data == playlist_options.catalogue == STDIN:
        raise InputError(
            "DATA and --catalogue are both standard input, which is read once; give a file for one of them"
        )
    if mixture_options.k is not None and mixture_options.k_values is not None:
        raise InputError(
            f"--k {mixture_options.k} and --k-range {mixture_options.k_range} both give the number of moods; drop one"
        )
    if mixture_options.k is None and mixture_options.k_values is None and data_options.data is not None:
        raise InputError("the number of moods is not given; give --k K, or --k-range 1:6 to choose")
    if mixture_options.workers is not None and mixture_options.dask is not None:
        raise InputError(
            f"--workers {mixture_options.workers} are processes and --dask {mixture_options.dask} has workers of its "
            "own; drop one"
        )
    if not mixture_options.plain:
        for name, value in (("init", data_options.init), ("cycles", mixture_options.cycles)):
            if value is not None:
                raise InputError(f"--{name} {value} belongs to --plain; give --plain, too, or drop it")
        return
    if data_options.init is None or mixture_options.k_range is not None:
        raise InputError("--plain starts from given labels of one k: give --init COL and --k K")
    for name, value in (
        ("restarts", mixture_options.restarts),
        ("search", mixture_options.search),
        ("search-seconds", mixture_options.search_seconds),
        ("workers", mixture_options.workers),
        ("dask", mixture_options.dask),
    ):
        if value is not None:
            raise InputError(f"--{name} {value} belongs to the search, which --plain does not do; drop one of them")


def _playlist_files(playlist_options: PlaylistOptions, mixture_options: MixtureOptions) -> list[Files]:
    """The playlist files for the largest possible number of moods; none without --playlists."""
    if playlist_options.playlists is None:
        return []
    max_moods = (
        mixture_options.k_values[-1] if mixture_options.k_values is not None else mixture_options.k or BUILT_IN_MOODS
    )

    def is_playlist(name: str) -> bool:
        match = PLAYLIST_FILE.fullmatch(name)
        return match is not None and int(match[1]) <= max_moods

    return [Files(f"--playlists {playlist_options.playlists}", playlist_options.playlists, is_playlist)]


def _stale_playlists(result: MixtureResult, playlist_options: PlaylistOptions) -> list[str]:
    """A warning on playlists of other fits that stay in the folder, because this fit has fewer moods."""
    folder = Path(playlist_options.playlists or "")
    if playlist_options.playlists is None or result.status is not Status.CERTIFIED or not folder.is_dir():
        return []
    numbers = sorted(int(match[1]) for path in folder.iterdir() if (match := PLAYLIST_FILE.fullmatch(path.name)))
    files = [f"mood_{number}.csv" for number in numbers if number > result.k]
    few = ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    return [f"--playlists {folder} also holds {few}, not of this fit: it has k = {result.k}"] if files else []


def _with_table_rows(lists: Sequence[Playlist], songs: Catalogue, data: EmData) -> list[Playlist]:
    """The playlists with the rows of the tables, in which dropped rows count."""
    own = np.flatnonzero(~data.columns.dropped)
    return [dataclasses.replace(one, rows=songs.rows[one.rows], defining=own[one.defining]) for one in lists]


def _fit(
    data_options: EmDataOptions, mixture_options: MixtureOptions, data: EmData, bar: Bar, executor: Executor
) -> tuple[MixtureResult, Choice | None]:
    budget = Budget(
        Budget().starts if mixture_options.restarts is None else mixture_options.restarts,
        mixture_options.search,
        mixture_options.search_seconds,
    )
    k = mixture_options.k or BUILT_IN_MOODS
    model = PoissonMixture(
        k,
        data_options.intercept,
        mixture_options.ridge,
        data_options.quasi,
        budget,
        data_options.seed,
        data_options.truncated,
        mixture_options.errors,
    )
    if mixture_options.plain:
        assert data.labels is not None
        cycles = mixture_options.cycles or PLAIN_CYCLES
        return model.fit_plain(data.features, data.counts, data.labels, cycles, data.rows), None
    if mixture_options.k_values is not None:
        choice = choose_k(
            model,
            data.features,
            data.counts,
            mixture_options.k_values,
            data.rows,
            mixture_options.criterion,
            lambda k: bar.describe(f"searching {k} moods"),
            executor,
        )
        return choice.best, choice
    return model.fit(data.features, data.counts, data.rows, bar.update, executor), None


def _show(result: MixtureResult, choice: Choice | None, data: EmData, output_options: OutputOptions) -> None:
    if choice is not None:
        columns = [name for name in CRITERIA if choice.values(name)]
        rows = [[str(k), *(f"{choice.values(name)[k]:.6g}" for name in columns)] for k in choice.results]
        show(output_options, f"Moods by {choice.criterion}", ["k", *columns], rows)
    title = f"{result.k} moods: {data.columns.table.source}, {len(data.counts)} rows"
    lines = [*em_output.notes(result, data), *figure_line(output_options, "moods.png")]
    show(output_options, title, em_output.mood_columns(result), em_output.mood_rows(result, data.truth), lines)


def _show_lists(
    lists: list[Playlist], texts: dict[str, list[str]], own_texts: dict[str, list[str]], output_options: OutputOptions
) -> None:
    for one in lists:
        defining = ", ".join(em_output.song_name(int(row), own_texts) for row in one.defining)
        title = f"Mood {one.mood + 1}: {one.explained:.1%} of the plays" + (
            f", above all {defining}" if defining else ""
        )
        more = [f"… {len(one.rows)} songs"] if len(one.rows) > em_output.MAX_SONGS else []
        show(output_options, title, ("", "song", "score"), em_output.playlist_rows(one, texts), more)


def _exit_status(result: MixtureResult, playlist_options: PlaylistOptions, output_options: OutputOptions) -> Exit:
    if result.status is Status.CERTIFIED:
        return Exit.CERTIFIED
    paths = {"plot": output_options.plot, "save": output_options.save, "playlists": playlist_options.playlists}
    not_written = [f"--{option} {path}" for option, path in paths.items() if path is not None]
    say(
        f"{result.status.word}: {result.message}"
        + (f" ({' and '.join(not_written)} not written)" if not_written else "")
    )
    return Exit.UNPROVEN
