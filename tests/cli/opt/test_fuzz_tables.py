"""Hostile tables and arguments: every input gives an exit status of the contract and a message, and leaves files
unchanged.

A sample of each by default; `-m full` takes thirty times as many. Derandomised: the same cases in every run.
"""

import csv
import io
import json
import os
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hw4cli.opt.app import main

SAMPLE, MANY = 40, 1200
SETTLED = ["--gamma", "2", "--reg", "ridge=1", "--select", "none"]


def call(*words):
    """(status, stdout, stderr) of the command line, and what holds of every call."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = int(main(list(words)))
    said = err.getvalue()
    assert status in (0, 1, 2), (words, status)
    assert "Traceback" not in said and "should not happen" not in said, (words, said)
    assert all(len(line) < 3000 + 2 * sum(map(len, words)) for line in said.splitlines()), (words, len(said))
    if status == 2:
        assert not out.getvalue() and said.startswith("hw4opt: ") and said.count("\n") == 1, (words, said)
    if out.getvalue():
        json.loads(out.getvalue(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    return status, out.getvalue(), said


class Folder:
    """A fresh folder with files that no call may change."""

    def __init__(self, files):
        self.files = {
            name: one if isinstance(one, bytes) else one.encode("utf-8", "surrogatepass") for name, one in files.items()
        }

    def __enter__(self):
        self.held, self.before = tempfile.TemporaryDirectory(), os.getcwd()
        os.chdir(self.held.name)
        for name, content in self.files.items():
            Path(name).write_bytes(content)
        return self

    def __exit__(self, kind, error, trace):
        changed = [name for name, content in self.files.items() if Path(name).read_bytes() != content]
        os.chdir(self.before)
        self.held.cleanup()
        assert kind is not None or not changed, changed


def sized(strategy):
    """The test twice: a sample, and many examples under the marker `full`."""

    def decorate(test):
        @pytest.mark.parametrize("count", [SAMPLE, pytest.param(MANY, marks=pytest.mark.full)])
        def fuzz(count):
            options = {
                "deadline": None,
                "derandomize": True,
                "database": None,
                "suppress_health_check": list(HealthCheck),
            }
            settings(max_examples=count, **options)(given(strategy)(lambda drawn: test(drawn)))()

        return fuzz

    return decorate


# ---- tables ----------------------------------------------------------------------------------------------------------

NASTY = [
    *(
        "",
        " ",
        "nan",
        "NaN",
        "-inf",
        "inf",
        "NA",
        "null",
        "None",
        "1e400",
        "-1e300",
        "1e-310",
        "0",
        "-0",
        "1_000",
        "1,5",
        "1.5.2",
        "0x10",
    ),
    *(
        "١٢",
        "１",
        "\u00a01",
        "9" * 400,
        "9" * 5000,
        "x" * 3000,
        "a\rb",
        "\r",
        "\n",
        '"',
        "'",
        ";",
        "\t",
        "=1+1",
        "True",
    ),
    *(
        "\x1b[2J",
        "\u202e",
        "é",
        "🙂",
        "\ufeff",
        "2026-01-31",
        "2026-02-30",
        "2026-01-31T00:00:00Z",
        "2026-01-31T00:00:00",
        "0001-01-01",
    ),
    *("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"),
]
CELL = st.one_of(st.integers(-3, 6).map(str), st.floats(-5, 5).map(repr), st.sampled_from(NASTY), st.text(max_size=6))
PLAIN = st.integers(0, 6).map(str)
NAMES = ["x", "y", "w", "g", "x2", "", "Unnamed: 0", "prediction", "bound", "y ", "x\ry", "1", "x=1"]
HEADER = st.one_of(st.sampled_from(NAMES), st.text(max_size=5))


@st.composite
def tables(draw):
    """Names and rows, most of them plain, so that many get beyond the reader."""
    names = draw(st.one_of(st.just(["x", "y", "w", "g"]), st.lists(HEADER, min_size=1, max_size=5)))
    spoilt = draw(st.integers(0, 4))
    rows = [[draw(PLAIN) for _ in names] for _ in range(draw(st.integers(0, 8)))]
    for _ in range(spoilt if rows else 0):
        row = draw(st.sampled_from(rows))
        row[draw(st.integers(0, len(row) - 1))] = draw(CELL)
    return names, rows


def as_csv(names, rows):
    held = io.StringIO(newline="")
    csv.writer(held, lineterminator="\n").writerows([names, *rows])
    return held.getvalue()


CALLS = [
    ["solve", *SETTLED, "--json", "-", "-q"],
    [
        "solve",
        "--design",
        "linear",
        "--intercept",
        "--reg",
        "ridge=1",
        "--select",
        "none",
        "--weights",
        "w",
        "--json",
        "-",
        "-q",
    ],
    ["solve", *SETTLED, "--categorical", "g", "--missing", "drop", "--json", "-", "-q"],
    ["solve", *SETTLED, "--loss", "poisson", "--offset", "w", "--json", "-", "-q"],
    ["solve", "--gamma", "2", "--reg", "ridge=1", "--select", "kfold:2", "--groups", "g", "--missing", "drop", "-q"],
    ["solve", *SETTLED, "--x", "x", "--constraint", "increasing", "-q"],
    ["em", "--k", "1", "--groups", "g", "--json", "-", "-q"],
    [
        "em",
        "--k",
        "2",
        "--search",
        "1",
        "--restarts",
        "2",
        "--weights",
        "w",
        "--missing",
        "drop",
        "--playlists",
        "lists",
        "-q",
    ],
    ["check", *SETTLED, "--solver", "interior", "--solver", "proximal", "-q"],
    ["predict"],
]


def read_or_predict(words, data):
    if words == ["predict"]:
        call("predict", "m.json", data, "--out", "p.csv", "-q", "--json", "-", "--missing", "drop")
        if Path("p.csv").exists():
            Path("again.csv").write_bytes(
                Path("p.csv").read_bytes().replace(b"prediction", b"p1").replace(b"bound", b"b1")
            )
            status, _, said = call("predict", "m.json", "again.csv", "--out", "q.csv", "-q", "--x", "x")
            assert status == 0, said  # what predict wrote it can read
    else:
        call(words[0], data, *words[1:])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 3}\n" for i in range(9)))
    assert call("solve", str(folder / "d.csv"), *SETTLED, "--save", str(folder / "m.json"), "-q")[0] == 0
    return (folder / "m.json").read_bytes()


MODEL: list[bytes] = []


@pytest.fixture(autouse=True)
def _with_model(model):
    MODEL[:] = [model]


@sized(st.tuples(tables(), st.sampled_from(CALLS)))
def test_cells_and_headers_of_a_csv(drawn):
    (names, rows), words = drawn
    with Folder({"d.csv": as_csv(names, rows), "m.json": MODEL[0]}):
        read_or_predict(words, "d.csv")


ENCODINGS = st.sampled_from(["utf-8", "utf-8", "utf-16", "latin-1"])


@sized(st.tuples(tables(), st.sampled_from(CALLS), st.binary(max_size=4), st.integers(0, 200), ENCODINGS))
def test_bytes_of_a_csv(drawn):
    (names, rows), words, spoilt, at, encoding = drawn
    data = as_csv(names, rows).encode(encoding, "replace")
    with Folder({"d.csv": data[:at] + spoilt + data[at:], "m.json": MODEL[0]}):
        read_or_predict(words, "d.csv")


def column_of(kind, draw, n):
    arrow = pytest.importorskip("pyarrow")
    whole = draw(st.lists(st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)), min_size=n, max_size=n))
    match kind:
        case "text":
            return arrow.array(
                draw(
                    st.lists(st.one_of(st.none(), CELL.filter(lambda cell: cell.isprintable())), min_size=n, max_size=n)
                )
            )
        case "bytes":
            return arrow.array(
                draw(st.lists(st.one_of(st.none(), st.binary(max_size=4)), min_size=n, max_size=n)), arrow.binary()
            )
        case "dictionary":
            return arrow.array(
                [None if one is None else "abc"[one % 3] for one in whole], arrow.string()
            ).dictionary_encode()
        case "date":
            return arrow.array(whole, arrow.int32()).cast(arrow.date32())
        case "zone":
            return arrow.array(whole, arrow.timestamp("us", "Europe/Nowhere"))
        case "list":
            return arrow.array([None if one is None else [one] for one in whole])
        case "null":
            return arrow.nulls(n)
        case "bool":
            return arrow.array([None if one is None else bool(one % 2) for one in whole])
        case "float":
            return arrow.array(
                draw(st.lists(st.one_of(st.none(), st.floats()), min_size=n, max_size=n)), arrow.float64()
            )
    return arrow.array([0 if one is None else one % 7 for one in whole], arrow.int64())


KINDS = ["text", "bytes", "dictionary", "date", "zone", "list", "null", "bool", "float", "plain", "plain", "plain"]


@st.composite
def parquets(draw):
    arrow = pytest.importorskip("pyarrow")
    n = draw(st.integers(0, 7))
    names = draw(st.one_of(st.just(["x", "y", "w", "g"]), st.lists(HEADER, min_size=1, max_size=5)))
    return arrow.table([column_of(draw(st.sampled_from(KINDS)), draw, n) for _ in names], names=names)


@sized(st.tuples(parquets(), st.sampled_from(CALLS)))
def test_columns_of_a_parquet_file(drawn):
    from pyarrow import parquet

    table, words = drawn
    held = io.BytesIO()
    parquet.write_table(table, held)
    with Folder({"d.parquet": held.getvalue(), "m.json": MODEL[0]}):
        read_or_predict(words, "d.parquet")


@sized(st.tuples(st.integers(0, 900), st.binary(min_size=1, max_size=6), st.booleans()))
def test_bytes_of_a_parquet_file(drawn):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    at, spoilt, cut = drawn
    held = io.BytesIO()
    parquet.write_table(arrow.table({"x": [1.0, 2.0, 3.0], "y": [1, 2, 4], "g": ["a", "b", None]}), held)
    data = held.getvalue()
    with Folder({"d.parquet": data[:at] + spoilt + (b"" if cut else data[at + len(spoilt) :])}):
        call("solve", "d.parquet", *SETTLED, "-q")


# ---- words -----------------------------------------------------------------------------------------------------------

WORDS = [
    *(
        "",
        "x",
        "y",
        "x,x",
        ",",
        "nosuch",
        "-1",
        "0",
        "nan",
        "inf",
        "1e400",
        "9" * 5000,
        "1:2",
        "kfold:" + "9" * 5000,
        "d.csv",
    ),
    *(
        "random:" + "9" * 5000,
        "huber:delta=",
        "huber:delta=nan",
        "tv=",
        "ridge=1e400",
        "bounds:lower=2,upper=1",
        "2GiB",
        "drop",
    ),
]
LETTERS = st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")
WORD = st.one_of(st.sampled_from(WORDS), st.text(alphabet=LETTERS, max_size=12))
COLUMNS = ["--weights", "--offset", "--exposure", "--groups", "--categorical"]
OPTIONS = {
    "solve": [
        *(
            "--x",
            "--y",
            *COLUMNS,
            "--missing",
            "--max-input",
            "--design",
            "--kernel",
            "--gamma",
            "--loss",
            "--reg",
            "--constraint",
        ),
        *(
            "--solver",
            "--tol",
            "--select",
            "--search",
            "--grid",
            "--metric",
            "--folds",
            "--scale",
            "--n",
            "--seed",
            "--search-seed",
        ),
    ],
    "predict": ["--x", "--offset", "--exposure", "--outside", "--missing", "--max-input", "--seed"],
    "em": [
        *(
            "--x",
            "--y",
            *COLUMNS,
            "--missing",
            "--max-input",
            "--k",
            "--k-range",
            "--criterion",
            "--ridge",
            "--init",
            "--cycles",
        ),
        *("--catalogue", "--top", "--seed"),
    ],
}
START = {
    "solve": ["solve", "d.csv", "-q", "--max-iterations", "50", "--time-limit", "5", "--select", "kfold:2"],
    "predict": ["predict", "m.json", "d.csv", "--out", "p.csv", "-q"],
    "em": ["em", "d.csv", "-q", "--search", "1", "--restarts", "2", "--search-seconds", "2"],
}


@st.composite
def commands(draw):
    name = draw(st.sampled_from(list(OPTIONS)))
    options = draw(st.lists(st.tuples(st.sampled_from(OPTIONS[name]), WORD), min_size=1, max_size=3))
    return [*START[name], *(word for option in options for word in option)]


@sized(commands())
def test_words_of_options(words):
    files = {
        "d.csv": "x,y,w,g\n" + "".join(f"{i},{i % 3},{i % 2},{'ab'[i % 2]}\n" for i in range(9)),
        "m.json": MODEL[0],
    }
    with Folder(files):
        call(*words)
