"""What a fit returns: the solution, with what it explains, its figure and its model file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.design import Sum
from hw4opt.errors import InputError, NotCertifiedError, listed
from hw4opt.form.answer import Status
from hw4opt.form.canonicalize import canonicalize
from hw4opt.inference import (
    ERRORS,
    ComponentFit,
    StandardErrors,
    component_fits,
    component_values,
    degrees_of_columns,
    deviance_explained,
    effective_degrees_of_freedom,
    infer_from_residuals,
    r_squared,
)
from hw4opt.shapes.points import ShapePoint, lower_bound, shape_points
from hw4opt.solution import Solution
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_argument, checked
from hw4opt.validation.arrays import real_array
from hw4opt.validation.frozen import cached_property
from hw4opt.views import names_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CROSSING_ROUNDING = 1e-12  # of the largest fitted value: curves this close count as touching


@dataclass(frozen=True, eq=False, repr=False)
class Result(Solution):
    """The answer to a `Problem`; its fields, and what follows from them, are those of `Solution`."""

    def __repr__(self) -> str:
        return f"Result({self.status.word} by {self.solver}, {self.certificate})"

    def raise_for_status(self) -> Result:
        """Return self if certified; raise `NotCertifiedError` with the advice otherwise."""
        if self.status is not Status.CERTIFIED:
            raise NotCertifiedError(self.message)
        return self

    def coefficient_errors(self, errors: str | None = None) -> StandardErrors | None:
        """Standard errors of a linear design's coefficients, of likelihoods and of squared, Huber and quantile loss.

        errors    their kind, see `infer` and `hw4opt.inference.infer_from_residuals`; None: the loss's first

        None without a fit, for other losses, and for a kernel design. Raises `InputError` for a kind that the loss does
        not have.
        """
        if self.problem.kernel is not None or self.problem.curves > 1 or self.status is Status.NO_FINITE_MAXIMUM:
            return None
        if isinstance(self.problem.loss, Likelihood):
            return self.infer(errors or ERRORS[0])
        return infer_from_residuals(self.problem, self.w, self.rank, self.column_names, errors)

    @cached_property
    def effective_degrees_of_freedom(self) -> float | None:
        """Σ ∂f_i/∂y_i over the rows in use: `hw4opt.inference.effective_degrees_of_freedom`; None without a fit."""
        if self.status is Status.NO_FINITE_MAXIMUM:
            return None
        form = canonicalize(self.problem)
        return effective_degrees_of_freedom(form, self.w, self._duals_in(form)[0])

    @property
    def crossings(self) -> int:
        """The number of times, over the rows in use, that a curve lies below the previous one by more than rounding."""
        f = self.design.curve_values(self.w).reshape(len(self.design.base_x), -1)
        return int((np.diff(f, axis=1) < -CROSSING_ROUNDING * np.abs(f).max(initial=0.0)).sum())

    @cached_property
    def components(self) -> tuple[ComponentFit, ...]:
        """The components of a sum, centered over the rows in use; () for another design."""
        if not isinstance(self.problem.kernel, Sum):
            return ()
        degrees, form = None, canonicalize(self.problem)
        if self.status is not Status.NO_FINITE_MAXIMUM:
            degrees = degrees_of_columns(form, self.w, self._duals_in(form)[0])
        return component_fits(self.problem, self.w, names_of(self)[0], degrees)

    def check_levels(self, x: Array) -> None:
        """Raise `InputError` for the first row of x (m, d) with a level, of a categorical component, that no fitted row
        has."""
        kernel = self.problem.kernel
        for column in kernel.categorical_places if isinstance(kernel, Sum) else ():
            fitted = np.unique(self.problem.active_x[:, column])
            if (unseen := ~np.isin(x[:, column], fitted)).any():
                row, name = int(np.argmax(unseen)), names_of(self)[0][column]
                held = f"column {name!r} holds the level {x[row, column]:g} in row {row}"
                raise InputError(f"{held}; the levels fitted are {listed([f'{level:g}' for level in fitted])}")

    def predict_components(self, x: ArrayLike) -> Array:
        """Every component of a sum at new x (m, d), centered: with the intercept they add up to f.

        Shape (m, components), or (m, components, curves) for several curves.
        """
        return component_values(self.problem, self.w, real_array("x", x))

    @cached_property
    def r_squared(self) -> float | None:
        """R² over the rows in use, with their weights; None for likelihoods, for several curves, and if y is
        constant."""
        if isinstance(self.problem.loss, Likelihood) or self.problem.curves > 1:
            return None
        kept, weights = self._rows_in_use
        return r_squared(self.fitted[kept], self.problem.y[kept], weights)

    @cached_property
    def deviance_explained(self) -> float | None:
        """1 - deviance/deviance of the best constant, for a likelihood; None for residual losses, and without a fit."""
        if not isinstance(self.problem.loss, Likelihood) or self.status is Status.NO_FINITE_MAXIMUM:
            return None
        kept, weights = self._rows_in_use
        offset = None if self.problem.offset is None else self.problem.offset[kept]
        return deviance_explained(self.problem.loss, self.fitted[kept], self.problem.y[kept], weights, offset)

    @property
    def _rows_in_use(self) -> tuple[slice | np.ndarray, Array | None]:
        """The rows of weight above 0, and their weights."""
        kept = slice(None) if self.problem.active is None else self.problem.active
        return kept, None if self.problem.weights is None else self.problem.weights[kept]

    @property
    def shape_points(self) -> list[ShapePoint]:
        """The terms coef ∂^order/∂z^order k(z, x) that rows between the data add to f(x) = Σ α_i k(x_i, x)."""
        return shape_points(self.problem, self.duals)

    @property
    def lower_bound(self) -> float | None:
        """A lower bound of the objective over all functions of the basis with the shapes required at every x."""
        return lower_bound(self.problem, self.duals, self.certificate.dual_objective)

    def plot(self, axes: Axes | None = None, truth: Array | None = None) -> Axes:
        """Data, fit and (if given) truth on matplotlib axes; see `hw4opt.plotting.plot_fit`."""
        from hw4opt.plotting import plot_fit  # matplotlib is loaded when it is needed

        return plot_fit(self, axes, truth)

    @checked
    def save(self, path: str | Path) -> None:
        """Write one JSON file (arrays in base64), in one piece.

        Raises `InputError` for numbers that are not finite, and for a term or kernel of a user's class that cannot be
        imported.
        """
        from hw4opt.model_file import save  # deferred: importing json and hashlib takes as long as a small fit

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Read a model file; classes of a user's own are imported.

        Raises `ModelFileError` if it is damaged, of another kind, newer than this package, or if a class that it needs
        cannot be imported.
        """
        from hw4opt.model_file import load

        check_argument("path", path, "str | Path", {})
        solution = load(path)
        return cls(**{field.name: getattr(solution, field.name) for field in fields(solution)})
