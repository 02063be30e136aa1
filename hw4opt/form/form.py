"""The algebra of a batch of problems over one basis: minimise over w in R^r

    ½ Σ_j p_j w_j² + Σ_i f_i(a_iᵀw),      i = 1 … M,      A = (a_i) = S B.

Every f_i is a box-constrained quadratic row (box_rows.py) or a smooth one (smooth_rows.py); A is a row operator
(operator.py). Rows are in the order of their terms, a term of two functions listing its rows twice; duals u (b, M) are
in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from hw4opt.design import Design
from hw4opt.form._blocks import Kind, Piece, RowBlock, pieces_of, row_blocks
from hw4opt.form._quadratic import Quadratic, sum_of_quadratic_rows
from hw4opt.form._scales import Scales, scales_of_loss, target_spread, typical_shift
from hw4opt.form.box_rows import BoxRows
from hw4opt.form.gap_cost import stationarity_cost
from hw4opt.form.gap_scale import Reference, reference
from hw4opt.form.operator import RowOperator, rows_of_blocks
from hw4opt.form.smooth_rows import SmoothRows
from hw4opt.form.term_rows import TermRows
from hw4opt.running.array_files import large_array
from hw4opt.terms.base import Array
from hw4opt.validation.frozen import cached_property

EMPTY_COLUMN_SQUARE = 1e-290  # mean square of a column that is 0 in every row
FREE_COLUMN_CURVATURE = 1e-6  # of the curvature of the loss with all its rows free


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a scaled form: z = size·z', f = worth·f' (b, 1 each)."""

    size: Array
    worth: Array

    def cut(self, batch: np.ndarray) -> Units:
        """Some of the problems."""
        return Units(self.size[batch], self.worth[batch])


