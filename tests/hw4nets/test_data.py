"""Every form of the images, in small files made here; a fault in them is one sentence, and nothing is cached."""

import functools
import gzip
import hashlib
import http.server
import io
import os
import pickle
import struct
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hw4nets.batches
from cifar_files import WRITERS, pack, write_binary, write_images, write_pickle
from hw4nets.batches import OFFICIAL_MD5
from hw4nets.data import CHANNEL_MEANS, fingerprint, hold_out, load, normalize, synthetic
from hw4nets.errors import DataError, InputError
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
    """What the cache's one file holds, and how to write it anew."""
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


# ---- what is wrong ---------------------------------------------------------------------------------------------------


def spoil_missing_batch(folder, parts):
    write_binary(folder, parts)
    (folder / "data_batch_3.bin").unlink()


def spoil_cut_batch(folder, parts):
    write_binary(folder, parts)
    path = folder / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])


def spoil_label(folder, parts):
    write_binary(folder, parts)
    content = bytearray((folder / "test_batch.bin").read_bytes())
    content[0] = 77
    (folder / "test_batch.bin").write_bytes(content)


def spoil_pickle(folder, parts):
    write_pickle(folder, parts)
    path = folder / "data_batch_1"
    path.write_bytes(path.read_bytes()[:-100])


def spoil_missing_class(folder, parts):
    write_images(folder, parts)
    for path in (folder / "train" / "ship").iterdir():
        path.unlink()


def spoil_binary_class(folder, parts):
    train, test = parts
    write_binary(folder, (train, ImageSet(test.pixels[:9], test.labels[:9])))


def spoil_unknown_class(folder, parts):
    write_images(folder, parts)
    (folder / "train" / "ship").rename(folder / "train" / "shipp")


def spoil_cut_image(folder, parts):
    write_images(folder, parts, "jpg")
    path = folder / "test" / "cat" / "0003.jpg"
    path.write_bytes(path.read_bytes()[:300])


def spoil_no_image(folder, parts):
    write_images(folder, parts)
    (folder / "train" / "cat" / "0003.png").write_text("no image")


def spoil_size(folder, parts):
    write_images(folder, parts)
    Image.new("RGB", (33, 32)).save(folder / "train" / "cat" / "0003.png")


def spoil_both(folder, parts):
    write_images(folder, parts)
    write_binary(folder, parts)


def spoil_twice(folder, parts):
    for name in ("a", "b"):
        (folder / name).mkdir()
        write_binary(folder / name, parts)


def spoil_nothing(folder, parts):
    (folder / "notes.txt").write_text("hello")


class Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


def spoil_program(folder, parts):
    write_pickle(folder, parts)
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}))


WRONG = [
    (spoil_missing_batch, "lacks data_batch_3.bin"),
    (spoil_cut_batch, "data_batch_2.bin has"),
    (spoil_label, "holds the label 77"),
    (spoil_pickle, "data_batch_1 is no batch of CIFAR-10, or is damaged"),
    (spoil_missing_class, "train/ lacks images of ship"),
    (spoil_binary_class, "the test batches hold no image of truck"),
    (spoil_unknown_class, "'shipp' (did you mean 'ship'?)"),
    (spoil_cut_image, "test/cat/0003.jpg is no image that can be decoded, or is cut short"),
    (spoil_no_image, "train/cat/0003.png is no image"),
    (spoil_size, "train/cat/0003.png is 33×32"),
    (spoil_both, "official batches and image folders"),
    (spoil_twice, "holds data_batch_1.bin twice"),
    (spoil_nothing, "holds no CIFAR-10"),
    (spoil_program, "builtins.print, which no batch needs"),
]


@pytest.mark.parametrize(("spoil", "said"), WRONG, ids=[spoil.__name__[6:] for spoil, _ in WRONG])
def test_wrong_images_are_a_sentence_and_nothing_is_cached(tmp_path, parts, cache, capsys, spoil, said):
    spoil(tmp_path, parts)
    with pytest.raises(InputError) as caught:
        load(str(tmp_path))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert list(cache.iterdir()) == [] and capsys.readouterr().out == ""


