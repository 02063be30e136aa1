"""Allowed imports, import time, and public names, checked in the source."""

import ast
import inspect
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import hw4opt

ROOT = Path(__file__).resolve().parents[2]
NAMED_TERMS = ("losses", "regularizers", "constraints")
NOT_IN_FOLDERS = {
    "Additive",
    "Categorical",
    "Certificate",
    "Component",
    "Hw4Error",
    "InputError",
    "ModelFileError",
    "NotCertifiedError",
    "Problem",
    "RefusedError",
}
NOT_IN_FOLDERS |= {
    "Result",
    "Solver",
    "Status",
    "UnknownNameError",
    "check_kernel",
    "check_solver",
    "check_term",
    "fit",
    "fit_batch",
}
PROMISED = """L1 RBF Absolute Bounds CoefBounds CoefNonnegative Concave Convex Decreasing EpsilonInsensitive Huber
    Increasing Laplacian Logistic Matern32 Matern52 Nonnegative Poisson Polynomial Precomputed Quantile Ridge
    Squared TotalVariation Trend"""
HEAVY = {"cvxpy", "matplotlib", "pandas", "scipy", "sklearn", "torch"}
# Each imports only what stands above it; imports inside functions count.
ORDER = [
    *("errors", "validation", "terms", "running", "core", "kernels", "losses", "regularizers", "constraints", "design"),
    *(
        "problem",
        "form",
        "solvers",
        "proof",
        "shapes",
        "inference",
        "solution",
        "model_file",
        "views",
        "plotting",
        "tables",
        "mixture",
    ),
    *(
        "result",
        "fit",
        "crosscheck",
        "solver_conformance",
        "between",
        "datasets",
        "selection",
        "blocks",
        "estimators",
        "assignment",
    ),
]


