"""Old names that work until version 1.0, with a warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def warn_renamed(old: str, new: str) -> None:
    """Warn the caller's caller that it uses an old name."""
    warnings.warn(f"{old} is now {new}; the old name goes in version 1.0", DeprecationWarning, stacklevel=3)


def renamed_argument(old: str, new: str) -> Callable[[F], F]:
    """Let a function take its keyword argument `new` by its old name, too."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **named: Any) -> Any:
            if old in named:
                warn_renamed(f"{function.__qualname__}'s argument {old}", new)
                named[new] = named.pop(old)
            return function(*args, **named)

        return call  # type: ignore[return-value]

    return decorate
