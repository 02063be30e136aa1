"""Old names that work until version 1.0, with a warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def warn_renamed(old: str, new: str) -> None:
    """Warn the caller's caller that it uses an old name."""
    warnings.warn(f"{old} is now {new}; the old name goes in version 1.0", DeprecationWarning, stacklevel=3)


def renamed_argument(old: str, new: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take its keyword argument `new` by its old name, too."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **named: P.kwargs) -> R:
            if old in named:
                warn_renamed(f"{function.__qualname__}'s argument {old}", new)
                named[new] = named.pop(old)
            return function(*args, **named)

        return call

    return decorate
