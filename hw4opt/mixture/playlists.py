"""Playlists: for each component (mood), the songs with the largest xᵀw_j.   (Assignment 1b.)"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError, shown
from hw4opt.mixture.result import MixtureResult
from hw4opt.running.files import replacing
from hw4opt.tables.write import number_cells, write_csv
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked

MIN_COMMON_SHARE = 0.8  # of the songs of two playlists, from which they are called nearly the same
DEFINING_ROWS = 3
LEADING_COLUMNS, TRAILING_COLUMNS = ("rank", "row"), ("score", "standard_error")  # around the text columns
MAX_EXTRAPOLATION = 2.0  # log plays above the most played song: a larger score is an extrapolation


@dataclass(frozen=True, eq=False)
class Playlist:
    """One mood's songs, best first.

    mood              the number of the component, from 0
    rows              of the catalogue, from 0
    scores            xᵀw_j, the log of the expected plays;  standard_errors  of the scores, or None; neither is finite
                      where a feature is too large, and an error is NaN where it is not identified
    explained         the mood's share of all plays
    defining          rows of the listener's own table with most of these plays
    """

    mood: int
    rows: np.ndarray
    scores: Array
    standard_errors: Array | None
    explained: float
    defining: np.ndarray


@checked
def make_playlists(result: MixtureResult, catalogue: ArrayLike, top: int) -> list[Playlist]:
    """The `top` rows of a catalogue (m, d) with the largest xᵀw_j, one playlist per mood; ties by row order."""
    if top < 1:
        raise InputError(f"top is {top}; it must be 1 or more")
    scores, errors = result.scores(catalogue), result.score_errors(catalogue)
    lists = []
    for mood in range(result.k):
        rows = np.argsort(-scores[:, mood], kind="stable")[:top]
        own_errors = None if errors is None else errors[rows, mood]
        explained = float(result.explained[mood])
        lists.append(Playlist(mood, rows, scores[rows, mood], own_errors, explained, defining_rows(result, mood)))
    return lists


def defining_rows(result: MixtureResult, mood: int, count: int = DEFINING_ROWS) -> np.ndarray:
    """The listener's own rows with most of a mood's plays: the largest γ_ij y_i of those labelled with it."""
    share = result.responsibilities[:, mood] * result.design.counts * result.design.weights
    members = np.flatnonzero((result.labels == mood) & (share > 0))
    return members[np.argsort(-share[members], kind="stable")[:count]]


def cautions(result: MixtureResult, catalogue: ArrayLike, lists: Sequence[Playlist]) -> list[str]:
    """A sentence for every playlist that is nearly another, is far outside the fitted songs, or is cut within a tie.

    Moods are counted from 1, as in the files' names. Playlists of the whole catalogue differ only in order, and are
    not compared.
    """
    lists, scores = [one for one in lists if len(one.rows)], result.scores(catalogue)
    found = list(_similar(lists, len(scores)))
    most, unit = _most_played(result), " a unit of exposure" if result.design.offset.any() else ""
    for one in lists:
        mood = one.mood + 1
        if unbounded := int((~_is_finite(one)).sum()):
            found.append(
                f"mood {mood}: {unbounded} of {len(one.rows)} songs have a feature so large that no number holds the "
                "score or its standard error, which is left empty"
            )
        if most + MAX_EXTRAPOLATION < one.scores[0] < np.inf:
            found.append(
                f"mood {mood} promises up to exp({one.scores[0]:.3g}) plays{unit} and the most played song has "
                f"exp({most:.3g}): its songs lie far beyond those heard, where nothing is known; a `ridge` above 0 "
                "holds it back"
            )
        tied = np.flatnonzero(scores[:, one.mood] == one.scores[-1])
        if len(tied) > 1 and not np.isin(tied, one.rows).all():
            found.append(
                f"mood {mood}'s playlist is cut within {len(tied)} songs of one score, of which the first rows were "
                "taken"
            )
    return found


def _similar(lists: Sequence[Playlist], songs: int) -> Iterator[str]:
    for one, other in combinations(lists, 2):
        common = len(np.intersect1d(one.rows, other.rows))
        if len(one.rows) < songs and common >= MIN_COMMON_SHARE * len(one.rows):
            yield (
                f"moods {one.mood + 1} and {other.mood + 1} share {common} of {len(one.rows)} songs: "
                "their playlists are nearly the same"
            )


def _most_played(result: MixtureResult) -> float:
    """The log of the plays per exposure of the most played song, on the scale of scores."""
    design = result.design.active
    played = design.counts > 0
    return float((np.log(design.counts[played]) - design.offset[played]).max(initial=-np.inf))


def _is_finite(one: Playlist) -> np.ndarray:
    """Whether each song's score and standard error are finite; NaN for an error not identified counts as finite."""
    return np.isfinite(one.scores) & (True if one.standard_errors is None else ~np.isinf(one.standard_errors))


def renamed(texts: dict[str, list[str]], taken: Collection[str]) -> dict[str, list[str]]:
    """Columns by name; a name that is already used becomes catalogue_NAME."""
    found = {}
    for name, column in texts.items():
        own = name
        while own in taken or (own != name and own in texts):
            own = f"catalogue_{own}"
        found[own] = column
    return found


def playlist_path(folder: str | Path, mood: int) -> Path:
    """The path of a mood's playlist."""
    return Path(folder) / f"mood_{mood + 1}.csv"


@checked
def write_playlists(folder: str | Path, lists: Sequence[Playlist], texts: dict[str, list[str]]) -> list[Path]:
    """Write mood_1.csv, mood_2.csv, …: rank, row (from 1), the text columns, score, standard_error.

    If one cannot be written, none is.

    texts    the catalogue's text columns by name; one with the name of a column above is written as catalogue_NAME
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
    own_texts = renamed(texts, (*LEADING_COLUMNS, *TRAILING_COLUMNS))
    with ExitStack() as stack:
        for path, one in zip(paths, lists, strict=True):
            _write(stack.enter_context(replacing(path)), one, own_texts)
    return paths


def _write(path: Path, one: Playlist, texts: dict[str, list[str]]) -> None:
    rows = one.rows.tolist()
    errors = [None] * len(rows) if one.standard_errors is None else one.standard_errors.tolist()
    leading = [str(rank) for rank in range(1, len(rows) + 1)], [str(row + 1) for row in rows]
    cells = [[column[row] for row in rows] for column in texts.values()]
    header = [*LEADING_COLUMNS, *texts, *TRAILING_COLUMNS]
    write_csv(path, header, [*leading, *cells, number_cells(one.scores.tolist()), number_cells(errors)])
