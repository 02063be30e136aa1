"""A robust size of the noise in targets: for default ranges, and for Huber's delta."""

from __future__ import annotations

import math

import numpy as np

from hw4opt.terms.base import Array

NORMAL_MEDIAN = 0.6745  # of |z| for a standard normal z
MIN_RELATIVE_NOISE = 1e-3  # of the spread of y: noise below that is taken for none
MIN_EQUAL_X_SHARE = 1 / 3  # of the rows: as many differences between rows of equal x are enough
ROBUST_FIT_SUBSETS = 500
MAX_ROBUST_FIT_ROWS = 2_000
MAX_ROBUST_FIT_COLUMNS = 30


def noise_size(x: Array, y: Array) -> float:
    """σ of the noise in y (n,), in units of y, at x (n, d); 0 only where y is constant.

    One column:  median |y_{i+1} - y_i| / (0.6745 √2)  over neighbours in x. Where at least n/3 pairs of neighbours have
    equal x, also with several columns, over those pairs only. Rows of equal x are put in a random order that does not
    depend on the order of the input rows.
    Several columns:  1.4826 (1 + 5/(n - p)) min median |y - b - ⟨w, x⟩|  over exact fits to p = d + 1 rows each, 500
    random sets of rows of a fixed seed (least median of squares, Rousseeuw 1984); with more than 30 columns, or
    n ≤ 3p, the spread.
    Never above the spread 1.4826 median |y - median y|, and at least 1e-3 of it. Where a median is 0, it is taken again
    without the zeros. So up to a fourth of the rows may hold arbitrary values (a code for missing, say) without effect.
    """
    spread = spread_of(y)
    x, y = _ordered(x, y)
    steps = np.abs(np.diff(y)) / (NORMAL_MEDIAN * math.sqrt(2))
    equal_x = np.all(x[1:] == x[:-1], axis=1)
    if equal_x.sum() >= MIN_EQUAL_X_SHARE * len(y) and (size := _middle(steps[equal_x])) > 0:
        pass
    elif x.shape[1] == 1:
        size = _middle(steps)
    else:
        size = _around_linear(x, y, spread)
    return max(min(size, spread), MIN_RELATIVE_NOISE * spread)


def spread_of(y: Array) -> float:
    """median |y - median y| / 0.6745, zeros left out where that is 0: the standard deviation, where y is normal."""
    return _middle(np.abs(y - np.median(y))) / NORMAL_MEDIAN


def _middle(sizes: Array) -> float:
    """The median; where it is 0, the median of the sizes above 0."""
    if len(sizes) and (middle := float(np.median(sizes))) > 0:
        return middle
    positive = sizes[sizes > 0]
    return float(np.median(positive)) if len(positive) else 0.0


def _ordered(x: Array, y: Array) -> tuple[Array, Array]:
    """Rows sorted by x; those of equal x are sorted by y and then shuffled with a fixed seed."""
    draw = np.random.default_rng(0)
    key = x[:, 0] if x.shape[1] == 1 else (x * draw.uniform(0.5, 1, x.shape[1])).sum(axis=1)
    order = np.lexsort((y, key))
    key = key[order]
    if (key[1:] == key[:-1]).any():
        order = order[np.lexsort((draw.random(len(y)), key))]
    return x[order], y[order]


def _around_linear(x: Array, y: Array, spread: float) -> float:
    """The size of the residuals of a least median of squares fit, `spread` where there are too few rows for one."""
    rows = np.linspace(0, len(y) - 1, min(len(y), MAX_ROBUST_FIT_ROWS)).astype(int)
    x, y = x[rows], y[rows]
    x = x[:, np.ptp(x, axis=0) > 0]
    n, p = len(y), x.shape[1] + 1
    if p > MAX_ROBUST_FIT_COLUMNS + 1 or n <= 3 * p:
        return spread
    columns = np.column_stack([np.ones(n), (x - x.mean(axis=0)) / x.std(axis=0)])
    sets = np.random.default_rng(0).integers(n, size=(ROBUST_FIT_SUBSETS, p))
    coef = np.linalg.pinv(columns[sets]) @ (y - np.median(y))[sets][..., None]
    residuals = np.abs((y - np.median(y))[:, None] - columns @ coef[..., 0].T)
    return _middle(np.array([float(np.median(residuals, axis=0).min())])) / NORMAL_MEDIAN * (1 + 5 / (n - p))
