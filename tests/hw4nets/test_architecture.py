"""Allowed imports inside hw4nets, import time, public names, and their docstrings."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hw4nets
from hw4nets import models
from hw4nets.models import NETS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "hw4nets"
FILES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}
ORDER = [
    "errors",
    "files",
    "settings",
    "torchvision_import",
    "history",
    "tensorboard_log",
    "config",
    "image_set",
    "pickled",
    "batches",
    "archives",
    "images",
    "decode",
    "data",
    "augment",
    "layers",
    "network",
    "models.<network>",  # each file of the folder but its __init__, which lists them
    "models",
    "optimizers",
    "process",
    "workers",
    "execution",
    "distributed",
    "evaluation",
    "checkpoint",
    "initial_weights",
    "run_state",
    "training",
    "recipes",
    "search_plan",
    "plotting",
    "runs",
    "prediction",
    "export",
    "study",
    "search",
    "assignment",
]  # each imports only what stands before it


def place(name):
    """The index of a module in ORDER."""
    name = name.removesuffix(".__init__")
    return ORDER.index("models.<network>" if name.startswith("models.") else name)


def tree(name):
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def own(name):
    found = {node.module for node in ast.walk(tree(name)) if isinstance(node, ast.ImportFrom) and node.module}
    return {module.removeprefix("hw4nets.") for module in found if module.startswith("hw4nets.")}


MODULES = [name for name in FILES if name != "__init__"]


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downwards(name):
    assert all(place(one) < place(name) for one in own(name))


def test_every_file_has_its_place():
    assert {place(name) for name in MODULES} == set(range(len(ORDER)))


def test_a_network_is_the_file_and_the_class_of_its_name():
    for name, net in NETS.items():
        assert (net.name, net.__name__, net.__module__) == (name, name.capitalize(), f"hw4nets.models.{name}")
        assert getattr(models, net.__name__) is getattr(hw4nets, net.__name__) is net
    assert set(NETS) == {path.stem for path in (PACKAGE / "models").glob("[!_]*.py")}
    assert list(NETS)[:4] == ["logistic", "hidden", "conv", "base"]  # the parts of the assignment, in their order


@pytest.mark.parametrize(
    ("code", "light"),
    [
        (
            "import hw4nets, hw4nets.errors, hw4nets.config",
            {"torch", "numpy", "matplotlib", "optuna", "torchvision", "PIL"},
        ),
        pytest.param(  # a process that imports torch
            "from hw4nets import train, load, build, Config",
            {"matplotlib", "optuna", "torchvision", "PIL", "pandas"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_an_import_loads_what_it_needs(code, light):
    program = f"import sys; {code}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & light


def test_public_names_are_pinned_and_there():
    networks = {net.__name__ for net in NETS.values()}
    assert set(hw4nets.__all__) - networks == {
        "NETS", "CheckpointError", "Config", "Data", "DataError", "DivergedError", "Evaluation", "History",
        "InputError", "Net", "NetsError", "Predictions", "Recipe", "UnknownNameError", "Watch", "WriteError", "build",
        "evaluate", "load", "net", "predict", "preset", "synthetic", "train",
    }  # fmt: skip
    assert {"Base", "Conv", "Fast", "Hidden", "Logistic"} <= set(hw4nets.__all__)
    assert all(getattr(hw4nets, name) is not None for name in hw4nets.__all__) and hw4nets.__version__.count(".") == 2
    with pytest.raises(AttributeError):
        hw4nets.nosuch  # noqa: B018


def public(name):
    for node in tree(name).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, False
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner, True


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring_and_type_hints(name):
    assert ast.get_docstring(tree(name))
    for label, node, method in public(name):
        inherited = method and node.name in ("build", "epoch")
        assert inherited or ast.get_docstring(node), label
        if isinstance(node, ast.FunctionDef):
            given = [*node.args.args, *node.args.kwonlyargs][1 if method else 0 :]
            assert node.returns is not None and all(one.annotation is not None for one in given), label


def test_nothing_prints_or_shows():
    for name in FILES:
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) != "print" and not ast.unparse(node.func).endswith(".show"), name


@pytest.mark.parametrize("name", MODULES)
def test_the_library_names_no_option_of_the_command_line(name):
    texts = [node.value for node in ast.walk(tree(name)) if isinstance(node, ast.Constant)]
    assert not [text for text in texts if isinstance(text, str) and re.search(r"(^|[^\w-])--[a-z]", text)]
