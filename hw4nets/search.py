"""Choice of hyper-parameters on held-out training images: random or TPE (Optuna), with pruning and resuming."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hw4nets.config import weaker_selection
from hw4nets.data import Data, hold_out
from hw4nets.errors import DivergedError, InputError, WriteError, out_of_memory
from hw4nets.files import locked, make_folder, write_text
from hw4nets.history import EpochRow, Watch
from hw4nets.network import build
from hw4nets.recipes import Recipe
from hw4nets.run_state import SPLIT_SEED
from hw4nets.runs import check_images
from hw4nets.search_plan import Findings, Plan, Trial
from hw4nets.study import (
    Place,
    check_study,
    database_errors,
    ended_trials,
    fail_running_trials,
    finished_trials,
    held_trials,
    importances_of,
    joined_study,
    named,
    sampler_of_trial,
    suggest,
    trials_of,
)
from hw4nets.training import train
from hw4nets.workers import run_in_processes

if TYPE_CHECKING:
    import optuna

STUDY_FILE, TRIALS_FILE, BEST_RECIPE_FILE = "study.sqlite", "trials.csv", "best.toml"
STUDY_FILES = (STUDY_FILE, f"{STUDY_FILE}-journal", TRIALS_FILE, BEST_RECIPE_FILE)
GOES_ON = "the same search goes on with the trials it holds"
Progress = Callable[[Trial, float], None]  # called with a trial that has ended, and the best accuracy so far


def search(
    plan: Plan,
    data: Data,
    folder: Path,
    progress: Progress = lambda trial, best: None,
    storage: str | None = None,
    workers: int = 1,
) -> Findings:
    """Run the missing trials; writes study.sqlite, trials.csv and best.toml into the folder.

    The first trial has the recipe's own values, if the space contains them, so that the best is never worse than
    those. Test images are not used: every trial is trained on 45,000 of the training images and compared on the other
    5,000. Only with the recipe's `select = "test"` trials are compared on test images, which best.toml records.

    storage   URL of a database that holds the study in place of study.sqlite. Every process, on any machine, that
              searches with the same plan and images shares the same trials.
    workers   processes that this call trains in, each with its part of the CPU's threads

    With one process the same seed gives the same trials. With more, those of the sampler `random` have the same
    values; the draws of `tpe`, and which trials are pruned, depend on the order in which others end.

    Raises `InputError` if the folder is of another search or the study cannot be read, `WriteError` if it cannot be
    written.
    """
    check_images(plan.recipe, data)
    import optuna  # noqa: F401  # without it no folder is created

    if workers < 1:
        raise InputError(f"workers is {workers}; it must be 1 or more")
    place = folder / STUDY_FILE if storage is None else storage
    title = named(place)
    advice = "if it is damaged, move it away; or give another `folder`"
    if storage is not None:
        advice = "start its server, install its driver, or give another `storage`"
    with locked(make_folder(folder)), ExitStack() as opened:
        with database_errors(InputError, f"{title} cannot be read", advice):
            study = opened.enter_context(joined_study(plan, data, place))
            check_study(study, plan, data, place)
            if storage is None:
                fail_running_trials(study)
        with database_errors(WriteError, f"{title} could not be written", GOES_ON):
            followed = _Followed(plan, study, data, folder, progress)
            if workers == 1:
                run_missing_trials(study, plan, _judged(plan, data), followed.update)
            else:
                run_in_processes(partial(_work, plan, data, place), workers, followed.update)
            return followed.findings()


def _judged(plan: Plan, data: Data) -> Data:
    """Training images, and in place of the test images those that trials are compared on."""
    return data if plan.judged_on == "test" else hold_out(data, SPLIT_SEED)


def _work(plan: Plan, data: Data, place: Place) -> None:
    """Run the trials of one process of several."""
    wrong = database_errors(WriteError, f"{named(place)} could not be written", GOES_ON)
    with wrong, joined_study(plan, data, place) as study:
        run_missing_trials(study, plan, _judged(plan, data))


def run_missing_trials(study: optuna.Study, plan: Plan, judged: Data, ended: Callable[[], None] = lambda: None) -> None:
    """Run trials until the study has all of the plan, counting those that other processes run.

    ended   called after each
    """
    while len(held_trials(study)) < plan.trials:
        kept = len(ended_trials(study))
        with suppress(_EnoughTrialsError):
            study.optimize(lambda trial: _accuracy(trial, plan, judged), n_trials=1)
            if len(ended_trials(study)) <= kept:
                raise InputError("the study does not store the trials that end; move it away, or give another `folder`")
            ended()


class _EnoughTrialsError(Exception):
    """Another process began the last missing trial at the same time."""


def _accuracy(trial: optuna.Trial, plan: Plan, judged: Data) -> float:
    """The accuracy at the last epoch, on the images for comparison."""
    import optuna

    place = sum(held.number < trial.number for held in held_trials(trial.study))
    if place >= plan.trials:
        raise _EnoughTrialsError
    trial.study.sampler = sampler_of_trial(plan, place)
    try:
        values = {name: suggest(trial, name, domain) for name, domain in plan.space.items()}
        recipe = plan.recipe.changed(values | {"select": "none"})
        history = train(build(recipe.shape, recipe.config.seed), judged, recipe.config, watch=_Pruning(trial))
    except (ValueError, DivergedError, RuntimeError, MemoryError) as error:  # a filter wider than the image, say
        if isinstance(error, RuntimeError) and not out_of_memory(error):
            raise
        trial.set_user_attr("ended", "diverged" if isinstance(error, DivergedError) else "impossible")
        trial.set_user_attr("why", str(error))
        raise optuna.TrialPruned(str(error)) from error
    return history.test_accuracy  # held-out images are in place of the test images


class _Pruning(Watch):
    """Prunes a trial that is worse than most others at the same epoch."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def epoch(self, row: EpochRow, epochs: int) -> None:
        import optuna

        self.trial.report(row.test_accuracy, row.epoch)
        if row.epoch < epochs and self.trial.should_prune():
            raise optuna.TrialPruned


