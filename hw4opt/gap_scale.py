"""What a duality gap is relative to: what the fit explains.

    gap_scale = max(min(P̂, E), 1e-4 L)
    P̂ = Σ_i min(r_i, C) + penalties of w,            r_i = f_i(z_i) - min f_i          of the loss's rows
    E = Σ_i min(ℓ_i, C) - Σ_i min(r_i, C) - penalties of w + gap,      ℓ_i = f_i(z⁰_i) - min f_i
    L = (number of ℓ_i > 0) · m,   C = min(100 m, the second largest ℓ_i),   m the median of the positive ℓ_i

z⁰ is the best constant where an intercept is free, else f = 0. A weight counts at most 100 times the median weight. The cap C keeps one
row, however large its target, from lifting the scale above what the other rows explain; a level, or a constant part of a loss, is in
none of these sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.blocks import Block, Piece, Sheet, SmoothRows
from hw4opt.terms.base import Array

LEAST = 1e-4  # of L: the scale of a fit that explains nothing
LARGEST_SHARE = 100.0  # medians: the most that one row, or one weight, counts
SAMPLE = 512  # rows among which the best constant is looked for
CANDIDATES = 17
ROUNDS = 3
BEYOND = 40.0  # of the rows' own best z: how far off the best constant of a smooth loss is looked for
STEPS, CLOSE = 60, 1e-6


@dataclass(frozen=True, eq=False)
class Reference:
    """The trivial fit: what its rows lose, Σ min(ℓ_i, C) and L (b,), the cap C (b, 1), and by what each row counts, (b, n) or (b, 1)."""

    explained: Array
    floor: Array
    cap: Array
    share: Array

    def cut(self, batch: np.ndarray) -> Reference:
        return Reference(self.explained[batch], self.floor[batch], self.cap[batch], self.share[batch])

    def scale(self, excess: Array, penalties: Array, gap: Array) -> Array:
        """gap_scale (b,) of points with these r (b, n), penalties and gaps (b,)."""
        left = np.minimum(self.share * excess, self.cap).sum(axis=1) + penalties
        return np.maximum(np.minimum(left, self.explained - left + gap), LEAST * self.floor)


def reference(loss: Block, free_level: bool) -> Reference:
    """The trivial fit of the loss's block; `free_level`: a constant costs nothing."""
    weights = np.broadcast_to(loss.weights, (len(loss.weights), loss.rows.count))
    share = _share(weights) if loss.weights.shape[1] > 1 else np.ones((len(weights), 1))
    constant = _best_constant(loss) if free_level else np.zeros((len(weights), 1))
    lost = share * _excess(loss, np.broadcast_to(constant, weights.shape))
    count = (lost > 0).sum(axis=1)
    ranked = -np.partition(-lost, 1, axis=1) if lost.shape[1] > 1 else np.repeat(lost, 2, axis=1)
    median = median_of_positive(lost)
    cap = np.where(count > 1, np.minimum(LARGEST_SHARE * median, ranked[:, 1]), median)[:, None]
    return Reference(np.minimum(lost, cap).sum(axis=1), count * median, cap, share)


def excess_of_pieces(block: Block, pieces: Sequence[Piece], zs: Sequence[Array]) -> Array:
    """r_i = f_i(z_i) - min f_i of the loss's rows, (b, n), from the pieces that make them up."""
    total = np.zeros((len(zs[0]), block.rows.count))
    for piece, z in zip(pieces, zs, strict=True):
        rows = piece.smooth if piece.sheet is None else piece.sheet
        assert rows is not None
        total[:, piece.chunk.low : piece.chunk.high] += _above_least(rows, z)
    return total


def _above_least(rows: Sheet | SmoothRows, z: Array) -> Array:
    """f(z) - min f, row by row; a loss of box-constrained quadratic rows is least where it is 0."""
    if isinstance(rows, Sheet):
        value = rows.value(z - rows.shift)
        return value if rows.active is None else value * rows.active
    return rows.weights * (0.5 * rows.term.deviance(z + rows.offset, rows.targets))


def _excess(loss: Block, z: Array) -> Array:
    rows: Sequence[Sheet | SmoothRows] = loss.sheets if loss.smooth is None else (loss.smooth,)
    return sum((_above_least(one, z) for one in rows), np.zeros_like(z))


