"""Text that may hold anything, made fit for a terminal and a line."""

from __future__ import annotations

LONGEST = 1_000  # characters of a sentence
LAST = 300  # of them at its end, which says what is accepted


def printable(text: str) -> str:
    """Control characters, which a terminal would obey, and halves of characters as escapes; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode() for one in text)


def one_line(sentence: str) -> str:
    """A sentence on one line, its middle left out where it is longer than LONGEST."""
    if len(sentence) > 2 * LONGEST:  # before the whole of it is looked at
        sentence = f"{sentence[:LONGEST]} … {sentence[-LONGEST:]}"
    line = printable(" ".join(sentence.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - LAST]} … {line[-LAST:]}"
