"""Typical sizes of the rows of a form, robust to outliers: units for starts, steps and gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hw4opt.form.gap_scale import median_of_positive
from hw4opt.form.smooth_rows import SmoothRows
from hw4opt.form.term_rows import TermRows
from hw4opt.terms.base import Array

SMALLEST_SCALE = 1e-290  # smaller sizes, and sizes above its inverse, are ignored


class Scales(NamedTuple):
    """Typical sizes of the loss's z and u, (b, 1) each."""

    z: Array
    u: Array

    def cut(self, batch: np.ndarray) -> Scales:
        """Some of the problems."""
        return Scales(self.z[batch], self.u[batch])


def scales_of_loss(loss: TermRows) -> Scales:
    """From the medians of a loss's |z| and |u| at w = 0; from its curvature where it is smooth."""
    if (smooth := loss.smooth) is not None:
        curvature = smooth.weights * smooth.term.curvature(smooth.term.guess(smooth.targets), smooth.targets)
        found = np.stack([np.ones(len(loss.offset)), curvature.mean(axis=1)])
    else:
        zero = np.zeros((1, 1))
        sizes = [one for box in loss.boxes for one in (box.shift, box.gradient(zero))]
        medians = median_of_positive(np.abs(np.concatenate(sizes)))
        found = np.add.reduce(medians.reshape(len(loss.boxes), 2, -1)) / len(loss.boxes)
    found = np.where((found > SMALLEST_SCALE) & (found < 1 / SMALLEST_SCALE), found, 1.0)
    return Scales(*found[:, :, None])


def typical_shift(terms: Sequence[TermRows]) -> Array:
    """The largest mean |shift| of the terms' functions, (b, 1); 1 where all are 0, or next to it."""
    shifts = [np.abs(one.shift).mean(axis=1) for term in terms for one in term.functions]
    size = np.max(shifts, axis=0)[:, None]
    return np.where(size > SMALLEST_SCALE, size, 1.0)


def target_spread(loss: TermRows) -> Array:
    """The interquartile range of a loss's targets (their range where that is 0), (b,): a unit of y.

    1 where they are equal, and for smooth losses, whose z has a unit of its own.
    """
    offset = loss.offset
    if offset.shape[1] == 1 or isinstance(loss.functions[0], SmoothRows):
        return np.ones(len(offset))
    quarter = (offset.shape[1] - 1) // 4
    ranked = np.partition(offset, (quarter, -1 - quarter), axis=1)
    middle = ranked[:, -1 - quarter] - ranked[:, quarter]
    if (middle > 0).all():
        return middle
    spread = np.where(middle > 0, middle, np.ptp(offset, axis=1))
    return np.where(spread > 0, spread, 1.0)
