"""A sum of components on the command line: --additive, --component, and the dotted words of --reg, --constraint and
--gamma."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hw4cli.opt.gamma_option import NamedGammas
from hw4cli.opt.like_option import is_of_model
from hw4cli.opt.option_syntax import kernel_of
from hw4cli.opt.options import ProblemOptions
from hw4cli.options import typed
from hw4opt import Additive, Categorical, Component, InputError, Ridge, UnknownNameError
from hw4opt.errors import listed
from hw4opt.kernels import Kernel
from hw4opt.problem.component_words import FIXED_SPACES, LINEAR, ComponentWords, by_component, parse_component
from hw4opt.problem.words import Spec, parse_spec, term_of
from hw4opt.terms import Term


@dataclass(frozen=True)
class SumOfComponents:
    """The sum, and the terms that act on the sum itself.

    free, given    hyper-parameters that were not given, and those that were, as in dose.tv
    """

    kernel: Additive
    constraints: tuple[Spec, ...]
    free: tuple[str, ...]
    given: frozenset[str]


def is_sum(options: ProblemOptions) -> bool:
    """Whether the options ask for a sum; raises `InputError` for options that do not go with one."""
    if not options.additive and not options.component:
        return False
    for name, given, advice in (
        ("design linear", options.design == "linear", "give --component NAME=COL:linear"),
        ("categorical", bool(options.categorical), "give --component NAME=COL:categorical"),
        ("no-intercept", typed("intercept") and not options.intercept, "the intercept of a sum is free"),
    ):
        if given:
            raise InputError(f"--{name} does not go with a sum of components; {advice}")
    words = [parse_component("--component", text) for text in options.component]
    for one, other in itertools.combinations(words, 2):
        if one.name == other.name:
            raise InputError(f"--component {one.name} is given twice; give each component a name of its own")
    for one in words:
        _check_name(one)
    return True


def _check_name(words: ComponentWords) -> None:
    try:
        Component(words.name)
    except InputError as error:
        raise InputError(
            f"--component {words.name}: {error}, as in --component NAME={','.join(words.columns)}"
        ) from None


def named_columns(options: ProblemOptions) -> tuple[ProblemOptions, list[str], set[str]]:
    """The options with the columns of the components as x, further columns that become features, and those of levels.

    Raises `InputError` for an x column that is in no component, and the reverse.
    """
    words = [parse_component("--component", text) for text in options.component]
    names = list(dict.fromkeys(column for one in words for column in one.columns))
    levels = {column for one in words if one.space == Categorical.name for column in one.columns}
    if not options.additive:
        x = [] if options.x is None or is_of_model("x") else [name.strip() for name in options.x.split(",")]
        if lost := [name for name in x if name not in names]:
            raise InputError(f"--x: column {lost[0]!r} is in no --component; drop it, or give --additive")
        if x and (more := [name for name in names if name not in x]):
            raise InputError(f"--x leaves out column {more[0]!r}, which is in a --component; drop --x, or add it there")
        options = replace(options, x=",".join(names))
    return options, names, levels


def sum_of_components(options: ProblemOptions, features: Sequence[str]) -> SumOfComponents:
    """The sum over these features; raises `InputError` for terms of unknown components."""
    words = all_components(options, features)
    names = [one.name for one in words]
    regularizers = by_component("--reg", options.reg, names, short="weight")
    constraints = by_component("--constraint", options.constraint, names)
    _check_used(options, words, [spec.text for spec in regularizers.get("", ())])
    gammas = _gammas(options.gamma, words)
    found = [_component(one, options, regularizers, constraints, gammas.get(one.name)) for one in words]
    return SumOfComponents(
        Additive([component for component, _, _ in found]),
        tuple(constraints.get("", ())),
        tuple(name for _, free, _ in found for name in free),
        frozenset(name for _, _, given in found for name in given),
    )


def all_components(options: ProblemOptions, features: Sequence[str]) -> list[ComponentWords]:
    """The components of --component, and with --additive one for every other feature."""
    words = [parse_component("--component", text) for text in options.component]
    taken = {column for one in words for column in one.columns}
    rest = [name for name in features if options.additive and name not in taken]
    return words + [ComponentWords(_named(name), (name,)) for name in rest]


def _named(column: str) -> str:
    """The column's name, as that of its component."""
    try:
        return Component(column).name
    except InputError as error:
        raise InputError(f"--additive: column {column!r}: {error}; give --component NAME={column}") from None


