"""Checks of a model's parts, and of data against them; each raises `InputError` with what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from hw4opt.design import Sum
from hw4opt.errors import InputError, listed, shown
from hw4opt.kernels import Kernel, Precomputed
from hw4opt.problem.hyperparameters import GAMMA, RIDGE
from hw4opt.problem.measured import MeasuredData
from hw4opt.regularizers.ridge import Ridge
from hw4opt.terms import (
    Coefficients,
    Loss,
    PiecewiseQuadratic,
    Shape,
    Smooth,
    Term,
    Values,
    is_everywhere,
    registry,
)
from hw4opt.terms.base import Array
from hw4opt.terms.requirements import class_fault, term_fault
from hw4opt.validation.arguments import check_argument
from hw4opt.validation.arrays import check_gram

BOUNDED_QUANTITIES = ((Values(), "f"), (Coefficients(raw=True), "every coefficient"))  # and what messages call them


def check_flag(name: str, flag: object) -> None:
    """Raise `InputError` for a value that is neither True nor False."""
    if flag is not True and flag is not False:
        check_argument(name, flag, "bool", {})


def check_list(name: str, given: object) -> None:
    """Raise `InputError` for a value that is not a list of terms."""
    if not isinstance(given, Iterable) or isinstance(given, str | np.ndarray):
        raise InputError(f"{name} is {shown(given)}; give a list of them, as in [{shown(given)}]")


def check_model(kernel: Kernel | None, loss: Loss, regularizers: Sequence[Term], constraints: Sequence[Term]) -> None:
    """Raise `InputError` for parts of the wrong kind, and for parts that exclude each other."""
    given = (*regularizers, *constraints)
    check_kinds(kernel, loss, given)
    check_names([*([] if kernel is None else [kernel]), loss, *given])
    check_places(regularizers, constraints)
    check_conflict(constraints)
    if len(loss.curves) > 1 and (term := next((one for one in given if is_everywhere(one)), None)) is not None:
        raise InputError(
            f"{term.label} at every x is for one curve and {loss.name} has {len(loss.curves)}; drop everywhere"
        )


def check_tables(terms: Sequence[Term]) -> None:
    """Raise `InputError` for a term that has neither tables nor derivatives."""
    for term in terms:
        if (fault := term_fault(term)) is not None:
            raise InputError(fault)


def check_kinds(kernel: object, loss: object, terms: Sequence[object]) -> None:
    """Raise `InputError` for a kernel, loss, regularizer or constraint of the wrong type."""
    if not (kernel is None or isinstance(kernel, Kernel)):
        example = "as in RBF(gamma=80), or None for a linear design"
        raise InputError(f"kernel is {shown(kernel)}; give one of hw4opt's kernels, {example}")
    if not isinstance(loss, Loss):
        raise InputError(f"loss is {shown(loss)}; give one of hw4opt's losses, as in Huber(delta=1)")
    for term in terms:
        if not isinstance(term, Term) or isinstance(term, Loss):
            raise InputError(f"{shown(term)} is neither a regularizer nor a constraint")


def check_names(owners: Sequence[Kernel | Term]) -> None:
    """Raise `InputError` for a class without a name, a name that is taken, and a label that is given twice."""
    labels: set[str] = set()
    for owner in owners:
        kind = type(owner)
        if fault := class_fault(kind):
            raise InputError(fault)
        if owner.name == GAMMA or (owner.name == RIDGE and not isinstance(owner, Ridge)):
            raise InputError(f"the name {owner.name!r} of the class {kind.__name__} is taken; give it another one")
        label = owner.label
        if label in labels:
            both = "a problem holds each term once (bounds:lower=0,upper=1 sets both bounds)"
            raise InputError(f"{label} is given twice; {both}")
        labels.add(label)


def check_places(regularizers: Sequence[Term], constraints: Sequence[Term]) -> None:
    """Raise `InputError` for a constraint among the regularizers, and the other way round."""
    for terms, kind, other in ((regularizers, "regularizer", "constraint"), (constraints, "constraint", "regularizer")):
        for term in terms:
            if registry.is_registered(other, term):
                raise InputError(f"{term.name} is not a {kind}; give it in {other}s, as in {other}s=[{term!r}]")


def check_conflict(constraints: Sequence[Term]) -> None:
    """Raise `InputError`, naming two constraints, if no fitted values or no coefficients satisfy both."""
    for acts, what in BOUNDED_QUANTITIES if constraints else ():
        low, high = (-np.inf, ""), (np.inf, "")
        for term in constraints:
            if isinstance(term, PiecewiseQuadratic) and term.acts == acts:
                for table in term.tables:
                    if table.low == 0:
                        high = min(high, (table.linear, term.name))
                    if table.high == 0:
                        low = max(low, (table.linear, term.name))
        if low[0] > high[0]:
            asked = f"{low[1]} asks for {what} ≥ {low[0]:g} and {high[1]} for {what} ≤ {high[0]:g}"
            raise InputError(f"{asked}: the two conflict and no fit exists")


def check_targets(loss: Loss, data: MeasuredData) -> None:
    """Raise `InputError` for targets that the loss does not take; rows of weight 0 may have any."""
    if isinstance(loss, Smooth):
        y, weights, active = data.data.y, data.data.weights, data.data.active
        kept = y if active is None or weights is None else np.where(weights > 0, y, y[active[0]])
        loss.check_targets(kept)


def check_gammas(kernel: Kernel | None, columns: int, owner: str = "") -> None:
    """Raise `InputError` where a kernel has one gamma per column, and their number is not that of the columns."""
    if kernel is not None and kernel.gammas and len(kernel.gammas) != columns:
        count = f"{len(kernel.gammas)} numbers and there are {columns} x columns"
        raise InputError(f"{owner}gamma of the {kernel.name} kernel has {count}; give one per column, or one for all")


def _is_constant(x: Array) -> bool:
    """Whether all rows are equal; the last one, which mostly differs from the first, is compared first."""
    return not x.size or bool(x.item(0) == x.item(-x.shape[1]) and (x == x[0]).all())


def check_design(kernel: Kernel | None, terms: Sequence[Term], data: MeasuredData) -> None:
    """Raise `InputError` for x that the kernel or a slope constraint cannot take."""
    if data.is_gram:
        check_gram(data.data.x)
    x = data.active_x
    check_gammas(kernel, x.shape[1])
    if kernel is not None and type(kernel) not in (Precomputed, Sum) and _is_constant(x):
        raise InputError("x is constant; a kernel design needs at least two different x")
    for term in terms:
        if isinstance(term, Shape) and term.everywhere:
            _check_everywhere(kernel, term, x)
        for column in term.acts.slope_columns:
            if not 0 <= column < x.shape[1]:
                there = f"there are {x.shape[1]} x columns, counted from 0"
                raise InputError(f"{term.name}: column {column} does not exist; {there}")


def _check_everywhere(kernel: Kernel | None, term: Shape, x: np.ndarray) -> None:
    """Raise `InputError` for a shape at every x where it is not supported."""
    asked = f"{term.name} at every x"
    if kernel is None:
        linear = "a linear function of x that has it at the data rows has it between them"
        raise InputError(f"{asked} is for kernel designs; {linear}: drop everywhere")
    if isinstance(kernel, Precomputed):
        raise InputError(f"{asked} needs the x of the rows, which a precomputed kernel does not have; drop everywhere")
    if x.shape[1] != 1:
        advice = "give it to one component of a sum, or drop everywhere" if term.derivative else "drop everywhere"
        raise InputError(f"{asked} needs one x column and there are {x.shape[1]}; {advice}")
    check_proof_exists(kernel, term, asked)


def check_proof_exists(kernel: Kernel, term: Shape, asked: str) -> None:
    """Raise `InputError` for a kernel whose functions cannot be proven to have the shape, which `asked` describes."""
    if kernel.functional_order is None or kernel.functional_order < term.derivative:
        orders = {name: kind().functional_order for name, kind in registry.classes("kernel").items()}
        able = [name for name, order in orders.items() if order is not None and order >= term.derivative]
        raise InputError(f"{asked} cannot be proven for the {kernel.name} kernel; it can for {listed(able)}")
