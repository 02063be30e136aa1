"""The term `huber`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from hw4opt.errors import InputError
from hw4opt.terms import AUTO, Loss, PiecewiseQuadratic, Table, check_parameter

EFFICIENT_DELTA = 1.345  # in σ: 95 % of least squares' efficiency for normal noise (Holland and Welsch 1977)


@dataclass(frozen=True)
class Huber(PiecewiseQuadratic, Loss):
    """Σ h(z),  h(z) = z² if |z| ≤ delta, else 2 delta |z| - delta²;  z = fitted - y of shape (n,).

    The scale is cvxpy's, twice scikit-learn's; delta > 0 in units of y.   (Huber 1964; assignment 2b has delta = 1.)

    delta = "auto": 1.345 σ, fixed when a `Problem` is made (its `loss` has the number), so that folds and paths share
    it; σ is the noise of the rows of weight above 0 by `hw4opt.problem.noise.noise_size`: from differences of
    neighbours in x for one column, from a least median of squares fit for several. Outside a problem such a loss cannot
    be evaluated: that raises `InputError`.
    """

    name: ClassVar[str] = "huber"
    usage: ClassVar[str] = "huber:delta=1 (delta=auto: from the noise in y)"
    automatic: ClassVar[tuple[str, ...]] = ("delta",)
    delta: float | str = 1.0

    def __post_init__(self) -> None:
        if not self._open:
            check_parameter(self.name, "delta", self.delta, low=0, strict=True)

    @property
    def _open(self) -> bool:
        return isinstance(self.delta, str) and self.delta == AUTO

    @property
    def threshold(self) -> float:
        """delta as a number; raises `InputError` for "auto"."""
        if isinstance(self.delta, str):
            raise InputError(
                'huber: delta is "auto", which becomes a number in a Problem; take the loss from '
                "there, or give a number"
            )
        return self.delta

    def settle(self, noise: Callable[[], float]) -> Huber:
        """This loss with delta as a number; noise() gives σ in units of y."""
        return Huber(EFFICIENT_DELTA * noise()) if self._open else self

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(quadratic=0.5, low=-2 * self.threshold, high=2 * self.threshold),)

    def in_units(self, size: float) -> tuple[float, Huber]:
        return size * size, Huber(self.threshold / size)

    def model(self, cp: Any, z: Any) -> Any:
        return cp.huber(z, self.threshold)
