"""The Optuna study behind a search: its database, the trials in it, the sampler, and the importances.

A study is in a file of the search's folder, or in a database that several searches share: a URL of SQLAlchemy.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import warnings
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

UNPRUNED_TRIALS = 5  # trials that run to their end before any is pruned
FEWEST_FOR_IMPORTANCES = 4  # finished trials
LOCK_SECONDS = 60  # seconds that a process waits for another one to write the file
HEARTBEAT_SECONDS = 30  # seconds between two heartbeats of a trial in a shared database
SILENCE_SECONDS = 120  # seconds without a heartbeat after which a trial counts as failed
Place = Path | str  # of a study: its file, or the URL of a database


def named(place: Place) -> str:
    """The location as messages show it, without the password of a URL."""
    from sqlalchemy.engine import make_url

    if isinstance(place, Path):
        return str(place)
    try:
        return make_url(place).render_as_string(hide_password=True)
    except Exception as error:  # of several types, if it is not a URL
        example = "postgresql://user@host/database"
        raise InputError(f"`storage` is not the URL of a database; give one such as {example}") from error


@contextmanager
def database_errors(kind: type[NetsError], what: str, advice: str) -> Iterator[None]:
    """Turn errors of the study's database into messages; while it is read, any other error into `InputError`.

    Reading a database of other content may raise any exception.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    caught = Exception if kind is InputError else SQLAlchemyError
    try:
        yield
    except (NetsError, MemoryError):
        raise
    except (SQLAlchemyError, StorageInternalError, caught) as error:
        wrapped = isinstance(error, StorageInternalError | ImportError) and error.__cause__ is not None
        cause = error.__cause__ if wrapped else error
        why = " ".join(str(getattr(cause, "orig", cause)).split())
        raise kind(f"{what} ({why}); {advice}") from error


@contextmanager
def joined_study(plan: Plan, data: Data, place: Place) -> Iterator[optuna.Study]:
    """The study of this search in its file or database, created if absent; its connections end with the block.

    A database may hold the studies of many searches.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED_TRIALS, n_warmup_steps=1)
    name = "search" if isinstance(place, Path) else f"hw4nets-{hashlib.sha256(_about(plan, data).encode()).hexdigest()}"
    storage = _storage(place)
    try:
        yield optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True, pruner=pruner
        )
    finally:
        storage.remove_session()
        storage.engine.dispose()


def check_study(study: optuna.Study, plan: Plan, data: Data, place: Place) -> None:
    """Raise `InputError` if it is of another search, and ValueError if its trials are not those of a search."""
    about = _about(plan, data)
    if "about" in study.user_attrs and _completed(study.user_attrs["about"]) != about:
        raise InputError(
            f"{Path(place).parent} holds a search with other settings or images; "
            "give the same ones to continue, or another `folder`"
        )
    study.set_user_attr("about", about)
    _check_trials(plan, study)


def _storage(place: Place) -> optuna.storages.RDBStorage:
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import RDBStorage

    if isinstance(place, Path):
        # a path of its own, where an address would end at a question mark
        connect = partial(sqlite3.connect, place, timeout=LOCK_SECONDS)
        return RDBStorage("sqlite://", engine_kwargs={"creator": connect})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RDBStorage(place, heartbeat_interval=HEARTBEAT_SECONDS, grace_period=SILENCE_SECONDS)


def fail_running_trials(study: optuna.Study) -> None:
    """Give up the trials that a killed search has left, if no other process works on the study."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=[TrialState.RUNNING]):
        study._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)


def _about(plan: Plan, data: Data) -> str:
    """The settings that identify a search, in JSON."""
    space = {name: list(domain) if isinstance(domain, tuple) else vars(domain) for name, domain in plan.space.items()}
    about = {
        "recipe": plan.recipe.values(),
        "space": space,
        "sampler": plan.sampler,
        "seed": plan.seed,
        "data": data.sha256,
    }
    return json.dumps(about, sort_keys=True)


def _completed(about: str) -> str:
    """A study's description of its search, with the defaults of newer settings."""
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
            raise ValueError(f"trial {trial.number} is not of this search")
        if (trial.accuracy is None and trial.ended == "finished") or not 0 <= (trial.accuracy or 0.0) <= 1:
            raise ValueError(f"trial {trial.number} has an impossible accuracy")


# ---- trials ----------------------------------------------------------------------------------------------------------


def held_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that ended or are running, without those given up: their indices number the search's trials."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name != "FAIL"]


def ended_trials(study: optuna.Study) -> dict[int, optuna.trial.FrozenTrial]:
    """The trials that came to any end, as Optuna has them, by their number from 1."""
    held = enumerate(held_trials(study), start=1)
    return {number: trial for number, trial in held if trial.state.name in ("COMPLETE", "PRUNED")}


def trials_of(study: optuna.Study) -> tuple[Trial, ...]:
    """The trials that came to any end."""
    return tuple(_trial(number, stored) for number, stored in ended_trials(study).items())


def _trial(number: int, stored: optuna.trial.FrozenTrial) -> Trial:
    seen = stored.intermediate_values
    values = {name: json.loads(value) if isinstance(value, str) else value for name, value in stored.params.items()}
    ended = stored.user_attrs.get("ended", "finished" if stored.state.name == "COMPLETE" else "pruned")
    return Trial(number, values, seen[max(seen)] if seen else None, len(seen), ended)


def finished_trials(study: optuna.Study) -> list[Trial]:
    """The trials that were trained to their end."""
    return [trial for trial in trials_of(study) if trial.ended == "finished"]


def suggest(trial: optuna.Trial, name: str, domain: Domain) -> Any:
    """A value of the option, drawn by the study's sampler."""
    if isinstance(domain, tuple):
        return json.loads(trial.suggest_categorical(name, [json.dumps(choice) for choice in domain]))
    if domain.whole:
        return trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def sampler_of_trial(plan: Plan, place: int) -> optuna.samplers.BaseSampler:
    """A new sampler for each trial, seeded by its index: a resumed search draws the same values as one not stopped.

    The first trial has the recipe's own values, if the space contains them.
    """
    import optuna

    seed = (plan.seed * 1_000_003 + place) % 2**32
    kinds = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    sampler = kinds[plan.sampler](seed=seed)
    own = plan.recipe.options
    held = {name: own[name] for name, domain in plan.space.items() if contains(domain, own[name])}
    if place or not held:
        return sampler
    encoded = {name: json.dumps(value) for name, value in held.items() if isinstance(plan.space[name], tuple)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.PartialFixedSampler(held | encoded, sampler)


def importances_of(study: optuna.Study) -> Mapping[str, float]:
    """The importance of each option for a trial to be among the best; empty if there are too few trials."""
    import optuna

    accuracies = {trial.value for trial in study.trials if trial.state.name == "COMPLETE"}
    if len(finished_trials(study)) < FEWEST_FOR_IMPORTANCES or len(accuracies) < 2:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return optuna.importance.get_param_importances(study, evaluator=evaluator)
