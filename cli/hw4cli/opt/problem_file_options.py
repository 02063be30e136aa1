"""The options that read and write a problem file."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource


def take_problem(context: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Make what the problem file says the defaults of the running command."""
    if path is not None and not context.resilient_parsing:
        from hw4cli.opt.problem_file import defaults_from

        context.default_map = defaults_from(path, context.command)
    return path


def of_problem_file(name: str) -> Any:
    """What the problem file of the running command says, None where there is none, or it does not say."""
    context = click.get_current_context(silent=True)
    return None if context is None else (context.default_map or {}).get(name)


def of_the_data(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """The value; None where a problem file says it of its data and the command line names others."""
    from_file = context.get_parameter_source(parameter.name or "") is ParameterSource.DEFAULT_MAP
    return None if from_file and context.get_parameter_source("data") is ParameterSource.COMMANDLINE else value


PROBLEM_FROM_FILE = (
    click.option(
        "--problem",
        metavar="FILE.toml",
        is_eager=True,
        callback=take_problem,
        help="Take data and options from a file of `solve --save-problem`; options given here override those in it. "
        "Default: none.",
    ),
    click.option(
        "--data-sha256",
        metavar="HEX",
        callback=of_the_data,
        help="Refuse DATA whose bytes have another SHA-256. Default: no check.",
    ),
)
PROBLEM_TO_FILE = click.option(
    "--save-problem",
    metavar="FILE.toml",
    help="Write the problem as a file for --problem: data by path and SHA-256, and every option. Default: none.",
)
