"""Shared code of the estimators: parameters to a problem, choice of open hyper-parameters, fit, and attributes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import check_cv as _check_cv
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted
from sklearn.utils.validation import validate_data as _validate_data

from hw4opt.estimators.description import Components, Description, Strengths, describe
from hw4opt.fit import fit
from hw4opt.form.answer import Status
from hw4opt.inference import ComponentFit
from hw4opt.kernels import Kernel, Precomputed
from hw4opt.problem import ColumnNames
from hw4opt.proof.certificate import Certificate
from hw4opt.selection import Selection, select
from hw4opt.solvers import Solver
from hw4opt.terms import Loss, Term
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_word

SCALES, ON_UNCERTIFIED = ("none", "standard"), ("warn", "raise")
checked_data: Callable[..., Any] = _validate_data  # both are annotated by the type of their defaults
_splitter: Callable[..., Any] = _check_cv
LARGEST_SEED = 2**31 - 1


@dataclass(kw_only=True, eq=False, repr=False)
class PenalizedEstimator(BaseEstimator):
    """Parameters and attributes that all estimators have; `PenalizedKernelRegressor` describes them."""

    ridge: Strengths = "auto"
    tv: Strengths = None
    trend: Strengths = None
    regularizers: Sequence[Term] = ()
    constraints: Sequence[str | Term] = ()
    fit_intercept: bool = True
    scale: str = "none"
    solver: str | Solver = "auto"
    tol: float | None = None
    cv: Any = None
    metric: str = "loss"
    search: str = "zoom"
    n_jobs: int | None = None
    random_state: int | np.random.RandomState | None = None
    on_uncertified: str = "warn"

    def _loss(self) -> str | Loss:
        raise NotImplementedError

    def _kernel(self) -> str | Kernel | None:
        return None

    def _components(self) -> Components:
        return None

    def _keeps_folds(self) -> bool:
        return False

    def _strengths(self) -> dict[str, Strengths]:
        return {"ridge": self.ridge, "tv": self.tv, "trend": self.trend}

    def _description(self, names: Sequence[str]) -> Description:
        check_word("scale", self.scale, SCALES)
        check_word("on_uncertified", self.on_uncertified, ON_UNCERTIFIED)
        return describe(
            self._loss(),
            self._kernel(),
            self._components(),
            self._strengths(),
            self.regularizers,
            self.constraints,
            names,
            self.fit_intercept,
            self.scale == "standard",
        )

    def _fit(self, x: Array, y: Array, sample_weight: ArrayLike | None, groups: ArrayLike | None) -> Self:
        """Choose open hyper-parameters, fit, and keep the result; x and y are checked arrays."""
        names = tuple(getattr(self, "feature_names_in_", [f"x{place}" for place in range(x.shape[1])]))
        described = self._description(names)
        problem = described.model.on(described.model.data_of(x, y, sample_weight, names=ColumnNames(x=names)))
        automatic = {name: float(vars(problem.loss)[name.partition(".")[2]]) for name in described.automatic}
        self.selection_: Selection | None = None
        if described.free or self.cv is not None or self._keeps_folds():
            method, groups = self._method(x, y, groups)
            self.selection_ = select(
                problem,
                described.free,
                method,
                self.search,
                metric=self.metric,
                groups=groups,
                seed=self._seed(),
                keep_folds=self._keeps_folds(),
                workers=None if self.n_jobs is None else effective_n_jobs(self.n_jobs),
            )
            problem = self.selection_.problem
        self.result_ = fit(problem, self.solver, self.tol)
        self.hyperparameters_ = {name: float(value) for name, value in problem.hyperparameters.items()} | automatic
        self.n_iter_ = self.result_.iterations
        if self.on_uncertified == "raise":
            self.result_.raise_for_status()
        elif self.result_.status is not Status.CERTIFIED:
            warnings.warn(self.result_.message, ConvergenceWarning, stacklevel=3)
        return self

    def _method(
        self, x: Array, y: Array, groups: ArrayLike | None
    ) -> tuple[str | Sequence[np.ndarray], ArrayLike | None]:
        """`method` and `groups` for `select`; a splitter has used the groups already."""
        if self.cv is None or isinstance(self.cv, str):
            return self.cv or "auto", groups
        if isinstance(self.cv, int | np.integer):
            return f"kfold:{self.cv}", groups
        return [np.asarray(held_out) for _, held_out in _splitter(self.cv).split(x, y, groups)], None

    def _seed(self) -> int:
        if self.random_state is None or isinstance(self.random_state, int | np.integer):
            return int(self.random_state or 0)
        return int(check_random_state(self.random_state).randint(LARGEST_SEED))

    def _new_rows(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        return checked_data(self, X, reset=False, dtype=np.float64)

    def _with_bound(self, x: Array, found: Array, return_bound: bool) -> Array | tuple[Array, Array]:
        """The prediction at rows x, and on request the proven bound of f, NaN where nothing is proven."""
        if not return_bound:
            return found
        bound = self.result_.bound(x)
        return found, np.full(len(x), np.nan) if bound is None else bound

    @property
    def certificate_(self) -> Certificate:
        """The proof of the fit's accuracy."""
        return self.result_.certificate

    @property
    def intercept_(self) -> float | Array:
        """The intercept, 0 without one; (levels,) for several quantiles."""
        return 0.0 if self.result_.intercept is None else self.result_.intercept

    @property
    def effective_degrees_of_freedom_(self) -> float | None:
        """Σ ∂f_i/∂y_i, see `Result.effective_degrees_of_freedom`."""
        return self.result_.effective_degrees_of_freedom

    @property
    def loo_score_(self) -> float | None:
        """The held-out error of the chosen setting; None if nothing was held out."""
        return None if self.selection_ is None else self.selection_.score

    @property
    def loo_predictions_(self) -> Array | None:
        """(n,), or (n, levels), the held-out linear predictor of every row; None if nothing was held out."""
        return None if self.selection_ is None else self.selection_.predictions


@dataclass(kw_only=True, eq=False, repr=False)
class KernelEstimator(PenalizedEstimator):
    """An estimator whose f is in the RKHS of a kernel."""

    kernel: str | Kernel = "rbf"
    gamma: Strengths = "auto"
    components: Components = None

    def _kernel(self) -> str | Kernel:
        return self.kernel

    def _components(self) -> Components:
        return self.components

    def _strengths(self) -> dict[str, Strengths]:
        return {"gamma": self.gamma, **super()._strengths()}

    @property
    def dual_coef_(self) -> Array | None:
        """α of f(x) = Σ α_i k(x_i, x) + intercept, (n,), or (n, levels); None for a sum, and without ridge."""
        return self.result_.dual_coef

    @property
    def components_(self) -> tuple[ComponentFit, ...]:
        """The components of a sum: name, columns, hyper-parameters, degrees of freedom, and fitted values (n,), of mean
        0 over the rows; () without `components`."""
        return self.result_.components

    def predict_components(self, X: ArrayLike) -> Array:
        """Every component of a sum at rows X (m, d), (m, components): with `intercept_` they add up to f.

        Raises `InputError` for a level of a categorical component that no fitted row has.
        """
        return self.result_.predict_components(self._new_rows(X))

    def _new_rows(self, X: ArrayLike) -> Array:
        rows = super()._new_rows(X)
        self.result_.check_levels(rows)
        return rows

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.kernel == Precomputed.name or isinstance(self.kernel, Precomputed)
        return tags
