"""The solution of a problem: the point, its duals, its certificate, and predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.design import Design, Sum
from hw4opt.errors import InputError
from hw4opt.form import Form, TermRows
from hw4opt.form.answer import Status
from hw4opt.form.canonicalize import canonicalize
from hw4opt.inference import ERRORS, Inference, component_means, infer, intervals
from hw4opt.kernels import Precomputed
from hw4opt.problem import ColumnNames, Problem
from hw4opt.proof import separation
from hw4opt.proof.certificate import Certificate, certify
from hw4opt.proof.existence import Existence
from hw4opt.shapes.proof import ShapeProof
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked
from hw4opt.validation.arrays import ReadOnly, finite_column, read_only
from hw4opt.validation.frozen import cached_property, set_fields


@dataclass(frozen=True, eq=False, repr=False)
class Solution(ReadOnly):
    """The answer to a `Problem`; its arrays are locked.

    w            (r,) point in the reduced basis, an intercept last, relative to `problem.level`; see `predict` for f
    duals        u_k of every term by its label (name, or name:column=j for a slope), u_k ∈ ∂f_k at the answer, unscaled
    status       how the fit ended; its value is the advice in words
    certificate  the proof
    seconds      of the solver alone
    note         the solver's message, if it failed
    context      further entries of a model file: names of the columns by role, as in `ColumnNames.as_dict`, which
                 override those of the data, and any JSON values
    existence    for counts: whether the likelihood has a finite maximum, and if not, which rows prevent it
    columns      independent columns of the basis, if the solver found them
    shapes       the proofs of constraints that are to hold at every x
    """

    problem: Problem
    solver: str
    status: Status
    certificate: Certificate
    w: Array
    duals: Mapping[str, Array]
    iterations: int
    seconds: float
    note: str | None = None
    context: dict[str, Any] = field(default_factory=dict)
    existence: Existence | None = None
    columns: int | None = None
    shapes: tuple[ShapeProof, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.w, *self.duals.values()):
            array.setflags(write=False)
        set_fields(self, duals=MappingProxyType(dict(self.duals)))

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"duals": dict(self.duals), "status": self.status.name}  # types that pickle can store

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state | {"duals": MappingProxyType(state["duals"]), "status": Status[state["status"]]})

    @property
    def message(self) -> str:
        """The advice: the status in words, with the solver's note or the certificate's reason, if any."""
        reason = self.note or self.certificate.reason
        if self.existence is not None and self.status is Status.NO_FINITE_MAXIMUM:
            reason = self.existence_sentence
        return self.status.value if reason is None else f"{self.status.value}: {reason}"

    @property
    def existence_sentence(self) -> str | None:
        """The rows that prevent a finite maximum, and the columns along which they do; None if there are none."""
        if self.existence is None or self.existence.finite or not isinstance(self.problem.loss, Likelihood):
            return None
        return self.existence.sentence(self.column_names, float(self.problem.loss.mean(np.array([-np.inf]))[0]))

    @property
    def objective(self) -> float:
        """Σ ω_i ℓ(y_i, f_i) + every penalty."""
        return self.certificate.objective

    @property
    def design(self) -> Design:
        """The data's functionals and reduced basis."""
        return self.problem.design

    @property
    def rank(self) -> int:
        """Independent columns: of the reduced basis, or of a linear design, less those found to be collinear."""
        return len(self.w) if self.columns is None else self.columns

    @property
    def names(self) -> ColumnNames:
        """The names of the data's columns, if known."""
        return self.problem.data.names.updated(self.context)

    @property
    def column_names(self) -> list[str]:
        """The names of the design's columns: the features of a linear design, "(intercept)" last."""
        count = self.problem.x.shape[1] if self.problem.kernel is None else len(self.w) - self.problem.intercept
        given = self.names.x if self.problem.kernel is None else None
        intercept = ["(intercept)"] if self.problem.intercept else []
        return [*(given or [f"column {j}" for j in range(count)]), *intercept]

    @cached_property
    def fitted(self) -> Array:
        """Linear predictor (with offset) of every input row, weight 0 included: (n,), or (n, curves) for several."""
        if self.problem.active is None:
            base = self.design.curve_values(self.w)
            f = self.problem.level + (base if self.design.row_of is None else base[self.design.row_of])
        else:
            f = self.predict(self.problem.x)
        return read_only(f if self.problem.offset is None else (f.T + self.problem.offset).T)

    @property
    def mean(self) -> Array | None:
        """The expected targets (logistic: probabilities of y = 1), or None for residual losses."""
        return self.problem.loss.mean(self.fitted) if isinstance(self.problem.loss, Likelihood) else None

    @cached_property
    def inference(self) -> Inference | None:
        """Log-likelihood, deviance and standard errors of a likelihood; None for residual losses and without a fit."""
        return self.infer()

    def infer(self, errors: str = ERRORS[0]) -> Inference | None:
        """`inference` with standard errors of another kind: information, dispersion or sandwich.

        See `hw4opt.inference.infer`. Raises `InputError` for another word.
        """
        if not isinstance(self.problem.loss, Likelihood) or self.status is Status.NO_FINITE_MAXIMUM:
            return None
        return infer(self.problem, self.w, self.rank, self.column_names, errors)

    @property
    def coef(self) -> Array | None:
        """Coefficients of a linear design, intercept excluded, in units of the raw x: (d,), or (d, curves)."""
        if self.problem.kernel is not None:
            return None
        return (self.design.of_curves(self.w)[: self.problem.x.shape[1]].T / self.problem.scaling[1]).T

    @property
    def intercept(self) -> float | Array | None:
        """The intercept, or None without one; (curves,) for several curves; for a sum it includes the means of the
        components, which are centered."""
        if not self.problem.intercept:
            return None
        problem, w, linear = self.problem, self.design.of_curves(self.w), self.problem.kernel is None
        center, spread = problem.scaling
        shift = -w[:-1].T @ (center / spread) if linear else component_means(problem, self.w).sum(axis=0)
        found = w[-1] + shift + problem.level
        return float(found) if problem.curves == 1 else found

    @cached_property
    def dual_coef(self) -> Array | None:
        """α = -(Σ_k S_kᵀ u_k)/(2 ridge), one entry per input row: f(x) = Σ α_i k(x_i, x); (n, curves) for several.

        None for a linear design, a sum, or ridge 0. Of rows with equal x the first has the sum of their entries, the
        others 0; rows of weight 0 have 0. Slope constraints add kernel derivatives to f.
        """
        if self.problem.kernel is None or isinstance(self.problem.kernel, Sum) or self.problem.ridge == 0:
            return None
        form = canonicalize(self.problem)
        size = len(self.design.matrix)
        spread = sum((term.map.spread(self._dual_of(term), size) for term in form.terms), np.zeros((1, size)))
        alpha = self.design.dual_coef(spread[0], self.problem.ridge)
        if self.problem.active is None:
            return read_only(alpha)
        out = np.zeros((len(self.problem.y), *alpha.shape[1:]))
        out[self.problem.active] = alpha
        return read_only(out)

    def predict(self, x: ArrayLike) -> Array:
        """f at new x (m,) or (m, d), without offset, shape (m,), or (m, curves) for several curves.

        If separated rows were dropped, it is the limit along which the likelihood increases: -inf or inf at x that
        diverge with them, NaN where the limit is undetermined (hw4opt.proof.separation).
        """
        f = self.design.apply(self.design.evaluate(self.problem.features(x)), self.w) + self.problem.level
        return f + self.drift(x) if self.is_without_separated_rows else f

    @property
    def is_without_separated_rows(self) -> bool:
        """Whether this is a fit without the rows that prevent a finite maximum."""
        return self.existence is not None and not self.existence.finite and self.status is not Status.NO_FINITE_MAXIMUM

    def drift(self, x: ArrayLike) -> Array:
        """The limit of dropped separated rows, added to f at new x, (m,): 0, -inf, inf, or NaN where undetermined."""
        features = self.problem.features(x)
        if not self.is_without_separated_rows or self.existence is None or self.problem.active is None:
            return np.zeros(len(features))
        parts = (self.problem.active, list(self.existence.rows))
        kept, dropped = (self.design.evaluate(self.problem.features(self.problem.x[part])) for part in parts)
        return separation.drift(kept, dropped, self.design.evaluate(features))

    def predict_mean(self, x: ArrayLike, offset: ArrayLike | None = None) -> Array:
        """The expected target at new x, shape (m,); for residual losses that is f.

        `offset` (m,) is needed if the fit had one. Raises `InputError` if it is missing.
        """
        if (offset is None) != (self.problem.offset is None):
            raise InputError(
                "the fit had an offset; give offset, one entry per row"
                if offset is None
                else "the fit had no offset; drop offset"
            )
        z = self.predict(x)
        z = z if offset is None else (z.T + finite_column("offset", offset, len(z))).T
        return self.problem.loss.mean(z) if isinstance(self.problem.loss, Likelihood) else z

    @checked
    def predict_interval(
        self,
        x: ArrayLike,
        level: float | Sequence[float] = 0.9,
        method: str = "plus",
        offset: ArrayLike | None = None,
    ) -> tuple[Array, Array]:
        """Points (m,), as `predict_mean` gives, and intervals (m, 2, levels), lower and upper, of new targets at x.

        They come from the exact fits m_i without each fold, which `select(…, keep_folds=True)` keeps. Row i of n has
        the held-out error e_i = |y_i - m_i(x_i)|, of counts on the scale of the mean; k = ⌈level (n + 1)⌉.

        base      m(x) ± the k-th smallest e_i, with the fit m of all rows
        plus      from the (n + 1 - k)-th smallest m_i(x) - e_i to the k-th smallest m_i(x) + e_i: jackknife+ with
                  leave-one-out, CV+ with K folds. (For a level below 0.5, lower may lie above upper.)
        minmax    from min_i m_i(x) - to max_i m_i(x) + the k-th smallest e_i; it contains plus

        A new target lies inside with a probability, over rows and target, of at least (α = 1 - level)

        base      nothing is guaranteed
        plus      1 - 2α with leave-one-out, 1 - 2α - √(2/n) with K folds of one size
        minmax    1 - α with leave-one-out, that of plus with K folds

        if rows and target are exchangeable, weights are equal, and no hyper-parameter is taken from these rows: gamma,
        weights, `Huber("auto")` and the scale of `standardize` included. After choosing on the same rows, coverage is
        only measured: bench/results/coverage.md. It is an average over x, not a guarantee at each x. Nothing is
        guaranteed if rows were held out together by group or by x. Rows of weight 0 take no part; others count equally.

        `offset` (m,) is needed if the fit had one. Raises `InputError` for a result without held-out fits, for a
        level that needs more rows (0.9: 9 or more), and for losses of labels.
        (Barber, Candès, Ramdas and Tibshirani 2021.)
        """
        problem = self.problem
        if (refused := intervals.refusal(problem.loss)) is not None:
            raise InputError(refused)
        if problem.held_out is None:
            raise InputError(
                "this result has no held-out fits; choose with select(…, keep_folds=True) and fit its problem"
            )
        levels = intervals.checked_levels(level, len(problem.held_out.fold_of))
        points = self.predict_mean(x, offset)
        rows = self.design.evaluate(problem.features(x))
        offsets = None if offset is None else finite_column("offset", offset, len(points))
        return points, intervals.interval_ends(problem, rows, points, offsets, levels, method)

    def bound(self, x: ArrayLike) -> Array | None:
        """Proven |f̂(x) - f*(x)| at new x, shape (m,), of every curve: √(k(x,x)) times the certificate's norm bound.

        None if nothing is proven. With an intercept it bounds f without the intercept, which has no penalty, so that
        several values may be optimal.
        """
        x = self.problem.features(x)
        if self.certificate.norm_bound is None or isinstance(self.problem.kernel, Precomputed):
            return None  # kernel rows of new points do not include k(x, x)
        return np.sqrt(self.design.reach(x, self.problem.model.ridges)) * self.certificate.norm_bound

    @property
    def prediction_error_bound(self) -> float | None:
        """The largest bound over the data rows; with an intercept, of f without it."""
        if self.certificate.norm_bound is None:
            return None
        x = self.design.x
        if self.problem.active is not None and not isinstance(self.problem.kernel, Precomputed):
            x = self.problem.features(self.problem.x)
        return float(np.sqrt(self.design.reach(x, self.problem.model.ridges).max())) * self.certificate.norm_bound

    def verify(self) -> Certificate:
        """The certificate computed again from the problem, w and duals, without the stored one."""
        form = canonicalize(self.problem)
        return certify(form, self.w[None], self._duals_in(form)).certificates[0]

    def _duals_in(self, form: Form) -> Array:
        """The duals in the order of the form's rows, (1, M)."""
        return form.split_duals([self._dual_of(term) for term in form.terms])

    def _dual_of(self, rows: TermRows) -> Array:
        """The dual of these rows, (1, m): the sum over the terms that share them."""
        return np.sum([self.duals[name] for name in rows.names], axis=0)[None]
