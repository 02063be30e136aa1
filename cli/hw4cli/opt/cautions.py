"""Warnings about a fit that is what was asked for, and perhaps not what was meant."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from hw4opt import Huber, Poisson, Result, Status
from hw4opt.between import breaks
from hw4opt.inference import ERRORS, OVERDISPERSION

NEARLY = 0.95  # of the residuals: as many beyond delta are nearly all


def cautions(result: Result, searched: Collection[str]) -> list[str]:
    """Sentences on shapes that fail between the data rows, and on a delta that no or nearly every residual lies beyond.

    searched    parameters that the data chose: they need no word
    """
    if result.status is not Status.CERTIFIED:
        return []
    names = result.context.get("x") or ()
    found = [one.sentence(*names) for one in breaks(result)]
    return found if "huber.delta" in searched else [*found, *_on_delta(result)]


def on_dispersion(result: Result, errors: str) -> list[str]:
    """A sentence on counts of a linear design that are spread wider than the law, unless the standard errors asked for allow for it."""
    inference, quasi = result.inference, result.infer("dispersion")
    if not isinstance(result.problem.loss, Poisson) or result.problem.kernel is not None or inference is None or quasi is None:
        return []
    if errors != ERRORS[0] or inference.dispersion is None or inference.dispersion <= OVERDISPERSION:
        return []
    said = f"counts are spread wider than Poisson counts: the dispersion is {inference.dispersion:.3g}"
    if inference.standard_errors is None or quasi.standard_errors is None:
        return [said]
    place = int(np.isfinite(inference.standard_errors).nonzero()[0][-1])
    name = np.roll(result.column_names, int(result.problem.intercept))[place]
    change = f"{inference.standard_errors[place]:.3g} becomes {quasi.standard_errors[place]:.3g}"
    return [f"{said}, and standard errors are too small by its root (of {name}, {change}); --errors dispersion, or sandwich, allows for it"]


def _on_delta(result: Result) -> list[str]:
    problem = result.problem
    if not isinstance(problem.loss, Huber):
        return []
    residuals = np.abs(result.fitted - problem.y)[slice(None) if problem.active is None else problem.active]
    count, delta = int((residuals > problem.loss.threshold).sum()), f"delta = {problem.loss.threshold:.4g}"
    if 0 < count < NEARLY * len(residuals):
        return []
    most = f"{count} of {len(residuals)} residuals lie" if count else "no residual lies"
    makes = "nearly least absolute deviations" if count else "least squares"
    return [f"{most} beyond huber's {delta}, which makes this {makes}; --loss huber:delta=auto takes delta from the noise in y"]
