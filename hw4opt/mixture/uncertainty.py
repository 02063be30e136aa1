"""Standard errors of a mixture's coefficients, from the inverse of an information matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw4opt.design.unit_diagonal import inverse_root_diagonal, scaled_by
from hw4opt.inference.standard_errors import UNIDENTIFIED_SHARE
from hw4opt.terms.base import Array

SINGULAR_EIGENVALUE = 1e-10  # eigenvalue of the information with unit diagonal: the likelihood is flat along its vector


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Standard errors and correlations of each component's coefficients, or None with the reason.

    They come from the inverse of the exact observed information. standard_errors (k, p) are in the features' own
    units, correlation is (k, p, p). No covariance is stored, because the square of a standard error of 1e-200, say,
    underflows. Both are NaN for coefficients that are not identified, which the reason names.
    """

    standard_errors: Array | None
    correlation: Array | None
    reason: str | None

    @classmethod
    def none(cls, reason: str) -> Uncertainty:
        """A record without standard errors, for this reason."""
        return cls(None, None, reason)

    @property
    def covariance(self) -> Array | None:
        """(k, p, p), or None."""
        if self.standard_errors is None or self.correlation is None:
            return None
        return self.correlation * self.standard_errors[:, :, None] * self.standard_errors[:, None, :]

    def of_scores(self, columns: Array) -> Array | None:
        """√(xᵀ Cov(w_j) x) of rows x (m, p) in each component, (m, k); None without standard errors.

        inf where no double holds it; NaN where x is not 0 at a coefficient that is not identified
        """
        if self.standard_errors is None or self.correlation is None:
            return None
        found = []
        for errors, correlation in zip(self.standard_errors, self.correlation, strict=True):
            unknown = np.isnan(errors)
            with np.errstate(over="ignore", invalid="ignore"):
                length = _norm(columns[:, ~unknown] * errors[~unknown], correlation[np.ix_(~unknown, ~unknown)])
            found.append(np.where(columns[:, unknown].any(axis=1), np.nan, length))
        return np.column_stack(found)


def _norm(vectors: Array, correlation: Array) -> Array:
    """√(vᵀ R v) of rows v (m, p), each divided by its largest entry first, so that no square overflows."""
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    unit = vectors / np.where(largest > 0, largest, 1.0)[:, None]
    length = largest * np.sqrt(np.maximum(np.vecdot(unit @ correlation, unit), 0.0))
    return np.where(np.isnan(length), np.inf, length)


class Inverse(NamedTuple):
    """The pseudo-inverse (K, K) of an information matrix, and which parameters (K,) its null space involves."""

    matrix: Array
    lost: np.ndarray


def inverse(information: Array) -> Inverse:
    """The pseudo-inverse of an information matrix."""
    root = inverse_root_diagonal(information)
    values, vectors = np.linalg.eigh(scaled_by(information, root))
    flat = values <= SINGULAR_EIGENVALUE
    matrix = (vectors[:, ~flat] / values[~flat] @ vectors[:, ~flat].T) * root * root[:, None]
    return Inverse(matrix, np.linalg.norm(vectors[:, flat], axis=1) > UNIDENTIFIED_SHARE)
