"""Held-out errors of K folds over rows in blocks: the settings of one basis and all folds share every read.

A read at the full fits gives gradient and Hessian of each fold's rows; subtracted from those of all rows they give the
first Newton step of every fold. A read at the folds' fits gives their gradients, the duality gaps, and the errors of
the held-out rows. While a gap is above EXACT_GAP, a step with the same Hessian follows, then one with a Hessian
evaluated at each fold's own fit, which takes a sum per fold. For squared loss the first step is exact from any start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hw4opt.blocks.basis import design_of
from hw4opt.blocks.fit import penalized, sample_fit
from hw4opt.blocks.objective import BlockedRows, BlockForms, EvaluatedChunk
from hw4opt.blocks.reference import Trivial
from hw4opt.blocks.rows import BlockSums, DataRows, hashed
from hw4opt.blocks.survey import Survey
from hw4opt.errors import InputError
from hw4opt.form.gap_scale import relative_gap, scale_of
from hw4opt.problem import Model
from hw4opt.proof.certificate import cost_of_residual
from hw4opt.selection.fold_fits import EXACT_GAP
from hw4opt.selection.scores import error_of_rows
from hw4opt.solvers._smooth_objective import descents
from hw4opt.solvers.newton import Stop, minimize_objective
from hw4opt.terms import Loss, PiecewiseQuadratic
from hw4opt.terms.base import Array

FULL_FIT_CHANGE = 1e-6  # tolerance of full fits: root mean square change of z by the next Newton step
FEW_ROWS = 100_000  # for fewer rows folds differ more and reads are cheap: every read evaluates the folds' Hessians
FEW_ROWS_READS = 7  # most reads after the first for fewer than FEW_ROWS rows
MAX_HESSIAN_ENTRIES = 500_000  # entries of the Hessians of all folds and settings that share a read


@dataclass(frozen=True)
class FoldRule:
    """Which of `count` folds holds out a row: drawn from the seed and its number if `shuffled`, else folds are runs of
    consecutive rows of positive weight."""

    count: int
    shuffled: bool
    seed: int
    survey: Survey

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """(m,) fold indices of a block's rows of positive weight, given their numbers (m,)."""
        if not self.shuffled:
            block = np.searchsorted(self.survey.first, numbers[0], side="right") - 1
            places = self.survey.before[block] + np.arange(len(numbers))
            return places * self.count // self.survey.count
        drawn = hashed(numbers, 2 * self.seed + 1) >> np.uint64(32)  # odd: SAMPLE_SEED is even
        return (drawn.astype(np.int64) * self.count) >> 32


@dataclass(frozen=True)
class HeldOut:
    """Weighted mean error of the held-out rows, its standard error, and the largest duality gap of a fold's fit
    relative to its gap_scale (form/gap_scale.py)."""

    score: float
    standard_error: float
    largest_gap: float


