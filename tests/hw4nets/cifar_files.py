"""CIFAR-10 files in all supported formats, written by several tests."""

import pickle
import tarfile
import zipfile

import numpy as np
from PIL import Image

from hw4nets.image_set import CLASSES, ImageSet


def cut(parts):
    """Training images in five batches, and the test batch, by official name."""
    train, test = parts
    pieces = np.array_split(np.arange(len(train.labels)), 5)
    named = {
        f"data_batch_{number}": ImageSet(train.pixels[piece], train.labels[piece])
        for number, piece in enumerate(pieces, start=1)
    }
    return named | {"test_batch": test}


def write_binary(folder, parts):
    for name, part in cut(parts).items():
        rows = np.concatenate(
            [part.labels[:, None].astype(np.uint8), part.pixels.reshape(len(part.labels), -1)], axis=1
        )
        (folder / f"{name}.bin").write_bytes(rows.tobytes())


def write_pickle(folder, parts, protocol=2):
    for name, part in cut(parts).items():
        batch = {
            b"data": part.pixels.reshape(len(part.labels), -1),
            b"labels": part.labels.tolist(),
            b"batch_label": b"x",
        }
        (folder / name).write_bytes(pickle.dumps(batch, protocol=protocol))


def write_images(folder, parts, ending="png"):
    for which, part in zip(("train", "test"), parts, strict=True):
        for number, (pixels, label) in enumerate(zip(part.pixels, part.labels, strict=True)):
            path = folder / which / CLASSES[label] / f"{number:04d}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.transpose(1, 2, 0)).save(path)


WRITERS = {"binary": write_binary, "pickle": write_pickle, "images": write_images}


def pack(folder, archive):
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(folder.rglob("*")):
                file.write(path, path.relative_to(folder.parent))
    else:
        with tarfile.open(archive, f"w:{archive.suffix[1:]}") as file:
            file.add(folder, folder.name)