# ---- files -----------------------------------------------------------------------------------------------------------


@dataclass
class _Followed:
    """The study's files in the folder, and the callback for its trials."""

    plan: Plan
    study: optuna.Study
    data: Data
    folder: Path
    progress: Progress
    told: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Mark the trials of an earlier call as known."""
        self.told |= ended_trials(self.study).keys()

    def update(self) -> None:
        """Rewrite the files, and report each trial that has ended since."""
        trials = trials_of(self.study)
        new = [trial for trial in trials if trial.number not in self.told]
        if not new:
            return
        best = self._write(trials)
        self.told |= {trial.number for trial in new}
        for trial in new:
            self.progress(trial, float("nan") if best is None else best.accuracy or 0.0)

    def findings(self) -> Findings:
        """All trials and the best; the files are rewritten, since a killed process may have missed the last trial."""
        best = self._write(trials := trials_of(self.study))
        if best is None:
            reasons = [
                trial.user_attrs["why"] for trial in ended_trials(self.study).values() if "why" in trial.user_attrs
            ]
            last = f" ({reasons[-1]})" if reasons else ""
            raise InputError(f"no trial finished: none of the settings could run{last}; narrow the `space`")
        return Findings(trials, _recipe(self.plan, best), best.accuracy or 0.0, importances_of(self.study))

    def _write(self, trials: tuple[Trial, ...]) -> Trial | None:
        _write_trials(self.plan, trials, self.folder)
        return _write_best(self.plan, self.study, self.data, self.folder)


def _write_best(plan: Plan, study: optuna.Study, data: Data, folder: Path) -> Trial | None:
    """Write the best finished trial to best.toml, with the images that it was chosen on."""
    best = max(finished_trials(study), key=lambda trial: trial.accuracy or 0.0, default=None)
    if best is not None:
        note = f"trial {best.number} of {plan.trials}: {plan.judged_on} accuracy {best.accuracy:.4f}"
        write_text(folder / BEST_RECIPE_FILE, _recipe(plan, best).toml(note=note, **data.about))
    return best


def _recipe(plan: Plan, best: Trial) -> Recipe:
    """Its settings; `chosen_on` is the weaker of the images of comparison and the recipe's own."""
    chosen_on = weaker_selection(plan.judged_on, plan.recipe.config.chosen_on)
    return plan.recipe.changed({**best.values, "select": "none", "chosen_on": chosen_on})


def _write_trials(plan: Plan, trials: tuple[Trial, ...], folder: Path) -> None:
    names = sorted({name for trial in trials for name in trial.values})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "ended", "epochs", f"{plan.judged_on}_accuracy", *names])
    for trial in trials:
        values = (trial.values.get(name) for name in names)
        writer.writerow([trial.number, trial.ended, trial.epochs, trial.accuracy, *values])
    write_text(folder / TRIALS_FILE, text.getvalue())
