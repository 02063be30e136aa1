"""Counts: when a maximum exists, mixtures of Poisson regressions by EM, and the playlists they make."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw4opt.poisson.check import Rows
    from hw4opt.poisson.choosing import Choice, choose_k
    from hw4opt.poisson.listener import simulated_listener
    from hw4opt.poisson.mixture import PoissonMixture
    from hw4opt.poisson.moods import MixtureResult, Moods
    from hw4opt.poisson.playlists import Playlist, make_playlists, write_playlists
    from hw4opt.poisson.search import Budget

__all__ = [
    "Budget",
    "Choice",
    "MixtureResult",
    "Moods",
    "Playlist",
    "PoissonMixture",
    "Rows",
    "choose_k",
    "make_playlists",
    "simulated_listener",
    "write_playlists",
]
_HOMES = {
    "check": ("Rows",),
    "choosing": ("Choice", "choose_k"),
    "listener": ("simulated_listener",),
    "mixture": ("PoissonMixture",),
    "moods": ("MixtureResult", "Moods"),
    "playlists": ("Playlist", "make_playlists", "write_playlists"),
    "search": ("Budget",),
}


def __getattr__(name: str) -> Any:
    """A public name, loaded when first asked for: plain fits need existence alone, and every millisecond of start-up counts."""
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
