"""Terms and kernels in words: `name:parameter=value,…`, as on the command line and in `hw4opt.estimators`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hw4opt.errors import InputError, UnknownNameError
from hw4opt.kernels import KERNELS, Kernel, find_kernel
from hw4opt.terms import AUTO, Term, find, load, parameters

EVERYWHERE = "everywhere"  # of a constraint: at every x, or, as everywhere=LOW..HIGH, at every x of a range

SEVERAL = ";"  # between the numbers of one parameter


@dataclass(frozen=True)
class Spec:
    """`NAME:param=value,…` parsed into its name and parameters; `text` is the value as typed."""

    text: str
    name: str
    parameters: dict[str, str]


def parse_spec(option: str, text: str, short: str | None = None) -> Spec:
    """Parse `NAME:param=value,…`; with `short`, NAME=VALUE sets the parameter of that name.

    option    the parameter that holds the word: messages begin with it
    """
    head, colon, rest = text.partition(":")
    name, equals, value = (part.strip() for part in head.partition("="))
    pairs = [pair.strip() for pair in rest.split(",")] if colon else []
    if equals:
        if short is None:
            raise InputError(f"{option} {text}: give parameters after a colon, as in {name}:parameter={value or 1}")
        pairs.insert(0, f"{short}={value}")
    parameters: dict[str, str] = {}
    for pair in pairs:
        key, _, value = (part.strip() for part in pair.partition("="))
        if not key or not (value or pair == EVERYWHERE):
            raise InputError(f"{option} {text}: {pair!r} is not of the form parameter=value")
        if key in parameters:
            raise InputError(f"{option} {text}: {key} is given twice")
        parameters[key] = value
    return Spec(text, name, parameters)


def term_of(kind: str, option: str, spec: Spec, columns: Mapping[str, int] | None = None) -> Term:
    """The loss, regularizer or constraint of that name; its parameter `column` is one of `columns`, name → place."""
    term = load(kind, spec.name)
    known = parameters(term)
    for key in spec.parameters:
        if key not in known:
            raise UnknownNameError(f"parameter of {spec.name}", key, known or ("none",))
    automatic = automatic_parameters(term, spec)
    values = {key: _value(option, spec, key, columns or {}) for key in spec.parameters.keys() - automatic}
    return find(kind, spec.name, **values, **dict.fromkeys(automatic, AUTO))


def automatic_parameters(term: Term | type[Term], spec: Spec) -> set[str]:
    """The names of the parameters that the data determine, as in huber:delta=auto."""
    return {key for key in getattr(term, "automatic", ()) if spec.parameters.get(key) == AUTO}


def kernel_of(
    option: str, spec: Spec, gamma: float | tuple[float, ...], known: Collection[str] = KERNELS.keys()
) -> Kernel:
    """The kernel of that name, one of `known`, with that gamma, or one per column."""
    if spec.name not in known:
        raise UnknownNameError("kernel", spec.name, known)
    if "gamma" in spec.parameters:
        raise InputError(
            f"{option} {spec.text}: give gamma as an option of its own, `gamma={spec.parameters['gamma']}`"
        )
    return find_kernel(spec.name, gamma=gamma, **{key: _number(option, spec, key) for key in spec.parameters})


def _value(option: str, spec: Spec, key: str, columns: Mapping[str, int]) -> Any:
    if key == "column":
        return _place(spec.parameters[key], columns)
    if key == EVERYWHERE:
        return _range(option, spec)
    return _numbers(option, spec, key) if SEVERAL in spec.parameters[key] else _number(option, spec, key)


def _range(option: str, spec: Spec) -> bool | tuple[float, ...]:
    """True, or the bounds of LOW..HIGH."""
    text = spec.parameters[EVERYWHERE]
    if not text:
        return True
    try:
        low, high = map(float, text.split(".."))
    except ValueError:
        example = f"give {EVERYWHERE}, or a range as in {EVERYWHERE}=0..120"
        raise InputError(f"{option} {spec.text}: {EVERYWHERE} is {text!r}; {example}") from None
    return low, high


def _numbers(option: str, spec: Spec, key: str) -> tuple[float, ...]:
    """Several values of one parameter, as in tau=0.05;0.5;0.95."""
    parts = spec.parameters[key].split(SEVERAL)
    return tuple(_number(option, replace(spec, parameters={key: part}), key) for part in parts)


def _number(option: str, spec: Spec, key: str) -> float:
    try:
        return float(spec.parameters[key])
    except ValueError:
        raise InputError(f"{option} {spec.text}: {key} is {spec.parameters[key]!r}; give a number") from None


def _place(name: str, columns: Mapping[str, int]) -> int:
    if name not in columns:
        raise UnknownNameError("x column", name, columns)
    return columns[name]
