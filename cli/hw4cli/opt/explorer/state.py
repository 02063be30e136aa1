"""The state of a window: options and data, and the changes that a page may send. Its input is never evaluated."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw4cli.opt.build_problem import BuiltProblem, build_problem
from hw4cli.opt.components import ComponentWords, parse_component
from hw4cli.opt.gamma_option import NamedGammas
from hw4cli.opt.options import ProblemOptions, SolverOptions
from hw4cli.opt.selection_options import SelectionOptions
from hw4opt import InputError, UnknownNameError
from hw4opt.design import Categorical
from hw4opt.tables import Table
from hw4opt.tables.features import Codes
from hw4opt.terms.base import Array

EDITED = "edited.csv"  # what commands call data that were changed on the page
MAX_WORDS = 40  # penalties, or shapes, of one fit
MAX_WORD_CHARACTERS = 200  # of a word that the page sends
DATA_ROLES = ("x", "y", "weights", "groups")
SETTING_TYPES = {
    "design": str,
    "kernel": str,
    "gamma": float,
    "loss": str,
    "reg": tuple,
    "constraint": tuple,
    "component": tuple,
    "intercept": bool,
    "scale": str,
}


@dataclass(frozen=True, eq=False)
class State:
    """Options, and the table that they are about.

    edited    whether the data differ from the file that `options.data` names
    shown     the component of a sum that the page shows
    """

    options: ProblemOptions
    solver: SolverOptions
    selection: SelectionOptions
    table: Table
    edited: bool = False
    shown: str = ""

    @property
    def components(self) -> dict[str, ComponentWords]:
        """The components of a sum by their names."""
        words = (parse_component("--component", text) for text in self.options.component)
        return {one.name: one for one in words}

    def built(self) -> BuiltProblem:
        """The problem; raises `InputError`."""
        return build_problem(self.options, self.selection.groups, self.table)

    def with_settings(self, given: Mapping[str, Any]) -> State:
        """These settings in place of their options."""
        for name in given:
            if name not in SETTING_TYPES:
                known = ", ".join(SETTING_TYPES)
                raise InputError(f"the page sent a setting {name[:MAX_WORD_CHARACTERS]!r}; there are {known}")
        taken = {name: _taken(name, value) for name, value in given.items()}
        return dataclasses.replace(self, options=dataclasses.replace(self.options, **taken))

    def with_shown(self, name: str | None = None) -> State:
        """That component is shown, or one that there is; raises `InputError` where there is none of that name."""
        components = self.components
        if components and name is None:
            name = self.shown if self.shown in components else next(iter(components))
        if components and name not in components:
            raise UnknownNameError("component", str(name)[:MAX_WORD_CHARACTERS], components)
        return dataclasses.replace(self, shown=name if components else "")

    def of_one_curve(self) -> State:
        """With the options of the shown component alone, where there are some."""
        if not self.components:
            return self
        one, gamma, dot = self.components[self.shown], self.options.gamma, f"{self.shown}."
        own = {
            role: tuple(word.removeprefix(dot) for word in getattr(self.options, role) if word.startswith(dot))
            for role in ("reg", "constraint")
        }
        kernel = one.space if one.has_kernel else None
        gammas = dict(gamma.given) if isinstance(gamma, NamedGammas) else {}
        number = gammas.get(self.shown, next(iter(gammas.values()), 1.0)) if gammas else gamma
        options = dataclasses.replace(self.options, component=(), kernel=kernel, gamma=number, **own)
        return dataclasses.replace(self, options=options, shown="")

    def with_data(self, given: Mapping[str, Any]) -> State:
        """Data of the page in place of the table: `columns` by name, and the names in their roles."""
        columns, roles = given.get("columns"), {role: given.get(role) for role in DATA_ROLES}
        named = [name for name in roles.values() if name is not None]
        if not isinstance(columns, dict) or not all(map(_is_word, [*named, *columns])) or not {*named} <= {*columns}:
            raise InputError("the page sent data without proper columns")
        arrays = {name: _cells(name, columns[name]) for name in columns}
        nameless = roles["y"] is None or (roles["x"] is None and not self.components)
        if nameless or len({len(array) for array in arrays.values()}) > 1:
            raise InputError("the page sent columns of different lengths, or neither x nor y")
        if not len(arrays[roles["y"]]):
            raise InputError("the page sent no rows")
        selection = dataclasses.replace(self.selection, groups=roles.pop("groups"))
        fresh = {"data": EDITED, "n": None, "categorical": (), "missing": "refuse", **roles}
        options = dataclasses.replace(self.options, **fresh)
        return dataclasses.replace(
            self, options=options, selection=selection, table=Table.of(arrays, EDITED), edited=True
        )

    def with_moves(self, moves: Any) -> State:
        """Points of the page's data moved: `moves` are [row, x, y]."""
        if not self.edited:
            raise InputError("the page moved points of data that it has not sent")
        names = self.x_name, self.options.y
        moved = {name: self.table.floats(name).copy() for name in names if name is not None}
        if not isinstance(moves, list) or not all(isinstance(move, list) and len(move) == 3 for move in moves):
            raise InputError("the page sent invalid moves: give lists of row, x and y")
        for row, *place in moves:
            if type(row) is not int or not 0 <= row < len(self.table):
                raise InputError(f"the page moved a row {str(row)[:MAX_WORD_CHARACTERS]} that does not exist")
            for name, value in zip(names, place, strict=True):
                if name is not None:
                    moved[name][row] = _numbers("moves", [value])[0]
        return dataclasses.replace(self, table=Table.of({**self.table.columns, **moved}, EDITED))

    @property
    def x_name(self) -> str | None:
        """The column that is drawn across, whose points may be moved; None for levels, and of several columns."""
        if not self.components:
            return str(self.options.x)
        one = self.components[self.shown]
        return None if self._is_fixed(one) else one.columns[0]

    @staticmethod
    def _is_fixed(one: ComponentWords) -> bool:
        return len(one.columns) > 1 or one.space == Categorical.name

    def data(self, built: BuiltProblem) -> dict[str, Any]:
        """The columns that the page may change, as numbers, and their roles; what else could be x or y."""
        columns = built.columns
        features = zip(columns.features.columns, columns.x.T, strict=True)
        arrays = {
            one.name: np.array(columns.table.text(one.name)) if isinstance(one, Codes) else array
            for one, array in features
        }
        arrays[self.options.y] = columns.y
        if columns.weights is not None:
            arrays[str(self.options.weights)] = columns.weights
        if built.groups is not None:
            arrays[str(self.selection.groups)] = columns.table.labels(str(self.selection.groups)).astype(float)
        return {
            "columns": {name: columns.without_dropped(array) for name, array in arrays.items()},
            "x": self.options.x,
            "y": self.options.y,
            "weights": self.options.weights,
            "groups": self.selection.groups,
            "source": columns.table.source,
            "components": {
                name: {"columns": one.columns, "fixed": self._is_fixed(one)} for name, one in self.components.items()
            },
            "choices": [name for name in columns.table.names if columns.table.is_numeric(name)],
        }


