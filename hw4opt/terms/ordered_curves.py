"""The order constraint of several curves that are fitted together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hw4opt.terms.acts import Acts, points_left
from hw4opt.terms.points import FoldRows, Points
from hw4opt.terms.quadratic import PiecewiseQuadratic, Table
from hw4opt.terms.row_map import NEIGHBOURS, RowMap


@dataclass(frozen=True)
class CurveSteps(Acts):
    """f_{l+1} - f_l at the base points, for one pair of adjacent curves after the other."""

    between_curves: ClassVar[bool] = True
    curves: int

    def rows(self, points: Points, owner: str) -> RowMap:
        """(curves - 1) · N rows."""
        size, first = len(points.base_x), points.curve_rows * np.arange(self.curves - 1)
        lower = (first[:, None] + np.arange(size)).ravel()
        coef = np.broadcast_to(NEIGHBOURS, (len(lower), 2))
        return RowMap(len(lower), index=np.column_stack([lower, lower + points.curve_rows]), coef=coef)

    def fold_rows(self, points: Points, rows: RowMap, held_out: Sequence[np.ndarray]) -> FoldRows:
        """The rows of a point are left out with the last data row there."""
        every = np.arange(len(points.base_x))
        has = np.stack([np.isin(every, points_left(points, held)) for held in held_out]).astype(float)
        return FoldRows(rows, np.tile(has, self.curves - 1))


@dataclass(frozen=True)
class OrderedCurves(PiecewiseQuadratic):
    """f_1 ≤ f_2 ≤ … at the data rows;  z = f_{l+1} - f_l of every two neighbouring curves.   (Takeuchi et al. 2006.)"""

    name: ClassVar[str] = "ordered_curves"
    curves: int

    @property
    def wording(self) -> str:
        return "the order of the levels"

    @property
    def acts(self) -> CurveSteps:
        return CurveSteps(self.curves)

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(high=0.0),)

    def in_units(self, size: float) -> tuple[float, OrderedCurves]:
        return 1.0, self

    def model(self, cp: Any, z: Any) -> Any:
        return [z >= 0]
