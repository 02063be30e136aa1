"""Helpers to declare options, and the options that every command of both programs has."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_INTEGER = 2**63 - 1  # the largest count or seed that the libraries take
BYTE_COUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([kKMGT]?)(i?)B?", re.IGNORECASE)
F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", bound="DataclassInstance")


def options(*groups: Callable[[F], F] | Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """Decorate a command with options, listed in its help in this order."""
    flat: list[Callable[[F], F]] = []
    for group in groups:
        if isinstance(group, Sequence):
            flat.extend(group)
        else:
            flat.append(group)

    def decorate(function: F) -> F:
        for option in reversed(flat):
            function = option(function)
        return function

    return decorate


def take(record: type[R], given: Mapping[str, Any]) -> R:
    """An instance of the record; its fields are taken from a command's options."""
    names = [item.name for item in dataclasses.fields(record) if item.name in given]
    return record(**{name: given[name] for name in names})


class _WholeNumber(click.IntRange):
    """A range whose description, in help texts and messages, writes the largest number as a power."""

    def _describe_range(self) -> str:
        return super()._describe_range().replace(str(MAX_INTEGER), "2^63 - 1")


def whole(low: int | None = None) -> click.IntRange:
    """The type of an option that takes a whole number of `low` or more, up to `MAX_INTEGER`."""
    return _WholeNumber(low, MAX_INTEGER)


def bytes_of(context: click.Context, parameter: click.Parameter, text: str) -> int:
    """Parse a number of bytes such as 500M or 2GiB."""
    match = BYTE_COUNT.fullmatch(text.strip())
    if match is None or not (
        size := float(match[1]) * (1024 if match[3] else 1000) ** " KMGT".index(match[2].upper() or " ")
    ):
        raise click.BadParameter(f"{text}: give a number of bytes such as 500M, 2G or 2GiB")
    return int(size)


def typed(name: str) -> bool:
    """Whether the option was given on the command line of the running command, even with its default value."""
    context = click.get_current_context(silent=True)
    return context is not None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def version_option(program: str) -> Callable[[F], F]:
    """The option --version of a program."""

    def show(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            from importlib.metadata import version

            click.echo(f"{program} {version('hw4opt')}")
            context.exit()

    return click.option(
        "--version", is_flag=True, expose_value=False, is_eager=True, callback=show, help="Show the version."
    )


def verbose_option(program: str) -> Callable[[F], F]:
    """The option -v: print the program's log on stderr."""

    def log(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", force=True)
            logging.getLogger(program).setLevel(logging.DEBUG)
            logging.getLogger("py.warnings").setLevel(logging.WARNING)

    return click.option(
        "-v", "--verbose", is_flag=True, expose_value=False, is_eager=True, callback=log, help="Log to stderr."
    )


JSON = click.option(
    "--json",
    metavar="PATH|-",
    help="Write the answer as JSON; with -, to stdout, which then holds nothing else. Default: none.",
)
QUIET = click.option("-q", "--quiet", is_flag=True, help="Print no tables and no progress.")
