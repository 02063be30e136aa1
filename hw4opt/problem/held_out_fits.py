"""The fits of a problem without each fold of its rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from hw4opt.design import Design
from hw4opt.terms.base import Array
from hw4opt.validation.arrays import ReadOnly, read_only
from hw4opt.validation.frozen import unchecked

P = TypeVar("P")  # the class of problems


@dataclass(frozen=True, eq=False)
class HeldOutFits(ReadOnly):
    """Exact fits of one problem without each of F folds of its n rows of a weight above 0.

    w          (F, r) points in the reduced basis of the problem's design
    fold_of    (n,) the fold that holds out each row
    method     loo | loo:x | kfold:K
    grouped    whether rows that belong together, those of a group or of one x, are held out together
    unproven   the number of fits without proof
    """

    w: Array
    fold_of: np.ndarray
    method: str
    grouped: bool = False
    unproven: int = 0

    def __post_init__(self) -> None:
        read_only((self.w, self.fold_of))

    def attached_to(self, problem: P, design: Design) -> P:
        """The same problem with these fits as its `held_out`, in the basis of `design`.

        A problem made from it with other hyper-parameters or data does not have them.
        """
        return unchecked(type(problem), **vars(problem) | {"design": design, "held_out": self})

    def over(self, design: Design, other: Design) -> HeldOutFits | None:
        """These fits in the basis of another design, which extends that of `design`; None where it does not."""
        w = design.carried(self.w, other)
        return None if w is None else replace(self, w=w)

    @property
    def folds(self) -> int:
        """The number of folds."""
        return len(self.w)
