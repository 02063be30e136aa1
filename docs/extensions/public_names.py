"""One reference page for every public module, made from its `__all__` before the site is read."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

MODULES = {
    "hw4opt": "Problems, terms, fits and results",
    "hw4opt.selection": "Choice of hyper-parameters",
    "hw4opt.estimators": "Estimators for scikit-learn",
    "hw4opt.mixture": "Mixtures of Poisson regressions",
    "hw4opt.plotting": "Figures",
    "hw4opt.tables": "Tables",
    "hw4opt.datasets": "Data of the assignment",
    "hw4opt.terms": "Base classes of terms",
    "hw4opt.kernels": "Base classes of kernels",
    "hw4nets": "Networks",
}


def public_objects(module: str) -> list[str]:
    """The classes and functions among a module's public names, sorted; of its own folder, for all but `hw4opt`."""
    found = importlib.import_module(module)
    named = {name: getattr(found, name) for name in found.__all__}
    kept = [name for name, item in named.items() if inspect.isclass(item) or inspect.isfunction(item)]
    here = [name for name in kept if module == "hw4opt" or named[name].__module__.startswith(module)]
    return sorted(
        name for name in here if module != "hw4opt.kernels" or name not in importlib.import_module("hw4opt").__all__
    )


def write_pages(folder: Path) -> None:
    """reference/<module>.rst for every public module; files that are as they should be are left alone."""
    for module, title in MODULES.items():
        heading = f"{title}: ``{module}``"
        lines = [heading, "=" * len(heading), "", f".. currentmodule:: {module}", "", ".. autosummary::"]
        lines += ["   :toctree: generated", "", *(f"   {name}" for name in public_objects(module)), ""]
        file, text = folder / f"{module}.rst", "\n".join(lines)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", lambda app, config: write_pages(Path(app.srcdir) / "reference"), priority=100)
    return {"parallel_read_safe": True}
