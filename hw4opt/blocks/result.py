"""The result of a fit to rows in blocks: basis, w, certificate, and predictions. It holds no rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.between import Break
from hw4opt.design import Design
from hw4opt.errors import InputError, NotCertifiedError
from hw4opt.form.answer import Status
from hw4opt.problem import Model
from hw4opt.proof.certificate import Certificate
from hw4opt.proof.existence import Existence
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array
from hw4opt.validation.arrays import finite_array, finite_column

ADVICE = {  # in place of the advice to use another solver: rows in blocks have one
    Status.UNCERTIFIED: "the answer carries no proof; see the certificate's reason",
    Status.INACCURATE: "the gap is proven but above tolerance; raise `max_iterations`, or loosen `tol`",
    Status.ITERATION_LIMIT: "stopped at its limit; raise `max_iterations` or `time_limit`",
}


@dataclass(frozen=True, eq=False)
class BlocksResult:
    """The result of fitting a model to rows in blocks.

    w             (r,) coefficients in the basis, an intercept last, relative to `level`
    center, spread (d,): the design uses (x - center)/spread;  span (2, d)  smallest and largest x
    count         number of rows of positive weight
    largest       max k(x, x) over the rows (‖x‖² for a linear design)
    passes        number of reads of all rows;  iterations  Hessians evaluated;  seconds  wall time
    has_offset    whether the rows have an offset
    context       further entries of the model file
    existence     for likelihoods with unpenalised columns: whether there is a finite maximum
    columns       rank of the design;  solver  name of the solver
    breaks        where shape constraints fail between the rows; not stored in a model file
    """

    model: Model
    design: Design
    center: Array
    spread: Array
    span: Array
    level: float
    w: Array
    status: Status
    certificate: Certificate
    count: int
    largest: float
    iterations: int
    passes: int
    seconds: float
    has_offset: bool
    existence: Existence | None
    columns: int
    context: dict[str, Any] = field(default_factory=dict)
    note: str | None = None
    solver: str = "newton"
    breaks: tuple[Break, ...] = ()

    @property
    def message(self) -> str:
        """The status in words, with the reason if there is one."""
        advice, reason = ADVICE.get(self.status, self.status.value), self.note or self.certificate.reason
        return advice if reason is None else f"{advice}: {reason}"

    def raise_for_status(self) -> BlocksResult:
        """This result; raises `NotCertifiedError` if it is not certified."""
        if self.status is not Status.CERTIFIED:
            raise NotCertifiedError(self.message)
        return self

    @property
    def objective(self) -> float:
        """Σ ω_i ℓ(y_i, f_i) + all penalties."""
        return self.certificate.objective

    @property
    def coef(self) -> Array | None:
        """Coefficients of a linear design without the intercept, (d,), in units of the raw x; None for a kernel."""
        return self.w[: len(self.center)] / self.spread if self.model.kernel is None else None

    @property
    def intercept(self) -> float | None:
        """The intercept in units of the raw x, or None without one."""
        if not self.model.intercept:
            return None
        moved = self.coef @ self.center if self.coef is not None else 0.0
        return float(self.w[-1] + self.level - moved)

    def features(self, x: ArrayLike) -> Array:
        """New x in units of the design, (m, d). Raises `InputError` for another number of columns, and for numbers that
        are not finite."""
        x = finite_array("x", x)
        x = x[:, None] if x.ndim == 1 and len(self.center) == 1 else np.atleast_2d(x)
        if x.ndim != 2 or x.shape[1] != len(self.center):
            raise InputError(f"x has shape {x.shape}; the fit has {len(self.center)} columns")
        return (x - self.center) / self.spread

    def predict(self, x: ArrayLike) -> Array:
        """f (m,) at x (m,) or (m, d), without offset. Raises `InputError` as `features`."""
        return self.design.evaluate(self.features(x)) @ self.w + self.level

    def predict_mean(self, x: ArrayLike, offset: ArrayLike | None = None) -> Array:
        """The expected target (m,) at x (m,) or (m, d); for residual losses it is f. Raises `InputError` as `features`,
        and unless `offset` (m,) is given exactly if the fit had one."""
        if (offset is None) != (not self.has_offset):
            raise InputError("the fit had an offset; give offset" if self.has_offset else "the fit had no offset")
        z = self.predict(x)
        z = z if offset is None else z + finite_column("offset", offset, len(z))
        return self.model.loss.mean(z) if isinstance(self.model.loss, Likelihood) else z

    def bound(self, x: ArrayLike) -> Array | None:
        """Proven bound of |f̂(x) - f*(x)| at x, (m,), for f without its intercept; None if nothing is proven."""
        norm_bound = self.certificate.norm_bound
        return None if norm_bound is None else np.sqrt(self.design.diagonal(self.features(x))) * norm_bound

    @property
    def prediction_error_bound(self) -> float | None:
        """The largest bound over the rows."""
        norm_bound = self.certificate.norm_bound
        return None if norm_bound is None else float(np.sqrt(self.largest)) * norm_bound
