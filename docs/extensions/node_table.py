"""Tables of text as nodes of docutils."""

from __future__ import annotations

from collections.abc import Sequence

from docutils import nodes


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], code_columns: Sequence[int] = ()) -> nodes.table:
    """A table with a line of titles; the cells of `code_columns` are code."""
    group = nodes.tgroup(cols=len(titles))
    group += [nodes.colspec(colwidth=1) for _ in titles]
    head, body = nodes.thead(), nodes.tbody()
    head += _row([(title, False) for title in titles])
    body += [_row([(cell, column in code_columns) for column, cell in enumerate(row)]) for row in rows]
    group += [head, body]
    return nodes.table("", group)


def _row(cells: Sequence[tuple[str, bool]]) -> nodes.row:
    row = nodes.row()
    for text, is_code in cells:
        content = nodes.literal(text, text) if is_code else nodes.Text(text)
        row += nodes.entry("", nodes.paragraph("", "", content))
    return row
