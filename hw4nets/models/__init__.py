"""One network per file. The folder is the registry: a network has the name of its file, its class that name
capitalised."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from hw4nets.errors import UnknownNameError
from hw4nets.network import Net, build, flops_per_image, parameter_count, whiten

if TYPE_CHECKING:
    from hw4nets.models.base import Base as Base
    from hw4nets.models.conv import Conv as Conv
    from hw4nets.models.fast import Fast as Fast
    from hw4nets.models.hidden import Hidden as Hidden
    from hw4nets.models.logistic import Logistic as Logistic


def _networks() -> dict[str, type[Net]]:
    """Name → class of every file in this folder: the parts of the assignment in order, then the others by name."""
    names = [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]
    found = [getattr(import_module(f"{__name__}.{name}"), name.capitalize()) for name in names]
    return {net.name: net for net in sorted(found, key=lambda net: (not net.part, net.part, net.name))}


NETS: dict[str, type[Net]] = _networks()
_CLASSES = {net.__name__: net for net in NETS.values()}

__all__ = ["NETS", "Net", "build", "flops_per_image", "net", "parameter_count", "whiten"]
__all__ += list(_CLASSES)  # pyright: ignore[reportUnsupportedDunderAll]


def net(name: str, given: Mapping[str, Any] | None = None, **images: int) -> Net:
    """The network's record by name and options; raises `UnknownNameError`, which lists the known names.

    images   `image_side` and `class_count`, if they are not those of CIFAR-10
    """
    if name not in NETS:
        raise UnknownNameError("network", name, NETS)
    return NETS[name].of(name, given or {}, **images)


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return _CLASSES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
