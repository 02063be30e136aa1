"""`Components`: the parameters of a mixture without its data, their predictions, and their file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError, ModelFileError
from hw4opt.losses.poisson import Poisson
from hw4opt.mixture.uncertainty import Uncertainty
from hw4opt.mixture.validation import INTERCEPT, real_matrix, real_vector
from hw4opt.running.files import write_text
from hw4opt.running.records import is_record
from hw4opt.terms.base import Array
from hw4opt.terms.laws import Law
from hw4opt.validation.arguments import checked

FILE_KIND = "hw4opt moods"  # the mark of files since format 2
FILE_FORMATS = (2, 3)  # 2: no truncated law, no span, no context
MAX_PROPORTIONS_ERROR = 1e-6  # difference from 1 of the sum of the proportions in a file


@dataclass(frozen=True, eq=False)
class Components:
    """The k components of a mixture: coef (k, p) of the columns `names`, proportions (k,), and their uncertainty.

    has_offset    whether they were fitted with an offset;  truncated  whether counts are truncated at 0 (y ≥ 1)
    span (2, d)   the minimum and maximum of every feature in the fit; None if not known
    context       names of the columns they were fitted to, by role: y, offset, exposure, groups, and features
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
        """The loss of one component."""
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
        """xᵀw_j of new rows (m, d) in each component, with intercept, without offset: (m, k); inf or NaN may occur."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._columns(x) @ self.coef.T

    def score_errors(self, x: ArrayLike) -> Array | None:
        """Standard errors of `scores`, (m, k), see `Uncertainty.of_scores`; None if coefficients have none."""
        return self.uncertainty.of_scores(self._columns(x))

    def predict(self, x: ArrayLike, offset: ArrayLike | None = None) -> Array:
        """The mean count Σ_j π_j λ_j of new rows, (m,).

        λ_j = exp(xᵀw_j + offset), or λ_j/(1 - e^-λ_j) of a truncated law
        """
        return self.means(x, offset) @ self.proportions

    def means(self, x: ArrayLike, offset: ArrayLike | None = None) -> Array:
        """The mean count of new rows in each component, (m, k)."""
        return self.law.least + self.law.rise(self._log_rates(x, offset))

    def posterior(
        self, x: ArrayLike, y: ArrayLike, offset: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Array:
        """The probability of each component given the counts y (m,) of new rows, (m, k).

        groups    (m,) labels: rows of a group share one component, whose probability depends on all their counts
        Raises `InputError` for a y that is not a count of the law.
        """
        z, counts = self._checked_counts(x, y, offset)
        logs = -self.loss.slack(z, np.zeros_like(z), counts)
        with np.errstate(divide="ignore", invalid="ignore"):
            if groups is not None:
                unit = np.unique(np.asarray(groups), return_inverse=True)[1]
                logs = np.stack([np.bincount(unit, of_component) for of_component in logs.T], axis=1)[unit]
            logs = np.log(self.proportions) + logs
            shares = np.exp(logs - logs.max(axis=1, keepdims=True))
            return shares / shares.sum(axis=1, keepdims=True)

    def log_likelihood(self, x: ArrayLike, y: ArrayLike, offset: ArrayLike | None = None) -> Array:
        """log Σ_j π_j p_j(y_i) of the counts y (m,) of new rows, log y! included, (m,).

        Raises `InputError` for a y that is not a count of the law.
        """
        z, counts = self._checked_counts(x, y, offset)
        with np.errstate(divide="ignore"):
            logs = np.log(self.proportions) - self.loss.slack(z, np.zeros_like(z), counts)
        largest = logs.max(axis=1)
        return largest + np.log(np.exp(logs - largest[:, None]).sum(axis=1)) - self.loss.least(counts[:, 0])

    def _checked_counts(self, x: ArrayLike, y: ArrayLike, offset: ArrayLike | None) -> tuple[Array, Array]:
        """The linear predictors (m, k) of rows, and their counts (m, 1)."""
        z = self._log_rates(x, offset)
        counts = real_vector("y", y, len(z), 0.0)
        for row in np.flatnonzero(counts < self.law.least)[:1]:
            raise InputError(
                f"y holds {counts[row]:g} in row {row}; counts of this mixture are {self.law.least:g} or more",
                row,
            )
        return z, counts[:, None]

    def _log_rates(self, x: ArrayLike, offset: ArrayLike | None) -> Array:
        if offset is None and self.has_offset:
            raise InputError("the mixture was fitted with an offset; give one for the new rows")
        scores = self.scores(x)
        return scores + real_vector("offset", offset, len(scores), 0.0)[:, None]

    @checked
    def save(self, path: str | Path) -> None:
        """One JSON file, written in one piece; floats keep every digit."""
        record = {"kind": FILE_KIND, "format": FILE_FORMATS[-1], **_encoded(vars(self))}
        write_text(path, json.dumps(record | {"uncertainty": _encoded(vars(self.uncertainty))}, allow_nan=False) + "\n")

    @staticmethod
    def is_file(path: str | Path) -> bool:
        """Whether `save` wrote the file, judged by its first bytes."""
        return is_record(path, FILE_KIND)

    @classmethod
    @checked
    def load(cls, path: str | Path) -> Components:
        """Read a file of `save`; raises `ModelFileError`."""
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            if stored["kind"] != FILE_KIND or stored["format"] not in FILE_FORMATS:
                raise ValueError("it is another kind of file")
            return cls._decoded(stored)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ModelFileError(f"{path} is not a file of a mixture, or it is damaged: {error}") from error

    @classmethod
    def _decoded(cls, stored: dict[str, Any]) -> Components:
        names, uncertainty, context = tuple(stored["names"]), stored["uncertainty"], stored.get("context", {})
        k, p = len(stored["proportions"]), len(names)
        coef, proportions = _array(stored["coef"], k, p), _array(stored["proportions"], k)
        roles = (context[role] for role in ("y", "offset", "exposure", "groups") if role in context)
        if not isinstance(context, dict) or not all(isinstance(name, str) for name in (*names, *roles)):
            raise ValueError("its columns have no names")
        if coef is None or proportions is None:
            raise ValueError("coefficients or proportions are missing")
        if not np.isfinite(coef).all():
            raise ValueError("its coefficients are not finite")
        if not (proportions >= 0).all() or not abs(proportions.sum() - 1) < MAX_PROPORTIONS_ERROR:
            raise ValueError("its proportions are not positive numbers with the sum 1")
        return cls(
            names,
            coef,
            proportions,
            Uncertainty(
                _array(uncertainty["standard_errors"], k, p),
                _array(uncertainty["correlation"], k, p, p),
                uncertainty["reason"],
            ),
            has_offset=bool(stored["has_offset"]),
            truncated=bool(stored.get("truncated", False)),
            span=_array(stored.get("span"), 2, p - (names[:1] == (INTERCEPT,))),
            context=context,
        )

    def _columns(self, x: ArrayLike) -> Array:
        found = real_matrix("x", x)
        if found.shape[1] + self.has_intercept != len(self.names):
            raise InputError(f"x has {found.shape[1]} columns and the mixture was fitted to {', '.join(self.features)}")
        return np.column_stack([np.ones(len(found)), found]) if self.has_intercept else found


def _encoded(fields: dict[str, Any]) -> dict[str, Any]:
    """Arrays as lists, null for NaN."""
    arrays = {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
    return fields | {name: np.where(np.isnan(value), np.array(None), value).tolist() for name, value in arrays.items()}


def _array(values: list | None, *shape: int) -> Array | None:
    """The array of a list from a file, NaN for null; None for None. Raises `ValueError` for another shape."""
    found = None if values is None else np.array(values, dtype=float)
    if found is not None and found.shape != shape:
        raise ValueError(f"an array has the shape {found.shape} in place of {shape}")
    return found
