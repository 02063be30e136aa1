"""Problem files: TOML that describes a problem and its solution; every key is an option of `hw4opt solve`.

The data are given by their path, relative to the file's folder, and by their SHA-256: other data are refused.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tomllib
from pathlib import Path
from typing import Any

import click

from hw4cli.opt.gamma_option import NamedGammas
from hw4cli.opt.options import ProblemOptions, SolverOptions
from hw4cli.opt.selection_options import SelectionOptions
from hw4opt import InputError, UnknownNameError
from hw4opt.errors import shortened
from hw4opt.tables import STDIN, Table
from hw4opt.tables.read import read_bytes

PROBLEM_FILE = "Problem file, for --problem"  # over it, in a report
MOST_PROBLEM_BYTES = 1_000_000
OF_THE_MACHINE = {"problem", "max_input", "workers"}  # options that are not part of a description


def problem_text(
    options: ProblemOptions, solver: SolverOptions, selection: SelectionOptions, table: Table, folder: str = ""
) -> str:
    """The text of a problem file in that folder; options without a value are left out."""
    data = {
        "data": None if options.data is None else _from_folder(options.data, folder),
        "data_sha256": None if options.data is None else table.sha256,
    }
    values = data | vars(options) | vars(solver) | vars(selection) | data
    lines = ["# hw4opt solve --problem FILE: each line is an option; those of the command line override it"]
    for name in sorted(_names(), key=[*values].index):
        if values[name] not in (None, (), math.inf):
            lines.append(f"{_key(name)} = {_toml(values[name])}")
    return "\n".join([*lines, ""])


def defaults_from(path: str, command: click.Command) -> dict[str, Any]:
    """The file's values by the names of parameters, also those that the command does not have; raises `InputError`.

    `check` compares solvers, and does not take the one of the file.
    """
    multiple = {item.name: getattr(item, "multiple", False) for item in command.params}
    values = read_problem(path).items()
    found = {name: value for name, value in values if name not in multiple or multiple[name] == isinstance(value, list)}
    several = {item.name for item in command.params if item.nargs == -1}  # DATA of `solve`
    return {name: [value] if name in several else value for name, value in found.items()}


def check_digest(table: Table, options: ProblemOptions) -> None:
    """Raise `InputError` for other data than the digest says."""
    wanted = options.data_sha256
    if wanted is not None and table.sha256 != wanted.lower():
        asks = "--data-sha256" if options.problem is None else f"--problem {options.problem}"
        other = "" if options.problem is None else "; restore it, or name DATA to fit other data"
        raise InputError(
            f"the SHA-256 of {table.source} is {table.sha256[:12]}… and {asks} asks for {shortened(wanted)}{other}"
        )


def read_problem(path: str) -> dict[str, Any]:
    """The values of options by the names of their parameters; raises `InputError`."""
    from hw4cli.opt.solve import command

    source = "standard input" if path == STDIN else path
    try:
        given = tomllib.loads(read_bytes(path, source, MOST_PROBLEM_BYTES, "a file of --save-problem").decode())
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not UTF-8 text (byte {error.start}); give a file of --save-problem") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{source} is not TOML: {error}; give a file of --save-problem") from error
    known = {_key(name): name for name in _names()}
    parameters = {item.name: item for item in command.params}
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            raise UnknownNameError(f"key of the problem file {source}", key, known)
        _check(source, key, value, parameters[known[key]])
        values[known[key]] = value
    if "data" in values:
        values["data"] = _beside(values["data"], path)
    return values


def _names() -> set[str]:
    """The options that a description holds."""
    records = (ProblemOptions, SolverOptions, SelectionOptions)
    return {item.name for record in records for item in dataclasses.fields(record)} - OF_THE_MACHINE


def _check(source: str, key: str, value: Any, parameter: click.Parameter) -> None:
    items = value if getattr(parameter, "multiple", False) else [value]
    flag = getattr(parameter, "is_flag", False)
    if not isinstance(items, list) or not all(
        isinstance(item, bool) if flag else isinstance(item, str | int | float) and not isinstance(item, bool)
        for item in items
    ):
        wanted = "true or false" if flag else "a list of texts" if parameter.multiple else "a text or a number"
        raise InputError(f"{source}: {key} = {str(value)[:40]}: give {wanted}")


def _key(name: str) -> str:
    return name.replace("_", "-")


def _toml(value: Any) -> str:
    """A text, number, truth value or list of these; TOML writes them as JSON does, but for one control character.

    Values by name are written as the option takes them.
    """
    if isinstance(value, NamedGammas):
        value = str(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _from_folder(path: str, folder: str) -> str:
    return path if path == STDIN or os.path.isabs(path) else os.path.relpath(path, folder or ".")


def _beside(path: str, problem: str) -> str:
    """The path as it is from here, which a problem file names from its own folder."""
    return path if path == STDIN or os.path.isabs(path) else os.path.normpath(Path(problem).parent / path)
