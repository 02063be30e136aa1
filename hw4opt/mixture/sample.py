"""The data of a mixture as the passes over it want them: checked, columns scaled, rows sorted so that those of a group stand together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hw4opt.losses.poisson import MODERATE_COUNT, Poisson
from hw4opt.objective import pieces_of
from hw4opt.rows import Chunk, RowMap
from hw4opt.terms.base import Array
from hw4opt.terms.laws import PLAIN, Law

ENTRIES = 65_536  # of one (components, rows) array made at a time: it stays in a core's cache
ROUNDING = 1e-15  # relative
FEWEST = 1_024  # rows taken at a time, however many components there are
STIFF = 1e30  # largest penalty of a scaled coefficient: it holds at 0 all the same, and no square of it overflows
FAR = 1e150  # largest scaled feature and offset: only rows of weight 0 can be as far from the others
FEW = 100  # units with a count above 0 that a part should hold: random units may hold none, and tell of no maximum
COUNTS = 1e18  # largest count: doubles hold a rate to 1e-16 of it, which is then a millionth of its standard deviation


class Part(NamedTuple):
    """Some units and their rows. first: the first row of each unit, None where every row is one; above: counts less the law's least."""

    matrix: Array
    above: Array
    offset: Array
    inner: Array | None
    first: np.ndarray | None
    unit_weights: Array
    constants: Array
    law: Law
    large: bool

    def per_row(self, values: Array) -> Array:
        """(…, rows) from (…, units): each row has its unit's."""
        return values if self.first is None else np.repeat(values, np.diff(np.append(self.first, len(self.above))), axis=-1)

    def per_unit(self, values: Array) -> Array:
        """(…, units) from (…, rows): the sums over each unit's rows."""
        return values if self.first is None else np.add.reduceat(values, self.first, axis=-1)


