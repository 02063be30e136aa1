"""What both programs share: commands loaded when called, and every ending turned into an exit status and one sentence."""

from __future__ import annotations

import _thread
import importlib
import io
import logging
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import CodeType
from typing import Any

import click

from hw4cli.endings import Exit, say

DIGITS = re.compile(r"[0-9]{401,}")  # the largest double has 309, and Python turns no more than 4,300 into a number


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

    def invoke(self, ctx: click.Context) -> Any:
        """click prints an empty line for Ctrl-C, and none for an abort."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.texts.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=text) for name, text in self.texts.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


def run(app: click.Group, program: str, words: Sequence[str] | None, judge: Callable[[Exception], tuple[str, Exit] | None]) -> int:
    """Run a command line and give its exit status; `judge` knows the program's own exceptions, and gives None for others.

    Without words, those of the process, which then has nothing left to interrupt: Ctrl-C no longer strikes while the interpreter ends.
    """
    if words is not None:
        return _run(app, program, list(words), judge)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who called
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    try:
        return _run(app, program, sys.argv[1:], judge)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _flushed(program: str, status: int) -> int:
    """The status, or that of a failure where what was printed cannot be written: the interpreter would end in another one."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if status == Exit.CERTIFIED and stream is sys.stdout:
                status = _end(program, f"stdout cannot be written: {error.strerror}", Exit.UNPROVEN)
    return status


def _run(app: click.Group, program: str, words: list[str], judge: Callable[[Exception], tuple[str, Exit] | None]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the stream's encoding lacks is no reason to end
    return _flushed(program, _ended(app, program, words, judge))


def _ended(app: click.Group, program: str, words: list[str], judge: Callable[[Exception], tuple[str, Exit] | None]) -> int:
    with _quiet_warnings(), _no_interruption_lost(), _no_backend():
        try:
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.default_int_handler)  # in the place of that of `hw4cli.start`
            _check_words(words)
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


def _check_words(words: Sequence[str]) -> None:
    """Raise `click.UsageError` for a word that no name or number can be."""
    for before, word in zip(["", *words], words, strict=False):
        try:
            word.encode()
        except UnicodeEncodeError as error:
            shown = os.fsencode(word).decode(errors="backslashreplace")
            raise click.UsageError(f"the word '{shown}' is no UTF-8; rename the file, or spell it in UTF-8") from error
        if digits := DIGITS.search(word):
            name = before if before.startswith("--") else "the word"
            raise click.UsageError(f"{name} '{word[:40]}…' holds a number of {len(digits[0])} digits; 400 are read at most")
        if "\0" in word:
            raise click.UsageError(f"the word {word!r} holds a zero byte; no name can")


def _unexpected(error: Exception) -> tuple[str, Exit]:
    if isinstance(error, MemoryError):
        return "there is not enough memory for this problem; take fewer rows", Exit.UNPROVEN
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"the system ended it: {error.strerror}{where}", Exit.UNPROVEN
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


@contextmanager
def _no_backend() -> Iterator[None]:
    """Figures are drawn into files and need no backend: that of a notebook's shell, which may not be there, is not looked for."""
    before = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"
    try:
        yield
    finally:
        os.environ.pop("MPLBACKEND")
        if before is not None:
            os.environ["MPLBACKEND"] = before


@contextmanager
def _no_interruption_lost() -> Iterator[None]:
    """Ctrl-C that strikes in a destructor or a callback, where Python prints and drops what is raised, is raised again a moment later."""
    before = sys.unraisablehook

    def again(dropped: sys.UnraisableHookArgs) -> None:
        if dropped.exc_type is KeyboardInterrupt:
            threading.Thread(target=_interrupt, args=(again.__code__,), daemon=True).start()
        else:
            before(dropped)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupt(hook: CodeType) -> None:
    """Ctrl-C as soon as the main thread is out of the hook, which would drop it once more."""
    while hook in _under_way():
        time.sleep(0.01)
    if os.name == "posix":
        os.kill(os.getpid(), signal.SIGINT)  # ends a wait, too
    else:
        _thread.interrupt_main()


def _under_way() -> Iterator[CodeType]:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back
