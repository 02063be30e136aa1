"""Predictions outside the fitted rows, beyond floating point, and what a CSV must hold to be read again."""

import csv

import numpy as np
import pytest

from hw4opt import RBF, Huber, Problem, Result, Ridge, fit
from hw4opt.tables import read_table


def read(path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def model(hw4opt, tmp_path):
    """Two columns: a from 0 to 1.9, b from -1 to 1 among the rows that count."""
    rows = [f"{i / 10},{(i * 7 % 21) / 10 - 1},{i % 5},1" for i in range(20)]
    (tmp_path / "d.csv").write_text("\n".join(["a,b,y,w", *rows, "99,99,0,0"]) + "\n")
    settled = ["--gamma", "1", "--reg", "ridge=0.1", "--select", "none"]
    assert hw4opt("solve", "d.csv", "--x", "a,b", "--weights", "w", *settled, "--save", "m.json").status == 0
    (tmp_path / "new.csv").write_text("a,b\n1,0\n5,0\n1,-7\n-3,40\n1.9,1\n")
    return "m.json"


@pytest.mark.parametrize("what", ["keep", "empty", "clip"])
def test_rows_outside_are_named_and_treated_as_asked(hw4opt, tmp_path, model, what):
    done = hw4opt("predict", model, "new.csv", "--out", "p.csv", "--outside", what, "--json", "-", "--quiet")
    result, x = Result.load(model), np.array([[1, 0], [5, 0], [1, -7], [-3, 40], [1.9, 1]])
    low, high = result.problem.active_x.min(axis=0), result.problem.active_x.max(axis=0)
    outside = ((x < low) | (x > high)).any(axis=1)
    assert done.status == 0 and done.json["outside_rows"] == np.flatnonzero(outside).tolist()
    (said,) = done.json["warnings"]
    assert (
        said.startswith("rows 2, 3, 4")
        and "a from 0 to 1.9" in said
        and "b from -1 to" in said
        and said in " ".join(done.err.split())
    )
    expected = result.predict(np.clip(x, low, high) if what == "clip" else x)
    rows = read(tmp_path / "p.csv")
    for place, row in enumerate(rows):
        if what == "empty" and outside[place]:
            assert row["prediction"] == row["bound"] == "" and done.json["prediction"][place] is None
        else:
            assert float(row["prediction"]) == expected[place] == done.json["prediction"][place]


def test_rows_inside_get_no_word(hw4opt, model):
    done = hw4opt("predict", model, "d.csv", "--out", "p.csv", "--json", "-", "--quiet")
    assert (
        done.json["outside_rows"] == [20] and "row 21 lies outside" in done.json["warnings"][0]
    )  # the row of weight 0
    assert hw4opt("predict", model, "d.csv", "--out", "q.csv", "--outside", "nosuch").status == 2


def test_the_rows_a_sentence_lists_are_few(hw4opt, tmp_path, model):
    (tmp_path / "many.csv").write_text("a,b\n" + "9,9\n" * 5000)
    done = hw4opt("predict", model, "many.csv", "--out", "p.csv", "--json", "-", "--quiet")
    assert "and 4,980 more lie outside" in done.err and len(done.err) < 600 and len(done.json["outside_rows"]) == 5000


def test_a_model_without_names_of_columns_has_a_range_too(hw4opt, tmp_path):
    x = np.linspace(0, 1, 20)
    fit(Problem(x, x, kernel=RBF(5), loss=Huber(), regularizers=[Ridge(0.1)])).save("m.json")
    (tmp_path / "d.csv").write_text("t\n0.5\n1.5\n")
    done = hw4opt("predict", "m.json", "d.csv", "--out", "p.csv", "--x", "t", "--quiet")
    assert done.status == 0 and "row 2 lies outside the range of the fitted rows (x1 from 0 to 1)" in done.err


def test_what_no_number_holds_is_an_empty_cell_and_a_warning(hw4opt, tmp_path):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 3}\n" for i in range(12)))
    (tmp_path / "new.csv").write_text("x\n5\n1e200\n-1e308\n")
    for words in (
        ["--kernel", "polynomial:degree=3", "--gamma", "1"],
        ["--loss", "poisson", "--design", "linear", "--intercept"],
    ):
        hw4opt("solve", "d.csv", *words, "--reg", "ridge=1", "--select", "none", "--save", "m.json")
        done = hw4opt("predict", "m.json", "new.csv", "--out", "p.csv", "--json", "-", "--plot", "p.png")
        assert done.status == 0 and "beyond floating point" in done.json["warnings"][-1], done.err
        text = (tmp_path / "p.csv").read_text().lower()
        assert "nan" not in text and "inf" not in text and (",," in text or ",\n" in text)
        assert [value is None for value in done.json["mean" if "poisson" in words else "prediction"]][:2] == [
            False,
            True,
        ]


TEXTS = ["plain", "a,b", 'say "so"', "a\rb", "a\nb", "\r", "", " lead", "é λ", "=1+1", "\x1b[31m", "a\x00b"]


@pytest.mark.parametrize("name", ["text", "te\rxt", 'te"xt', "te\0xt", ""])
@pytest.mark.parametrize("text", TEXTS)
def test_predict_reads_its_own_output(hw4opt, tmp_path, model, name, text):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.table({name: [text, "z"], "a": [1.0, 0.1], "b": [0.1, 0.3]}), tmp_path / "t.parquet")
    assert hw4opt("predict", model, "t.parquet", "--out", "p.csv", "--quiet").status == 0
    table = read_table(tmp_path / "p.csv")
    assert table.text(name.replace("\0", "\\x00")) == [text.replace("\0", "\\x00"), "z"] and len(table) == 2
    assert table.numbers("a").tolist() == [1.0, 0.1]


def test_playlists_are_read_again(hw4opt, tmp_path):
    rows = [["song", "x", "y"], *([f"s\r{i}", i / 9, 3 + i % 4] for i in range(20))]
    with (tmp_path / "d.csv").open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    assert hw4opt("em", "d.csv", "--k", "1", "--playlists", "lists", "--top", "5", "--quiet").status == 0
    assert set(read_table(tmp_path / "lists" / "mood_1.csv").text("song")) <= {row[0] for row in rows}


def test_text_that_no_csv_cell_holds_is_refused(hw4opt, tmp_path, model):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(
        arrow.table({"t": ["a", "b" * 200_000], "a": [1.0, 0.1], "b": [0.1, 0.3]}), tmp_path / "t.parquet"
    )
    done = hw4opt("predict", model, "t.parquet", "--out", "p.csv", "--quiet")
    assert (
        done.status == 2
        and "column 't' holds text of 200,000 characters in row 2" in done.err
        and not (tmp_path / "p.csv").exists()
    )
