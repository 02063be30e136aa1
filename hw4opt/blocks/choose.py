"""select_blocks: choice of hyper-parameters by held-out error over rows in blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from hw4opt.blocks.all_rows import terms_with_row_duals
from hw4opt.blocks.fit import refuse, sums_for
from hw4opt.blocks.fold_by_fold import fold_by_fold
from hw4opt.blocks.held_out import FoldRule, HeldOut, held_out
from hw4opt.blocks.reference import Trivial, trivial_fit
from hw4opt.blocks.rows import BlockSums, RowSource
from hw4opt.blocks.survey import Survey, survey
from hw4opt.errors import InputError, RefusedError, counted, shown
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
Cost = Callable[[int, int, float], None]  # fits of the first round of settings, rows, seconds of one fit


@dataclass(frozen=True)
class BlocksSelection:
    """The chosen hyper-parameters over rows in blocks, and all settings tried; other fields as in
    `selection.Selection`.

    model         the model at the chosen hyper-parameters
    passes        number of reads of all rows;  seconds  wall time
    interrupted   whether Ctrl-C ended the search: the best setting until then was taken
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
              read. Squared loss takes two reads, other losses a full fit and at most four reads (eight for fewer than
              100,000 rows), besides those that check the basis. With a dual variable per row, as for tv or quantile
              loss, the columns are read once and every fold of every setting is fitted separately.   auto:
              `selection.select` on a sample of the rows, with weights scaled to the full data
    folds     shuffled: a row's fold is drawn from the seed and its number;   contiguous: consecutive rows
    memory    limit in bytes of fits with a dual variable per row, as in `fit_blocks`; of each worker that fits
    cost      called after the first fit if every fold is fitted separately: with the number of fits of the first round
              of settings, the number of rows, and the seconds of the first fit, divided by the number of parallel fits

    A fold's fit is judged by its duality gap over the basis of all rows. Raises `RefusedError` for a model that
    `fit_blocks` refuses, and if memory or disk is too small for the dual variables; `InputError` for an unknown name,
    option or method, for metric `loss` if a parameter of the loss is searched, and for fewer rows than folds.
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
    passes_before = sums.passes
    count = _fold_count(method)
    with threads(workers), one_blas_thread():
        surveyed = survey(model, sums)
        problem = _sample_problem(model, surveyed)
        if count is None:
            found = select(
                problem, free, "auto", search, grid, metric, folds, None, seed, one_se, False, workers, progress
            )
            notes = found.notes
            if len(problem.y) < surveyed.count:
                chosen_on = f"hyper-parameters were chosen on {len(problem.y):,} of {surveyed.count:,} rows"
                fits = ", with a fit for every fold of every setting" if terms_with_row_duals(model) else ""
                instead = f"select kfold:K chooses on all rows{fits}"
                notes = [f"{chosen_on}, their weights scaled to all of them; {instead}", *notes]
            return BlocksSelection(
                _with_terms(model, found.problem.model),
                *(found.method, metric, found.score, found.standard_error, found.fits, found.largest_fold_gap),
                *(sums.passes - passes_before, time.perf_counter() - started, found.table, notes, found.interrupted),
            )
        if count > surveyed.count:
            raise InputError(
                f"{method} needs as many rows as folds at least, and {surveyed.count} have a weight above 0"
            )
        axes = axes_of(problem, list(dict.fromkeys((*free, *grid))), grid)
        rule, interrupted = FoldRule(count, folds == "shuffled", seed, surveyed), False

        def first_fit(seconds: float) -> None:
            if cost is not None:
                cost(count * runs.total, surveyed.count, seconds)

        if terms_with_row_duals(model):
            scores = fold_by_fold(model, sums.rows(), surveyed, rule, metric, first_fit, memory, sums.executor)
        else:
            scores = nullcontext(_SharedReads(sums, surveyed, rule, metric))
        with scores as score_models:
            runs = _SettingScores(model, score_models, count, progress)
            try:
                for settings in rounds(search, axes, count, seed, runs.history):
                    runs.run(settings)
            except KeyboardInterrupt:
                if not any(np.isfinite(one.score) for one in runs.history()):
                    raise  # no setting has a score yet
                interrupted = True
    pairs = runs.tried
    best, score = one_standard_error(problem, pairs) if one_se else min(pairs, key=lambda pair: pair[0].rank)
    if len(pairs) > 1 and not np.isfinite(best.score):
        raise InputError(
            f"none of the {len(pairs)} settings tried has a finite held-out error; give the values instead"
        )
    notes = [] if model.kernel is None else _equal_x_note(surveyed)
    notes += [f"interrupted after {counted(len(pairs), 'setting')}; the best so far is used"] if interrupted else []
    notes += [note for axis in axes if (note := beyond(axis, runs.history()) or edge(axis, best.setting)) is not None]
    notes += unproven(score.largest_gap, [one.largest_gap for _, one in pairs])
    return BlocksSelection(
        model.with_hyperparameters(best.setting),
        *(method, metric, best.score, best.standard_error, count * len(pairs), score.largest_gap),
        *(
            sums.passes - passes_before,
            time.perf_counter() - started,
            [one.row for one, _ in pairs],
            notes,
            interrupted,
        ),
    )