@cache
def sources(package):
    """Dotted module name → file, of everything in a package's folder."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[dotted.removesuffix(".__init__")] = path
    return found


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def typing_only(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def nodes(node, deferred):
    """All statements of a module; without `deferred` neither what functions import when called nor what only type
    checkers see."""
    yield node
    for child in ast.iter_child_nodes(node):
        if deferred or not (
            isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or typing_only(child)
        ):
            yield from nodes(child, deferred)


def imports(module, path, deferred=True):
    """Dotted names that a module imports: of `from a import b`, a.b where that is a module, else a."""
    known = {name for package in ("hw4opt", "hw4nets") for name in sources(package)}
    for node in nodes(tree(path), deferred):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")[: None if path.name == "__init__.py" else -1]
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in known else base


def own(module, path, deferred=True):
    """What a module imports of hw4opt: the first name below the package, as in `terms` or `solvers`."""
    found = {name.removeprefix("hw4opt.") for name in imports(module, path, deferred) if name.split(".")[0] == "hw4opt"}
    return {name.split(".")[0] for name in found}


def outside(module, path, deferred=True):
    """The third-party packages that a module imports."""
    first = {name.split(".")[0] for name in imports(module, path, deferred)}
    return first - set(sys.stdlib_module_names) - {"hw4opt", "__future__"}


def part(folder):
    return {name: path for name, path in sources("hw4opt").items() if name.split(".")[1:2] == [folder]}


def solver_files():
    return {
        name: path
        for name, path in part("solvers").items()
        if path.name != "__init__.py" and not path.stem.startswith("_")
    }


# ---- directions ------------------------------------------------------------------------------------------------------


def test_the_reader_of_imports_sees_every_way_of_writing_one(tmp_path):
    """The tests below can fail: each spelling of an import is found."""
    for line, expected in (
        ("import cvxpy as cp", "cvxpy"),
        ("from hw4opt.losses.huber import Huber", "hw4opt.losses.huber"),
        ("from hw4opt import losses", "hw4opt.losses"),
        ("from hw4opt.losses import huber", "hw4opt.losses.huber"),
        ("from ..losses.huber import Huber", "hw4opt.losses.huber"),
        ("from . import admm", "hw4opt.solvers.admm"),
        ("def f():\n    import torch", "torch"),
        ("if True:\n    import torch", "torch"),
    ):
        path = tmp_path / "planted.py"
        path.write_text(line)
        tree.cache_clear()
        assert set(imports("hw4opt.solvers.planted", path)) == {expected}, line
    assert not set(imports("hw4opt.solvers.planted", path, deferred=False)) - {"torch"}
    tree.cache_clear()


def rooms():
    """Folder or module at the top of the package → {module: file} of it."""
    found = {}
    for name, path in sources("hw4opt").items():
        if name != "hw4opt":
            found.setdefault(name.split(".")[1], {})[name] = path
    return found


def test_every_room_has_its_place():
    assert set(rooms()) == set(ORDER) and len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_what_stands_above_it(room):
    """One total order over all folders and modules: where a new thing goes is where its imports allow it."""
    below = set(ORDER[ORDER.index(room) + 1 :])
    for name, path in rooms()[room].items():
        found = own(name, path) & below
        assert not found, f"{name} imports {sorted(found)}"


@pytest.mark.parametrize("folder", ["terms", *NAMED_TERMS])
def test_terms_need_numpy_alone(folder):
    for name, path in part(folder).items():
        assert own(name, path) <= {"errors", "terms", "validation"}, name
        assert outside(name, path, deferred=False) <= {"numpy"}, name


def test_the_core_knows_no_term_and_no_form():
    for name, path in part("core").items():
        assert own(name, path) <= {"core", "errors", "running"}, name
        assert outside(name, path) <= {"fcntl", "numpy", "ziglang"}, name


@pytest.mark.parametrize("name", solver_files())
def test_a_solver_imports_no_other_solver_nor_any_term_by_name(name):
    path = solver_files()[name]
    assert own(name, path) <= {"core", "design", "errors", "form", "running", "solvers", "terms"}
    inner = {one.removeprefix("hw4opt.solvers.") for one in imports(name, path) if one.startswith("hw4opt.solvers.")}
    assert all(one.startswith("_") for one in inner), inner
    assert outside(name, path) <= {"numpy", "cvxpy", "qpsolvers", "scipy"}


def test_cvxpy_is_imported_in_one_file():
    found = {name for name, path in sources("hw4opt").items() if "cvxpy" in outside(name, path)}
    assert found == {"hw4opt.solvers.cvxpy", "hw4opt.terms.conformance._models"}


def test_qpsolvers_is_imported_in_one_file():
    found = {name for name, path in sources("hw4opt").items() if "qpsolvers" in outside(name, path)}
    assert found == {"hw4opt.solvers.qp"}


def test_the_certificate_knows_no_solver_and_has_formulas_of_its_own():
    """What solvers and folds count as a gap cannot agree with it by being the same code."""
    parts = {"hw4opt.proof._row_sums", "hw4opt.proof._violations"}
    for module in ("hw4opt.proof.certificate", *parts):
        path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        assert own(module, path) <= {"core", "form", "proof", "running", "terms"}
        found = set(imports(module, path))
        assert {name for name in found if name.startswith("hw4opt.core")} <= {"hw4opt.core.row_sums"}
        assert {name for name in found if name.startswith("hw4opt.proof")} <= parts
        assert not found & {"hw4opt.form.gap_cost", "hw4opt.form.equilibrate"}
        assert "form.stationarity_cost" not in path.read_text(encoding="utf-8")
    lines = (ROOT / "hw4opt" / "core" / "row_sums.c").read_text(encoding="utf-8").splitlines()
    assert [one for one in lines if one.startswith('#include "')] == ['#include "core.h"', '#include "linalg.h"']


def test_nothing_imports_in_a_circle():
    graph = {}
    for name, path in sources("hw4opt").items():
        graph[name] = {one for one in imports(name, path, deferred=False) if one.startswith("hw4opt.") and one != name}
    graph = {name: {one for one in needs if one in graph} for name, needs in graph.items()}
    while graph:
        leaves = {name for name, needs in graph.items() if not needs}
        assert leaves, f"these import in a circle: {sorted(graph)}"
        graph = {name: needs - leaves for name, needs in graph.items() if name not in leaves}


def test_the_two_halves_do_not_know_each_other():
    for name, path in sources("hw4nets").items():
        assert not any(one.split(".")[0] == "hw4opt" for one in imports(name, path)), name
    for name, path in sources("hw4opt").items():
        assert not any(one.split(".")[0] in ("hw4nets", "hw4cli", "torch") for one in imports(name, path)), name
    for half, other in (("opt", {"hw4nets", "torch", "torchvision"}), ("nets", {"hw4opt", "cvxpy"})):
        for path in sorted((ROOT / "cli" / "hw4cli" / half).rglob("*.py")):
            assert not {name.split(".")[0] for name in imports(f"hw4cli.{half}.{path.stem}", path)} & other, path


# ---- cost of an import -----------------------------------------------------------------------------------------------

SOLVE = """
import sys, numpy, hw4opt
from hw4opt import *
x = numpy.linspace(0, 1, 30)
problem = Problem(x, numpy.sin(6 * x), RBF(30.0), Huber(0.3), [Ridge(0.1), TotalVariation(0.1)], [Increasing()])
result = fit(problem).raise_for_status()
result.predict(x), result.bound(x), result.dual_coef, result.verify()
for solver in ("admm", "proximal"):
    fit(problem, solver, max_iterations=5)
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def modules_after(code):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_and_solving_load_nothing_heavy():
    loaded = modules_after(SOLVE)
    assert {"numpy", "hw4opt"} <= loaded
    assert not loaded & HEAVY


