"""Every form of the images, in small files made here: decoded, identified by a fingerprint, and cached."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hw4nets.batches
from cifar_files import WRITERS, pack, write_binary, write_images, write_pickle
from hw4nets.batches import OFFICIAL_MD5
from hw4nets.data import CHANNEL_MEANS, fingerprint, hold_out, load, normalize, synthetic
from hw4nets.errors import InputError
from hw4nets.files import cache_folder
from hw4nets.image_set import ImageSet
from hw4nets.torchvision_import import torchvision_datasets

# ---- each format -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("ending", ["", ".tar.gz", ".tar.xz", ".zip"])
def test_every_format_gives_the_same_pixels(tmp_path, parts, form, ending):
    folder = tmp_path / "cifar"
    folder.mkdir()
    WRITERS[form](folder, parts)
    source = folder
    if ending:
        source = tmp_path / f"packed{ending}"
        pack(folder, source)
    data = load(str(source))
    assert data.sha256 == fingerprint(*parts) and data.pixels == f"other: {data.sha256[:12]}"
    assert data.train.pixels.shape == (20, 3, 32, 32) and data.test.pixels.dtype == np.uint8
    for found, given in zip((data.train, data.test), parts, strict=True):
        order = np.argsort(given.labels, kind="stable") if form == "images" else np.arange(len(given.labels))
        assert np.array_equal(found.pixels, given.pixels[order]) and np.array_equal(found.labels, given.labels[order])


def test_a_folder_around_the_batches_is_looked_into(tmp_path, parts):
    inner = tmp_path / "outer" / "cifar-10-batches-py"
    inner.mkdir(parents=True)
    write_pickle(inner, parts)
    (inner / "readme.html").write_text("not a batch")
    assert load(str(tmp_path / "outer")).sha256 == fingerprint(*parts)


def test_jpeg_is_read_as_pillow_decodes_it(tmp_path, parts):
    write_images(tmp_path, parts, "jpg")
    data = load(str(tmp_path))
    first = np.asarray(Image.open(tmp_path / "train" / "airplane" / "0000.jpg")).transpose(2, 0, 1)
    assert np.array_equal(data.train.pixels[0], first) and data.sha256 != fingerprint(*parts)


@pytest.mark.parametrize(
    ("write", "table", "kind"), [(write_pickle, "OFFICIAL_MD5", "md5"), (write_binary, "OFFICIAL_BINARY_SHA1", "sha1")]
)
def test_official_batches_are_told_by_their_checksums(tmp_path, parts, monkeypatch, write, table, kind):
    write(tmp_path, parts)
    sums = {
        name: hashlib.new(kind, (tmp_path / name).read_bytes()).hexdigest() for name in getattr(hw4nets.batches, table)
    }
    monkeypatch.setattr(hw4nets.batches, table, sums)
    assert load(str(tmp_path)).pixels == "official"
    train, test = parts
    write(tmp_path, (train, ImageSet(test.pixels ^ 1, test.labels)))
    assert load(str(tmp_path)).pixels.startswith("other")


def test_the_official_checksums_are_torchvisions():
    official = torchvision_datasets().CIFAR10
    assert dict([*official.train_list, *official.test_list]) == OFFICIAL_MD5


# ---- fingerprint and cache -------------------------------------------------------------------------------------------


def test_the_fingerprint_knows_every_pixel_and_label_but_no_order(parts, rng):
    train, test = parts
    order = rng.permutation(len(train.labels))
    assert fingerprint(ImageSet(train.pixels[order], train.labels[order]), test) == fingerprint(train, test)
    changed = train.pixels.copy()
    changed[7, 1, 30, 2] ^= 1
    relabelled = train.labels.copy()
    relabelled[0] = 9
    others = {
        fingerprint(ImageSet(changed, train.labels), test),
        fingerprint(ImageSet(train.pixels, relabelled), test),
        fingerprint(test, train),
    }
    assert len(others | {fingerprint(train, test)}) == 4


def test_images_are_decoded_once(tmp_path, parts, cache, monkeypatch):
    write_binary(tmp_path, parts)
    first = load(str(tmp_path))
    assert [path.suffix for path in cache.iterdir()] == [".npz"]
    monkeypatch.setattr("hw4nets.data.read", lambda *words: pytest.fail("decoded again"))
    again = load(str(tmp_path))
    assert (
        again.sha256 == first.sha256
        and np.array_equal(again.train.pixels, first.train.pixels)
        and again.source == first.source
    )


def test_a_changed_source_and_a_damaged_cache_are_read_anew(tmp_path, parts, cache):
    write_binary(tmp_path, parts)
    first = load(str(tmp_path))
    kept = next(cache.iterdir())
    for content in (b"", kept.read_bytes()[:-500], bytes(kept.stat().st_size)):
        kept.write_bytes(content)
        assert load(str(tmp_path)).sha256 == first.sha256
    train, test = parts
    write_binary(tmp_path, (ImageSet(255 - train.pixels, train.labels), test))
    assert load(str(tmp_path)).sha256 not in (first.sha256,)


@pytest.mark.parametrize("form", WRITERS)
def test_a_source_that_changes_with_size_and_time_as_they_were_is_read_anew(tmp_path, parts, form):
    train, test = parts
    seen = set()
    for pixels in (train.pixels // 2, train.pixels // 3):
        WRITERS[form](tmp_path, (ImageSet(pixels, train.labels), test))
        for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
            if form == "images":
                path.write_bytes(path.read_bytes().ljust(5_000, b"\0"))
            os.utime(path, (0, 0))
        seen.add(load(str(tmp_path)).sha256)
    assert len(seen) == 2


def entry(cache):
    """The content of the cache's file, and a function to rewrite it."""
    path = next(cache.iterdir())
    with np.load(path) as kept:
        arrays = {name: kept[name] for name in kept.files}
    return arrays, lambda changed: np.savez(path, **changed)


