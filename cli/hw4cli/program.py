"""Shared by both programs: commands imported when called, and every outcome as an exit status and one sentence."""

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
from dataclasses import dataclass
from types import CodeType, FrameType, MappingProxyType
from typing import Any

import click

from hw4cli.exit_status import Exit, say

MAX_DIGITS = 400  # of a number: the largest double has 309, and Python converts at most 4,300
TOO_MANY_DIGITS = re.compile(rf"[0-9]{{{MAX_DIGITS + 1},}}")

IMPORT: CodeType = vars(sys.modules["_frozen_importlib"])["_find_and_load"].__code__  # on the stack during an import
Classify = Callable[[Exception], tuple[str, Exit] | None]


@dataclass(frozen=True)
class CommandGroup:
    """Commands that the help shows together: a heading, the name of each → one line of help, and an example."""

    heading: str
    texts: Mapping[str, str]
    example: str


class Commands(click.Group):
    """A group that imports a command's module only when that command is called.

    groups    the commands, as the help shows them
    package   the package of the modules
    modules   command → its module, where that has another name
    unknown   makes the exception for a command that does not exist
    """

    groups: Sequence[CommandGroup]
    package: str
    modules: Mapping[str, str] = MappingProxyType({})

    @property
    def texts(self) -> dict[str, str]:
        """The name of every command → one line of help."""
        return {name: text for group in self.groups for name, text in group.texts.items()}

    def unknown(self, name: str) -> Exception:
        """The exception for a name that is not a command."""
        raise NotImplementedError

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.texts)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.texts:
            return None
        return importlib.import_module(f"{self.package}.{self.modules.get(cmd_name, cmd_name)}").command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            raise click.UsageError(
                f"give a command: {', '.join(self.texts)}; {ctx.info_name} --help shows an example of each kind"
            )
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in self.texts and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise self.unknown(args[0])
        return super().resolve_command(ctx, args)

    def make_context(self, *arguments: Any, **extra: Any) -> click.Context:
        """Turn Ctrl-C into an abort, for which click prints no empty line."""
        with _abort_on_ctrl_c():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Turn Ctrl-C into an abort."""
        with _abort_on_ctrl_c():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.texts))
        for group in self.groups:
            with formatter.section(group.heading):
                formatter.write_dl([(name.ljust(width), text) for name, text in group.texts.items()])
                formatter.write(f"\n{'':{formatter.current_indent}}$ {group.example}\n")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=text) for name, text in self.texts.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


@contextmanager
def _abort_on_ctrl_c() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise click.Abort from error


def run(app: click.Group, program: str, arguments: Sequence[str] | None, classify: Classify) -> int:
    """Run a command line and return its exit status.

    arguments    None: the arguments of the process; Ctrl-C is then ignored afterwards, while the interpreter shuts down
    classify     returns the sentence and exit status of the program's own exceptions, None for others
    """
    if arguments is not None:
        return _run(app, program, list(arguments), classify)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    try:
        return _run(app, program, sys.argv[1:], classify)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _flush(program: str, status: int) -> int:
    """Flush stdout and stderr: the status, or that of a failure if stdout cannot be written.

    Otherwise the interpreter would flush at its end, and exit with a status of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if status == Exit.CERTIFIED and stream is sys.stdout:
                status = _fail(program, f"stdout cannot be written: {error.strerror}", Exit.UNPROVEN)
    return status


def _run(app: click.Group, program: str, arguments: list[str], classify: Classify) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a character that the encoding lacks is not an error
    return _flush(program, _run_command(app, program, arguments, classify))


