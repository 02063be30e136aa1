"""`MixtureResult`: the moods found, and what can be asked of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.answer import Status
from hw4opt.arguments import checked
from hw4opt.arrays import ReadOnly, read_only
from hw4opt.errors import InputError, ModelFileError
from hw4opt.files import write_text
from hw4opt.poisson.check import INTERCEPT, matrix, vector
from hw4opt.poisson.sample import Design
from hw4opt.terms.base import Array

KIND, FORMAT = "hw4opt moods", 2


@dataclass(frozen=True)
class Starts:
    """What the search tried: starts and perturbations, how many of the finished ones agreed, how many ended nowhere, the next maximum.

    next_best    how far below the best the next maximum is; None where every finished run agreed
    """

    tried: int
    finished: int
    agreed: int
    failed: int
    next_best: float | None


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """From the inverse of the exact observed information: of each mood's coefficients, or None with the reason.

    standard_errors (k, p) in the features' own units, correlation (k, p, p): where the one can be 1e-200, a covariance could not be held
    """

    standard_errors: Array | None
    correlation: Array | None
    reason: str | None

    @classmethod
    def none(cls, reason: str) -> Uncertainty:
        """Nothing but the reason."""
        return cls(None, None, reason)

    @property
    def covariance(self) -> Array | None:
        """(k, p, p), or None."""
        if self.standard_errors is None or self.correlation is None:
            return None
        return self.correlation * self.standard_errors[:, :, None] * self.standard_errors[:, None, :]

    def of_scores(self, columns: Array) -> Array | None:
        """√(xᵀ Cov(w_j) x) of rows x (m, p) in each mood, (m, k), inf where it is beyond what a double can hold; None without errors."""
        if self.standard_errors is None or self.correlation is None:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            moods = zip(self.standard_errors, self.correlation, strict=True)
            return np.column_stack([_length(columns * errors, correlation) for errors, correlation in moods])


def _length(moves: Array, correlation: Array) -> Array:
    """√(vᵀ R v) of rows v (m, p): the largest entry is taken out first, so that no square overflows."""
    size = np.abs(moves).max(axis=1)
    unit = moves / np.where(size > 0, size, 1.0)[:, None]
    length = size * np.sqrt(np.maximum(np.vecdot(unit @ correlation, unit), 0.0))
    return np.where(np.isnan(length), np.inf, length)


@dataclass(frozen=True, eq=False)
class Criteria:
    """df = k p + k - 1; bic and aic of the unpenalised ℓ with n = Σ weights (groups: their number); icl = bic + 2·entropy."""

    bic: float
    aic: float
    icl: float
    entropy: float


@dataclass(frozen=True, eq=False)
class Moods:
    """The parameters alone: coef (k, p) of the columns `names`, proportions (k,), how sure they are; was there an offset."""

    names: tuple[str, ...]
    coef: Array
    proportions: Array
    uncertainty: Uncertainty
    has_offset: bool = False

    @property
    def has_intercept(self) -> bool:
        """Whether the first column is the intercept."""
        return self.names[:1] == (INTERCEPT,)

    def scores(self, x: ArrayLike) -> Array:
        """xᵀw_j of new rows (m, d) in each mood, intercept in, offset not: (m, k); not finite where a double cannot hold it."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._columns(x) @ self.coef.T

    def score_errors(self, x: ArrayLike) -> Array | None:
        """Standard errors of `scores`, (m, k): `Uncertainty.of_scores`; None where coefficients have none."""
        return self.uncertainty.of_scores(self._columns(x))

    def predict(self, x: ArrayLike, offset: ArrayLike | None = None) -> Array:
        """The mean count of new rows, Σ_j π_j exp(xᵀw_j + offset), (m,)."""
        if offset is None and self.has_offset:
            raise InputError("the mixture was fitted with an offset; give one for the new rows")
        scores = self.scores(x)
        return np.exp(scores + vector("offset", offset, len(scores), 0.0)[:, None]) @ self.proportions

    @checked
    def save(self, path: str | Path) -> None:
        """One JSON file, written in one piece; floats keep every digit."""
        sure = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self.uncertainty).items()}
        record = {"kind": KIND, "format": FORMAT, "names": self.names, "coef": self.coef.tolist(), "proportions": self.proportions.tolist()}
        write_text(path, json.dumps(record | {"uncertainty": sure, "has_offset": self.has_offset}, allow_nan=False) + "\n")

    @classmethod
    @checked
    def load(cls, path: str | Path) -> Moods:
        """What `save` wrote; raises `ModelFileError`."""
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            if stored["kind"] != KIND or stored["format"] != FORMAT:
                raise ValueError("it is another kind of file")
            sure = stored["uncertainty"]
            errors, correlation = map(_stored, (sure["standard_errors"], sure["correlation"]))
            arrays = np.array(stored["coef"], dtype=float), np.array(stored["proportions"], dtype=float)
            return cls(tuple(stored["names"]), *arrays, Uncertainty(errors, correlation, sure["reason"]), bool(stored["has_offset"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelFileError(f"{path} is no file of moods: {error}") from error

    def _columns(self, x: ArrayLike) -> Array:
        found = matrix("x", x)
        if found.shape[1] + self.has_intercept != len(self.names):
            names = ", ".join(self.names[int(self.has_intercept) :])
            raise InputError(f"x has {found.shape[1]} columns and the mixture was fitted to {names}")
        return np.column_stack([np.ones(len(found)), found]) if self.has_intercept else found


def _stored(values: list | None) -> Array | None:
    return None if values is None else np.array(values, dtype=float)


@dataclass(frozen=True, eq=False)
class MixtureResult(ReadOnly):
    """k moods in descending proportion.

    status, message    stationary to tolerance (`Status.CERTIFIED`) or what stands against it
    coef (k, p)        of `feature_names`, the intercept first;  proportions (k,)
    responsibilities   (n, k), rows in input order: the probability of each mood given the row's count (its group's counts)
    log_likelihood     with log y!, less the ridge penalty;  trace: the same after each cycle
    dispersion (k,)    Σ γ (y - λ)²/λ over the degrees of freedom: 1 for Poisson counts
    explained (k,)     share of all counts that falls to each mood
    warnings           sentences that a reader should know
    """

    status: Status
    message: str
    coef: Array
    proportions: Array
    responsibilities: Array
    log_likelihood: float
    trace: Array
    gradient: float
    uncertainty: Uncertainty
    criteria: Criteria
    dispersion: Array
    explained: Array
    starts: Starts
    seconds: float
    warnings: tuple[str, ...]
    design: Design

    def __post_init__(self) -> None:
        read_only((self.coef, self.proportions, self.responsibilities, self.trace, self.dispersion, self.explained))

    @property
    def k(self) -> int:
        """The number of moods, which an emptied one may have lowered."""
        return len(self.coef)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Of the columns of `coef`."""
        return self.design.names

    @property
    def cycles(self) -> int:
        """Cycles of the run that found this maximum, after its start."""
        return len(self.trace)

    @property
    def labels(self) -> np.ndarray:
        """The most probable mood of each row, (n,)."""
        return self.responsibilities.argmax(axis=1)

    @property
    def cluster_sizes(self) -> np.ndarray:
        """Rows by most probable mood, (k,)."""
        return np.bincount(self.labels[self.design.weights > 0], minlength=self.k)

    @property
    def moods(self) -> Moods:
        """What ranks and predicts, without the data."""
        return Moods(self.feature_names, self.coef, self.proportions, self.uncertainty, bool(self.design.offset.any()))

    def scores(self, x: ArrayLike) -> Array:
        """`Moods.scores` of new rows (m, d): (m, k)."""
        return self.moods.scores(x)

    def score_errors(self, x: ArrayLike) -> Array | None:
        """`Moods.score_errors` of new rows (m, d): (m, k), or None."""
        return self.moods.score_errors(x)

    def predict(self, x: ArrayLike, offset: ArrayLike | None = None) -> Array:
        """`Moods.predict` of new rows (m, d): (m,)."""
        return self.moods.predict(x, offset)
