"""What commands of `hw4nets` write: paths checked before any work, JSON without NaN, tables for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw4cli import records
from hw4cli.endings import say
from hw4cli.nets.options import Writing
from hw4cli.records import FIGURES, STDOUT, json_text
from hw4cli.tables import Table
from hw4nets.errors import DivergedError, InputError, WriteError, out_of_memory
from hw4nets.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROGRAM = "hw4nets"
LITTLE_MEMORY = "there is not enough memory for this; take a smaller batch_size, or a smaller network"


def check_outputs(writing: Writing) -> None:
    """Raise `InputError` now for a file that could not be written later."""
    taken: dict[Path, str] = {}
    for option in ("json", "plot", "save"):
        path = getattr(writing, option)
        if path is None or (option == "json" and path == STDOUT):
            continue
        if option == "plot" and Path(path).suffix.lower() not in FIGURES:
            raise InputError(f"--plot {path}: a figure's name ends in {', '.join(FIGURES)}")
        _check_path(Path(path))
        if Path(path).resolve() in taken:
            raise InputError(f"--{option} {path} would overwrite {taken[Path(path).resolve()]}; give another path")
        taken[Path(path).resolve()] = f"--{option} {path}"


def _check_path(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a folder, or no regular file; give a file name")
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"cannot write {path}: permission denied")


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
            told = {"status": status, "message": LITTLE_MEMORY} if lacking else {"status": status, "message": str(error)} | vars(error)
            with suppress(WriteError):  # the first failure is the one to tell
                write_json(writing, seed, sha256, told)
        raise


def show(writing: Writing, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], last: Iterable[str] = ()) -> None:
    """One table; on stderr when stdout holds the JSON, nowhere with --quiet."""
    if not writing.quiet:
        Table(title, columns, rows, last).print(stderr=writing.json == STDOUT)


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
