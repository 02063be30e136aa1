"""How frozen records are filled where their constructor takes more kinds of values than their fields hold."""

from __future__ import annotations

from typing import TypeVar

Record = TypeVar("Record")


def set_fields(record: object, **values: object) -> None:
    """Set fields of a frozen record that is being made, or a cached value of it."""
    for name, value in values.items():
        object.__setattr__(record, name, value)


def unchecked(kind: type[Record], **values: object) -> Record:
    """A record of values that were checked before: its constructor, which would check them again, is not called."""
    record = kind.__new__(kind)
    set_fields(record, **values)
    return record
