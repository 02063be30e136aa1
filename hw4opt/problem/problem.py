"""The description of a regression, in words: data, kernel, loss, regularizers, constraints. Immutable; knows no algebra and no solver."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.design import Design, with_room
from hw4opt.errors import InputError, shown
from hw4opt.kernels import Kernel, Precomputed
from hw4opt.losses.squared import Squared
from hw4opt.problem.noise import noise_size
from hw4opt.regularizers.ridge import Ridge
from hw4opt.terms import Coefficients, Loss, PiecewiseQuadratic, Slope, Smooth, Term, Values, registry
from hw4opt.terms.base import Array
from hw4opt.terms.requirements import class_fault, term_fault
from hw4opt.validation.arguments import check_argument, checked, is_finite
from hw4opt.validation.arrays import ReadOnly, check_gram, finite_array, finite_column, read_only

NO_WEIGHT = 1e-60  # of the largest: below, a row's loss is lost in the rounding of the others'
FAR_FROM_ZERO = (
    4.0  # ranges of a column: from there on an intercept makes up for a center, so that differences keep their digits
)


@dataclass(frozen=True, eq=False, init=False)
class Problem(ReadOnly):
    """minimise over f   Σ_i ω_i loss(f(x_i) + o_i, y_i) + Σ regularizers(f),  subject to the constraints.

    x            (n,) or (n, d), finite real numbers as `arrays.real_array` takes them; for `Precomputed()`, the Gram matrix (n, n)
    y            (n,) targets
    kernel       a `Kernel`: f is in its RKHS;  None: a linear design f(x) = ⟨w, x⟩
    loss         one `Loss`; residual losses act on f(x_i) + o_i - y_i. `Huber("auto")` gets its delta here
    regularizers, constraints    sequences of terms, no two of one name and column; a problem without `Ridge` has ridge weight 0
    weights      (n,) ω ≥ 0 of the rows' losses; weight 0 (below 1e-60 of the largest) removes the row before anything is built
    offset       (n,) o, added to f in the loss; tv, bounds and shapes act on f itself
    intercept    one more, unpenalised column of ones
    standardize  measure every x column from its mean (from 0 in a linear design without intercept) in units of its standard deviation;
                 gamma is then in those units, and a constant column keeps its own

    Raises `InputError`, whose sentence names what is wrong.
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

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        kernel: Kernel | None = None,
        loss: Loss | None = None,
        regularizers: Sequence[Term] = (),
        constraints: Sequence[Term] = (),
        weights: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        intercept: bool = False,
        standardize: bool = False,
    ) -> None:
        for name, flag in (("intercept", intercept), ("standardize", standardize)):
            check_argument(name, flag, "bool", {})
        plain = kernel is None and weights is None and not standardize
        x, y = (
            finite_array("x", x, (lambda values: with_room(values, intercept)) if plain else np.array),
            finite_array("y", y),
        )
        shapes = x.shape, y.shape
        x = x[:, None] if x.ndim == 1 else x
        if x.ndim != 2 or y.ndim != 1 or len(x) != len(y):
            raise InputError(f"x has shape {shapes[0]} and y {shapes[1]}; give x (n,) or (n, d) and y (n,)")
        if len(y) < 2:
            raise InputError(f"there is {'one row' if len(y) == 1 else 'no row'}; a regression needs at least two")
        given_columns = (("weights", weights), ("offset", offset))
        columns = {name: None if given is None else finite_column(name, given, len(y)) for name, given in given_columns}
        for name, given in (("regularizers", regularizers), ("constraints", constraints)):
            if not isinstance(given, Iterable) or isinstance(given, str | np.ndarray):
                raise InputError(f"{name} is {shown(given)}; give a list of them, as in [{shown(given)}]")
        settled = {"x": x, "y": y, "kernel": kernel, "loss": Squared() if loss is None else loss, **columns}
        settled |= {
            "regularizers": tuple(regularizers),
            "constraints": tuple(constraints),
            "intercept": bool(intercept),
            "standardize": bool(standardize),
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)
        self._settle_weights()
        self._check_terms()
        self._check_design()
        object.__setattr__(self, "loss", self.loss.settle(lambda: self.noise))
        if fault := next((said for term in self.terms if (said := term_fault(term)) is not None), None):
            raise InputError(fault)

    def _settle_weights(self) -> None:
        if self.weights is None:
            return
        if self.weights.min() < 0:
            row = int(np.argmin(self.weights))
            raise InputError(f"weights holds {self.weights[row]:g} in row {row}; weights must be 0 or more", row)
        tiny = (self.weights < NO_WEIGHT * self.weights.max()) & (self.weights > 0)
        if tiny.any():
            object.__setattr__(self, "weights", finite_array("weights", np.where(tiny, 0.0, self.weights)))
        if np.count_nonzero(self.weights) < 2:
            raise InputError("fewer than two rows have a weight above 0; a regression needs at least two")

    def _check_terms(self) -> None:
        if not (self.kernel is None or isinstance(self.kernel, Kernel)):
            raise InputError(
                f"kernel is {shown(self.kernel)}; give one of hw4opt's kernels, as in RBF(gamma=80), or None for a linear design"
            )
        if not isinstance(self.loss, Loss):
            raise InputError(f"loss is {shown(self.loss)}; give one of hw4opt's losses, as in Huber(delta=1)")
        for term in (*self.regularizers, *self.constraints):
            if not isinstance(term, Term) or isinstance(term, Loss):
                raise InputError(f"{shown(term)} is no regularizer or constraint")
        self._check_names()
        conflict(self.constraints)
        if isinstance(self.loss, Smooth):
            kept = (
                self.y
                if self.active is None
                else np.where(np.asarray(self.weights) > 0, self.y, self.y[self.active[0]])
            )
            self.loss.check_targets(kept)

    def _check_names(self) -> None:
        """Every class has a name, no two terms have one label, and none is given in the place of another kind."""
        labels: set[str] = set()
        for owner in (self.kernel, self.loss, *self.regularizers, *self.constraints):
            if owner is None:
                continue
            if fault := class_fault(type(owner)):
                raise InputError(fault)
            if owner.name == "gamma" or (owner.name == "ridge" and not isinstance(owner, Ridge)):
                raise InputError(
                    f"the name {owner.name!r} of the class {type(owner).__name__} is taken; give it another one"
                )
            if owner.label in labels:
                raise InputError(
                    f"{owner.label} is given twice; a problem holds each term once (bounds:lower=0,upper=1 sets both bounds)"
                )
            labels.add(owner.label)
        for terms, kind, other in (
            (self.regularizers, "regularizer", "constraint"),
            (self.constraints, "constraint", "regularizer"),
        ):
            for term in terms:
                if registry.is_registered(other, term):
                    raise InputError(f"{term.name} is no {kind}; give it in {other}s, as in {other}s=[{term!r}]")

    def _check_design(self) -> None:
        if isinstance(self.kernel, Precomputed):
            check_gram(self.x)
            if self.standardize:
                raise InputError(
                    "standardize measures columns of x, and a precomputed kernel has none: standardize before computing it"
                )
        x = self.active_x
        if self.kernel is not None and not isinstance(self.kernel, Precomputed) and np.all(x == x[0]):
            raise InputError("x is constant; a kernel design needs at least two different x")
        for term in self.terms:
            if isinstance(term.acts, Slope) and not 0 <= term.acts.column < x.shape[1]:
                raise InputError(
                    f"{term.name}: column {term.acts.column} does not exist; there are {x.shape[1]} x columns, counted from 0"
                )

    @property
    def terms(self) -> tuple[Term, ...]:
        """Loss, regularizers but ridge, constraints: everything that becomes rows of the form."""
        return (self.loss, *(term for term in self.regularizers if not isinstance(term, Ridge)), *self.constraints)

    @property
    def ridge(self) -> float:
        """The weight of the ridge, 0 without one."""
        return next((float(term.weight) for term in self.regularizers if isinstance(term, Ridge)), 0.0)

    @cached_property
    def active(self) -> np.ndarray | None:
        """The rows with a weight above 0, or None for all of them."""
        if self.weights is None or self.weights.min() > 0:
            return None
        return read_only(np.flatnonzero(self.weights))

    @cached_property
    def noise(self) -> float:
        """A robust size of the noise in y (less the offset) over the rows in use, in units of y; 1 where those are all equal."""
        kept = slice(None) if self.active is None else self.active
        y = self.y[kept] if self.offset is None else self.y[kept] - self.offset[kept]
        return noise_size(self.active_x, y) or 1.0

    @property
    def active_x(self) -> Array:
        """The rows of x with a weight above 0 (and of a precomputed Gram matrix, the columns too)."""
        if self.active is None:
            return self.x
        return self.x[np.ix_(self.active, self.active)] if isinstance(self.kernel, Precomputed) else self.x[self.active]

    @cached_property
    def scaling(self) -> tuple[Array, Array]:
        """Center and spread of the x columns: mean and standard deviation with `standardize`, else 0 and 1.

        A column of a linear design with intercept that lies farther from 0 than its range allows for is measured from its middle: the
        intercept makes up for it, and the fit is the same but for rounding.
        """
        x = self.active_x
        if not self.standardize:
            return read_only((self._far_centers(x), np.ones(x.shape[1])))
        spread = x.std(axis=0)
        center = np.zeros(x.shape[1]) if self.kernel is None and not self.intercept else x.mean(axis=0)
        return read_only(
            (center, np.where(np.ptp(x, axis=0) > 0, spread, 1.0))
        )  # of a constant column, the rounding of its mean

    def _far_centers(self, x: Array) -> Array:
        if self.kernel is not None or not self.intercept:
            return np.zeros(x.shape[1])
        low, high = x.min(axis=0), x.max(axis=0)
        far = np.maximum(np.abs(low), np.abs(high)) > FAR_FROM_ZERO * (high - low)
        return np.where(far, low + 0.5 * (high - low), 0.0)

    @cached_property
    def level(self) -> float:
        """What a free intercept is measured from: a median of the targets of a residual loss, else 0.

        The fit is w[-1] + level + …: however large the level of y is, residuals keep the digits of its spread.
        """
        if not self.intercept or isinstance(self.loss, Smooth):
            return 0.0
        targets = self.y if self.offset is None else self.y - self.offset
        targets = targets if self.active is None else targets[self.active]
        middle = (len(targets) - 1) // 2
        return float(np.partition(targets, middle)[middle])

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
        return self._measured(x)

    def _measured(self, x: Array) -> Array:
        """x in the units of the design."""
        center, spread = self.scaling
        if self.standardize:
            return (x - center) / spread
        return x - center if center.any() else x

    @cached_property
    def design(self) -> Design:
        """The data's functionals and reduced basis; problems made by `replace` with other terms share it."""
        slopes = sorted({term.acts.column for term in self.terms if isinstance(term.acts, Slope)})
        spread = self.scaling[1] if self.standardize else None
        return Design(self._measured(self.active_x), self.kernel, self.intercept, tuple(slopes), spread=spread)

    def share_design(self, design: Design) -> None:
        """Use a design that was built for the same rows, kernel and functionals."""
        self.__dict__["design"] = design

    @property
    def hyperparameters(self) -> dict[str, float]:
        """gamma and every term weight by name; a kernel design always has gamma and ridge."""
        found: dict[str, float] = (
            {} if self.kernel is None or isinstance(self.kernel, Precomputed) else {"gamma": self.kernel.gamma}
        )
        if self.kernel is not None:
            found["ridge"] = self.ridge
        return found | {term.label: getattr(term, "weight") for term in self.regularizers if hasattr(term, "weight")}  # noqa: B009

    @checked
    def settled(self, name: str, value: float) -> float:
        """The value that `with_hyperparameters` takes for this one: whole-number parameters are rounded."""
        owner_name, _, parameter = name.partition(".")
        owners: list[Any] = [one for one in (*self.terms, self.kernel) if one is not None and one.label == owner_name]
        whole = any(
            _is_whole(field) for owner in owners for field in dataclasses.fields(owner) if field.name == parameter
        )
        return float(round(value)) if whole and is_finite(value) else value

    @checked
    def with_hyperparameters(self, values: Mapping[str, float]) -> Problem:
        """The same problem at other values of gamma, term weights, or `term.parameter` (`huber.delta`)."""
        terms = {term.label: term for term in (self.loss, *self.regularizers, *self.constraints)}
        kernel = None if isinstance(self.kernel, Precomputed) else self.kernel
        for name, value in values.items():
            if isinstance(value, str):  # a parameter that follows the data was settled when the problem was made
                raise InputError(f"{name} is {shown(value)}; it must be a number")
            owner, _, parameter = name.partition(".")
            if kernel is not None and (name == "gamma" or owner == kernel.name):
                kernel = _with(kernel, parameter or "gamma", value, name)
            elif owner in terms or owner == "ridge":
                terms[owner] = _with(terms.get(owner, Ridge(0.0)), parameter or "weight", value, name)
            else:
                raise InputError(f"no hyper-parameter {shown(name)}; there are {', '.join(self.hyperparameters)}")
        ridge = (
            ()
            if any(isinstance(term, Ridge) for term in self.regularizers) or "ridge" not in terms
            else (terms["ridge"],)
        )
        fresh = object.__new__(type(self))  # the data were checked when this problem was made, a term when it was made
        fresh.__dict__.update(
            self.__dict__,
            loss=terms[self.loss.label],
            regularizers=(*ridge, *(terms[term.label] for term in self.regularizers)),
            constraints=tuple(terms[term.label] for term in self.constraints),
        )
        if kernel is not None and kernel != self.kernel:
            fresh.__dict__["kernel"] = kernel
            fresh.__dict__.pop("design", None)
        if self.constraints:
            conflict(fresh.constraints)
        return fresh