def settings_of(options: ProblemOptions) -> dict[str, Any]:
    """The options that the page may change."""
    found = {name: getattr(options, name) for name in SETTING_TYPES}
    gamma = options.gamma
    return found | {"gamma": dict(gamma.given) if isinstance(gamma, NamedGammas) else gamma}


def one_x(state: State) -> State:
    """The state with its x column named, of a sum with its first component shown; raises `InputError` where there are
    several columns, and no components."""
    names = state.built().columns.features.names
    if state.components:
        return state.with_shown()
    if len(names) != 1:
        advice = "name one by --x, or give --additive for a curve of each"
        raise InputError(f"the page shows one x column and there are {len(names)}: {', '.join(names)}; {advice}")
    return dataclasses.replace(state, options=dataclasses.replace(state.options, x=names[0]))


def parse(text: str | bytes) -> dict[str, Any]:
    """A message of the page: an object with a `kind`. Raises `InputError`."""
    try:
        message = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError("the page sent something that is not JSON") from error
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise InputError("the page sent something that is not a message: give an object with a kind")
    return message


def field(message: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """A field of a message; raises `InputError` where it is missing or of another kind."""
    value = message.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"the page sent a message {message['kind'][:40]!r} without a proper {name!r}")
    return value


def _no_constant(word: str) -> None:
    raise ValueError(word)


def _taken(name: str, value: Any) -> Any:
    kind = SETTING_TYPES[name]
    if name in ("gamma", "kernel") and value is None:
        return None
    if name == "gamma" and isinstance(value, dict) and value and all(map(_is_word, value)):
        gammas = _numbers("gamma", [*value.values()]).tolist()
        return NamedGammas(tuple(zip(value, gammas, strict=True)))
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind is tuple and isinstance(value, list) and len(value) <= MAX_WORDS and all(map(_is_word, value)):
        return tuple(value)
    if (kind is str and _is_word(value)) or (kind is bool and isinstance(value, bool)):
        return value
    raise InputError(f"the page sent a setting {name} that is invalid: {str(value)[:MAX_WORD_CHARACTERS]}")


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_WORD_CHARACTERS


def _cells(name: str, values: Any) -> Any:
    """A column of numbers, or of text."""
    is_text = isinstance(values, list) and bool(values) and all(isinstance(value, str) for value in values)
    return values if is_text else _numbers(name, values)


def _numbers(name: str, values: Any) -> Array:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise InputError(f"the page sent a column {name!r} that holds something other than numbers")
    try:
        return np.array(values, dtype=float)
    except OverflowError as error:
        raise InputError(f"the page sent a column {name!r} with a number beyond floating point") from error
