"""Accuracy, confusion matrix and worst mistakes of a network with known predictions."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from hw4nets.data import synthetic
from hw4nets.evaluation import evaluate
from hw4nets.image_set import ImageSet


class Reader(nn.Module):
    """Predicts the class encoded in the brightness of the first pixels, so that the correct results are known."""

    def forward(self, x):
        return torch.stack([x[:, 0, 0, label] for label in range(10)], dim=1)


def test_evaluation_counts_what_is_there():
    pixels = np.zeros((30, 3, 32, 32), np.uint8)
    labels, said = np.arange(30) % 10, (np.arange(30) % 10 + (np.arange(30) < 5)) % 10
    pixels[np.arange(30), 0, 0, said] = np.linspace(50, 250, 30).astype(np.uint8)
    data = replace(synthetic(20, 10), test=ImageSet(pixels, labels))
    found = evaluate(Reader(), data)
    assert found.accuracy == 25 / 30 and found.predicted.tolist() == said.tolist()
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (labels, said), 1)
    assert np.array_equal(found.confusion, expected) and found.confusion.sum() == 30
    assert found.worst(3).tolist() == [4, 3, 2] and len(found.worst(20)) == 5
    assert np.allclose(found.probabilities.sum(axis=1), 1)
    assert found.accuracy_flip == 25 / 30  # a mirror image has no pixel where this network looks
