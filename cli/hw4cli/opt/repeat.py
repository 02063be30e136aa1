"""A fit as the command line and the Python that repeat it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import click

from hw4cli.opt.build_problem import BuiltProblem
from hw4cli.opt.gamma_option import NamedGammas
from hw4cli.opt.options import ProblemOptions
from hw4opt import Additive, Component, Ridge
from hw4opt.design import Sum
from hw4opt.problem import Problem
from hw4opt.problem.words import SEVERAL
from hw4opt.tables.features import Codes, Column
from hw4opt.terms import ComponentTerm, Term

FILE_OPTIONS = ("problem", "data_sha256")  # of a problem file, whose other options the words spell out
OPTION_PARAMETERS = ("gamma", "quasi")  # parameters that are options of their own


def given_words(command: click.Command, values: Mapping[str, Any]) -> list[str]:
    """The words that give a command these values; options at their default are left out."""
    defaults = _defaults(command)
    words: list[str] = []
    for parameter in command.params:
        if (
            parameter.name in values
            and parameter.name not in FILE_OPTIONS
            and values[parameter.name] != defaults.get(parameter.name)
        ):
            words += _words(parameter, values[parameter.name])
    return words


@cache
def _defaults(command: click.Command) -> Mapping[str, Any]:
    return command.make_context(command.name or "", []).params


def _words(parameter: click.Parameter, value: Any) -> list[str]:
    if isinstance(parameter, click.Argument):
        return [] if value is None else [str(value)]
    assert isinstance(parameter, click.Option)
    name = parameter.opts[0]
    if parameter.is_flag:
        return [name if value else parameter.secondary_opts[0]]
    items = value if parameter.multiple else [value]
    return [word for item in items for word in (name, _number_text(item))]


def _number_text(value: Any) -> str:
    """The shortest text that reads back as the same value."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def settled_options(options: ProblemOptions, problem: Problem) -> ProblemOptions:
    """The options with every hyper-parameter given, as the problem has it."""
    if problem.kernel is None:
        return dataclasses.replace(options, loss=_word(problem.loss), reg=tuple(map(_word, problem.regularizers)))
    if isinstance(problem.kernel, Sum):
        kernels = [(one.name, one.kernel) for one in problem.kernel.parts if one.kernel and one.kernel.has_gamma]
        gammas = NamedGammas(tuple((name, kernel.rate) for name, kernel in kernels))
        terms = [one for one in problem.regularizers if isinstance(one, ComponentTerm) and not _is_no_ridge(one.term)]
        reg = [f"{one.component}.{_word(one.term)}" for one in terms]
        return dataclasses.replace(options, loss=_word(problem.loss), reg=tuple(reg), gamma=gammas if kernels else None)
    kernel = None if options.kernel is None else _word(problem.kernel)
    terms = {"loss": _word(problem.loss), "reg": tuple(map(_word, problem.regularizers))}
    gammas = problem.kernel.gammas
    named = NamedGammas(tuple(zip(problem.names.x or (), gammas, strict=True))) if gammas else problem.kernel.rate
    return dataclasses.replace(options, gamma=named, kernel=kernel, **terms)


def _is_no_ridge(term: Term) -> bool:
    """Whether the term stands for no ridge at all, as of a linear component."""
    return isinstance(term, Ridge) and term.weight == 0


def _word(part: Any) -> str:
    """A term or kernel as the command line names it."""
    given = {
        item.name: getattr(part, item.name) for item in dataclasses.fields(part) if item.name not in OPTION_PARAMETERS
    }
    if [*given] == ["weight"]:
        return f"{part.name}={_number_text(float(part.weight))}"
    shown = [f"{name}={_value_text(value)}" for name, value in given.items() if value is not False]
    return f"{part.name}:{','.join(shown)}" if shown else part.name


def _value_text(value: Any) -> str:
    numbers = value if isinstance(value, tuple) else (value,)
    return SEVERAL.join(_number_text(float(number)) for number in numbers)


def command_text(words: Sequence[str]) -> str:
    """Words as one line for a shell; a name that would start with a dash is made a path."""
    return shlex.join(["hw4opt", *words])


def python_text(built: BuiltProblem, options: ProblemOptions) -> str:
    """A script that reads the data and makes this fit."""
    problem = built.problem
    names = {"Problem", "fit", *(type(part).__name__ for part in _parts(problem))}
    imports = [f"from hw4opt import {', '.join(sorted(names, key=str.casefold))}"]
    if len(built.columns.features.columns) > 1:
        imports.insert(0, "import numpy as np")
    lines = [*imports, *_reading(built, options)]
    lines += ["", "problem = Problem(", "    x,", "    y,", *(f"    {line}," for line in _arguments(problem)), ")"]
    return "\n".join([*lines, "result = fit(problem).raise_for_status()", "print(result.objective)", ""])


def _parts(problem: Problem) -> Iterator[object]:
    """What the script names."""
    components = _components(problem)
    if components:
        yield from (Additive(components), *components)
        yield from (part for one in components for part in (one.kernel, *one.regularizers, *one.constraints) if part)
    elif problem.kernel is not None:
        yield problem.kernel
    yield from (problem.loss, *_of_all(problem.regularizers), *_of_all(problem.constraints))


def _components(problem: Problem) -> list[Component]:
    """The components of a sum, none of other problems."""
    if not isinstance(problem.kernel, Sum):
        return []
    found = []
    for part in problem.kernel.parts:
        model = problem.model.component(part.name)
        ridge = sum(one.weight for one in model.regularizers if isinstance(one, Ridge))
        others = [one for one in model.regularizers if not isinstance(one, Ridge)]
        found.append(Component(part.name, part.columns, part.kernel, ridge, others, model.constraints))
    return found


def _of_all(terms: Sequence[Term]) -> list[Term]:
    """Those that act on the whole fit."""
    return [one for one in terms if not isinstance(one, ComponentTerm)]


def _reading(built: BuiltProblem, options: ProblemOptions) -> list[str]:
    if options.data is None:
        size = 50 if options.n is None else options.n
        return ["from hw4opt.datasets import step_data", "", f"x, y, _ = step_data({size}, {options.seed})"]
    read = [_read(column) for column in built.columns.features.columns]
    x = read[0] if len(read) == 1 else f"np.column_stack([{', '.join(read)}])"
    columns = {"y": options.y, "weights": options.weights}
    lines = [f"{role} = table.numbers({name!r})" for role, name in columns.items() if name is not None]
    start = ["from hw4opt.datasets import read_table", "", f"table = read_table({options.data!r})", f"x = {x}"]
    return [*start, *lines]


def _read(column: Column) -> str:
    """A feature as numbers, levels as their places."""
    if isinstance(column, Codes):
        return f"np.unique(np.char.strip(table.text({column.name!r})), return_inverse=True)[1]"
    return f"table.numbers({column.name!r})"


def _arguments(problem: Problem) -> Iterator[str]:
    if components := _components(problem):
        yield "\n".join(["kernel=Additive([", *(f"        {one!r}," for one in components), "    ])"])
    elif problem.kernel is not None:
        yield f"kernel={problem.kernel!r}"
    yield f"loss={problem.loss!r}"
    for role in ("regularizers", "constraints"):
        if terms := _of_all(getattr(problem, role)):
            yield f"{role}=[{', '.join(map(repr, terms))}]"
    if problem.weights is not None:
        yield "weights=weights"
    for flag in ("intercept", "standardize"):
        if getattr(problem, flag) and not (components and flag == "intercept"):
            yield f"{flag}=True"
