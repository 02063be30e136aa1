"""torchvision's dataset of CIFAR-10, importable with any build of torch."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from types import ModuleType

import torch

OPERATORS = ("nms", "qnms")
SCHEMA = "{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library: list[torch.library.Library] = []  # garbage collection of the library would remove its operators


@cache
def torchvision_datasets() -> ModuleType:
    """`torchvision.datasets`.

    torchvision from PyPI is built for CUDA. With a CPU-only torch its compiled operators do not load, and the import
    raises "operator torchvision::nms does not exist", because Python code registers a shape rule for operators that
    are not defined. Defining their schemas first is enough: nothing here calls them.
    """
    try:
        return importlib.import_module("torchvision.datasets")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    _define_operators()
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # partly initialised by the failed import
    return importlib.import_module("torchvision.datasets")


def _define_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in OPERATORS:
        library.define(SCHEMA.format(name=name))
    _library.append(library)
