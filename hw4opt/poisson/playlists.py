"""Playlists: the songs of a catalogue that each mood ranks highest by xᵀw_j.   (Assignment 1b.)"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.arguments import checked
from hw4opt.errors import InputError, shown
from hw4opt.files import replacing
from hw4opt.poisson.moods import MixtureResult
from hw4opt.tables.write import number_cells, write_csv
from hw4opt.terms.base import Array

ALIKE = 0.8  # share of songs in common from which two playlists are said to be nearly the same
DEFINING = 3
BEFORE, AFTER = ("rank", "row"), ("score", "standard_error")  # columns of a file, the text columns between them
BEYOND = 2.0  # log plays above the most played song from which a score is no forecast


@dataclass(frozen=True, eq=False)
class Playlist:
    """One mood's songs, best first.

    rows              of the catalogue, from 0;  scores  xᵀw_j, the log of the expected plays;  standard_errors  of the scores, or None;
                      neither is finite where a feature is too large for it, and an error is NaN where it is not identified
    explained         share of the listening that the mood explains;  defining  rows of the listener's own table that are most of it
    """

    mood: int
    rows: np.ndarray
    scores: Array
    standard_errors: Array | None
    explained: float
    defining: np.ndarray


@checked
def make_playlists(result: MixtureResult, catalogue: ArrayLike, top: int) -> list[Playlist]:
    """The `top` rows of a catalogue (m, d) with the largest xᵀw_j, a list for each mood; ties by row order."""
    if top < 1:
        raise InputError(f"top is {top}; it must be 1 or more")
    scores, errors = result.scores(catalogue), result.score_errors(catalogue)
    lists = []
    for mood in range(result.k):
        rows = np.argsort(-scores[:, mood], kind="stable")[:top]
        spread = None if errors is None else errors[rows, mood]
        lists.append(Playlist(mood, rows, scores[rows, mood], spread, float(result.explained[mood]), defining_rows(result, mood)))
    return lists


def defining_rows(result: MixtureResult, mood: int, count: int = DEFINING) -> np.ndarray:
    """The listener's own rows that make most of a mood: the largest γ_ij y_i among those that most likely belong to it."""
    share = result.responsibilities[:, mood] * result.design.counts * result.design.weights
    members = np.flatnonzero((result.labels == mood) & (share > 0))
    return members[np.argsort(-share[members], kind="stable")[:count]]


def cautions(result: MixtureResult, catalogue: ArrayLike, lists: Sequence[Playlist]) -> list[str]:
    """A sentence for every playlist to be read with care: like another, drawn from far beyond the songs heard, or cut within a tie.

    Playlists that hold the whole catalogue differ in order alone, and are not said to be alike.
    """
    said: list[str] = []
    lists, scores = [one for one in lists if len(one.rows)], result.scores(catalogue)
    for one, other in combinations(lists, 2):
        common = len(np.intersect1d(one.rows, other.rows))
        if len(one.rows) < len(scores) and common >= ALIKE * len(one.rows):
            said.append(
                f"moods {one.mood + 1} and {other.mood + 1} share {common} of {len(one.rows)} songs: their playlists are nearly the same"
            )
    heard, unit = _most(result), " a unit of exposure" if result.design.offset.any() else ""
    for one in lists:
        if wild := int((~_finite(one)).sum()):
            said.append(
                f"mood {one.mood + 1}: {wild} of {len(one.rows)} songs have a feature so large that no number holds the score or its "
                "standard error, which is left empty"
            )
        if heard + BEYOND < one.scores[0] < np.inf:
            said.append(
                f"mood {one.mood + 1} promises up to exp({one.scores[0]:.3g}) plays{unit} and the most played song has exp({heard:.3g}): "
                "its songs lie far beyond those heard, where nothing is known; a `ridge` above 0 holds it back"
            )
        tied = int((scores[:, one.mood] == one.scores[-1]).sum())
        if tied > 1 and not np.isin(np.flatnonzero(scores[:, one.mood] == one.scores[-1]), one.rows).all():
            said.append(f"mood {one.mood + 1}'s playlist is cut within {tied} songs of one score, of which the first rows were taken")
    return said


def _most(result: MixtureResult) -> float:
    """The log of the plays of the most played song, over its exposure, as scores are."""
    design = result.design.active
    played = design.counts > 0
    return float((np.log(design.counts[played]) - design.offset[played]).max(initial=-np.inf))


def _finite(one: Playlist) -> np.ndarray:
    """Of each song, whether score and standard error are finite; an error of what is not identified is NaN and does not count."""
    return np.isfinite(one.scores) & (True if one.standard_errors is None else ~np.isinf(one.standard_errors))


def renamed(texts: dict[str, list[str]], taken: Collection[str]) -> dict[str, list[str]]:
    """Columns by name; one whose name is taken goes by catalogue_NAME."""
    found = {}
    for name, column in texts.items():
        own = name
        while own in taken or (own != name and own in texts):
            own = f"catalogue_{own}"
        found[own] = column
    return found


def playlist_path(folder: str | Path, mood: int) -> Path:
    """Where a mood's playlist is written."""
    return Path(folder) / f"mood_{mood + 1}.csv"


@checked
def write_playlists(folder: str | Path, lists: Sequence[Playlist], texts: dict[str, list[str]]) -> list[Path]:
    """mood_1.csv, mood_2.csv, …: rank, row (from 1), the text columns, score, standard_error; all of them or, where one fails, none.

    texts    the catalogue's text columns by name; one named as a column above is written as catalogue_NAME
    """
    folder = Path(folder)
    for name, cells in texts.items():
        if not isinstance(cells, Sequence) or any(len(cells) <= one.rows.max(initial=-1) for one in lists):
            raise InputError(f"texts[{name!r}] is {shown(cells)}; give a cell for each row of the catalogue")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error
    paths = [playlist_path(folder, one.mood) for one in lists]
    with ExitStack() as stack:
        for path, one in zip(paths, lists, strict=True):
            _write(stack.enter_context(replacing(path)), one, renamed(texts, (*BEFORE, *AFTER)))
    return paths


def _write(path: Path, one: Playlist, texts: dict[str, list[str]]) -> None:
    rows = one.rows.tolist()
    errors = [None] * len(rows) if one.standard_errors is None else one.standard_errors.tolist()
    ranks = [str(rank) for rank in range(1, len(rows) + 1)], [str(row + 1) for row in rows]
    cells = [[column[row] for row in rows] for column in texts.values()]
    write_csv(path, [*BEFORE, *texts, *AFTER], [*ranks, *cells, number_cells(one.scores.tolist()), number_cells(errors)])
