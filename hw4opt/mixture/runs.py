"""Runs of a search: batches of short ones, and a single one to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hw4opt.mixture.ascent import NO_DEADLINE, Ascent, TimeCheck, ascend
from hw4opt.mixture.em import EMPTY_WEIGHT, cycle, m_step
from hw4opt.mixture.likelihood import Expectation, MixtureParameters, expect
from hw4opt.mixture.sample import Sample
from hw4opt.mixture.starts import assigned_to, worst_fitted
from hw4opt.terms.base import Array

SHORT_RUN_CYCLES = (1, 2, 3)  # after each of these numbers of cycles the worse half of the short runs is dropped
SHORT_RUN_NEWTON_STEPS = 2  # of an M-step
BATCH_ENTRIES = 100_000  # (starts, components, rows) in a batch of first M-steps; the time is checked in between
MIN_SHORT_RUNS = 4  # runs that are kept when the worse half is dropped


class ShortRuns(NamedTuple):
    """The better short runs, best first, with ℓ after each M-step, (s, cycles); the numbers tried and failed."""

    points: MixtureParameters
    history: Array
    tried: int
    failed: int


def short_runs(sample: Sample, shares: Array, time_is_over: TimeCheck = NO_DEADLINE) -> ShortRuns:
    """A few cycles of EM with inexact M-steps from all starts, as a batch; fewer if time runs out."""
    point, failed = _first_m_steps(sample, shares, time_is_over), 0
    tried = len(point)
    here = expect(sample, point)
    history = here.log_likelihood[:, None]
    for number, cycles in enumerate(SHORT_RUN_CYCLES, 1):
        for _ in range(cycles):
            if time_is_over():
                break
            point = cycle(sample, here, point, SHORT_RUN_NEWTON_STEPS)
            here = expect(sample, point)
            history = np.column_stack([history, here.log_likelihood])
        usable = np.isfinite(here.log_likelihood)
        failed += int((~usable).sum())
        order = np.argsort(-np.where(usable, here.log_likelihood, -np.inf), kind="stable")[: int(usable.sum())]
        if number < len(SHORT_RUN_CYCLES):
            order = order[: max(MIN_SHORT_RUNS, -(-len(order) // 2))]
        point, history = point.pick(order), history[order]
        here = Expectation(here.log_likelihood[order], here.responsibilities[order], here.densities[order])
    return ShortRuns(point, history, tried, failed)


def _first_m_steps(sample: Sample, shares: Array, time_is_over: TimeCheck) -> MixtureParameters:
    """The first M-step of every start, or of some if time runs out."""
    size = max(1, BATCH_ENTRIES // (shares.shape[1] * len(sample.counts)))
    points: list[MixtureParameters] = []
    for low in range(0, len(shares), size):
        if points and time_is_over():
            break
        points.append(m_step(sample, shares[low : low + size], limit=2 * SHORT_RUN_NEWTON_STEPS))
    return MixtureParameters.stack(points)


def finish_run(
    sample: Sample, point: MixtureParameters, before: Sequence[float] = (), time_is_over: TimeCheck = NO_DEADLINE
) -> Ascent:
    """An ascent from a mixture to its end.

    A component that becomes empty is moved to the worst-fitted units once, and dropped if it becomes empty again or
    time runs out.

    before    ℓ after earlier cycles of the same run, which its trace begins with
    """
    end = ascend(sample, point, time_is_over=time_is_over)
    empty = _empty_components(sample, end)
    if len(empty) and not time_is_over():
        again = ascend(sample, _reseeded(sample, end.point, empty), time_is_over=time_is_over)
        end, before = (end, before) if again.timed_out else (again, ())
        empty = _empty_components(sample, end)
    if len(empty):
        kept = np.setdiff1d(np.arange(end.point.k), empty)
        remaining = MixtureParameters(end.point.coef[:, kept], end.point.log_proportions[:, kept])
        end = ascend(sample, remaining, time_is_over=time_is_over)
    return replace(end, trace=[*before, *end.trace] or [end.log_likelihood])


def _empty_components(sample: Sample, end: Ascent) -> np.ndarray:
    shares = np.exp(end.point.log_proportions[0])
    return np.flatnonzero((shares * len(sample) <= EMPTY_WEIGHT) & (not end.failed))


def _reseeded(sample: Sample, point: MixtureParameters, empty: np.ndarray) -> MixtureParameters:
    """An M-step with each empty component moved to some of the worst-fitted units."""
    here = expect(sample, point)
    shares, misfit = here.responsibilities[0].copy(), sample.saturated - here.densities[0]
    size = max(sample.matrix.shape[1] + 1, len(sample) // (10 * point.k))
    for number, component in enumerate(empty, 1):
        shares = assigned_to(shares, int(component), worst_fitted(misfit, size * number)[size * (number - 1) :])
    return m_step(sample, shares[None])
