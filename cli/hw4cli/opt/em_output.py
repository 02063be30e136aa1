"""The output of `hw4opt em`: its part of the JSON, its tables and its figure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hw4cli.opt.em_input import EmData
from hw4cli.opt.report import coefficient
from hw4cli.translate import with_row
from hw4opt import InputError
from hw4opt.mixture.listener import Listener
from hw4opt.mixture.playlists import LEADING_COLUMNS, TRAILING_COLUMNS, Playlist, renamed
from hw4opt.mixture.result import MixtureResult
from hw4opt.mixture.selection import Choice
from hw4opt.terms.base import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SONGS = 5  # of a playlist in its table
COMPONENTS = re.compile(r"\bcomponent(s?)\b(?: (\d+(?:, \d+)*))?")


def with_moods(sentence: str) -> str:
    """A sentence of the library with moods for components, counted from 1, and the option for an exposure."""
    sentence = sentence.replace("take the log of an exposure first", "give an exposure itself by --exposure")
    return COMPONENTS.sub(_mood, sentence)


def _mood(match: re.Match[str]) -> str:
    numbers = "" if match[2] is None else " " + ", ".join(str(int(number) + 1) for number in match[2].split(", "))
    return f"mood{match[1]}{numbers}"


def result_with_moods(result: MixtureResult) -> MixtureResult:
    """The result with its sentences on moods."""
    reason = result.uncertainty.reason
    return replace(
        result,
        message=with_moods(result.message),
        uncertainty=replace(result.uncertainty, reason=None if reason is None else with_moods(reason)),
        warnings=tuple(map(with_moods, result.warnings)),
    )


def error_of_table(error: InputError, rows: np.ndarray) -> InputError:
    """The error on moods, with the table's row; rows: the table's rows (from 0) that the library was given."""
    if error.row is None:
        return InputError(with_moods(str(error)))
    row = int(rows[error.row])
    return InputError(with_moods(with_row(str(error), error.row, row)), row)


def mixture_record(result: MixtureResult, arrays: bool) -> dict[str, Any]:
    """A mixture's part of the JSON."""
    starts, uncertainty = result.starts, result.uncertainty
    record: dict[str, Any] = {
        "status": result.status.word,
        "message": result.message,
        "k": result.k,
        "truncated": result.design.law.least == 1,
        "log_likelihood": result.log_likelihood,
        "trace": result.trace,
        "proportions": result.proportions,
        "rates": result.coef,
        "feature_names": result.feature_names,
        "standard_errors": uncertainty.standard_errors,
        "bic": result.criteria.bic,
        "aic": result.criteria.aic,
        "icl": result.criteria.icl,
        "entropy": result.criteria.entropy,
        "dispersion": result.dispersion,
        "explained": result.explained,
        "cluster_sizes": result.cluster_sizes,
        "starts": vars(starts),
        "cycles": result.cycles,
        "seconds": result.seconds,
        "gradient": result.gradient,
    }
    if uncertainty.reason is not None:
        record["standard_errors_reason"] = uncertainty.reason
    return record | ({"responsibilities": result.responsibilities} if arrays else {})


def choice_record(choice: Choice | None) -> dict[str, Any]:
    """The part of --k-range in the JSON."""
    if choice is None:
        return {}
    return {
        "criterion": choice.criterion,
        **{f"{name}_by_k": choice.values(name) for name in ("bic", "aic", "icl", "held_out")},
    }


def playlist_records(lists: Sequence[Playlist], texts: dict[str, list[str]]) -> list[dict[str, Any]]:
    """The playlists' part of the JSON, with rows from 0; a column of text named as another key is catalogue_NAME."""
    records = []
    for one in lists:
        record = {
            "mood": one.mood + 1,
            "rows": one.rows,
            "scores": one.scores,
            "standard_errors": one.standard_errors,
            "explained": one.explained,
            "defining_rows": one.defining,
        }
        columns = renamed(texts, (*LEADING_COLUMNS, *TRAILING_COLUMNS, *record))
        records.append(record | {name: [column[row] for row in one.rows] for name, column in columns.items()})
    return records


def mood_columns(result: MixtureResult) -> list[str]:
    """The header of the table of moods."""
    return ["", *(f"mood {mood + 1}" for mood in range(result.k))]


