"""The options of Poisson regressions: offset, exposure, --quasi, and checks of the counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from hw4cli.opt.options import ProblemOptions, SolverOptions
from hw4cli.options import typed
from hw4opt import InputError, Poisson, Problem
from hw4opt.design import Sum
from hw4opt.inference import kinds_of
from hw4opt.problem.words import Spec
from hw4opt.tables import Table
from hw4opt.terms import Loss
from hw4opt.terms.base import Array


def loss_spec(loss: Spec, options: ProblemOptions) -> Spec:
    """The loss with --quasi as a parameter; raises `InputError` for options of counts with another loss."""
    if loss.name != "poisson":
        for name, value in (
            ("offset", options.offset),
            ("exposure", options.exposure),
            ("quasi", options.quasi or None),
        ):
            if value is not None:
                option = f"--{name}" if value is True else f"--{name} {value}"
                raise InputError(f"{option} belongs to counts; drop it, or give --loss poisson")
        return loss
    return dataclasses.replace(loss, parameters=loss.parameters | {"quasi": "1"}) if options.quasi else loss


def check_likelihood(loss: Loss, solver_options: SolverOptions) -> None:
    """Raise `InputError` for --separated or --errors with a loss that does not use it."""
    if typed("separated") and not isinstance(loss, Poisson):
        raise InputError(f"--separated {solver_options.separated} belongs to counts; drop it, or give --loss poisson")
    if typed("errors") and solver_options.errors not in kinds_of(loss):
        has = f"has {' and '.join(kinds_of(loss))} only" if kinds_of(loss) else "has no standard errors"
        raise InputError(f"--errors {solver_options.errors}: the loss {loss.name} {has}")


def check_errors(problem: Problem, solver_options: SolverOptions) -> None:
    """Raise `InputError` for --errors of a fit that has no standard errors at all."""
    if typed("errors") and (problem.curves > 1 or isinstance(problem.kernel, Sum)):
        fits = "several levels" if problem.curves > 1 else "a sum of components"
        raise InputError(f"--errors {solver_options.errors}: fits of {fits} have no standard errors; drop it")


def check_counts(y: Array, name: str, loss: Poisson, used: np.ndarray, truncation: str | None) -> list[str]:
    """Raise `InputError` for a target that is not a count in a row of `used` (n,); warnings on fractions and counts ≥
    1.

    truncation    the option for truncated counts that a warning recommends; None: no warning
    """
    if not used.any():
        return []
    y = np.where(used, y, 1.0)
    least = loss.law.least
    if y.min() < least:
        row = int(np.argmin(y))
        kind = "counts truncated at 0 are 1 or more" if loss.truncated else "counts are 0 or more"
        raise InputError(f"column {name!r} holds {y[row]:g} in row {row + 1}; {kind}")
    warnings = []
    if truncation is not None and least == 0 and y.min() >= 1:
        warnings.append(
            f"every count in {name!r} is 1 or more: {truncation} fits counts that are observed only if they are "
            "at least 1"
        )
    fractions = y != np.floor(y)
    if not fractions.any():
        return warnings
    if not loss.quasi:
        row = int(np.argmax(fractions))
        raise InputError(
            f"column {name!r} holds {y[row]:g} in row {row + 1}; counts are whole numbers, "
            "and --quasi takes fractions, too"
        )
    count = int(fractions.sum())
    holds = f"1 row of {name!r} holds" if count == 1 else f"{count} rows of {name!r} hold"
    return [*warnings, f"{holds} fractions: a quasi-likelihood, in which log y! is log Γ(y + 1)"]


def check_columns(x: Array, names: Sequence[str]) -> None:
    """Raise `InputError` for a feature that is constant, besides the intercept."""
    for name, column in zip(names, x.T, strict=True):
        if np.all(column == column[:1]):
            raise InputError(
                f"column {name!r} is constant and there is an intercept; drop it from --x, or give --no-intercept"
            )


def log_offset(table: Table, offset: str | None, exposure: str | None, used: np.ndarray | None = None) -> Array | None:
    """The column --offset, or the log of the column --exposure; None without either.

    used (n,)    rows whose cells must be valid; others are 0 if their cells are not
    """
    if offset is not None and exposure is not None:
        raise InputError(f"--offset {offset} and --exposure {exposure} have the same meaning; give one of them")
    if exposure is None:
        return None if offset is None else np.nan_to_num(table.numbers(offset, used), nan=0.0)
    values = table.numbers(exposure, used)
    values = values if used is None else np.where(used, values, 1.0)
    if values.min() <= 0:
        row = int(np.argmin(values))
        raise InputError(
            f"column {exposure!r} holds the exposure {values[row]:g} in row {row + 1}; exposures must be above 0"
        )
    return np.log(values)
