"""`MixtureResult`: a fitted mixture with its data, and the record of the search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.form.answer import Status
from hw4opt.mixture.components import Components, Uncertainty
from hw4opt.mixture.sample import MixtureDesign
from hw4opt.mixture.validation import INTERCEPT
from hw4opt.terms.base import Array
from hw4opt.validation.arrays import ReadOnly, read_only


@dataclass(frozen=True)
class Starts:
    """Numbers of starts and perturbations: tried, run to the end, ended in the best maximum, and failed.

    next_best    ℓ of the best maximum less that of the next; None if every finished run ended in the best
    """

    tried: int
    finished: int
    agreed: int
    failed: int
    next_best: float | None


@dataclass(frozen=True, eq=False)
class Criteria:
    """Criteria with df = k p + k - 1 parameters: bic = -2 ℓ + df log n and aic = -2 ℓ + 2 df of the unpenalised ℓ,
    icl = bic + 2·entropy.

    n of bic is Σ weights, or the number of groups
    """

    bic: float
    aic: float
    icl: float
    entropy: float


@dataclass(frozen=True, eq=False)
class MixtureResult(ReadOnly):
    """A fitted mixture, its k components in descending proportion.

    status, message    `Status.CERTIFIED` if stationary to tolerance, else the reason
    coef (k, p)        of `feature_names`, the intercept first;  proportions (k,)
    responsibilities   (n, k), rows in input order: the probability of each component given the counts of the row's unit
    log_likelihood     with log y!, less the ridge penalty;  trace: the same after each cycle
    dispersion (k,)    Σ γ (y - λ)²/λ over the degrees of freedom: 1 for Poisson counts
    explained (k,)     each component's share of all counts
    warnings           sentences
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
    design: MixtureDesign

    def __post_init__(self) -> None:
        read_only((self.coef, self.proportions, self.responsibilities, self.trace, self.dispersion, self.explained))

    @property
    def k(self) -> int:
        """The number of components; fewer than asked for if some became empty."""
        return len(self.coef)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the columns of `coef`."""
        return self.design.names

    @property
    def cycles(self) -> int:
        """The number of cycles of the run that found this maximum."""
        return len(self.trace)

    @property
    def labels(self) -> np.ndarray:
        """The most probable component of each row, (n,)."""
        return self.responsibilities.argmax(axis=1)

    @property
    def cluster_sizes(self) -> np.ndarray:
        """The number of rows whose most probable component is each, (k,)."""
        return np.bincount(self.labels[self.design.weights > 0], minlength=self.k)

    @property
    def components(self) -> Components:
        """The parameters without the data, for prediction and storage."""
        features = self.design.active.features[:, int(self.feature_names[:1] == (INTERCEPT,)) :]
        return Components(
            self.feature_names,
            self.coef,
            self.proportions,
            self.uncertainty,
            has_offset=bool(self.design.offset.any()),
            truncated=self.design.law.least == 1,
            span=np.stack([features.min(axis=0), features.max(axis=0)]),
        )

    def scores(self, x: ArrayLike) -> Array:
        """`Components.scores` of new rows (m, d): (m, k)."""
        return self.components.scores(x)

    def score_errors(self, x: ArrayLike) -> Array | None:
        """`Components.score_errors` of new rows (m, d): (m, k), or None."""
        return self.components.score_errors(x)

    def predict(self, x: ArrayLike, offset: ArrayLike | None = None) -> Array:
        """`Components.predict` of new rows (m, d): (m,)."""
        return self.components.predict(x, offset)
