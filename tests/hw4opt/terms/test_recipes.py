"""The recipes of CONTRIBUTING.md for a loss, a regularizer and a kernel: each is one file, and works as it stands
there."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"```python\n# (hw4opt/(\w+)/(\w+)\.py)\n(.*?)```", re.DOTALL)
FOUND = {
    name: (path, folder, code) for path, folder, name, code in BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text())
}
RECIPES = {name: recipe for name, recipe in FOUND.items() if recipe[1] != "solvers"}
SOLVERS = {name: recipe for name, recipe in FOUND.items() if recipe[1] == "solvers"}
KINDS = {"losses": "loss", "regularizers": "regularizer", "constraints": "constraint", "kernels": "kernel"}
OPTIONS = {"loss": "--loss {}", "regularizer": "--reg {}=0.5", "constraint": "--constraint {}", "kernel": "--kernel {}"}
DRIVER = """
import contextlib, io, json, sys
import hw4opt
from hw4cli.opt.app import main
from hw4opt.terms import registry


def run(*words):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = main(list(words))
    return {"status": int(status), "out": out.getvalue()}


found = {}
for kind, name, words in json.loads(sys.argv[1]):
    item = registry.load(kind, name)
    (hw4opt.check_kernel if kind == "kernel" else hw4opt.check_term)(item)
    given = ["series.csv", "--gamma", "5", "--reg", "ridge=0.1", *words, "--select", "none"]
    found[name] = {
        "file": hw4opt.__file__,
        "class": item.__name__,
        "public": item.__name__ in hw4opt.__all__ and getattr(hw4opt, item.__name__) is item,
        "usage": registry.usage(item),
        "help": run("solve", "--help"),
        "table": run("solve", *given, "--save", f"{name}.json"),
        "ours": run("solve", *given, "--json", "-", "--quiet"),
        "theirs": run("solve", *given, "--solver", "cvxpy:CLARABEL", "--json", "-", "--quiet"),
        "predict": run("predict", f"{name}.json", "series.csv", "--out", f"{name}.csv"),
    }
print(json.dumps(found))
"""


SOLVER_DRIVER = """
import contextlib, io, json, sys
import hw4opt
from hw4cli.opt.app import main

