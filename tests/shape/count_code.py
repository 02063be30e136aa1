"""Figures of how the code hangs together, counted from the source: `python tests/shape/count_code.py [ROOT]` prints
them as JSON.

A test fails when one of them rises above what `figures.json` holds; `--update` writes what is counted now.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = ("hw4opt", "hw4nets", "cli/hw4cli")
# names that say how much and not of what: a constant needs its quantity
ADJECTIVES = [
    "ABSURD",
    "ALMOST",
    "BIG",
    "CERTAIN",
    "CLEAR",
    "CLOSE",
    "COARSE",
    "DEAR",
    "EARLY",
    "EASY",
    "ENOUGH",
    "EXACT",
    "FAR",
    "FEW",
    "FINE",
    "FIRST",
    "FREELY",
    "GOOD",
    "LARGE",
    "LARGEST",
    "LAST",
    "LATE",
    "LEAST",
    "LITTLE",
    "LONG",
    "LONGEST",
    "MANY",
    "MOST",
    "NEAR",
    "NEARER",
    "NEAREST",
    "NOISE",
    "NOTHING",
    "ONCE",
    "PLAIN",
    "PLAINLY",
    "RELAX",
    "SAFE",
    "SHORT",
    "SHORTER",
    "SHORTEST",
    "SLOW",
    "SMALL",
    "SOON",
    "STEEP",
    "STEEPEST",
    "STRICT",
    "STRONG",
    "TINY",
    "TOGETHER",
    "USUAL",
    "WEAK",
    "WHOLE",
    "WIDE",
    "WIDEST",
    "NARROWEST",
]


def sources(root: Path, package: str) -> dict[str, Path]:
    """Dotted module → file."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        dotted = ".".join(path.relative_to(root).with_suffix("").parts).removeprefix("cli.")
        found[dotted.removesuffix(".__init__")] = path
    return found


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def code_lines(path: Path) -> int:
    """Lines that are neither blank nor comment nor docstring."""
    text = path.read_text(encoding="utf-8")
    tree = parsed(path)
    hidden: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and body and isinstance(body[0], ast.Expr):
            first = body[0].value
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                hidden |= set(range(body[0].lineno, (body[0].end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(
        1 for number, line in lines if number not in hidden and line.strip() and not line.strip().startswith("#")
    )


def imported(module: str, path: Path, known: set[str]) -> set[str]:
    """The modules of the package that a module imports, wherever the statement stands."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return {name for name in found if name in known and name != module}


def room(module: str) -> str:
    """The folder or module at the top of the package."""
    return module.split(".")[1] if "." in module else module


def circles(graph: dict[str, set[str]]) -> int:
    """The number of rooms in import cycles: those left after repeatedly removing rooms that import none of the
    others."""
    left = dict(graph)
    while True:
        leaves = {name for name, needs in left.items() if not needs & left.keys()}
        if not leaves:
            return len(left)
        left = {name: needs for name, needs in left.items() if name not in leaves}
        if not left:
            return 0


def definitions(root: Path) -> tuple[dict[str, set[str]], list[str], dict[str, set[object]]]:
    """Class name → modules that define it; constants; constant → its values."""
    classes: dict[str, set[str]] = defaultdict(set)
    constants, values = [], defaultdict(set)
    for package in PACKAGES:
        for module, path in sources(root, package).items():
            for node in parsed(path).body:
                if isinstance(node, ast.ClassDef):
                    classes[node.name.lstrip("_")].add(module)
                targets = (
                    node.targets
                    if isinstance(node, ast.Assign)
                    else [node.target]
                    if isinstance(node, ast.AnnAssign)
                    else []
                )
                names = [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
                for name in names:
                    if re.fullmatch(r"_?[A-Z][A-Z0-9_]+", name):
                        constants.append(name)
                        if node.value is not None:
                            values[name].add(ast.dump(node.value))
    return classes, constants, values


def figures(root: Path) -> dict[str, int]:
    """All of them."""
    paths = [path for package in PACKAGES for path in sources(root, package).values()]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    opt = sources(root, "hw4opt")
    graph: dict[str, set[str]] = defaultdict(set)
    for module, path in opt.items():
        if module != "hw4opt":
            graph[room(module)] |= {room(one) for one in imported(module, path, set(opt)) if one != "hw4opt"} - {
                room(module)
            }
    classes, constants, values = definitions(root)
    rows = r"\b(?:sheet|smooth|low|high|sheet\.(?:low|high|active))\s+is\s+(?:not\s+)?None"
    core = [
        path.read_text(encoding="utf-8")
        for module, path in opt.items()
        if room(module) not in ("mixture", "poisson", "tables", "problem")
    ]
    return {
        "lines of code": sum(map(code_lines, paths)),
        "lines of code of hw4opt": sum(map(code_lines, opt.values())),
        "modules at the top of hw4opt": len(
            [path for path in (root / "hw4opt").glob("*.py") if path.name != "__init__.py"]
        ),
        "rooms of hw4opt": len(graph),
        "arrows between rooms": sum(map(len, graph.values())),
        "rooms in circles": circles(graph),
        "`is None` on rows": sum(len(re.findall(rows, text)) for text in core),
        "`type: ignore`": sum(text.count("type: ignore") for text in texts),
        "classes of one name": sum(len(modules) > 1 for modules in classes.values()),
        "constants of one name and different values": sum(len(found) > 1 for found in values.values()),
        "constants that are bare adjectives": sum(name.lstrip("_") in ADJECTIVES for name in constants),
        "files above 300 lines": sum(len(text.splitlines()) > 300 for text in texts),
        "lines above 120 columns": sum(len(line) > 120 for text in texts for line in text.splitlines()),
    }


if __name__ == "__main__":
    given = [one for one in sys.argv[1:] if not one.startswith("-")]
    counted = figures(Path(given[0]) if given else HERE.parents[1])
    if "--update" in sys.argv:
        (HERE / "figures.json").write_text(json.dumps(counted, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(counted, indent=2))
