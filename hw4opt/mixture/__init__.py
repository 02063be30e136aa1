"""Mixtures of Poisson regressions by EM, the choice of their number of components, and playlists made from them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw4opt.mixture.budget import Budget
    from hw4opt.mixture.components import Components
    from hw4opt.mixture.listener import simulated_listener
    from hw4opt.mixture.model import PoissonMixture
    from hw4opt.mixture.playlists import Playlist, make_playlists, write_playlists
    from hw4opt.mixture.result import MixtureResult
    from hw4opt.mixture.selection import Choice, choose_k
    from hw4opt.mixture.validation import Rows

__all__ = [
    "Budget",
    "Choice",
    "Components",
    "MixtureResult",
    "Playlist",
    "PoissonMixture",
    "Rows",
    "choose_k",
    "make_playlists",
    "simulated_listener",
    "write_playlists",
]
_MODULES = {
    "budget": ("Budget",),
    "components": ("Components",),
    "listener": ("simulated_listener",),
    "model": ("PoissonMixture",),
    "playlists": ("Playlist", "make_playlists", "write_playlists"),
    "result": ("MixtureResult",),
    "selection": ("Choice", "choose_k"),
    "validation": ("Rows",),
}


def __getattr__(name: str) -> Any:
    """A public name, loaded at its first use: a use of one of them does not load the others."""
    module = next((module for module, names in _MODULES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
