"""A simulated listener whose plays come from known components, the moods: an example with a known true answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hw4opt.errors import InputError
from hw4opt.mixture.validation import INTERCEPT
from hw4opt.tables import Table
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_seed, checked

FEATURES = ("tempo", "energy", "acoustic")
COEF = np.array([[2.0, 1.0, 0.8, -0.6], [2.6, -0.9, -0.7, 0.9], [1.2, 0.3, -1.0, -1.2]])  # intercept, then FEATURES
PROPORTIONS = np.array([0.5, 0.3, 0.2])
SONGS = 400  # by default


class Listener(NamedTuple):
    """Features (n, 3), plays and moods of songs; the true coef (3, 4), intercepts first, and proportions."""

    x: Array
    plays: Array
    moods: np.ndarray
    coef: Array
    proportions: Array

    @property
    def table(self) -> Table:
        """Song, plays and features, as a file would hold them."""
        columns = {name: self.x[:, place] for place, name in enumerate(FEATURES)}
        plain = Table.of({"plays": self.plays, **columns}, "the built-in listener")
        songs = [f"song {number}" for number in range(1, len(self.plays) + 1)]
        return Table({"song": songs, **plain.columns}, plain.source, plain.sha256)

    def coef_of(self, names: Sequence[str]) -> Array | None:
        """The true coefficients in the order of these columns; None unless these are the intercept and all features."""
        own = (INTERCEPT, *FEATURES)
        return self.coef[:, [own.index(name) for name in names]] if sorted(names) == sorted(own) else None


@checked
def simulated_listener(seed: int = 0, n: int = SONGS) -> Listener:
    """n songs: standard normal features, moods with probabilities 0.5, 0.3, 0.2, plays ~ Poisson(exp(w_jᵀ(1, x)))."""
    check_seed(seed)
    if n < 1:
        raise InputError(f"n is {n}; it must be 1 or more")
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, len(FEATURES)))
    moods = draw.choice(len(PROPORTIONS), size=n, p=PROPORTIONS)
    rates = np.exp(np.einsum("np,np->n", np.column_stack([np.ones(n), x]), COEF[moods]))
    return Listener(x, draw.poisson(rates).astype(float), moods, COEF, PROPORTIONS)
