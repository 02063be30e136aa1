"""Tables: types of cells and of Parquet columns, the limit of columns, and lengths of lists in messages."""

import time

import numpy as np
import pytest

from hw4opt.errors import InputError, ModelFileError, UnknownNameError, listed
from hw4opt.tables import Table, read_table
from hw4opt.tables.features import Features, Levels, Moments, Numbers
from hw4opt.tables.times import moment_text, parse_times
from hw4opt.tables.write import write_csv

EVERY = np.ones(3, dtype=bool)


@pytest.mark.parametrize(
    ("cell", "nanoseconds"),
    [
        ("1970-01-02", 86_400 * 10**9),
        (" 1970-01-01T00:00:01 ", 10**9),
        ("1970-01-01 00:00:01.000000001Z", 10**9 + 1),
        ("1970-01-01T01:00:00,5+01:00", 5 * 10**8),
        ("1970-01-01T00:00-0030", 1800 * 10**9),
        ("19700101T000001", 10**9),
        ("1970-W01-4", 0),
        ("0001-01-01", -62_135_596_800 * 10**9),
        ("1969-12-31T23:59:59.25", -75 * 10**7),
        ("0001-01-01T00:00:00+23:00", -62_135_596_800 * 10**9 - 23 * 3600 * 10**9),
        *(
            (cell, None)
            for cell in (
                "",
                "1970",
                "19700101",
                "1970-13-01",
                "1970-02-30",
                "01.02.1970",
                "1970-01-01x00:00",
                "1970-01-01T25:00",
            )
        ),
        *(
            (cell, None)
            for cell in ("１９７０-01-01", "1970-01-01T00:00.5", "1970-01-01T00:00:00.", "-1970-01-01", "10000-01-01")
        ),
    ],
)
def test_iso_8601(cell, nanoseconds):
    assert parse_times([cell]).nanoseconds == [nanoseconds]


@pytest.mark.parametrize("nanoseconds", [0, -1, 10**9, 86_400 * 10**9, 123_456_789_012_345_678, 3 * 10**20])
def test_a_moments_text_is_the_moment(nanoseconds):
    text = moment_text(nanoseconds, dates=False)
    assert parse_times([text]).nanoseconds == [nanoseconds] or nanoseconds > 10**20
    assert text.partition("T")[0] == moment_text(nanoseconds, dates=True)


def parquet(path, columns):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.table(columns), path)
    return path


@pytest.fixture
def odd(tmp_path):
    """Three rows of everything that Parquet holds and Python may not."""
    arrow = pytest.importorskip("pyarrow")
    places = arrow.py_buffer(b"".join(i.to_bytes(4, "little") for i in range(4)))
    return parquet(
        tmp_path / "d.parquet",
        {
            "x": [0.1, 2.0, 3.0],
            "far": arrow.array([3_000_000, 3_000_001, 3_000_003], arrow.int32()).cast(arrow.date32()),
            "zone": arrow.array([0, 10**9, 3 * 10**9], arrow.timestamp("ns", "No/Where")),
            "late": arrow.array([0, 1, 10**15], arrow.timestamp("ms")),
            "bytes": arrow.array([b"\xff\x00", b"12", None], arrow.binary()),
            "broken": arrow.Array.from_buffers(arrow.string(), 3, [None, places, arrow.py_buffer(b"\xff1\xfe")]),
            "far list": arrow.array([[3_000_000]] * 3, arrow.list_(arrow.int32())).cast(arrow.list_(arrow.date32())),
            "struct": [{"a": 1}] * 3,
            "clock": arrow.array([1, 2, 3], arrow.time64("ns")),
            "lasted": arrow.array([1, 2, 3], arrow.duration("ns")),
            "nothing": arrow.nulls(3),
            "words": arrow.array(["b", "a", "b"]).dictionary_encode(),
            "price": arrow.array([1, 2, None], arrow.decimal128(10, 2)),
            "half": arrow.array(np.array([1, 2, 3], dtype=np.float16)),
            "single": arrow.array(np.array([0.1, 2, 3], dtype=np.float32)),
            "whole": [2**60 + 1, None, 3],
        },
    )


def test_columns_that_are_not_used_do_no_harm(odd):
    assert read_table(odd).numbers("x").tolist() == [0.1, 2, 3]


def test_every_type_of_parquet_has_text_and_numbers_or_moments(odd, tmp_path):
    table = read_table(odd)
    numeric = {name for name in table.names if table.is_numeric(name)}
    assert numeric == {"x", "price", "half", "single", "whole"}
    assert {name for name in table.names if table.is_times(name)} == {"far", "zone", "late"}
    assert Moments.of(table, "far", EVERY).values(table, "far", EVERY)[:, 0].tolist() == [0, 1, 3]
    assert Moments.of(table, "zone", EVERY).values(table, "zone", EVERY)[:, 0].tolist() == [0, 1, 3]
    assert table.text("far")[0] == "10183-09-21" and table.text("zone")[1] == "1970-01-01T00:00:01Z"
    assert table.text("words") == ["b", "a", "b"]
    assert table.text("bytes") == ["\\xff\x00", "12", ""] and table.text("broken") == ["\\xff", "1", "\\xfe"]
    assert float(table.text("single")[0]) == float(np.float32(0.1)) and table.text("nothing") == ["", "", ""]
    np.testing.assert_array_equal(table.floats("price"), [1, 2, np.nan])
    write_csv(tmp_path / "d.csv", table.names, [table.text(name) for name in table.names])
    again = read_table(tmp_path / "d.csv")
    for name in numeric:
        np.testing.assert_array_equal(again.floats(name), table.floats(name))