@dataclass(frozen=True, eq=False)
class Sample:
    """Counts y (n,) with features, in units that share one mood: single rows, or the rows of a group.

        ℓ = Σ_u ω_u log Σ_k π_k exp(Σ_{i in u} ι_i log p(y_i | x_iᵀw_k + o_i)) - Σ_k Σ_j penalty_j w_kj²

    A row weight is how often the row was seen. Seen twice alone it is two independent units (ω = 2); seen twice in a group it is two
    rows of that group (ι = 2, ω = 1). matrix = features / scale, so that every column has a mean square of 1 (`Design.scale`).

    matrix      in columns (Fortran's order), because what is done to it is done along its rows
    order       row j here is row order[j] of the input;  unit_of (n,)  the unit of each row here
    constants   what the log-density of each unit has besides its h, whatever the mixture;  large: h is what a row falls short of its best
    """

    matrix: Array
    counts: Array
    offset: Array
    inner: Array | None
    first: np.ndarray | None
    unit_weights: Array
    constants: Array
    penalty: Array
    scale: Array
    order: np.ndarray
    unit_of: np.ndarray
    law: Law
    large: bool

    @classmethod
    def of(cls, design: Design) -> Sample:
        """The sample of a design; rows of weight 0 stay in it, at no weight."""
        features, weights, scale = design.features, design.weights, design.scale
        counts, offset = np.clip(design.counts, 0.0, COUNTS), np.clip(design.offset, -FAR, FAR)
        order, first, unit_of = np.arange(len(counts)), None, np.arange(len(counts))
        inner, unit_weights = None, weights
        if design.groups is not None:
            order = np.argsort(design.groups, kind="stable")
            _, first, unit_of = np.unique(design.groups[order], return_index=True, return_inverse=True)
            inner = weights[order]
            unit_weights = np.ones(len(first))
        loss, large = Poisson(quasi=True, truncated=design.law.least == 1), bool(counts.max() > MODERATE_COUNT)
        constants = (loss.least(counts) if large else loss.normalizer(counts))[order]
        if first is not None:
            constants = np.add.reduceat(constants * weights[order], first)
        penalty = np.square(np.sqrt(design.penalty) / scale)
        with np.errstate(over="ignore"):
            matrix = np.clip(np.asfortranarray(features[order] / scale), -FAR, FAR)
        return cls(
            matrix, counts[order], offset[order], inner, first, unit_weights, constants, penalty, scale, order, unit_of, design.law, large
        )

    def __len__(self) -> int:
        return len(self.unit_weights)

    @property
    def total(self) -> float:
        """Σ ω: what proportions are shares of."""
        return float(self.unit_weights.sum())

    @cached_property
    def pieces(self) -> list[Chunk]:
        """The rows as M-steps visit them, with what they keep from one to the next."""
        return pieces_of(RowMap(len(self.matrix), first=0), self.matrix)

    @cached_property
    def noise(self) -> float:
        """What ℓ may be off by for rounding: it sums numbers of the size of y log y."""
        return ROUNDING * float(self.row_weights(np.ones(len(self))) @ ((self.counts + 1) * (1 + np.log1p(self.counts))))

    @cached_property
    def blur(self) -> float:
        """Standard errors that the gradient may be off by for rounding, which reaches the size of z·ε in every λ."""
        return ROUNDING * float(1 + np.log1p(self.counts.max())) * float(self.row_weights(np.ones(len(self))) @ self.counts) ** 0.5

    @cached_property
    def saturated(self) -> Array:
        """The log-density that each unit could have at most: at a mean of y_i."""
        best = np.zeros(len(self.counts)) if self.large else self.law.conjugate(self.counts - self.law.least)
        return self.unit_sums(best if self.inner is None else best * self.inner) - self.constants

    def parts(self, components: int) -> list[Part]:
        """The sample in pieces whose (components, rows) arrays stay small."""
        return list(self._parts(max(FEWEST, ENTRIES // components)))

    def _parts(self, rows: int) -> Iterator[Part]:
        n, cuts = len(self.counts), [0]
        while cuts[-1] < len(self):
            cuts.append(self._cut(cuts[-1], rows))
        for low, high in itertools.pairwise(cuts):
            start, end = (low, high) if self.first is None else (int(self.first[low]), n if high == len(self) else int(self.first[high]))
            here, units = slice(start, end), slice(low, high)
            yield Part(
                self.matrix[here],
                self.counts[here] - self.law.least,
                self.offset[here],
                None if self.inner is None else self.inner[here],
                None if self.first is None else self.first[units] - start,
                self.unit_weights[units],
                self.constants[units],
                self.law,
                self.large,
            )

    def _cut(self, low: int, rows: int) -> int:
        """The unit before which a part that begins with unit `low` ends: whole groups, at least one."""
        if self.first is None:
            return min(low + rows, len(self))
        return max(low + 1, int(np.searchsorted(self.first, self.first[low] + rows)))

    def unit_sums(self, values: Array) -> Array:
        """(…, units) from (…, n): the sums over each unit's rows."""
        return values if self.first is None else np.add.reduceat(values, self.first, axis=-1)

    def row_weights(self, responsibilities: Array) -> Array:
        """What the M-step gives each row in each component: (…, n) from responsibilities (…, units)."""
        weights = responsibilities * self.unit_weights
        if self.first is not None:
            weights = weights[..., self.unit_of]
        return weights if self.inner is None else weights * self.inner

    def part(self, size: int, draw: np.random.Generator) -> Sample:
        """Random units, so many of them; the sample itself where it has no more.

        Where counts above 0 are rare, those units are up to half of the part, and weights make up for it: ℓ of the part stays that of
        the sample but for chance.
        """
        if len(self) <= size:
            return self
        order = draw.permutation(len(self))
        positive = self.unit_sums(self.counts)[order] > 0
        if positive[:size].sum() >= min(FEW, positive.sum()):
            return self.take(np.sort(order[:size]))
        some, others = order[positive][: size // 2], order[~positive]
        others = others[: size - len(some)]
        weights = self.unit_weights.copy()
        weights[some] *= positive.sum() / len(some)
        weights[others] *= (~positive).sum() / len(others)
        return replace(self, unit_weights=weights).take(np.sort(np.r_[some, others]))

    def take(self, units: np.ndarray) -> Sample:
        """The sample of some units alone."""
        if self.first is None:
            rows, first, unit_of = units, None, np.arange(len(units))
        else:
            bounds = np.append(self.first, len(self.counts)).tolist()
            pieces = [np.arange(bounds[u], bounds[u + 1]) for u in units.tolist()]
            rows = np.concatenate(pieces)
            sizes = np.array([len(piece) for piece in pieces])
            first, unit_of = np.cumsum(sizes) - sizes, np.repeat(np.arange(len(units)), sizes)
        return Sample(
            np.asfortranarray(self.matrix[rows]),
            self.counts[rows],
            self.offset[rows],
            None if self.inner is None else self.inner[rows],
            first,
            self.unit_weights[units],
            self.constants[units],
            self.penalty,
            self.scale,
            self.order[rows],
            unit_of,
            self.law,
            self.large,
        )


@dataclass(frozen=True, eq=False)
class Design:
    """Checked input: features (n, p) with the intercept's ones first, counts, offset, weights (n,), groups (n,) of integers or None.

    names      of the p columns;  penalty (p,)  of w_j², 0 for the intercept;  law  of the counts
    """

    features: Array
    counts: Array
    offset: Array
    weights: Array
    groups: np.ndarray | None
    names: tuple[str, ...]
    penalty: Array
    law: Law = PLAIN

    def rows(self, keep: np.ndarray) -> Design:
        """The design of some rows (a mask or indices)."""
        groups = None if self.groups is None else self.groups[keep]
        return replace(
            self,
            features=self.features[keep],
            counts=self.counts[keep],
            offset=self.offset[keep],
            weights=self.weights[keep],
            groups=groups,
        )

    @property
    def active(self) -> Design:
        """Without the rows of weight 0."""
        return self if self.weights.all() else self.rows(self.weights > 0)

    @cached_property
    def scale(self) -> Array:
        """√ of each column's mean square over the rows of weight above 0, (p,); 1 for a column of zeros, and more under a stiff ridge.

        A power of 2 near a column's largest entry is taken out first, which is exact: no square overflows or vanishes.
        """
        features = self.active.features
        unit = np.ldexp(1.0, np.frexp(np.abs(features).max(axis=0))[1] - 1)
        scale = unit * np.sqrt(np.mean(np.square(features / unit), axis=0))
        return np.maximum(np.where(scale > 0, scale, 1.0), np.sqrt(self.penalty / STIFF))
