"""The help texts of both programs: every option says what it does and its default, every group has an example."""

import importlib
import shlex
from importlib.util import find_spec

import click
import pytest

PROGRAMS = ["opt", *(["nets"] if find_spec("torch") else [])]


def app_of(program):
    return importlib.import_module(f"hw4cli.{program}.app").app


COMMANDS = [(program, name) for program in PROGRAMS for name in app_of(program).texts]


@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_every_option_says_its_default(program, name):
    command = app_of(program).get_command(click.Context(app_of(program)), name)
    context = click.Context(command)
    for option in command.get_params(context):
        if isinstance(option, click.Option) and not option.is_flag:
            _, text = option.get_help_record(context)
            assert text.partition("[")[0].strip(), f"{option.opts} has no help"
            assert option.required or "default" in text.lower(), f"{option.opts} says no default: {text}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_group_has_an_example_that_is_a_command_line(program):
    app = app_of(program)
    for group in app.groups:
        name, *words = shlex.split(group.example)[1:]
        assert name in group.texts
        app.get_command(click.Context(app), name).make_context(name, words)
