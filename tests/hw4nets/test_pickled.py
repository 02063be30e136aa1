"""Pickles read as data: all protocols, and crafted files that must give a message in little time and memory."""

import pickle
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cifar_files import write_pickle
from hw4nets.data import fingerprint, load
from hw4nets.errors import DataError
from hw4nets.pickled import PickleError, read_pickle

ROOT = Path(__file__).resolve().parents[2]
NUMPY_TYPE = b"cnumpy\ndtype\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\1b\x87R"
PLAIN_STATE = b"(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
U1 = NUMPY_TYPE + b"U\2u1K\0K\1\x87R" + PLAIN_STATE


def text(word: bytes) -> bytes:
    return b"T" + struct.pack("<I", len(word)) + word


def array(shape: bytes, kind: bytes, content: bytes) -> bytes:
    return RECONSTRUCT + b"(K\1" + shape + kind + b"\x89" + text(content) + b"tb"


def batch(data: bytes = b"", labels: bytes = b"") -> bytes:
    """A pickle of {"data": …, "labels": …} from opcodes that push them; ten right images where they are left out."""
    data = data or array(b"K\x0aM\0\x0c\x86", U1, bytes(30_720))
    labels = labels or b"](" + b"".join(b"K" + bytes([one]) for one in range(10)) + b"e"
    return b"\x80\2}(U\4data" + data + b"U\6labels" + labels + b"u."


# ---- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "layout", [np.ascontiguousarray, np.asfortranarray, lambda one: np.repeat(one, 2, axis=1)[:, ::2]]
)
@pytest.mark.parametrize("kind", ["list", "<i8", ">i4", "u1", "scalars"])
def test_every_protocol_gives_what_was_written(rng, protocol, layout, kind):
    pixels = rng.integers(0, 256, (12, 30), np.uint8)
    labels = list(range(12)) if kind == "list" else np.arange(12).astype("i8" if kind == "scalars" else kind)
    written = {
        b"data": layout(pixels),
        "labels": list(labels) if kind == "scalars" else labels,
        "names": [b"a", "ä"],
        "n": (1, 2.5, None, True),
    }
    found = read_pickle(pickle.dumps(written, protocol))
    assert np.array_equal(found[b"data"], pixels) and found[b"data"].dtype == np.uint8
    assert np.array_equal(found["labels"], np.arange(12)) and type(found["labels"]) is (
        list if kind in ("list", "scalars") else np.ndarray
    )
    assert found["names"] == [b"a", "ä"] and found["n"] == (1, 2.5, None, True)


@pytest.mark.parametrize("protocol", range(6))
def test_batches_of_every_protocol_are_read(tmp_path, parts, protocol):
    write_pickle(tmp_path, parts, protocol)
    assert load(str(tmp_path)).sha256 == fingerprint(*parts)


def test_what_python_2_wrote_is_read():
    """Protocol 2: text as bytes, numpy's old names. Protocol 0: text in quotes, with any byte in it."""
    found = read_pickle(batch())
    assert found[b"labels"] == list(range(10)) and found[b"data"].shape == (10, 3072)
    old = b"(dp0\nS'labels'\np1\n(lp2\nI3\naI7\nasS'data'\n"
    old += b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\nI4\nt"
    old += b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\n\\'\xff'\ntbs."
    found = read_pickle(old)
    assert found[b"labels"] == [3, 7] and found[b"data"].tolist() == [[0, 10, 39, 255]]


def test_a_batch_of_full_size_is_read_in_a_moment():
    written = {
        "data": np.zeros((10_000, 3072), np.uint8),
        "labels": [7] * 10_000,
        "filenames": [f"cat_s_{n:06}.png" for n in range(10_000)],
    }
    content = pickle.dumps(written, 2)
    start = time.perf_counter()
    assert read_pickle(content)["data"].shape == (10_000, 3072)
    assert time.perf_counter() - start < 3


# ---- what is refused -------------------------------------------------------------------------------------------------