def mood_rows(result: MixtureResult, truth: Listener | None) -> list[list[str]]:
    """One row per quantity: shares, then coefficients, with the true values if known."""
    found = None if truth is None else match_moods(result, truth)
    true_shares = None if truth is None or found is None else truth.proportions[found.moods]
    true_coef = None if found is None else found.coef
    errors = result.uncertainty.standard_errors
    share_of = f"share of the {'rows' if result.design.groups is None else 'groups'}"
    rows = [
        [share_of, *(_with_truth(f"{share:.1%}", true_shares, mood) for mood, share in enumerate(result.proportions))]
    ]
    rows.append(["share of the plays", *(f"{share:.1%}" for share in result.explained)])
    for place, name in enumerate(result.feature_names):
        true = None if true_coef is None else true_coef[:, place]
        cells = [
            coefficient(result.coef[mood, place], None if errors is None else errors[mood, place], digits=4)
            for mood in range(result.k)
        ]
        rows.append([name, *(_with_truth(cell, true, mood) for mood, cell in enumerate(cells))])
    return rows


def _with_truth(cell: str, true: Array | None, mood: int) -> str:
    return cell if true is None else f"{cell}  (true {true[mood]:g})"


class Match(NamedTuple):
    """The true mood of each fitted mood (k,), and the true coefficients (k, p) in the order of the fitted columns."""

    moods: np.ndarray
    coef: Array


def match_moods(result: MixtureResult, truth: Listener) -> Match | None:
    """Match by nearest coefficients; None if moods or columns differ in number or name."""
    coef = truth.coef_of(result.feature_names)
    if coef is None or len(coef) != result.k:
        return None
    orders = [np.array(order) for order in permutations(range(result.k))]
    moods = min(orders, key=lambda order: float(np.square(result.coef - coef[order]).sum()))
    return Match(moods, coef[moods])


def truth_record(result: MixtureResult, truth: Listener | None) -> dict[str, Any]:
    """The true moods for the JSON, in the order of the fitted ones."""
    found = None if truth is None else match_moods(result, truth)
    if truth is None or found is None:
        return {}
    agree = float(np.mean(found.moods[result.labels] == truth.moods))
    return {"truth": {"rates": found.coef, "proportions": truth.proportions[found.moods], "moods_right": agree}}


def notes(result: MixtureResult, data: EmData) -> list[str]:
    """The lines under the table of moods."""
    starts = result.starts
    lines = [
        f"log-likelihood {result.log_likelihood:.10g}, BIC {result.criteria.bic:.6g}, AIC {result.criteria.aic:.6g}, "
        f"ICL {result.criteria.icl:.6g}; {result.cycles} cycles, {result.seconds:.2g} s",
    ]
    if starts.tried > 1:
        next_best = "" if starts.next_best is None else f"; the next maximum is {starts.next_best:.3g} lower"
        lines.append(
            f"{starts.tried} starts tried, {starts.finished} finished, "
            f"{starts.agreed} of them in this maximum{next_best}"
        )
    truth = truth_record(result, data.truth).get("truth")
    if truth is not None:
        lines.append(f"true moods: {truth['moods_right']:.0%} of the songs are in the right one")
    return [*lines, f"{result.status.word}: {result.message}"]


def playlist_rows(one: Playlist, texts: dict[str, list[str]], most: int = MAX_SONGS) -> list[list[str]]:
    """The first songs of a playlist."""
    rows = []
    for place, row in enumerate(one.rows[:most].tolist()):
        error = np.nan if one.standard_errors is None else one.standard_errors[place]
        song = " · ".join(column[row] for column in texts.values()) or f"row {row + 1}"
        rows.append(
            [str(place + 1), song, f"{one.scores[place]:.4g}" + (f" ± {error:.2g}" if np.isfinite(error) else "")]
        )
    return rows


def song_name(row: int, texts: dict[str, list[str]]) -> str:
    """The name of a row: its first cell of text, else its number."""
    return next((column[row] for column in texts.values()), f"row {row + 1}")


def figure(result: MixtureResult, truth: Listener | None) -> Figure:
    """The figure of --plot, with the true coefficients if the columns are those of the truth."""
    from hw4opt.mixture.plotting import plot_mixture

    coef = None if truth is None else truth.coef_of(result.feature_names)
    return plot_mixture(result, coef, [f"mood {mood + 1}" for mood in range(result.k)])