def test_a_cache_entry_is_not_believed(tmp_path, parts, cache):
    """Other pixels, labels or words in it, whether its fingerprint fits them or not, are not what was put there."""
    write_binary(tmp_path, parts)
    first = load(str(tmp_path))
    arrays, write = entry(cache)
    other = arrays["train_pixels"] ^ 1
    sha256 = np.array(
        fingerprint(ImageSet(other, arrays["train_labels"]), ImageSet(arrays["test_pixels"], arrays["test_labels"]))
    )
    for change in (
        {"pixels": np.array("official")},
        {"train_pixels": other},
        {"train_pixels": other, "sha256": sha256, "key": np.array("of another source")},
        {"train_labels": arrays["train_labels"] + 0.5},
        {"train_labels": arrays["train_labels"] + 10},
        {"train_labels": arrays["train_labels"][:, None]},
        {"train_pixels": arrays["train_pixels"][:, :, :31]},
        {"train_pixels": np.array("pixels")},
        {"sha256": np.arange(3)},
        {"key": np.zeros((2, 2))},
        {"data_batch_1": np.zeros(3, np.uint8)},
    ):
        write(arrays | change)
        again = load(str(tmp_path))
        assert (again.sha256, again.pixels) == (first.sha256, first.pixels) and np.array_equal(
            again.train.pixels, first.train.pixels
        )
    write({"key": arrays["key"], "sha256": arrays["sha256"]})
    assert load(str(tmp_path)).sha256 == first.sha256


def test_official_is_proven_by_the_batches_in_the_cache(tmp_path, parts, cache, monkeypatch):
    write_pickle(tmp_path, parts)
    sums = {name: hashlib.md5((tmp_path / name).read_bytes()).hexdigest() for name in OFFICIAL_MD5}
    monkeypatch.setattr(hw4nets.batches, "OFFICIAL_MD5", sums)
    first = load(str(tmp_path))
    with monkeypatch.context() as changed:
        changed.setattr("hw4nets.data.read", lambda *words: pytest.fail("decoded again"))
        again = load(str(tmp_path))
    assert first.pixels == again.pixels == "official" and again.sha256 == first.sha256
    arrays, write = entry(cache)
    spoiled = arrays["data_batch_2"].copy()
    spoiled[-4000] ^= 1
    write(arrays | {"data_batch_2": spoiled})
    assert load(str(tmp_path)).pixels == "official" and np.array_equal(
        entry(cache)[0]["data_batch_2"], arrays["data_batch_2"]
    )


def test_the_cache_is_where_the_platform_has_it(monkeypatch):
    monkeypatch.delenv("HW4NETS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    for platform, expected in (("linux", "/somewhere/hw4nets"), ("win32", "/local/hw4nets/Cache")):
        monkeypatch.setattr("sys.platform", platform)
        assert cache_folder() == Path(expected)
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "hw4nets"


def test_a_cache_that_cannot_be_had_is_told_with_what_moves_it(tmp_path, parts, monkeypatch):
    write_binary(tmp_path, parts)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HW4NETS_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"file is a file; .* set HW4NETS_CACHE to another folder"):
        load(str(tmp_path))


# ---- arrays ----------------------------------------------------------------------------------------------------------


def test_normalize_is_the_formula(parts):
    pixels = torch.from_numpy(parts[0].pixels)
    x = normalize(pixels)
    assert x.dtype == torch.float32
    assert float(x[3, 1, 4, 5]) == pytest.approx(
        (parts[0].pixels[3, 1, 4, 5] / 255 - CHANNEL_MEANS[1]) / 0.2435, abs=1e-5
    )
    half = normalize(pixels, "half")
    assert half.min() >= -1 and half.max() <= 1
    assert torch.equal(pixels, torch.from_numpy(parts[0].pixels))


def test_hold_out_splits_the_training_images_and_puts_the_test_images_away(small):
    held = hold_out(small, seed=0)
    assert len(held.test.labels) == 20 and len(held.train.labels) == 180
    rows = {image.tobytes() for image in (*held.train.pixels, *held.test.pixels)}
    assert rows == {image.tobytes() for image in small.train.pixels}
    assert np.array_equal(hold_out(small, 0).test.pixels, held.test.pixels)
    assert not np.array_equal(hold_out(small, 1).test.pixels, held.test.pixels)
    with pytest.raises(InputError, match="200 of 200"):
        hold_out(small, 0, 200)


def test_synthetic_images_are_seeded_and_balanced():
    one, same, other = synthetic(40, 20), synthetic(40, 20), synthetic(40, 20, seed=1)
    assert one.sha256 == same.sha256 != other.sha256 and one.pixels == "synthetic"
    assert np.bincount(one.train.labels).tolist() == [4] * 10


def test_a_pickle_of_python_2_is_read(tmp_path, parts):
    """The official batches were pickled by Python 2: numpy.core names, text as bytes."""
    write_pickle(tmp_path, parts, protocol=2)
    content = (tmp_path / "data_batch_1").read_bytes()
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "data_batch_1").write_bytes(old)
    assert b"numpy.core.multiarray" in old
    assert load(str(tmp_path)).sha256 == fingerprint(*parts)
