"""Sentences of the library name parameters and count rows from 0; the command line names options, counts from 1."""

import ast
import pickle
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hw4cli.nets.app import NetsCommands
from hw4cli.opt.app import OptCommands
from hw4cli.translate import PARAMETER, translate
from hw4opt import InputError, Poisson, Problem, Status, fit
from hw4opt.tables import read_table

ROOT = Path(__file__).resolve().parents[2]
SETTLED = ["--loss", "absolute", "--gamma", "50", "--reg", "ridge=0.01", "--reg", "tv=3", "--select", "none"]


def docstrings(tree):
    """The nodes of docstrings, which are not messages."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node.body[0] for node in ast.walk(tree) if isinstance(node, owners) and node.body]
    return {id(node.value) for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}


def literals(source):
    """The string literals of a source except docstrings; f-strings in one piece, with {} for each expression."""
    tree = ast.parse(source)
    skipped, found = docstrings(tree), []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            found.append("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            found.append(node.value)
    return found


PROGRAMS = {"build.py"}  # run as files, with options of their own


@cache
def library_literals(library):
    """(file, literal) of the whole library."""
    paths = [path for path in sorted((ROOT / library).rglob("*.py")) if path.name not in PROGRAMS]
    return [(path.name, text) for path in paths for text in literals(path.read_text(encoding="utf-8"))]


def options_of_commands(app):
    """The options of every command of a program."""
    commands = [app.get_command(None, name) for name in app.texts]
    return {option for command in commands for item in command.params for option in (*item.opts, *item.secondary_opts)}


def test_the_reader_of_literals_finds_sentences_and_skips_docstrings():
    source = '"""--module"""\ndef f(a):\n    """--doc"""\n    raise ValueError(f"raise --tol {a} or `tol`", "--plain")'
    assert literals(source) == ["raise --tol {} or `tol`", "--plain"]


@pytest.mark.parametrize("library", ["hw4opt", "hw4nets"])
def test_a_library_names_no_option(library):
    assert not [(path, text) for path, text in library_literals(library) if re.search(r"--[a-zA-Z]", text)]


@pytest.mark.parametrize(
    ("library", "app", "some"),
    [
        ("hw4opt", OptCommands("hw4opt"), {"`max_iterations`", "`tol`", "`time_limit`", "`quasi=True`"}),
        ("hw4nets", NetsCommands("hw4nets"), {"`lr`", "`folder`", "`overwrite=True`", "`device='cpu'`"}),
    ],
)
def test_every_parameter_that_a_sentence_names_is_an_option_of_a_command(library, app, some):
    if library == "hw4nets":
        pytest.importorskip("torch")
    named = {match[0] for _, text in library_literals(library) for match in PARAMETER.finditer(text)}
    known = options_of_commands(app)
    assert some <= named and not [one for one in named if translate(one).split()[0] not in known]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("raise `max_iterations`, loosen `tol`", "raise --max-iterations, loosen --tol"),
        ("`quasi=True` takes fractions", "--quasi takes fractions"),
        ("give `intercept=False`", "give --no-intercept"),
        ("give more `seconds`", "give more --search-seconds"),
        ("take `device='cpu'`, or another `folder`", "take --device cpu, or another --out"),
        ("give a larger `max_bytes`", "give a larger --max-input"),
        ("widen it with `grid={'ridge': (low, high, count)}`", "widen it with --grid ridge=LOW:HIGH:COUNT"),
        ("as in `grid={'huber.delta': (0.1, 10, 7)}`", "as in --grid huber.delta=0.1:10:7"),
        ("`hw4opt em --plot` draws its moods; tol stays", "`hw4opt em --plot` draws its moods; tol stays"),
    ],
)
def test_parameters_become_options(sentence, expected):
    assert translate(sentence) == expected


def test_python_reads_parameters():
    assert "`max_iterations`" in Status.ITERATION_LIMIT.value and "`tol`" in Status.INACCURATE.value


def test_stderr_table_and_json_name_options(hw4opt):
    words = ["solve", "--n", "200", *SETTLED, "--solver", "interior", "--max-iterations", "1"]
    shown, written = hw4opt(*words), hw4opt(*words, "--json", "-", "-q")
    assert shown.status == written.status == 1
    for text in (shown.out, shown.err, written.json["message"], written.err):
        assert "--max-iterations" in text and "--time-limit" in text and "`" not in text


def test_rows_of_check_name_options(hw4opt):
    solvers = ["--solver", "admm", "--solver", "interior", "--time-limit", "1e-9"]
    found = hw4opt("check", "--n", "200", *SETTLED, *solvers, "--json", "-", "-q")
    sentences = [row["message"] for row in found.json["rows"] if row["status"] == "iteration_limit"]
    assert sentences and all("--max-iterations" in sentence for sentence in sentences)


def test_data_with_backquotes_stay_as_they_are(hw4opt, tmp_path):
    (tmp_path / "d.csv").write_text("`tol`,y\n" + "".join(f"{i},{i % 3}\n" for i in range(9)))
    found = hw4opt("solve", "d.csv", "--x", "`tol`", *SETTLED, "--json", "-", "-q").json
    assert found["features"] == ["`tol`"]


# ---- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "row", "expected"),
    [
        ("y holds -1 in row 0; give 0 or more", 0, "y holds -1 in row 1; give 0 or more"),
        (
            "column 'row 2' holds text ('row 2') in row 2; give numbers",
            2,
            "column 'row 2' holds text ('row 2') in row 3; give numbers",
        ),
        ("y holds 1 in row 12", 12, "y holds 1 in row 13"),
        ("y holds 1 in row 12", 1, "y holds 1 in row 12"),
        ("y is missing", 3, "y is missing"),
        ("y holds 1 in row 3", None, "y holds 1 in row 3"),
        (
            "can approach 0 without reaching it (counted from 0: 0, 9 and 2 more)",
            None,
            "can approach 0 without reaching it (rows 1, 10 and 2 more)",
        ),
        (
            "can approach 0 without reaching it (counted from 0: 4); it",
            None,
            "can approach 0 without reaching it (row 5); it",
        ),
    ],
)
def test_rows_count_from_one(sentence, row, expected):
    assert translate(sentence, row) == expected == translate(expected)


def test_a_row_survives_a_process():
    error = pickle.loads(pickle.dumps(InputError("y holds -1 in row 4", 4)))
    assert (str(error), error.row) == ("y holds -1 in row 4", 4) and InputError("no row").row is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y\n1,1\n2,n/a\n3,1\n4,2\n", "column 'y' holds text ('n/a') in row {}; give numbers or drop the row"),
        ("x,y\n1,1\n2\n3,1\n4,2\n", "has 1 cells in row {} and 2 in the header"),
    ],
)
def test_a_table_counts_from_zero_in_python_and_from_one_on_the_command_line(hw4opt, tmp_path, text, words):
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_table(tmp_path / "d.csv").numbers("y")
    assert words.format(1) in str(caught.value) and caught.value.row == 1
    done = hw4opt("solve", "d.csv", "--gamma", "1")
    assert done.status == 2 and words.split(";")[0].format(2) in done.err


def test_a_catalogue_counts_from_one(hw4opt, tmp_path):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 4}\n" for i in range(12)))
    (tmp_path / "c.csv").write_text("x\n1\n2\nthree\n4\n")
    done = hw4opt("em", "d.csv", "--k", "1", "--catalogue", "c.csv")
    assert done.status == 2 and "the catalogue c.csv: column 'x' holds text ('three') in row 3;" in done.err


def test_a_mixture_counts_from_one_on_the_command_line(hw4opt, tmp_path):
    (tmp_path / "d.csv").write_text("x,y,o\n" + "".join(f"{i},{i % 4},{1e6 if i == 5 else 0}\n" for i in range(12)))
    done = hw4opt("em", "d.csv", "--k", "1", "--x", "x", "--offset", "o")
    assert done.status == 2 and "offset holds 1e+06 in row 6;" in done.err


def test_separated_rows_count_from_zero_in_python_and_json_and_from_one_in_sentences(hw4opt, tmp_path):
    x, y = np.array([0, 0, 0, 1, 1.0]), np.array([1, 2, 3, 0, 0.0])
    result = fit(Problem(x, y, loss=Poisson(), intercept=True))
    assert result.existence.rows == (3, 4) and "(counted from 0: 3, 4)" in result.message
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{a:g},{b:g}\n" for a, b in zip(x, y, strict=True)))
    words = ["solve", "d.csv", "--loss", "poisson", "--design", "linear", "--intercept", "--select", "none"]
    done = hw4opt(*words, "--json", "-", "-q")
    assert done.status == 1 and done.json["existence"]["rows"] == [3, 4]
    for text in (done.json["message"], done.err, hw4opt(*words).out):
        sentence = " ".join(text.split())  # a table wraps it
        assert "(rows 4, 5)" in sentence and "counted from 0" not in sentence
