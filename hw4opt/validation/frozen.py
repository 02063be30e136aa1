"""Setting fields of frozen records whose constructors accept more kinds of values than the fields hold, and caching
what they compute."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, TypeVar

Record = TypeVar("Record")

if TYPE_CHECKING or sys.version_info >= (3, 12):
    cached_property = functools.cached_property
else:

    class cached_property(functools.cached_property):  # noqa: N801 (as in functools)
        """`functools.cached_property` as in Python 3.12: without the lock of 3.11, which is slower than most values."""

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self.attrname] = self.func(instance)
            return value


def set_fields(record: object, **values: object) -> None:
    """Set fields, or a cached value, of a frozen record that is being constructed."""
    vars(record).update(values)


def unchecked(kind: type[Record], **values: object) -> Record:
    """A record of values that are already checked, made without calling its constructor."""
    record = kind.__new__(kind)
    set_fields(record, **values)
    return record