def _fold_count(method: str) -> int | None:
    """K of kfold:K; None for auto. Raises `InputError` for other methods."""
    kind, _, number = method.partition(":")
    count = whole_of(number) if kind == "kfold" else None
    if method != "auto" and (count is None or count < 2):
        raise InputError(
            f"select over rows in blocks is {shown(method)}; there are auto, and kfold:K with K of 2 or more"
        )
    return count


def _sample_problem(model: Model, surveyed: Survey) -> Problem:
    """The problem of the sampled rows, with weights scaled to the full data; x in units of the design, or raw if terms
    may act on raw coefficients."""
    sample: Array | None = surveyed.sample.x
    assert sample is not None
    weights = np.ones(len(sample)) if surveyed.sample.weights is None else surveyed.sample.weights
    if terms_with_row_duals(model):
        sample = sample * surveyed.kept.spread + surveyed.kept.center
    else:
        parts = model.kernel, model.loss, model.regularizers, model.constraints, model.intercept
        model = Model(*parts)
    return model.on(
        model.data_of(sample, surveyed.sample.y, weights * (surveyed.count / len(sample)), surveyed.sample.offset)
    )


def _equal_x_note(surveyed: Survey) -> list[str]:
    """The note on rows of equal x, counted in the sample."""
    assert surveyed.sample.x is not None
    rows = "rows" if len(surveyed.sample) == surveyed.count else "sampled rows"
    return on_twins(surveyed.sample.x, rows, "select loo:x, of rows in memory, leaves equal x out together")


def _with_terms(model: Model, chosen: Model) -> Model:
    """The model with kernel and terms of `chosen`."""
    parts = chosen.kernel, chosen.loss, chosen.regularizers, chosen.constraints
    return Model(*parts, model.intercept, model.standardize)


class _SharedReads:
    """Scores of models; all settings of one basis and all folds share each read of the rows."""

    def __init__(self, sums: BlockSums, surveyed: Survey, rule: FoldRule, metric: str) -> None:
        self._sums, self._surveyed, self._rule, self._metric = sums, surveyed, rule, metric
        self._trivial: dict[Loss, Trivial] = {}

    def __call__(self, models: Sequence[Model]) -> Iterator[HeldOut]:
        """One score per model; the models differ only in the ridge."""
        if (loss := models[0].loss) not in self._trivial:
            self._trivial[loss] = trivial_fit(models[0], self._surveyed, self._sums)
        return held_out(models, self._sums, self._surveyed, self._trivial[loss], self._rule, self._metric)


class _SettingScores:
    """The settings scored in the rounds of a search.

    tried    settings with their scores so far;  total  number of settings at the end of this round
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
        """The settings scored so far."""
        return [one for one, _ in self.tried]

    def run(self, settings: list[Setting]) -> None:
        """Score the settings; those of one basis together."""
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
