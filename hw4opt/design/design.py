"""Data and kernel → linear functionals, their matrix over a reduced basis, and the row maps of the terms.

Fitted values are B w, αᵀKα = ‖w‖² (basis.py). A linear design is the same with B = X.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.design.append import extend
from hw4opt.design.base_rows import around, at_first_rows, distinct_rows
from hw4opt.design.basis import Basis, Functionals, build_basis, diagonal_of
from hw4opt.design.truncation import left_out
from hw4opt.errors import RefusedError
from hw4opt.kernels import FUNCTIONAL_OF_ORDER, VALUE, Kernel
from hw4opt.running.array_files import large_array
from hw4opt.terms import Acts, AtPoints, OnComponent
from hw4opt.terms.base import EPS, Array
from hw4opt.terms.points import FoldRows
from hw4opt.terms.row_map import RowMap
from hw4opt.validation.frozen import cached_property


@dataclass(frozen=True, eq=False)
class Design:
    """The base rows (distinct sorted x in one dimension, else the data rows), the basis over them, and what terms may
    act on.

    Several curves over the same basis each have a copy of B, in the blocks of one matrix.

    x (n, d) as used (weight 0 removed, scaled if asked, by `spread` (d,)); `base_x` (N, d); `row_of` (n,) base row of
    each data row, or None if they are the same; `curve_matrix` (N + slopes + appended + coefficients, r) = B with an
    unpenalised column last; `matrix` the same of all curves; `appended` functionals may be at any points.
    """

    x: Array
    kernel: Kernel | None
    intercept: bool
    slopes: tuple[int, ...] = ()
    basis: Basis | None = None
    spread: Array | None = None
    appended: tuple[AtPoints | OnComponent, ...] = ()
    curves: int = 1

    @cached_property
    def _distinct(self) -> tuple[Array, np.ndarray | None]:
        return distinct_rows(self.x)

    @property
    def base_x(self) -> Array:
        return self._distinct[0]

    @property
    def row_of(self) -> np.ndarray | None:
        return self._distinct[1]

    @cached_property
    def _built(self) -> tuple[Basis | None, Array]:
        """The basis (None for a linear design) and its values at the base rows."""
        if self.kernel is None:
            return None, self.base_x
        if self.basis is not None:
            return self.basis, self.basis.evaluate(self.base_x)
        basis, values = build_basis(self.kernel, self.base_x, self.slopes)
        return _extended(basis, values, self.base_x, self._at_points)

    @cached_property
    def functionals(self) -> list[Functionals]:
        """The rows of B of a kernel design: values at the base rows, slopes there by column, appended functionals."""
        of_data = [Functionals(self.base_x, column) for column in (VALUE, *self.slopes)]
        return of_data + self._at_points

    @property
    def _at_points(self) -> list[Functionals]:
        """The appended functionals."""
        return [
            Functionals(np.array(one.points)[:, None], FUNCTIONAL_OF_ORDER[one.derivative])
            for one in self.appended
            if isinstance(one, AtPoints)
        ]

    def first_row(self, acts: Acts) -> int:
        """The first row of B of the functionals that were appended for `acts`."""
        place = 1 + len(self.slopes) + self.appended.index(acts)
        return sum(len(one.points) for one in self.functionals[:place])

    def appending(self, acts: Sequence[AtPoints | OnComponent]) -> Design:
        """This design with these functionals in place of its appended ones; its basis is extended to span them, too."""
        fresh = replace(self, appended=tuple(acts))
        basis, values = self._built
        assert basis is not None
        spanned = {(one.column, x) for one in self._at_points for x in one.points[:, 0].tolist()}
        added = [
            Functionals(np.array(left)[:, None], one.column)
            for one in fresh._at_points
            if (left := [x for x in one.points[:, 0].tolist() if (one.column, x) not in spanned])
        ]
        built = _extended(basis, values, self.base_x, added)
        fresh.__dict__.update(_distinct=self._distinct, _built=built)
        return fresh

    @property
    def reduced(self) -> Basis | None:
        """The kernel's basis (None for a linear design)."""
        return self._built[0]

    @cached_property
    def matrix(self) -> Array:
        """B of all curves, block by block: (curves · M, curves · r)."""
        one = self.curve_matrix
        return one if self.curves == 1 else np.kron(np.eye(self.curves), one)

    @property
    def curve_rows(self) -> int:
        """M: the rows of B of one curve."""
        return len(self.curve_matrix)

    @cached_property
    def curve_matrix(self) -> Array:
        """B over all functionals: values, then slopes by column, then the coefficients of a linear design."""
        basis, values = self._built
        if basis is None and not self.slopes and (whole := around(values, self.intercept)) is not None:
            return whole
        if basis is None:
            unit = np.eye(self.x.shape[1])
            blocks = [values, *(np.tile(unit[c], (len(values), 1)) for c in self.slopes), unit]
        else:
            blocks = [values, *(basis.evaluate(*one) for one in self.functionals[1:])]
        if len(blocks) == 1 and not self.intercept:
            return blocks[0]
        whole = large_array(sum(map(len, blocks)), values.shape[1] + self.intercept)
        np.concatenate(blocks, out=whole[:, : values.shape[1]])
        if self.intercept:
            whole[: len(values), -1], whole[len(values) :, -1] = 1.0, 0.0
            for one in self.appended:
                if isinstance(one, AtPoints) and one.of_values:
                    whole[self.first_row(one) :][: len(one.points), -1] = 1.0
        return whole

    @property
    def has_coefficients(self) -> bool:
        """Whether the design is linear in the columns."""
        return self.kernel is None

    @property
    def polynomial_degree(self) -> int | None:
        """The degree of the design's functions as polynomials, None if they are not polynomials."""
        if self.kernel is None:
            return 1
        return self.kernel.polynomial_degree

    def component(self, name: str) -> tuple[Design, int]:
        """A component of a sum as a design of its own, and the first of its functionals; a plain design has none."""
        raise RefusedError(f"the design is not a sum and has no component {name!r}")

    @property
    def functional_count(self) -> int:
        """The number of rows of B, known before the basis is built."""
        if self.kernel is None:
            return len(self.base_x) * (1 + len(self.slopes)) + self.x.shape[1]
        return sum(len(one.points) for one in self.functionals)

    @property
    def penalized(self) -> np.ndarray:
        """(r,) True where a ridge acts: all columns except the intercept."""
        flags = np.ones(self.matrix.shape[1], dtype=bool)
        flags[self.levels] = False
        return flags

    @property
    def levels(self) -> np.ndarray:
        """The columns of free intercepts, the last of each curve, counted from the end."""
        r = self.curve_matrix.shape[1]
        return -1 - r * np.arange(self.curves)[::-1] if self.intercept else np.empty(0, dtype=int)

    def by_column(self, ridges: Array) -> Array:
        """The ridge on every column, (b, r), from that of every component, (b, 1) for a design that is not a sum."""
        return ridges * self.penalized

    @property
    def raw_columns(self) -> np.ndarray:
        """(r,) True where a column of B has the unit of a column of x."""
        return np.full(self.matrix.shape[1], self.kernel is None)

    @cached_property
    def left_over(self) -> Array:
        """d_j = k(x_j, x_j) - ‖b(x_j)‖² of every functional, the truncation, at least its rounding; 0 for a linear
        design."""
        if self.kernel is None or self.reduced is None:
            return np.zeros(len(self.matrix))
        exact = np.concatenate([diagonal_of(self.kernel, *one) for one in self.functionals])
        kernel_part = self._kernel_part
        return np.tile(np.maximum(exact - np.vecdot(kernel_part, kernel_part), 4 * EPS * exact), self.curves)

    @property
    def _kernel_part(self) -> Array:
        """B of one curve without its intercept."""
        return self.curve_matrix[:, : self.curve_matrix.shape[1] - self.intercept]

    @cached_property
    def largest(self) -> float:
        """The largest k(x, x) of the data rows, or ‖x‖² of a linear design; 1 where that is 0."""
        return float(self.diagonal(self.base_x).max()) or 1.0

    def largest_under(self, penalty: Array) -> Array | float:
        """The largest k(x, x) of the data rows, for a sum weighted by the ridges of its components, (b,)."""
        return self.largest

    def reach(self, x: Array, ridges: tuple[float, ...]) -> Array:
        """k(x, x), for a sum weighted by the ridges of its components: |f(x)|² is at most that times the squared
        norm."""
        return self.diagonal(x)

    def kernel_duals(self, s: Array, penalty: Array, ridge: Array) -> Iterator[tuple[Design, Array, Array]]:
        """Every component with a kernel (of a sum, once per curve), the part of s = Sᵀu (b, N) that acts on it, and its
        ridge (b,), of which `ridge` is the largest."""
        if self.kernel is not None:
            yield self, s, ridge

    def left_out(self, s: Array) -> Array:
        """An upper bound of sᵀ(K - BBᵀ)s for each row of s (b, N), (b,): the truncation of a kernel design."""
        assert self.reduced is not None
        of_curves = s.reshape(len(s) * self.curves, -1)
        found = left_out(self.reduced, self.functionals, self._kernel_part, of_curves)
        return found.reshape(len(s), self.curves).sum(axis=1)

    def diagonal(self, x: Array) -> Array:
        """k(x, x) of the kernel, or ‖x‖² of a linear design."""
        return np.square(x).sum(axis=1) if self.kernel is None else self.kernel.diagonal(x)

    def evaluate(self, x: Array) -> Array:
        """Prediction rows of one curve at new x (m, d), shape (m, r)."""
        rows = x if self.reduced is None else self.reduced.evaluate(x)
        return np.column_stack([rows, np.ones(len(x))]) if self.intercept else rows

    def of_rows(self, keep: np.ndarray) -> Design:
        """The design of some of the data rows, in the same basis."""
        return replace(self, x=self.x[keep], basis=self.reduced)

    def functionals_of_rows(self, keep: np.ndarray) -> np.ndarray:
        """The rows of B that `of_rows` keeps."""
        base, size = keep if self.row_of is None else np.unique(self.row_of[keep]), len(self.base_x)
        others = np.arange(size * (1 + len(self.slopes)), len(self.matrix))
        return np.concatenate([*(base + size * k for k in range(1 + len(self.slopes))), others])

    def carried(self, w: Array, other: Design) -> Array | None:
        """Functions w (m, r) in another design of the same model, whose basis may extend this one; None if it does
        not."""
        if self.reduced is None or other.reduced is None:
            return w
        r = len(self.reduced.points)
        found = self.reduced.carried(w[:, :r], other.reduced)
        # with several curves no basis is extended
        return None if found is None else np.concatenate([found, w[:, r:]], axis=1)

    def rows(self, acts: Acts, owner: str) -> RowMap:
        """The row map of a term that acts on these functionals; raises `RefusedError` if the design does not have
        them."""
        rows = acts.rows(self, owner)
        return rows if self._shares(acts) else self._stacked(rows, self._order(rows.count, rows.count))

    def fold_rows(self, acts: Acts, owner: str, held_out: Sequence[np.ndarray]) -> FoldRows:
        """The rows of every fold when the data rows in `held_out` are left out; those of all data come first."""
        of_data = acts.rows(self, owner)
        rows, has = acts.fold_rows(self, of_data, held_out)
        if self._shares(acts):
            return FoldRows(rows, has)
        order = self._order(rows.count, of_data.count)
        has = None if has is None or not rows.count else has.take(order % rows.count, axis=1)
        return FoldRows(self._stacked(rows, order), has)

    def _shares(self, acts: Acts) -> bool:
        """Whether there is only one curve."""
        return self.curves == 1 or acts.between_curves

    def _order(self, count: int, first: int) -> np.ndarray:
        """Indices of `first` rows of every curve, counted curve by curve, then of the others."""
        of_curve = np.arange(self.curves * count).reshape(self.curves, count)
        return np.concatenate([of_curve[:, :first].ravel(), of_curve[:, first:].ravel()])

    def _stacked(self, rows: RowMap, order: np.ndarray) -> RowMap:
        return rows.stacked(self.curves, self.curve_rows, order) if rows.count else rows

    def violation_unit(self, acts: Acts, rows: RowMap) -> Array | float:
        """The factor from a violation of these rows to a change of f over the range of x, (rows,) or one number."""
        return acts.violation_unit(self, rows if self._shares(acts) else rows.folded(self.curve_rows))

    def margin(self, acts: Acts, rows: RowMap, size: float) -> Array | float:
        """The values of these rows for an f that changes by `size` over the range of x, (rows,) or one number."""
        return acts.margin(self, rows if self._shares(acts) else rows.folded(self.curve_rows), size)

    def apply(self, rows: Array, w: Array) -> Array:
        """rows (m, r) of one curve times w: (m,), or (m, curves) for several."""
        return rows @ self.of_curves(w)

    def of_curves(self, w: Array) -> Array:
        """w by curve: (r,), or (r, curves) for several."""
        return w if self.curves == 1 else w.reshape(self.curves, -1).T

    def curve_values(self, w: Array) -> Array:
        """f at the base points: (N,), or (N, curves) for several."""
        return self.apply(self.curve_matrix[: len(self.base_x)], w)

    def data_places(self, held: np.ndarray) -> list[np.ndarray]:
        """The rows of `matrix` that are the values of some data rows, of every curve."""
        base = held if self.row_of is None else self.row_of[held]
        return [base + self.curve_rows * curve for curve in range(self.curves)]

    def dual_coef(self, spread: Array, ridge: float) -> Array:
        """α = -Sᵀu/(2 ridge) over the data rows, by curve: one entry per distinct x, at its first data row (the others
        are 0)."""
        alpha = -self.of_curves(spread)[: len(self.base_x)] / (2 * ridge)
        return alpha if self.row_of is None else at_first_rows(alpha, self.row_of)


def _extended(basis: Basis, values: Array, x: Array, appended: Sequence[Functionals]) -> tuple[Basis, Array]:
    """The basis extended by some functionals, and its values at x, from those of the basis."""
    longer = extend(basis, appended) if appended else basis
    return longer, values if longer is basis else longer.evaluate(x)
