"""The examples of the docstrings and of the README run; without scikit-learn an import says what to install."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed (the extra sklearn)")

from hw4opt import estimators

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"## In scikit-learn\n.*?```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("name", estimators.__all__)
def test_the_example_of_a_docstring(name):
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(estimators, name), name)
    assert len(example.examples) >= 8
    assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example).failed == 0


def example_of(page):
    """What the example of the section holds at its end."""
    (code,) = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    found = {}
    exec(code, found)
    return found


def test_the_example_of_the_readme():
    found = example_of("README.md")
    assert found["model"].certificate_.holds(1e-9) and found["intervals"].shape == (80, 2, 1)
    assert (found["intervals"][:, 0, 0] < found["intervals"][:, 1, 0]).all()


def test_the_example_of_the_manual():
    pytest.importorskip("pandas", reason="pandas is not installed")
    found = example_of("docs/manual/python.md")
    assert found["search"].best_estimator_[-1].result_.status.word == "certified"
    assert found["search"].best_params_["penalizedkernelregressor__loss"].startswith("huber")


def test_without_scikit_learn_the_import_names_the_extra():
    code = "import sys; sys.modules['sklearn'] = None; import hw4opt.estimators"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    sentence = (
        "ImportError: hw4opt.estimators needs scikit-learn; it comes with the extra: pip install 'hw4opt[sklearn]'"
    )
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == sentence
