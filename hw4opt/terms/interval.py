"""The set lower ≤ z ≤ upper, the base class of bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

from hw4opt.errors import InputError
from hw4opt.terms.quadratic import PiecewiseQuadratic, Table
from hw4opt.validation.arguments import check_parameter, is_finite, is_number


@dataclass(frozen=True)
class Interval(PiecewiseQuadratic):
    """lower ≤ z ≤ upper, one bound may be missing; raises `InputError` for bounds that conflict, or for none."""

    lower: float = -math.inf
    upper: float = math.inf

    def __post_init__(self) -> None:
        for name, value in (("lower", self.lower), ("upper", self.upper)):
            if not is_number(value) or is_finite(value):
                check_parameter(self.name, name, value)
        if self.lower == -math.inf and self.upper == math.inf:
            raise InputError(f"{self.name} needs lower, upper or both, as in {self.name}:lower=0,upper=1")
        if self.lower >= self.upper:
            raise InputError(
                f"{self.name}: lower = {self.lower:g} and upper = {self.upper:g} conflict; lower must be below upper"
            )

    @property
    def tables(self) -> tuple[Table, ...]:
        above = (Table(linear=self.upper, low=0),) if self.upper < math.inf else ()
        below = (Table(linear=self.lower, high=0),) if self.lower > -math.inf else ()
        return above + below

    def in_units(self, size: float) -> tuple[float, Self]:
        return 1.0, replace(self, lower=self.lower / size, upper=self.upper / size)

    def model(self, cp: Any, z: Any) -> Any:
        above = [z <= self.upper] if self.upper < math.inf else []
        below = [z >= self.lower] if self.lower > -math.inf else []
        return above + below
