"""Sentences on mixtures as the command line says them: moods that count from 1, rows of the table, options."""

import numpy as np
import pytest

from hw4cli.opt.em_output import error_of_table, with_moods
from hw4cli.translate import translate
from hw4opt import InputError


@pytest.mark.parametrize(
    ("library", "command_line"),
    [
        ("component 0 has no finite maximum", "mood 1 has no finite maximum"),
        ("components 0, 9 have no finite maximum", "moods 1, 10 have no finite maximum"),
        (
            "not identified: tempo of component 1, loud of component 10",
            "not identified: tempo of mood 2, loud of mood 11",
        ),
        ("3 components were asked for and 2 are left", "3 moods were asked for and 2 are left"),
        ("give more `seconds` or a smaller `k`", "give more --search-seconds or a smaller --k"),
    ],
)
def test_sentences_are_on_moods_and_options(library, command_line):
    assert translate(with_moods(library)) == command_line


@pytest.mark.parametrize(
    ("error", "row", "sentence"),
    [
        (InputError("y holds -3 in row 2; each of 2 components", 2), 7, "y holds -3 in row 8; each of 2 moods"),
        (InputError("row 2 of 2 components"), None, "row 2 of 2 moods"),
    ],
)
def test_an_error_names_the_row_of_the_table(error, row, sentence):
    found = error_of_table(error, np.array([0, 2, 7]))
    assert found.row == row and translate(str(found), found.row) == sentence


def test_rows_are_those_of_the_table_where_some_were_dropped(hw4opt, tmp_path):
    lines = ["x,y,log_hours", *(f"{i % 5},{1 + i % 7},{1e6 if i == 6 else 0}" for i in range(20))]
    lines[3] = ",2,0"  # row 3 misses its x
    (tmp_path / "d.csv").write_text("\n".join(lines) + "\n")
    done = hw4opt("em", "d.csv", "--x", "x", "--k", "2", "--offset", "log_hours", "--missing", "drop")
    assert (
        done.status == 2
        and "offset holds 1e+06 in row 7; " in done.err
        and "give an exposure itself by --exposure" in done.err
    )
