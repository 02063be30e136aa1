"""A regression in words together with data. Immutable; knows no algebra and no solver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.design import AdditiveDesign, Design, Sum
from hw4opt.errors import InputError, shown
from hw4opt.kernels import Kernel, Precomputed
from hw4opt.problem import checks
from hw4opt.problem.additive import Additive, placed
from hw4opt.problem.data import ColumnNames, Data
from hw4opt.problem.held_out_fits import HeldOutFits
from hw4opt.problem.hyperparameters import HyperparameterKey, column_key
from hw4opt.problem.measured import MeasuredData
from hw4opt.problem.model import Model
from hw4opt.terms import Loss, ShapeRows, Smooth, Term, functionals_of
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked
from hw4opt.validation.arrays import ReadOnly, finite_array
from hw4opt.validation.frozen import cached_property, set_fields, unchecked

MODEL_FIELDS = tuple(one.name for one in fields(Model))


def _joined(model: Model, data: Data) -> tuple[Model, MeasuredData]:
    """Model and data, checked against each other, with every parameter as a number."""
    is_gram = isinstance(model.kernel, Precomputed)
    measured = MeasuredData(data, is_gram, model.kernel is None, model.intercept, model.standardize)
    checks.check_targets(model.loss, measured)
    checks.check_design(model.kernel, model.terms, measured)
    changes: dict[str, Any] = {}
    if (loss := model.loss.settle(lambda: measured.noise)) is not model.loss:
        changes["loss"] = loss
    if type(model.kernel) is Sum:
        changes["kernel"] = placed(model.kernel, data.names.x, measured.active_x)
    return replace(model, **changes) if changes else model, measured


def problem_of(model: Model, data: Data) -> Problem:
    """The problem of fitting the model to the data; see `Model.on`."""
    return unchecked(Problem, **_fields(*_joined(model, data)))


def _fields(model: Model, measured: MeasuredData) -> dict[str, Any]:
    """The fields of the problem: its halves, and their parts."""
    data = measured.data
    parts = {name: getattr(model, name) for name in MODEL_FIELDS}
    columns = {name: getattr(data, name) for name in ("x", "y", "weights", "offset", "names")}
    return {"model": model, "data": data, "_measured": measured, **parts, **columns}


@dataclass(frozen=True, eq=False, init=False)
class Problem(ReadOnly):
    """minimise over f   Σ_i ω_i loss(f(x_i) + o_i, y_i) + Σ regularizers(f),  subject to the constraints.

    x            (n,) or (n, d), as `arrays.real_array` takes numbers; for `Precomputed()`, the Gram matrix (n, n)
    y            (n,) targets
    kernel       a `Kernel`: f is in its RKHS;  None: a linear design f(x) = ⟨w, x⟩;  `Additive([…])`: a sum
    loss         one `Loss`; residual losses act on f(x_i) + o_i - y_i. `Huber("auto")` gets its delta here
    regularizers, constraints    sequences of terms, no two of one name and column; without `Ridge` its weight is 0
    weights      (n,) ω ≥ 0 of the rows' losses; weight 0 (below 1e-60 of the largest) removes the row from everything
    offset       (n,) o, added to f in the loss; tv, bounds and shapes act on f itself
    intercept    one more, unpenalised column of ones
    standardize  measure every x column from its mean (from 0 in a linear design without intercept) in units of its
                 standard deviation; gamma is then in those units, and a constant column keeps its own
    names        of the columns

    `model` and `data` are its two halves; `shape_rows` are those of shapes at every x (`with_shape_rows`).
    Raises `InputError`, whose message names what is wrong.
    """

    x: Array
    y: Array
    kernel: Kernel | None
    loss: Loss
    regularizers: tuple[Term, ...]
    constraints: tuple[Term, ...]
    weights: Array | None
    offset: Array | None
    intercept: bool
    standardize: bool
    names: ColumnNames = field(repr=False)
    model: Model = field(init=False, repr=False)
    data: Data = field(init=False, repr=False)
    _measured: MeasuredData = field(init=False, repr=False)
    shape_rows: tuple[ShapeRows, ...] = field(default=(), init=False, repr=False)
    held_out: HeldOutFits | None = field(init=False, repr=False, default=None)  # `attached_to` sets it

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        kernel: Kernel | Additive | None = None,
        loss: Loss | None = None,
        regularizers: Sequence[Term] = (),
        constraints: Sequence[Term] = (),
        weights: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        intercept: bool = False,
        standardize: bool = False,
        names: ColumnNames | None = None,
    ) -> None:
        model = Model(kernel, loss, regularizers, constraints, intercept, standardize)
        data = model.data_of(x, y, weights, offset, names)
        set_fields(self, **_fields(*_joined(model, data)))

    @property
    def terms(self) -> tuple[Term, ...]:
        """Loss, regularizers except ridge, constraints, shape rows: all that becomes rows of the form."""
        return (*self.model.terms, *self.shape_rows)

    @property
    def ridge(self) -> float:
        """The weight of the ridge, 0 without one."""
        return self.model.ridge

    @property
    def curves(self) -> int:
        """The number of curves fitted together: one, except for a loss of several levels."""
        return self.model.curves

    @property
    def active(self) -> np.ndarray | None:
        """The rows with a weight above 0, or None for all of them."""
        return self.data.active

    @property
    def active_x(self) -> Array:
        """The rows of x with a weight above 0 (and of a precomputed Gram matrix, the columns too)."""
        return self._measured.active_x

    @property
    def noise(self) -> float:
        """A robust size of the noise in y (less the offset) over the rows in use, in units of y; 1 if all are equal."""
        return self._measured.noise

    @property
    def scaling(self) -> tuple[Array, Array]:
        """Center and spread of the x columns, as the design measures them."""
        return self._measured.scaling

    @property
    def level(self) -> float:
        """The origin of a free intercept: a median of the targets for a residual loss, else 0.

        The fit is w[-1] + level + …, so that residuals keep their digits however large the level of y is.
        """
        return 0.0 if not self.intercept or isinstance(self.loss, Smooth) else self._measured.median_target

    def features(self, x: ArrayLike) -> Array:
        """New x in the units of the design, shape (m, d); raises `InputError` for another number of columns."""
        x = finite_array("x", x)
        x = x[:, None] if x.ndim == 1 and self.x.shape[1] == 1 else np.atleast_2d(x)
        if x.ndim != 2:
            raise InputError(f"x has shape {x.shape}; give (m,) or (m, d)")
        if x.shape[1] != self.x.shape[1]:
            raise InputError(f"x has {x.shape[1]} columns; the fit has {self.x.shape[1]}")
        if isinstance(self.kernel, Precomputed):
            return x if self.active is None else x[:, self.active]
        return self._measured.measure(x)

    @cached_property
    def design(self) -> Design:
        """The data's functionals and reduced basis; problems made by `with_hyperparameters` share it."""
        spread = self.scaling[1] if self.standardize else None
        parts = (self._measured.x, self.kernel, self.intercept, self.model.slopes, None, spread)
        parts = (*parts, functionals_of(self.shape_rows), self.model.curves)
        return AdditiveDesign(*parts, self.model.acting) if type(self.kernel) is Sum else Design(*parts)

    def share_design(self, design: Design) -> None:
        """Use a design that was built for the same rows, kernel and functionals."""
        held_out = None if self.held_out is None else self.held_out.over(self.design, design)
        set_fields(self, design=design, held_out=held_out)

    @property
    def hyperparameters(self) -> dict[str, float]:
        """gamma and every term weight by name; a kernel design always has gamma and ridge."""
        named = {place: name for name, place in self._gamma_places.items()}
        return {named.get(name, name): value for name, value in self.model.hyperparameters.items()}

    @property
    def _gamma_places(self) -> dict[str, str]:
        """gamma.dose → gamma.0, … where there is one gamma per column and columns have names."""
        if self.kernel is None or not self.kernel.gammas or self.names.x is None:
            return {}
        return {column_key(name): column_key(place) for place, name in enumerate(self.names.x)}

    def gamma_column(self, name: str) -> int | None:
        """The index of the column whose gamma a hyper-parameter is; None for the gamma of all columns."""
        place = HyperparameterKey.parse(self._gamma_places.get(name, name)).column
        return None if place is None else int(place)

    def settled(self, name: str, value: float) -> float:
        """The value that `with_hyperparameters` will use: whole-number parameters are rounded."""
        return self.model.settled(name, value)

    def owner_of(self, name: str) -> tuple[Problem, str]:
        """The problem that a hyper-parameter belongs to, and its name there: for one of a component, the problem of
        that component alone."""
        component, own = self.model.owner_of(name)
        if component is None or type(self.kernel) is not Sum:
            return self, name
        data, columns = self.data, self.kernel.summand(component).places
        parts = (data.x[:, columns], data.y, data.weights, data.offset)
        return self.model.component(component).on(Data(*parts)), own

    @checked
    def with_hyperparameters(self, values: Mapping[str, float]) -> Problem:
        """The same problem at other values of gamma, term weights, or `term.parameter` (`huber.delta`).

        The data are shared, and the design where the kernel is the same.
        """
        places = self._gamma_places
        for name in values:
            if name.startswith(column_key("")) and name not in (places or self.hyperparameters):
                raise InputError(f"no hyper-parameter {shown(name)}; there are {', '.join(self.hyperparameters)}")
        model = self.model.with_hyperparameters({places.get(name, name): value for name, value in values.items()})
        problem = unchecked(Problem, **_fields(model, self._measured))  # the data were checked with this problem
        if model.kernel == self.kernel and model.slopes == self.model.slopes:
            problem.share_design(self.design)
        return problem
