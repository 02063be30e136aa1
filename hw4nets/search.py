"""Choice of hyper-parameters on held-out training images: random or TPE (Optuna), pruned, in a study that goes on where it stopped."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw4nets.config import Config, worse
from hw4nets.data import Data, hold_out
from hw4nets.errors import DivergedError, InputError, NetsError, UnknownNameError, WriteError, out_of_memory
from hw4nets.files import locked, make_folder, write_text
from hw4nets.history import EpochRow, Watch
from hw4nets.network import build
from hw4nets.recipes import Recipe
from hw4nets.run_state import SPLIT_SEED
from hw4nets.settings import Range, settings_of
from hw4nets.training import train

if TYPE_CHECKING:
    import optuna

Space = Mapping[str, Range | tuple[Any, ...]]
STUDY, TRIALS, BEST_TOML = "study.sqlite", "trials.csv", "best.toml"
STUDY_FILES = (STUDY, f"{STUDY}-journal", TRIALS, BEST_TOML)
SAMPLERS = ("tpe", "random")
TRIAL_ENDINGS = ("finished", "pruned", "impossible", "diverged")
UNPRUNED_TRIALS = 5  # trials that run to their end before any is pruned


@dataclass(frozen=True)
class Plan:
    """What is searched: `space` around a recipe, `trials` in all (those of an earlier call counted), seeded."""

    recipe: Recipe
    space: Space
    trials: int = 30
    sampler: str = "tpe"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise UnknownNameError("sampler", self.sampler, SAMPLERS)
        if self.trials < 1:
            raise InputError(f"trials is {self.trials}; it must be 1 or more")

    @property
    def judged_on(self) -> str:
        """On which images trials are compared: validation, or test where that is asked for."""
        return "test" if self.recipe.config.select == "test" else "validation"


@dataclass(frozen=True)
class Trial:
    """One setting: the accuracy (`Plan.judged_on`) of its last epoch, or the last seen where it was pruned; None where it could not run."""

    number: int
    values: Mapping[str, Any]
    accuracy: float | None
    epochs: int
    ended: str  # one of TRIAL_ENDINGS


@dataclass(frozen=True)
class Findings:
    """All trials, the best finished one as a recipe, and how much each option decides whether a trial is among the best.

    importances    parts of 1, by how the values of the best tenth differ from those of all (PED-ANOVA: Watanabe, Bansal and Hutter 2023)
    """

    trials: tuple[Trial, ...]
    best: Recipe
    accuracy: float
    importances: Mapping[str, float]


Progress = Callable[[Trial, float], None]


def default_space(recipe: Recipe) -> dict[str, Range | tuple[Any, ...]]:
    """Every option of the training and of the network that says where it can be searched; the recipe's own value is among the choices."""
    items, own = [*settings_of(Config), *settings_of(type(recipe.shape))], recipe.options
    return {
        item.name: _with(item.metadata["search"], own[item.name])
        for item in items
        if item.metadata["search"] is not None
    }


def _with(where: Range | tuple[Any, ...], value: Any) -> Range | tuple[Any, ...]:
    if isinstance(where, Range):
        return where
    alike = tuple(
        one for one in where if not isinstance(value, list) or len(one) == len(value)
    )  # a network of as many groups
    return alike if _holds(alike, value) else (*alike, value)


def _holds(where: Range | tuple[Any, ...], value: Any) -> bool:
    """Whether the value is one that can be drawn."""
    if isinstance(where, Range):
        return where.low <= value <= where.high
    return json.dumps(value) in [json.dumps(one) for one in where]


def search(plan: Plan, data: Data, folder: Path, progress: Progress = lambda trial, best: None) -> Findings:
    """Run the trials that are missing; writes study.sqlite, trials.csv and best.toml into the folder.

    The first trial has the recipe's own values, as far as the space holds them, so that the best is never worse than what was there.
    The test images are put away first: every trial sees training images only, 45,000 to learn and 5,000 to be judged by. Only where the
    recipe says `select = "test"` the test images judge, and best.toml says so.
    """
    import optuna  # noqa: F401  # where it is absent no folder is made

    with locked(make_folder(folder)):
        return _search(plan, data, folder, progress)


