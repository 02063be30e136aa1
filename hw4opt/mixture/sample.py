"""The data of a mixture: the checked design, and the scaled and sorted sample that E-steps and M-steps use."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from hw4opt.form.chunks import Chunk
from hw4opt.losses.poisson import MODERATE_COUNT, Poisson
from hw4opt.solvers._smooth_objective import pieces_of
from hw4opt.terms.base import Array
from hw4opt.terms.laws import POISSON_LAW, Law
from hw4opt.terms.row_map import RowMap
from hw4opt.validation.frozen import cached_property

ENTRIES_AT_A_TIME = 65_536  # of one (components, rows) array: it stays in a core's cache
MIN_ROWS_AT_A_TIME = 1_024  # however many components there are
RELATIVE_ROUNDING = 1e-15
# of a scaled coefficient: large enough to keep it at 0, and its square does not overflow
MAX_SCALED_PENALTY = 1e30
MAX_SCALED_VALUE = 1e150  # of features and offset: only rows of weight 0 can exceed it
# units with a count above 0 in a subsample: without any, it has no maximum
MIN_POSITIVE_UNITS = 100
MAX_COUNT = 1e18  # there, a double's rounding of a rate is a millionth of its standard deviation


class UnitBlock(NamedTuple):
    """Consecutive units and their rows: see `Sample`. above: counts less the law's least; first_rows: in the block."""

    matrix: Array
    above: Array
    offset: Array
    inner_weights: Array | None
    first_rows: np.ndarray | None
    unit_weights: Array
    constants: Array
    law: Law
    has_large_counts: bool

    def per_row(self, values: Array) -> Array:
        """(…, rows) from (…, units): each row gets the value of its unit."""
        if self.first_rows is None:
            return values
        return np.repeat(values, np.diff(np.append(self.first_rows, len(self.above))), axis=-1)

    def per_unit(self, values: Array) -> Array:
        """(…, units) from (…, rows): the sums over each unit's rows."""
        return values if self.first_rows is None else np.add.reduceat(values, self.first_rows, axis=-1)