def test_half_an_archive_is_told(tmp_path, parts, cache):
    folder = tmp_path / "cifar"
    folder.mkdir()
    write_binary(folder, parts)
    for ending in (".tar.gz", ".tar.xz", ".zip"):
        archive = tmp_path / f"half{ending}"
        pack(folder, archive)
        archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
        with pytest.raises(DataError, match="cannot be read to its end") as caught:
            load(str(archive))
        assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def bomb(path, kind):
    """An archive of a few kilobytes that unpacks to 8 MiB or more."""
    zeros = bytes(4 << 20)
    if kind.startswith("zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(2):
                archive.writestr(f"train/cat/{number}.png", zeros)
        if kind == "zip that hides it":
            path.write_bytes(path.read_bytes().replace(struct.pack("<I", len(zeros)), struct.pack("<I", 1_000)))
        return
    with tarfile.open(path, f"w:{kind[4:] if kind.startswith('tar.') else 'gz'}") as archive:
        for letter in "ab" if kind == "long names" else "":
            archive.addfile(tarfile.TarInfo(letter * len(zeros)))
        for number in range(1 if kind == "links" else 3):
            member = tarfile.TarInfo(f"other/{number}" if kind.startswith("tar") else f"train/cat/{number}.png")
            member.size = 3_000 if kind == "after the end" else len(zeros)
            archive.addfile(member, io.BytesIO(zeros))
        for number in range(1, 3 if kind == "links" else 0):
            link = tarfile.TarInfo(f"train/cat/{number}.png")
            link.type, link.linkname = tarfile.LNKTYPE, "train/cat/0.png"
            archive.addfile(link)
    if kind == "after the end":
        path.write_bytes(path.read_bytes() + gzip.compress(zeros + zeros))


@pytest.mark.parametrize(
    "kind", ["zip", "zip that hides it", "tar.gz", "tar.xz", "long names", "after the end", "links"]
)
def test_an_archive_that_unpacks_to_too_much_is_told(tmp_path, cache, monkeypatch, kind):
    monkeypatch.setattr("hw4nets.archives.MAX_SOURCE_BYTES", 6 << 20)
    bomb(tmp_path / "bomb", kind)
    with pytest.raises(DataError, match="CRC" if kind.endswith("hides it") else "holds or unpacks to more than"):
        load(str(tmp_path / "bomb"))
    assert list(cache.iterdir()) == []


def test_too_many_files_are_told(tmp_path, parts, monkeypatch):
    monkeypatch.setattr("hw4nets.archives.MAX_FILES", 20)
    write_images(tmp_path / "cifar", parts)
    pack(tmp_path / "cifar", tmp_path / "a.zip")
    pack(tmp_path / "cifar", tmp_path / "a.tar.gz")
    for name in ("cifar", "a.zip", "a.tar.gz"):
        with pytest.raises(DataError, match="or 20 files"):
            load(str(tmp_path / name))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_pipes_and_devices_are_refused_and_not_waited_for(tmp_path, parts):
    write_images(tmp_path / "cifar", parts)
    os.mkfifo(tmp_path / "cifar" / "train" / "cat" / "x.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for source in (tmp_path / "cifar", tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match="no regular file"):
            load(str(source))
    with pytest.raises(DataError, match="no data"):
        load(str(tmp_path / "loop"))


def test_a_hard_link_to_what_has_no_class_of_its_own_is_followed(tmp_path, parts):
    write_images(tmp_path / "cifar", parts)
    (tmp_path / "cifar" / "all").mkdir()
    for number, path in enumerate(sorted(tmp_path.glob("cifar/t*/*/*.png"))):
        os.link(path, tmp_path / "cifar" / "all" / f"{number}.png")
    pack(tmp_path / "cifar", tmp_path / "cifar.tar.gz")
    assert load(str(tmp_path / "cifar.tar.gz")).sha256 == fingerprint(*parts)


def test_a_file_with_two_names_counts_twice_in_an_archive_as_in_a_folder(tmp_path, parts):
    """A tar holds the second name as a hard link."""
    folder = tmp_path / "cifar"
    write_images(folder, parts)
    one = next(folder.glob("train/cat/*.png"))
    os.link(one, one.with_name("again.png"))
    pack(folder, tmp_path / "cifar.tar.gz")
    with tarfile.open(tmp_path / "cifar.tar.gz") as archive:
        assert any(member.islnk() for member in archive)
    assert load(str(tmp_path / "cifar.tar.gz")).sha256 == load(str(folder)).sha256


def test_a_second_name_of_a_file_that_is_not_in_the_archive_is_told(tmp_path, cache):
    link = tarfile.TarInfo("cifar/train/cat/1.png")
    link.type, link.linkname = tarfile.LNKTYPE, "elsewhere/1.png"
    with tarfile.open(tmp_path / "links.tar", "w") as archive:
        archive.addfile(link)
    with pytest.raises(DataError, match=r"links.tar cannot be read to its end .*elsewhere/1.png"):
        load(str(tmp_path / "links.tar"))


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"\x89PNG" * 100])
def test_a_file_that_is_no_archive_is_told(tmp_path, cache, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"table.csv is no archive \(tar, tar.gz, tar.bz2, tar.xz or zip\)"):
        load(str(path))
    assert list(cache.iterdir()) == []


def packed(tmp_path, parts, ending):
    folder = tmp_path / "cifar"
    folder.mkdir(exist_ok=True)
    write_binary(folder, parts)
    archive = tmp_path / f"packed{ending}"
    if ending == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(folder.iterdir()):
                file.write(path, path.name)
    else:
        pack(folder, archive)
    return archive


