"""The extent of a search for the best maximum, in counts, and a further limit in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw4opt.errors import InputError
from hw4opt.mixture.ascent import TimeCheck
from hw4opt.validation.arguments import check_fields

STARTS_PER_CHAIN = 24
PERTURBATIONS_PER_START = 24  # where their number is not given


class ChainBudget(NamedTuple):
    """What one chain may try."""

    starts: int
    perturbations: int


@dataclass(frozen=True)
class Budget:
    """The extent of a search, in counts, so that a seed gives the same answer on every machine.

    starts           largest number;  perturbations  largest number, None: 24 per start
    seconds          a further limit, whose effect depends on the machine: unfinished runs are stopped

    Starts are taken in chains of 24, which between which the perturbations are divided evenly.
    """

    starts: int = 168
    perturbations: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.starts < 1:
            raise InputError(f"starts is {self.starts}; it must be 1 or more")
        if self.most < 0:
            raise InputError(f"perturbations is {self.perturbations}; it must be 0 or more")
        if self.seconds is not None and not self.seconds > 0:
            raise InputError(f"seconds is {self.seconds}; it must be above 0")

    @property
    def most(self) -> int:
        """The largest number of perturbations."""
        return PERTURBATIONS_PER_START * self.starts if self.perturbations is None else self.perturbations

    @property
    def chains(self) -> int:
        """The largest number of chains."""
        return -(-self.starts // STARTS_PER_CHAIN)

    def of_chain(self, number: int) -> ChainBudget:
        """The share of one chain; chains are numbered from 0."""
        first = STARTS_PER_CHAIN * number
        end = min(first + STARTS_PER_CHAIN, self.starts)
        return ChainBudget(end - first, self.most * end // self.starts - self.most * first // self.starts)


class Clock:
    """The seconds of a search, from now; stopped: whether they stopped something. A copy sent to another process has
    the seconds that are left when it is sent."""

    def __init__(self, seconds: float | None) -> None:
        self.stopped = False
        self._end = np.inf if seconds is None else time.monotonic() + seconds

    def __reduce__(self) -> tuple[Callable[[float | None], Clock], tuple[float | None]]:
        return Clock, (None if self._end == np.inf else self._end - time.monotonic(),)

    def time_is_over(self) -> bool:
        """Whether the seconds have run out; called only before work that this stops."""
        return self._is_past(self._end)

    def after(self, seconds: float) -> TimeCheck:
        """The same clock for work that may take at least this number of seconds from now."""
        end = max(self._end, time.monotonic() + seconds)
        return lambda: self._is_past(end)

    def _is_past(self, end: float) -> bool:
        past = end < np.inf and time.monotonic() > end
        self.stopped |= past
        return past
