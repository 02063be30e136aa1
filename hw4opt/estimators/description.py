"""The model that an estimator's parameters describe: words, numbers, "auto" and None, and objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hw4opt.errors import InputError, UnknownNameError, shown
from hw4opt.kernels import Kernel, Precomputed
from hw4opt.problem import Additive, Component, Model
from hw4opt.problem.checks import check_list
from hw4opt.problem.component_words import FIXED_SPACES, LINEAR, ComponentWords, by_component, parse_component
from hw4opt.problem.hyperparameters import GAMMA, RIDGE, column_key
from hw4opt.problem.words import Spec, kernel_of, parse_spec, term_of
from hw4opt.terms import AUTO, Loss, Term, find
from hw4opt.validation.arguments import is_finite

Strength = float | str | None  # gamma, or a weight: a number, "auto" to choose it, None for none
Strengths = Strength | Mapping[str, Strength]  # one for all, or one per column or component, by name
Components = str | Sequence[str | Component] | None

EACH = "each"  # column
UNSAID: dict[str, Strength] = {GAMMA: AUTO, RIDGE: AUTO}  # for those missing from a mapping; None for other strengths


@dataclass(frozen=True)
class Description:
    """A model in which every open hyper-parameter is 1.

    free         the names of the open ones
    automatic    the names of the loss's parameters that the data determine, as huber.delta
    """

    model: Model
    free: tuple[str, ...]
    automatic: tuple[str, ...]


@dataclass(frozen=True)
class ModelParts:
    """f: its kernel (None: linear), or a sum, and the terms that act on it; `free` as in `Description`."""

    kernel: Kernel | Additive | None
    regularizers: Sequence[Term]
    constraints: Sequence[Term]
    free: Sequence[str]


def describe(
    loss: str | Loss,
    kernel: str | Kernel | None,
    components: Components,
    strengths: Mapping[str, Strengths],
    regularizers: Sequence[Term],
    constraints: Sequence[str | Term],
    names: Sequence[str],
    intercept: bool,
    standardize: bool,
) -> Description:
    """The model that the parameters of an estimator describe; raises `InputError`.

    strengths    of gamma and of regularizers by their names
    names        of the x columns
    """
    if components is not None and not intercept:
        raise InputError("fit_intercept is False and the intercept of a sum of components is free; leave it True")
    check_list("constraints", constraints)
    words = [one for one in constraints if isinstance(one, str)]
    objects = [one for one in constraints if not isinstance(one, str)]
    columns = {str(place): place for place in range(len(names))} | {name: place for place, name in enumerate(names)}
    made = (
        _one_function(kernel, strengths, words, names, columns)
        if components is None or kernel is None
        else _sum(components, kernel, strengths, words, names, columns)
    )
    model = Model(
        made.kernel,
        cast(Loss, term_of("loss", "loss", parse_spec("loss", loss)) if isinstance(loss, str) else loss),
        [*made.regularizers, *regularizers],
        [*made.constraints, *objects],
        intercept,
        standardize,
    )
    automatic = [f"{model.loss.name}.{name}" for name in model.loss.automatic if vars(model.loss)[name] == AUTO]
    return Description(model, tuple(made.free), tuple(automatic))


def _one_function(
    kernel: str | Kernel | None,
    strengths: Mapping[str, Strengths],
    words: Sequence[str],
    names: Sequence[str],
    columns: Mapping[str, int],
) -> ModelParts:
    """f as a function of all columns."""
    rates = _rates(strengths[GAMMA], names, columns) if GAMMA in strengths else {}
    values, free = _values({**rates, **{name: one for name, one in strengths.items() if name != GAMMA}})
    gammas = tuple(values.pop(name) for name in rates if name in values)
    if len(rates) > max(len(gammas), 1):
        raise InputError("gamma is None for some columns; give a number for each, or 'auto' to choose it")
    if kernel is not None:
        kernel = _kernel(kernel, gammas if len(gammas) > 1 else next(iter(gammas), None))
        free = [name for name in free if name not in rates or kernel.has_gamma]
    shapes = [_constraint(parse_spec("constraint", word), columns) for word in words]
    return ModelParts(kernel, _regularizers(values), shapes, free)


def _rates(gamma: Strengths, names: Sequence[str], columns: Mapping[str, int]) -> dict[str, Strength]:
    """gamma, or the gammas of all columns, by hyper-parameter name."""
    if not isinstance(gamma, Mapping):
        if gamma != EACH:
            return {GAMMA: gamma}
        gamma = {}
    given = {_place(column, columns): one for column, one in gamma.items()}
    return {column_key(name) if len(names) > 1 else GAMMA: given.get(at, AUTO) for at, name in enumerate(names)}


def _sum(
    components: str | Sequence[str | Component],
    kernel: str | Kernel,
    strengths: Mapping[str, Strengths],
    words: Sequence[str],
    names: Sequence[str],
    columns: Mapping[str, int],
) -> ModelParts:
    """f as a sum of functions."""
    if isinstance(components, str) and components == EACH:
        parts = [ComponentWords(name, (name,)) for name in names]
    else:
        check_list("components", components)
        parts = [_parsed(component) for component in components]
    known = [part.name for part in parts]
    for strength in strengths.values():
        for owner in strength if isinstance(strength, Mapping) else ():
            if owner not in known:
                raise UnknownNameError("component", owner, known)
    _check_taken(parts, strengths)
    shapes = by_component("constraint", words, known)
    found, free = list[Component](), list[str]()
    for part in parts:
        values, own_free = _values(_own_strengths(part, strengths), f"{part.name}.")
        found.append(_component(part, kernel, values, shapes.get(part.name, ()), columns))
        free += own_free
    return ModelParts(Additive(found), [], [_constraint(spec, columns) for spec in shapes.get("", ())], free)


def _takes(part: ComponentWords, name: str) -> bool:
    """Whether the component, given in words, has a strength of this name."""
    return part.has_kernel or (name == RIDGE and part.space != LINEAR)


def _check_taken(parts: Sequence[ComponentWords | Component], strengths: Mapping[str, Strengths]) -> None:
    """Raise `InputError` for a number for all components if all are given in words and none takes it."""
    words = [part for part in parts if isinstance(part, ComponentWords)]
    for name, strength in strengths.items():
        if is_finite(strength) and len(words) == len(parts) and not any(_takes(part, name) for part in words):
            raise InputError(f"{name} is {shown(strength)} and no component takes it; drop it")


def _parsed(component: object) -> ComponentWords | Component:
    if isinstance(component, str):
        return parse_component("components", component)
    if not isinstance(component, Component):
        raise InputError(f"components holds {shown(component)}; give words, as in 'age:linear', or Component objects")
    return component


def _own_strengths(part: ComponentWords | Component, strengths: Mapping[str, Strengths]) -> dict[str, Strength]:
    """The strengths of one component: those that name it and, if it is given in words, those for all.

    gamma, tv and trend for all apply to components with a kernel, ridge also to categorical ones.
    """
    own: dict[str, Strength] = {}
    for name, strength in strengths.items():
        named = strength if isinstance(strength, Mapping) else {}
        if part.name in named:
            own[name] = named[part.name]
        elif isinstance(part, ComponentWords) and _takes(part, name):
            own[name] = UNSAID.get(name) if isinstance(strength, Mapping) else strength
    return own


def _component(
    part: ComponentWords | Component,
    kernel: str | Kernel,
    values: dict[str, Any],
    shapes: Sequence[Spec],
    columns: Mapping[str, int],
) -> Component:
    """The component with these hyper-parameters and shapes."""
    gamma = values.pop(GAMMA, None)
    if isinstance(part, ComponentWords):
        space = _kernel(part.space or kernel, gamma) if part.has_kernel else FIXED_SPACES[part.space]
        part = Component(part.name, [_place(column, columns) for column in part.columns], space)
    if gamma is not None:
        if part.kernel is None or not part.kernel.has_gamma:
            raise InputError(f"gamma of component {part.name}: it has no kernel with a gamma; drop it")
        part = dataclasses.replace(part, kernel=_kernel(part.kernel, gamma))
    return dataclasses.replace(
        part,
        ridge=values.pop(RIDGE, part.ridge),
        regularizers=[*part.regularizers, *_regularizers(values)],
        constraints=[*part.constraints, *(_constraint(spec, {}) for spec in shapes)],
    )


def _values(strengths: Mapping[str, object], owner: str = "") -> tuple[dict[str, Any], list[str]]:
    """The given strengths as numbers, 1 for the open ones, and the names of the open ones.

    Raises `InputError` for a value that is not a strength.
    """
    values, free = dict[str, Any](), list[str]()
    for name, strength in strengths.items():
        if isinstance(strength, str) and strength == AUTO:
            free.append(owner + name)
            values[name] = 1.0
        elif is_finite(strength):
            values[name] = strength
        elif strength is not None:
            raise InputError(f"{owner}{name} is {shown(strength)}; give a number, 'auto' to choose it, or None")
    return values, free


def _regularizers(weights: Mapping[str, Any]) -> list[Term]:
    return [find("regularizer", name, weight=weight) for name, weight in weights.items()]


def _kernel(kernel: str | Kernel, gamma: float | tuple[float, ...] | None) -> Kernel:
    if not isinstance(kernel, str):
        return kernel if gamma is None or not isinstance(kernel, Kernel) else dataclasses.replace(kernel, gamma=gamma)
    spec = parse_spec("kernel", kernel)
    if gamma is None and spec.name != Precomputed.name:
        raise InputError(f"gamma is None and the kernel is {kernel!r}; give a number, or 'auto' to choose it")
    return kernel_of("kernel", spec, 1.0 if gamma is None else gamma)


def _constraint(spec: Spec, columns: Mapping[str, int]) -> Term:
    return term_of("constraint", "constraint", spec, columns)


def _place(column: object, columns: Mapping[str, int]) -> int:
    if str(column) not in columns:
        raise UnknownNameError("x column", str(column), columns)
    return columns[str(column)]
