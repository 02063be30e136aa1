"""A sum of components, f(x) = intercept + Σ_j f_j(x_j): each a function of some columns, with its own kernel.

Its basis is the components' bases concatenated; its functionals are the values of f at the data rows, then those of
every component that terms act on. Time is linear in the rows, and r = Σ r_j + 1.   (Hastie and Tibshirani 1986.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import ClassVar

import numpy as np

from hw4opt.design.basis import Basis
from hw4opt.design.design import Design
from hw4opt.errors import InputError, listed
from hw4opt.kernels import Kernel
from hw4opt.terms import AtPoints, OnComponent
from hw4opt.terms.base import Array
from hw4opt.validation.frozen import cached_property


@dataclass(frozen=True)
class Categorical(Kernel):
    """k(x, z) = 1 if x = z, else 0: f has a value at every level of the data, and is 0 at others."""

    name: ClassVar[str] = "categorical"
    has_gamma: ClassVar[bool] = False

    def gram(self, x: Array, z: Array) -> Array:
        return (x[:, None] == z[None]).all(axis=2).astype(x.dtype)

    def diagonal(self, x: Array) -> Array:
        return np.ones(len(x))


@dataclass(frozen=True)
class Summand:
    """The columns of x that a component is a function of, and its kernel (None: linear functions)."""

    name: str
    columns: tuple[str | int, ...]
    kernel: Kernel | None

    @property
    def places(self) -> list[int]:
        """The columns as indices, once they are known."""
        return [column for column in self.columns if isinstance(column, int)]

    def diagonal(self, x: Array) -> Array:
        """k(x, x), or ‖x‖² for a linear one, at rows of all columns."""
        own = x[:, self.places]
        return np.square(own).sum(axis=1) if self.kernel is None else self.kernel.diagonal(own)


@dataclass(frozen=True)
class Sum(Kernel):
    """Σ_j k_j(x_j, z_j) over the components."""

    name: ClassVar[str] = "sum"
    has_gamma: ClassVar[bool] = False

    parts: tuple[Summand, ...] = ()

    @property
    def categorical_places(self) -> tuple[int, ...]:
        """The x columns of the categorical components."""
        return tuple(place for part in self.parts if isinstance(part.kernel, Categorical) for place in part.places)

    def summand(self, name: str) -> Summand:
        """The component of that name; raises `InputError` for an unknown name."""
        for part in self.parts:
            if part.name == name:
                return part
        raise InputError(f"there is no component {name!r}; there are {listed([part.name for part in self.parts])}")

    def gram(self, x: Array, z: Array) -> Array:
        grams = ((x[:, one.places], z[:, one.places], one.kernel) for one in self.parts)
        return sum(
            (u @ v.T if kernel is None else kernel.gram(u, v) for u, v, kernel in grams), np.zeros((len(x), len(z)))
        )

    def diagonal(self, x: Array) -> Array:
        return sum((part.diagonal(x) for part in self.parts), np.zeros(len(x)))


@dataclass(frozen=True, eq=False)
class SummandBasis:
    """The basis of one component, None for a linear one, whose columns are centered at `center` (d_j,)."""

    part: Summand
    center: Array
    basis: Basis | None

    def evaluate(self, x: Array) -> Array:
        """b_j at rows of all columns, (m, r_j)."""
        own = x[:, self.part.places] - self.center
        return own if self.basis is None else self.basis.evaluate(own)

    def carried(self, w: Array, other: SummandBasis) -> Array | None:
        """As `Basis.carried`."""
        if self.basis is None or other.basis is None:
            return w if self.basis is other.basis and np.array_equal(self.center, other.center) else None
        return self.basis.carried(w, other.basis)


@dataclass(frozen=True, eq=False)
class AdditiveDesign(Design):
    """See `Design`; the kernel is a `Sum`, the intercept is free, and appended functionals are of components in
    `acting`.

    acting      the components that terms act on, with the columns (of the component) whose slopes they need
    bases       of the components, if they are known
    `curve_matrix` (n + …, r): the values of f at the data rows, then the functionals of every component in `acting`.
    `columns` are of one curve.
    """

    acting: tuple[tuple[str, tuple[int, ...]], ...] = ()
    bases: tuple[SummandBasis, ...] | None = None

    @property
    def summands(self) -> tuple[Summand, ...]:
        """The sum of components."""
        assert isinstance(self.kernel, Sum)
        return self.kernel.parts

    @cached_property
    def _distinct(self) -> tuple[Array, np.ndarray | None]:
        return self.x, None

    @cached_property
    def _centers(self) -> list[Array]:
        """The center of the columns of each component: for linear ones, the middle of their range."""
        if self.bases is not None:
            return [one.center for one in self.bases]
        return [
            0.5 * (x.min(axis=0) + x.max(axis=0)) if part.kernel is None else np.zeros(x.shape[1])
            for part in self.summands
            for x in [self.x[:, part.places]]
        ]

    @cached_property
    def parts(self) -> dict[str, Design]:
        """Every component as a separate design, without an intercept."""
        slopes, found = dict(self.acting), {}
        for place, (part, center) in enumerate(zip(self.summands, self._centers, strict=True)):
            spread = None if self.spread is None else self.spread[part.places]
            basis = None if self.bases is None else self.bases[place].basis
            x, appended = self.x[:, part.places] - center, _of_component(self.appended, part.name)
            found[part.name] = Design(x, part.kernel, False, slopes.get(part.name, ()), basis, spread, appended)
        return found

    def appending(self, acts: Sequence[AtPoints | OnComponent]) -> AdditiveDesign:
        """This design with these functionals of its components in place of its appended ones; their bases are
        extended."""
        parts = {}
        for name, part in self.parts.items():
            own = _of_component(acts, name)
            parts[name] = part if own == part.appended else part.appending(own)
        fresh = replace(self, appended=tuple(acts), bases=None)
        fresh.__dict__.update(_distinct=self._distinct, _centers=self._centers, parts=parts)
        return fresh

    @cached_property
    def summand_bases(self) -> tuple[SummandBasis, ...]:
        """The bases of the components."""
        pairs = zip(self.summands, self._centers, self.parts.values(), strict=True)
        return tuple(SummandBasis(part, center, design.reduced) for part, center, design in pairs)

    @cached_property
    def columns(self) -> dict[str, slice]:
        """The columns of w that belong to each component, in every curve."""
        edges = [0, *accumulate(part.matrix.shape[1] for part in self.parts.values())]
        return dict(zip(self.parts, (slice(*edge) for edge in pairwise(edges)), strict=True))

    @cached_property
    def _first(self) -> dict[str, int]:
        """The first functional of every component in `acting`."""
        names = [name for name, _ in self.acting]
        edges = accumulate((self.parts[name].functional_count for name in names), initial=len(self.x))
        return dict(zip(names, edges, strict=False))

    def component(self, name: str) -> tuple[Design, int]:
        return self.parts[name], self._first[name]

    @cached_property
    def curve_matrix(self) -> Array:
        """B: rows of f over all columns, rows of a component over its own."""
        n = len(self.x)
        rows = n + sum(self.parts[name].functional_count for name in self._first)
        whole = np.zeros((rows, 1 + sum(part.matrix.shape[1] for part in self.parts.values())))
        for name, part in self.parts.items():
            values = part.matrix[: len(part.base_x)]
            whole[:n, self.columns[name]] = values if part.row_of is None else values[part.row_of]
            if name in self._first:
                first = self._first[name]
                whole[first : first + len(part.matrix), self.columns[name]] = part.matrix
        whole[:n, -1] = 1.0
        return whole

    def evaluate(self, x: Array) -> Array:
        return np.column_stack([*(one.evaluate(x) for one in self.summand_bases), np.ones(len(x))])

    def by_column(self, ridges: Array) -> Array:
        """Raise `InputError` if there are more free columns than rows."""
        free = [name for name, ridge in zip(self.parts, ridges.T, strict=True) if (ridge == 0).any()]
        ranks = {name: columns.stop - columns.start for name, columns in self.columns.items()}
        if (count := 1 + sum(ranks[name] for name in free)) > len(self.x):
            raise InputError(
                f"the intercept and the components without ridge ({listed(free)}) have {count} columns and there are "
                f"{len(self.x)} rows; give a component a ridge above 0"
            )
        one = np.column_stack([np.repeat(ridges, list(ranks.values()), axis=1), np.zeros(len(ridges))])
        return np.tile(one, self.curves)

    @property
    def raw_columns(self) -> np.ndarray:
        linear = [part.has_coefficients for part in self.parts.values()]
        ranks = [columns.stop - columns.start for columns in self.columns.values()]
        return np.tile(np.append(np.repeat(linear, ranks), True), self.curves)

    def largest_under(self, penalty: Array) -> Array:
        """Σ_j max k_j(x, x) p/p_j, p the largest p_j, (b,); infinite if a component has no ridge."""
        most, total = penalty.max(axis=1), np.zeros(len(penalty))
        for name, part in self.parts.items():
            own = penalty[:, self.columns[name].start]
            with np.errstate(divide="ignore", invalid="ignore"):
                total += np.where(own > 0, part.largest * most / own, np.inf)
        return total

    def reach(self, x: Array, ridges: tuple[float, ...]) -> Array:
        """Σ_j k_j(x, x) ρ/ρ_j over the components of ridge ρ_j > 0, ρ the largest."""
        pairs = zip(self.summands, ridges, strict=True)
        return sum((part.diagonal(x) * (max(ridges) / ridge) for part, ridge in pairs if ridge > 0), np.zeros(len(x)))

    def kernel_duals(self, s: Array, penalty: Array, ridge: Array) -> Iterator[tuple[Design, Array, Array]]:
        n = len(self.x)
        for of_curve in np.split(s, self.curves, axis=1):
            for name, part in self.parts.items():
                if part.kernel is None:
                    continue
                own, base = np.zeros((len(s), len(part.matrix))), np.arange(n) if part.row_of is None else part.row_of
                for of_one, values in zip(own, of_curve, strict=True):
                    of_one[: len(part.base_x)] = np.bincount(base, values[:n], minlength=len(part.base_x))
                if name in self._first:
                    own += of_curve[:, self._first[name] :][:, : own.shape[1]]
                yield part, own, 0.5 * penalty[:, self.columns[name].start]

    def of_rows(self, keep: np.ndarray) -> AdditiveDesign:
        return replace(self, x=self.x[keep], bases=self.summand_bases)

    def functionals_of_rows(self, keep: np.ndarray) -> np.ndarray:
        parts = [self._first[name] + self.parts[name].functionals_of_rows(keep) for name in self._first]
        return np.concatenate([keep, *parts])

    def carried(self, w: Array, other: Design) -> Array | None:
        if not isinstance(other, AdditiveDesign):
            return None
        found = []
        for of_curve in np.split(w, self.curves, axis=1):
            for one, two, columns in zip(self.summand_bases, other.summand_bases, self.columns.values(), strict=True):
                found.append(one.carried(of_curve[:, columns], two))
            found.append(of_curve[:, -1:])
        parts = [part for part in found if part is not None]
        return np.concatenate(parts, axis=1) if len(parts) == len(found) else None


def _of_component(acts: Sequence[AtPoints | OnComponent], name: str) -> tuple[AtPoints, ...]:
    """The functionals of one component, in its own design."""
    own = (one.inner for one in acts if isinstance(one, OnComponent) and one.component == name)
    return tuple(one for one in own if isinstance(one, AtPoints))
