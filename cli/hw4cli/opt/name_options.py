"""Options that take a name of the library: their completion, and their help, which lists the names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem


def complete_name(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """The completion of an option that takes the name of a kernel, a solver, or a term of a kind."""

    def complete(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in _names(kind) if name.startswith(start)]

    return complete


def _names(kind: str) -> Sequence[str]:
    if kind == "kernel":
        from hw4cli.opt.option_syntax import kernel_names

        return kernel_names()
    if kind == "solver":
        from hw4opt.solvers import solver_names

        return ["auto", *solver_names()]  # listing the backends would import their libraries
    from hw4opt.terms import names

    return names(kind)


class NameOption(click.Option):
    """An option that takes a name; its help lists the known names with their parameters."""

    def __init__(self, words: Sequence[str], *, kind: str, without: tuple[str, ...] = (), **given: Any) -> None:
        super().__init__(words, shell_complete=complete_name(kind), **given)
        self.kind, self.without = kind, without

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        shown = _names(self.kind) if self.kind == "solver" else _terms(self.kind, self.without)
        record = super().get_help_record(ctx)
        return None if record is None else (record[0], f"{', '.join(shown)}. {record[1]}".strip())


def _terms(kind: str, without: tuple[str, ...]) -> Sequence[str]:
    from hw4opt.terms import registry

    return [registry.usage(registry.load(kind, name), without) for name in _names(kind)]
