"""Part 2 of the assignment, end to end: every hyper-parameter by exact leave-one-out, every figure and number, in one
folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hw4opt.constraints.increasing import Increasing
from hw4opt.datasets import StepData, step_data, step_function
from hw4opt.errors import InputError
from hw4opt.fit import fit
from hw4opt.kernels import RBF
from hw4opt.losses.huber import Huber
from hw4opt.losses.squared import Squared
from hw4opt.problem import Problem
from hw4opt.regularizers.ridge import Ridge
from hw4opt.regularizers.tv import TotalVariation
from hw4opt.result import Result
from hw4opt.running.files import write_text, write_with
from hw4opt.running.processes import Workers
from hw4opt.selection import Selection, leave_one_out, score_settings, select
from hw4opt.terms import Loss, Term

Setting = dict[str, float]


@dataclass(frozen=True)
class RegressionPart:
    """One part of problem 2: its terms, and the hyper-parameters that the source document reports (none for 2d)."""

    name: str
    title: str
    loss: Loss
    regularizers: tuple[Term, ...]
    constraints: tuple[Term, ...]
    reported: Setting | None

    def problem(self, data: StepData) -> Problem:
        return Problem(data.x, data.y, RBF(1.0), self.loss, self.regularizers, self.constraints)

    @property
    def free(self) -> tuple[str, ...]:
        return ("gamma", *(term.name for term in self.regularizers))


REGRESSION_PARTS = (
    RegressionPart("2a", "least squares", Squared(), (Ridge(1.0),), (), {"gamma": 81.42, "ridge": 0.13}),
    RegressionPart("2b", "Huber loss", Huber(1.0), (Ridge(1.0),), (), {"gamma": 53.73, "ridge": 0.01}),
    RegressionPart(
        "2c",
        "total variation",
        Squared(),
        (Ridge(1.0), TotalVariation(1.0)),
        (),
        {"gamma": 79.03, "ridge": 0.36, "tv": 0.38},
    ),
    RegressionPart("2d", "non-decreasing", Squared(), (Ridge(1.0),), (Increasing(),), None),
)


@dataclass(frozen=True)
class PartResult:
    """One part with fixed hyper-parameters on one draw of the data: leave-one-out loss and its standard error, RMSE to
    the true f, certificate."""

    setting: Setting
    score: float
    standard_error: float
    rmse: float
    relative_gap: float | None
    status: str

    @classmethod
    def of(cls, result: Result, score: float, error: float) -> PartResult:
        rmse = float(np.sqrt(np.mean(np.square(result.fitted - step_function(result.problem.x[:, 0])))))
        return cls(
            result.problem.hyperparameters, score, error, rmse, result.certificate.relative_gap, result.status.word
        )


def choose(part: RegressionPart, data: StepData) -> tuple[Selection, Result]:
    """Leave-one-out choice of every hyper-parameter of a part, and the fit there."""
    selection = select(part.problem(data), part.free, "loo", complete=True)
    if selection.interrupted:
        raise KeyboardInterrupt  # the best so far is not a result of the assignment
    return selection, fit(selection.problem)


def at_reported(part: RegressionPart, data: StepData) -> tuple[PartResult, Result] | None:
    """The same with the hyper-parameters of the source document."""
    if part.reported is None:
        return None
    problem = part.problem(data).with_hyperparameters(part.reported)
    score = score_settings([problem], leave_one_out(len(problem.y)))[0]
    result = fit(problem)
    return PartResult.of(result, score.score, score.standard_error), result


def spread_over(seed: int) -> dict[str, dict[str, Any]]:
    """Chosen and reported settings of every part on one draw of the noise."""
    found: dict[str, dict[str, Any]] = {}
    data = step_data(seed=seed)
    for part in REGRESSION_PARTS:
        selection, result = choose(part, data)
        reported = at_reported(part, data)
        found[part.name] = {
            "chosen": vars(PartResult.of(result, selection.score, selection.standard_error)),
            "reported": None if reported is None else vars(reported[0]),
        }
    return found


def reproduce(
    out: str | Path,
    seed: int = 0,
    seeds: int = 20,
    workers: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Write report.md, results.json, figures and models of parts 2a-2d into the folder `out`, created if absent; return
    the content of results.json.

    seed       of the noise in the figures and the first table;  seeds  how many draws (0, 1, …) the spread is over
    workers    processes for the spread (default: one per processor)
    """
    started = time.perf_counter()
    folder = _folder(out)
    say = progress or (lambda _: None)
    data = step_data(seed=seed)
    parts: dict[str, Any] = {}
    for part in REGRESSION_PARTS:
        say(f"part {part.name}: {part.title}")
        selection, result = choose(part, data)
        reported = at_reported(part, data)
        _figures(folder, part, data, selection, result, reported)
        result.save(folder / f"{part.name}_model.json")
        parts[part.name] = {
            "title": part.title,
            "chosen": vars(PartResult.of(result, selection.score, selection.standard_error)),
            "reported": None if reported is None else vars(reported[0]),
            "fits": selection.fits,
            "largest_fold_gap": selection.largest_fold_gap,
            "seconds": selection.seconds,
            "notes": selection.notes,
        }
    say("a variety of settings")
    _variety(folder, data)
    say(f"{seeds} draws of the noise")
    draws = _spread(seeds, workers)
    results = {"seed": seed, "parts": parts, "spread": draws, "seconds": time.perf_counter() - started}
    write_text(folder / "results.json", json.dumps(results, indent=1, allow_nan=False))
    write_text(folder / "report.md", report(results))
    return results


