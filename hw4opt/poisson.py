"""The names of `hw4opt.poisson` before it became `hw4opt.mixture` and `hw4opt.proof`; they go in version 1.0."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw4opt.mixture import Choice, PoissonMixture

PLACES = {  # old module.name: new module.name
    "ascent.climb": "mixture.ascent.ascend",
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
    "likelihood.Point": "mixture.likelihood.MixtureParameters",
    "likelihood.curvature": "mixture.likelihood.curvature",
    "likelihood.expect": "mixture.likelihood.expect",
    "listener.COEF": "mixture.listener.COEF",
    "listener.FEATURES": "mixture.listener.FEATURES",
    "listener.Listener": "mixture.listener.Listener",
    "listener.simulated_listener": "mixture.listener.simulated_listener",
    "mixture.PoissonMixture": "mixture.model.PoissonMixture",
    "moods.Criteria": "mixture.result.Criteria",
    "moods.MixtureResult": "mixture.result.MixtureResult",
    "moods.Moods": "mixture.components.Components",
    "moods.Starts": "mixture.result.Starts",
    "moods.Uncertainty": "mixture.uncertainty.Uncertainty",
    "playlists.Playlist": "mixture.playlists.Playlist",
    "playlists.cautions": "mixture.playlists.cautions",
    "playlists.defining_rows": "mixture.playlists.defining_rows",
    "playlists.make_playlists": "mixture.playlists.make_playlists",
    "playlists.playlist_path": "mixture.playlists.playlist_path",
    "playlists.write_playlists": "mixture.playlists.write_playlists",
    "plotting.plot_mixture": "mixture.plotting.plot_mixture",
    "sample.Design": "mixture.sample.MixtureDesign",
    "sample.Sample": "mixture.sample.Sample",
    "search.Budget": "mixture.search.Budget",
    "search.settle": "mixture.runs.finish_run",
    "separated.drift": "proof.separation.drift",
}
PACKAGE_NAMES = {  # of the package itself, and their old module
    "Budget": "search",
    "Choice": "choosing",
    "MixtureResult": "moods",
    "Moods": "moods",
    "Playlist": "playlists",
    "PoissonMixture": "mixture",
    "Rows": "check",
    "choose_k": "choosing",
    "make_playlists": "playlists",
    "simulated_listener": "listener",
    "write_playlists": "playlists",
}


def _choose_k(model: PoissonMixture, data: Any, ks: Sequence[int], criterion: str = "bic", told: Any = None) -> Choice:
    """`hw4opt.mixture.choose_k` with the arguments that it had: data is (x, y, rows), and told is progress."""
    from hw4opt.errors import InputError
    from hw4opt.mixture import choose_k

    if not isinstance(data, tuple) or len(data) != 3:
        raise InputError("data is no triple; give (x, y, Rows(…))")
    x, y, rows = data
    return choose_k(model, x, y, ks, rows, criterion, told)


WITH_OLD_ARGUMENTS = {"choosing.choose_k": _choose_k}


def _moved(module: str, name: str) -> Any:
    """What an old module's name stands for, with a DeprecationWarning."""
    place = PLACES.get(f"{module}.{name}")
    if place is None:
        raise AttributeError(f"module {f'{__name__}.{module}'!r} has no attribute {name!r}")
    new_module, _, new_name = place.rpartition(".")
    message = f"hw4opt.poisson's {name} is now {new_name} of hw4opt.{new_module}; the old name goes in version 1.0"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
    old = WITH_OLD_ARGUMENTS.get(f"{module}.{name}")
    return getattr(importlib.import_module(f"hw4opt.{new_module}"), new_name) if old is None else old


def __getattr__(name: str) -> Any:
    if name not in PACKAGE_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _moved(PACKAGE_NAMES[name], name)


def _old_module(name: str) -> ModuleType:
    """A module that holds nothing but the names that moved."""
    module = ModuleType(f"{__name__}.{name}")
    module.__dict__["__getattr__"] = lambda attribute: _moved(name, attribute)
    return module


for _name in sorted({place.partition(".")[0] for place in PLACES}):
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = _old_module(_name)
