"""The Optuna study behind a search: its database, the trials in it, the sampler, and the importances."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw4nets.config import Config
from hw4nets.data import Data
from hw4nets.errors import InputError, NetsError
from hw4nets.search_plan import TRIAL_ENDINGS, Domain, Plan, Trial, contains

if TYPE_CHECKING:
    import optuna

UNPRUNED_TRIALS = 5  # that run to their end before any is pruned
FEWEST_FOR_IMPORTANCES = 4  # finished trials


@contextmanager
def database_errors(kind: type[NetsError], what: str, advice: str) -> Iterator[None]:
    """Errors of the study's database become a sentence; while it is read (`InputError`), so does every other error.

    A database of other content makes its readers raise anything.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    caught = Exception if kind is InputError else SQLAlchemyError
    try:
        yield
    except (NetsError, MemoryError):
        raise
    except (SQLAlchemyError, StorageInternalError, caught) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        raise kind(f"{what} ({getattr(cause, 'orig', cause)}); {advice}") from error


def open_study(plan: Plan, data: Data, path: Path) -> optuna.Study:
    """The study in the file, made where it is absent.

    Raises `InputError` where it is of another search, and ValueError where its trials are not those of a search.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED_TRIALS, n_warmup_steps=1)
    connect = partial(sqlite3.connect, path)  # a path of its own, where an address would end at a question mark
    storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect})
    study = optuna.create_study(
        storage=storage, study_name="search", direction="maximize", load_if_exists=True, pruner=pruner
    )
    about = json.dumps(_about(plan, data), sort_keys=True)
    if "about" in study.user_attrs and _completed(study.user_attrs["about"]) != about:
        raise InputError(
            f"{path.parent} holds a search with other settings or images; "
            "give the same ones to go on, or another `folder`"
        )
    study.set_user_attr("about", about)
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):  # left by a killed search
        storage.set_trial_state_values(trial._trial_id, state=optuna.trial.TrialState.FAIL)
    _check_trials(plan, study)
    return study


def _about(plan: Plan, data: Data) -> dict[str, Any]:
    space = {name: list(domain) if isinstance(domain, tuple) else vars(domain) for name, domain in plan.space.items()}
    return {
        "recipe": plan.recipe.values(),
        "space": space,
        "sampler": plan.sampler,
        "seed": plan.seed,
        "data": data.sha256,
    }


def _completed(about: str) -> str:
    """What a study says of its search, with the defaults of settings that are newer than it."""
    stored = json.loads(about)
    stored["recipe"]["train"] = Config().values() | stored["recipe"]["train"]
    return json.dumps(stored, sort_keys=True)


def _check_trials(plan: Plan, study: optuna.Study) -> None:
    """Raise ValueError for trials that this search cannot have made."""
    for number, stored in enumerate(study.get_trials(deepcopy=False)):
        whole = type(stored._trial_id) is int and all(type(step) is int for step in stored.intermediate_values)
        if stored.number != number or not whole:
            raise ValueError(f"its trial {number} is not in its place")
    for trial in trials_of(study):
        drawn = all(name in plan.space and contains(plan.space[name], value) for name, value in trial.values.items())
        if trial.ended not in TRIAL_ENDINGS or not drawn:
            raise ValueError(f"trial {trial.number} is none of this search")
        if (trial.accuracy is None and trial.ended == "finished") or not 0 <= (trial.accuracy or 0.0) <= 1:
            raise ValueError(f"trial {trial.number} has an impossible accuracy")


# ---- trials ----------------------------------------------------------------------------------------------------------


def ended_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that came to any end, as Optuna has them."""
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def trials_of(study: optuna.Study) -> tuple[Trial, ...]:
    """The trials that came to any end, numbered from 1."""
    return tuple(_trial(number, stored) for number, stored in enumerate(ended_trials(study), start=1))


def _trial(number: int, stored: optuna.trial.FrozenTrial) -> Trial:
    seen = stored.intermediate_values
    values = {name: json.loads(value) if isinstance(value, str) else value for name, value in stored.params.items()}
    ended = stored.user_attrs.get("ended", "finished" if stored.state.name == "COMPLETE" else "pruned")
    return Trial(number, values, seen[max(seen)] if seen else None, len(seen), ended)


def finished_trials(study: optuna.Study) -> list[Trial]:
    """Those that were trained to their end."""
    return [trial for trial in trials_of(study) if trial.ended == "finished"]


def suggest(trial: optuna.Trial, name: str, domain: Domain) -> Any:
    """A value of the option, drawn by the study's sampler."""
    if isinstance(domain, tuple):
        return json.loads(trial.suggest_categorical(name, [json.dumps(choice) for choice in domain]))
    if domain.whole:
        return trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def enqueue_own_values(plan: Plan, study: optuna.Study) -> None:
    """The next trial has the recipe's own values, unless a search that was killed has asked for it."""
    from optuna.trial import TrialState

    own = plan.recipe.options
    held = {name: own[name] for name, domain in plan.space.items() if contains(domain, own[name])}
    if held and not study.get_trials(states=[TrialState.WAITING]):
        encoded = {name: json.dumps(value) for name, value in held.items() if isinstance(plan.space[name], tuple)}
        study.enqueue_trial(held | encoded)


def sampler_of_trial(plan: Plan, number: int) -> optuna.samplers.BaseSampler:
    """A new one for each trial, seeded by its number: a resumed search draws the same values as one not stopped."""
    import optuna

    seed = (plan.seed * 1_000_003 + number) % 2**32
    kinds = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    return kinds[plan.sampler](seed=seed)


def importances_of(study: optuna.Study) -> Mapping[str, float]:
    """How much each option decides whether a trial is among the best; empty where there are too few trials to say."""
    import optuna

    accuracies = {trial.value for trial in study.trials if trial.state.name == "COMPLETE"}
    if len(finished_trials(study)) < FEWEST_FOR_IMPORTANCES or len(accuracies) < 2:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return optuna.importance.get_param_importances(study, evaluator=evaluator)