@dataclass(frozen=True, eq=False)
class Sample:
    """Counts y (n,) with features, in units that belong to one component each: single rows, or the rows of a group.

        ℓ = Σ_u ω_u log Σ_k π_k exp(Σ_{i in u} ι_i log p(y_i | x_iᵀw_k + o_i)) - Σ_k Σ_j penalty_j w_kj²

    A row weight is how often the row was seen. Seen twice alone it is two independent units (ω = 2); seen twice in a
    group it is two rows of that group (ι = 2, ω = 1).

    matrix              features / scale, so that every column has a mean square of 1 (`MixtureDesign.scale`);
                        in Fortran's order, because passes run along its rows
    inner_weights (n,)  ι, None where every row is a unit;  first_rows: the first row of each unit, None likewise
    unit_weights        ω;  unit_of (n,): the unit of each row
    constants           the part of each unit's log-density that does not depend on the parameters
    order               row j here is row order[j] of the input
    has_large_counts    log-densities are computed relative to each row's largest log-density
    """

    matrix: Array
    counts: Array
    offset: Array
    inner_weights: Array | None
    first_rows: np.ndarray | None
    unit_weights: Array
    constants: Array
    penalty: Array
    scale: Array
    order: np.ndarray
    unit_of: np.ndarray
    law: Law
    has_large_counts: bool

    @classmethod
    def of(cls, design: MixtureDesign) -> Sample:
        """The sample of a design; rows of weight 0 stay in it with that weight."""
        features, weights, scale = design.features, design.weights, design.scale
        counts = np.clip(design.counts, 0.0, MAX_COUNT)
        offset = np.clip(design.offset, -MAX_SCALED_VALUE, MAX_SCALED_VALUE)
        order, first_rows, unit_of = np.arange(len(counts)), None, np.arange(len(counts))
        inner_weights, unit_weights = None, weights
        if design.groups is not None:
            order = np.argsort(design.groups, kind="stable")
            _, first_rows, unit_of = np.unique(design.groups[order], return_index=True, return_inverse=True)
            inner_weights = weights[order]
            unit_weights = np.ones(len(first_rows))
        loss = Poisson(quasi=True, truncated=design.law.least == 1)
        has_large_counts = bool(counts.max() > MODERATE_COUNT)
        constants = (loss.least(counts) if has_large_counts else loss.normalizer(counts))[order]
        if first_rows is not None:
            constants = np.add.reduceat(constants * weights[order], first_rows)
        with np.errstate(over="ignore"):
            matrix = np.clip(np.asfortranarray(features[order] / scale), -MAX_SCALED_VALUE, MAX_SCALED_VALUE)
        return cls(
            matrix,
            counts[order],
            offset[order],
            inner_weights,
            first_rows,
            unit_weights,
            constants,
            penalty=np.square(np.sqrt(design.penalty) / scale),
            scale=scale,
            order=order,
            unit_of=unit_of,
            law=design.law,
            has_large_counts=has_large_counts,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}  # nothing that is computed from them

    def __len__(self) -> int:
        return len(self.unit_weights)

    @property
    def total(self) -> float:
        """Σ ω, the total that proportions refer to."""
        return float(self.unit_weights.sum())

    @cached_property
    def pieces(self) -> list[Chunk]:
        """The rows in the form that the M-steps' solver uses, with what it keeps from one M-step to the next."""
        return pieces_of(RowMap(len(self.matrix), first=0), self.matrix)

    @cached_property
    def log_likelihood_rounding(self) -> float:
        """A bound of the rounding of ℓ: it sums numbers of the size of y log y."""
        sizes = (self.counts + 1) * (1 + np.log1p(self.counts))
        return RELATIVE_ROUNDING * float(self.row_weights(np.ones(len(self))) @ sizes)

    @cached_property
    def gradient_rounding(self) -> float:
        """A bound of the rounding of the gradient, in standard errors; every λ is off by a relative z·ε."""
        total = float(self.row_weights(np.ones(len(self))) @ self.counts)
        return RELATIVE_ROUNDING * float(1 + np.log1p(self.counts.max())) * total**0.5

    @cached_property
    def saturated(self) -> Array:
        """The largest possible log-density of each unit, at means of y_i."""
        best = np.zeros(len(self.counts)) if self.has_large_counts else self.law.conjugate(self.counts - self.law.least)
        return self.unit_sums(best if self.inner_weights is None else best * self.inner_weights) - self.constants

    def blocks(self, components: int) -> list[UnitBlock]:
        """The sample in blocks of units whose (components, rows) arrays stay small."""
        return list(self._blocks(max(MIN_ROWS_AT_A_TIME, ENTRIES_AT_A_TIME // components)))

    def _blocks(self, rows: int) -> Iterator[UnitBlock]:
        n, cuts = len(self.counts), [0]
        while cuts[-1] < len(self):
            cuts.append(self._block_end(cuts[-1], rows))
        for low, high in itertools.pairwise(cuts):
            start, end = low, high
            if self.first_rows is not None:
                start, end = int(self.first_rows[low]), n if high == len(self) else int(self.first_rows[high])
            here, units = slice(start, end), slice(low, high)
            yield UnitBlock(
                self.matrix[here],
                self.counts[here] - self.law.least,
                self.offset[here],
                None if self.inner_weights is None else self.inner_weights[here],
                None if self.first_rows is None else self.first_rows[units] - start,
                self.unit_weights[units],
                self.constants[units],
                self.law,
                self.has_large_counts,
            )

    def _block_end(self, low: int, rows: int) -> int:
        """The end of a block that begins with unit `low`: whole groups, at least one."""
        if self.first_rows is None:
            return min(low + rows, len(self))
        return max(low + 1, int(np.searchsorted(self.first_rows, self.first_rows[low] + rows)))

    def unit_sums(self, values: Array) -> Array:
        """(…, units) from (…, n): the sums over each unit's rows."""
        return values if self.first_rows is None else np.add.reduceat(values, self.first_rows, axis=-1)

    def row_weights(self, responsibilities: Array) -> Array:
        """The M-step's weight of each row in each component: (…, n) from responsibilities (…, units)."""
        weights = responsibilities * self.unit_weights
        if self.first_rows is not None:
            weights = weights[..., self.unit_of]
        return weights if self.inner_weights is None else weights * self.inner_weights

    def subsample(self, size: int, draw: np.random.Generator) -> Sample:
        """`size` random units; the sample itself if it has no more.

        Where counts above 0 are rare, they are oversampled, up to half of the units, and weights compensate for it:
        the expectation of ℓ is unchanged.
        """
        if len(self) <= size:
            return self
        order = draw.permutation(len(self))
        positive = self.unit_sums(self.counts)[order] > 0
        if positive[:size].sum() >= min(MIN_POSITIVE_UNITS, positive.sum()):
            return self.take(np.sort(order[:size]))
        with_counts, others = order[positive][: size // 2], order[~positive]
        others = others[: size - len(with_counts)]
        weights = self.unit_weights.copy()
        weights[with_counts] *= positive.sum() / len(with_counts)
        weights[others] *= (~positive).sum() / len(others)
        return replace(self, unit_weights=weights).take(np.sort(np.r_[with_counts, others]))

    def take(self, units: np.ndarray) -> Sample:
        """The sample restricted to some units."""
        if self.first_rows is None:
            rows, first_rows, unit_of = units, None, np.arange(len(units))
        else:
            bounds = np.append(self.first_rows, len(self.counts)).tolist()
            rows_of = [np.arange(bounds[u], bounds[u + 1]) for u in units.tolist()]
            rows = np.concatenate(rows_of)
            sizes = np.array([len(one) for one in rows_of])
            first_rows, unit_of = np.cumsum(sizes) - sizes, np.repeat(np.arange(len(units)), sizes)
        return replace(
            self,
            matrix=np.asfortranarray(self.matrix[rows]),
            counts=self.counts[rows],
            offset=self.offset[rows],
            inner_weights=None if self.inner_weights is None else self.inner_weights[rows],
            first_rows=first_rows,
            unit_weights=self.unit_weights[units],
            constants=self.constants[units],
            order=self.order[rows],
            unit_of=unit_of,
        )


@dataclass(frozen=True, eq=False)
class MixtureDesign:
    """Checked input: features (n, p) with the intercept's ones first; counts, offset, weights and groups (n,).

    groups     numbers from 0, or None;  names  of the p columns
    penalty    (p,)  of w_j², 0 for the intercept;  law  of the counts
    """

    features: Array
    counts: Array
    offset: Array
    weights: Array
    groups: np.ndarray | None
    names: tuple[str, ...]
    penalty: Array
    law: Law = POISSON_LAW

    def rows(self, keep: np.ndarray) -> MixtureDesign:
        """The design of some rows (a mask or indices)."""
        return replace(
            self,
            features=self.features[keep],
            counts=self.counts[keep],
            offset=self.offset[keep],
            weights=self.weights[keep],
            groups=None if self.groups is None else self.groups[keep],
        )

    @property
    def active(self) -> MixtureDesign:
        """The design without the rows of weight 0."""
        return self if self.weights.all() else self.rows(self.weights > 0)

    @cached_property
    def scale(self) -> Array:
        """√ of each column's mean square over the rows of weight above 0, (p,); 1 for a column of zeros.

        It is larger where the ridge is large relative to the column, so that the scaled penalty is at most
        `MAX_SCALED_PENALTY`. A power of 2 near a column's largest entry is divided out first, which is exact, so that
        no square overflows or underflows.
        """
        features = self.active.features
        unit = np.ldexp(1.0, np.frexp(np.abs(features).max(axis=0))[1] - 1)
        scale = unit * np.sqrt(np.mean(np.square(features / unit), axis=0))
        return np.maximum(np.where(scale > 0, scale, 1.0), np.sqrt(self.penalty / MAX_SCALED_PENALTY))
