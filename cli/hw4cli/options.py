"""How options are declared, and the ones that every command of both programs has."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

LARGEST = 2**63 - 1  # what counts and seeds of libraries hold
F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")


def options(*groups: Callable[[F], F] | Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """Decorate a command with options, listed in its help in this order."""
    flat = [option for group in groups for option in (group if isinstance(group, tuple | list) else (group,))]

    def decorate(act: F) -> F:
        for option in reversed(flat):
            act = option(act)  # type: ignore[operator]
        return act

    return decorate


def take(record: type[R], given: Mapping[str, Any]) -> R:
    """The record's own fields out of a command's options."""
    return record(**{item.name: given[item.name] for item in dataclasses.fields(record) if item.name in given})  # type: ignore[arg-type]


def whole(low: int | None = None) -> click.IntRange:
    """The type of an option that takes a whole number of `low` or more."""
    return click.IntRange(low, LARGEST)


def typed(name: str) -> bool:
    """Whether that option of the command under way was typed, even at its default."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def version_option(program: str) -> Callable[[F], F]:
    """--version of a program."""

    def show(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            from importlib.metadata import version

            click.echo(f"{program} {version('hw4opt')}")
            context.exit()

    return click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=show, help="Show the version.")


def verbose_option(program: str) -> Callable[[F], F]:
    """-v: what the program's loggers say."""

    def log(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", force=True)
            logging.getLogger(program).setLevel(logging.DEBUG)
            logging.getLogger("py.warnings").setLevel(logging.WARNING)

    return click.option("-v", "--verbose", is_flag=True, expose_value=False, is_eager=True, callback=log, help="Log to stderr.")


JSON = click.option("--json", metavar="PATH|-", help="Write the answer as JSON; with -, stdout holds it and nothing else.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="No tables, no progress.")
