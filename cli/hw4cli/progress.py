"""A progress bar on stderr: only on a terminal, and only for work of more than two seconds."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

DELAY_SECONDS = 2.0  # before the bar is drawn


class Bar:
    """`with Bar("solving") as bar: …`; a bar without a total only pulses.

    A timer draws it, so that a long call without progress reports gets a bar, too.
    """

    def __init__(
        self, text: str, quiet: bool = False, stream: TextIO | None = None, delay: float = DELAY_SECONDS
    ) -> None:
        self.text, self.stream, self.delay = text, sys.stderr if stream is None else stream, delay
        self.quiet, self.shown = quiet, not quiet and self.stream.isatty()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._drawn: Progress | None = None
        self._state: tuple[int, int | None] = (0, None)

    def __enter__(self) -> Bar:
        if self.shown:
            self._timer = threading.Timer(self.delay, self._start)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self.shown = False
            if self._drawn is not None:
                self._drawn.stop()

    def describe(self, text: str) -> None:
        """Set the text: what is being done now."""
        self.text = text
        self._draw()

    def count(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        self._state = (done, total)
        self._draw()

    def update(self, done: int, total: int, best: float) -> None:
        """Show that `done` of `total` are done, and the best score so far."""
        self._state = (done, total)
        self.describe(f"{self.text.partition(' · ')[0]} · best {best:.4g}")

    def budget(self, settings: int, seconds: float) -> None:
        """Print how many settings are tried at most, and the seconds that takes; not only on a terminal."""
        self._say(f"at most {settings} settings, about {seconds:.2g} s")

    def cost(self, fits: int, rows: int, seconds: float) -> None:
        """Print how many fits to how many rows the first settings take, and how long that is if each takes these
        seconds; not only on a terminal, but not of work without a bar."""
        if fits * seconds < self.delay:
            return
        took = f"by the first, each takes about {_duration(seconds)}, and all about {_duration(fits * seconds)}"
        self._say(f"{fits:,} fits to {rows:,} rows in the first round of the search; {took}")

    def _say(self, what: str) -> None:
        if self.quiet:
            return
        line = f"{self.text.partition(' · ')[0]}: {what}"
        with self._lock:
            if self._drawn is None:
                print(line, file=self.stream)
            else:
                self._drawn.console.print(line)

    def _draw(self) -> None:
        with self._lock:
            if self._drawn is not None:
                done, total = self._state
                self._drawn.update(self._drawn.task_ids[0], description=self.text, completed=done, total=total)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        with self._lock:
            if not self.shown:
                return
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            redirected = sys.stdout.isatty()  # rich would draw the lines meant for a pipe above the bar
            self._drawn = Progress(
                *columns, console=Console(file=self.stream), transient=True, redirect_stdout=redirected
            )
            self._drawn.add_task(self.text, total=None)
            self._drawn.start()
        self._draw()


def _duration(seconds: float) -> str:
    for unit, size in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"
