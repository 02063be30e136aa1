"""Networks for CIFAR-10: data, models, training, selection and curves. Needs the extra `hw4opt[nets]`.

Names are loaded on first use, because importing torch takes a second.
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
    from hw4nets.models import NETS, Net, build, net
    from hw4nets.models import Base as Base
    from hw4nets.models import Conv as Conv
    from hw4nets.models import Fast as Fast
    from hw4nets.models import Hidden as Hidden
    from hw4nets.models import Logistic as Logistic
    from hw4nets.prediction import Predictions, predict
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
    "prediction": ["Predictions", "predict"],
    "recipes": ["Recipe", "preset"],
    "training": ["train"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_FILES = [file.name for file in iter_modules([f"{folder}/models" for folder in __path__]) if file.name[0] != "_"]
_NETWORKS = {name.capitalize(): f"models.{name}" for name in _FILES}  # found by their files, before torch is loaded
_HOME |= _NETWORKS

__all__ = [
    "NETS",
    "CheckpointError",
    "Config",
    "Data",
    "DataError",
    "DivergedError",
    "Evaluation",
    "History",
    "InputError",
    "Net",
    "NetsError",
    "Predictions",
    "Recipe",
    "UnknownNameError",
    "Watch",
    "WriteError",
    "build",
    "evaluate",
    "load",
    "net",
    "predict",
    "preset",
    "synthetic",
    "train",
]
__all__ += list(_NETWORKS)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"hw4nets.{_HOME[name]}"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("hw4opt")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
