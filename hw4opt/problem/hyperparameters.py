"""Names of hyper-parameters, taken apart: "gamma", "gamma.1", "tv", "huber.delta", "trend.weight"."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from hw4opt.errors import InputError, shown
from hw4opt.kernels import Kernel
from hw4opt.terms import Term
from hw4opt.validation.arguments import is_finite

GAMMA = "gamma"  # of whatever kernel; no class has this name
RIDGE = "ridge"  # of a kernel design, also where none was given
WEIGHT = "weight"

Owner = TypeVar("Owner", bound=Term | Kernel)


@dataclass(frozen=True)
class HyperparameterKey:
    """The parameter of a term or kernel that a name stands for.

    text        the name as given
    owner       the label of the term or kernel; None in "gamma", which is that of any kernel
    parameter   the name of its field; None where only the owner is named: its weight, or its gamma
    column      where there is one gamma per column: the column's index, or its name, which a problem knows
    """

    text: str
    owner: str | None
    parameter: str | None
    column: str | None = None

    @classmethod
    def parse(cls, name: str) -> HyperparameterKey:
        """The key of a name; it is not checked here that a model has its owner."""
        return _parse(name)

    def belongs_to(self, owner: Term | Kernel) -> bool:
        """Whether it is a parameter of this term or kernel."""
        return isinstance(owner, Kernel) if self.owner is None else self.owner == owner.label

    def parameter_of(self, owner: Term | Kernel) -> str:
        """The name of the owner's field."""
        return self.parameter or (GAMMA if isinstance(owner, Kernel) else WEIGHT)

    def is_gamma_of(self, kernel: Kernel | None) -> bool:
        """Whether it is the kernel's gamma, under any of its names (gamma, rbf.gamma)."""
        return kernel is not None and self.belongs_to(kernel) and self.parameter_of(kernel) == GAMMA

    def is_weight_of(self, term: Term) -> bool:
        """Whether it is the term's weight, under any of its names (tv, tv.weight)."""
        return self.belongs_to(term) and self.parameter_of(term) == WEIGHT

    def settled(self, owner: Term | Kernel, value: float) -> float:
        """The value rounded, where the parameter is a whole number."""
        field = _fields(owner).get(self.parameter_of(owner))
        whole = field is not None and isinstance(field.default, int) and not isinstance(field.default, bool)
        return round(value) if whole and is_finite(value) else value

    def changed(self, owner: Owner, value: float) -> Owner:
        """The owner with another value of this parameter; raises `InputError` where it has none of that name."""
        fields, parameter = _fields(owner), self.parameter_of(owner)
        if parameter not in fields:
            known = ", ".join(fields) or "no parameters"
            raise InputError(f"no hyper-parameter {shown(self.text)}: {owner.name} has {known}")
        record: Any = owner
        settled: Any = self.settled(owner, value)
        several = getattr(owner, parameter)
        if self.column is not None:
            places = [str(place) for place in range(len(several))] if isinstance(several, tuple) else []
            if self.column not in places:
                known = ", ".join(column_key(place) for place in places) or GAMMA
                raise InputError(f"no hyper-parameter {shown(self.text)}; there is {known}")
            settled = (*several[: int(self.column)], settled, *several[int(self.column) + 1 :])
        elif isinstance(several, tuple):
            raise InputError(f"{self.text} holds several numbers and cannot be set to one")
        return dataclasses.replace(record, **{parameter: settled})


@dataclass(frozen=True)
class Change:
    """Another value of one hyper-parameter."""

    key: HyperparameterKey
    value: float


def changes_by_label(
    values: Mapping[str, float], parts: Iterable[Term | Kernel], known: Iterable[str]
) -> dict[str, list[Change]]:
    """The changes of every part of a model, by its label.

    Raises `InputError` for a name that belongs to no part; its message lists the known ones.
    """
    labels = {part.label: isinstance(part, Kernel) for part in parts}
    kernel = next((label for label, is_kernel in labels.items() if is_kernel), "")
    changes: dict[str, list[Change]] = {label: [] for label in labels}
    for name, value in values.items():
        if isinstance(value, str):  # a parameter that follows the data is settled when the data arrive
            raise InputError(f"{name} is {shown(value)}; it must be a number")
        key = HyperparameterKey.parse(name)
        owner = kernel if key.owner is None else key.owner
        if owner not in changes:
            raise InputError(f"no hyper-parameter {shown(name)}; there are {', '.join(known)}")
        changes[owner].append(Change(key, value))
    return changes


def column_key(column: object) -> str:
    """The name of the gamma of a column, given by name or index."""
    return f"{GAMMA}.{column}"


def changed(part: Owner, changes: Mapping[str, Sequence[Change]]) -> Owner:
    """The part with the changes of its label made."""
    for change in changes[part.label]:
        part = change.key.changed(part, change.value)
    return part


@cache
def _parse(name: str) -> HyperparameterKey:
    if name == GAMMA or name.startswith(column_key("")):
        return HyperparameterKey(name, None, GAMMA, name.partition(".")[2] or None)
    owner, _, parameter = name.partition(".")
    return HyperparameterKey(name, owner, parameter or None)


def _fields(owner: Any) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(owner)}
