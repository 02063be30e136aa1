"""How the constructor of a frozen record fills it where it takes more kinds of values than the fields hold."""

from __future__ import annotations


def set_fields(record: object, **values: object) -> None:
    """Set fields of a frozen record that is being made, or a cached value of it."""
    for name, value in values.items():
        object.__setattr__(record, name, value)
