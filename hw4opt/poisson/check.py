"""Input of a mixture, checked: a sentence for everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.arrays import group_numbers, real_array
from hw4opt.errors import InputError
from hw4opt.poisson.sample import COUNTS, Design, Sample
from hw4opt.terms.base import Array
from hw4opt.terms.laws import law_of

INTERCEPT = "(intercept)"
LOGS = 300.0  # largest offset, as log of an exposure; apart by more than twice that, no rates are numbers side by side
SMALLEST = 1e-290  # size of a column from which its coefficients are numbers that a double can hold


@dataclass(frozen=True, eq=False)
class Rows:
    """What rows have besides features and counts.

    offset     added to x_iᵀw (the log of an exposure), finite;  weights  ≥ 0: how often the row was seen, any real number; 0 is no row
    groups     one label a row: all rows of a group (a session, a user) share one mood;  names  of the feature columns
    """

    offset: ArrayLike | None = None
    weights: ArrayLike | None = None
    groups: ArrayLike | None = None
    names: Sequence[str] | None = None


class Settings(Protocol):
    """What a mixture says of its design."""

    @property
    def intercept(self) -> bool: ...
    @property
    def ridge(self) -> float: ...
    @property
    def quasi(self) -> bool: ...
    @property
    def truncated(self) -> bool: ...


def check_design(x: ArrayLike, y: ArrayLike, rows: Rows, settings: Settings) -> Design:
    """Features, counts and what rows have besides, as a design. Raises `InputError`."""
    features = matrix("x", x)
    n, d = features.shape
    counts = vector("y", y, n, 0.0)
    names = tuple(rows.names) if rows.names is not None else tuple(f"x{place + 1}" for place in range(d))
    if len(names) != d:
        raise InputError(f"names has {len(names)} entries and x {d} columns; give one a column")
    weights = vector("weights", rows.weights, n, 1.0)
    _check_weights(weights)
    here = weights > 0
    law = law_of(settings.truncated)
    _check_counts(counts, here, settings.quasi, law.least)
    _check_sizes(features[here], names)
    if settings.intercept:
        _check_varying(features[here], names)
        features, names = np.column_stack([np.ones(n), features]), (INTERCEPT, *names)
    if not features.shape[1]:
        raise InputError("there is no feature and no intercept; give one of them")
    if not features[here].any():
        raise InputError("every feature is 0 in every row and there is no intercept, so that nothing can be fitted; give one of them")
    penalty = np.full(features.shape[1], float(settings.ridge))
    penalty[: int(settings.intercept)] = 0.0
    offset = vector("offset", rows.offset, n, 0.0)
    for row in np.flatnonzero(here & (np.abs(offset) > LOGS))[:1]:
        raise InputError(
            f"offset holds {offset[row]:g} in row {row + 1}; it is the log of an exposure, taken within ±{LOGS:g}; take the log of an "
            "exposure first"
        )
    return Design(features, counts, offset, weights, _groups(rows.groups, n), names, penalty, law)


def matrix(name: str, values: ArrayLike) -> Array:
    """A finite matrix (n, d); a vector is one column."""
    found = np.array(real_array(name, values, first_row=1))
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2:
        raise InputError(f"{name} has shape {found.shape}; give (n,) or (n, d)")
    if not np.isfinite(found).all():
        row, column = np.argwhere(~np.isfinite(found))[0]
        raise InputError(f"{name} holds {found[row, column]} in row {row + 1}, column {column + 1}; give finite numbers or drop the row")
    return found


def vector(name: str, values: ArrayLike | None, n: int, default: float) -> Array:
    """A finite vector of n numbers; `default` everywhere for None."""
    if values is None:
        return np.full(n, default)
    found = np.array(real_array(name, values, first_row=1))
    if found.shape != (n,):
        raise InputError(f"{name} has shape {found.shape} and x {n} rows; give one number a row")
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found)))
        raise InputError(f"{name} holds {found[row]} in row {row + 1}; give finite numbers or drop the row")
    return found


def _check_weights(weights: Array) -> None:
    if len(weights) and weights.min() < 0:
        row = int(np.argmin(weights))
        raise InputError(f"weights holds {weights[row]:g} in row {row + 1}; weights must be 0 or more")
    for row in np.flatnonzero(weights > COUNTS)[:1]:
        raise InputError(f"weights holds {weights[row]:g} in row {row + 1}; weights are taken up to {COUNTS:g}")
    count = int((weights > 0).sum())
    if count < 2:
        raise InputError(f"there {'is one row' if count == 1 else 'are no rows'} with a weight above 0; a mixture needs at least two")


def _check_counts(counts: Array, here: np.ndarray, quasi: bool, least: float) -> None:
    for row in np.flatnonzero(here & (counts < least))[:1]:
        raise InputError(f"y holds {counts[row]:g} in row {row + 1}; {'truncated ' if least else ''}counts must be {least:g} or more")
    for row in np.flatnonzero(here & (counts > COUNTS))[:1]:
        raise InputError(f"y holds {counts[row]:g} in row {row + 1}; counts are taken up to {COUNTS:g}")
    if not quasi:
        for row in np.flatnonzero(here & (counts != np.floor(counts)))[:1]:
            raise InputError(
                f"y holds {counts[row]:g} in row {row + 1}, which is no count; round it, or allow fractions with `quasi=True`"
            )
    if (counts[here] == least).all():
        raise InputError(f"every count in y is {least:g}, so that the likelihood has no finite maximum; look for the right column")


def _check_sizes(features: Array, names: Sequence[str]) -> None:
    sizes = np.abs(features).max(axis=0)
    for place in np.flatnonzero((sizes > 0) & (sizes < SMALLEST))[:1]:
        raise InputError(
            f"column {names[place]!r} holds nothing larger than {sizes[place]:.3g}, so that no number could hold its coefficient; "
            f"multiply it by a power of 10, to {SMALLEST:g} or more"
        )


def _check_varying(features: Array, names: Sequence[str]) -> None:
    for place in np.flatnonzero((features == features[:1]).all(axis=0))[:1]:
        raise InputError(f"column {names[place]!r} is constant beside the intercept; drop it, or give `intercept=False`")


def _groups(labels: ArrayLike | None, n: int) -> np.ndarray | None:
    if labels is None:
        return None
    return group_numbers("groups", labels, n, first_row=1)


def check_components(design: Design, k: int) -> None:
    """No more moods than units, nor than rows that differ."""
    active = design.active
    columns = [*active.features.T, active.counts, active.offset]
    few = max(100, 2 * k)  # rows among which k distinct ones are usually found
    if _distinct(columns, few) < k and (distinct := _distinct(columns, None)) < k:
        raise InputError(f"k is {k} and there are {distinct} distinct rows; k must be {distinct} or less")
    if active.groups is not None and k > (count := len(np.unique(active.groups))):
        raise InputError(f"k is {k} and there {'is 1 group' if count == 1 else f'are {count} groups'}; k must be {count} or less")


def _distinct(columns: Sequence[Array], rows: int | None) -> int:
    """How many of the first rows differ."""
    return len(np.unique(np.column_stack([column[:rows] for column in columns]), axis=0))


def check_labels(labels: ArrayLike, k: int, design: Design, sample: Sample) -> np.ndarray:
    """Initial labels 0 … k-1, one a row of the input, as one a unit of the sample."""
    given, here = vector("labels", labels, len(design.counts), 0.0), design.weights > 0
    for row in np.flatnonzero(here & ((given != np.floor(given)) | (given < 0) | (given >= k)))[:1]:
        raise InputError(
            f"the initial labels hold {given[row]:g} in row {row + 1}; with k = {k} they must be whole numbers from 0 to {k - 1}"
        )
    found = given[here]
    missing = np.setdiff1d(np.arange(k), found)
    if len(missing):
        raise InputError(f"no row has the initial label {missing[0]}; every label from 0 to {k - 1} needs at least one row")
    ordered = found[sample.order].astype(int)
    marks = ordered if sample.first is None else ordered[sample.first]
    if sample.first is not None and (marks[sample.unit_of] != ordered).any():
        raise InputError("the initial labels differ within a group; all rows of a group share one mood")
    return marks
