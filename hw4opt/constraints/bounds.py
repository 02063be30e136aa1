"""The term `bounds`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hw4opt.terms import Interval, Shape


@dataclass(frozen=True)
class Bounds(Interval, Shape):
    """lower ≤ f(x_i) ≤ upper at every data row, either bound left out;  z = f. With `everywhere`: at every x, too.
    Units of y.
    """

    name: ClassVar[str] = "bounds"
    usage: ClassVar[str] = "bounds:lower=0,upper=1"

    def __post_init__(self) -> None:
        Shape.__post_init__(self)
        Interval.__post_init__(self)
