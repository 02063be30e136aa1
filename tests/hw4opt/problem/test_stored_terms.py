"""Model files with a user's own classes: the import path, and what cannot be held or found says so."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from numpy.testing import assert_array_equal

from hw4opt import InputError, ModelFileError, Result, fit
from own_terms import SquaredExcess, X, own_result, smooth

ROOT = Path(__file__).resolve().parents[3]


def test_a_model_with_own_classes_is_saved_by_their_import_paths(tmp_path):
    result = own_result()
    result.save(tmp_path / "model.json")
    stored = json.loads((tmp_path / "model.json").read_text())
    assert stored["loss"] == {"name": "squared_excess", "class": "own_terms:SquaredExcess"}
    assert stored["regularizers"][0] == {"name": "ridge", "weight": 0.01}
    loaded = Result.load(tmp_path / "model.json")
    assert loaded.problem.terms == result.problem.terms and loaded.problem.kernel == result.problem.kernel
    assert_array_equal(loaded.predict(X), result.predict(X))
    assert loaded.verify().holds(1e-9)


SCRIPT = """
from dataclasses import dataclass
import numpy as np
from hw4opt import RBF, InputError, Problem, Result, Ridge, Squared, fit
{definition}
x = np.linspace(0, 1, 9)
result = fit(Problem(x, x * x, RBF(2.0), Own(), [Ridge(0.1)])).raise_for_status()
try:
    result.save("model.json")
    print("saved")
except InputError as error:
    print(error)
"""
OWN = "@dataclass(frozen=True)\nclass Own(Squared):\n    name = 'own'\n"
INNER = "def make():\n" + "".join(f"    {line}\n" for line in OWN.splitlines()) + "    return Own\n"


def run(folder, code):
    env = {"PYTHONPATH": f"{ROOT}:{folder}", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_class_of_the_running_script_or_of_a_function_cannot_be_saved_and_says_so(tmp_path):
    said = run(tmp_path, SCRIPT.format(definition=OWN))
    assert said.startswith("a model file cannot hold own: its class Own is in the running script")
    (tmp_path / "mine.py").write_text("from dataclasses import dataclass\nfrom hw4opt import Squared\n" + INNER)
    said = run(tmp_path, SCRIPT.format(definition="import mine\nOwn = mine.make()"))
    assert said.startswith("a model file cannot hold own: its class Own was made inside a function")
    assert not (tmp_path / "model.json").exists()


def test_another_process_loads_the_class_or_says_that_it_is_missing(tmp_path):
    (tmp_path / "mine.py").write_text("from dataclasses import dataclass\nfrom hw4opt import Squared\n" + OWN)
    assert run(tmp_path, SCRIPT.format(definition="from mine import Own")) == "saved"
    code = "from hw4opt import Result; print(Result.load('model.json').problem.loss)"
    assert run(tmp_path, code) == "Own()"
    with pytest.raises(
        ModelFileError, match="it needs the class mine:Own, which cannot be imported here: No module named"
    ):
        Result.load(tmp_path / "model.json")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("os.system", "is not of the form module:Class"),
        ("hw4opt.nothing:Squared", "cannot be imported here"),
        ("hw4opt.losses.squared:Nothing", "cannot be imported here"),
        ("hw4opt.regularizers.ridge:Ridge", "it needs the loss hw4opt.regularizers.ridge:Ridge, which is not a loss"),
        ("os:getcwd", "it needs the loss os:getcwd, which is not a loss"),
        ("hw4opt.losses.squared:Squared", "is not the one that the file was written with"),
    ],
)
def test_an_import_path_that_is_no_term_is_refused(tmp_path, path, sentence):
    from hw4opt.running.records import digest

    own_result().save(tmp_path / "model.json")
    stored = json.loads((tmp_path / "model.json").read_text())
    stored["loss"]["class"] = path
    stored.pop("sha256")
    (tmp_path / "model.json").write_text(json.dumps({**stored, "sha256": digest(stored)}))
    with pytest.raises(ModelFileError, match=sentence):
        Result.load(tmp_path / "model.json")


def test_a_damaged_file_imports_nothing(tmp_path):
    own_result().save(tmp_path / "model.json")
    stored = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "harmful.py").write_text("raise SystemExit")
    stored["loss"]["class"] = "harmful:Own"
    (tmp_path / "model.json").write_text(json.dumps(stored))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        with pytest.raises(ModelFileError, match="do not match their checksum"):
            Result.load(tmp_path / "model.json")
    assert "harmful" not in sys.modules


@dataclass(frozen=True)
class Odd(SquaredExcess):
    """A parameter that is no number."""

    name: ClassVar[str] = "odd"
    levels: tuple[float, ...] = (1.0,)


def test_parameters_that_a_file_cannot_hold_are_refused_when_it_is_written(tmp_path):
    result = fit(smooth(loss=Odd((1.0, 2.0)))).raise_for_status()
    with pytest.raises(
        InputError, match=r"a model file cannot hold odd: Odd.* has parameters that are neither numbers nor text"
    ):
        result.save(tmp_path / "model.json")