Owner = TypeVar("Owner", Kernel, Term)


def _with(owner: Owner, parameter: str, value: float, name: str) -> Owner:
    """A term or kernel with one parameter changed; whole-number parameters are rounded."""
    fields = {field.name: field for field in dataclasses.fields(owner)}  # type: ignore[arg-type]
    if parameter not in fields:
        raise InputError(f"no hyper-parameter {shown(name)}: {owner.name} has {', '.join(fields) or 'no parameters'}")
    value = round(value) if _is_whole(fields[parameter]) and is_finite(value) else value
    return type(owner)(**{**{one: getattr(owner, one) for one in fields}, parameter: value})


def _is_whole(field: dataclasses.Field[object]) -> bool:
    return isinstance(field.default, int) and not isinstance(field.default, bool)


def conflict(constraints: Sequence[Term]) -> None:
    """Raise `InputError` if no value satisfies the constraints on fitted values, or those on coefficients, naming the two that conflict."""
    for acts, what in ((Values(), "f"), (Coefficients(raw=True), "every coefficient")):
        low, high = (-np.inf, ""), (np.inf, "")
        for term in constraints:
            if isinstance(term, PiecewiseQuadratic) and term.acts == acts:
                for table in term.tables:
                    if table.low == 0:
                        high = min(high, (table.linear, term.name))
                    if table.high == 0:
                        low = max(low, (table.linear, term.name))
        if low[0] > high[0]:
            raise InputError(
                f"{low[1]} asks for {what} ≥ {low[0]:g} and {high[1]} for {what} ≤ {high[0]:g}: the two conflict and no fit exists"
            )
