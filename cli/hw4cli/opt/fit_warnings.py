"""Warnings about a certified fit that may not be what the user intended."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from hw4opt import Huber, Poisson, Result, Status
from hw4opt.between import breaks
from hw4opt.inference import ERRORS, OVERDISPERSION

MOST_RESIDUALS = 0.95  # share of residuals beyond delta above which a warning is given


def fit_warnings(result: Result, not_given: Collection[str]) -> list[str]:
    """Warnings on constraints violated between the data rows, and on a delta that no or nearly every residual exceeds.

    not_given    parameters that the data determined, for which there is no warning
    """
    if result.status is not Status.CERTIFIED:
        return []
    names = result.context.get("x") or ()
    found = [one.sentence(*names) for one in breaks(result)]
    return found if "huber.delta" in not_given else [*found, *_delta_warnings(result)]


def dispersion_warnings(result: Result, errors: str) -> list[str]:
    """A warning on overdispersed counts of a linear design, unless the requested standard errors account for it."""
    inference, quasi = result.inference, result.infer("dispersion")
    if (
        not isinstance(result.problem.loss, Poisson)
        or result.problem.kernel is not None
        or inference is None
        or quasi is None
    ):
        return []
    if errors != ERRORS[0] or inference.dispersion is None or inference.dispersion <= OVERDISPERSION:
        return []
    overdispersed = f"counts vary more than Poisson counts: the dispersion is {inference.dispersion:.3g}"
    if inference.standard_errors is None or quasi.standard_errors is None:
        return [overdispersed]
    place = int(np.isfinite(inference.standard_errors).nonzero()[0][-1])
    name = np.roll(result.column_names, int(result.problem.intercept))[place]
    change = f"{inference.standard_errors[place]:.3g} becomes {quasi.standard_errors[place]:.3g}"
    return [
        f"{overdispersed}, and standard errors are too small by its square root (of {name}, {change}); "
        "--errors dispersion, or sandwich, allows for it"
    ]


def _delta_warnings(result: Result) -> list[str]:
    problem = result.problem
    if not isinstance(problem.loss, Huber):
        return []
    residuals = np.abs(result.fitted - problem.y)[slice(None) if problem.active is None else problem.active]
    count, delta = int((residuals > problem.loss.threshold).sum()), f"delta = {problem.loss.threshold:.4g}"
    if 0 < count < MOST_RESIDUALS * len(residuals):
        return []
    subject = f"{count} of {len(residuals)} residuals lie" if count else "no residual lies"
    equivalent = "nearly least absolute deviations" if count else "least squares"
    return [
        f"{subject} beyond huber's {delta}, which makes this {equivalent}; "
        "--loss huber:delta=auto takes delta from the noise in y"
    ]
