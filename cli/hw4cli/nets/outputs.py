"""Outputs of `hw4nets`: paths checked before any work, JSON without NaN, tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from hw4cli import json_record
from hw4cli.exit_status import say
from hw4cli.figures import check_style, read_style, styled
from hw4cli.json_record import json_text
from hw4cli.nets.options import Writing
from hw4cli.output_paths import STDOUT, Files, check_figure, check_files, inputs, named_files, outputs
from hw4cli.text_table import TextTable
from hw4cli.texts import printable
from hw4nets.errors import DivergedError, ExportError, WriteError, out_of_memory
from hw4nets.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROGRAM = "hw4nets"
LITTLE_MEMORY = "there is not enough memory for this; take a smaller batch_size, or a smaller network"


def check_outputs(writing: Writing, read: Mapping[str, str | None], *folders: Files, runs: Sequence[str] = ()) -> None:
    """Refuse outputs that cannot be written, or would overwrite an input, a file of a run, or another output."""
    check_figure(writing.plot)
    check_style(writing.style, writing.plot)
    written = outputs({"json": writing.json, "plot": writing.plot, "save": writing.save})
    check_files(
        [*written, *folders],
        [
            *inputs({**read, "the style": writing.style}, folders=True),
            *(run_files(f"the run {run}", run) for run in runs),
        ],
    )


def run_files(what: str, folder: str, kept: Sequence[str] = ()) -> Files:
    """The files of a run, except those that are kept."""
    from hw4nets.runs import RUN_FILES

    return Files(what, folder, named_files(set(RUN_FILES) - set(kept)))


def write_json(writing: Writing, seed: int, sha256: str | None, record: dict[str, Any]) -> None:
    """Write the record with its provenance: to the file, to stdout for `-`, nowhere without --json."""
    if writing.json is None:
        return
    text = json_text(record | json_record.origin(PROGRAM, seed, sha256))
    if writing.json == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(writing.json, text)


@contextmanager
def recorded(writing: Writing, seed: int, sha256: str | None = None) -> Iterator[None]:
    """Errors in the block that end with exit status 1 are written to the JSON, too."""
    try:
        yield
    except Exception as error:
        no_memory = out_of_memory(error)
        if no_memory or isinstance(error, DivergedError | ExportError | WriteError):
            status = "inaccurate" if isinstance(error, DivergedError) else "uncertified"
            record = {"status": status, "message": LITTLE_MEMORY}
            if not no_memory:
                record |= {"message": str(error)} | vars(error)
            with suppress(WriteError):  # the first failure is the one to report
                write_json(writing, seed, sha256, record)
        raise


def show(
    writing: Writing, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], last: Iterable[str] = ()
) -> None:
    """One table; on stderr when stdout holds the JSON, nowhere with --quiet."""
    if not writing.quiet:
        table = TextTable(printable(title), columns, ([*map(printable, row)] for row in rows), map(printable, last))
        table.print(stderr=writing.json == STDOUT)


def line(writing: Writing, text: str) -> None:
    """One line on the stream of the tables."""
    if not writing.quiet:
        print(text, file=sys.stderr if writing.json == STDOUT else sys.stdout, flush=True)


def figure_line(writing: Writing, name: str, more: str = "") -> list[str]:
    """Print the command that would draw a figure, if there is none; `more` are further options."""
    return [] if writing.plot else [f"For a figure: {json_record.command_line(PROGRAM)}{more} --plot {name}"]


def warn(sentence: str) -> None:
    """A warning on stderr."""
    say(PROGRAM, f"warning: {sentence}")


def save_plot(writing: Writing, figure: Figure) -> None:
    """Write the figure to --plot."""
    from hw4nets.runs import save_figure

    if writing.plot is not None:
        with styled({} if writing.style is None else read_style(writing.style)):
            save_figure(writing.plot, figure)


def percent(value: float | None) -> str:
    """An accuracy for a table."""
    return "–" if value is None else f"{100 * value:.2f} %"
