"""A trained network as an ONNX file, checked against its own outputs. Needs the extra `hw4opt[onnx]`."""

from __future__ import annotations

import json
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hw4nets.data import normalize
from hw4nets.errors import ExportError
from hw4nets.files import replacing
from hw4nets.runs import load_model, read_run, run_classes

CHECKED_BATCH_SIZES = (1, 7)  # batches of random images on which both must agree
MAX_PROBABILITY_DIFFERENCE = 1e-5  # of a probability
INPUT_NAME, OUTPUT_NAME = "pixels", "probabilities"


@dataclass(frozen=True)
class Exported:
    """An ONNX file: its input, pixels uint8 (n, 3, side, side), and the largest difference of a probability found."""

    classes: tuple[str, ...]
    side: int
    difference: float


class _Whole(nn.Module):
    """Pixels uint8 (n, 3, side, side) ↦ probabilities (n, classes)."""

    def __init__(self, model: nn.Module, scale: str) -> None:
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model(normalize(pixels, self.scale)).softmax(1)


def export(run: str | Path, path: str | Path, checkpoint: str = "last") -> Exported:
    """Write the network of a run as ONNX, from pixels uint8 (n, 3, side, side) to probabilities (n, classes), any n.

    It includes the normalisation of pixels; its metadata have `classes` (JSON), `net` and `pixels`. The probabilities
    of onnxruntime must agree with those of the network in float32 to MAX_PROBABILITY_DIFFERENCE.

    checkpoint   last | best

    Raises `ExportError` if they do not, `InputError` for a folder that is not a run, `CheckpointError` for an unusable
    checkpoint, `WriteError` if the file cannot be written, and ModuleNotFoundError without the extra.
    """
    onnxruntime = import_module("onnxruntime")
    folder = Path(run)
    recipe, kept = read_run(folder)
    classes, side = run_classes(kept), recipe.shape.image_side
    model, _ = load_model(folder / f"{checkpoint}.pt", recipe, "cpu")
    whole = _Whole(model, recipe.config.input_scale).eval()
    about = {"classes": json.dumps(classes), "net": recipe.shape.name, "pixels": str(kept.get("pixels", ""))}
    content = _serialized(whole, side, about)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    difference = max(_difference(whole, session, side, count) for count in CHECKED_BATCH_SIZES)
    if not difference <= MAX_PROBABILITY_DIFFERENCE:
        why = f"onnxruntime's probabilities differ by {difference:.2g} from the network's"
        raise ExportError(f"{why}: no file is written")
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return Exported(classes, side, difference)


def _serialized(whole: nn.Module, side: int, about: dict[str, str]) -> bytes:
    example = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    whole(example)  # constants of the normalisation are made once: not within the trace
    with warnings.catch_warnings(), redirect_stdout(StringIO()):  # of torch's exporter, about its own code
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            whole,
            (example,),
            dynamo=True,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=({0: torch.export.Dim("images")},),  # any number
            verbose=False,
        )
    if program is None:
        raise ExportError("torch gave no ONNX program: no file is written")
    program.model.metadata_props.update(about)
    return program.model_proto.SerializeToString()


def _difference(whole: nn.Module, session: Any, side: int, count: int) -> float:
    """The largest difference of a probability on random images."""
    pixels = np.random.default_rng(count).integers(0, 256, (count, 3, side, side), np.uint8)
    with torch.no_grad():
        ours = whole(torch.from_numpy(pixels)).numpy()
    return float(np.abs(session.run([OUTPUT_NAME], {INPUT_NAME: pixels})[0] - ours).max())