@dataclass(frozen=True, eq=False)
class Form:
    """The batch's algebra.

    terms      the terms of the rows; the loss first, if there is one
    penalty    (b, r) p: 2 ridge on penalised columns and 0 on others
    matrix     (N, r) B, the design's functionals over the columns in use
    units      None for the form as given; the units of a scaled one (equilibrate.py)
    """

    design: Design
    terms: tuple[TermRows, ...]
    penalty: Array
    matrix: Array
    units: Units | None = None

    @property
    def batch(self) -> int:
        """b, the number of problems."""
        return len(self.penalty)

    @property
    def loss(self) -> TermRows:
        """The rows of the loss, where there is one."""
        return self.terms[0]

    @cached_property
    def has_loss(self) -> bool:
        """Whether the first term is a loss."""
        return bool(self.terms) and self.terms[0].is_loss

    @cached_property
    def ridge(self) -> Array:
        """The weight of ‖w‖², (b,); 0 where no column is penalised."""
        return 0.5 * self.penalty.max(axis=1, initial=0.0)

    @cached_property
    def operator(self) -> RowOperator:
        """A."""
        listed = [(term.map, one) for term in self.terms for one in term.functions]
        return RowOperator([one for one, _ in listed], lambda: [Kind.of(one) for _, one in listed], self.matrix)

    @property
    def size(self) -> int:
        """M: the rows of all terms, those of two functions twice; the length of a dual vector."""
        return self.operator.size

    @cached_property
    def spans(self) -> list[list[slice]]:
        """The indices of every term's rows, once per function."""
        left = iter(self.operator.segments)
        return [[next(left).span for _ in term.functions] for term in self.terms]

    @cached_property
    def spans_of_terms(self) -> list[slice]:
        """The indices of every term's rows, over all its functions."""
        return [slice(spans[0].start, spans[-1].stop) for spans in self.spans]

    @cached_property
    def blocks(self) -> list[RowBlock]:
        """All rows, a block at a time."""
        return row_blocks(self.operator, self.terms)

    @cached_property
    def nonquadratic(self) -> list[RowBlock]:
        """The blocks that iterative solvers process; the others are in `quadratic`."""
        return [block for block in self.blocks if not block.kind.is_quadratic]

    @cached_property
    def quadratic(self) -> Quadratic:
        """The sum of the rows that are quadratic or linear for all z."""
        return sum_of_quadratic_rows([block for block in self.blocks if block.kind.is_quadratic], *self.penalty.shape)

    @cached_property
    def all_penalized(self) -> bool:
        """Whether every column has a penalty."""
        return bool((self.penalty > 0).all())

    @cached_property
    def smooth_count(self) -> int:
        """The number of smooth rows, those of a smooth loss, which come first."""
        return self.loss.count if isinstance(self.loss.functions[0], SmoothRows) else 0

    @cached_property
    def boxes(self) -> BoxRows:
        """The box-constrained rows, after the smooth ones, (b, M - smooth_count)."""
        parts = [(box, term.count) for term in self.terms for box in term.boxes]
        if not parts:
            return BoxRows(*(np.empty((self.batch, 0)),) * 4)
        return BoxRows.join([box for box, _ in parts], [count for _, count in parts])

    @cached_property
    def pieces(self) -> list[Piece]:
        """The functions of all rows, some rows at a time."""
        first = self.smooth_count
        return pieces_of(self.loss.functions[0], 0, first) + pieces_of(self.boxes, first, self.size)

    def by_piece(self, act: Callable[[Piece], Array]) -> Array:
        """The array (b, M) of the results of `act` for each piece."""
        return act(self.pieces[0]) if len(self.pieces) == 1 else rows_of_blocks(self.batch, self.size, self.pieces, act)

    def by_block(self, act: Callable[[RowBlock], Array]) -> Array:
        """The array (b, M) of the results of `act` for each block."""
        return rows_of_blocks(self.batch, self.size, self.blocks, act)

    def forward(self, w: Array) -> Array:
        """A w, (b, M)."""
        return self.operator.forward(w)

    def adjoint(self, u: Array) -> Array:
        """Aᵀu, (b, r)."""
        return self.operator.adjoint(u)

    def adjoint_of_terms(self, u: Array) -> Array:
        """Aᵀu over the rows of each term, (terms, b, r)."""
        left = iter(self.operator.adjoint_of_segments(u))
        return np.array([reduce(add, [next(left) for _ in term.functions]) for term in self.terms])

    def value(self, z: Array) -> Array:
        """f(z) of every row, (b, M); infinite outside the domain."""
        return self.by_piece(lambda piece: piece.rows.value(z[:, piece.span]))

    def gradient(self, z: Array) -> Array:
        """u in ∂f(z) of every row, (b, M)."""
        return self.by_piece(lambda piece: piece.rows.gradient(z[:, piece.span]))

    def clip_dual(self, u: Array) -> Array:
        """The nearest u (b, M) in the domain of f*."""
        return self.by_piece(lambda piece: piece.rows.clip_dual(u[:, piece.span]))

    def complete_dual(self, u: Array, w: Array) -> Array:
        """u (b, M) of the nonquadratic rows with the slopes at w on the others."""

        def one(block: RowBlock) -> Array:
            if block.kind.is_quadratic or block.kind.smooth:
                return block.rows.gradient(w @ block.matrix.T)
            return u[:, block.span]

        return self.by_block(one)

    def of_terms(self, values: Array) -> list[Array]:
        """Sums over the functions of each term, (b, m) each, of values (b, M)."""
        return [reduce(add, [values[:, span] for span in spans]) for spans in self.spans]

    def duals_by_name(self, u: Array) -> dict[str, Array]:
        """u of every term by its label, (b, m) each."""
        found: dict[str, Array] = {}
        for term, of_term in zip(self.terms, self.of_terms(u), strict=True):
            found |= term.split(of_term)
        return found

    def split_duals(self, of_terms: Sequence[Array]) -> Array:
        """u (b, M) from the duals of the terms (b, m): clipped into the domain of f*, the remainder going to the term's
        next function."""
        found = large_array(self.batch, self.size)
        for term, spans, u in zip(self.terms, self.spans, of_terms, strict=True):
            rest = np.array(u, dtype=float)
            for rows, span in zip(term.functions, spans, strict=True):
                found[:, span] = rows.clip_dual(rest)
                rest -= found[:, span]
        return found

    def spread(self, u: Array) -> Array:
        """Sᵀu over the base rows, (b, N)."""
        size, pairs = len(self.matrix), zip(self.terms, self.of_terms(u), strict=True)
        return reduce(add, [term.map.spread(of_term, size) for term, of_term in pairs])

    def cut(self, batch: np.ndarray) -> Form:
        """The same form for some of the problems."""
        units = None if self.units is None else self.units.cut(batch)
        part = Form(self.design, tuple(term.cut(batch) for term in self.terms), self.penalty[batch], self.matrix, units)
        known: dict[str, object] = {"operator": self.operator, "spans": self.spans}
        for name in ("quadratic", "reference", "scales"):
            if name in self.__dict__:
                known[name] = self.__dict__[name].cut(batch)
        return part.knowing(**known)

    def knowing(self, **properties: object) -> Form:
        """This form, with cached properties that are already known."""
        self.__dict__.update(properties)
        return self

    def column_lengths(self, term: TermRows) -> Array:
        """‖a_j‖ over the rows of a term, (r,)."""
        return np.sqrt(self.operator.column_squares(term.map))

    @cached_property
    def loss_length(self) -> float:
        """Root mean square row of A of the loss (without one, of the first term)."""
        return self.operator.typical_length(self.terms[0].map)

    @cached_property
    def scales(self) -> Scales:
        """Typical size of the loss's z and u at w = 0, by medians, robust to outliers. Without a loss, from the
        shifts."""
        if self.has_loss:
            return scales_of_loss(self.loss)
        size = typical_shift(self.terms)
        return Scales(size, self.penalty.max(axis=1, keepdims=True) * size / self.loss_length**2)

    @cached_property
    def target_spread(self) -> Array:
        """A unit of y, (b,): the interquartile range of the loss's targets (_scales.py)."""
        return target_spread(self.loss)

    @cached_property
    def reference(self) -> Reference:
        """The trivial fit, which the gap scale compares with."""
        return reference(self.loss, self.design.intercept, self.charged, self.design.curves)

    @property
    def charged(self) -> Array:
        """The ridge penalty of a function as large as the targets' spread, (b,)."""
        return self.ridge * np.square(self.target_spread) / self.design.largest_under(self.penalty)

    def gap_scale(self, w: Array, gap: Array) -> Array:
        """The scale of a gap (b,) at w (gap_scale.py). Infinite without a loss."""
        z = self.forward(w)
        excess = self.by_piece(lambda piece: piece.rows.excess(z[:, piece.span]))
        return self.gap_scale_of(excess, 0.5 * np.vecdot(w, self.penalty * w), gap)

    def gap_scale_of(self, excess: Array, charged: Array, gap: Array) -> Array:
        """`gap_scale` from f - min f of every row (b, M), and the ridge penalty of the point, (b,)."""
        if not self.has_loss:
            return np.full(self.batch, np.inf)
        others = excess[:, self.spans_of_terms[0].stop :]
        penalties = charged + np.where(np.isfinite(others), others, 0.0).sum(axis=1)
        return self.reference.scale(reduce(add, [excess[:, span] for span in self.spans[0]]), penalties, gap)

    def stationarity_cost(self, w: Array, residual: Array) -> Array:
        """The cost of a residual of P w + Aᵀu = 0 in the gap, (b,)."""
        return stationarity_cost(self.penalty, residual, w, self.w_scale)

    @cached_property
    def column_square(self) -> Array:
        """Mean square of the loss's rows of A by column, (r,)."""
        if not self.has_loss:
            return np.full(self.matrix.shape[1], 1e-300)
        total = self.operator.column_squares(self.loss.map) / max(self.loss.count, 1)
        return np.maximum(total, 1e-300)

    @cached_property
    def w_scale(self) -> Array:
        """The size of w that moves the loss's z by its own scale, (b, r); 0 for a column that is 0 in every row of the
        loss."""
        return np.where(self.column_square > EMPTY_COLUMN_SQUARE, self.scales.z / np.sqrt(self.column_square), 0.0)

    @property
    def proximal_term(self) -> Array:
        """A small curvature for unpenalised columns, (b, r), without which a Newton step may have none there."""
        curvature = FREE_COLUMN_CURVATURE * len(self.design.x) * self.scales.u / self.scales.z
        return np.where(self.penalty > 0, 0.0, curvature * self.column_square)