def _component(
    words: ComponentWords,
    options: ProblemOptions,
    regularizers: Mapping[str, Sequence[Spec]],
    constraints: Mapping[str, Sequence[Spec]],
    gamma: float | None,
) -> tuple[Component, list[str], set[str]]:
    """The component, and its free and given hyper-parameters."""
    own = list(regularizers.get(words.name, ()))
    if words.has_kernel:
        own += [spec for spec in regularizers.get("", ()) if spec.name not in {one.name for one in own}]
    if words.space != LINEAR and Ridge.name not in [spec.name for spec in own]:
        own.insert(0, Spec(Ridge.name, Ridge.name, {}))
    terms = [term_of("regularizer", "--reg", spec) for spec in own]
    ridges = [term.weight for term in terms if isinstance(term, Ridge)]
    if len(ridges) > 1:
        raise InputError(f"--reg {words.name}.ridge is given twice; drop one of them")
    others: list[Term] = [term for term in terms if not isinstance(term, Ridge)]
    places = {column: place for place, column in enumerate(words.columns)}
    shapes = [term_of("constraint", "--constraint", spec, places) for spec in constraints.get(words.name, ())]
    free = ["gamma"] if words.has_kernel and gamma is None else []
    free += [spec.name for spec in own if "weight" not in spec.parameters]
    given = {"gamma"} if gamma is not None else set()
    given |= {spec.name for spec in own if "weight" in spec.parameters}
    kernel = _kernel(words, options.kernel, 1.0 if gamma is None else gamma)
    component = Component(words.name, words.columns, kernel, sum(ridges), others, shapes)
    return component, [f"{words.name}.{name}" for name in free], {f"{words.name}.{name}" for name in given}


def _kernel(words: ComponentWords, common: str | None, gamma: float) -> Kernel | None:
    if words.space in FIXED_SPACES:
        return FIXED_SPACES[words.space]
    option = "--kernel" if words.space is None else f"--component {words.name}:"
    return kernel_of(option, parse_spec(option, words.space or common or "rbf"), gamma)


def _check_used(options: ProblemOptions, words: Sequence[ComponentWords], undotted: Sequence[str]) -> None:
    """Raise `InputError` for terms on all kernels if no component has one."""
    if options.kernel is not None and not is_of_model("kernel") and all(one.space is not None for one in words):
        raise InputError(f"--kernel {options.kernel}: every --component names its own space; drop it")
    if any(one.has_kernel for one in words):
        return
    said = [("gamma", f"{options.gamma:g}")] if isinstance(options.gamma, float) else []
    for name, value in [*said, *(("reg", text) for text in undotted)]:
        if not is_of_model(name):
            own = "name a component, as in --reg NAME.ridge=1" if name == "reg" else "drop it"
            raise InputError(f"--{name} {value} applies to components with a kernel, and there are none; {own}")


def _gammas(given: float | NamedGammas | None, words: Sequence[ComponentWords]) -> dict[str, float]:
    """The given gamma of every component with a kernel."""
    kernels = [one.name for one in words if one.has_kernel]
    if given is None:
        return {}
    if not isinstance(given, NamedGammas):
        return dict.fromkeys(kernels, given)
    if given == NamedGammas():
        raise InputError("--gamma each: a component has one gamma; leave --gamma out and every one is chosen")
    gammas = dict(given.given)
    for name in gammas:
        if name not in [one.name for one in words]:
            raise UnknownNameError("component", name, [one.name for one in words])
        if name not in kernels:
            raise InputError(
                f"--gamma {name}: component {name} has no kernel; {listed(kernels) or 'no component'} has one"
            )
    return gammas
