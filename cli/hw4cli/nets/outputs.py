"""What commands of `hw4nets` write: paths checked before any work, JSON without NaN, tables for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from hw4cli import records
from hw4cli.endings import say
from hw4cli.nets.options import Writing
from hw4cli.outputs import STDOUT, Files, check_figure, check_files, inputs, named_files, outputs
from hw4cli.records import json_text
from hw4cli.tables import Table
from hw4cli.texts import printable
from hw4nets.errors import DivergedError, WriteError, out_of_memory
from hw4nets.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROGRAM = "hw4nets"
LITTLE_MEMORY = "there is not enough memory for this; take a smaller batch_size, or a smaller network"


def check_outputs(writing: Writing, read: Mapping[str, str | None], *folders: Files, runs: Sequence[str] = ()) -> None:
    """Refuse now what could not be written later, or would overwrite an input, a file of a run that is read, or another output."""
    check_figure(writing.plot)
    written = outputs({"json": writing.json, "plot": writing.plot, "save": writing.save})
    check_files(
        [*written, *folders], [*inputs(read, folders=True), *(run_files(f"the run {run}", run) for run in runs)]
    )


def run_files(what: str, folder: str, kept: Sequence[str] = ()) -> Files:
    """The files of a run, but those that are kept."""
    from hw4nets.runs import RUN_FILES

    return Files(what, folder, named_files(set(RUN_FILES) - set(kept)))


def write_json(writing: Writing, seed: int, sha256: str | None, record: dict[str, Any]) -> None:
    """The record with where it comes from: to the file, to stdout for `-`, nowhere without --json."""
    if writing.json is None:
        return
    text = json_text(record | records.origin(PROGRAM, seed, sha256))
    if writing.json == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(writing.json, text)


@contextmanager
def recorded(writing: Writing, seed: int, sha256: str | None = None) -> Iterator[None]:
    """What ends the block with exit status 1 is told in the JSON, too."""
    try:
        yield
    except Exception as error:
        lacking = out_of_memory(error)
        if lacking or isinstance(error, DivergedError | WriteError):
            status = "inaccurate" if isinstance(error, DivergedError) else "uncertified"
            told = (
                {"status": status, "message": LITTLE_MEMORY}
                if lacking
                else {"status": status, "message": str(error)} | vars(error)
            )
            with suppress(WriteError):  # the first failure is the one to tell
                write_json(writing, seed, sha256, told)
        raise


def show(
    writing: Writing, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], last: Iterable[str] = ()
) -> None:
    """One table; on stderr when stdout holds the JSON, nowhere with --quiet."""
    if not writing.quiet:
        table = Table(printable(title), columns, ([*map(printable, row)] for row in rows), map(printable, last))
        table.print(stderr=writing.json == STDOUT)


def line(writing: Writing, text: str) -> None:
    """One line where the tables go."""
    if not writing.quiet:
        print(text, file=sys.stderr if writing.json == STDOUT else sys.stdout, flush=True)


def figure_line(writing: Writing, name: str, more: str = "") -> list[str]:
    """The line that would make a figure, where none was asked for; `more` is what to type besides."""
    return [] if writing.plot else [f"For a figure: {records.command_line(PROGRAM)}{more} --plot {name}"]


def warn(sentence: str) -> None:
    """A sentence that does not change what is done."""
    say(PROGRAM, f"warning: {sentence}")


def save_plot(writing: Writing, figure: Figure) -> None:
    """Write the figure to --plot."""
    from hw4nets.runs import save_figure

    if writing.plot is not None:
        save_figure(writing.plot, figure)


def percent(value: float | None) -> str:
    """An accuracy for a table."""
    return "–" if value is None else f"{100 * value:.2f} %"
