"""Variants of PNG and JPEG: each is decoded correctly, or refused with its name."""

import io
import struct
import zlib
from functools import partial

import numpy as np
import pytest
from PIL import Image

from cifar_files import write_images
from hw4nets.data import load
from hw4nets.errors import DataError
from hw4nets.images import decode

read = partial(decode, side=32)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(depth: int, color: int, rows: bytes, *chunks: bytes, size: tuple[int, int] = (32, 32)) -> bytes:
    """A PNG of the given bit depth and color type; `rows` without the filter bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, color, 0, 0, 0))
    length = len(rows) // 32
    lines = b"".join(b"\0" + rows[start : start + length] for start in range(0, len(rows), length))
    return SIGNATURE + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def packed(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def grey(rng):
    return rng.integers(0, 65536, (32, 32), np.uint16)


def test_16_bit_grey_is_read_as_its_upper_8_bits(grey):
    found = read("a.png", png(16, 0, grey.astype(">u2").tobytes()))
    assert found.shape == (3, 32, 32) and all(np.array_equal(channel, grey >> 8) for channel in found)


def test_16_bit_color_is_read_as_its_upper_8_bits(rng):
    color = rng.integers(0, 65536, (32, 32, 3), np.uint16)
    assert np.array_equal(read("a.png", png(16, 2, color.astype(">u2").tobytes())), (color >> 8).transpose(2, 0, 1))


def test_other_kinds_are_read_as_pillow_turns_them_into_rgb(rng):
    color = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
    for image in (color, color.convert("P"), color.convert("L"), color.convert("1")):
        assert np.array_equal(read("a.png", packed(image)), np.asarray(image.convert("RGB")).transpose(2, 0, 1))
    for image in (color, color.convert("CMYK"), color.convert("L")):
        with Image.open(io.BytesIO(content := packed(image, "JPEG"))) as opened:
            assert np.array_equal(read("a.jpg", content), np.asarray(opened.convert("RGB")).transpose(2, 0, 1))


LONG_TEXT = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(9 << 20)))
NO_IMAGE = "is not an image that can be decoded"
REFUSED = {
    "grey with alpha": (lambda: packed(Image.new("LA", (32, 32))), "has mode LA"),
    "color with alpha": (lambda: packed(Image.new("RGBA", (32, 32))), "has mode RGBA"),
    "16-bit color with alpha": (lambda: png(16, 6, bytes(32 * 32 * 8)), "has mode RGBA"),
    "a palette with a transparent color": (
        lambda: packed(Image.new("P", (32, 32)), transparency=0),
        "has mode P with transparent colors",
    ),
    "grey with a transparent grey": (
        lambda: png(8, 0, bytes(1024), chunk(b"tRNS", b"\0\1")),
        "has mode L with transparent colors",
    ),
    "16-bit grey with one": (lambda: png(16, 0, bytes(2048), chunk(b"tRNS", b"\0\1")), "with transparent colors"),
    "a short IHDR": (lambda: SIGNATURE + chunk(b"IHDR", b"\0\0\0\x20\0"), NO_IMAGE),
    "a short tRNS": (lambda: png(8, 0, bytes(1024), chunk(b"tRNS", b"\1")), NO_IMAGE),
    "a short gAMA": (lambda: png(8, 0, bytes(1024), chunk(b"gAMA", b"\1")), NO_IMAGE),
    "a short cHRM": (lambda: png(8, 0, bytes(1024), chunk(b"cHRM", b"\1")), NO_IMAGE),
    "a short pHYs": (lambda: png(8, 0, bytes(1024), chunk(b"pHYs", b"\1")), NO_IMAGE),
    "a text that unpacks to megabytes": (
        lambda: png(8, 0, bytes(1024), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(9 << 20)))),
        NO_IMAGE,
    ),
    "a billion pixels": (lambda: png(8, 0, bytes(1024), size=(100_000, 10_000)), "a.png"),
    "too few rows": (lambda: png(8, 0, bytes(512)), NO_IMAGE),
    "another format": (lambda: packed(Image.new("RGB", (32, 32)), "BMP"), NO_IMAGE),
    "a program for a printer": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n", NO_IMAGE),
    "fractions": (lambda: packed(Image.new("F", (32, 32)), "TIFF"), NO_IMAGE),
}


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_8_bit_rgb_of_its_own_is_refused_by_name(kind):
    make, said = REFUSED[kind]
    with pytest.raises(DataError, match=r"a\.png") as caught:
        read("a.png", make())
    assert said in str(caught.value)


def test_the_sentence_names_the_file_in_its_folder(tmp_path, parts):
    write_images(tmp_path, parts)
    Image.new("RGBA", (32, 32)).save(tmp_path / "test" / "cat" / "0003.png")
    with pytest.raises(DataError, match=r"^test/cat/0003.png has mode RGBA; save it as 8-bit RGB or grey"):
        load(str(tmp_path))


def test_any_damage_is_a_sentence_or_an_image(rng):
    image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
    for content in (packed(image), packed(image, "JPEG")):
        for _ in range(200):
            spoiled = bytearray(content)
            for place in rng.integers(0, len(content), 3):
                spoiled[place] = rng.integers(256)
            try:
                assert read("a.png", bytes(spoiled)).shape == (3, 32, 32)
            except DataError as error:
                assert str(error).startswith("a.png ")
