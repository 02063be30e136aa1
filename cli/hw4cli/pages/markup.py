"""HTML of reports: sections, tables and sentences, in which every text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def text(value: object) -> str:
    """A text as HTML."""
    return html.escape(str(value))


def section(title: str, *parts: str, kind: str = "card") -> str:
    """A section under its title; empty without parts."""
    inner = "\n".join(part for part in parts if part)
    return f'<section class="{text(kind)}">\n<h2>{text(title)}</h2>\n{inner}\n</section>' if inner else ""


def paragraph(sentence: str, kind: str = "") -> str:
    """A paragraph."""
    return f'<p class="{text(kind)}">{text(sentence)}</p>'


def pairs(rows: Iterable[Sequence[object]]) -> str:
    """A table of names and values."""
    cells = "".join(f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>' for name, value in rows)
    return f'<table class="rows">{cells}</table>' if cells else ""


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with a head; columns but the first are numbers, or short."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>' if body else ""
    )


def notes(sentences: Iterable[str]) -> str:
    """Warnings, one per line."""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    return f'<ul class="notes">{items}</ul>' if items else ""


def code(content: str, label: str) -> str:
    """Lines to copy."""
    return f'<h3>{text(label)}</h3>\n<pre tabindex="0" aria-label="{text(label)}">{text(content)}</pre>'


def verdict(good: bool, word: str, sentence: str) -> str:
    """What the reader should know first."""
    mark, kind = ("✓", "good") if good else ("✗", "bad")
    return f'<div class="verdict {kind}"><strong>{mark} {text(word)}</strong><span>{text(sentence)}</span></div>'


def place(name: str, label: str, kind: str = "") -> str:
    """Where a script draws."""
    return f'<div id="{text(name)}" class="{text(kind)}" aria-label="{text(label)}" role="group"></div>'
