"""Regressors: f in the RKHS of a kernel, or linear in the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.metrics import d2_pinball_score
from sklearn.utils import Tags

from hw4opt.errors import InputError
from hw4opt.estimators.base import KernelEstimator, PenalizedEstimator, checked_data
from hw4opt.estimators.description import Strength, Strengths
from hw4opt.inference import deviance_explained
from hw4opt.losses.poisson import Poisson
from hw4opt.terms import Likelihood, Loss
from hw4opt.terms.base import Array


@dataclass(kw_only=True, eq=False, repr=False)
class _Regressor(RegressorMixin, PenalizedEstimator):
    """Fit, prediction and score of both regressors."""

    loss: str | Loss = "squared"
    keep_folds: bool = False

    def _loss(self) -> str | Loss:
        return self.loss

    def _keeps_folds(self) -> bool:
        return self.keep_folds

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Choose open hyper-parameters and fit.

        X                (n, d) numbers, or a frame of pandas or polars, at least two rows
        y                (n,) targets
        sample_weight    (n,) ω ≥ 0 of the rows' losses; a row of weight 0 takes no part
        groups           (n,) labels for `cv`: rows of a group are held out together

        Raises `InputError`, a `ValueError`, for invalid data or parameters; `NotCertifiedError` with
        `on_uncertified="raise"`.
        """
        rows, targets = checked_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        return self._fit(rows, np.asarray(targets, dtype=np.float64), sample_weight, groups)

    def predict(self, X: ArrayLike, return_bound: bool = False) -> Array | tuple[Array, Array]:
        """The expected target at rows X (m, d), shape (m,): f, or exp f for counts; (m, levels) for several quantiles.

        return_bound    also return a proven bound (m,) of |f̂ - f*|, the fitted f̂ less the exact optimum f*; NaN where
                        nothing is proven. With `fit_intercept` it bounds f without its level, which has no penalty; for
                        a sum, also without components that have no ridge
        """
        rows = self._new_rows(X)
        return self._with_bound(rows, self.result_.predict_mean(rows), return_bound)

    def predict_interval(
        self, X: ArrayLike, confidence_level: float | Sequence[float] = 0.9, method: str = "plus"
    ) -> tuple[Array, Array]:
        """Points (m,) and intervals (m, 2, levels), lower and upper, of new targets at rows X (m, d).

        method    plus (jackknife+, or CV+ with `cv`), minmax, base: `Result.predict_interval` has the formulas and
                  guarantees

        Raises `InputError` for a fit without `keep_folds=True`, and for a level that needs more rows.
        """
        rows = self._new_rows(X)
        if self.result_.problem.held_out is None:
            raise InputError("intervals need the fits without each fold; fit with keep_folds=True")
        return self.result_.predict_interval(rows, confidence_level, method)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """R² = 1 - Σ ω (y - f)²/Σ ω (y - ȳ)² at rows X; for likelihoods, 1 - deviance/deviance of the best constant;
        for several quantiles, the mean of scikit-learn's `d2_pinball_score` over the levels."""
        rows = self._new_rows(X)
        loss = self.result_.problem.loss
        if loss.levels:
            pairs = zip(loss.levels, np.asarray(self.predict(X)).T, strict=True)
            return float(np.mean([d2_pinball_score(y, f, sample_weight=sample_weight, alpha=one) for one, f in pairs]))
        if isinstance(loss, Likelihood):
            targets = np.asarray(y, dtype=np.float64)
            weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
            return deviance_explained(loss, self.result_.predict(rows), targets, weights) or 0.0
        return float(super().score(X, y, sample_weight))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        counts = (
            self.loss.partition(":")[0] == Poisson.name
            if isinstance(self.loss, str)
            else isinstance(self.loss, Poisson)
        )
        tags.target_tags.positive_only = counts
        return tags


