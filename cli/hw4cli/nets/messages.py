"""Sentences of the library in the command line's words: a Python parameter in backticks becomes its option."""

from __future__ import annotations

import re

OPTIONS = {"folder": "out", "source": "data", "space": "vary"}  # parameters whose options have another name
PARAMETER = re.compile(r"`(\w+)(?:=(\w+|'[^']*'))?`")


def in_options(sentence: str) -> str:
    """`lr` is said as --lr, `overwrite=True` as --overwrite, `device='cpu'` as --device cpu."""

    def option(found: re.Match[str]) -> str:
        name, value = OPTIONS.get(found[1], found[1]), found[2]
        word = f"--{name if name.isupper() else name.replace('_', '-')}"
        return word if value in (None, "True") else f"{word} {value.strip(chr(39))}"

    return PARAMETER.sub(option, sentence)
