"""Components of a sum in words: NAME[=COL[,COL…]][:SPACE] and dotted terms, as on the command line and in
`hw4opt.estimators`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hw4opt.design import Categorical
from hw4opt.errors import InputError, UnknownNameError
from hw4opt.kernels import Kernel
from hw4opt.problem.words import Spec, parse_spec

LINEAR = "linear"
FIXED_SPACES: dict[str | None, Kernel | None] = {LINEAR: None, Categorical.name: Categorical()}
COMPONENT_ADVICE = (
    "give NAME=COL[,COL…] (NAME alone where it is the column), and behind a colon linear, categorical or a kernel, as "
    "in dose:matern52 or site=site:categorical"
)


@dataclass(frozen=True)
class ComponentWords:
    """A component as described in words.

    columns    the x columns, by name
    space      linear, categorical, or the word of a kernel; None: the kernel of all components
    """

    name: str
    columns: tuple[str, ...]
    space: str | None = None

    @property
    def has_kernel(self) -> bool:
        """Whether it has a kernel with a gamma: terms without a component's name then apply to it."""
        return self.space not in FIXED_SPACES

    def __str__(self) -> str:
        return f"{self.name}={','.join(self.columns)}" + (f":{self.space}" if self.space else "")


def parse_component(option: str, text: str) -> ComponentWords:
    """Parse NAME[=COL[,COL…]][:SPACE].

    option    the parameter that holds the word: messages begin with it
    """
    head, colon, space = (part.strip() for part in text.partition(":"))
    name, equals, rest = (part.strip() for part in head.partition("="))
    columns = tuple(column.strip() for column in rest.split(",")) if equals else (name,)
    if not (name and all(columns)) or (colon and not space):
        raise InputError(f"{option} {text}: {COMPONENT_ADVICE}")
    return ComponentWords(name, columns, space or None)


def by_component(
    option: str, texts: Sequence[str], names: Sequence[str], short: str | None = None
) -> dict[str, list[Spec]]:
    """The words of terms by the component that they name, as in dose.tv; those without one under "".

    Raises `UnknownNameError` for a component that is not one of `names`; `short` as in `parse_spec`.
    """
    found: dict[str, list[Spec]] = {}
    for text in texts:
        spec = parse_spec(option, text, short)
        owner, dot, term = spec.name.partition(".")
        if dot and owner not in names:
            raise UnknownNameError("component", owner, names)
        found.setdefault(owner if dot else "", []).append(replace(spec, name=term if dot else spec.name))
    return found
