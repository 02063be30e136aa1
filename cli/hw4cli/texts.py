"""Arbitrary text, made safe for a terminal."""

from __future__ import annotations

MAX_CHARACTERS = 1_000  # of a sentence
MAX_TAIL = 300  # of these at the end, which says what is accepted


def printable(text: str) -> str:
    """The text with control characters and lone surrogates as escapes; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode() for one in text)


def one_line(sentence: str) -> str:
    """A sentence on one line, its middle left out if it is longer than MAX_CHARACTERS."""
    if len(sentence) > 2 * MAX_CHARACTERS:  # so that huge texts are not processed in full
        sentence = f"{sentence[:MAX_CHARACTERS]} … {sentence[-MAX_CHARACTERS:]}"
    line = printable(" ".join(sentence.split()))
    return line if len(line) <= MAX_CHARACTERS else f"{line[: MAX_CHARACTERS - MAX_TAIL]} … {line[-MAX_TAIL:]}"