@pytest.mark.parametrize("ending", [".tar.gz", ".tar.xz", ".tar.bz2", ".zip"])
@pytest.mark.parametrize("where", [0.2, 0.5, 0.8])
def test_flipped_bytes_in_an_archive_are_told(tmp_path, parts, cache, ending, where):
    archive = packed(tmp_path, parts, ending)
    content = bytearray(archive.read_bytes())
    place = int(where * len(content))
    content[place : place + 64] = bytes(255 - one for one in content[place : place + 64])
    archive.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(str(archive))
    assert "cannot be read to its end" in str(caught.value) and list(cache.iterdir()) == []


def test_an_encrypted_archive_is_told(tmp_path, parts):
    archive = packed(tmp_path, parts, ".zip")
    content = bytearray(archive.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        load(str(archive))


def test_images_under_another_label_are_read_anew(tmp_path, parts):
    """Files of one size and time that change places: only their folders tell."""
    write_images(tmp_path, parts)
    cat, dog, spare = (tmp_path / "train" / name for name in ("cat", "dog", "spare"))
    for folder in (cat, dog):
        for number, path in enumerate(sorted(folder.iterdir())):
            path.write_bytes(path.read_bytes().ljust(5_000, b"\0"))
            os.utime(path, (0, 0))
            path.rename(folder / f"{number}.png")
    first = load(str(tmp_path))
    for old, new in ((cat, spare), (dog, cat), (spare, dog)):
        old.rename(new)
    assert load(str(tmp_path)).sha256 != first.sha256


def test_a_link_to_nothing_is_told_where_it_counts(tmp_path, parts):
    write_images(tmp_path, parts)
    (tmp_path / "notes").symlink_to(tmp_path / "nowhere")
    assert len(load(str(tmp_path)).train.labels) == 20
    (tmp_path / "train" / "cat" / "x.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"x.png cannot be read \(it is a link to nothing"):
        load(str(tmp_path))


def test_what_macos_adds_is_passed_over(tmp_path, parts):
    write_images(tmp_path / "cifar", parts)
    first = load(str(tmp_path)).sha256
    for name in ("__MACOSX/cifar/train/cat/0003.png", "cifar/train/cat/._0003.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    assert load(str(tmp_path)).sha256 == first


def test_no_such_path():
    with pytest.raises(DataError, match="no data 'nosuch': give official, synthetic, or the path"):
        load("nosuch")


def test_a_full_disk_leaves_no_cache(tmp_path, parts, cache, monkeypatch):
    write_binary(tmp_path, parts)
    monkeypatch.setattr(
        "numpy.savez", lambda *words, **arrays: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(Exception, match="No space left on device"):
        load(str(tmp_path))
    assert list(cache.iterdir()) == []


# ---- download --------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    """A web server of one folder."""
    folder = tmp_path / "web"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *words):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """A client that hangs up early is not told on stderr: a test looks at what the program writes there."""

    with Server(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as running:
        threading.Thread(
            target=running.serve_forever, args=(0.01,), daemon=True
        ).start()  # seconds between two looks for the shutdown
        try:
            yield folder, f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()


@pytest.fixture
def offered(server, tmp_path, parts, monkeypatch):
    """The official archive, made here and offered by a server."""
    folder, address = server
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    write_pickle(batches, parts)
    pack(batches, folder / "cifar-10-python.tar.gz")
    official = torchvision_datasets().CIFAR10
    monkeypatch.setattr(official, "url", f"{address}/cifar-10-python.tar.gz")
    monkeypatch.setattr(official, "tgz_md5", hashlib.md5((folder / "cifar-10-python.tar.gz").read_bytes()).hexdigest())
    return folder / "cifar-10-python.tar.gz"


def test_the_official_archive_is_downloaded_and_decoded_once(offered, parts, cache, capsys):
    assert load("official").sha256 == fingerprint(*parts)
    offered.unlink()
    assert load("official").sha256 == fingerprint(*parts)
    assert [path.name for path in cache.iterdir()] == ["cifar10-official.npz"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["half", "other", "absent", "no network"])
def test_a_download_that_fails_is_a_sentence(offered, cache, monkeypatch, kind):
    if kind == "half":
        offered.write_bytes(offered.read_bytes()[:1000])
    elif kind == "other":
        offered.write_bytes(b"something else")
    elif kind == "absent":
        offered.unlink()
    else:
        monkeypatch.setattr(torchvision_datasets().CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(DataError, match=r"could not be downloaded whole .*give as `source` the path"):
        load("official")
    assert list(cache.iterdir()) == []


def test_torchvision_imports_beside_a_torch_it_was_not_built_for():
    datasets = torchvision_datasets()
    assert datasets.CIFAR10.tgz_md5 == "c58f30108f718f92721af3b95e74349a"
    assert datasets is torchvision_datasets()


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
