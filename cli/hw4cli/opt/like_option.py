"""The option --like: the description of a fitted model, whose words are the defaults of the running command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from hw4cli.options import typed


def take_model(context: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Make the model's columns, terms and hyper-parameters the defaults of the running command."""
    if path is not None and not context.resilient_parsing:
        context.default_map = {**(context.default_map or {}), **_options_of(path)}
    return path


def is_of_model(name: str) -> bool:
    """Whether the running command has that option's value from the model of --like, which other options override."""
    context = click.get_current_context(silent=True)
    return context is not None and context.params.get("like") is not None and not typed(name)


LIKE = click.option(
    "--like",
    metavar="MODEL",
    is_eager=True,
    callback=take_model,
    help="Fit DATA with the columns, terms, gamma and weights of a model file of --save; options given here override "
    "those. Not for sums of components: use --save-problem and --problem for them. Default: none.",
)


def _options_of(path: str) -> dict[str, Any]:
    """Values of options by the names of their parameters; raises `InputError`, `ModelFileError`."""
    from hw4opt import InputError, Result
    from hw4opt.blocks import is_blocks_file, load_blocks
    from hw4opt.kernels import Precomputed
    from hw4opt.problem.stored_model import pack_model

    if is_blocks_file(path):
        blocks = load_blocks(path)
        model, context = blocks.model, blocks.context
    else:
        result = Result.load(path)
        model, context = result.problem.model, result.context
    stored = pack_model(model)
    columns: list[str] = list(context.get("x") or ())
    described = [term for term in (stored["kernel"], stored["loss"]) if term is not None]
    described += [*stored["regularizers"], *stored["constraints"]]
    if "components" in stored:
        advice = "write its description by --save-problem, and give that by --problem"
        raise InputError(f"--like {path}: it is a sum of components, which --like does not take; {advice}")
    unsaid = [
        *(f"its {term['name']} is of a class of your own" for term in described if "class" in term),
        *(["its kernel is precomputed"] if isinstance(model.kernel, Precomputed) else []),
        *(["it does not name its columns"] if not columns or "y" not in context else []),
        *(["it has columns of text or time"] if "features" in context or "target" in context else []),
    ]
    if unsaid:
        raise InputError(f"--like {path}: {unsaid[0]}, which options cannot describe; describe the model by options")
    kernel, gammas = stored["kernel"], () if model.kernel is None else model.kernel.gammas
    named = ",".join(f"{name}={gamma!r}" for name, gamma in zip(columns, gammas, strict=False))
    options = {
        "x": ",".join(columns),
        "design": "linear" if kernel is None else "kernel",
        "kernel": None if kernel is None else _words(kernel, columns),
        "gamma": named or (None if kernel is None else kernel.get("gamma")),
        "loss": _words(stored["loss"], columns),
        "reg": [_words(term, columns) for term in stored["regularizers"]],
        "constraint": [_words(term, columns) for term in stored["constraints"]],
        "intercept": model.intercept,
        "scale": "standard" if model.standardize else None,
        **{role: context.get(role) for role in ("y", "weights", "offset", "exposure")},
    }
    return {name: value for name, value in options.items() if value is not None}


def _words(term: dict[str, Any], columns: Sequence[str]) -> str:
    """A stored term as the value of an option."""
    from hw4opt.problem.words import EVERYWHERE, SEVERAL

    said = []
    for name, value in term.items():
        if name == "column":
            said.append(f"column={columns[value]}")
        elif name == EVERYWHERE:
            said.append(EVERYWHERE if value is True else f"{EVERYWHERE}={value[0]!r}..{value[1]!r}")
        elif name not in ("name", "gamma"):
            said.append(f"{name}=" + (SEVERAL.join(map(str, value)) if isinstance(value, list | tuple) else str(value)))
    return ":".join([term["name"], *([",".join(said)] if said else [])])
