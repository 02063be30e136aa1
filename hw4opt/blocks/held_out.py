"""Held-out errors of K folds over rows in blocks: the settings of one basis and all folds share every read.

A read at the full fits gives gradient and Hessian of each fold's rows; those of all rows less these give every fold
its first Newton step. A read at the folds' fits then gives their gradients, what these cost (the duality gap), and the
errors of the rows that they do not know. Where a gap is left, a step with the same Hessian follows, and then one with
the folds' own Hessians, which cost as many sums as there are folds. Of squared loss the first step is exact, from any
start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hw4opt.blocks.basis import design_of
from hw4opt.blocks.fit import penalized, sample_fit
from hw4opt.blocks.objective import BlockedRows, BlockForms, MadeChunk
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

FULL_FIT_CHANGE = 1e-6  # root mean square change of z that the last step of a full fit may leave
FEW_ROWS = 100_000  # below which folds differ more and reads cost little: each gives the folds' own Hessians
FEW_ROWS_READS = 7  # at most, after the first
MAX_HESSIAN_ENTRIES = 500_000  # of the folds of settings that share reads


@dataclass(frozen=True)
class FoldRule:
    """Which of `count` folds holds out a row: drawn by the seed and its number, or a run of rows with a weight."""

    count: int
    shuffled: bool
    seed: int
    survey: Survey

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """(m,) from 0, of the rows of a block that have a weight."""
        if not self.shuffled:
            block = np.searchsorted(self.survey.first, numbers[0], side="right") - 1
            places = self.survey.before[block] + np.arange(len(numbers))
            return places * self.count // self.survey.count
        drawn = hashed(numbers, 2 * self.seed + 1) >> np.uint64(32)  # the sample's seed is even
        return (drawn.astype(np.int64) * self.count) >> 32


@dataclass(frozen=True)
class HeldOut:
    """Weighted mean error of the held-out rows, its standard error, and the largest gap of a fold's fit, relative to
    the smaller of what the held-out fits leave of the loss and what they explain."""

    score: float
    standard_error: float
    largest_gap: float


def held_out(
    models: Sequence[Model], sums: BlockSums, survey: Survey, trivial: Trivial, rule: FoldRule, metric: str
) -> Iterator[HeldOut]:
    """One of each model; the models differ in the ridge alone."""
    design = design_of(models[0], survey, sums)
    free = penalized(design)
    step = max(1, MAX_HESSIAN_ENTRIES // (rule.count * len(free) ** 2))
    for low in range(0, len(models), step):
        some = models[low : low + step]
        penalty = np.stack([2 * model.ridge * free for model in some])
        forms = [BlockForms(model, design, one[None], trivial.level) for model, one in zip(some, penalty, strict=True)]
        blocked = BlockedRows(forms[0], sums, survey)
        start = np.zeros((1, len(free)))
        if not is_quadratic(some[0].loss):
            first = np.concatenate([sample_fit(BlockedRows(one, sums, survey)) for one in forms])
            start = minimize_objective(blocked.objective(penalty), first, Stop(left=FULL_FIT_CHANGE)).w
        *_, last = _from_full_fits(blocked, penalty, start, trivial, rule, metric)
        yield from last


def is_quadratic(loss: Loss) -> bool:
    """Whether the loss is a square wherever it is."""
    curves = [one for one in loss.curves if isinstance(one, PiecewiseQuadratic)]
    tables = [table for one in curves for table in one.tables]
    return bool(tables) and all(np.isinf(table.low) and np.isinf(table.high) for table in tables)


def _from_full_fits(
    blocked: BlockedRows, penalty: Array, start: Array, trivial: Trivial, rule: FoldRule, metric: str
) -> Iterator[list[HeldOut]]:
    """The scores after every read at the folds' fits."""
    settings, r = penalty.shape
    of_folds = _fold_sums(blocked, start, rule)
    shape = (settings, rule.count, r)
    gradient, hessian = (
        np.broadcast_to(one.sum(axis=1, keepdims=True) - one, (settings, *one.shape[1:])).reshape(-1, *one.shape[2:])
        for one in (of_folds.gradient, of_folds.hessian)
    )
    every = np.repeat(penalty, rule.count, axis=0)
    direct = descents(hessian, every)
    w = np.broadcast_to(start[:, None], shape).reshape(-1, r)
    w = w + direct(gradient + every * w)
    typical = trivial.z_scale / np.sqrt(np.maximum(of_folds.square / blocked.survey.count, 1e-300))
    reads = (False, True, False) if blocked.survey.count >= FEW_ROWS else (True,) * FEW_ROWS_READS
    for bends in reads:  # whether the read gives the folds' own Hessians
        seen = _held_out_sums(blocked, w.reshape(shape), trivial, rule, metric, bends)
        residual = seen.pull.reshape(-1, r) + every * w
        gap, _ = cost_of_residual(every, w, residual, np.zeros_like(w), None if every.all() else typical)
        charged, zero = 0.5 * np.vecdot(w, every * w), np.zeros(1)
        remains, explained = (np.repeat(one, rule.count) for one in seen.numbers[:, -2:].T)
        relative = relative_gap(gap, scale_of(remains, explained, charged, gap, zero, zero + trivial.least))
        yield [
            _score(numbers, float(one))
            for numbers, one in zip(seen.numbers, relative.reshape(settings, -1).max(axis=1), strict=True)
        ]
        if (relative <= EXACT_GAP).all():
            break
        direct = descents(seen.hessian.reshape(-1, r, r), every) if bends else direct
        w = w + direct(residual)


