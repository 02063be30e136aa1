"""The names that `hw4opt.poisson` had before it became `hw4opt.mixture` and `hw4opt.proof`; they go in version 1.0."""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from types import ModuleType
from typing import Any

PLACES = {  # old module.name: new module.name
    "ascent.climb": "mixture.ascent.climb",
    "ascent.moved": "mixture.ascent.moved",
    "check.Rows": "mixture.validation.Rows",
    "choosing.CRITERIA": "mixture.selection.CRITERIA",
    "choosing.Choice": "mixture.selection.Choice",
    "choosing.choose_k": "mixture.selection.choose_k",
    "em.cycle": "mixture.em.cycle",
    "em.m_step": "mixture.em.m_step",
    "em.one_hot": "mixture.em.one_hot",
    "em.textbook": "mixture.em.textbook",
    "existence.Existence": "proof.existence.Existence",
    "existence.settle": "proof.existence.settle",
    "likelihood.Point": "mixture.likelihood.Point",
    "likelihood.curvature": "mixture.likelihood.curvature",
    "likelihood.expect": "mixture.likelihood.expect",
    "listener.COEF": "mixture.listener.COEF",
    "listener.FEATURES": "mixture.listener.FEATURES",
    "listener.Listener": "mixture.listener.Listener",
    "listener.simulated_listener": "mixture.listener.simulated_listener",
    "mixture.PoissonMixture": "mixture.model.PoissonMixture",
    "moods.MixtureResult": "mixture.components.MixtureResult",
    "moods.Moods": "mixture.components.Components",
    "playlists.Playlist": "mixture.playlists.Playlist",
    "playlists.cautions": "mixture.playlists.cautions",
    "playlists.defining_rows": "mixture.playlists.defining_rows",
    "playlists.make_playlists": "mixture.playlists.make_playlists",
    "playlists.playlist_path": "mixture.playlists.playlist_path",
    "playlists.write_playlists": "mixture.playlists.write_playlists",
    "plotting.plot_mixture": "mixture.plotting.plot_mixture",
    "sample.Sample": "mixture.sample.Sample",
    "search.Budget": "mixture.search.Budget",
    "search.settle": "mixture.search.settle",
    "separated.drift": "proof.separation.drift",
}
PACKAGE_NAMES = (
    "check.Rows",
    "choosing.Choice",
    "choosing.choose_k",
    "listener.simulated_listener",
    "mixture.PoissonMixture",
    "moods.MixtureResult",
    "moods.Moods",
    "playlists.Playlist",
    "playlists.make_playlists",
    "playlists.write_playlists",
    "search.Budget",
)  # those of the package itself
_MODULE_OF = {name.partition(".")[2]: name.partition(".")[0] for name in PACKAGE_NAMES}


def _moved(module: str, name: str) -> Any:
    """A name of an old module, from its new place, with a DeprecationWarning."""
    place = PLACES.get(f"{module}.{name}")
    if place is None:
        raise AttributeError(f"module {f'{__name__}.{module}'!r} has no attribute {name!r}")
    new_module, _, new_name = place.rpartition(".")
    warnings.warn(
        f"hw4opt.poisson's {name} is {new_name} of hw4opt.{new_module}; the old name goes in version 1.0",
        DeprecationWarning,
        stacklevel=3,
    )
    return getattr(importlib.import_module(f"hw4opt.{new_module}"), new_name)


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _moved(module, name)


def _old_module(name: str) -> ModuleType:
    """A module with nothing in it but the names that moved."""
    module = ModuleType(f"{__name__}.{name}")
    module.__dict__["__getattr__"] = functools.partial(_moved, name)
    return module


for _name in sorted({place.partition(".")[0] for place in PLACES}):
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = _old_module(_name)
