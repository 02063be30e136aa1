"""Docstrings as they are written in the code, made reStructuredText.

They are plain text: a summary, formulas, and tables of parameters set in columns. Characters that have a meaning in
reStructuredText (| in a formula, for one) have none here, words in backquotes are code, and a block set in columns,
or one of `>>>` examples, keeps its lines.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

SPECIAL = re.compile(r"([\\*|_])")
CODE = re.compile(r"(`[^`]+`)")
COLUMNS = re.compile(r"^[a-z_]\w*(, \w+)*( \([^)]*\))? {2,}\S")  # a name, and what it is


def to_rst(lines: list[str]) -> list[str]:
    """The docstring's lines as reStructuredText."""
    written: list[str] = []
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        block = list(group)
        if blank:
            continue
        if block[0].lstrip().startswith(">>>"):
            written += [*block, ""]
        elif any(line[0] == " " or COLUMNS.match(line) for line in block):
            written += ["::", "", *(f"    {line}" for line in block), ""]
        else:
            written += [*(_plain(line) for line in block), ""]
    return written


def _plain(line: str) -> str:
    parts = CODE.split(line)
    return "".join(f"`{part}`" if CODE.fullmatch(part) else SPECIAL.sub(r"\\\1", part) for part in parts)


def _process(app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    lines[:] = to_rst(lines)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True}
