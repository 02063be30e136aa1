"""A table for people. rich is imported only to draw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A title, columns (all empty: no head), rows, and the lines under it."""

    title: str
    columns: Sequence[str]
    rows: Iterable[Sequence[str]]
    last: Iterable[str] = ()

    def print(self, stderr: bool) -> None:
        """On stdout, or on stderr."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table as Drawn
        from rich.text import Text

        console = Console(stderr=stderr)
        headed = any(self.columns)
        table = Drawn(box=SIMPLE_HEAD if headed else None, pad_edge=False, show_header=headed, padding=(0, 2, 0, 0))
        for place, column in enumerate(self.columns):
            table.add_column(column, no_wrap=place < len(self.columns) - 1, overflow="fold", style="cyan" if place == 0 else None)
        for row in self.rows:
            table.add_row(*map(Text, row))
        console.print(Text(self.title, style="bold"), soft_wrap=True)
        console.print(table)
        for line in self.last:
            console.print(Text(line), soft_wrap=True)
