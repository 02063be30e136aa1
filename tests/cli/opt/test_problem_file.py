"""Problem files: what --save-problem writes is what --problem fits, and whatever else is in one gets a sentence."""

import json
import shutil
import tomllib

import pytest

from hw4cli.opt.problem_file import problem_text

SETTING = ["--loss", "huber:delta=2", "--gamma", 20, "--reg", "ridge=0.01", "--reg", "tv=0.3", "--select", "none"]


@pytest.fixture
def saved(hw4opt, dose, tmp_path):
    """A problem file in a folder of its own, of data beside that folder."""
    (tmp_path / "kept").mkdir()
    words = [dose.name, "--x", "dose", "--y", "response", "--constraint", "increasing", *SETTING]
    done = hw4opt("solve", *words, "--quiet", "--save-problem", "kept/p.toml", "--json", "first.json")
    assert done.status == 0
    return tmp_path / "kept" / "p.toml"


def hyperparameters(done):
    assert done.status == 0, done.err
    return done.json["hyperparameters"]


def test_the_saved_problem_is_the_same_fit_in_every_command(hw4opt, saved, tmp_path):
    first = json.loads((tmp_path / "first.json").read_text())
    solved = hw4opt("solve", "--problem", "kept/p.toml", "--json", "-")
    assert solved.json["objective"] == first["objective"] and solved.json["data_sha256"] == first["data_sha256"]
    checked = hw4opt("check", "--problem", "kept/p.toml", "--solver", "interior", "--solver", "admm", "--json", "-")
    assert checked.json["rows"][0]["objective"] == pytest.approx(first["objective"], rel=1e-9)
    reg = ["--reg", "ridge=0.01", "--reg", "tv"]
    varied = hw4opt("path", "--problem", "kept/p.toml", *reg, "--vary", "tv=0.1:1:2", "--json", "-")
    assert varied.json["hyperparameters"]["gamma"] == 20, varied.err
    reported = hw4opt("report", "--problem", "kept/p.toml", "--json", "-")
    assert reported.json["objective"] == first["objective"]
    assert "constraint = [&quot;increasing&quot;]" in (tmp_path / "report.html").read_text()


def test_it_holds_every_option_with_a_value_and_data_by_path_and_digest(saved, hw4opt):
    held = tomllib.loads(saved.read_text())
    assert held["data"] == "../dose.csv" and len(held["data-sha256"]) == 64
    assert held["reg"] == ["ridge=0.01", "tv=0.3"] and held["gamma"] == 20 and held["select"] == "none"
    assert {"workers", "max-input", "problem", "time-limit", "n"}.isdisjoint(held)
    again = hw4opt("solve", "--problem", "kept/p.toml", "--save-problem", "kept/q.toml", "--quiet")
    assert again.status == 0 and tomllib.loads(saved.with_name("q.toml").read_text()) == held


def test_options_of_the_command_line_override_it(hw4opt, saved, dose):
    assert hyperparameters(hw4opt("solve", "--problem", saved, "--gamma", 5, "--json", "-"))["gamma"] == 5
    fewer = hw4opt("solve", "--problem", saved, "--reg", "ridge=0.01", "--json", "-")
    assert "tv" not in hyperparameters(fewer)
    other = dose.with_name("other.csv")
    other.write_text("\n".join(dose.read_text().splitlines()[:31]) + "\n")
    assert hw4opt("solve", other, "--problem", saved, "--json", "-").json["n"] == 30


