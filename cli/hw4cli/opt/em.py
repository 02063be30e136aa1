"""`hw4opt em`: a listener's moods from play counts, and a playlist for each."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from hw4cli.opt import moods
from hw4cli.opt.endings import Exit, say
from hw4cli.opt.listening import Listened, Listening, Songs, catalogue, read, text_columns
from hw4cli.opt.mixture_sentences import errors_in_option_words, in_option_words, with_option_words
from hw4cli.opt.options import ARRAYS, CATEGORICAL, DATA, ERRORS, READ, SAVE, WRITE, Writing, options, take, whole
from hw4cli.opt.outputs import check_outputs, draw, provenance, with_arrays, write_json
from hw4cli.opt.report import figure_line, show, warn
from hw4cli.outputs import Files
from hw4cli.progress import Bar
from hw4opt import InputError, Status
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.playlists import Playlist, cautions, make_playlists, write_playlists
from hw4opt.mixture.result import MixtureResult
from hw4opt.mixture.search import PERTURBATIONS_PER_START, Budget
from hw4opt.mixture.selection import CRITERIA, Choice, choose_k
from hw4opt.tables import STDIN

BUILT_IN = 3  # moods of the built-in listener
CYCLES = 100
PLAYLISTS = "Write mood_1.csv, mood_2.csv, … there; made if absent. A text column named rank, row, score, … is written as catalogue_rank, …"
RANGE = re.compile(r"([0-9]{1,15}):([0-9]{1,15})")
FILE = re.compile(r"mood_([1-9][0-9]{0,15})\.csv")  # `playlist_path`


@dataclass(frozen=True)
class Fitting:
    """How moods are looked for."""

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

    @property
    def counts(self) -> range | None:
        """The k of --k-range."""
        if self.k_range is None:
            return None
        match = RANGE.fullmatch(self.k_range)
        if match is None or not 1 <= (low := int(match[1])) <= (high := int(match[2])):
            raise InputError(f"--k-range {self.k_range}: give LOW:HIGH with 1 ≤ LOW ≤ HIGH, as in 1:6")
        return range(low, high + 1)


@dataclass(frozen=True)
class Ranking:
    """What playlists are made of."""

    catalogue: str | None
    top: int
    playlists: str | None


@click.command("em")
@options(
    DATA,
    (
        click.option("--x", metavar="COL[,COL…]", help="Feature columns; default: every numeric column that has no other role."),
        CATEGORICAL,
        *READ,
        click.option("--y", metavar="COL", help="The column of counts; default: y."),
        click.option("--offset", metavar="COL", help="Added to the log of the rate."),
        click.option("--exposure", metavar="COL", help="What the rate is proportional to, > 0."),
        click.option("--weights", metavar="COL", help="How often a row was seen, ≥ 0; a row of weight 0 is left out."),
        click.option("--groups", metavar="COL", help="Rows with the same cell here share one mood."),
        click.option("--k", type=whole(1), metavar="K", help="Moods; 3 for the built-in listener."),
        click.option("--k-range", metavar="LOW:HIGH", help="Try every k in the range, as in 1:6; at most as many as rows differ."),
        click.option("--criterion", type=click.Choice(CRITERIA), default="bic", show_default=True, help="What chooses k in --k-range."),
        click.option("--intercept/--no-intercept", default=True, help="A column of ones; default yes."),
        click.option("--restarts", type=whole(1), metavar="R", help=f"Most starts; default {Budget().starts}."),
        click.option("--search", type=whole(0), metavar="N", help=f"Most perturbations; default {PERTURBATIONS_PER_START} for each start."),
        click.option(
            "--search-seconds",
            type=click.FloatRange(0, min_open=True),
            metavar="S",
            help="A further cap on the search, all k of --k-range together; runs stop where they are.",
        ),
        click.option("--ridge", type=click.FloatRange(min=0), default=0.0, show_default=True, metavar="W", help="W·Σ‖w‖² in the M-step."),
        click.option("--quasi", is_flag=True, help="Take fractional counts."),
        click.option("--truncated", is_flag=True, help="The law of counts that were seen because they are at least 1."),
        click.option("--plain", is_flag=True, help="The textbook's EM from the labels in --init, --cycles of it."),
        click.option("--init", metavar="COL", help="With --plain: labels 0 … k-1, one a row."),
        click.option("--cycles", type=whole(1), metavar="N", help=f"With --plain: exactly N cycles; default {CYCLES}."),
        click.option("--catalogue", metavar="CSV", help="Songs with the same features, to rank; default: DATA's own."),
        click.option("--top", type=whole(1), default=20, show_default=True, metavar="N", help="Songs of a playlist."),
        click.option("--playlists", metavar="DIR", help=PLAYLISTS),
    ),
    ERRORS,
    SAVE,
    ARRAYS,
    WRITE,
)
def command(**given: Any) -> int:
    """Find a listener's k moods by EM, and make a playlist for each.

    Every mood is a Poisson regression of the counts on the features; nobody says which count came from which mood. DATA is a CSV with a
    header, or a Parquet file. Left out: a simulated listener, whose true moods are shown beside those found.
    """
    return em(take(Listening, given), take(Fitting, given), take(Ranking, given), take(Writing, given))


def em(listening: Listening, fitting: Fitting, ranking: Ranking, writing: Writing) -> int:
    """The exit status: 0 stationary to tolerance, 1 not."""
    _check_words(listening, fitting, ranking)
    inputs = {"the data": listening.data, "the catalogue": ranking.catalogue}
    check_outputs(writing, inputs, *_playlist_files(ranking, fitting))
    listened = read(listening)
    songs = None if ranking.catalogue is None and ranking.playlists is None else catalogue(listened, ranking.catalogue, listening)
    rows = np.flatnonzero(~listened.sheet.dropped)
    with Bar("searching", writing.quiet) as bar, errors_in_option_words(rows):
        result, choice = _fit(listening, fitting, listened, bar)
    result = with_option_words(result)
    lists = [] if songs is None else make_playlists(result, songs.x, ranking.top)
    texts = {} if songs is None else songs.texts
    warnings = [
        *listened.warnings,
        *(() if choice is None else choice.warnings),
        *result.warnings,
        *([] if songs is None else [*songs.warnings, *map(in_option_words, cautions(result, songs.x, lists))]),
        *_left_over(result, ranking),
    ]
    lists = [] if songs is None else _in_table(lists, songs, listened)
    record = provenance(writing.seed, listened.sheet.table.sha256) | moods.answer(result, with_arrays(writing, len(listened.plays)))
    record |= {"errors": fitting.errors} | moods.chosen(choice) | moods.known(result, listened.truth)
    record |= listened.sheet.record() | {"warnings": warnings} | ({} if songs is None else {"playlists": moods.listed(lists, texts)})
    write_json(listened.sheet.blanked(record), writing.json)
    if result.status is Status.CERTIFIED:
        draw(writing.plot, lambda: moods.figure(result, listened.truth))
        if writing.save is not None:
            dataclasses.replace(result.components, context=listening.context(listened)).save(writing.save)
        if ranking.playlists is not None:
            write_playlists(ranking.playlists, lists, texts)
    _show(result, choice, listened, writing)
    _show_lists(lists, texts, text_columns(listened.sheet.table), writing)
    warn(warnings)
    return _ending(result, ranking, writing)


def _check_words(listening: Listening, fitting: Fitting, ranking: Ranking) -> None:
    """Raise `InputError` for options that do not go together, before any work."""
    if listening.data == ranking.catalogue == STDIN:
        raise InputError("DATA and --catalogue are both standard input, which is read once; give a file for one of them")
    if fitting.k is not None and fitting.counts is not None:
        raise InputError(f"--k {fitting.k} and --k-range {fitting.k_range} both say how many moods; give one of them")
    if fitting.k is None and fitting.counts is None and listening.data is not None:
        raise InputError("how many moods is not given; give --k K, or --k-range 1:6 to choose")
    if not fitting.plain:
        for name, value in (("init", listening.init), ("cycles", fitting.cycles)):
            if value is not None:
                raise InputError(f"--{name} {value} belongs to --plain; give --plain, too, or drop it")
        return
    if listening.init is None or fitting.k_range is not None:
        raise InputError("--plain starts from given labels of one k: give --init COL and --k K")
    for name, value in (("restarts", fitting.restarts), ("search", fitting.search), ("search-seconds", fitting.search_seconds)):
        if value is not None:
            raise InputError(f"--{name} {value} belongs to the search and --plain does none; drop one of them")


def _playlist_files(ranking: Ranking, fitting: Fitting) -> list[Files]:
    """The files that the most moods would be written to; none without --playlists."""
    if ranking.playlists is None:
        return []
    most = fitting.counts[-1] if fitting.counts is not None else fitting.k or BUILT_IN

    def meant(name: str) -> bool:
        match = FILE.fullmatch(name)
        return match is not None and int(match[1]) <= most

    return [Files(f"--playlists {ranking.playlists}", ranking.playlists, meant)]


def _left_over(result: MixtureResult, ranking: Ranking) -> list[str]:
    """A sentence for playlists in the folder that this fit, which has fewer moods, does not write over."""
    folder = Path(ranking.playlists or "")
    if ranking.playlists is None or result.status is not Status.CERTIFIED or not folder.is_dir():
        return []
    numbers = sorted(int(match[1]) for path in folder.iterdir() if (match := FILE.fullmatch(path.name)))
    files = [f"mood_{number}.csv" for number in numbers if number > result.k]
    few = ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    return [f"--playlists {folder} also holds {few}, not of this fit: it has k = {result.k}"] if files else []


def _in_table(lists: Sequence[Playlist], songs: Songs, listened: Listened) -> list[Playlist]:
    """The playlists by rows of the tables, also where some were dropped."""
    own = np.flatnonzero(~listened.sheet.dropped)
    return [dataclasses.replace(one, rows=songs.rows[one.rows], defining=own[one.defining]) for one in lists]


def _fit(listening: Listening, fitting: Fitting, listened: Listened, bar: Bar) -> tuple[MixtureResult, Choice | None]:
    budget = Budget(
        Budget().starts if fitting.restarts is None else fitting.restarts,
        fitting.search,
        fitting.search_seconds,
    )
    k = fitting.k or BUILT_IN
    model = PoissonMixture(
        k, listening.intercept, fitting.ridge, listening.quasi, budget, listening.seed, listening.truncated, fitting.errors
    )
    data = listened.features, listened.plays, listened.rows
    if fitting.plain:
        assert listened.labels is not None
        return model.fit_plain(data[0], data[1], listened.labels, fitting.cycles or CYCLES, data[2]), None
    if fitting.counts is not None:
        x, y, rows = data
        choice = choose_k(model, x, y, fitting.counts, rows, fitting.criterion, lambda k: bar.say(f"searching {k} moods"))
        return choice.best, choice
    return model.fit(*data, bar.update), None


def _show(result: MixtureResult, choice: Choice | None, listened: Listened, writing: Writing) -> None:
    if choice is not None:
        columns = [name for name in CRITERIA if choice.values(name)]
        rows = [[str(k), *(f"{choice.values(name)[k]:.6g}" for name in columns)] for k in choice.results]
        show(writing, f"Moods by {choice.criterion}", ["k", *columns], rows)
    title = f"{result.k} moods: {listened.sheet.table.source}, {len(listened.plays)} rows"
    lines = [*moods.notes(result, listened), *figure_line(writing, "moods.png")]
    show(writing, title, moods.mood_columns(result), moods.mood_rows(result, listened.truth), lines)


def _show_lists(lists: list[Playlist], texts: dict[str, list[str]], heard: dict[str, list[str]], writing: Writing) -> None:
    for one in lists:
        defining = ", ".join(moods.song(int(row), heard) for row in one.defining)
        title = f"Mood {one.mood + 1}: {one.explained:.1%} of the plays" + (f", above all {defining}" if defining else "")
        more = [f"… {len(one.rows)} songs"] if len(one.rows) > moods.SHOWN else []
        show(writing, title, ("", "song", "score"), moods.playlist_rows(one, texts), more)


def _ending(result: MixtureResult, ranking: Ranking, writing: Writing) -> Exit:
    if result.status is Status.CERTIFIED:
        return Exit.CERTIFIED
    paths = (*_written(writing)[1:], ("playlists", ranking.playlists))
    kept = [f"--{option} {path}" for option, path in paths if path is not None]
    say(f"{result.status.word}: {result.message}" + (f" ({' and '.join(kept)} not written)" if kept else ""))
    return Exit.UNPROVEN


def _written(writing: Writing) -> tuple[tuple[str, str | None], ...]:
    return ("json", writing.json), ("plot", writing.plot), ("save", writing.save)
