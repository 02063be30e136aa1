"""What counts need beside a target: offset or exposure, `--quasi`, and the sentences on what they cannot be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from hw4cli.opt.options import Describing, Solving
from hw4cli.opt.words import Word
from hw4cli.options import typed
from hw4opt import InputError, Poisson
from hw4opt.tables import Table
from hw4opt.terms import Likelihood, Loss
from hw4opt.terms.base import Array


def word(loss: Word, options: Describing) -> Word:
    """The loss with what --quasi says; raises `InputError` for options of counts beside another loss."""
    if loss.name != "poisson":
        for name, value in (("offset", options.offset), ("exposure", options.exposure), ("quasi", options.quasi or None)):
            if value is not None:
                typed = f"--{name}" if value is True else f"--{name} {value}"
                raise InputError(f"{typed} belongs to counts; drop it, or give --loss poisson")
        return loss
    return dataclasses.replace(loss, given=loss.given | {"quasi": "1"}) if options.quasi else loss


def check_likelihood(loss: Loss, solving: Solving) -> None:
    """Raise `InputError` for --separated or --errors beside a loss that has no use for it."""
    if typed("separated") and not isinstance(loss, Poisson):
        raise InputError(f"--separated {solving.separated} belongs to counts; drop it, or give --loss poisson")
    if typed("errors") and not isinstance(loss, Likelihood):
        raise InputError(f"--errors {solving.errors} belongs to likelihoods; drop it, or give --loss poisson or logistic")


def check(y: Array, name: str, loss: Poisson, here: np.ndarray, truncation: str | None) -> list[str]:
    """Raise `InputError` for a target that is no count in a row `here` (n,); warnings on fractions, and on counts without a 0.

    truncation    the option that fits the law of counts of at least 1; None: no word on it
    """
    if not here.any():
        return []
    y = np.where(here, y, 1.0)
    least = loss.law.least
    if y.min() < least:
        row = int(np.argmin(y))
        kind = "counts truncated at 0 are 1 or more" if loss.truncated else "counts are 0 or more"
        raise InputError(f"column {name!r} holds {y[row]:g} in row {row + 1}; {kind}")
    said = []
    if truncation is not None and least == 0 and y.min() >= 1:
        said.append(f"every count in {name!r} is 1 or more: {truncation} fits the law of counts that were seen because they are at least 1")
    fractions = y != np.floor(y)
    if not fractions.any():
        return said
    if not loss.quasi:
        row = int(np.argmax(fractions))
        raise InputError(f"column {name!r} holds {y[row]:g} in row {row + 1}; counts are whole numbers, and --quasi takes fractions, too")
    rows = int(fractions.sum())
    held = f"1 row of {name!r} holds" if rows == 1 else f"{rows} rows of {name!r} hold"
    return [*said, f"{held} fractions: a quasi-likelihood, in which log y! is log Γ(y + 1)"]


def check_columns(x: Array, names: Sequence[str]) -> None:
    """Raise `InputError` for a feature that is constant beside the intercept."""
    for name, column in zip(names, x.T, strict=True):
        if np.all(column == column[:1]):
            raise InputError(f"column {name!r} is constant and stands beside the intercept; drop it from --x, or give --no-intercept")


def offset(table: Table, offset: str | None, exposure: str | None, here: np.ndarray | None = None) -> Array | None:
    """The column added to the log of the mean, or the log of the one that it is proportional to; None without either.

    here (n,)    the rows that count: others are 0 where they hold nothing that can be one
    """
    if offset is not None and exposure is not None:
        raise InputError(f"--offset {offset} and --exposure {exposure} say the same thing twice; give one of them")
    if exposure is None:
        return None if offset is None else np.nan_to_num(table.numbers(offset, here), nan=0.0)
    values = table.numbers(exposure, here)
    values = values if here is None else np.where(here, values, 1.0)
    if values.min() <= 0:
        row = int(np.argmin(values))
        raise InputError(f"column {exposure!r} holds the exposure {values[row]:g} in row {row + 1}; exposures must be above 0")
    return np.log(values)
