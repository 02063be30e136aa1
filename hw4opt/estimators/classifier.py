"""The classifier for two classes, whose log-odds are in the RKHS of a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils import Tags, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from hw4opt.errors import InputError
from hw4opt.estimators.base import KernelEstimator, checked_data
from hw4opt.losses.logistic import Logistic
from hw4opt.problem import Data
from hw4opt.terms.base import Array


@dataclass(kw_only=True, eq=False, repr=False)
class PenalizedKernelClassifier(ClassifierMixin, KernelEstimator):
    """minimise over f   Σ_i ω_i log(1 + exp(-y_i f(x_i))) + ridge ‖f - level‖²_H + …,   y_i = ±1.

    f is the log-odds of the second class, in the RKHS of a kernel, plus a free level.

    Parameters are those of `PenalizedKernelRegressor` except loss; constraints act on the log-odds. scikit-learn's
    LogisticRegression(C) is kernel="polynomial:degree=1,coef0=0", gamma=1, ridge=1/(2 C).

    Fitted: `classes_` (2,), sorted; the others as in `PenalizedKernelRegressor`.

        >>> import numpy as np
        >>> from hw4opt.estimators import PenalizedKernelClassifier
        >>> draw = np.random.default_rng(0)
        >>> age = draw.uniform(20, 80, (90, 1))
        >>> ill = np.where(draw.uniform(size=90) < 1 / (1 + np.exp((50 - age[:, 0]) / 5)), "ill", "well")
        >>> model = PenalizedKernelClassifier(gamma=1e-3, ridge=0.1, constraints=["decreasing"]).fit(age, ill)
        >>> model.classes_.tolist(), model.predict([[30.0], [70.0]]).tolist()
        (['ill', 'well'], ['well', 'ill'])
        >>> bool((np.diff(model.predict_proba(np.sort(age, axis=0))[:, 0]) > -1e-9).all())
        True
    """

    def _loss(self) -> Logistic:
        return Logistic()

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Choose open hyper-parameters and fit, as `PenalizedKernelRegressor.fit`; y (n,) holds two different labels.

        Raises `InputError`, a `ValueError`, for one class or more than two.
        """
        rows, labels = checked_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        labels = column_or_1d(labels, warn=True)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) > 2:
            raise InputError(
                "Only binary classification is supported. The type of the target is "
                f"{type_of_target(labels)}, with {len(self.classes_)} classes"
            )
        used = Data(codes, codes, sample_weight).active_y
        if (used == used[0]).all():
            raise InputError("y holds one class only, in rows with a weight above 0; a classifier needs two classes")
        return self._fit(rows, codes.astype(np.float64), sample_weight, groups)

    def decision_function(self, X: ArrayLike, return_bound: bool = False) -> Array | tuple[Array, Array]:
        """The log-odds f of the second class at rows X (m, d), shape (m,).

        return_bound    also return the proven bound of f, as `PenalizedKernelRegressor.predict` does
        """
        rows = self._new_rows(X)
        return self._with_bound(rows, self.result_.predict(rows), return_bound)

    def predict_proba(self, X: ArrayLike) -> Array:
        """The probability of each class at rows X, (m, 2)."""
        second = Logistic().mean(np.asarray(self.decision_function(X)))
        return np.column_stack([1 - second, second])

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The more probable class of each row, (m,)."""
        check_is_fitted(self)
        return self.classes_[(np.asarray(self.decision_function(X)) > 0).astype(int)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
