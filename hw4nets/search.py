"""Choice of hyper-parameters on held-out training images: random or TPE (Optuna), with pruning and resuming."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
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
    database_errors,
    ended_trials,
    enqueue_own_values,
    finished_trials,
    importances_of,
    open_study,
    sampler_of_trial,
    suggest,
    trials_of,
)
from hw4nets.training import train

if TYPE_CHECKING:
    import optuna

STUDY_FILE, TRIALS_FILE, BEST_RECIPE_FILE = "study.sqlite", "trials.csv", "best.toml"
STUDY_FILES = (STUDY_FILE, f"{STUDY_FILE}-journal", TRIALS_FILE, BEST_RECIPE_FILE)
Progress = Callable[[Trial, float], None]  # a trial that has ended, and the best accuracy so far


def search(plan: Plan, data: Data, folder: Path, progress: Progress = lambda trial, best: None) -> Findings:
    """Run the trials that are missing; writes study.sqlite, trials.csv and best.toml into the folder.

    The first trial has the recipe's own values, as far as the space holds them, so that the best is never worse than
    those. The test images are put away first: every trial sees training images only, 45,000 to learn and 5,000 to be
    judged by. Only where the recipe says `select = "test"` the test images judge, and best.toml says so.
    """
    check_images(plan.recipe, data)
    import optuna  # noqa: F401  # where it is absent no folder is made

    with locked(make_folder(folder)):
        return _search(plan, data, folder, progress)


def _search(plan: Plan, data: Data, folder: Path, progress: Progress) -> Findings:
    path = folder / STUDY_FILE
    advice = "where it is damaged, move it away; or give another `folder`"
    with database_errors(InputError, f"{path} cannot be read", advice):
        study = open_study(plan, data, path)
    judged = data if plan.judged_on == "test" else hold_out(data, SPLIT_SEED)
    advice = "the same search goes on with the trials it holds"
    with database_errors(WriteError, f"{path} could not be written", advice):
        for number in range(len(ended_trials(study)), plan.trials):
            study.sampler = sampler_of_trial(plan, number)
            if number == 0:
                enqueue_own_values(plan, study)
            study.optimize(lambda trial: _accuracy(trial, plan, judged), n_trials=1)
            if len(ended_trials(study)) != number + 1:
                raise InputError(f"{path} does not keep the trials that end; move it away, or give another `folder`")
            trials = trials_of(study)
            _write_trials(plan, trials, folder)
            best = _write_best(plan, study, data, folder)
            progress(trials[-1], float("nan") if best is None else best.accuracy or 0.0)
        return _findings(plan, study, data, folder)


def _accuracy(trial: optuna.Trial, plan: Plan, judged: Data) -> float:
    """Accuracy at the last epoch, on the images that judge."""
    import optuna

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
    return history.test_accuracy  # images that are held out stand in the place of the test images


class _Pruning(Watch):
    """Ends a trial that is worse than most others were at the same epoch."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def epoch(self, row: EpochRow, epochs: int) -> None:
        import optuna

        self.trial.report(row.test_accuracy, row.epoch)
        if row.epoch < epochs and self.trial.should_prune():
            raise optuna.TrialPruned


# ---- files -----------------------------------------------------------------------------------------------------------


def _findings(plan: Plan, study: optuna.Study, data: Data, folder: Path) -> Findings:
    _write_trials(plan, trials_of(study), folder)  # a process that was killed may have written one less
    best = _write_best(plan, study, data, folder)
    if best is None:
        reasons = [trial.user_attrs["why"] for trial in ended_trials(study) if "why" in trial.user_attrs]
        last = f" ({reasons[-1]})" if reasons else ""
        raise InputError(f"no trial came to its end: none of the settings could run{last}; narrow the `space`")
    return Findings(trials_of(study), _recipe(plan, best), best.accuracy or 0.0, importances_of(study))


def _write_best(plan: Plan, study: optuna.Study, data: Data, folder: Path) -> Trial | None:
    """The best trial that is finished, in best.toml, with the images that it was found on."""
    best = max(finished_trials(study), key=lambda trial: trial.accuracy or 0.0, default=None)
    if best is not None:
        note = f"trial {best.number} of {plan.trials}: {plan.judged_on} accuracy {best.accuracy:.4f}"
        write_text(folder / BEST_RECIPE_FILE, _recipe(plan, best).toml(note=note, **data.about))
    return best


def _recipe(plan: Plan, best: Trial) -> Recipe:
    """Its settings; `chosen_on` is the weaker of what judged the trials and the recipe's own."""
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