def _search(plan: Plan, data: Data, folder: Path, progress: Progress) -> Findings:
    place = folder / STUDY
    with _told(InputError, f"{place} cannot be read", "where it is damaged, move it away; or give another --out"):
        study = _study(plan, data, place)
        _check_trials(plan, study)
    held = data if plan.judged_on == "test" else hold_out(data, SPLIT_SEED)
    with _told(WriteError, f"{place} could not be written", "the same command goes on with the trials it holds"):
        for number in range(_done(study), plan.trials):
            study.sampler = _sampler(plan, number)
            if number == 0:
                _ask_first(plan, study)
            study.optimize(lambda trial: _accuracy(trial, plan, held), n_trials=1)
            if _done(study) != number + 1:
                raise InputError(f"{place} does not keep the trials that end; move it away, or give another --out")
            _write_trials(plan, _trials(study), folder)
            _write_best(plan, study, data, folder)
            last = _trials(study)[-1]
            progress(last, max((one.accuracy for one in _finished(study)), default=float("nan")))  # type: ignore[type-var]
        return _findings(plan, study, data, folder)


def _accuracy(trial: optuna.Trial, plan: Plan, data: Data) -> float:
    """Accuracy at the last epoch, on what judges."""
    import optuna

    try:
        recipe = plan.recipe.changed(
            {name: _suggest(trial, name, where) for name, where in plan.space.items()} | {"select": "none"}
        )
        history = train(build(recipe.shape, recipe.config.seed), data, recipe.config, watch=_Pruning(trial))
    except (
        ValueError,
        DivergedError,
        RuntimeError,
        MemoryError,
    ) as error:  # a filter wider than the image, say; a rate too high
        if isinstance(error, RuntimeError) and not out_of_memory(error):
            raise
        trial.set_user_attr("ended", "diverged" if isinstance(error, DivergedError) else "impossible")
        trial.set_user_attr("why", str(error))
        raise optuna.TrialPruned(str(error)) from error
    return history.test_accuracy  # images that are held out stand in the place of the test images


class _Pruning(Watch):
    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def epoch(self, row: EpochRow, epochs: int) -> None:
        import optuna

        self.trial.report(row.test_accuracy, row.epoch)
        if row.epoch < epochs and self.trial.should_prune():
            raise optuna.TrialPruned


def _suggest(trial: optuna.Trial, name: str, where: Range | tuple[Any, ...]) -> Any:
    if isinstance(where, tuple):
        return json.loads(trial.suggest_categorical(name, [json.dumps(one) for one in where]))
    if where.whole:
        return trial.suggest_int(name, int(where.low), int(where.high), log=where.log)
    return trial.suggest_float(name, where.low, where.high, log=where.log)


# ---- the study ---------------------------------------------------------------------------------------------------------


@contextmanager
def _told(kind: type[NetsError], what: str, advice: str) -> Iterator[None]:
    """Errors of the study's database as a sentence; while it is read, whatever a foreign content makes of its readers."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    foreign = Exception if kind is InputError else SQLAlchemyError
    try:
        yield
    except (NetsError, MemoryError):
        raise
    except (SQLAlchemyError, StorageInternalError, foreign) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        raise kind(f"{what} ({getattr(cause, 'orig', cause)}); {advice}") from error


def _study(plan: Plan, data: Data, place: Path) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED_TRIALS, n_warmup_steps=1)
    connect = partial(sqlite3.connect, place)  # a path of its own, where an address would end at a question mark
    storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect})
    study = optuna.create_study(
        storage=storage, study_name="search", direction="maximize", load_if_exists=True, pruner=pruner
    )
    about = json.dumps(_about(plan, data), sort_keys=True)
    if study.user_attrs.get("about", about) != about:
        raise InputError(
            f"{place.parent} holds a search with other settings or images; give the same ones to go on, or another --out"
        )
    study.set_user_attr("about", about)
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):  # what a killed search left
        storage.set_trial_state_values(trial._trial_id, state=optuna.trial.TrialState.FAIL)
    return study


def _check_trials(plan: Plan, study: optuna.Study) -> None:
    """Raise ValueError for trials that this search cannot have made."""
    for place, kept in enumerate(study.get_trials(deepcopy=False)):
        if (
            kept.number != place
            or type(kept._trial_id) is not int
            or any(type(step) is not int for step in kept.intermediate_values)
        ):
            raise ValueError(f"its trial {place} is not in its place")
    for one in _trials(study):
        drawn = all(name in plan.space and _holds(plan.space[name], value) for name, value in one.values.items())
        if one.ended not in TRIAL_ENDINGS or not drawn:
            raise ValueError(f"trial {one.number} is none of this search")
        if (one.accuracy is None and one.ended == "finished") or not 0 <= (one.accuracy or 0.0) <= 1:
            raise ValueError(f"trial {one.number} has no accuracy that can be")


def _ask_first(plan: Plan, study: optuna.Study) -> None:
    """The next trial has the recipe's own values, unless a search that was killed has asked for it."""
    from optuna.trial import TrialState

    own = plan.recipe.options
    held = {name: own[name] for name, where in plan.space.items() if _holds(where, own[name])}
    if held and not study.get_trials(states=[TrialState.WAITING]):
        study.enqueue_trial(
            {name: json.dumps(one) if isinstance(plan.space[name], tuple) else one for name, one in held.items()}
        )


