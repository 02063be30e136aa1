"""Mixtures of Poisson regressions as a scikit-learn estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from hw4opt import mixture
from hw4opt.estimators.base import checked_data
from hw4opt.mixture import Budget, Rows
from hw4opt.terms.base import Array


@dataclass(kw_only=True, eq=False, repr=False)
class PoissonMixture(BaseEstimator):
    """`hw4opt.mixture.PoissonMixture` with the same parameters, and `fit` and `predict` as in scikit-learn.

    It does not follow all conventions of scikit-learn's estimators: scikit-learn's estimator checks may fail.

    Fitted: `result_`, the `MixtureResult`; `coef_` (k, p), the intercept first; `proportions_` (k,), descending.

        >>> import numpy as np
        >>> from hw4opt.estimators import PoissonMixture
        >>> draw = np.random.default_rng(0)
        >>> X = draw.standard_normal((300, 1))
        >>> y = draw.poisson(np.exp(np.where(np.arange(300) < 200, 3 + 0.5 * X[:, 0], 1 - 0.5 * X[:, 0])))
        >>> model = PoissonMixture(k=2).fit(X, y)
        >>> np.round(model.proportions_, 1).tolist(), np.round(model.predict([[0.0]])).tolist()
        ([0.7, 0.3], [14.0])
        >>> np.round(model.responsibilities([[0.0], [0.0]], [20, 3])).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    k: int = 2
    intercept: bool = True
    ridge: float = 0.0
    quasi: bool = False
    budget: Budget = Budget()  # noqa: RUF009 (it is frozen)
    seed: int = 0
    truncated: bool = False
    errors: str = "information"

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """The best mixture that the budget finds for features X (n, d) and counts y (n,).

        sample_weight    (n,) number of times that each row was seen
        groups           (n,) labels: the rows of a group belong to one component

        Raises `InputError` for counts or features that are not valid.
        """
        features, counts = checked_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        names = getattr(self, "feature_names_in_", None)
        rows = Rows(weights=sample_weight, groups=groups, names=None if names is None else names.tolist())
        self.result_ = mixture.PoissonMixture(**self.get_params(deep=False)).fit(features, counts, rows)
        self.coef_, self.proportions_ = self.result_.coef, self.result_.proportions
        return self

    def predict(self, X: ArrayLike) -> Array:
        """The mean count Σ_j π_j μ_j of rows X (m, d), shape (m,)."""
        return self.result_.predict(self._new_rows(X))

    def responsibilities(self, X: ArrayLike, y: ArrayLike) -> Array:
        """The probability of each component given the counts y (m,) of rows X (m, d), (m, k)."""
        return self.result_.components.posterior(self._new_rows(X), y)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The mean log-likelihood log Σ_j π_j p_j(y_i) of rows X (m, d) with counts y (m,)."""
        each = self.result_.components.log_likelihood(self._new_rows(X), y)
        return float(np.average(each, weights=None if sample_weight is None else np.asarray(sample_weight)))

    def _new_rows(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        return checked_data(self, X, reset=False, dtype=np.float64)
