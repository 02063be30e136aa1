"""Settings scored in rounds: in tasks by basis, later ones racing against the best so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from hw4opt.problem import Data, Model, Problem
from hw4opt.running.processes import Executor, Workers
from hw4opt.selection.axes import Setting, Tried
from hw4opt.selection.fold_fits import PROVEN_GAP
from hw4opt.selection.folds import Folds
from hw4opt.selection.held_out import score_settings
from hw4opt.selection.loo.layout import Layouts
from hw4opt.selection.refine import Again, Near
from hw4opt.selection.scores import Score
from hw4opt.validation.frozen import cached_property

SHARED_TASK_FITS = 2_000  # fits from which joining another basis gains nothing
# rows × fits of one task, of the settings of one basis: an interruption loses only the tasks under way
TASK_ENTRIES = 400_000
RACE_PACE = 9  # in a first round one setting in this many is scored in full, before the others race against their best


@dataclass
class SettingRuns:
    """The rounds of a search, and their results so far.

    races    whether settings that cannot be chosen are dropped
    keep     whether the folds' fits of the best setting so far are kept
    executor runs tasks in parallel
    """

    problem: Problem
    folds: Folds
    units: np.ndarray | None
    metric: str
    progress: Callable[[int, int, float], None] | None
    races: bool
    keep: bool
    executor: Executor = field(default_factory=lambda: Workers(1))
    tried: list[tuple[Tried, Score]] = field(default_factory=list)

    @cached_property
    def layouts(self) -> Layouts:
        """The layouts of the folds, for all rounds."""
        return Layouts(self.folds)

    def history(self) -> list[Tried]:
        """The settings tried so far."""
        return [one for one, _ in self.tried]

    def best(self) -> tuple[Tried, Score]:
        """The best setting so far."""
        return min(self.tried, key=lambda pair: pair[0].rank)

    def run(self, settings: list[Setting]) -> None:
        """Score the settings, and keep the scores of every task as it is done.

        If they race, those that cannot be better than the best of earlier rounds are dropped. In a first round a few
        are scored before the others. Within each part, bases come one after the other, the largest and slowest last.
        Dropped settings that come `Again` are scored in full, and keep their index.
        """
        settings = distinct_settings(settings, self.problem.settled, self.history())
        bases = _bases(self.problem, settings)
        candidates = [one for basis in bases for one in basis]
        if isinstance(settings, Again):
            places = {_key(one.setting): place for place, (one, _) in enumerate(self.tried) if one.dropped}
            for pair in self._scored(candidates, math.inf, len(self.tried)):
                self.tried[places[_key(pair[0].setting)]] = pair
        elif self.races and not self.tried:
            early = {id(one) for one in candidates[::RACE_PACE]}
            for chosen in (True, False):
                for part in self._parts([[one for one in basis if (id(one) in early) == chosen] for basis in bases]):
                    self._keep(part, self._limit(), len(candidates))
            order = {_key(one.setting): place for place, one in enumerate(candidates)}
            self.tried.sort(key=lambda pair: order[_key(pair[0].setting)])
        else:
            limit = math.inf if isinstance(settings, Near) else self._limit()
            self._keep(candidates, limit, len(self.tried) + len(candidates))

    def _parts(self, bases: list[list[_Candidate]]) -> Iterator[list[_Candidate]]:
        """Score the bases one after the other, several small ones together."""
        part: list[_Candidate] = []
        for basis in bases:
            part += basis
            if len(part) >= self._task_size:
                yield part
                part = []
        if part:
            yield part

    def _keep(self, candidates: list[_Candidate], limit: float, total: int) -> None:
        for pair in self._scored(candidates, limit, total):
            self.tried.append(pair)  # what is done is kept at an interruption

    def _scored(self, candidates: list[_Candidate], limit: float, total: int) -> Iterator[tuple[Tried, Score]]:
        tasks = [_SettingsTask(task) for task in self._tasks(candidates)]
        score = partial(_score, layouts=self.layouts, metric=self.metric, units=self.units, limit=limit, keep=self.keep)
        with closing(self.executor.spread(score, tasks)) as found:
            for task, scores in zip(tasks, found, strict=True):
                for one, score in zip(task.candidates, scores, strict=True):
                    yield _tried(one, score), score
                if self.keep:
                    self._forget()
                if self.progress is not None:
                    self.progress(len(self.tried) * len(self.folds), total * len(self.folds), self.best()[0].score)

    def _forget(self) -> None:
        """Drop kept folds, except those of the best setting so far."""
        best = self.best()
        self.tried = [
            pair if pair is best or pair[1].kept is None else (pair[0], replace(pair[1], kept=None))
            for pair in self.tried
        ]

    def _limit(self) -> float:
        """The score from which on a setting cannot be chosen."""
        best = self.best()[0] if self.races and self.tried else None
        return best.score if best is not None and best.proven else math.inf

    @property
    def _task_size(self) -> int:
        """The number of settings in a task."""
        return max(1, TASK_ENTRIES // (len(self.folds) * len(self.problem.y)))

    def _tasks(self, candidates: list[_Candidate]) -> list[list[_Candidate]]:
        """Tasks of several small bases, or of a part of a large one."""
        bases: dict[int, list[_Candidate]] = {}
        for one in candidates:
            bases.setdefault(id(one.first), []).append(one)
        tasks: list[list[_Candidate]] = []
        most = self._task_size
        for basis in bases.values():
            if tasks and len(tasks[-1]) * len(self.folds) < SHARED_TASK_FITS and len(tasks[-1]) + len(basis) <= most:
                tasks[-1].extend(basis)
            else:
                tasks.extend(basis[low : low + most] for low in range(0, len(basis), most))
        return tasks


@dataclass(frozen=True)
class _Candidate:
    """A setting, its problem, and the first problem over the same basis."""

    setting: Setting
    problem: Problem
    first: Problem


@dataclass(frozen=True)
class _SettingsTask:
    """Settings that are scored together. Pickled as their values, the model and the data."""

    candidates: list[_Candidate]

    def __reduce__(
        self,
    ) -> tuple[Callable[[Model, Data, list[Setting]], _SettingsTask], tuple[Model, Data, list[Setting]]]:
        problem = self.candidates[0].problem
        return _received, (problem.model, problem.data, [one.setting for one in self.candidates])


def _received(model: Model, data: Data, settings: list[Setting]) -> _SettingsTask:
    return _SettingsTask([one for basis in _bases(model.on(data), settings) for one in basis])


def _bases(problem: Problem, settings: Sequence[Setting]) -> list[list[_Candidate]]:
    """The settings by basis (gamma, kernel parameters)."""
    bases: dict[object, list[_Candidate]] = {}
    for setting in settings:
        mine = problem.with_hyperparameters(setting)
        basis = bases.setdefault((mine.kernel, *(term.acts for term in mine.terms)), [])
        basis.append(_Candidate(setting, mine, basis[0].problem if basis else mine))
    return list(bases.values())


def distinct_settings(
    settings: list[Setting], settled: Callable[[str, float], float], tried: Sequence[Tried]
) -> list[Setting]:
    """The settings as they will be fitted: whole-number parameters rounded, without repetition."""
    rounded = [{name: settled(name, value) for name, value in setting.items()} for setting in settings]
    if isinstance(settings, Again) or rounded == settings:
        return settings
    done = {_key(one.setting) for one in tried}
    return type(settings)(dict(one) for one in dict.fromkeys(map(_key, rounded)) if one not in done)


def _key(setting: Setting) -> tuple[tuple[str, float], ...]:
    return tuple(setting.items())


def _score(
    task: _SettingsTask, layouts: Layouts, metric: str, units: np.ndarray | None, limit: float, keep: bool
) -> list[Score]:
    candidates = task.candidates
    for one in candidates:
        one.problem.share_design(one.first.design)  # built once per process, when the first of them is scored
    scores = score_settings([one.problem for one in candidates], layouts.folds, metric, units, limit, layouts, keep)
    if keep:
        best = min(range(len(candidates)), key=lambda place: _tried(candidates[place], scores[place]).rank)
        scores = [one if place == best else replace(one, kept=None) for place, one in enumerate(scores)]
    return scores


def _tried(one: _Candidate, score: Score) -> Tried:
    proven = score.largest_gap <= PROVEN_GAP
    return Tried(one.setting, score.score, score.standard_error, proven, score.dropped)