def _about(plan: Plan, data: Data) -> dict[str, Any]:
    space = {name: list(where) if isinstance(where, tuple) else vars(where) for name, where in plan.space.items()}
    return {
        "recipe": plan.recipe.values(),
        "space": space,
        "sampler": plan.sampler,
        "seed": plan.seed,
        "data": data.sha256,
    }


def _sampler(plan: Plan, number: int) -> optuna.samplers.BaseSampler:
    """A fresh one for each trial, seeded by its number, so that a search that was stopped draws what it would have drawn."""
    import optuna

    seed = (plan.seed * 1_000_003 + number) % 2**32
    kinds = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    return kinds[plan.sampler](seed=seed)


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _done(study: optuna.Study) -> int:
    return len(_ended(study))


def _trials(study: optuna.Study) -> tuple[Trial, ...]:
    return tuple(_trial(number, one) for number, one in enumerate(_ended(study), start=1))


def _trial(number: int, one: optuna.trial.FrozenTrial) -> Trial:
    seen = one.intermediate_values
    values = {name: json.loads(value) if isinstance(value, str) else value for name, value in one.params.items()}
    ended = one.user_attrs.get("ended", "finished" if one.state.name == "COMPLETE" else "pruned")
    return Trial(number, values, seen[max(seen)] if seen else None, len(seen), ended)


def _finished(study: optuna.Study) -> list[Trial]:
    return [one for one in _trials(study) if one.ended == "finished"]


def _findings(plan: Plan, study: optuna.Study, data: Data, folder: Path) -> Findings:
    _write_trials(plan, _trials(study), folder)  # a process that was killed may have written one less
    finished = _finished(study)
    if not finished:
        why = next((one.user_attrs["why"] for one in reversed(_ended(study)) if "why" in one.user_attrs), "")
        raise InputError(
            f"no trial came to its end: none of the settings could run{f' ({why})' if why else ''}; narrow the space with --vary"
        )
    best = _write_best(plan, study, data, folder) or finished[0]
    return Findings(_trials(study), _recipe(plan, best), best.accuracy or 0.0, _importances(study, len(finished)))


def _write_best(plan: Plan, study: optuna.Study, data: Data, folder: Path) -> Trial | None:
    """The best trial that is finished, in best.toml, with the images that it was found on."""
    best = max(_finished(study), key=lambda one: one.accuracy or 0.0, default=None)
    if best is not None:
        note = f"trial {best.number} of {plan.trials}: {plan.judged_on} accuracy {best.accuracy:.4f}"
        about = {"note": note, "data": data.source, "pixels": data.pixels, "data_sha256": data.sha256}
        write_text(folder / BEST_TOML, _recipe(plan, best).toml(**about))
    return best


def _recipe(plan: Plan, best: Trial) -> Recipe:
    """Its settings: chosen on what judged the trials, or on what the recipe around them was chosen on."""
    chosen_on = worse(plan.judged_on, plan.recipe.config.chosen_on)
    return plan.recipe.changed({**best.values, "select": "none", "chosen_on": chosen_on})


def _importances(study: optuna.Study, finished: int) -> Mapping[str, float]:
    import optuna

    if finished < 4 or len({trial.value for trial in study.trials if trial.state.name == "COMPLETE"}) < 2:
        return {}  # too few to say anything
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def _write_trials(plan: Plan, trials: tuple[Trial, ...], folder: Path) -> None:
    names = sorted({name for trial in trials for name in trial.values})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "ended", "epochs", f"{plan.judged_on}_accuracy", *names])
    for trial in trials:
        writer.writerow(
            [trial.number, trial.ended, trial.epochs, trial.accuracy, *(trial.values.get(name) for name in names)]
        )
    write_text(folder / TRIALS, text.getvalue())
