"""Warnings about a fit that is what was asked for, and perhaps not what was meant."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from hw4opt import Huber, Result, Status
from hw4opt.between import breaks

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
