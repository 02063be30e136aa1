"""The rows of a form that are quadratic or linear for all z, as one quadratic function of w."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw4opt.form._blocks import RowBlock
from hw4opt.form.box_rows import BoxRows
from hw4opt.running.threads import parallel_map
from hw4opt.terms.base import Array


@dataclass(frozen=True, eq=False)
class Quadratic:
    """½ wᵀ h w + bᵀ w + c, a batch; h (b, r, r), b (b, r), c (b,)."""

    h: Array
    b: Array
    c: Array

    def cut(self, batch: np.ndarray) -> Quadratic:
        """Some of the problems."""
        return Quadratic(self.h[batch], self.b[batch], self.c[batch])


class _BlockShare(NamedTuple):
    """A block's contribution to h (b, r, r), b (b, r) and c (b,)."""

    gram: Array
    slope: Array
    constant: Array


def sum_of_quadratic_rows(blocks: Sequence[RowBlock], b: int, r: int) -> Quadratic:
    """Their sum over the blocks, for b problems over r columns."""

    def one(block: RowBlock) -> _BlockShare:
        rows = block.rows
        assert isinstance(rows, BoxRows)
        a, wide = block.matrix, (b, block.count)
        if rows.all_open:
            weight = np.broadcast_to(1.0 / rows.quadratic, wide)
            slope = -weight * rows.shift
        else:
            weight = np.broadcast_to(rows.largest_curvature, wide)
            slope = np.where(rows.open, -weight * rows.shift, rows.low)
        below = np.where(rows.open, -0.5, -1.0) * slope * rows.shift
        return _BlockShare(block.chunk.gram(a, weight), slope @ a, np.broadcast_to(below, wide).sum(axis=1))

    gram, slope, constant = np.zeros((b, r, r)), np.zeros((b, r)), np.zeros(b)
    for share in parallel_map(one, blocks):
        gram += share.gram
        slope += share.slope
        constant += share.constant
    return Quadratic(gram, slope, constant)
