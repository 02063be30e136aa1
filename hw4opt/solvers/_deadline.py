"""The time limit of a solver."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from hw4opt.form.answer import Status

BACKEND_RETURN_SECONDS = 1.0  # seconds that a backend has to return after its own time limit


class Deadline:
    """`time_limit` seconds from now; None or infinity: no deadline."""

    def __init__(self, time_limit: float | None) -> None:
        self.time_limit = math.inf if time_limit is None else time_limit
        self._start = time.monotonic()
        self._end = self._start + self.time_limit

    def passed(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self._end

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @property
    def left(self) -> float:
        """Seconds left, at least 0; infinity without a deadline."""
        return max(self._end - time.monotonic(), 0.0)

    def pass_on(self, settings: dict[str, Any], option: str | None) -> float:
        """Set a backend's own time limit, if it has such an option; returns the seconds after which to kill it."""
        left = self.left
        if option is None or not math.isfinite(left):
            return left
        settings[option] = left
        return left + BACKEND_RETURN_SECONDS

    @property
    def note(self) -> str:
        """The note of a problem that was stopped."""
        return f"stopped at the time limit of {self.time_limit:g} s"

    def notes(self, reached: Sequence[Status]) -> dict[int, str]:
        """The note of every unfinished problem, if the deadline has passed."""
        unfinished = [i for i, status in enumerate(reached) if status is Status.ITERATION_LIMIT]
        return dict.fromkeys(unfinished, self.note) if self.passed() else {}
