"""How frozen records are filled where their constructor takes more kinds of values than their fields hold, and how they
keep what they compute."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, TypeVar

Record = TypeVar("Record")

if TYPE_CHECKING or sys.version_info >= (3, 12):
    cached_property = functools.cached_property
else:

    class cached_property(functools.cached_property):  # noqa: N801 (as in functools)
        """That of Python 3.12: without the lock of 3.11, which takes longer than most of what is kept here."""

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self.attrname] = self.func(instance)
            return value


def set_fields(record: object, **values: object) -> None:
    """Set fields of a frozen record that is being made, or a cached value of it."""
    vars(record).update(values)


def unchecked(kind: type[Record], **values: object) -> Record:
    """A record of values that were checked before: its constructor, which would check them again, is not called."""
    record = kind.__new__(kind)
    set_fields(record, **values)
    return record