def test_files_may_move_together(hw4opt, saved, dose, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    shutil.move(saved.parent, tmp_path / "elsewhere" / "kept")
    shutil.move(dose, tmp_path / "elsewhere" / dose.name)
    assert hw4opt("solve", "--problem", "elsewhere/kept/p.toml", "--quiet").status == 0


def test_a_sum_of_components_with_a_gamma_each(hw4opt, tmp_path):
    rows = [f"{i},{i * i % 17},{(i % 7) + 0.1 * i}" for i in range(24)]
    (tmp_path / "two.csv").write_text("a,b,y\n" + "\n".join(rows) + "\n")
    words = ["two.csv", "--x", "a,b", "--y", "y", "--additive", "--component", "b=b:linear", "--gamma", "a=0.02"]
    weights = ["--reg", "a.ridge=0.1", "--reg", "b.ridge=0.5", "--constraint", "a.increasing", "--select", "none"]
    first = hw4opt("solve", *words, *weights, "--save-problem", "p.toml", "--json", "-")
    again = hw4opt("solve", "--problem", "p.toml", "--json", "-")
    assert hyperparameters(first) == hyperparameters(again)
    assert first.json["objective"] == again.json["objective"]


def test_built_in_data_by_size_and_seed(hw4opt, tmp_path, dose):
    words = ["--n", 30, "--seed", 4, *SETTING]
    first = hw4opt("solve", *words, "--save-problem", "p.toml", "--json", "-").json
    assert hw4opt("solve", "--problem", "p.toml", "--json", "-").json["objective"] == first["objective"]
    assert hw4opt("solve", "--problem", "p.toml", "--n", 40, "--json", "-").json["n"] == 40
    named = hw4opt("solve", dose, "--problem", "p.toml", "--x", "dose", "--y", "response", "--json", "-")
    assert named.json["n"] == 40, named.err


def refused(done):
    assert done.status == 2 and done.out == "" and done.err.count("\n") == 1, done.err
    return done.err


def test_other_data_are_refused(hw4opt, saved, dose):
    dose.write_text(dose.read_text() + "s40,1.0,30,1,a,6.5\n")
    sentence = refused(hw4opt("solve", "--problem", saved))
    assert "the SHA-256 of " in sentence and "dose.csv is " in sentence and "name DATA to fit other data" in sentence
    assert "asks for abc" in refused(hw4opt("solve", dose, "--x", "dose", "--y", "response", "--data-sha256", "abc"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gama = 3\n", ["'gama'", "gamma"]),
        ("gamma = \n", ["is not TOML", "line 1"]),
        ("gamma = true\n", ["gamma", "give a text or a number"]),
        ("gamma = 'wide'\n", ["--gamma", "'wide'"]),
        ("reg = 'tv'\n", ["reg", "give a list of texts"]),
        ("intercept = 1\n", ["intercept", "give true or false"]),
        ("[data]\npath = 'a.csv'\n", ["data", "give a text or a number"]),
        ("data = 'nowhere.csv'\n", ["there is no file nowhere.csv"]),
        ("workers = 2\n", ["'workers'"]),
        ("\xff", ["is not UTF-8 text"]),
        (None, ["there is no file p.toml"]),
    ],
)
def test_a_bad_file_gets_one_sentence(hw4opt, tmp_path, text, words):
    if text is not None:
        (tmp_path / "p.toml").write_bytes(text.encode("latin-1"))
    sentence = refused(hw4opt("solve", "--problem", "p.toml", "--select", "none"))
    assert all(word in sentence for word in words), sentence


def test_the_file_is_never_overwritten(hw4opt, saved):
    assert "would overwrite the problem" in refused(hw4opt("solve", "--problem", saved, "--json", saved))
    assert "would overwrite the problem" in refused(hw4opt("solve", "--problem", saved, "--save-problem", saved))


def test_names_that_toml_escapes(hw4opt, tmp_path, dose):
    odd = 'do"se\\ \x7fé'
    dose.write_text(dose.read_text().replace("dose", f'"{odd.replace(chr(34), chr(34) * 2)}"', 1))
    words = [dose, "--x", odd, "--y", "response", *SETTING]
    assert hw4opt("solve", *words, "--save-problem", "p.toml", "--quiet").status == 0
    assert tomllib.loads((tmp_path / "p.toml").read_text())["x"] == odd
    assert hw4opt("solve", "--problem", "p.toml", "--json", "-").json["features"] == [odd]


def test_standard_input_keeps_its_name_and_its_digest():
    from hw4cli.opt.options import ProblemOptions, SolverOptions
    from hw4cli.opt.selection_options import SelectionOptions
    from hw4opt.tables import Table

    problem = ProblemOptions(2, "refuse", (), "-", None, "y", None, None, None, False, None, 0, "kernel", False, "none",
                             None, None, "squared", (), (), False, ())  # fmt: skip
    selection = SelectionOptions("auto", "zoom", (), "loss", "shuffled", None, None, False, None)
    text = problem_text(problem, SolverOptions("auto", None, None), selection, Table.of({"x": [1.0]}, "-"), "far")
    held = tomllib.loads(text)
    assert held["data"] == "-" and len(held["data-sha256"]) == 64
