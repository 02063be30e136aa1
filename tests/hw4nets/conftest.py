"""Tiny images, one thread, and a separate cache per test."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hw4nets.data import Data, synthetic
from hw4nets.image_set import CLASSES, ImageSet
from light_runs import lighten


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache folder that no other test sees."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HW4NETS_CACHE", str(folder))
    lighten(monkeypatch)
    return folder


@pytest.fixture(scope="session")
def small() -> Data:
    return synthetic(train=200, test=50)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def parts(rng) -> tuple[ImageSet, ImageSet]:
    """Random images, 20 to train and 10 to test on, every class in both."""
    return tuple(
        ImageSet(rng.integers(0, 256, (n, 3, 32, 32), np.uint8), np.arange(n) % len(CLASSES)) for n in (20, 10)
    )  # type: ignore[return-value]