def _run_command(app: click.Group, program: str, arguments: list[str], classify: Classify) -> int:
    with _warnings_to_log(), _ctrl_c_never_lost(), _file_backend():
        try:
            if (
                signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
                and threading.current_thread() is threading.main_thread()
            ):
                signal.signal(signal.SIGINT, _raise_interrupt)  # replaces that of `hw4cli.start`
            _check_arguments(arguments)
            return app.main(arguments, prog_name=program, standalone_mode=False, obj=arguments) or 0
        except (click.Abort, KeyboardInterrupt):
            return _fail(program, "interrupted", Exit.INTERRUPTED)
        except click.ClickException as error:
            return _fail(program, error.format_message(), Exit.WRONG)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.UNPROVEN
        except Exception as error:
            logging.getLogger(f"{program}.cli").debug("traceback", exc_info=True)
            return _fail(program, *(classify(error) or _unexpected(error)))


def _check_arguments(arguments: Sequence[str]) -> None:
    """Raise `click.UsageError` for an argument that is not UTF-8, or holds a zero byte or too many digits."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            shown = os.fsencode(argument).decode(errors="backslashreplace")
            raise click.UsageError(f"the word '{shown}' is not UTF-8; rename the file, or spell it in UTF-8") from error
        if digits := TOO_MANY_DIGITS.search(argument):
            name = before if before.startswith("--") else "the word"
            raise click.UsageError(
                f"{name} '{argument[:40]}…' holds a number of {len(digits[0])} digits; {MAX_DIGITS} are read at most"
            )
        if "\0" in argument:
            raise click.UsageError(f"the word {argument!r} holds a zero byte; no name can")


def _unexpected(error: Exception) -> tuple[str, Exit]:
    if isinstance(error, MemoryError):
        return "there is not enough memory for this problem; use fewer rows", Exit.UNPROVEN
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"the system ended it: {error.strerror}{where}", Exit.UNPROVEN
    return f"an error that should not happen, {type(error).__name__}: {error}; -v shows where", Exit.UNPROVEN


def _fail(program: str, sentence: str, status: Exit) -> Exit:
    say(program, sentence)
    return status


@contextmanager
def _warnings_to_log() -> Iterator[None]:
    """Send warnings of libraries to the log, which only -v shows."""
    for name in ("py.warnings", "matplotlib"):  # which warns where the home directory cannot be written
        logging.getLogger(name).addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        logging.captureWarnings(True)
        try:
            yield
        finally:
            logging.captureWarnings(False)


@contextmanager
def _file_backend() -> Iterator[None]:
    """Use matplotlib's file backend: one set by a notebook's shell may not be importable here."""
    before = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"
    try:
        yield
    finally:
        os.environ.pop("MPLBACKEND")
        if before is not None:
            os.environ["MPLBACKEND"] = before


@contextmanager
def _ctrl_c_never_lost() -> Iterator[None]:
    """Raise Ctrl-C again if it arrives in a destructor or a callback, where Python prints and drops exceptions."""
    before = sys.unraisablehook

    def raise_again(dropped: sys.UnraisableHookArgs) -> None:
        if dropped.exc_type is KeyboardInterrupt:
            _interrupt_after(raise_again.__code__)
        else:
            before(dropped)

    sys.unraisablehook = raise_again
    try:
        yield
    finally:
        sys.unraisablehook = before


def _raise_interrupt(number: int, frame: FrameType | None) -> None:
    """Raise `KeyboardInterrupt`, when the import that is under way is done: extension modules may drop it in their
    initialisation, or fail in another way."""
    if IMPORT in _code_of(frame):
        _interrupt_after(IMPORT)
    else:
        raise KeyboardInterrupt


def _interrupt_after(code: CodeType) -> None:
    """Send Ctrl-C as soon as the main thread has left this code, where it would be dropped."""
    threading.Thread(target=_send_interrupt, args=(code,), daemon=True).start()


def _send_interrupt(code: CodeType) -> None:
    while code in _code_of(sys._current_frames().get(threading.main_thread().ident or 0)):
        time.sleep(0.01)
    if os.name == "posix":
        os.kill(os.getpid(), signal.SIGINT)  # also interrupts a blocking wait
    else:
        _thread.interrupt_main()


def _code_of(frame: FrameType | None) -> Iterator[CodeType]:
    """The code objects on the stack that ends in this frame."""
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back
