"""Networks for CIFAR-10: data, models, training, selection and curves. Needs the extra `hw4opt[nets]`.

Names are loaded when they are first used: torch takes a second.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw4nets.config import Config
    from hw4nets.data import Data, load, synthetic
    from hw4nets.errors import (
        CheckpointError,
        DataError,
        DivergedError,
        InputError,
        NetsError,
        UnknownNameError,
        WriteError,
    )
    from hw4nets.evaluation import Evaluation, evaluate
    from hw4nets.history import History, Watch
    from hw4nets.models import NETS, Base, Conv, Fast, Hidden, Logistic, Net, build, net
    from hw4nets.recipes import Recipe, preset
    from hw4nets.training import train

_HOMES = {
    "config": ["Config"],
    "data": ["Data", "load", "synthetic"],
    "errors": [
        "CheckpointError",
        "DataError",
        "DivergedError",
        "InputError",
        "NetsError",
        "UnknownNameError",
        "WriteError",
    ],
    "evaluation": ["Evaluation", "evaluate"],
    "history": ["History", "Watch"],
    "models": ["NETS", "Net", "build", "net"],
    "recipes": ["Recipe", "preset"],
    "training": ["train"],
    # the class of each network is its file's name capitalised: known before torch is loaded
    **{
        f"models.{file.name}": [file.name.capitalize()]
        for file in iter_modules([f"{folder}/models" for folder in __path__])
        if not file.name.startswith("_")
    },
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"hw4nets.{_HOME[name]}"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("hw4opt")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