@dataclass(kw_only=True, eq=False, repr=False)
class PenalizedKernelRegressor(_Regressor, KernelEstimator):
    """minimise over f   Σ_i ω_i loss(f(x_i), y_i) + ridge ‖f - level‖²_H + tv ‖Df‖₁ + trend ‖D²f‖₁ + …,  subject to
    constraints; f is in the RKHS of a kernel, plus a free level.

    Hyper-parameters given as `"auto"` are chosen by exact leave-one-out error. The default ranges of the search depend
    on the data: that of gamma on the distances between rows (on the range of a single column), that of ridge on the
    noise in y and the slope of the loss there. So the defaults suit both a standardised table and a single column in
    raw units; columns in different units need `scale="standard"`, or a StandardScaler before. The level of y is free
    and not penalised.

    loss           a name, a word as on the command line (`"huber:delta=1.5"`, `"huber:delta=auto"`,
                   `"quantile:tau=0.9"`, `"poisson"`), or an object of `hw4opt`'s losses
    kernel         a name (`"rbf"`, `"matern52"`, `"polynomial:degree=2"`, …, `"precomputed"`), or an object
    gamma          of the kernel, for the raw X; None: that of a kernel object. `"each"`: one per column, chosen;
                   or a mapping of columns, as `{"dose": 20, "age": "auto"}`, `"auto"` for those that it leaves out
    components     f as a sum of functions, f(x) = `intercept_` + Σ_j f_j(x_j): a list of words, `"dose"`,
                   `"age:linear"`, `"site:categorical"` (a value per level), `"both=dose,age:matern52"`, and of
                   `hw4opt.Component`s; or `"each"`, one function per column. gamma, ridge, tv and trend then apply to
                   all components with a kernel (ridge also to categorical ones) that are given in words, or are
                   mappings by component; constraints begin with a component, as `"dose.increasing"`
    ridge, tv, trend    weights: a number, `"auto"`, or None for none; tv and trend take one column
    regularizers   further regularizer objects, with their own weights
    constraints    words or objects, as `["increasing"]`, `["bounds:lower=0,upper=1"]`; of several columns
                   `"increasing:column=dose"`, by name or place from 0
    fit_intercept  whether the level is free
    scale          none | standard: columns, and gamma, in units of the columns' standard deviations
    solver, tol    as in `hw4opt.fit`
    cv             None: exact leave-one-out where it takes less than a minute, else 10 folds (`select`'s "auto"); a
                   word of `select` ("loo", "loo:x", "kfold:5"); a number of shuffled folds; a splitter of scikit-learn,
                   or (train, test) pairs, that hold each row out once. If nothing is open, rows are held out only if
                   `cv` is given
    keep_folds     keep the fits without each fold, (folds, r) numbers, for `predict_interval`
    metric         loss | squared | absolute: the held-out error
    search         zoom | grid | random:N
    n_jobs         threads of a search; None: the cores that the process may use, 1 in a worker process of joblib
    random_state   seed of shuffled folds and random searches; None: 0, so that the same data give the same fit
    on_uncertified    for an answer that is not certified, warn: `ConvergenceWarning`; raise: `NotCertifiedError`

    Fitted: `dual_coef_` (n,), f(x) = Σ α_i k(x_i, x) + `intercept_` (None without ridge, and for a sum; slope
    constraints add kernel derivatives); `components_` of a sum; `hyperparameters_`, given and chosen; `certificate_`,
    the proof, and `result_`, the `hw4opt.Result`; `selection_` (settings tried, and notes), `loo_score_`,
    `loo_predictions_`; `effective_degrees_of_freedom_`, `n_iter_`, `n_features_in_`, `feature_names_in_`. For several
    quantiles, as in `"quantile:tau=0.05;0.5;0.95"`, predictions and coefficients have one column per level.

        >>> import numpy as np
        >>> from hw4opt.estimators import PenalizedKernelRegressor
        >>> draw = np.random.default_rng(0)
        >>> dose = draw.uniform(0, 10, (60, 1))
        >>> response = np.tanh(dose[:, 0] - 5) + 0.1 * draw.standard_normal(60)
        >>> response[::15] += 3  # outliers
        >>> model = PenalizedKernelRegressor(loss="huber:delta=auto", constraints=["increasing"]).fit(dose, response)
        >>> estimate, bound = model.predict([[2.0], [5.0], [8.0]], return_bound=True)
        >>> np.round(estimate), model.result_.status.word, bool((bound < 1e-3).all())
        (array([-1.,  0.,  1.]), 'certified', True)

    A sum of functions, and several quantiles:

        >>> both = np.column_stack([dose[:, 0], draw.uniform(20, 80, 60)])
        >>> parts = ["dose=0", "age=1:linear"]
        >>> model = PenalizedKernelRegressor(components=parts, gamma=0.1, ridge=0.1, constraints=["dose.increasing"])
        >>> [part.name for part in model.fit(both, response + 0.01 * both[:, 1]).components_]
        ['dose', 'age']
        >>> model.predict_components(both).shape, bool(np.ptp(model.predict_components(both)[:, 1]) > 0.3)
        ((60, 2), True)
        >>> levels = PenalizedKernelRegressor(loss="quantile:tau=0.1;0.5;0.9", gamma=0.1, ridge=0.01)
        >>> levels.fit(dose, response).predict([[5.0], [8.0]]).shape, levels.result_.crossings
        ((2, 3), 0)
    """


@dataclass(kw_only=True, eq=False, repr=False)
class PenalizedLinearRegressor(_Regressor):
    """minimise over w, b   Σ_i ω_i loss(⟨w, x_i⟩ + b, y_i) + ridge ‖w‖² + l1 ‖w‖₁ + …,  subject to constraints.

    Parameters are those of `PenalizedKernelRegressor` except kernel, gamma and components, plus l1, a weight: a number,
    `"auto"`, or None. ridge=None and l1=None give least squares, or plain quantile or Huber regression, with standard
    errors in `result_.coefficient_errors()`. Losses are summed, not averaged: scikit-learn's Ridge(alpha) is
    ridge=alpha, and its Lasso(alpha) is l1=2 n alpha with ridge=None.
    Constraints on coefficients: `"coef_nonnegative"`, `"coef_bounds:lower=0,upper=1"`.

    Fitted: `coef_` (d,) and `intercept_` in units of the raw X; the others as in `PenalizedKernelRegressor`.

        >>> import numpy as np
        >>> from hw4opt.estimators import PenalizedLinearRegressor
        >>> draw = np.random.default_rng(0)
        >>> X = draw.standard_normal((80, 3))
        >>> y = X @ [1.0, 0.0, -2.0] + 5 + 0.1 * draw.standard_t(2, 80)
        >>> model = PenalizedLinearRegressor(loss="absolute", l1="auto", ridge=None).fit(X, y)
        >>> np.round(model.coef_, 1) + 0.0, round(model.intercept_, 1)
        (array([ 1.,  0., -2.]), 5.0)
        >>> sorted(model.hyperparameters_), model.result_.status.word
        (['l1'], 'certified')
    """

    l1: Strength = None

    def _strengths(self) -> dict[str, Strengths]:
        return {**super()._strengths(), "l1": self.l1}

    @property
    def coef_(self) -> Array:
        """(d,), or (d, levels), the coefficients, in units of the raw X."""
        coef = self.result_.coef
        assert coef is not None
        return coef
