"""What a class must have to be a term or a kernel, as sentences about those that lack it."""

from __future__ import annotations

from functools import cache
from typing import Any

from hw4opt.terms.base import Loss, Term
from hw4opt.terms.quadratic import PiecewiseQuadratic
from hw4opt.terms.smooth import Smooth


@cache
def class_fault(kind: type) -> str | None:
    """What the class of a term or kernel lacks, in a sentence; None if nothing."""
    missing: list[str] = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        return f"the class {kind.__name__} lacks {_and(missing)}"
    settings: Any = getattr(kind, "__dataclass_params__", None)
    if settings is None or not settings.frozen:
        return f"the class {kind.__name__} is not a frozen dataclass; put @dataclass(frozen=True) above it"
    name: Any = getattr(kind, "name", "")
    if not name:
        return (
            f'the class {kind.__name__} has no name; give it one, as in name: ClassVar[str] = "{_snake(kind.__name__)}"'
        )
    if not isinstance(name, str) or not name.isidentifier():
        return f"the name of the class {kind.__name__} is {name!r}; it must be one word of letters, digits and _"
    return None


def term_fault(term: Term) -> str | None:
    """The reason why a problem cannot have the term; None if it can. The ridge, which needs neither, is not checked."""
    if isinstance(term, Smooth):
        return None
    if isinstance(term, Loss) and len(term.curves) > 1:
        return next((fault for one in term.curves if (fault := term_fault(one)) is not None), None)
    if not isinstance(term, PiecewiseQuadratic):
        return (
            f"{term.name} has neither a table nor derivatives; a term of a problem derives from "
            "PiecewiseQuadratic and gives the "
            "tables of its conjugate, or is a loss that derives from Smooth"
        )
    try:
        count = len(term.tables)
    except ArithmeticError as error:
        return f"{term.name}: {term!r} has no tables ({error}); Table.times(weight) scales a table by any weight ≥ 0"
    return (
        None if count in (1, 2) else f"{term.name} has {count} tables; a term has one, or two that act on the same rows"
    )


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
