"""The report of `hw4opt em`: moods, their number, playlists, and the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw4cli.opt import em_output
from hw4cli.opt.em_input import EmData, text_columns
from hw4cli.pages.markup import notes, pairs, paragraph, section, table, verdict
from hw4cli.pages.report import Chart, Charts, Series, made_by, report_page
from hw4cli.translate import translate
from hw4opt import Status
from hw4opt.mixture.playlists import Playlist
from hw4opt.mixture.result import MixtureResult
from hw4opt.mixture.selection import CRITERIA, Choice

CRITERION_NAMES = {"bic": "BIC", "aic": "AIC", "icl": "ICL", "held_out": "held-out log-likelihood of a unit"}


@dataclass(frozen=True, eq=False)
class ReportedMoods:
    """The content of the report; texts: the columns of text by which playlists name their songs."""

    result: MixtureResult
    choice: Choice | None
    data: EmData
    lists: Sequence[Playlist]
    texts: dict[str, list[str]]
    warnings: Sequence[str]
    origin: Mapping[str, Any]


def em_report(about: ReportedMoods) -> str:
    """The HTML of the report."""
    result, data, charts = about.result, about.data, Charts()
    source = data.columns.table.source
    word = result.status.word.replace("_", " ")
    parts = (
        verdict(result.status is Status.CERTIFIED, word, translate(result.message)),
        section(
            "Moods",
            table(em_output.mood_columns(result), em_output.mood_rows(result, data.truth)),
            charts.place(_coefficients(result)),
        ),
        _how_many(about, charts),
        f'<div class="side">{"".join(_playlist(one, about) for one in about.lists)}</div>' if about.lists else "",
        section(
            "How they were found",
            *map(paragraph, em_output.notes(result, data)[:-1]),
            charts.place(_climb(result)) if result.cycles > 1 else "",
            pairs(_checks(result)),
        ),
        section("Warnings", notes(map(translate, about.warnings))),
        section("Made by", made_by("hw4opt", about.origin)),
    )
    title = f"{result.k} moods: {source}, {len(data.counts)} rows"
    return report_page("hw4opt", source, title, parts, {"charts": charts.records})


def _coefficients(result: MixtureResult) -> Chart:
    """The coefficients with two standard errors on both sides, mood beside mood."""
    errors = result.uncertainty.standard_errors
    series = []
    for mood, coef in enumerate(result.coef):
        x = np.arange(len(coef)) + (mood - (result.k - 1) / 2) * 0.6 / result.k
        low, high = (None, None) if errors is None else (coef - 2 * errors[mood], coef + 2 * errors[mood])
        series.append(Series(f"mood {mood + 1}", x, coef, "dots", mood, low, high))
    title = "Coefficients" + ("" if errors is None else " ± 2 standard errors")
    return Chart(title, "feature", "coefficient", series, result.feature_names)


def _how_many(about: ReportedMoods, charts: Charts) -> str:
    choice = about.choice
    if choice is None:
        return ""
    names = [name for name in CRITERIA if choice.values(name)]
    rows = [
        [f"{k} ←" if k == about.result.k else k, *(f"{choice.values(name)[k]:.6g}" for name in names)]
        for k in choice.results
    ]
    sentence = (
        f"{about.result.k} moods have the best {CRITERION_NAMES[choice.criterion]}. BIC estimates the number of moods "
        "in the data, ICL that of moods distinct row by row; lower is better, except for held-out likelihood."
    )
    drawn = [name for name in names if name != "held_out"] or names
    ks = [*choice.results]
    series = [
        Series(CRITERION_NAMES[name], ks, [*choice.values(name).values()], color=place)
        for place, name in enumerate(drawn)
    ]
    chart = charts.place(Chart("Criteria by the number of moods", "moods", "criterion", series)) if len(ks) > 1 else ""
    columns = ("k", *(CRITERION_NAMES[name] for name in names))
    return section("How many moods", paragraph(sentence), table(columns, rows), chart)


def _playlist(one: Playlist, about: ReportedMoods) -> str:
    own_texts = text_columns(about.data.columns.table)
    defining = ", ".join(em_output.song_name(int(row), own_texts) for row in one.defining)
    sentence = f"{one.explained:.1%} of the plays" + (f", above all {defining}" if defining else "") + "."
    rows = em_output.playlist_rows(one, about.texts, len(one.rows))
    return section(f"Playlist of mood {one.mood + 1}", paragraph(sentence), table(("", "song", "score"), rows))


def _climb(result: MixtureResult) -> Chart:
    """The final log-likelihood less that after each cycle; differences below rounding are left out."""
    short = result.log_likelihood - np.asarray(result.trace)
    short = np.where(short > 1e-12 * abs(result.log_likelihood), short, np.nan)
    series = [Series("", np.arange(1, len(short) + 1), short)]
    return Chart("Log-likelihood: final value less that of the cycle", "cycle", "lacking", series, logarithmic=True)


def _checks(result: MixtureResult) -> list[tuple[str, str]]:
    sizes = ", ".join(f"{size:,}" for size in result.cluster_sizes.tolist())
    spread = ", ".join(f"{one:.3g}" for one in result.dispersion.tolist())
    return [("rows by most probable mood", sizes), ("dispersion by mood (1: Poisson)", spread)]
