"""Dates and date-times: ISO 8601 text as nanoseconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

SECOND = 10**9  # in nanoseconds
DAY = 86_400 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d|\d{4}-W\d\d-\d|\d{8}(?=T))"
    r"(?:[Tt ](\d\d:?\d\d(?::?\d\d)?)(?:(?<=\d\d:\d\d:\d\d)[.,](\d+))?([Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)


@dataclass(frozen=True, eq=False)
class Times:
    """The times in a column.

    nanoseconds   since 1970 in UTC (a time without zone counts as UTC), None where a cell holds no time
    zoned (n,)    whether the cell names its time zone;  dates  whether no cell holds a time of day
    """

    nanoseconds: list[int | None]
    zoned: np.ndarray
    dates: bool

    def __len__(self) -> int:
        return len(self.nanoseconds)

    @property
    def here(self) -> np.ndarray:
        """(n,) whether the cell holds a time."""
        return np.fromiter((one is not None for one in self.nanoseconds), dtype=bool, count=len(self))


def parse_times(cells: Iterable[str]) -> Times:
    """ISO 8601 dates and date-times: 2026-01-31, 2026-01-31T12:30:00.5+02:00, 2026-W05-6, with a T or a blank between
    date and time."""
    found = [_moment(cell) for cell in cells]
    dates = not any(one is not None and one[2] for one in found)
    zoned = np.fromiter((one is not None and one[1] for one in found), dtype=bool, count=len(found))
    return Times([None if one is None else one[0] for one in found], zoned, dates)


def _moment(cell: str) -> tuple[int, bool, bool] | None:
    """Nanoseconds, and whether the text names a zone and a time of day."""
    match = _ISO.fullmatch(cell.strip())
    if match is None:
        return None
    date, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(date + (f"T{clock}" if clock else "") + (zone or "").upper())
        passed = (moment if zone else moment.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):  # the 30th of February
        return None
    whole = (passed.days * 86_400 + passed.seconds) * SECOND
    return whole + int((fraction or "").ljust(9, "0")[:9]), zone is not None, clock is not None


def moment_text(nanoseconds: int, dates: bool) -> str:
    """ISO 8601 text of a time in UTC, of any year; without the time of day for dates."""
    if dates:
        return str(np.datetime64(nanoseconds // DAY, "D"))
    whole, rest = divmod(nanoseconds, SECOND)
    return str(np.datetime64(whole, "s")) + (f".{rest:09d}".rstrip("0") if rest else "")
