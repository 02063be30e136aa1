"""A model in the parameters of an estimator: words, numbers, "auto" and None, and objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from hw4opt.errors import InputError, shown
from hw4opt.kernels import Kernel, Precomputed
from hw4opt.problem import Model
from hw4opt.problem.hyperparameters import GAMMA
from hw4opt.problem.words import kernel_of, parse_spec, term_of
from hw4opt.terms import AUTO, Loss, Term, find
from hw4opt.validation.arguments import is_finite

Strength = float | str | None  # gamma, or a weight: a number, "auto" to have it chosen, None for none


@dataclass(frozen=True)
class Description:
    """A model in which each hyper-parameter that is left open is 1.

    free         the names of those
    automatic    the names of the loss's parameters that the data determine, as huber.delta
    """

    model: Model
    free: tuple[str, ...]
    automatic: tuple[str, ...]


def describe(
    loss: str | Loss,
    kernel: str | Kernel | None,
    strengths: Mapping[str, Strength],
    regularizers: Sequence[Term],
    constraints: Sequence[str | Term],
    columns: Mapping[str, int],
    intercept: bool,
    standardize: bool,
) -> Description:
    """The model that the parameters of an estimator describe; raises `InputError`.

    strengths    of gamma and of regularizers by their names
    columns      the x columns that a constraint may name → their places
    """
    free = [name for name, strength in strengths.items() if _is_open(name, strength)]
    values = {name: 1.0 if name in free else strength for name, strength in strengths.items() if strength is not None}
    gamma = values.pop(GAMMA, None)
    kernel = kernel if kernel is None else _kernel(kernel, cast("float | None", gamma))
    model = Model(
        kernel,
        cast(Loss, term_of("loss", "loss", parse_spec("loss", loss)) if isinstance(loss, str) else loss),
        [*(find("regularizer", name, weight=value) for name, value in values.items()), *regularizers],
        [_constraint(one, columns) if isinstance(one, str) else one for one in _listed(constraints)],
        intercept,
        standardize,
    )
    if model.curves > 1:
        raise InputError(
            f"an estimator predicts one number a row and the loss has {model.curves} levels; use hw4opt.fit"
        )
    automatic = [f"{model.loss.name}.{name}" for name in model.loss.automatic if vars(model.loss)[name] == AUTO]
    free = [name for name in free if name in model.hyperparameters]  # a precomputed kernel has no gamma
    return Description(model, tuple(free), tuple(automatic))


def _is_open(name: str, strength: object) -> bool:
    """Whether it is "auto"; raises `InputError` for what is no strength."""
    if isinstance(strength, str) and strength == AUTO:
        return True
    if strength is not None and not is_finite(strength):
        raise InputError(f"{name} is {shown(strength)}; give a number, 'auto' to have it chosen, or None")
    return False


def _kernel(kernel: str | Kernel, gamma: float | None) -> Kernel:
    if not isinstance(kernel, str):
        return kernel if gamma is None or not isinstance(kernel, Kernel) else dataclasses.replace(kernel, gamma=gamma)
    spec = parse_spec("kernel", kernel)
    if gamma is None and spec.name != Precomputed.name:
        raise InputError(f"gamma is None and the kernel is {kernel!r}; give a number, or 'auto' to have it chosen")
    return kernel_of("kernel", spec, 1.0 if gamma is None else gamma)


def _listed(constraints: Sequence[str | Term]) -> Sequence[str | Term]:
    if isinstance(constraints, str):
        raise InputError(f"constraints is {constraints!r}; give a list of them, as in [{constraints!r}]")
    return constraints


def _constraint(word: str, columns: Mapping[str, int]) -> Term:
    return term_of("constraint", "constraint", parse_spec("constraint", word), columns)
