"""JSON without NaN, and the provenance that every record holds."""

from __future__ import annotations

import json
import math
import platform
import re
import shlex
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
import numpy as np

from hw4cli.translate import holds_sentences, translate_each

PASSWORD = re.compile(r"(://[^/@:]*:)[^/@]*(@)")  # in a URL, with the text before and after it


def plain(value: Any) -> Any:
    """The value in JSON's own types; NaN and infinities become null, and sentences are translated."""
    if isinstance(value, Mapping):
        return {
            str(key): plain(translate_each(item) if holds_sentences(str(key)) else item) for key, item in value.items()
        }
    if isinstance(value, np.ndarray):
        simple = value.dtype.kind in "biu" or (value.dtype.kind == "f" and np.isfinite(value).all())
        return value.tolist() if simple else plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(record: Mapping[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(plain(record), allow_nan=False) + "\n"


def command_line(program: str) -> str:
    """The command line as typed, without passwords in URLs."""
    words = click.get_current_context().find_object(list) or []
    return shlex.join([program, *(PASSWORD.sub(r"\1***\2", word) for word in words)])


def origin(program: str, seed: int, sha256: str | None) -> dict[str, Any]:
    """Version, command, seed, platform and hash of the data: a part of every JSON."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    where = f"{system}, Python {platform.python_version()}, numpy {np.__version__}"
    return {
        "version": import_module(program).__version__,  # programs are named as their packages
        "command": command_line(program),
        "seed": seed,
        "platform": where,
        "data_sha256": sha256,
    }
