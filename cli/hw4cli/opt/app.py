"""Entry point of `hw4opt`: commands loaded when called, and every ending turned into an exit status and one sentence."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from hw4cli.opt.endings import Exit, say
from hw4cli.opt.options import version

COMMANDS = {
    "solve": "Fit a penalised or shape-constrained regression, and prove it.",
    "check": "Solve one problem with every solver and compare.",
    "predict": "Predict with a saved model.",
    "path": "Fits and held-out errors along one hyper-parameter.",
    "em": "A listener's moods from play counts, and a playlist for each.",
    "reproduce": "Part 2 of the assignment, every figure and number.",
}
EPILOG = """\b
Exit status: 0 certified · 1 an answer without proof, or solvers that disagree
             2 wrong input or usage · 130 interrupted
Rows are counted from 1, the header not counted.
Completion: eval "$(_HW4OPT_COMPLETE=bash_source hw4opt)"
            (zsh: zsh_source, fish: fish_source)"""

log = logging.getLogger("hw4opt.cli")


class Commands(click.Group):
    """A group that imports a command's module only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"hw4cli.opt.{cmd_name}").command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            from hw4opt import UnknownNameError

            raise UnknownNameError("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


@click.group(cls=Commands, epilog=EPILOG, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@version
def app() -> None:
    """Describe a penalised or shape-constrained regression once, solve it with any solver, and get an answer that proves itself.

    `hw4opt solve --loss huber --reg tv` runs on built-in data.
    """


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit status."""
    words = list(sys.argv[1:] if words is None else words)
    with _quiet_warnings():
        try:
            return app.main(words, prog_name="hw4opt", standalone_mode=False, obj=words) or 0
        except (click.Abort, KeyboardInterrupt):
            return _end("interrupted", Exit.INTERRUPTED)
        except click.ClickException as error:
            return _end(error.format_message(), Exit.WRONG)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.UNPROVEN
        except Exception as error:
            return _failed(error)


def _failed(error: Exception) -> int:
    from hw4opt import Hw4Error, NotCertifiedError

    log.debug("raised here", exc_info=True)
    if isinstance(error, Hw4Error):
        return _end(str(error), Exit.UNPROVEN if isinstance(error, NotCertifiedError) else Exit.WRONG)
    if isinstance(error, MemoryError):
        return _end("there is not enough memory for this problem; take fewer rows", Exit.UNPROVEN)
    return _end(f"an error that should not happen, {type(error).__name__}: {error}; -v shows where", Exit.UNPROVEN)


def _end(sentence: str, status: Exit) -> Exit:
    say(sentence)
    return status


@contextmanager
def _quiet_warnings() -> Iterator[None]:
    """Warnings of libraries go to the log, which only -v shows."""
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        logging.captureWarnings(True)
        try:
            yield
        finally:
            logging.captureWarnings(False)


if __name__ == "__main__":
    sys.exit(main())
