"""The components of a sum, and how a model holds them: their kernels together as one kernel; their ridges,
regularizers and constraints as terms that act on one component."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from hw4opt.design import Categorical, Sum, Summand
from hw4opt.errors import InputError, UnknownNameError, listed, shown
from hw4opt.kernels import Kernel, Precomputed
from hw4opt.losses.squared import Squared
from hw4opt.problem.checks import (
    check_gammas,
    check_kinds,
    check_list,
    check_places,
    check_proof_exists,
    check_tables,
)
from hw4opt.problem.hyperparameters import GAMMA, RIDGE
from hw4opt.regularizers.ridge import Ridge
from hw4opt.terms import ComponentTerm, Shape, Term, own_term, registry
from hw4opt.terms.base import Array
from hw4opt.validation.frozen import set_fields

PUNCTUATION = ".=,:"  # what a component's name cannot hold: hyper-parameters are dose.tv


@dataclass(frozen=True, init=False)
class Component:
    """One function f_j of a sum.

    name         what its hyper-parameters begin with: dose.gamma, dose.ridge, dose.tv
    columns      its x columns, by name or index (from 0); default: the column with its name
    kernel       f_j is in its RKHS; `Categorical()`: a value per level;  None: linear in its columns
    ridge        ≥ 0, the weight of ‖f_j‖²
    regularizers, constraints    terms that act on f_j: tv, trend; increasing, decreasing, convex, concave

    Raises `InputError` for parts that exclude each other.
    """

    name: str
    columns: tuple[str | int, ...]
    kernel: Kernel | None
    ridge: float
    regularizers: tuple[Term, ...]
    constraints: tuple[Term, ...]

    def __init__(
        self,
        name: str,
        columns: Sequence[str | int] | None = None,
        kernel: Kernel | None = None,
        ridge: float = 0.0,
        regularizers: Sequence[Term] = (),
        constraints: Sequence[Term] = (),
    ) -> None:
        _check_name(name)
        check_list("regularizers", regularizers)
        check_list("constraints", constraints)
        columns = (name,) if columns is None else columns
        if not _is_list(columns) or not columns or not all(type(one) in (str, int) for one in columns):
            raise InputError(f"component {name}: columns is {shown(columns)}; give a list of names, or indices from 0")
        if len(set(columns)) < len(columns):
            twice = next(one for place, one in enumerate(columns) if one in columns[:place])
            raise InputError(f"component {name}: column {shown(twice)} is given twice")
        if not (kernel is None or isinstance(kernel, Kernel)) or isinstance(kernel, Precomputed | Sum):
            kinds = "one of hw4opt's kernels, Categorical(), or None for a linear one"
            raise InputError(f"component {name}: kernel is {shown(kernel)}; give {kinds}")
        check_gammas(kernel, len(columns), f"component {name}: ")
        regularizers, constraints = tuple(regularizers), tuple(constraints)
        check_kinds(kernel, Squared(), (*regularizers, *constraints))
        check_tables([term for term in (*regularizers, *constraints) if not isinstance(term, Ridge)])
        check_places(regularizers, constraints)
        set_fields(
            self,
            name=name,
            columns=tuple(columns),
            kernel=kernel,
            ridge=Ridge(ridge).weight,
            regularizers=regularizers,
            constraints=constraints,
        )


@dataclass(frozen=True, init=False)
class Additive:
    """f(x) = intercept + Σ_j f_j(x_j), given in place of a kernel; the intercept is free.

    The problem holds it as `kernel`, a `hw4opt.design.Sum`, and as terms that act on one component.
    Raises `InputError` for components that exclude each other.   (Hastie and Tibshirani 1986.)
    """

    components: tuple[Component, ...]

    def __init__(self, components: Sequence[Component]) -> None:
        check_list("components", components)
        set_fields(self, components=tuple(components))
        if not self.components:
            raise InputError("a sum needs at least one component")
        for one in self.components:
            if not isinstance(one, Component):
                raise InputError(f'{shown(one)} is not a component; give Component("dose", kernel=RBF(20))')
        for one, other in itertools.combinations(self.components, 2):
            if one.name == other.name:
                raise InputError(f"component {one.name} is given twice; give each a name of its own")
            if (one.columns, one.kernel) == (other.columns, other.kernel):
                raise InputError(f"components {one.name} and {other.name} are the same function; drop one of them")

    @property
    def kernel(self) -> Sum:
        """The columns and the kernel of each component."""
        return Sum(parts=tuple(Summand(one.name, one.columns, one.kernel) for one in self.components))

    @property
    def regularizers(self) -> tuple[Term, ...]:
        """The ridge and the regularizers of every component."""
        return tuple(
            ComponentTerm(one.name, term) for one in self.components for term in (Ridge(one.ridge), *one.regularizers)
        )

    @property
    def constraints(self) -> tuple[Term, ...]:
        """The constraints of every component."""
        return tuple(ComponentTerm(one.name, term) for one in self.components for term in one.constraints)


def _is_list(given: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(given, Sequence) and not isinstance(given, str | bytes)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name or any(mark in name for mark in PUNCTUATION):
        raise InputError(f"the component's name is {shown(name)}; give a word without {' '.join(PUNCTUATION)}")
    taken = {GAMMA, RIDGE, *(word for kind in registry.FOLDERS for word in registry.names(kind))}
    if name in taken:
        raise InputError(f"the component's name {name!r} is that of a hyper-parameter, term or kernel; give another")


def placed(kernel: Sum, names: Sequence[str] | None, x: Array) -> Sum:
    """The sum with its columns by index; raises `InputError` for a column that does not exist or is constant."""
    parts = []
    for part in kernel.parts:
        places = tuple(_place(part.name, column, names, x.shape[1]) for column in part.columns)
        own = x[:, list(places)]
        if (own == own[0]).all():
            raise InputError(f"component {part.name} has one value in every row; drop it, or give another column")
        parts.append(Summand(part.name, places, part.kernel))
    return Sum(parts=tuple(parts))


def _place(component: str, column: str | int, names: Sequence[str] | None, count: int) -> int:
    if isinstance(column, str):
        if names is None:
            known = "the x columns have no names: give names=ColumnNames(x=…), or the column's index"
            raise InputError(f"component {component} has the column {column!r} and {known}")
        if column not in names:
            raise UnknownNameError("x column", column, names)
        return list(names).index(column)
    if not 0 <= column < count:
        raise InputError(f"component {component}: column {column} does not exist; there are {count}, counted from 0")
    return int(column)


def check_sum(kernel: Kernel | None, regularizers: Sequence[Term], constraints: Sequence[Term]) -> None:
    """Raise `InputError` for terms that cannot act where they are given: on the sum, or on one component."""
    names = [part.name for part in kernel.parts] if type(kernel) is Sum else []
    for term in (*regularizers, *constraints):
        if type(term) is ComponentTerm:
            if term.component not in names:
                raise InputError(f"{term.label}: there is no component {term.component!r}")
            assert isinstance(kernel, Sum)
            _check_on_component(kernel.summand(term.component), term)
        elif names:
            _check_on_sum(term, names)


def _check_on_sum(term: Term, names: Sequence[str]) -> None:
    if isinstance(term, Shape) and term.everywhere and term.acts.of_data_rows:
        raise InputError(f"{term.name} at every x needs one x column and no components; drop everywhere")
    if not term.acts.of_data_rows or isinstance(term, Ridge):
        raise InputError(f"{term.name} acts on one component of a sum; name one of {listed(names)}")


def _check_on_component(part: Summand, term: ComponentTerm) -> None:
    own = own_term(term)
    if isinstance(own, Ridge):
        return
    if own.acts.of_data_rows:
        raise InputError(f"{term.label}: {own.name} acts on the sum; give it without a component")
    if isinstance(part.kernel, Categorical):
        raise InputError(f"{term.label}: levels have no order; a categorical component has no penalty but its ridge")
    if own.acts.order and len(part.columns) != 1:
        raise InputError(f"{term.label}: {own.name} needs a component of one column and {part.name} has several")
    if own.acts.of_coefficients and part.kernel is not None:
        raise InputError(f"{term.label}: {own.name} acts on coefficients and needs a linear component")
    if isinstance(own, Shape) and own.everywhere:
        asked = f"{term.label}: {own.name} at every x"
        if part.kernel is None:
            line = "a line that has it at the data rows has it between them: drop everywhere"
            raise InputError(f"{asked} is for a component with a kernel; {line}")
        check_proof_exists(part.kernel, own, asked)
