"""What both programs share: commands loaded when called, and every ending turned into an exit status and one sentence."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from hw4cli.endings import Exit, say


class Commands(click.Group):
    """A group that imports a command's module only when that command is called.

    texts     name → one line of help
    package   where the modules are
    unknown   the exception for a command that does not exist
    """

    texts: Mapping[str, str]
    package: str

    def unknown(self, name: str) -> Exception:
        """What is raised for the name of no command."""
        raise NotImplementedError

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.texts)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.texts:
            return None
        return importlib.import_module(f"{self.package}.{cmd_name}").command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in self.texts and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise self.unknown(args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.texts.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=text) for name, text in self.texts.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


def run(app: click.Group, program: str, words: Sequence[str], judge: Callable[[Exception], tuple[str, Exit] | None]) -> int:
    """Run a command line and give its exit status; `judge` knows the program's own exceptions, and gives None for others."""
    words = list(words)
    with _quiet_warnings():
        try:
            return app.main(words, prog_name=program, standalone_mode=False, obj=words) or 0
        except (click.Abort, KeyboardInterrupt):
            return _end(program, "interrupted", Exit.INTERRUPTED)
        except click.ClickException as error:
            return _end(program, error.format_message(), Exit.WRONG)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.UNPROVEN
        except Exception as error:
            logging.getLogger(f"{program}.cli").debug("raised here", exc_info=True)
            return _end(program, *(judge(error) or _unexpected(error)))


def _unexpected(error: Exception) -> tuple[str, Exit]:
    if isinstance(error, MemoryError):
        return "there is not enough memory for this problem; take fewer rows", Exit.UNPROVEN
    return f"an error that should not happen, {type(error).__name__}: {error}; -v shows where", Exit.UNPROVEN


def _end(program: str, sentence: str, status: Exit) -> Exit:
    say(program, sentence)
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
