"""Evaluation of a trained network: accuracy plain and with flips averaged, confusions, most confident mistakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hw4nets.data import Data, normalize
from hw4nets.execution import Execution, at_least_float32
from hw4nets.network import check_fits


@dataclass(frozen=True)
class Evaluation:
    """Outputs on the test images.

    probabilities    (n, classes), rows sum to 1
    labels           (n,)
    accuracy         plain
    accuracy_flip    of the mean output of each image and its mirror image
    """

    probabilities: np.ndarray
    labels: np.ndarray
    accuracy: float
    accuracy_flip: float

    @property
    def predicted(self) -> np.ndarray:
        """Class of each image, (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def confusion(self) -> np.ndarray:
        """Counts (classes, classes): row the true class, column the predicted one."""
        classes = self.probabilities.shape[1]
        return np.bincount(self.labels * classes + self.predicted, minlength=classes**2).reshape(classes, classes)

    def worst(self, count: int) -> np.ndarray:
        """Indices of the most confident mistakes, at most `count`: those whose wrong class got the most probability."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        confidence = self.probabilities[wrong, self.predicted[wrong]]
        return wrong[np.argsort(-confidence, kind="stable")[:count]]


@torch.no_grad()
def outputs(model: nn.Module, images: Tensor, execution: Execution, scale: str, mirrored: bool = False) -> Tensor:
    """Outputs (n, classes), in float32 or float64, for uint8 images on the device; the network stays in its mode."""
    was_training = model.training
    model.eval()
    parts = []
    with execution.autocast():
        for batch in images.split(execution.evaluated):
            batch = normalize(batch.flip(-1) if mirrored else batch, scale)
            parts.append(at_least_float32(execution.forward(execution.in_memory_format(batch))))
    model.train(was_training)
    return torch.cat(parts)


def accuracy(out: Tensor, labels: Tensor) -> float:
    """Fraction of the rows of `out` (n, classes) whose largest entry is at the label."""
    return int((out.argmax(1) == labels).sum()) / len(labels)


def evaluate(model: nn.Module, data: Data, execution: Execution | None = None, scale: str = "standard") -> Evaluation:
    """Evaluate the network on test images.

    execution   how the network is run (hw4nets.execution.prepare); default: unchanged, in float32
    scale       the `input_scale` it was trained with
    """
    check_fits(model, data.side, len(data.classes))
    execution = execution or Execution.plain(model, data.side)
    images = torch.from_numpy(data.test.pixels).to(execution.device)
    labels = torch.from_numpy(data.test.labels).to(execution.device)
    straight = outputs(model, images, execution, scale)
    mirrored = outputs(model, images, execution, scale, mirrored=True)
    return Evaluation(
        straight.softmax(1).cpu().numpy(),
        data.test.labels,
        accuracy(straight, labels),
        accuracy((straight + mirrored) / 2, labels),
    )
