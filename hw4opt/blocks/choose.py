"""select_blocks: hyper-parameters by held-out error over rows in blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from hw4opt.blocks.all_rows import terms_with_states
from hw4opt.blocks.fit import refuse, sums_for
from hw4opt.blocks.fold_by_fold import fold_by_fold
from hw4opt.blocks.held_out import FoldRule, HeldOut, held_out
from hw4opt.blocks.reference import Trivial, trivial_fit
from hw4opt.blocks.rows import BlockSums, RowSource
from hw4opt.blocks.survey import Survey, survey
from hw4opt.errors import InputError, RefusedError, shown
from hw4opt.problem import HyperparameterKey, Model, Problem
from hw4opt.running.threads import one_blas_thread, threads
from hw4opt.selection.axes import Setting, Tried
from hw4opt.selection.choose import axes_of, one_standard_error, select
from hw4opt.selection.fold_fits import PROVEN_GAP
from hw4opt.selection.notes import beyond, edge, on_twins, unproven
from hw4opt.selection.scores import METRICS
from hw4opt.selection.search import parse_search, rounds
from hw4opt.selection.setting_runs import distinct_settings
from hw4opt.terms import Loss
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_seed, check_word, checked, whole_of

Progress = Callable[[int, int, float], None]
Cost = Callable[[int, int, float], None]  # fits of the first settings, rows, seconds of one fit


@dataclass(frozen=True)
class BlocksSelection:
    """What was chosen over rows in blocks, and everything that was tried: as `selection.Selection`.

    model         the model at the chosen hyper-parameters;  passes  times that all rows were read
    interrupted   whether Ctrl-C ended the choice: the best setting so far was taken
    """

    model: Model
    method: str
    metric: str
    score: float
    standard_error: float
    fits: int
    largest_fold_gap: float
    passes: int
    seconds: float
    table: list[dict[str, float]]
    notes: list[str]
    interrupted: bool = False


@checked
def select_blocks(
    model: Model,
    source: RowSource | BlockSums,
    free: Sequence[str],
    method: str = "auto",
    search: str = "zoom",
    grid: Mapping[str, tuple[float, float, int]] | None = None,
    metric: str = "loss",
    folds: str = "shuffled",
    seed: int = 0,
    one_se: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
    memory: int | None = None,
    cost: Cost | None = None,
) -> BlocksSelection:
    """Choose the hyper-parameters named in `free` (and in `grid`) by held-out error over rows in blocks.

    model, source   as in `fit_blocks`;  search, grid, metric, one_se, workers  as in `selection.select`
    method    auto | kfold:K.   kfold:K: every setting on all rows; the settings of one gamma and all folds share each
              read. Squared loss takes two reads, others a full fit and four reads more at most (of fewer than 100,000
              rows eight), besides those that check the basis. Where each row has a state, as with tv or quantile loss,
              the columns are read once and every fold of every setting is a fit of its own.   auto: `selection.select`
              on a sample of the rows, their weights scaled to all of them
    folds     shuffled: a row's fold is drawn by the seed and its number;   contiguous: runs of rows
    memory    bytes that a fit with a state for each row may take, as in `fit_blocks`; on each worker that fits
    cost      called where every fold is a fit of its own, once the first one is made: with the number of fits that the
              first settings of the search take, their rows, and the seconds of the first fit over the number of fits
              that run at a time

    A fold's fit is judged by its duality gap over the basis of all rows. Raises `RefusedError` for a model that
    `fit_blocks` refuses, and where memory or disk do not hold the rows that have a state; `InputError` for an unknown
    name, option or method, for metric `loss` where a parameter of the loss is searched, and for fewer rows than folds.
    """
    if (refusal := refuse(model)) is not None:
        raise RefusedError(refusal)
    grid = dict(grid or {})
    check_word("metric", metric, METRICS)
    check_word("folds", folds, ("shuffled", "contiguous"))
    check_seed(seed)
    parse_search(search)
    keys = map(HyperparameterKey.parse, grid)
    if metric == "loss" and any(key.parameter is not None and key.belongs_to(model.loss) for key in keys):
        raise InputError(
            "metric loss would reward a shrinking loss while its parameter is searched; use metric squared or absolute"
        )
    started, sums = time.perf_counter(), sums_for(source)
    before = sums.passes
    count = _fold_count(method)
    with threads(workers), one_blas_thread():
        seen = survey(model, sums)
        problem = _sampled(model, seen)
        if count is None:
            found = select(
                problem, free, "auto", search, grid, metric, folds, None, seed, one_se, False, workers, progress
            )
            notes = found.notes
            if len(problem.y) < seen.count:
                said = f"hyper-parameters were chosen on {len(problem.y):,} of {seen.count:,} rows"
                fits = ", with a fit for every fold of every setting" if terms_with_states(model) else ""
                more = f"select kfold:K chooses on all rows{fits}"
                notes = [f"{said}, their weights scaled to all of them; {more}", *notes]
            return BlocksSelection(
                _with_terms(model, found.problem.model),
                *(found.method, metric, found.score, found.standard_error, found.fits, found.largest_fold_gap),
                *(sums.passes - before, time.perf_counter() - started, found.table, notes, found.interrupted),
            )
        if count > seen.count:
            raise InputError(f"{method} needs as many rows as folds at least, and {seen.count} have a weight above 0")
        axes = axes_of(problem, list(dict.fromkeys((*free, *grid))), grid)
        rule, interrupted = FoldRule(count, folds == "shuffled", seed, seen), False

        def first_fit(seconds: float) -> None:
            if cost is not None:
                cost(count * runs.total, seen.count, seconds)

        if terms_with_states(model):
            scores = fold_by_fold(model, sums.rows(), seen, rule, metric, first_fit, memory, sums.executor)
        else:
            scores = nullcontext(_SharedReads(sums, seen, rule, metric))
        with scores as score_models:
            runs = _SettingScores(model, score_models, count, progress)
            try:
                for settings in rounds(search, axes, count, seed, runs.history):
                    runs.run(settings)
            except KeyboardInterrupt:
                if not any(np.isfinite(one.score) for one in runs.history()):
                    raise  # there is no best so far
                interrupted = True
    pairs = runs.tried
    best, score = one_standard_error(problem, pairs) if one_se else min(pairs, key=lambda pair: pair[0].rank)
    if len(pairs) > 1 and not np.isfinite(best.score):
        raise InputError(
            f"none of the {len(pairs)} settings tried has a finite held-out error; give the values instead"
        )
    notes = [] if model.kernel is None else _on_twins(seen)
    notes += [f"interrupted after {len(pairs)} settings; the best so far is used"] if interrupted else []
    notes += [note for axis in axes if (note := beyond(axis, runs.history()) or edge(axis, best.setting)) is not None]
    notes += unproven(score.largest_gap, [one.largest_gap for _, one in pairs])
    return BlocksSelection(
        model.with_hyperparameters(best.setting),
        *(method, metric, best.score, best.standard_error, count * len(pairs), score.largest_gap),
        *(sums.passes - before, time.perf_counter() - started, [one.row for one, _ in pairs], notes, interrupted),
    )


def _fold_count(method: str) -> int | None:
    """K of kfold:K, None of auto."""
    kind, _, number = method.partition(":")
    count = whole_of(number) if kind == "kfold" else None
    if method != "auto" and (count is None or count < 2):
        raise InputError(
            f"select over rows in blocks is {shown(method)}; there are auto, and kfold:K with K of 2 or more"
        )
    return count


def _sampled(model: Model, seen: Survey) -> Problem:
    """The sampled rows, which stand for all, weights scaled to the full data: x as the design measures it, or, where
    terms may act on raw coefficients, as it is."""
    sample: Array | None = seen.sample.x
    assert sample is not None
    weights = np.ones(len(sample)) if seen.sample.weights is None else seen.sample.weights
    if terms_with_states(model):
        sample = sample * seen.kept.spread + seen.kept.center
    else:
        parts = model.kernel, model.loss, model.regularizers, model.constraints, model.intercept
        model = Model(*parts)
    return model.on(model.data_of(sample, seen.sample.y, weights * (seen.count / len(sample)), seen.sample.offset))


def _on_twins(seen: Survey) -> list[str]:
    """The note on rows of equal x, by the sample."""
    assert seen.sample.x is not None
    rows = "rows" if len(seen.sample) == seen.count else "sampled rows"
    return on_twins(seen.sample.x, rows, "select loo:x, of rows in memory, leaves equal x out together")


def _with_terms(model: Model, chosen: Model) -> Model:
    """The model with the kernel and terms of another one."""
    parts = chosen.kernel, chosen.loss, chosen.regularizers, chosen.constraints
    return Model(*parts, model.intercept, model.standardize)


class _SharedReads:
    """Scores of models whose settings and folds share each read of the rows."""

    def __init__(self, sums: BlockSums, seen: Survey, rule: FoldRule, metric: str) -> None:
        self._sums, self._seen, self._rule, self._metric = sums, seen, rule, metric
        self._trivial: dict[Loss, Trivial] = {}

    def __call__(self, models: Sequence[Model]) -> Iterator[HeldOut]:
        """One of each model; the models differ in the ridge alone."""
        if (loss := models[0].loss) not in self._trivial:
            self._trivial[loss] = trivial_fit(models[0], self._seen, self._sums)
        return held_out(models, self._sums, self._seen, self._trivial[loss], self._rule, self._metric)


class _SettingScores:
    """The rounds of a search, and what they have so far.

    total    settings when this round is over
    """

    def __init__(
        self,
        model: Model,
        score: Callable[[Sequence[Model]], Iterator[HeldOut]],
        folds: int,
        progress: Progress | None,
    ) -> None:
        self._model, self._score, self._folds, self._progress = model, score, folds, progress
        self.tried: list[tuple[Tried, HeldOut]] = []
        self.total = 0

    def history(self) -> list[Tried]:
        """The settings so far."""
        return [one for one, _ in self.tried]

    def run(self, settings: list[Setting]) -> None:
        """Score the settings, those of one basis together."""
        settings = distinct_settings(settings, self._model.settled, self.history())
        bases: dict[object, list[tuple[Setting, Model]]] = {}
        for setting in settings:
            model = self._model.with_hyperparameters(setting)
            bases.setdefault((model.kernel, model.loss), []).append((setting, model))
        self.total = len(self.tried) + len(settings)
        for basis in bases.values():
            found = self._score([model for _, model in basis])
            for (setting, _), one in zip(basis, found, strict=True):
                proven = one.largest_gap <= PROVEN_GAP
                self.tried.append((Tried(setting, one.score, one.standard_error, proven), one))
                if self._progress is not None:
                    best = min(self.history(), key=lambda tried: tried.rank)
                    self._progress(len(self.tried) * self._folds, self.total * self._folds, best.score)
