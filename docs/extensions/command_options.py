"""The directive `command-options`: a table of the options of a command, read from the command line's own parser.

```{command-options} hw4opt solve
```
"""

from __future__ import annotations

import importlib
from typing import Any

import click
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from node_table import table

APPS = {"hw4opt": "hw4cli.opt.app", "hw4nets": "hw4cli.nets.app"}
COMMON = ("--json", "--quiet", "--seed", "--plot", "--save", "--verbose", "--version", "--help", "--arrays")


def find_command(program: str, name: str) -> click.Command:
    """The command of that name; raises `KeyError` for a program or command that does not exist."""
    app = importlib.import_module(APPS[program]).app
    command = app.get_command(click.Context(app), name)
    if command is None:
        raise KeyError(f"{program} has no command {name}")
    return command


def option_rows(command: click.Command) -> list[tuple[str, str, str]]:
    """Option with what it takes, its default, and what it does; of every option of the command."""
    context = click.Context(command)
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None:
            continue
        shown = parameter.to_info_dict()["default"]
        known = shown is not None and shown is not False and shown is not True and "UNSET" not in repr(shown)
        text = record[1].split("  [")[0]
        rows.append((record[0], str(shown) if known and shown != () else "", text))
    return rows


class CommandOptions(SphinxDirective):
    """The options of one command."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """The table."""
        rows = option_rows(find_command(*self.arguments))
        return [table(("option", "default", ""), rows, code_columns=(0,))]


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("command-options", CommandOptions)
    return {"parallel_read_safe": True}