def _share(weights: Array) -> Array:
    """min(1, 100 · median weight / weight)."""
    most = LARGEST_SHARE * median_of_positive(weights)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weights > most, most / weights, 1.0)


def median_of_positive(values: Array) -> Array:
    """The lower median of the positive entries of every line, (b,); 0 where there is none."""
    size, count = values.shape[1], (values > 0).sum(axis=1)
    if (count == count[0]).all():
        place = size - int(count[0]) + max((int(count[0]) - 1) // 2, 0)
        return np.partition(values, min(place, size - 1), axis=1)[:, min(place, size - 1)]
    ranked = np.sort(values, axis=1)
    place = np.minimum(size - count + np.maximum((count - 1) // 2, 0), size - 1)
    return ranked[np.arange(len(values)), place]


def _best_constant(loss: Block) -> Array:
    """The constant of least loss, (b, 1), to a small part of the distance between two of 17 quantiles of the rows' own best z.

    Of a smooth loss it may lie beyond them all, as where most counts are 0: Newton's method inside a shrinking bracket finds it.
    """
    if loss.smooth is not None:
        return _best_constant_of_smooth(loss.smooth, loss.rows.count)
    count = loss.rows.count
    some = np.arange(count) if count <= SAMPLE else np.linspace(0, count - 1, SAMPLE).astype(int)
    value, best = _value_on(loss, some)
    grid = np.quantile(best, np.linspace(0, 1, CANDIDATES), axis=1).T
    lines = np.arange(len(grid))
    for _ in range(ROUNDS):
        lowest = value(grid[:, None, :]).argmin(axis=1)
        low, high = grid[lines, np.maximum(lowest - 1, 0)], grid[lines, np.minimum(lowest + 1, CANDIDATES - 1)]
        middle = grid[lines, lowest]
        half = CANDIDATES // 2
        below, above = (np.linspace(one, other, half + 1, axis=1) for one, other in ((low, middle), (middle, high)))
        grid = np.concatenate([below, above[:, 1:]], axis=1)
    return grid[lines, value(grid[:, None, :]).argmin(axis=1)][:, None]


def _best_constant_of_smooth(rows: SmoothRows, count: int) -> Array:
    """The c with Σ f_i'(c) = 0, (b, 1); where there is none, a c from which on the loss hardly falls."""
    own = np.broadcast_to(rows.term.guess(rows.targets) - rows.offset, (len(rows.weights), count))
    low, high = own.min(axis=1, keepdims=True) - BEYOND, own.max(axis=1, keepdims=True) + BEYOND
    c = own.mean(axis=1, keepdims=True)
    for _ in range(STEPS):
        z = np.broadcast_to(c, own.shape)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            slope = rows.gradient(z).sum(axis=1, keepdims=True)
            newton = c - slope / rows.curvature(z).sum(axis=1, keepdims=True)
        low, high = np.where(slope <= 0, c, low), np.where(slope > 0, c, high)
        last, c = c, np.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
        if (np.abs(c - last) <= CLOSE).all():
            break
    return c


def _value_on(loss: Block, some: np.ndarray) -> tuple[Callable[[Array], Array], Array]:
    """Σ f_i(c) over some rows for constants c (b, 1, k), giving (b, k); and each row's own best z, (b, rows)."""
    sheets = [sheet.cut(some) for sheet in loss.sheets]
    columns = [_deepened(sheet, len(some)) for sheet in sheets]
    own = np.broadcast_to(sheets[0].shift, (len(sheets[0].shift), len(some)))

    def value(c: Array) -> Array:
        found = 0.0
        for sheet in columns:
            each = sheet.value(c - sheet.shift)
            found = found + (each if sheet.active is None else each * sheet.active).sum(axis=1)
        return np.asarray(found)

    return value, own


def _deepened(sheet: Sheet, rows: int) -> Sheet:
    """The sheet with arrays (b, rows, 1)."""
    arrays = (sheet.quadratic, sheet.shift, sheet.low, sheet.high, sheet.active)
    return Sheet(*(None if one is None else np.broadcast_to(one, (len(one), rows))[:, :, None] for one in arrays))  # type: ignore[arg-type]