def held_out(
    models: Sequence[Model], sums: BlockSums, survey: Survey, trivial: Trivial, rule: FoldRule, metric: str
) -> Iterator[HeldOut]:
    """One score per model; the models differ only in the ridge."""
    design = design_of(models[0], survey, sums)
    is_penalized = penalized(design)
    step = max(1, MAX_HESSIAN_ENTRIES // (rule.count * len(is_penalized) ** 2))
    for low in range(0, len(models), step):
        batch = models[low : low + step]
        penalty = np.stack([2 * model.ridge * is_penalized for model in batch])
        forms = [BlockForms(model, design, one[None], trivial.level) for model, one in zip(batch, penalty, strict=True)]
        blocked = BlockedRows(forms[0], sums, survey)
        start = np.zeros((1, len(is_penalized)))
        if not is_quadratic(batch[0].loss):
            sample_fits = np.concatenate([sample_fit(BlockedRows(form, sums, survey)) for form in forms])
            start = minimize_objective(blocked.objective(penalty), sample_fits, Stop(left=FULL_FIT_CHANGE)).w
        *_, last = _from_full_fits(blocked, penalty, start, trivial, rule, metric)
        yield from last


def is_quadratic(loss: Loss) -> bool:
    """Whether the loss is quadratic: its dual bounds are infinite."""
    curves = [one for one in loss.curves if isinstance(one, PiecewiseQuadratic)]
    tables = [table for one in curves for table in one.tables]
    return bool(tables) and all(np.isinf(table.low) and np.isinf(table.high) for table in tables)


def _from_full_fits(
    blocked: BlockedRows, penalty: Array, start: Array, trivial: Trivial, rule: FoldRule, metric: str
) -> Iterator[list[HeldOut]]:
    """The scores after each read at the folds' fits."""
    settings, r = penalty.shape
    of_folds = _fold_sums(blocked, start, rule)
    shape = (settings, rule.count, r)
    gradient, hessian = (
        np.broadcast_to(one.sum(axis=1, keepdims=True) - one, (settings, *one.shape[1:])).reshape(-1, *one.shape[2:])
        for one in (of_folds.gradient, of_folds.hessian)
    )
    penalties = np.repeat(penalty, rule.count, axis=0)
    newton_step = descents(hessian, penalties)
    w = np.broadcast_to(start[:, None], shape).reshape(-1, r)
    w = w + newton_step(gradient + penalties * w)
    w_scale = trivial.z_scale / np.sqrt(np.maximum(of_folds.square / blocked.survey.count, 1e-300))
    reads = (False, True, False) if blocked.survey.count >= FEW_ROWS else (True,) * FEW_ROWS_READS
    for with_hessians in reads:  # whether the read evaluates the folds' Hessians
        held = _held_out_sums(blocked, w.reshape(shape), trivial, rule, metric, with_hessians)
        residual = held.pull.reshape(-1, r) + penalties * w
        gap, _ = cost_of_residual(penalties, w, residual, np.zeros_like(w), None if penalties.all() else w_scale)
        penalty_of_w, zero = 0.5 * np.vecdot(w, penalties * w), np.zeros(1)
        remains, explained = (np.repeat(one, rule.count) for one in held.numbers[:, -2:].T)
        relative = relative_gap(gap, scale_of(remains, explained, penalty_of_w, gap, zero, zero + trivial.least))
        yield [
            _score(numbers, float(one))
            for numbers, one in zip(held.numbers, relative.reshape(settings, -1).max(axis=1), strict=True)
        ]
        if (relative <= EXACT_GAP).all():
            break
        newton_step = descents(held.hessian.reshape(-1, r, r), penalties) if with_hessians else newton_step
        w = w + newton_step(residual)


def _score(numbers: Array, gap: float) -> HeldOut:
    weight, error, square, squared_errors, squared_products, *_ = numbers.tolist()
    mean = error / weight
    return HeldOut(
        mean, float(np.sqrt(max(squared_products - 2 * mean * squared_errors + mean**2 * square, 0.0))) / weight, gap
    )


@dataclass(frozen=True, eq=False)
class _FoldSums:
    """Gradients (S, F, r) and Hessians (S, F, r, r) over the rows that each fold holds out, for S settings and F folds;
    number of these rows (F,); Σ_i a_ij² over all rows (r,)."""

    gradient: Array
    hessian: Array
    rows: np.ndarray
    square: Array

    def plus(self, other: _FoldSums) -> _FoldSums:
        return _FoldSums(
            *(self.gradient + other.gradient, self.hessian + other.hessian),
            *(self.rows + other.rows, self.square + other.square),
        )


def _fold_sums(blocked: BlockedRows, w: Array, rule: FoldRule) -> _FoldSums:
    forms = blocked.forms

    def block_sums(rows: DataRows) -> _FoldSums:
        rows, spans = _by_fold(rows, rule)
        assert rows.x is not None
        chunk = EvaluatedChunk(forms.design, rows.x)
        a = chunk.matrix
        z, r = w @ a.T, w.shape[1]
        gradient, hessian = np.zeros((len(w), rule.count, r)), np.zeros((len(w), rule.count, r, r))
        for function in forms.loss(rows).functions:
            _, slope, curvature = function.derivatives(z)
            for fold, part in enumerate(spans):
                gradient[:, fold] += slope[:, part] @ a[part]
                hessian[:, fold] += chunk.gram(a[part], np.broadcast_to(curvature, z.shape)[:, part])
        counts = np.array([part.stop - part.start for part in spans])
        return _FoldSums(gradient, hessian, counts, np.square(a).sum(axis=0))

    found = blocked.total(block_sums, _FoldSums.plus)
    assert found is not None
    check_rows_held_out(found.rows)
    return found


def check_rows_held_out(counts: np.ndarray) -> None:
    """Raise `InputError` if a fold holds out no row; `counts` (F,): rows that each fold holds out."""
    if not counts.all():
        raise InputError(
            f"one of {len(counts)} folds holds out no row of positive weight: shuffled folds are drawn row by row; "
            "use fewer folds, or `folds='contiguous'`"
        )


@dataclass(frozen=True, eq=False)
class _HeldOutSums:
    """Gradients (S, F, r) over the training rows of each fold, and Hessians (S, F, r, r) if requested.

    numbers (S, 7)   over the held-out rows: Σ ω, Σ ω e, Σ ω², Σ ω² e, Σ ω² e² of their errors e, Σ r_i, and
                     Σ (ℓ_i - r_i) (form/gap_scale.py)
    """

    pull: Array
    numbers: Array
    hessian: Array

    def plus(self, other: _HeldOutSums) -> _HeldOutSums:
        return _HeldOutSums(self.pull + other.pull, self.numbers + other.numbers, self.hessian + other.hessian)


def _held_out_sums(
    blocked: BlockedRows, w: Array, trivial: Trivial, rule: FoldRule, metric: str, with_hessians: bool
) -> _HeldOutSums:
    forms = blocked.forms

    def block_sums(rows: DataRows) -> _HeldOutSums:
        rows, spans = _by_fold(rows, rule)
        assert rows.x is not None
        chunk, loss = EvaluatedChunk(forms.design, rows.x), forms.loss(rows)
        a = chunk.matrix
        hessian = np.zeros((*w.shape, w.shape[-1]) if with_hessians else (1,))
        weights = np.ones(len(rows)) if rows.weights is None else rows.weights
        share = trivial.share(rows.weights)
        trivial_loss = float(np.sum(share * loss.excess(trivial.constant)[0]))
        pull, numbers = np.zeros_like(w), []
        predictions = np.empty(len(rows))
        for setting, fold_w in enumerate(w):
            z = fold_w @ a.T
            for fold, part in enumerate(spans):
                predictions[part] = z[fold, part]
            for function in loss.functions:
                _, slope, curvature = function.derivatives(z)
                curvature = np.array(np.broadcast_to(curvature, z.shape)) if with_hessians else slope
                for fold, part in enumerate(spans):
                    slope[fold, part] = curvature[fold, part] = 0.0
                pull[setting] += slope @ a
                if with_hessians:
                    hessian[setting] += chunk.gram(a, curvature)
            predicted = predictions if rows.offset is None else predictions + rows.offset
            error = error_of_rows(forms.model.loss, predicted, rows.y - forms.level, metric)
            squared, remains = np.square(weights), float(np.sum(share * loss.excess(predictions[None])[0]))
            sums = weights.sum(), weights @ error, squared.sum(), squared @ error, squared @ np.square(error)
            numbers.append([*map(float, sums), remains, trivial_loss - remains])
        return _HeldOutSums(pull, np.array(numbers), hessian)

    found = blocked.total(block_sums, _HeldOutSums.plus)
    assert found is not None
    return found


def _by_fold(rows: DataRows, rule: FoldRule) -> tuple[DataRows, list[slice]]:
    """The rows sorted by fold, and the slice of each fold."""
    assert rows.numbers is not None
    folds = rule.of(rows.numbers)
    edges = np.concatenate([[0], np.cumsum(np.bincount(folds, minlength=rule.count))]).tolist()
    spans = [slice(low, high) for low, high in pairwise(edges)]
    return rows.cut(np.argsort(folds, kind="stable")), spans
