"""`MixtureResult`: the moods found, and what can be asked of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.answer import Status
from hw4opt.arguments import checked
from hw4opt.arrays import ReadOnly, read_only
from hw4opt.errors import InputError, ModelFileError
from hw4opt.files import write_text
from hw4opt.losses.poisson import Poisson
from hw4opt.mixture.sample import Design
from hw4opt.mixture.validation import INTERCEPT, matrix, vector
from hw4opt.terms.base import Array
from hw4opt.terms.laws import Law

KIND, FORMATS = "hw4opt moods", (2, 3)  # 2: no truncated law, no span, no context
PROPORTIONS_ROUNDING = 1e-6  # what proportions may sum to beside 1


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

    standard_errors (k, p) in the features' own units, correlation (k, p, p): where the one can be 1e-200, a covariance could not be held.
    Both are NaN for coefficients that are not identified, which the reason names.
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
        """√(xᵀ Cov(w_j) x) of rows x (m, p) in each mood, (m, k); None without errors.

        inf where it is beyond what a double can hold; NaN where x is not 0 at a coefficient that is not identified
        """
        if self.standard_errors is None or self.correlation is None:
            return None
        found = []
        for errors, correlation in zip(self.standard_errors, self.correlation, strict=True):
            lost = np.isnan(errors)
            with np.errstate(over="ignore", invalid="ignore"):
                length = _length(columns[:, ~lost] * errors[~lost], correlation[np.ix_(~lost, ~lost)])
            found.append(np.where(columns[:, lost].any(axis=1), np.nan, length))
        return np.column_stack(found)


def _length(moves: Array, correlation: Array) -> Array:
    """√(vᵀ R v) of rows v (m, p): the largest entry is taken out first, so that no square overflows."""
    size = np.abs(moves).max(axis=1, initial=0.0)
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
class Components:
    """The parameters alone: coef (k, p) of the columns `names`, proportions (k,), how sure they are.

    has_offset    whether they were fitted with an offset;  truncated  whether the law is that of counts of at least 1
    span (2, d)   lowest and highest of the features fitted, None where that is not known
    context       names of the columns they were fitted to, by role: y, offset, exposure, groups, and what features are made of
    """

    names: tuple[str, ...]
    coef: Array
    proportions: Array
    uncertainty: Uncertainty
    has_offset: bool = False
    truncated: bool = False
    span: Array | None = None
    context: dict[str, Any] = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """The columns without the intercept."""
        return self.names[int(self.has_intercept) :]

    @property
    def loss(self) -> Poisson:
        """The loss of one mood."""
        return Poisson(quasi=True, truncated=self.truncated)

    @property
    def law(self) -> Law:
        """The law of the counts."""
        return self.loss.law

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
        """The mean count of new rows, Σ_j π_j λ_j with λ_j = exp(xᵀw_j + offset), or λ_j/(1 - e^-λ_j) of a truncated law, (m,)."""
        return self.means(x, offset) @ self.proportions

    def means(self, x: ArrayLike, offset: ArrayLike | None = None) -> Array:
        """The mean count of new rows in each mood, (m, k)."""
        return self.law.least + self.law.rise(self._log_rates(x, offset))

    def posterior(self, x: ArrayLike, y: ArrayLike, offset: ArrayLike | None = None, groups: ArrayLike | None = None) -> Array:
        """The probability of each mood given the counts y (m,) of new rows, (m, k).

        groups    (m,) labels: rows of a group share one mood, and all their counts tell of it
        Raises `InputError` for what is no count of the law.
        """
        z = self._log_rates(x, offset)
        counts = vector("y", y, len(z), 0.0)
        for row in np.flatnonzero(counts < self.law.least)[:1]:
            raise InputError(f"y holds {counts[row]:g} in row {row + 1}; counts of this mixture are {self.law.least:g} or more")
        above = (counts - self.law.least)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = -self.law.divergence(z, above, above - self.law.rise(z))
            if groups is not None:
                unit = np.unique(np.asarray(groups), return_inverse=True)[1]
                logs = np.stack([np.bincount(unit, of_mood) for of_mood in logs.T], axis=1)[unit]
            logs = np.log(self.proportions) + logs
            shares = np.exp(logs - logs.max(axis=1, keepdims=True))
            return shares / shares.sum(axis=1, keepdims=True)

    def _log_rates(self, x: ArrayLike, offset: ArrayLike | None) -> Array:
        if offset is None and self.has_offset:
            raise InputError("the mixture was fitted with an offset; give one for the new rows")
        scores = self.scores(x)
        return scores + vector("offset", offset, len(scores), 0.0)[:, None]

    @checked
    def save(self, path: str | Path) -> None:
        """One JSON file, written in one piece; floats keep every digit."""
        record = {"kind": KIND, "format": FORMATS[-1], **_kept(vars(self)), "uncertainty": _kept(vars(self.uncertainty))}
        write_text(path, json.dumps(record, allow_nan=False) + "\n")

    @staticmethod
    def is_file(path: str | Path) -> bool:
        """Whether `save` wrote the file, by how it begins."""
        try:
            if not Path(path).is_file():  # a FIFO can be read once
                return False
            with Path(path).open(encoding="utf-8", errors="replace") as file:
                return f'"kind": "{KIND}"' in file.read(100)
        except (OSError, ValueError):
            return False

    @classmethod
    @checked
    def load(cls, path: str | Path) -> Components:
        """What `save` wrote; raises `ModelFileError`."""
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            if stored["kind"] != KIND or stored["format"] not in FORMATS:
                raise ValueError("it is another kind of file")
            names, sure = tuple(stored["names"]), stored["uncertainty"]
            k, p = len(stored["proportions"]), len(names)
            coef, proportions = _stored(stored["coef"], k, p), _stored(stored["proportions"], k)
            errors, correlation = _stored(sure["standard_errors"], k, p), _stored(sure["correlation"], k, p, p)
            flags = bool(stored["has_offset"]), bool(stored.get("truncated", False))
            span, context = _stored(stored.get("span"), 2, p - (names[:1] == (INTERCEPT,))), stored.get("context", {})
            roles = (context[role] for role in ("y", "offset", "exposure", "groups") if role in context)
            if not isinstance(context, dict) or not all(isinstance(name, str) for name in (*names, *roles)):
                raise ValueError("its columns have no names")
            if coef is None or proportions is None:
                raise ValueError("something is missing")
            if not np.isfinite(coef).all() or not (proportions >= 0).all() or not abs(proportions.sum() - 1) < PROPORTIONS_ROUNDING:
                raise ValueError("its coefficients or proportions are none")
            return cls(names, coef, proportions, Uncertainty(errors, correlation, sure["reason"]), *flags, span, context)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ModelFileError(f"{path} is no file of moods, or it is damaged: {error}") from error

    def _columns(self, x: ArrayLike) -> Array:
        found = matrix("x", x)
        if found.shape[1] + self.has_intercept != len(self.names):
            raise InputError(f"x has {found.shape[1]} columns and the mixture was fitted to {', '.join(self.features)}")
        return np.column_stack([np.ones(len(found)), found]) if self.has_intercept else found


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    """Arrays as lists, null for NaN."""
    arrays = {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
    return fields | {name: np.where(np.isnan(value), np.array(None), value).tolist() for name, value in arrays.items()}


def _stored(values: list | None, *shape: int) -> Array | None:
    found = None if values is None else np.array(values, dtype=float)
    if found is not None and found.shape != shape:
        raise ValueError(f"an array has the shape {found.shape} in place of {shape}")
    return found


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
    def moods(self) -> Components:
        """What ranks and predicts, without the data."""
        features = self.design.active.features[:, int(self.feature_names[:1] == (INTERCEPT,)) :]
        return Components(
            self.feature_names,
            self.coef,
            self.proportions,
            self.uncertainty,
            bool(self.design.offset.any()),
            self.design.law.least == 1,
            np.stack([features.min(axis=0), features.max(axis=0)]),
        )

    def scores(self, x: ArrayLike) -> Array:
        """`Components.scores` of new rows (m, d): (m, k)."""
        return self.moods.scores(x)

    def score_errors(self, x: ArrayLike) -> Array | None:
        """`Components.score_errors` of new rows (m, d): (m, k), or None."""
        return self.moods.score_errors(x)

    def predict(self, x: ArrayLike, offset: ArrayLike | None = None) -> Array:
        """`Components.predict` of new rows (m, d): (m,)."""
        return self.moods.predict(x, offset)