def test_a_parquet_file_with_two_columns_of_one_name_is_told_as_such(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.table([arrow.array([1.0])] * 3, names=["a", "y", "a"]), tmp_path / "d.parquet")
    with pytest.raises(InputError, match=r"d.parquet names the column 'a' twice \(columns 1, 3\)"):
        read_table(tmp_path / "d.parquet")


def test_a_parquet_file_that_unpacks_to_too_much_is_refused(tmp_path):
    path = parquet(tmp_path / "d.parquet", {"x": np.zeros(2_000_000), "y": np.zeros(2_000_000)})
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="unpacks to 4,000,000 bytes and 1,000,000 are read at most"):
        read_table(path, 1_000_000)
    assert len(read_table(path)) == 2_000_000


def test_a_list_in_a_sentence_is_short():
    assert listed(["a", "b", "c"]) == "a, b, c" and listed([]) == ""
    assert listed(f"c{i}" for i in range(100_000)).endswith("c19 and 99,980 more")
    assert len(listed(["x" * 10**6] * 10**5)) < 1500
    assert len(str(UnknownNameError("column", "y" * 10**6, ["x" * 10**6] * 10**4))) < 2000


@pytest.mark.slow
@pytest.mark.parametrize("twice", [False, True])
def test_a_hundred_thousand_columns_take_seconds(tmp_path, twice):
    names = [f"c{i}" for i in range(100_000)]
    names[-1] = "c0" if twice else names[-1]
    (tmp_path / "d.csv").write_text("\n".join([",".join(names), *[",".join(["1"] * 100_000)] * 2]))
    start = time.perf_counter()
    if twice:
        with pytest.raises(InputError, match=r"'c0' twice \(columns 1, 100000\)"):
            read_table(tmp_path / "d.csv")
    else:
        table = read_table(tmp_path / "d.csv")
        assert len(table.names) == 100_000
        with pytest.raises(UnknownNameError, match="and 99,980 more"):
            table.numbers("nosuch")
    assert time.perf_counter() - start < 20  # pairs of names would take minutes


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x,y\n1,2\n".encode("utf-16"), "UTF-16 text; save it as UTF-8"),
        ("x,y\n1,é\n".encode("latin-1"), r"not UTF-8 text \(byte 6\)"),
        (b"x,y\n1,\x002\n", r"binary file \(byte 6 is 0\)"),
        (b'x,y\n1,"2\n3,4\n', "line 3: unexpected end of data"),
        (b'x,y\n1,"2"3\n', "line 2: "),
        (b"x" * 5000 + b",y\n1,2\n", "name of column 1 .* has 5,000 characters"),
        (b",,y\n1,2,3\n", r"column '' twice \(columns 1, 2\)"),
        (b"x,y\n1," + b"2" * 10**6 + b"\n", "field larger than field limit"),
        ("１,２\n1,2\n".encode(), None),
    ],
)
def test_a_csv_that_cannot_be_read_gets_a_sentence(tmp_path, content, words):
    (tmp_path / "d.csv").write_bytes(content)
    if words is None:
        assert read_table(tmp_path / "d.csv").names == ["１", "２"]
        return
    with pytest.raises(InputError, match=words) as caught:
        read_table(tmp_path / "d.csv")
    assert len(str(caught.value)) < 600


def test_numbers_count_where_rows_do():
    table = Table({"x": ["1", "abc", "3"], "g": ["a", "", "b"]}, "memory", "")
    here = np.array([True, False, True])
    np.testing.assert_array_equal(table.numbers("x", here), [1, np.nan, 3])
    assert table.labels("g", here).tolist() == [1, 0, 2]
    with pytest.raises(InputError, match="column 'g' is empty in row 1"):
        table.labels("g")


FEATURES = Features((Numbers("a"), Levels("b", ("u", "v", "w"), True), Moments("c", 5, True, False)))


def test_features_are_stored_and_loaded():
    assert Features.load(FEATURES.stored()) == FEATURES and FEATURES.names == ("a", "b=v", "b=w", "c")


@pytest.mark.parametrize(
    "stored",
    [
        None,
        3,
        "abc",
        [3],
        [{}],
        [{"kind": "numbers"}],
        [{"kind": "numbers", "name": 3}],
        [{"kind": "nosuch", "name": "a"}],
        {"kind": 1},
    ]
    + [[{"kind": "levels", "name": "b", "levels": levels, "dropped": True}] for levels in (3, [1, 2], None, [["a"]])]
    + [
        [{"kind": "moments", "name": "c", "first": first, "dates": True, "zoned": False}]
        for first in (1.5, "0", None, True)
    ],
)
def test_features_of_a_damaged_model_are_refused(stored):
    with pytest.raises(ModelFileError, match="damaged"):
        Features.load(stored)