def test_the_cvxpy_solver_is_loaded_when_asked_for():
    assert "cvxpy" in modules_after(SOLVE.replace("fit(problem).", "fit(problem, 'cvxpy', tol=1e-5)."))


# ---- what is public --------------------------------------------------------------------------------------------------


def classes_in_folders():
    """Names of the public classes of every file in the folders, read from the source."""
    for folder in (*NAMED_TERMS, "kernels"):
        for name, path in part(folder).items():
            if not path.stem.startswith("_"):
                classes = [node.name for node in tree(path).body if isinstance(node, ast.ClassDef)]
                (public,) = [one for one in classes if not one.startswith("_")]
                yield public, name


def test_public_names_are_those_of_the_folders_and_a_few_more():
    found = dict(classes_in_folders())
    assert set(hw4opt.__all__) == found.keys() | NOT_IN_FOLDERS
    assert found.keys() >= set(PROMISED.split())
    assert all(getattr(hw4opt, public).__module__ == module for public, module in found.items())
    assert len(hw4opt.__all__) == len(set(hw4opt.__all__))
    assert all(hasattr(hw4opt, name) for name in hw4opt.__all__)
    assert hw4opt.__version__.count(".") == 2


def test_type_checkers_see_every_promised_name():
    """They do not look into the folders: the names are written out for them."""
    source = (ROOT / "hw4opt" / "__init__.py").read_text(encoding="utf-8")
    assert all(f"import {name} as {name}\n" in source for name in PROMISED.split())


def definitions(path):
    """(qualified name, node, whether it is a method) of the public classes, functions and methods of a file."""
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, False
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner, True


def test_every_public_class_and_function_has_a_docstring():
    missing = []
    for name, path in sources("hw4opt").items():
        if ast.get_docstring(tree(path)) is None:
            missing.append(name)
        missing += [
            f"{name}.{label}"
            for label, node, method in definitions(path)
            if not method and ast.get_docstring(node) is None
        ]
    assert not missing


def test_every_public_method_of_a_public_class_has_a_docstring():
    missing = []
    for public in hw4opt.__all__:
        item = getattr(hw4opt, public)
        if inspect.isclass(item):
            members = [
                name
                for kind in item.__mro__
                if kind.__module__.startswith("hw4opt")
                for name in vars(kind)
                if not name.startswith("_")
            ]
            for name in sorted(set(members)):
                member = inspect.getattr_static(item, name)
                functions = (
                    isinstance(member, property | staticmethod | classmethod)
                    or inspect.isfunction(member)
                    or hasattr(member, "func")
                )
                if functions and not inspect.getdoc(getattr(item, name)):
                    missing.append(f"{public}.{name}")
    assert not missing


def test_every_public_function_and_method_has_type_hints():
    missing = []
    for name, path in sources("hw4opt").items():
        for label, node, method in definitions(path):
            if isinstance(node, ast.FunctionDef):
                static = any(ast.unparse(one) == "staticmethod" for one in node.decorator_list)
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs][
                    1 if method and not static else 0 :
                ]
                given += [one for one in (node.args.vararg, node.args.kwarg) if one is not None]
                if node.returns is None or any(one.annotation is None for one in given):
                    missing.append(f"{name}.{label}")
    assert not missing


@pytest.mark.parametrize("name", solver_files())
def test_a_solver_file_has_one_public_class(name):
    """One that is a solver of the file's name, with the same two faces as all others."""
    classes = [node for node in tree(solver_files()[name]).body if isinstance(node, ast.ClassDef)]
    solvers = [one for one in classes if {ast.unparse(base) for base in one.bases} & {"Solver", "Family"}]
    assert len(solvers) == 1
    functions = {node.name: node for node in solvers[0].body if isinstance(node, ast.FunctionDef)}
    assert [one.arg for one in functions["refuse"].args.args] == ["self", "form"]
    assert ast.unparse(functions["refuse"].returns) == "str | None"
    assert [one.arg for one in functions["solve"].args.args] == ["self", "form", "options", "start"]
    assert ast.unparse(functions["solve"].returns) == "Answer"


def test_the_layout_names_what_it_holds():
    assert {name.rpartition(".")[2] for name in solver_files()} == {
        "admm",
        "cvxpy",
        "interior",
        "newton",
        "proximal",
        "qp",
    }
    assert (ROOT / "hw4opt" / "py.typed").exists() and (ROOT / "hw4nets" / "py.typed").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_nothing_prints_or_shows():
    """A library answers by what it returns: no print, and plt.show() never."""
    for name, path in sources("hw4opt").items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) != "print", name
                assert not ast.unparse(node.func).endswith(".show"), name
