"""The library's sentences name Python's parameters, and the command line's the options for them."""

import ast
import re
from pathlib import Path

import pytest

from hw4cli.opt.app import COMMANDS, OptCommands
from hw4cli.option_names import PARAMETER, with_options
from hw4opt import Status

LIBRARY = Path(__file__).resolve().parents[2] / "hw4opt"
SETTLED = ["--loss", "absolute", "--gamma", "50", "--reg", "ridge=0.01", "--reg", "tv=3", "--select", "none"]


def docstrings(tree):
    """The nodes of docstrings, which are no sentences to users."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node.body[0] for node in ast.walk(tree) if isinstance(node, owners) and node.body]
    return {id(node.value) for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}


def literals(source):
    """The string literals of a module's source but its docstrings, each f-string in one piece with {} for what is put in."""
    tree = ast.parse(source)
    skipped, found = docstrings(tree), []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            found.append("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            found.append(node.value)
    return found


def library_literals():
    for path in sorted(LIBRARY.rglob("*.py")):
        yield from ((path.relative_to(LIBRARY), text) for text in literals(path.read_text(encoding="utf-8")))


def options_of_commands():
    """The options of every command of hw4opt."""
    app = OptCommands("hw4opt")
    commands = [app.get_command(None, name) for name in COMMANDS]
    return {option for command in commands for item in command.params for option in (*item.opts, *item.secondary_opts)}


def test_the_reader_of_literals_finds_sentences_and_skips_docstrings():
    source = '"""--module"""\ndef f(a):\n    """--doc"""\n    raise ValueError(f"raise --tol {a} or `tol`", "--plain")'
    assert literals(source) == ["raise --tol {} or `tol`", "--plain"]


def test_the_library_names_no_option():
    assert not [(path, text) for path, text in library_literals() if re.search(r"--[a-zA-Z]", text)]


def test_every_parameter_that_a_sentence_names_is_an_option_of_a_command():
    named = {match[0] for _, text in library_literals() for match in PARAMETER.finditer(text)}
    assert {"`max_iterations`", "`tol`", "`time_limit`", "`quasi=True`", "`intercept=False`"} <= named
    known = options_of_commands()
    assert "--max-iterations" in known and not [one for one in named if with_options(one).split()[0] not in known]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("raise `max_iterations`, loosen `tol`", "raise --max-iterations, loosen --tol"),
        ("`quasi=True` takes fractions", "--quasi takes fractions"),
        ("give `intercept=False`", "give --no-intercept"),
        ("give more `seconds`", "give more --search-seconds"),
        ("give a larger `max_bytes`", "give a larger --max-input"),
        ("widen it with `grid={'ridge': (low, high, count)}`", "widen it with --grid ridge=LOW:HIGH:COUNT"),
        ("as in `grid={'huber.delta': (0.1, 10, 7)}`", "as in --grid huber.delta=0.1:10:7"),
        ("`hw4opt em --plot` draws its moods; tol stays", "`hw4opt em --plot` draws its moods; tol stays"),
    ],
)
def test_parameters_become_options(sentence, expected):
    assert with_options(sentence) == expected


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