def _score(numbers: Array, gap: float) -> HeldOut:
    weight, error, square, of_square, both, *_ = numbers.tolist()
    mean = error / weight
    return HeldOut(mean, float(np.sqrt(max(both - 2 * mean * of_square + mean**2 * square, 0.0))) / weight, gap)


@dataclass(frozen=True, eq=False)
class _FoldSums:
    """Gradients (S, F, r) and Hessians (S, F, r, r) of the rows of each fold, and how many (F,); squares of A by column
    (r,)."""

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

    def one(rows: DataRows) -> _FoldSums:
        rows, edges = _by_fold(rows, rule)
        assert rows.x is not None
        chunk = MadeChunk(forms.design, rows.x)
        a = chunk.matrix
        z, r = w @ a.T, w.shape[1]
        gradient, hessian = np.zeros((len(w), rule.count, r)), np.zeros((len(w), rule.count, r, r))
        for function in forms.loss(rows).functions:
            _, slope, bend = function.derivatives(z)
            for fold, part in enumerate(edges):
                gradient[:, fold] += slope[:, part] @ a[part]
                hessian[:, fold] += chunk.gram(a[part], np.broadcast_to(bend, z.shape)[:, part])
        rows_of = np.array([part.stop - part.start for part in edges])
        return _FoldSums(gradient, hessian, rows_of, np.square(a).sum(axis=0))

    found = blocked.total(one, _FoldSums.plus)
    assert found is not None
    check_rows_held_out(found.rows)
    return found


def check_rows_held_out(counts: np.ndarray) -> None:
    """Raise `InputError` where one of the folds, which hold out so many rows, holds out none."""
    if not counts.all():
        raise InputError(
            f"of {len(counts)} folds one holds out no row of a weight above 0: shuffled folds are drawn row by row; "
            "take fewer folds, or `folds='contiguous'`"
        )


@dataclass(frozen=True, eq=False)
class _HeldOutSums:
    """Gradients (S, F, r) and, where they are asked for, Hessians of the rows that each fold's fit knows.

    numbers (S, 7)   of the rows that it does not know Σ ω, Σ ω e, Σ ω², Σ ω² e, Σ ω² e² of their errors e, and of the
                     loss what is left, and what is explained
    """

    pull: Array
    numbers: Array
    hessian: Array

    def plus(self, other: _HeldOutSums) -> _HeldOutSums:
        return _HeldOutSums(self.pull + other.pull, self.numbers + other.numbers, self.hessian + other.hessian)


def _held_out_sums(
    blocked: BlockedRows, w: Array, trivial: Trivial, rule: FoldRule, metric: str, bends: bool
) -> _HeldOutSums:
    forms = blocked.forms

    def one(rows: DataRows) -> _HeldOutSums:
        rows, edges = _by_fold(rows, rule)
        assert rows.x is not None
        chunk, loss = MadeChunk(forms.design, rows.x), forms.loss(rows)
        a = chunk.matrix
        hessian = np.zeros((*w.shape, w.shape[-1]) if bends else (1,))
        weights = np.ones(len(rows)) if rows.weights is None else rows.weights
        share = trivial.share(rows.weights)
        trivially = float(np.sum(share * loss.excess(trivial.constant)[0]))
        pull, numbers = np.zeros_like(w), []
        held = np.empty(len(rows))
        for setting, of_folds in enumerate(w):
            z = of_folds @ a.T
            for fold, part in enumerate(edges):
                held[part] = z[fold, part]
            for function in loss.functions:
                _, slope, bend = function.derivatives(z)
                bend = np.array(np.broadcast_to(bend, z.shape)) if bends else slope
                for fold, part in enumerate(edges):
                    slope[fold, part] = bend[fold, part] = 0.0
                pull[setting] += slope @ a
                if bends:
                    hessian[setting] += chunk.gram(a, bend)
            predicted = held if rows.offset is None else held + rows.offset
            error = error_of_rows(forms.model.loss, predicted, rows.y - forms.level, metric)
            squared, remains = np.square(weights), float(np.sum(share * loss.excess(held[None])[0]))
            sums = weights.sum(), weights @ error, squared.sum(), squared @ error, squared @ np.square(error)
            numbers.append([*map(float, sums), remains, trivially - remains])
        return _HeldOutSums(pull, np.array(numbers), hessian)

    found = blocked.total(one, _HeldOutSums.plus)
    assert found is not None
    return found


def _by_fold(rows: DataRows, rule: FoldRule) -> tuple[DataRows, list[slice]]:
    """The rows fold after fold, and where each fold's stand."""
    assert rows.numbers is not None
    folds = rule.of(rows.numbers)
    edges = np.concatenate([[0], np.cumsum(np.bincount(folds, minlength=rule.count))]).tolist()
    spans = [slice(low, high) for low, high in pairwise(edges)]
    return rows.cut(np.argsort(folds, kind="stable")), spans
