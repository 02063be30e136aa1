"""Archives and folders of images that are damaged, too large or odd: one sentence each, and nothing is cached."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from cifar_files import pack, write_binary, write_images
from hw4nets.data import fingerprint, load
from hw4nets.errors import DataError


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
        with pytest.raises(DataError, match="not a regular file"):
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
    with pytest.raises(DataError, match=r"table.csv is not an archive \(tar, tar.gz, tar.bz2, tar.xz or zip\)"):
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
    """Files of equal size and time that are exchanged: only their folders differ."""
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
    with pytest.raises(DataError, match=r"x.png cannot be read \(it is a broken link"):
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
