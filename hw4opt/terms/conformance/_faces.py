"""A term seen as functions of z alone, and brute-force minimisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError
from hw4opt.terms.base import Term
from hw4opt.terms.quadratic import PiecewiseQuadratic
from hw4opt.terms.smooth import Smooth
from hw4opt.validation.arrays import Array, finite_array

GRID_POINTS = np.arange(-12, 13) / 4  # quarters: breakpoints at such values are hit exactly
RANDOM_POINTS = np.random.default_rng(4).normal(scale=2, size=20)
MAX_TARGETS = 5  # of those that are given
TARGETS_TO_TRY = ((-1.5, 0.25, 2.0), (0.0, 1.0), (1.0, 2.0))  # the first that a loss takes
FARTHEST_BREAKPOINT = 1e3  # breakpoints beyond it are not looked at
SUMMING_FACES = ("value", "conjugate")  # faces that add up rows
SLOPE_STEP = 2.0**-24  # over which one-sided slopes are taken


@dataclass(frozen=True)
class Face:
    """A term as functions of z alone: of a smooth loss, at one target."""

    term: Term
    y: float | None = None

    def _targets(self, z: Any) -> tuple[Array, ...]:
        return () if self.y is None else (np.full(np.shape(z), self.y),)

    def call(self, name: str, z: Any, *more: Any) -> Any:
        """The face of that name; raises `InputError` where it fails or gives something of another shape."""
        try:
            found = getattr(self.term, name)(z, *more, *self._targets(z))
        except Exception as error:  # whatever a user's code raises
            raise self.fail(f"{name} raises {type(error).__name__}: {error}") from error
        for one in found if name == "derivatives" else (found,):
            if np.shape(one) != (() if name in SUMMING_FACES else np.shape(z)):
                raise self.fail(f"{name} of an array of shape {np.shape(z)} has shape {np.shape(one)}")
        return found

    def model(self, cp: Any, z: Any) -> Any:
        """The cvxpy face of the vector z."""
        try:
            return self.term.model(cp, z, *self._targets(z))
        except Exception as error:
            raise self.fail(f"model raises {type(error).__name__}: {error}") from error

    def each(self, z: Array) -> Array:
        """f of each entry."""
        return self.call("pointwise", z) if hasattr(self.term, "pointwise") else self.rows("value", z)

    def rows(self, name: str, points: Array) -> Array:
        """The face of that name of each entry, as a vector of one row; equal entries are asked once."""
        distinct, places = np.unique(points, return_inverse=True)
        each = np.array([self.call(name, np.array([point])) for point in distinct])
        return each[places].reshape(np.shape(points))

    def points(self) -> Array:
        """z on both sides of every breakpoint, and between."""
        kinks = self.breakpoints()
        around = [kinks + shift for shift in (-1.0, -0.25, 0.0, 0.25, 1.0)]
        return np.unique(np.concatenate([GRID_POINTS, *around]))

    def breakpoints(self) -> Array:
        """Where a table's function has a kink or an end of curvature."""
        tables = self.term.tables if isinstance(self.term, PiecewiseQuadratic) else ()
        found = np.array([kink for table in tables for kink in table.kinks()])
        return found[np.abs(found) <= FARTHEST_BREAKPOINT]

    def reach(self) -> float:
        """A length beyond every breakpoint."""
        return 1.0 + float(np.abs(self.breakpoints()).max(initial=0.0))

    def ends(self) -> Array:
        """The ends of the domain of f*."""
        if isinstance(self.term, PiecewiseQuadratic):
            return np.array(
                [sum(table.low for table in self.term.tables), sum(table.high for table in self.term.tables)]
            )
        if isinstance(self.term, Smooth):
            return self.call("clip_dual", np.array([-np.inf, np.inf]))
        return np.array([self.each(np.array(a)) - self.each(np.array(b)) for a, b in ((-50.0, -51.0), (51.0, 50.0))])

    def contacts(self) -> tuple[Array, Array]:
        """Pairs (z, u) with u in ∂f(z): at every point the slopes from the left and right, and their middle (4 for
        infinity)."""
        z, h = self.points(), SLOPE_STEP
        left, right = (self.each(z) - self.each(z - h)) / h, (self.each(z + h) - self.each(z)) / h
        left, right = (np.nan_to_num(slope, nan=np.nan, posinf=4, neginf=-4) for slope in (left, right))
        z, u = np.tile(z, 3), np.concatenate([left, (left + right) / 2, right]).round(6) + 0.0
        return z[np.isfinite(u)], u[np.isfinite(u)]

    def fail(self, sentence: str) -> InputError:
        """What is raised."""
        at = "" if self.y is None else f" (y = {self.y:g})"
        return InputError(f"{self.term.name}: {sentence}{at}")


def faces_of(term: Term, targets: ArrayLike | None) -> Iterator[Face]:
    """One view of a term; of a smooth loss, one a target."""
    if not isinstance(term, Smooth):
        yield Face(term)
        return
    for y in _targets_of(term, targets):
        yield Face(term, y)


def _targets_of(term: Smooth, targets: ArrayLike | None) -> list[float]:
    """The given targets as the term's formulas use them, or the first of TARGETS_TO_TRY that it takes; a
    few of them."""
    given = None if targets is None else finite_array("targets", targets)
    if given is not None and not given.size:
        raise InputError(f"{term.name}: targets is empty; give at least one")
    sentences = []
    for values in TARGETS_TO_TRY if given is None else (given,):
        try:
            taken = np.unique(term.check_targets(np.ravel(np.asarray(values, dtype=float))))
        except InputError as error:
            sentences.append(str(error))
        else:
            return taken[np.linspace(0, taken.size - 1, min(taken.size, MAX_TARGETS)).astype(int)].tolist()
    said = f"give targets that it takes, as in check_term(term, targets=[1, 2]): {sentences[-1]}"
    raise InputError(f"{term.name}: {said}")


def minimum(objective: Callable[[Array], Array], count: int, reach: float = 1e4) -> tuple[Array, Array]:
    """Where and how low `count` convex functions are on [-reach, reach]; `objective` maps (count, k) to (count, k)."""
    line, grid = np.arange(count), np.tile(np.sinh(np.linspace(-1, 1, 401) * np.arcsinh(reach)), (count, 1))
    at = grid[:, :1]
    for _ in range(10):
        best = objective(grid).argmin(axis=1)
        last = grid.shape[1] - 1
        low, at, high = (grid[line, np.clip(best + shift, 0, last)][:, None] for shift in (-1, 0, 1))
        grid = np.hstack([low + (at - low) * np.arange(8) / 8, at + (high - at) * np.arange(9) / 8])
    return at[:, 0], objective(at)[:, 0]


def worst(found: Array, expected: Array, tolerance: Array | float) -> int | None:
    """The place of the largest difference beyond the tolerance; None if there is none. Equal infinities agree."""
    apart = np.where(found == expected, 0.0, np.abs(found - expected)) - tolerance
    apart = np.where(np.isnan(apart), np.inf, apart)
    place = int(np.argmax(apart)) if apart.size else 0
    return place if apart.size and apart[place] > 0 else None
