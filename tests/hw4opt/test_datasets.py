"""The assignment's step data, and tables from files: what is read, and how what is wrong is named."""

import csv
import hashlib
import sys
from fractions import Fraction

import numpy as np
import pytest

from hw4opt.datasets import Table, read_table, step_data, step_function
from hw4opt.errors import InputError, UnknownNameError


def exact_steps(n: int) -> list[int]:
    """f at x_i = (i-1)/(n-1) in rational arithmetic."""
    return [10 * sum(Fraction(i, n - 1) >= Fraction(k, 5) for k in range(1, 5)) for i in range(n)]


@pytest.mark.parametrize("n", [25, 26, 50, 51, 76, 101, 1001, 1236])
def test_steps_rise_where_x_reaches_k_fifths_exactly(n):
    data = step_data(n)
    assert data.truth.tolist() == exact_steps(n)
    np.testing.assert_array_equal(data.x, [i / (n - 1) for i in range(n)])


@pytest.mark.parametrize(("n", "seed"), [(25, 0), (50, 0), (50, 7), (200, 3)])
def test_noise_is_drawn_for_every_row_and_row_25_is_the_outlier(n, seed):
    data = step_data(n, seed)
    expected = np.array(exact_steps(n)) + np.random.default_rng(seed).standard_normal(n)
    expected[24] = 0
    np.testing.assert_array_equal(data.y, expected)


def test_step_data_need_their_outlier_and_a_seed():
    with pytest.raises(InputError, match=r"n is 24.*25 or more"):
        step_data(24)
    with pytest.raises(InputError, match="seed is -1"):
        step_data(50, -1)


def test_the_step_function_between_the_data():
    assert step_function([-1, 0, 0.1999, 0.2, 0.5, 0.6, 0.79, 0.8, 1, 3]).tolist() == [
        0,
        0,
        0,
        10,
        20,
        30,
        30,
        40,
        40,
        40,
    ]


def write(path, text: str | bytes):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_csv_becomes_named_columns(tmp_path):
    path = write(tmp_path / "d.csv", '\ufeffname, dose ,y\n"a, b",1,2.5\n\nc,-1e3,4\n')
    table = read_table(path)
    assert table.names == ["name", "dose", "y"] and len(table) == 2
    np.testing.assert_array_equal(table.numbers("dose"), [1, -1000])
    assert table.text("name") == ["a, b", "c"]
    assert [table.is_numeric(name) for name in table.names] == [False, True, True]
    assert table.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_many_rows_keep_their_order(tmp_path):
    rows = np.random.default_rng(0).normal(size=(70_000, 2))
    path = tmp_path / "many.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["x", "y"], *rows.tolist()])
    table = read_table(path)
    np.testing.assert_array_equal(np.column_stack([table.numbers("x"), table.numbers("y")]), rows)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"x,y\n", "header and no rows"),
        (b"x,y\n1,2\n3\n", "1 cells in row 1 and 2 in the header"),
        (b"x,y\n1,2\n3,4,5\n", "3 cells in row 1"),
        (b"\x89PNG\r\n\0\0", "binary"),
        (b"x,y\n\xff\xfe\xfd,1\n", "not UTF-8"),
        (b"x,y,x\n1,2,3\n", "column 'x' twice"),
        (b"1,2\n3,4\n", "holds numbers only"),
        (b"x;y\n1;2\n", "semicolons"),
        (b"x\ty\n1\t2\n", "tabs"),
        (b"PAR1 and nothing else", "damaged or not a Parquet file"),
        (b'x,y\n"' + b"a" * 200_000 + b'",1\n', "not a readable CSV"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path, content, words):
    path = write(tmp_path / "d.csv", content)
    with pytest.raises(InputError, match=words) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no file .*nosuch.csv"):
        read_table(tmp_path / "nosuch.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("n/a", r"holds text \('n/a'\) in row 2"),
        ("nan", "holds nan in row 2"),
        ("-inf", "holds -inf in row 2"),
        ("", "is empty in row 2"),
    ],
)
def test_a_cell_that_is_no_number_is_named_by_column_and_row(tmp_path, cell, words):
    table = read_table(write(tmp_path / "d.csv", f"dose,y\n1,1\n2,1\n{cell},1\n4,1\n5,1\n"))
    assert table.is_numeric("dose")
    with pytest.raises(InputError, match=f"column 'dose' {words}"):
        table.numbers("dose")


def test_an_unknown_column_is_met_with_the_nearest():
    table = Table.of({"dose": np.zeros(2), "response": np.zeros(2)}, "memory")
    with pytest.raises(UnknownNameError, match=r"no column 'respons'.*did you mean 'response'.*dose, response"):
        table.numbers("respons")


def test_labels_number_equal_cells_equally(tmp_path):
    table = read_table(write(tmp_path / "d.csv", "g,y\nb,1\na,2\nb,3\n"))
    assert table.labels("g").tolist() == [1, 0, 1]


def test_parquet_reads_as_its_csv(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"id": ["a", "b", "c"], "dose": [1, 2, 3], "y": [0.5, None, 2.0], "flag": [True, False, True]}
    parquet.write_table(arrow.table(columns), tmp_path / "d.parquet")
    table = read_table(tmp_path / "d.parquet")
    assert table.numbers("dose").tolist() == [1, 2, 3] and table.numbers("flag").tolist() == [1, 0, 1]
    assert table.text("dose") == ["1", "2", "3"] and not table.is_numeric("id")
    with pytest.raises(InputError, match="column 'y' is empty in row 1"):
        table.numbers("y")


def test_a_column_of_lists_is_no_number(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.table({"x": [1.0, 2.0], "e": [[1.0, 2.0], [3.0, 4.0]]}), tmp_path / "d.parquet")
    table = read_table(tmp_path / "d.parquet")
    assert [table.is_numeric(name) for name in table.names] == [True, False]
    with pytest.raises(InputError, match=r"column 'e' .*1.*2.* in row 0; give numbers or drop the row"):
        table.numbers("e")


def test_parquet_without_its_reader_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = write(tmp_path / "d.parquet", b"PAR1")
    with pytest.raises(InputError, match=r"needs pyarrow.*hw4opt\[parquet\]"):
        read_table(path)
