"""What a form is made of: sheets and smooth rows, the blocks of its terms, and the pieces and runs that solvers visit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hw4opt.rows import Chunk, RowMap
from hw4opt.terms import Loss, PiecewiseQuadratic, Smooth, Term
from hw4opt.terms.base import Acts, Array

EPS = float(np.finfo(float).eps)


def clip_dual(sheet: Sheet, u: Array) -> Array:
    """The nearest u in the domain of the sheet's conjugate."""
    u = np.clip(u, -np.inf if sheet.low is None else sheet.low, np.inf if sheet.high is None else sheet.high)
    return u if sheet.active is None else u * sheet.active


@dataclass(frozen=True, eq=False)
class Sheet:
    """ω (½ q u² + shift u) on low ≤ u ≤ high, arrays (b, 1) or (b, m); a side that is unbounded is None. `active` 0 takes a row out."""

    quadratic: Array
    shift: Array
    low: Array | None
    high: Array | None
    active: Array | None

    def cut(self, columns: slice | np.ndarray, batch: np.ndarray | slice = slice(None)) -> Sheet:
        def part(array: Array | None) -> Array | None:
            if array is None:
                return None
            array = array[batch]
            return array if array.shape[1] == 1 else array[:, columns]

        return Sheet(*(part(array) for array in (self.quadratic, self.shift, self.low, self.high, self.active)))  # type: ignore[arg-type]

    def in_units(self, size: Array, worth: Array) -> Sheet:
        """The sheet of f(size·z)/worth."""
        rate = size / worth
        low, high = (None if bound is None else bound * rate for bound in (self.low, self.high))
        return Sheet(self.quadratic * (worth / np.square(size)), self.shift / size, low, high, self.active)

    def value(self, v: Array) -> Array:
        """f at v = z - shift, row by row; infinite outside the domain."""
        u = self.slope(v)
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(u), (v - 0.5 * self.quadratic * u) * u, np.inf)

    def slope(self, v: Array) -> Array:
        """u in ∂f at v = z - shift: the nearest end where that is an interval; infinite where v is outside the domain."""
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        if self._curved:
            free = v / self.quadratic
        else:
            steep = np.where(v > 0, np.inf, np.where(v < 0, -np.inf, 0.0))
            with np.errstate(divide="ignore", invalid="ignore"):
                free = steep if not self.quadratic.any() else np.where(self.quadratic > 0, v / self.quadratic, steep)
        u = np.minimum(np.maximum(free, low), high)
        return u if self.active is None else np.where(self.active > 0, u, 0.0)

    @cached_property
    def _curved(self) -> bool:
        return bool((self.quadratic > 0).all())


@dataclass(frozen=True, eq=False)
class SmoothRows:
    """A smooth loss on its rows: f(z) = ω ℓ(A w + offset, y)."""

    term: Smooth
    targets: Array
    offset: Array
    weights: Array

    def cut(self, columns: slice | np.ndarray, batch: np.ndarray | slice = slice(None)) -> SmoothRows:
        def part(array: Array) -> Array:
            array = array[batch]
            return array if array.shape[1] == 1 else array[:, columns]

        return SmoothRows(self.term, part(self.targets), part(self.offset), part(self.weights))

    def _weighted(self, values: Array) -> Array:
        """A row of weight 0 counts nothing, though its own loss be infinite."""
        if self._all_count:
            return self.weights * values
        with np.errstate(invalid="ignore"):
            return np.where(self.weights > 0, self.weights * values, 0.0)

    @cached_property
    def _all_count(self) -> bool:
        return bool((self.weights > 0).all())

    def gradient(self, z: Array) -> Array:
        return self._weighted(self.term.gradient(z + self.offset, self.targets))

    def curvature(self, z: Array) -> Array:
        return self._weighted(self.term.curvature(z + self.offset, self.targets))

    def excess(self, z: Array) -> Array:
        """f(z) - min f of each row."""
        return self._weighted(self.term.excess(z + self.offset, self.targets))

    @property
    def steepest(self) -> Array:
        """An upper bound of f''."""
        return self.weights * self.term.steepest

    def value(self, z: Array) -> Array:
        return self._weighted(self.term.pointwise(z + self.offset, self.targets))

    def derivatives(self, z: Array) -> tuple[Array, Array, Array]:
        """f, f' and f'' of each row."""
        value, slope, bend = self.term.derivatives(z + self.offset, self.targets)
        return self._weighted(value), self._weighted(slope), self._weighted(bend)

    def slack(self, z: Array, u: Array) -> Array:
        """f(z) + f*(u) - z u of each row, u in the domain of f*."""
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.where(self.weights > 0, u / self.weights, 0.0)
        return self._weighted(self.term.slack(z + self.offset, p, self.targets))

    def slack_rounding(self, z: Array, u: Array, slack: Array) -> Array:
        """What rounding of its own formula may do to the slack of each row."""
        each = self.term.slack_rounding(z + self.offset, u / np.where(self.weights > 0, self.weights, 1.0), self.targets)
        return self._weighted(each) + EPS * slack

    def clip(self, u: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.weights > 0, self.weights * self.term.clip_dual(u / self.weights, self.targets), 0.0)

    def prox(self, v: Array, step: Array) -> Array:
        return np.where(self.weights > 0, self.term.prox(v + self.offset, step * self.weights, self.targets) - self.offset, v)


