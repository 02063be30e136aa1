"""A regression in words, without data. Immutable; knows no algebra and no solver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from hw4opt.design import Sum, with_room
from hw4opt.errors import InputError
from hw4opt.kernels import Kernel, Precomputed
from hw4opt.losses.squared import Squared
from hw4opt.problem import checks
from hw4opt.problem.additive import Additive, check_sum
from hw4opt.problem.data import ColumnNames, Data
from hw4opt.problem.hyperparameters import (
    GAMMA,
    RIDGE,
    WEIGHT,
    HyperparameterKey,
    changed,
    changes_by_label,
    column_key,
)
from hw4opt.regularizers.ridge import Ridge
from hw4opt.terms import AUTO, ComponentTerm, Loss, Term, own_term
from hw4opt.terms.ordered_curves import OrderedCurves
from hw4opt.validation.arguments import checked
from hw4opt.validation.frozen import cached_property, set_fields, unchecked

if TYPE_CHECKING:
    from hw4opt.problem.problem import Problem


@dataclass(frozen=True, init=False)
class Model:
    """A regression without data: kernel, loss, regularizers and constraints, as in `Problem`; `on` adds the data.

    Raises `InputError` for terms that exclude each other.
    """

    kernel: Kernel | None
    loss: Loss
    regularizers: tuple[Term, ...]
    constraints: tuple[Term, ...]
    intercept: bool
    standardize: bool

    def __init__(
        self,
        kernel: Kernel | Additive | None = None,
        loss: Loss | None = None,
        regularizers: Sequence[Term] = (),
        constraints: Sequence[Term] = (),
        intercept: bool = False,
        standardize: bool = False,
    ) -> None:
        checks.check_flag("intercept", intercept)
        checks.check_flag("standardize", standardize)
        checks.check_list("regularizers", regularizers)
        checks.check_list("constraints", constraints)
        if isinstance(kernel, Additive):
            regularizers, constraints = (*kernel.regularizers, *regularizers), (*kernel.constraints, *constraints)
            kernel = kernel.kernel
        set_fields(
            self,
            kernel=kernel,
            loss=Squared() if loss is None else loss,
            regularizers=tuple(regularizers),
            constraints=tuple(constraints),
            intercept=bool(intercept) or type(kernel) is Sum,
            standardize=bool(standardize),
        )
        try:
            _check(self)
        except TypeError:  # a part without a hash
            _check.__wrapped__(self)

    @property
    def is_settled(self) -> bool:
        """Whether every parameter of the loss is a number; False as long as one is to be taken from the data."""
        return not any(getattr(self.loss, name) == AUTO for name in self.loss.automatic)

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """Loss, regularizers except ridge, constraints, the order of curves: all that becomes rows of the form."""
        regularizers = (term for term in self.regularizers if not isinstance(own_term(term), Ridge))
        return (self.loss, *regularizers, *self.constraints, *self.order)

    @property
    def order(self) -> tuple[OrderedCurves, ...]:
        """The terms that keep several curves in order; () for one curve."""
        return (OrderedCurves(self.curves),) if self.curves > 1 else ()

    @property
    def curves(self) -> int:
        """The number of curves fitted together: one, except for a loss of several levels."""
        return len(self.loss.curves)

    @property
    def ridge(self) -> float:
        """The weight of the ridge, 0 without one; for a sum the smallest over its components."""
        if type(self.kernel) is Sum:
            return min(self.ridges)
        return next((float(term.weight) for term in self.regularizers if isinstance(term, Ridge)), 0.0)

    @property
    def ridges(self) -> tuple[float, ...]:
        """The ridge of every component of a sum; for any other model its own."""
        if type(self.kernel) is not Sum:
            return (self.ridge,)
        pairs = [(term.component, term.term) for term in self.regularizers if isinstance(term, ComponentTerm)]
        weights = {name: float(term.weight) for name, term in pairs if isinstance(term, Ridge)}
        return tuple(weights.get(part.name, 0.0) for part in self.kernel.parts)

    @property
    def acting(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The components of a sum that terms act on, and the columns whose slopes these terms need."""
        slopes: dict[str, set[int]] = {}
        for term in self.terms:
            if isinstance(term, ComponentTerm):
                slopes.setdefault(term.component, set()).update(term.term.acts.slope_columns)
        return tuple((name, tuple(sorted(columns))) for name, columns in slopes.items())

    def component(self, name: str) -> Model:
        """The model of one component of a sum alone: its kernel and terms, with the loss, and an intercept."""
        assert type(self.kernel) is Sum
        regularizers, constraints = (
            [term.term for term in terms if isinstance(term, ComponentTerm) and term.component == name]
            for terms in (self.regularizers, self.constraints)
        )
        kernel = self.kernel.summand(name).kernel
        return Model(kernel, self.loss, regularizers, constraints, intercept=True, standardize=self.standardize)

    def owner_of(self, name: str) -> tuple[str | None, str]:
        """The component of a sum that a hyper-parameter belongs to, None for any other, and its name in that model."""
        first, _, rest = name.partition(".")
        is_component = type(self.kernel) is Sum and rest and first in {part.name for part in self.kernel.parts}
        return (first, rest) if is_component else (None, name)

    @property
    def slopes(self) -> tuple[int, ...]:
        """The x columns by which a term's derivatives are taken, sorted."""
        return tuple(sorted({column for term in self.terms for column in term.acts.slope_columns}))

    @property
    def hyperparameters(self) -> dict[str, float]:
        """gamma and every term weight by name; a kernel design always has gamma and ridge.

        With one gamma per column: gamma.0, gamma.1, … in the order of the columns; a problem uses known names.
        """
        found: dict[str, float] = {}
        if type(self.kernel) is Sum:
            for part in self.kernel.parts:
                own = self.component(part.name).hyperparameters
                found |= {f"{part.name}.{name}": value for name, value in own.items()}
        elif self.kernel is not None:
            gammas = {column_key(place): gamma for place, gamma in enumerate(self.kernel.gammas)}
            found = (gammas or {GAMMA: self.kernel.rate}) if self.kernel.has_gamma else {}
            found[RIDGE] = self.ridge
        return found | {term.label: getattr(term, WEIGHT) for term in self.regularizers if hasattr(term, WEIGHT)}

    @checked
    def settled(self, name: str, value: float) -> float:
        """The value that `with_hyperparameters` will use: whole-number parameters are rounded."""
        component, name = self.owner_of(name)
        if component is not None:
            return self.component(component).settled(name, value)
        key = HyperparameterKey.parse(name)
        owners = [*self.terms, *([] if self.kernel is None else [self.kernel])]
        return float(next((key.settled(owner, value) for owner in owners if key.belongs_to(owner)), value))

    @checked
    def with_hyperparameters(self, values: Mapping[str, float]) -> Model:
        """The same model at other values of gamma, term weights, or `term.parameter` (`huber.delta`)."""
        if type(self.kernel) is Sum and any(self.owner_of(name)[0] is not None for name in values):
            return self._with_components(self.kernel, values)
        kernel, regularizers = self.kernel if self.kernel is None or self.kernel.has_gamma else None, self.regularizers
        searches_ridge = any(HyperparameterKey.parse(name).owner == RIDGE for name in values)
        if searches_ridge and not any(isinstance(term, Ridge) for term in regularizers):
            regularizers = (Ridge(0.0), *regularizers)
        parts = (*([] if kernel is None else [kernel]), self.loss, *regularizers, *self.constraints)
        changes = changes_by_label(values, parts, known=self.hyperparameters)
        constraints = tuple(changed(term, changes) for term in self.constraints)
        checks.check_conflict(constraints)
        return unchecked(  # its parts were checked when this model was made: a search makes many of one
            Model,
            kernel=self.kernel if kernel is None else changed(kernel, changes),
            loss=changed(self.loss, changes),
            regularizers=tuple(changed(term, changes) for term in regularizers),
            constraints=constraints,
            intercept=self.intercept,
            standardize=self.standardize,
        )

    def _with_components(self, kernel: Sum, values: Mapping[str, float]) -> Model:
        """The sum with other hyper-parameters, of its components and of itself."""
        of_parts: dict[str | None, dict[str, float]] = {}
        for name, value in values.items():
            component, own = self.owner_of(name)
            of_parts.setdefault(component, {})[own] = value
        rest = of_parts.pop(None, {})
        models = {
            part.name: self.component(part.name).with_hyperparameters(of_parts.get(part.name, {}))
            for part in kernel.parts
        }
        changed_terms = {
            ComponentTerm(name, term).label: ComponentTerm(name, term)
            for name, model in models.items()
            for term in (*model.regularizers, *model.constraints)
        }
        fresh = unchecked(
            Model,
            **vars(self)
            | {
                "kernel": replace(
                    kernel, parts=tuple(replace(one, kernel=models[one.name].kernel) for one in kernel.parts)
                ),
                "regularizers": tuple(changed_terms.get(term.label, term) for term in self.regularizers),
                "constraints": tuple(changed_terms.get(term.label, term) for term in self.constraints),
            },
        )
        vars(fresh).pop("terms", None)
        return fresh.with_hyperparameters(rest) if rest else fresh

    def data_of(
        self,
        x: ArrayLike,
        y: ArrayLike,
        weights: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        names: ColumnNames | None = None,
    ) -> Data:
        """The data, x copied to where the design needs it: large data of a linear design are copied once."""
        if self.kernel is None and weights is None and not self.standardize:
            return Data(x, y, weights, offset, names, copy=lambda values: with_room(values, self.intercept))
        return Data(x, y, weights, offset, names)

    @checked
    def on(self, data: Data) -> Problem:
        """The problem of fitting this model to the data; `Huber("auto")` gets its delta from them.

        Raises `InputError` for data that the model cannot be fitted to.
        """
        from hw4opt.problem.problem import problem_of  # which holds a model

        return problem_of(self, data)


@lru_cache(maxsize=64)
def _check(model: Model) -> None:
    """Raise `InputError` for parts that exclude each other. The last models checked are remembered: problems of a batch
    mostly differ in their data only."""
    checks.check_model(model.kernel, model.loss, model.regularizers, model.constraints)
    check_sum(model.kernel, model.regularizers, model.constraints)
    if isinstance(model.kernel, Precomputed) and model.standardize:
        none = "a precomputed kernel has none: standardize before computing it"
        raise InputError(f"standardize measures columns of x, and {none}")
    checks.check_tables(model.terms if model.is_settled else model.terms[1:])
