"""A text table as wide as the terminal. rich is imported only to draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

COLUMN_GAP = 2  # spaces between columns
MIN_TEXT_WIDTH = 24  # characters for the last column; with less room it moves to another block


@dataclass(frozen=True)
class TextTable:
    """A title, columns (all empty: no head), rows, and the lines under it.

    A table wider than the terminal is split into blocks of whole columns, one below the other, each starting with the
    first column. Only the last column wraps, between words. Nothing is cut: what does not fit runs over the edge.
    """

    title: str
    columns: Sequence[str]
    rows: Iterable[Sequence[str]]
    last: Iterable[str] = ()

    def print(self, stderr: bool) -> None:
        """Print on stdout, or on stderr."""
        from rich.console import Console
        from rich.text import Text

        console = Console(stderr=stderr)
        console.print(Text(self.title, style="bold"), soft_wrap=True)
        for line in self._lines(console):
            console.print(line, soft_wrap=True)
        for line in self.last:
            console.print(Text(line), soft_wrap=True)

    def _lines(self, console: Console) -> Iterator[Text]:
        """The table's lines, an empty one between blocks."""
        from rich.cells import cell_len
        from rich.text import Text

        grid = [[" ".join(cell.splitlines()) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(map(cell_len, column)) for column in zip(*grid, strict=True)]
        longest_word = max((cell_len(word) for row in grid for word in row[-1].split()), default=0)
        headed = any(self.columns)
        rule = "─" if console.encoding.startswith("utf") else "-"
        if headed:
            yield Text()
        for number, block in enumerate(_blocks(widths, max(longest_word, MIN_TEXT_WIDTH), console.width)):
            if number:
                yield Text()
            room = console.width - sum(widths[place] + COLUMN_GAP for place in block[:-1])
            wrapped = block[-1] == len(widths) - 1 and len(widths) > 1
            shown_widths = [
                min(widths[place], max(room, longest_word)) if wrapped and place == block[-1] else widths[place]
                for place in block
            ]
            for place, row in enumerate(grid):
                if headed or place:
                    yield from _row(
                        [row[column] for column in block], shown_widths, "bold" if headed and not place else ""
                    )
                if headed and not place:
                    yield Text(rule * (sum(shown_widths) + COLUMN_GAP * (len(shown_widths) - 1)))
        if headed:
            yield Text()


def _blocks(widths: Sequence[int], shortest: int, room: int) -> list[list[int]]:
    """The columns of every block, by index: the first column and as many others as fit.

    shortest    the width that is enough for the last column
    """
    blocks = [[0]]
    for place in range(1, len(widths)):
        needed = min(widths[place], shortest) if place == len(widths) - 1 else widths[place]
        if len(blocks[-1]) > 1 and sum(widths[one] + COLUMN_GAP for one in blocks[-1]) + needed > room:
            blocks.append([0])
        blocks[-1].append(place)
    return blocks


def _row(cells: Sequence[str], widths: Sequence[int], style: str) -> Iterator[Text]:
    """The lines of one row; the last cell wraps to its width."""
    from rich.cells import cell_len
    from rich.text import Text

    for number, part in enumerate(_wrapped(cells[-1], widths[-1])):
        line = Text(style=style)
        for place, (cell, width) in enumerate(zip([*cells[:-1], part], widths, strict=True)):
            shown = cell if not number or place == len(cells) - 1 else ""
            line.append(shown, style="cyan" if place == 0 else None)
            if place < len(cells) - 1:
                line.append(" " * (width - cell_len(shown) + COLUMN_GAP))
        line.rstrip()
        yield line


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most that width, broken between words; a longer word gets a line of its own."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return [text]
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and cell_len(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