@dataclass(frozen=True, eq=False)
class Block:
    """The rows of one term, or of several that add up on them: row map, offset c, row weights, and sheets or smooth rows."""

    terms: tuple[tuple[Term, ...], ...]  # every term's instances, one a problem
    rows: RowMap
    offset: Array  # (b, m) or (b, 1): the terms act on A w + offset
    weights: Array  # (b, m) or (b, 1); 0 takes the row out
    sheets: tuple[Sheet, ...]
    smooth: SmoothRows | None

    @property
    def names(self) -> tuple[str, ...]:
        """The labels of the terms."""
        return tuple(instances[0].label for instances in self.terms)

    @property
    def acts(self) -> Acts:
        return self.terms[0][0].acts

    @property
    def is_loss(self) -> bool:
        return isinstance(self.terms[0][0], Loss)

    def cut(self, batch: np.ndarray) -> Block:
        terms = tuple(tuple(instances[i] for i in batch) for instances in self.terms)
        sheets = tuple(sheet.cut(slice(None), batch) for sheet in self.sheets)
        smooth = None if self.smooth is None else self.smooth.cut(slice(None), batch)
        return replace(self, terms=terms, offset=self.offset[batch], weights=self.weights[batch], sheets=sheets, smooth=smooth)

    def in_units(self, size: Array, worth: Array) -> Block:
        """The rows of z/size with f/worth, (b, 1) each: u is then u·size/worth."""
        sheets = tuple(sheet.in_units(size, worth) for sheet in self.sheets)
        smooth = None if self.smooth is None else replace(self.smooth, weights=self.smooth.weights / worth)
        return replace(self, offset=self.offset / size, sheets=sheets, smooth=smooth)

    def split(self, u: Array) -> dict[str, Array]:
        """The dual of every term (b, m) from that of their sum: each takes what its own interval holds."""
        if len(self.terms) == 1:
            return {self.names[0]: u}
        found, rest = {}, u
        for name, instances in zip(self.names, self.terms, strict=True):
            tables = [one.tables[0] for one in instances if isinstance(one, PiecewiseQuadratic)]
            low, high = (np.array([[getattr(table, end)] for table in tables]) for end in ("low", "high"))
            found[name] = np.clip(rest, low, high)
            rest = rest - found[name]
        return found


@dataclass(frozen=True, eq=False)
class Piece:
    """A run of rows of one sheet (or of the smooth loss), with its part of A and its place in the table of all rows."""

    chunk: Chunk
    block: int
    span: slice
    sheet: Sheet | None
    smooth: SmoothRows | None

    @property
    def is_quadratic(self) -> bool:
        """Whether its rows have no sides: u = (A w - t)/q everywhere."""
        return self.sheet is not None and self.sheet.low is None and self.sheet.high is None


@dataclass(frozen=True, eq=False)
class Run:
    """Pieces with sides (or one smooth piece) that a solver treats as one: small forms stack those whose sheets have the same sides."""

    members: tuple[Piece, ...]
    sheet: Sheet | None
    smooth: SmoothRows | None
    chunk: Chunk
    length: Array | float  # root mean square of the rows of A

    @property
    def size(self) -> int:
        return len(self.chunk)

    @property
    def matrix(self) -> Array:
        return self.chunk.matrix

    def gram(self, a: Array, weights: Array) -> Array:
        return self.chunk.gram(a, weights)

    @cached_property
    def count(self) -> Array | int:
        """How many sides its rows have, (b,) or one number."""
        if self.sheet is None:
            return 0
        sides = (self.sheet.low is not None) + (self.sheet.high is not None)
        if self.sheet.active is None:
            return sides * self.size
        return sides * np.broadcast_to(self.sheet.active, (len(self.sheet.active), self.size)).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Fixed:
    """½ wᵀ h w + bᵀ w + c: the rows without sides, whose u = (A w - t)/q is known; h (b, r, r)."""

    h: Array
    b: Array
    c: Array

    def cut(self, batch: np.ndarray) -> Fixed:
        return Fixed(self.h[batch], self.b[batch], self.c[batch])