def _folder(out: str | Path) -> Path:
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


def _spread(seeds: int, workers: int | None) -> dict[str, Any]:
    with Workers(workers or os.cpu_count() or 1) as processes:
        draws = list(processes.spread(spread_over, range(seeds)))
    return {part.name: [draw[part.name] for draw in draws] for part in REGRESSION_PARTS}


def _figures(
    folder: Path,
    part: RegressionPart,
    data: StepData,
    selection: Selection,
    result: Result,
    reported: tuple[PartResult, Result] | None,
) -> None:
    from matplotlib.figure import Figure

    from hw4opt.plotting import figure_of, plot_fit, plot_heatmap

    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = plot_fit(result, figure.subplots(), step_function)
    if reported is not None:
        x = np.linspace(0, 1, 1001)
        axes.plot(x, reported[1].predict(x), color="#d08a2e", lw=1.2, ls="--", label="at the reported values")
        axes.legend(frameon=False, loc="best")
    figure.suptitle(f"{part.name}: {part.title}", fontsize=10)
    write_with(folder / f"{part.name}_fit.png", lambda path: figure.savefig(path, dpi=130))
    figure = figure_of(plot_heatmap(selection.table, "gamma", "tv" if "tv" in part.free else "ridge"))
    write_with(folder / f"{part.name}_heatmap.png", lambda path: figure.savefig(path, dpi=130))


def _variety(folder: Path, data: StepData) -> None:
    """The effect of each hyper-parameter of part 2c, one column per parameter."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.9), layout="constrained")
    middle = {"gamma": 79.03, "ridge": 0.36, "tv": 0.38}
    for axes, (name, values) in zip(
        figure.subplots(1, 3, sharey=True),
        {"gamma": (5.0, 80.0, 1000.0), "tv": (0.0, 20.0, 100.0), "ridge": (0.01, 0.36, 10.0)}.items(),
        strict=True,
    ):
        axes.plot(data.x, data.y, ".", color="#8a97a6", ms=4)
        x = np.linspace(0, 1, 801)
        axes.plot(x, step_function(x), color="#2b2b2b", lw=0.8)
        for value, color in zip(values, ("#9cc3e6", "#0b5fa5", "#d1495b"), strict=True):
            result = fit(REGRESSION_PARTS[2].problem(data).with_hyperparameters({**middle, name: value}))
            axes.plot(x, result.predict(x), color=color, lw=1.6, label=f"{name} = {value:g}")
        axes.set_title(", ".join(f"{other} {middle[other]:g}" for other in middle if other != name), fontsize=9)
        axes.set_xlabel("x")
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    write_with(folder / "2c_variety.png", lambda path: figure.savefig(path, dpi=130))


def report(results: dict[str, Any]) -> str:
    """The Markdown report of `reproduce`'s results."""
    lines = [
        "# Part 2: regression with side information",
        "",
        f"n = 50, seed {results['seed']}; every hyper-parameter by exact leave-one-out.",
        "A fold's point leaves kernel, loss, differences and order.",
        "*Reported* are the source document's own values; its data were drawn without a seed, so "
        "equality is not expected.",
        "",
        "| part | setting | leave-one-out loss | RMSE to the true f | relative gap |",
        "|---|---|---|---|---|",
    ]
    for name, part in results["parts"].items():
        for label in ("chosen", "reported"):
            if (row := part[label]) is not None:
                score = f"{row['score']:.3f} ± {row['standard_error']:.2f}"
                numbers = f"{score} | {row['rmse']:.3f} | {row['relative_gap']:.0e}"
                lines.append(f"| {name} {part['title']} | {label}: {_words(row['setting'])} | {numbers} |")
    lines += ["", f"## Spread over {len(results['spread']['2a'])} draws of the noise", "", "Median and range.", ""]
    lines += [
        "| part | setting | chosen gamma | chosen ridge | chosen tv | leave-one-out loss | RMSE to the true f |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, draws in results["spread"].items():
        for label in ("chosen", "reported"):
            rows = [draw[label] for draw in draws if draw[label] is not None]
            if rows:
                chosen = [
                    _range([row["setting"].get(key) for row in rows]) if label == "chosen" else ""
                    for key in ("gamma", "ridge", "tv")
                ]
                cells = [
                    name,
                    label,
                    *chosen,
                    _range([row["score"] for row in rows]),
                    _range([row["rmse"] for row in rows]),
                ]
                lines.append(f"| {' | '.join(cells)} |")
    for name, part in results["parts"].items():
        lines += [
            "",
            f"## {name}: {part['title']}",
            "",
            f"![fit]({name}_fit.png)",
            "",
            f"![leave-one-out loss]({name}_heatmap.png)",
        ]
        lines += ["", f"The chosen fit is {name}_model.json; `hw4opt predict` takes it."]
        if name == "2c":
            lines += ["", "A variety of γ, λ₁ (tv) and λ₂ (ridge):", "", "![variety](2c_variety.png)"]
        lines += [
            "",
            f"{part['fits']} fits in {part['seconds']:.2f} s, largest relative gap of a fold "
            f"{part['largest_fold_gap']:.0e}.",
        ]
        lines += [f"Note: {note}." for note in part["notes"]]
    return "\n".join([*lines, "", f"All of it took {results['seconds']:.0f} s.", ""])


def _words(setting: Setting) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in setting.items())


def _range(values: Sequence[float | None]) -> str:
    known = np.array([value for value in values if value is not None])
    return f"{np.median(known):.3g} ({known.min():.3g} to {known.max():.3g})" if known.size else ""
