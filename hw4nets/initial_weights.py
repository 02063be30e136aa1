"""Weights of another run as the start of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hw4nets.checkpoint import LAST_FILE, load_checkpoint
from hw4nets.errors import CheckpointError, InputError


def read_init(init: str) -> dict[str, Any]:
    """The weights of a run folder by name; raises `InputError` if it has none."""
    try:
        weights = load_checkpoint(Path(init) / LAST_FILE)["weights"]
        if not all(isinstance(tensor, Tensor) for tensor in weights.values()):
            raise ValueError
    except (CheckpointError, LookupError, AttributeError, ValueError) as error:
        why = error if isinstance(error, CheckpointError) else f"{Path(init) / LAST_FILE} holds no weights"
        raise InputError(f"`init` {init}: {why}; give the folder of a run with an epoch finished") from error
    return weights


def take_weights(model: nn.Module, init: str) -> list[str]:
    """Set the layers of a network that fit to the weights of a run; returns a sentence that names the others, if any.

    Raises `InputError` if none fits.
    """
    weights, misfits, taken = read_init(init), [], 0
    for name, layer in model.named_modules():
        own = {entry: tensor for entry, tensor in layer.state_dict().items() if "." not in entry}
        theirs = {entry: weights.get(f"{name}.{entry}") for entry in own}
        wrong = [entry for entry, tensor in theirs.items() if tensor is None or tensor.shape != own[entry].shape]
        if wrong:
            there = "none" if (tensor := theirs[wrong[0]]) is None else _sizes(tensor)
            misfits.append(f"{type(layer).__name__} {name} ({wrong[0]} {_sizes(own[wrong[0]])}, there {there})")
        elif own:
            layer.load_state_dict(theirs)
            taken += 1
    if not taken:
        raise InputError(f"no layer of the network fits the weights of {init}; give `init` a run of a network like it")
    return [f"layers that do not fit the weights of {init} are initialised: {', '.join(misfits)}"] if misfits else []


def _sizes(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape))
