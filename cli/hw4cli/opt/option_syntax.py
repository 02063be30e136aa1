"""Parse option values: kernels, and `NAME=LOW:HIGH:COUNT`; terms are parsed by `hw4opt.problem.words`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hw4opt.errors import InputError, shortened
from hw4opt.kernels import KERNELS, Kernel, Precomputed
from hw4opt.problem import words
from hw4opt.problem.words import Spec
from hw4opt.validation.arguments import whole_of

MAX_RANGE_POINTS = 1_000_000


@dataclass(frozen=True)
class LogRange:
    """NAME=LOW:HIGH:COUNT, log-spaced."""

    name: str
    low: float
    high: float
    count: int

    @property
    def axis(self) -> tuple[float, float, int]:
        return self.low, self.high, self.count


def parse_range(option: str, text: str) -> LogRange:
    """Parse NAME=LOW:HIGH:COUNT with 0 < LOW < HIGH and COUNT ≥ 2."""
    name, _, rest = (part.strip() for part in text.partition("="))
    parts = rest.split(":")
    try:
        low, high, count = float(parts[0]), float(parts[1]), whole_of(parts[2])
        if not (
            name
            and len(parts) == 3
            and 0 < low < high < math.inf
            and count is not None
            and 2 <= count <= MAX_RANGE_POINTS
        ):
            raise ValueError
    except (ValueError, IndexError):
        advice = (
            f"give NAME=LOW:HIGH:COUNT with 0 < LOW < HIGH and COUNT ≥ 2 (≤ {MAX_RANGE_POINTS:,}), as in ridge=0.01:1:5"
        )
        raise InputError(f"{option} {shortened(text)}: {advice}") from None
    return LogRange(name, low, high, count)


def kernel_of(option: str, spec: Spec, gamma: float) -> Kernel:
    """The kernel of that name with that gamma."""
    if spec.name == Precomputed.name:
        raise InputError(
            f"{option} {spec.text}: a precomputed Gram matrix is for Python; there are {', '.join(kernel_names())}"
        )
    return words.kernel_of(option, spec, gamma, kernel_names())


def kernel_names() -> list[str]:
    """The kernels that the command line offers."""
    return [name for name in KERNELS if name != Precomputed.name]
