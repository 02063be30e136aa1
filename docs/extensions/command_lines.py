"""Command lines of the pages, run in this process in a folder with copies of the tables of docs/data."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shlex
import shutil
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"
PROGRAMS = {"hw4opt": "hw4cli.opt.app", "hw4nets": "hw4cli.nets.app"}


def copy_data(folder: Path) -> None:
    """The tables of docs/data, in the folder."""
    for table in DATA.glob("*.csv"):
        shutil.copy(table, folder)


def run_line(line: str, folder: Path) -> tuple[int, str]:
    """Exit status and printed text of one command line, run in the folder; `cat FILE` prints a file."""
    program, *words = shlex.split(line, comments=True)
    if program == "cat":
        return 0, (folder / words[0]).read_text(encoding="utf-8")
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        before = os.environ.get("COLUMNS")
        os.environ["COLUMNS"] = "100"
        try:
            status = importlib.import_module(PROGRAMS[program]).main(words)
        finally:
            os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return int(status), printed.getvalue()
