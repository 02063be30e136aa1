"""The term `bounds`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hw4opt.arguments import is_finite, is_number
from hw4opt.errors import InputError
from hw4opt.terms import PiecewiseQuadratic, Table, check_parameter


@dataclass(frozen=True)
class Bounds(PiecewiseQuadratic):
    """lower ≤ f(x_i) ≤ upper at every data row, either bound left out;  z = f.   Units of y."""

    lower: float = -math.inf
    upper: float = math.inf

    def __post_init__(self) -> None:
        for name, value in (("lower", self.lower), ("upper", self.upper)):
            if not is_number(value) or is_finite(value):
                check_parameter("bounds", name, value)
        if self.lower == -math.inf and self.upper == math.inf:
            raise InputError("bounds needs lower, upper or both, as in bounds:lower=0,upper=1")
        if self.lower >= self.upper:
            raise InputError(f"bounds: lower = {self.lower:g} and upper = {self.upper:g} conflict; lower must be below upper")

    @property
    def tables(self) -> tuple[Table, ...]:
        above = (Table(linear=self.upper, low=0),) if self.upper < math.inf else ()
        below = (Table(linear=self.lower, high=0),) if self.lower > -math.inf else ()
        return above + below

    def in_units(self, size: float) -> tuple[float, Bounds]:
        return 1.0, Bounds(self.lower / size, self.upper / size)

    def model(self, cp: Any, z: Any) -> Any:
        above = [z <= self.upper] if self.upper < math.inf else []
        below = [z >= self.lower] if self.lower > -math.inf else []
        return above + below