DEEP = b"]" * 300_000 + b"a" * 299_999
DOUBLED_LISTS = b"]q\0" + b"".join(b"0](h%ch%ceq%c" % (n, n, n + 1) for n in range(30))
HUGE = b"\x8b" + struct.pack("<I", 400_000) + b"\x7f" * 400_000
DOUBLED = b"]" + b"2\x86" * 60
OBJECT = NUMPY_TYPE + b"U\2O8K\0K\1\x87R"
AS_OBJECT = U1[: -len(PLAIN_STATE)] + b"(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
CRAFTED = {
    "another function": (batch(b"cbuiltins\neval\nU\1x\x85R"), "builtins.eval, which no batch needs"),
    "a name out of the stack": (b"\x80\4\x8c\2os\x8c\6system\x93\x8c\4true\x85R.", "os.system, which no batch needs"),
    "an attribute of a name": (
        b"\x80\4\x8c\5numpy\x8c\x0edtype.__init__\x93.",
        "numpy.dtype.__init__, which no batch needs",
    ),
    "an instance": (batch(b"(U\1xios\nsystem\n"), "INST"),
    "a new object": (batch(b"cnumpy\nndarray\n)\x81"), "NEWOBJ"),
    "an extension": (batch(b"\x82\1"), "EXT1"),
    "a persistent name": (batch(b"Px\n"), "PERSID"),
    "a set": (batch(b"\x8f"), "EMPTY_SET"),
    "the class of arrays called": (batch(b"cnumpy\nndarray\nK\3\x85R"), "a call of ndarray"),
    "a state of a name": (batch(NUMPY_TYPE + b"}b"), "a state for a plain value"),
    "a type of objects": (batch(array(b"K\x0aM\0\x0c\x86", OBJECT, bytes(30_720))), "type 'O8'"),
    "a type whose state says objects": (
        batch(array(b"K\x0aM\0\x0c\x86", AS_OBJECT, bytes(30_720))),
        "an unusual state",
    ),
    "a type with a field": (batch(U1[:-1] + b"0(K\3U\1|U\1xNNJ\1\0\0\0J\1\0\0\0K\0tb"), "an unusual state"),
    "labels of objects": (batch(labels=array(b"K\x0a\x85", AS_OBJECT, bytes(80))), "an unusual state"),
    "a shape with little data": (
        batch(array(b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", U1, b"x")),
        "a shape that its bytes cannot fill",
    ),
    "a shape of none": (
        batch(array(b"K\0\x8a\x08\0\0\0\0\0\0\0\x10\x86", U1, b"")),
        "a shape that its bytes cannot fill",
    ),
    "a negative shape": (batch(array(b"J\xff\xff\xff\xffK\1\x86", U1, b"x")), "a shape that its bytes cannot fill"),
    "a shape of a million axes": (
        batch(array(b"(" + b"K\1" * 100_000 + b"t", U1, b"x")),
        "a shape that its bytes cannot fill",
    ),
    "an array of too few bytes": (batch(array(b"K\2\x85", U1, b"xyz")), "with 3 bytes"),
    "numbers in the place of bytes": (
        batch(RECONSTRUCT + b"(K\1K\1\x85" + U1 + b"\x89](K\1etb"),
        "something else than bytes",
    ),
    "an array without state": (batch(RECONSTRUCT), "pixels of type NoneType"),
    "tuples in tuples as a key": (b"\x80\2}" + DOUBLED + b"K\1s.", "a key that is not short text"),
    "numbers as keys": (
        b"\x80\2}(" + b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x1fK\1" * 3 + b"u.",
        "a key that is not short text",
    ),
    "a long key": (b"\x80\2}" + text(bytes(1_000_000)) + b"K\1s.", "a key that is not short text"),
    "a text encoded over and over": (
        batch(
            b"c_codecs\nencode\nX"
            + struct.pack("<I", 9000)
            + b"x" * 9000
            + b"U\6latin1\x86q\0\x85"
            + b"0c_codecs\nencode\nh\0R0" * 9
        ),
        "which no batch needs",
    ),
    "a place of the memo beyond all": (b"\x80\2]r\xff\xff\xff\xff0.", "damaged"),
    "a number of gigabytes": (batch(b"\x8b\xff\xff\xff\x7f"), "cut short or damaged"),
    "a text of gigabytes": (batch(b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f"), "cut short or damaged"),
    "a frame of gigabytes": (b"\x80\4\x95\xff\xff\xff\xff\xff\xff\xff\x7f", "cut short"),
    "a number of 5,000 digits": (batch(b"L" + b"9" * 5_000 + b"L\n"), "cut short or damaged"),
    "millions of opcodes": (b"\x80\2" + b"}0" * 600_000 + b".", "1,000,000 opcodes"),
    "lists in lists": (batch(labels=DEEP), "not a flat list of numbers from 0 to 9"),
    "lists doubled thirty times": (batch(labels=DOUBLED_LISTS), "not a flat list of numbers from 0 to 9"),
    "tuples doubled sixty times": (batch(labels=DOUBLED), "not a flat list of numbers from 0 to 9"),
    "labels in columns": (batch(labels=array(b"K\2K\5\x86", U1, bytes(10))), "not a flat list of numbers from 0 to 9"),
    "fractions": (batch(labels=b"](" + b"G?\xe0\0\0\0\0\0\0" * 10 + b"e"), "not a flat list of numbers from 0 to 9"),
    "whole numbers as fractions": (
        batch(labels=b"](" + b"G?\xf0\0\0\0\0\0\0" * 10 + b"e"),
        "not a flat list of numbers from 0 to 9",
    ),
    "NaN": (batch(labels=b"](" + b"G\x7f\xf8\0\0\0\0\0\0" * 10 + b"e"), "not a flat list of numbers from 0 to 9"),
    "words": (batch(labels=b"](" + b"U\1\x31" * 10 + b"e"), "not a flat list of numbers from 0 to 9"),
    "yes and no": (batch(labels=b"](" + b"\x88" * 10 + b"e"), "not a flat list of numbers from 0 to 9"),
    "no labels": (b"\x80\2}U\4data]s.", "no labels"),
    "labels and no images": (batch(labels=b"]"), "one row a label, at least one"),
    "the label 10": (batch(labels=b"](" + b"K\x0a" * 10 + b"e"), "holds the label 10"),
    "the label -1": (batch(labels=b"](" + b"J\xff\xff\xff\xff" * 10 + b"e"), "holds the label -1"),
    "a label of a million digits": (batch(labels=b"](" + HUGE + b"K\1" * 9 + b"e"), "63 bits"),
    "images of another type": (
        batch(array(b"K\x0aM\0\x06\x86", U1.replace(b"u1", b"u2"), bytes(30_720))),
        "type uint16",
    ),
    "images as a list": (batch(b"]"), "pixels of type list"),
    "more labels than images": (batch(labels=b"](" + b"K\1" * 11 + b"e"), "wanted uint8 (11, 3072)"),
    "a list and no dict": (b"\x80\2].", "not a dict with data and labels"),
    "nothing": (b"", "cut short"),
    "an empty stack": (b".", "damaged"),
    "no mark": (b"\x80\2t.", "damaged"),
    "no opcode": (b"\xff", "not a pickle"),
}


@pytest.fixture
def read(tmp_path, parts):
    """The sentence about a batch in the place of data_batch_1."""

    def told(content):
        write_pickle(tmp_path, parts)
        (tmp_path / "data_batch_1").write_bytes(content)
        with pytest.raises(DataError) as caught:
            load(str(tmp_path))
        return str(caught.value)

    return told


@pytest.mark.parametrize("kind", CRAFTED)
def test_a_crafted_batch_is_a_sentence(read, kind):
    content, said = CRAFTED[kind]
    start = time.perf_counter()
    sentence = read(content)
    assert sentence.startswith("data_batch_1") and said in sentence
    assert len(sentence) < 400 and "\n" not in sentence and time.perf_counter() - start < 10


CHILD = """
import resource, sys
from pathlib import Path
from hw4nets.errors import DataError
from hw4nets.decode import read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for content in sorted(Path(sys.argv[1]).glob("*.pkl")):
    (Path(sys.argv[1]) / "cifar" / "data_batch_1").write_bytes(content.read_bytes())
    try:
        read(Path(sys.argv[1]) / "cifar")
    except DataError:
        continue
    sys.exit(f"{content} was read")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_none_of_them_kills_the_process_or_takes_memory(tmp_path, parts):
    """In a separate process, since a segmentation fault would kill this one."""
    (tmp_path / "cifar").mkdir()
    write_pickle(tmp_path / "cifar", parts)
    for number, (content, _) in enumerate(CRAFTED.values()):
        (tmp_path / f"{number}.pkl").write_bytes(content)
    env = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300  # MB, of which the images' reading takes some


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_damaged_pickle_is_an_error_of_its_own_or_plain_values(rng, protocol):
    content = pickle.dumps({"data": np.zeros((2, 6), np.uint8), "labels": [1, 2]}, protocol)
    for _ in range(300):
        spoiled = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            spoiled[place] = rng.integers(256)
        try:
            read_pickle(bytes(spoiled[: rng.integers(1, len(content) + 1)]))
        except PickleError as error:
            assert len(str(error)) < 300
