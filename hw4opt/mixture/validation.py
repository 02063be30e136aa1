"""Checks of a mixture's input; messages count rows from 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError
from hw4opt.mixture.sample import MAX_COUNT, MixtureDesign, Sample
from hw4opt.terms.base import Array
from hw4opt.terms.laws import law_of
from hw4opt.validation.arrays import group_numbers, real_array

INTERCEPT = "(intercept)"  # name of its column
# as log of an exposure; of two that differ by more than twice that, a double can hold only one of the rates
MAX_OFFSET = 300.0
MIN_COLUMN_SIZE = 1e-290  # largest entry of a column from which a double can hold its coefficient
MIN_SAMPLED_ROWS = 100  # first rows of the data that are searched for distinct ones before all are


@dataclass(frozen=True, eq=False)
class Rows:
    """The data of rows besides features and counts.

    offset     added to x_iᵀw (the log of an exposure), finite
    weights    ≥ 0: how often the row was seen, any real number; 0 leaves the row out
    groups     one label per row: all rows of a group (a session, a user) belong to one component
    names      of the feature columns
    """

    offset: ArrayLike | None = None
    weights: ArrayLike | None = None
    groups: ArrayLike | None = None
    names: Sequence[str] | None = None


class DesignSettings(Protocol):
    """The fields of a mixture on which its design depends."""

    @property
    def intercept(self) -> bool: ...
    @property
    def ridge(self) -> float: ...
    @property
    def quasi(self) -> bool: ...
    @property
    def truncated(self) -> bool: ...


def check_design(x: ArrayLike, y: ArrayLike, rows: Rows, settings: DesignSettings) -> MixtureDesign:
    """The design of features, counts and `rows`. Raises `InputError`."""
    features = real_matrix("x", x)
    n, d = features.shape
    counts = real_vector("y", y, n, 0.0)
    names = tuple(rows.names) if rows.names is not None else tuple(f"x{column + 1}" for column in range(d))
    if len(names) != d:
        raise InputError(f"names has {len(names)} entries and x {d} columns; give one per column")
    weights = real_vector("weights", rows.weights, n, 1.0)
    _check_weights(weights)
    active = weights > 0
    law = law_of(settings.truncated)
    _check_counts(counts, active, settings.quasi, law.least)
    _check_sizes(features[active], names)
    if settings.intercept:
        _check_not_constant(features[active], names)
        features, names = np.column_stack([np.ones(n), features]), (INTERCEPT, *names)
    if not features.shape[1]:
        raise InputError("there is no feature and no intercept; give one of them")
    if not features[active].any():
        raise InputError(
            "every feature is 0 in every row and there is no intercept, so that nothing can be fitted; give one of them"
        )
    penalty = np.full(features.shape[1], float(settings.ridge))
    penalty[: int(settings.intercept)] = 0.0
    offset = real_vector("offset", rows.offset, n, 0.0)
    for row in np.flatnonzero(active & (np.abs(offset) > MAX_OFFSET))[:1]:
        raise InputError(
            f"offset holds {offset[row]:g} in row {row}; it is the log of an exposure, within ±{MAX_OFFSET:g}; "
            "take the log of an exposure first",
            row,
        )
    return MixtureDesign(features, counts, offset, weights, _group_numbers(rows.groups, n), names, penalty, law)


def real_matrix(name: str, values: ArrayLike) -> Array:
    """A finite matrix (n, d); a vector is one column."""
    found = np.array(real_array(name, values))
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2:
        raise InputError(f"{name} has shape {found.shape}; give (n,) or (n, d)")
    if not np.isfinite(found).all():
        row, column = np.argwhere(~np.isfinite(found))[0]
        raise InputError(
            f"{name} holds {found[row, column]} in row {row}, column {column}; give finite numbers or drop the row",
            row,
        )
    return found


def real_vector(name: str, values: ArrayLike | None, n: int, default: float) -> Array:
    """A finite vector of n numbers; `default` everywhere for None."""
    if values is None:
        return np.full(n, default)
    found = np.array(real_array(name, values))
    if found.shape != (n,):
        raise InputError(f"{name} has shape {found.shape} and x {n} rows; give one number per row")
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found)))
        raise InputError(f"{name} holds {found[row]} in row {row}; give finite numbers or drop the row", row)
    return found


def _check_weights(weights: Array) -> None:
    if len(weights) and weights.min() < 0:
        row = int(np.argmin(weights))
        raise InputError(f"weights holds {weights[row]:g} in row {row}; weights must be 0 or more", row)
    for row in np.flatnonzero(weights > MAX_COUNT)[:1]:
        raise InputError(f"weights holds {weights[row]:g} in row {row}; weights must not exceed {MAX_COUNT:g}", row)
    count = int((weights > 0).sum())
    if count < 2:
        verb = "is one row" if count == 1 else "are no rows"
        raise InputError(f"there {verb} with a weight above 0; a mixture needs at least two")


def _check_counts(counts: Array, active: np.ndarray, quasi: bool, least: float) -> None:
    for row in np.flatnonzero(active & (counts < least))[:1]:
        kind = "truncated counts" if least else "counts"
        raise InputError(f"y holds {counts[row]:g} in row {row}; {kind} must be {least:g} or more", row)
    for row in np.flatnonzero(active & (counts > MAX_COUNT))[:1]:
        raise InputError(f"y holds {counts[row]:g} in row {row}; counts must not exceed {MAX_COUNT:g}", row)
    if not quasi:
        for row in np.flatnonzero(active & (counts != np.floor(counts)))[:1]:
            raise InputError(
                f"y holds {counts[row]:g} in row {row}, which is not a count; round it, or allow fractions with "
                "`quasi=True`",
                row,
            )
    if (counts[active] == least).all():
        raise InputError(
            f"every count in y is {least:g}, so that the likelihood has no finite maximum; look for the right column"
        )


def _check_sizes(features: Array, names: Sequence[str]) -> None:
    sizes = np.abs(features).max(axis=0)
    for column in np.flatnonzero((sizes > 0) & (sizes < MIN_COLUMN_SIZE))[:1]:
        raise InputError(
            f"column {names[column]!r} has no entry larger than {sizes[column]:.3g}, so that no number could hold its "
            f"coefficient; multiply it by a power of 10, to {MIN_COLUMN_SIZE:g} or more"
        )


def _check_not_constant(features: Array, names: Sequence[str]) -> None:
    for column in np.flatnonzero((features == features[:1]).all(axis=0))[:1]:
        raise InputError(
            f"column {names[column]!r} is constant beside the intercept; drop it, or give `intercept=False`"
        )


def _group_numbers(labels: ArrayLike | None, n: int) -> np.ndarray | None:
    return None if labels is None else group_numbers("groups", labels, n)


def check_components(design: MixtureDesign, k: int) -> None:
    """Raise `InputError` for more components than units, or than distinct rows."""
    active = design.active
    columns = [*active.features.T, active.counts, active.offset]
    sampled = max(MIN_SAMPLED_ROWS, 2 * k)  # rows among which k distinct ones are usually found
    if _count_distinct(columns, sampled) < k and (distinct := _count_distinct(columns, None)) < k:
        raise InputError(f"k is {k} and there are {distinct} distinct rows; k must be {distinct} or less")
    if active.groups is not None and k > (count := len(np.unique(active.groups))):
        raise InputError(
            f"k is {k} and there {'is 1 group' if count == 1 else f'are {count} groups'}; k must be {count} or less"
        )


def _count_distinct(columns: Sequence[Array], rows: int | None) -> int:
    """The number of distinct rows among the first `rows`."""
    return len(np.unique(np.column_stack([column[:rows] for column in columns]), axis=0))


def check_labels(labels: ArrayLike, k: int, design: MixtureDesign, sample: Sample) -> np.ndarray:
    """Initial labels 0 … k-1 per unit of the sample, from those given per row of the input. Raises `InputError`."""
    given, active = real_vector("labels", labels, len(design.counts), 0.0), design.weights > 0
    for row in np.flatnonzero(active & ((given != np.floor(given)) | (given < 0) | (given >= k)))[:1]:
        raise InputError(
            f"the initial labels hold {given[row]:g} in row {row}; with k = {k} they must be whole numbers from 0 to "
            f"{k - 1}",
            row,
        )
    found = given[active]
    missing = np.setdiff1d(np.arange(k), found)
    if len(missing):
        raise InputError(
            f"no row has the initial label {missing[0]}; every label from 0 to {k - 1} needs at least one row"
        )
    ordered = found[sample.order].astype(int)
    if sample.first_rows is None:
        return ordered
    of_units = ordered[sample.first_rows]
    if (of_units[sample.unit_of] != ordered).any():
        raise InputError("the initial labels differ within a group; all rows of a group belong to one component")
    return of_units
