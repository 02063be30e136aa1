"""A term at one target as functions of z, and brute-force minimisation."""

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

GRID_POINTS = np.arange(-12, 13) / 4  # multiples of ¼: exact at common breakpoints
RANDOM_POINTS = np.random.default_rng(4).normal(scale=2, size=20)
MAX_TARGETS = 5  # given targets that are used
TARGETS_TO_TRY = ((-1.5, 0.25, 2.0), (0.0, 1.0), (1.0, 2.0))  # the first that the loss accepts is used
FARTHEST_BREAKPOINT = 1e3  # larger breakpoints are not checked
SUMS_OVER_ROWS = ("value", "conjugate")  # functions that sum over rows
SLOPE_STEP = 2.0**-24  # step of one-sided difference quotients


@dataclass(frozen=True)
class FixedTerm:
    """A term as functions of z: a smooth loss at one target y, other terms with y None."""

    term: Term
    y: float | None = None

    def _targets(self, z: Any) -> tuple[Array, ...]:
        return () if self.y is None else (np.full(np.shape(z), self.y),)

    def call(self, name: str, z: Any, *more: Any) -> Any:
        """The term's function `name` at z; raises `InputError` if it raises or returns another shape."""
        try:
            found = getattr(self.term, name)(z, *more, *self._targets(z))
        except Exception as error:  # whatever a user's code raises
            raise self.fail(f"{name} raises {type(error).__name__}: {error}") from error
        for one in found if name == "derivatives" else (found,):
            if np.shape(one) != (() if name in SUMS_OVER_ROWS else np.shape(z)):
                raise self.fail(f"{name} of an array of shape {np.shape(z)} has shape {np.shape(one)}")
        return found

    def model(self, cp: Any, z: Any) -> Any:
        """The term's cvxpy model at the vector z; raises `InputError` if it raises."""
        try:
            return self.term.model(cp, z, *self._targets(z))
        except Exception as error:
            raise self.fail(f"model raises {type(error).__name__}: {error}") from error

    def each(self, z: Array) -> Array:
        """f at each entry, (k,)."""
        return self.call("pointwise", z) if hasattr(self.term, "pointwise") else self.rows("value", z)

    def rows(self, name: str, points: Array) -> Array:
        """The function `name` at each entry as a vector of one row; equal entries are evaluated once."""
        distinct, places = np.unique(points, return_inverse=True)
        each = np.array([self.call(name, np.array([point])) for point in distinct])
        return each[places].reshape(np.shape(points))

    def points(self) -> Array:
        """Points z on both sides of every breakpoint, and between."""
        breakpoints = self.breakpoints()
        around = [breakpoints + shift for shift in (-1.0, -0.25, 0.0, 0.25, 1.0)]
        return np.unique(np.concatenate([GRID_POINTS, *around]))

    def breakpoints(self) -> Array:
        """The breakpoints of a piecewise quadratic's table up to FARTHEST_BREAKPOINT."""
        tables = self.term.tables if isinstance(self.term, PiecewiseQuadratic) else ()
        found = np.array([point for table in tables for point in table.kinks()])
        return found[np.abs(found) <= FARTHEST_BREAKPOINT]

    def reach(self) -> float:
        """A distance from 0 beyond every breakpoint."""
        return 1.0 + float(np.abs(self.breakpoints()).max(initial=0.0))

    def ends(self) -> Array:
        """The bounds of the domain of f*, (2,)."""
        if isinstance(self.term, PiecewiseQuadratic):
            return np.array(
                [sum(table.low for table in self.term.tables), sum(table.high for table in self.term.tables)]
            )
        if isinstance(self.term, Smooth):
            return self.call("clip_dual", np.array([-np.inf, np.inf]))
        return np.array([self.each(np.array(a)) - self.each(np.array(b)) for a, b in ((-50.0, -51.0), (51.0, 50.0))])

    def contacts(self) -> tuple[Array, Array]:
        """Pairs (z, u) with u in ∂f(z): at every point the one-sided slopes and their mean (4 in place of infinity)."""
        z, h = self.points(), SLOPE_STEP
        left, right = (self.each(z) - self.each(z - h)) / h, (self.each(z + h) - self.each(z)) / h
        left, right = (np.nan_to_num(slope, nan=np.nan, posinf=4, neginf=-4) for slope in (left, right))
        z, u = np.tile(z, 3), np.concatenate([left, (left + right) / 2, right]).round(6) + 0.0
        return z[np.isfinite(u)], u[np.isfinite(u)]

    def fail(self, sentence: str) -> InputError:
        """The error to raise, with the term's name and target."""
        at = "" if self.y is None else f" (y = {self.y:g})"
        return InputError(f"{self.term.name}: {sentence}{at}")


def fixed_terms(term: Term, targets: ArrayLike | None) -> Iterator[FixedTerm]:
    """The term; a smooth loss once per target."""
    if not isinstance(term, Smooth):
        yield FixedTerm(term)
        return
    for y in _targets_of(term, targets):
        yield FixedTerm(term, y)


def _targets_of(term: Smooth, targets: ArrayLike | None) -> list[float]:
    """At most MAX_TARGETS of the given targets, or of the first of TARGETS_TO_TRY that the term accepts, as its
    formulas use them."""
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
    message = f"give targets that it takes, as in check_term(term, targets=[1, 2]): {sentences[-1]}"
    raise InputError(f"{term.name}: {message}")


def minimum(objective: Callable[[Array], Array], count: int, reach: float = 1e4) -> tuple[Array, Array]:
    """argmin and min of `count` convex functions on [-reach, reach], (count,) each; `objective` maps (count, k) to
    (count, k)."""
    line, grid = np.arange(count), np.tile(np.sinh(np.linspace(-1, 1, 401) * np.arcsinh(reach)), (count, 1))
    at = grid[:, :1]
    for _ in range(10):
        best = objective(grid).argmin(axis=1)
        last = grid.shape[1] - 1
        low, at, high = (grid[line, np.clip(best + shift, 0, last)][:, None] for shift in (-1, 0, 1))
        grid = np.hstack([low + (at - low) * np.arange(8) / 8, at + (high - at) * np.arange(9) / 8])
    return at[:, 0], objective(at)[:, 0]


def worst(found: Array, expected: Array, tolerance: Array | float) -> int | None:
    """The index of the largest difference beyond the tolerance; None if there is none. Equal infinities agree."""
    apart = np.where(found == expected, 0.0, np.abs(found - expected)) - tolerance
    apart = np.where(np.isnan(apart), np.inf, apart)
    place = int(np.argmax(apart)) if apart.size else 0
    return place if apart.size and apart[place] > 0 else None
