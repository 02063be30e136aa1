"""The term `bounds`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hw4opt.terms import Interval


@dataclass(frozen=True)
class Bounds(Interval):
    """lower ≤ f(x_i) ≤ upper at every data row, either bound left out;  z = f.   Units of y."""

    name: ClassVar[str] = "bounds"
    usage: ClassVar[str] = "bounds:lower=0,upper=1"
