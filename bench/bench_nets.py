"""Training on 1,000 synthetic images: each network in every mode, and the tutorial's network in the tutorial's loop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="hw4nets needs torch: pip install 'hw4opt[nets]'")

from bench.record import Row  # noqa: E402
from hw4nets.data import synthetic  # noqa: E402
from hw4nets.history import History  # noqa: E402
from hw4nets.models import build  # noqa: E402
from hw4nets.process import keep_freed_memory, threads  # noqa: E402
from hw4nets.recipes import Recipe, preset  # noqa: E402
from hw4nets.torchvision_import import torchvision_datasets  # noqa: E402
from hw4nets.training import train  # noqa: E402

IMAGES, EPOCHS = 1_000, 3  # the first of which warms up
BATCHES = (4, 128)  # the tutorial's, and one of a size that processors like
WAYS = {
    "float32, contiguous": {"precision": "float32", "memory_format": "contiguous"},
    "float32, channels last": {"precision": "float32", "memory_format": "channels_last"},
    "float32, channels last, compiled": {"precision": "float32", "memory_format": "channels_last", "compile": True},
    "bfloat16, contiguous": {"precision": "bfloat16", "memory_format": "contiguous"},
    "bfloat16, channels last": {"precision": "bfloat16", "memory_format": "channels_last"},
    "bfloat16, channels last, compiled": {"precision": "bfloat16", "memory_format": "channels_last", "compile": True},
}
FLAT = ("float32, contiguous", "bfloat16, contiguous")  # for networks without convolutions
EACH = [(net, way) for net in ("hidden", "conv", "base", "fast") for way in WAYS if net != "hidden" or way in FLAT]

pytestmark = [
    pytest.mark.usefixtures("one_core", "one_thread"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's own, on compiling
]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch's own count, as it was set when it was loaded."""
    keep_freed_memory()
    with threads(1):
        yield


@pytest.fixture(autouse=True)
def compiled_anew(tmp_path, monkeypatch) -> None:
    """What a compiler made before is not found: seconds to compile are those of a first time."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()


def trained(recipe: Recipe) -> History:
    return train(build(recipe.shape, 0), synthetic(IMAGES, 10), recipe.config)


def filed(timed, case: str, who: str, kind: str, recipe: Recipe) -> None:
    """The row of `train`'s own times of its epochs, without the pass over the test images and without compilation."""
    histories: list[History] = []
    timed.exactly(lambda: histories.append(trained(recipe)), 1)
    history = histories[0]
    chosen = f"{history.precision}, {history.memory_format.replace('_', ' ')}"
    note = "; ".join(
        [chosen] * (kind == "hw4nets") + [f"{history.seconds_compile:.0f} s to compile"] * bool(history.seconds_compile)
    )
    assert history.notes == (), history.notes  # a compiler that is not there
    seconds = [row.seconds_train for row in history.rows[1:]]
    timed.file(Row("nets", case, who, kind, n=IMAGES, seconds=seconds, note=note))


@pytest.mark.parametrize("variant", ("hidden", "conv", "base", "fast"))
def test_ours(timed, variant: str) -> None:
    filed(timed, f"{variant}, preset tuned", "hw4nets", "hw4nets", preset("tuned", variant).changed({"epochs": EPOCHS}))


@pytest.mark.parametrize(("variant", "way"), EACH)
def test_each_way(timed, variant: str, way: str) -> None:
    filed(
        timed, f"{variant}, preset tuned", way, "way", preset("tuned", variant).changed(WAYS[way] | {"epochs": EPOCHS})
    )


@pytest.mark.parametrize("variant", BATCHES)
def test_the_tutorials_network(timed, variant: int) -> None:
    recipe = preset("tutorial", "base").changed({"epochs": EPOCHS, "batch_size": variant})
    filed(timed, f"the tutorial's network, batches of {variant}", "hw4nets", "hw4nets", recipe)


@pytest.mark.parametrize("variant", BATCHES)
def test_the_tutorials_loop(timed, variant: int) -> None:
    """As in "Training a classifier": a DataLoader of single normalised tensors; loss.item() after each step."""
    epoch = tutorial(variant)
    timed(epoch, 4.0)
    note = "DataLoader of torchvision's transforms over images of Pillow; in the same process"
    timed.file(
        Row("nets", f"the tutorial's network, batches of {variant}", "the tutorial's loop", "peer", n=IMAGES, note=note)
    )


def tutorial(batch: int):
    """One epoch of its loop over the same images."""
    torchvision_datasets()  # so that transforms can be imported beside any torch
    from PIL import Image
    from torchvision import transforms

    part = synthetic(IMAGES, 10).train
    images = [Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))) for pixels in part.pixels]
    turned = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))])

    class Images(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, place: int):
            return turned(images[place]), int(part.labels[place])

    loader = torch.utils.data.DataLoader(Images(), batch_size=batch, shuffle=True)
    net = build(preset("tutorial", "base").shape, 0)
    criterion, optimizer = torch.nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)

    def epoch() -> float:
        running = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(net(inputs), labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
        return running

    return epoch