name, series = sys.argv[1:]
hw4opt.check_solver(name)
given = [series, "--loss", "logistic", "--gamma", "5", "--reg", "ridge=0.1"]
given += ["--select", "none", "--json", "-", "--quiet"]
answers, mine = [], ["--solver", name]
for words in (["--help"], [*given, *mine], given, [*given, "--reg", "tv=0.1", *mine]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = main(["solve", *words])
    answers.append({"status": int(status), "out": out.getvalue(), "err": err.getvalue()})
print(json.dumps(answers))
"""


def copied(target, codes):
    """A copy of the package with files more: their code by path."""
    for source in ("hw4opt", "cli/hw4cli"):
        shutil.copytree(ROOT / source, target / Path(source).name, ignore=shutil.ignore_patterns("__pycache__"))
    for path, code in codes.items():
        (target / path).write_text(code)
    return {"PYTHONPATH": str(target), "PATH": "", "HOME": str(target), "COLUMNS": "200"}


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_is_one_file(name, tmp_path):
    """The class is found, in the help text, checked, certified like another solver, and has its own message of
    refusal."""
    path, _, code = SOLVERS[name]
    env = copied(tmp_path, {path: code})
    x = np.linspace(0, 2, 40)
    rows = np.column_stack([x, np.where(np.sin(3 * x) > 0, 1, -1)])
    np.savetxt(tmp_path / "series.csv", rows, delimiter=",", header="x,y", comments="")
    words = [sys.executable, "-c", SOLVER_DRIVER, name, str(tmp_path / "series.csv")]
    run = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    shown, ours, other, refused = json.loads(run.stdout)
    assert re.search(rf"\b{name}\b", shown["out"])
    mine, theirs = json.loads(ours["out"]), json.loads(other["out"])
    assert mine["solver"] == name != theirs["solver"] and mine["status"] == theirs["status"] == "certified"
    assert abs(mine["objective"] - theirs["objective"]) <= mine["gap"] + theirs["gap"] + 1e-9
    assert refused["status"] == 2 and f"{name} needs every term to be smooth" in refused["err"]


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """(folder, what comes of the driver by name) in a copy of the package with a file for each recipe: one process,
    since it imports for as long as it works."""
    copy = tmp_path_factory.mktemp("copy")
    env = copied(copy, {path: code for path, _, code in RECIPES.values()})
    x = np.linspace(0, 2, 40)
    rows = np.column_stack([x, np.sin(3 * x) + 0.1 * np.cos(40 * x)])
    np.savetxt(copy / "series.csv", rows, delimiter=",", header="x,y", comments="")
    kinds = [(KINDS[folder], name) for name, (_, folder, _) in RECIPES.items()]
    tasks = [(kind, name, OPTIONS[kind].format(name).split()) for kind, name in kinds]
    words = [sys.executable, "-c", DRIVER, json.dumps(tasks)]
    run = subprocess.run(words, cwd=copy, env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return copy, json.loads(run.stdout)


@pytest.fixture(params=RECIPES)
def done(request, driven):
    """(name of the recipe, folder, what comes of the driver)."""
    copy, found = driven
    return request.param, copy, found[request.param]


def test_there_is_a_recipe_of_each_kind():
    kinds = {KINDS[folder] for _, folder, _ in RECIPES.values()}
    assert kinds >= {"loss", "regularizer", "kernel"} and len(RECIPES) >= 4 and SOLVERS
    assert not any((ROOT / path).exists() for path, _, _ in FOUND.values())


def test_it_is_found_and_stands_in_the_help_text(done):
    name, copy, found = done
    assert Path(found["file"]).parent == copy / "hw4opt" and found["public"]
    assert found["class"] == "".join(part.capitalize() for part in name.split("_"))
    assert found["usage"].startswith(name) and re.search(rf"\b{name}\b", found["help"]["out"])


def test_it_is_fitted_certified_saved_and_read_again(done):
    name, copy, found = done
    assert [found[part]["status"] for part in ("help", "table", "ours", "theirs", "predict")] == [0] * 5
    assert name in found["table"]["out"] and json.loads(found["ours"]["out"])["status"] == "certified"
    assert len((copy / f"{name}.csv").read_text().splitlines()) == 41


def test_it_agrees_with_cvxpys_model(done):
    ours, theirs = (json.loads(done[2][one]["out"]) for one in ("ours", "theirs"))
    apart = abs(ours["objective"] - theirs["objective"])
    assert apart <= ours["gap"] + theirs["gap"] + 1e-9 * abs(ours["objective"])


def test_a_fit_that_is_no_maximum_of_a_likelihood_shows_none(done):
    record, table = json.loads(done[2]["ours"]["out"]), done[2]["table"]["out"]
    assert not record.keys() & {"log_likelihood", "deviance", "dispersion", "standard_errors", "mean"}
    assert "likelihood" not in table and "dispersion" not in table


@pytest.mark.slow
def test_the_suites_find_every_recipe_and_pass(tmp_path):
    """Nothing else has to be touched: no table of names, no list in a test."""
    for source in ("hw4opt", "hw4nets", "cli", "tests/hw4opt"):
        shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path)
    for path, _, code in RECIPES.values():
        (tmp_path / path).write_text(code)
    named = ("terms/test_terms", "terms/test_registry", "kernels/test_kernels", "test_architecture", "test_metamorphic")
    suites = [f"tests/hw4opt/{one}.py" for one in named]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites]
    env = {"PYTHONPATH": f"{tmp_path}:{tmp_path / 'cli'}", "PATH": "", "HOME": str(tmp_path)}
    run = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout[-3000:]
