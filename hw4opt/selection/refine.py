"""The stages after a first grid: extension beyond a default range, zoom around the best setting, and its polish."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

import numpy as np

from hw4opt.selection.axes import Axis, Setting, Tried, lowest, product
from hw4opt.terms.base import Array

ZOOM_GAIN = 0.02  # of the standard error: a refinement with a smaller gain is the last
ZOOM_FACTOR_LIMIT = 1.02  # factor between neighbours at which a zoom ends
WALK_GAIN = 1e-3  # of the standard error: a step beyond a range with a smaller gain is the last
EDGE_FACTOR = 1.001  # factor from a range's end within which a value counts as on it
REFINED_MINIMA = 3  # lowest local minima of a dense grid that are refined
POLISH_SETTINGS, POLISH_MISSES = 12, 2  # settings that a polish tries at most, and in a row without a gain
CHEAP_FIT_PATIENCE = 4  # times as many of both if the cost of fits is negligible
JOINT_PATIENCE = 3  # and if many axes were zoomed one after the other
MODEL_SETTINGS_PER_AXIS = 4  # settings that the quadratic of many axes is fitted to, at any distance
COMPLETE_MODEL_AXES = 3  # axes up to which a grid determines all of its coefficients
POLISH_GAIN = 1e-7  # gain, relative to the score, below which a polish ends
SAME_SETTING_DISTANCE = 1e-9  # relative distance within which two settings count as the same
MODEL_DISTANCE = 2.5  # in steps of the last zoom: settings that a quadratic model is fitted to
STEP_LENGTH_LIMIT = 1.5  # in steps: a polish's longest, and the largest distance of a neighbour

History = Callable[[], Sequence[Tried]]


class Near(list[Setting]):
    """Settings near the best, which are not dropped, since a polish may need every score."""


class Again(Near):
    """Dropped settings that are to be scored in full."""


def beyond(axes: Sequence[Axis], steps: Mapping[str, float], tried: History, near: bool) -> Iterator[list[Setting]]:
    """Extend default ranges on whose edge the best lies, one factor at a time within reach, as long as that gains.

    near    also try the neighbouring values of one axis that is not extended

    An edge is the lowest or highest value tried, less than a step from the end of its range; random settings are not
    on an edge.
    """
    while math.isfinite((best := lowest(tried())).score):
        moves = {axis.name: _outer(axis, steps[axis.name], best, tried()) for axis in axes}
        outer = {name: value for name, value in moves.items() if value is not None}
        if not outer:
            return
        out = product({name: [best.setting[name], value] for name, value in outer.items()})[1:]
        beside = [axis for axis in axes if near and axis.name not in outer]
        around = {axis.name: _around(axis, best.setting[axis.name], steps[axis.name]) for axis in beside}
        aside = [{name: value} for name, values in around.items() for value in values if value != best.setting[name]]
        yield [best.setting | one | other for one in out for other in ({}, *aside)]
        if not _gained(best, lowest(tried())):
            return


def _outer(axis: Axis, step: float, best: Tried, tried: Sequence[Tried]) -> float | None:
    """The next value beyond the edge that the best lies on, None if it lies on none or at the end of its reach."""
    if axis.reach is None:
        return None
    value, values = best.setting[axis.name], [one.setting[axis.name] for one in tried]
    least, most = axis.reach
    if value <= min(values) * EDGE_FACTOR and value < axis.low * step and value > least * EDGE_FACTOR:
        return max(value / step, least)
    if value >= max(values) / EDGE_FACTOR and value > axis.high / step and value < most / EDGE_FACTOR:
        return min(value * step, most)
    return None


def _gained(last: Tried, now: Tried) -> bool:
    return now.rank[:2] < last.rank[:2] or last.score - now.score > WALK_GAIN * now.standard_error


def _around(axis: Axis, value: float, step: float) -> list[float]:
    low, high = axis.limits
    return sorted({min(max(value * step**k, low), high) for k in (-1, 0, 1)})


def zoom(
    axes: Sequence[Axis], steps: Mapping[str, float], start: Tried, settings: int, tried: History
) -> Generator[list[Setting], None, Mapping[str, float]]:
    """Try neighbours of the best around `start`, halving the (logarithmic) step each time, at most `settings` of them.

    Returns the final steps.
    """
    last = start
    while settings >= 3 ** len(axes) and math.sqrt(max(steps.values())) >= ZOOM_FACTOR_LIMIT:
        steps = {name: math.sqrt(step) for name, step in steps.items()}
        around = {axis.name: _around(axis, last.setting[axis.name], steps[axis.name]) for axis in axes}
        some = [setting for setting in product(around) if setting != last.setting]
        if not some:
            break
        yield Near(some)
        settings -= len(some)
        now = lowest([one for one in tried() if _apart(one, last, steps) <= STEP_LENGTH_LIMIT])
        if last.score - now.score < ZOOM_GAIN * now.standard_error and max(steps.values()) < 1.5:
            break
        last = now
    return steps


def coordinate_zoom(
    axes: Sequence[Axis], steps: Mapping[str, float], tried: History, settings: int
) -> Generator[list[Setting], None, Mapping[str, float]]:
    """Pattern search: try neighbours of the best along one axis after the other, then continue in the direction of the
    whole round; halve the (logarithmic) step when a round gains little.   (Hooke and Jeeves 1961.)

    A round that would exceed `settings` is not begun. Returns the final steps.
    """
    limits, most = {axis.name: axis.limits for axis in axes}, settings - 2 * len(axes) - 1
    while math.sqrt(max(steps.values())) >= ZOOM_FACTOR_LIMIT and len(tried()) <= most:
        last = lowest(tried())
        for axis in axes:
            best = lowest(tried()).setting
            some = [value for value in _around(axis, best[axis.name], steps[axis.name]) if value != best[axis.name]]
            yield [best | {axis.name: value} for value in some]
        if (now := lowest(tried())) is not last:
            onward = {name: now.setting[name] ** 2 / last.setting[name] for name in limits}
            yield [{name: min(max(value, limits[name][0]), limits[name][1]) for name, value in onward.items()}]
        now = lowest(tried())
        if not last.score - now.score >= ZOOM_GAIN * now.standard_error:
            if max(steps.values()) < 1.5:
                break
            steps = {name: math.sqrt(step) for name, step in steps.items()}
    return steps


def _apart(one: Tried, other: Tried, steps: Mapping[str, float]) -> float:
    """The largest distance of two settings along an axis, in steps."""
    logs = {name: math.log(step) for name, step in steps.items() if step > 1}
    return max(abs(math.log(one.setting[name] / other.setting[name])) / log for name, log in logs.items())


def local_minima(axes: Sequence[Axis], tried: Sequence[Tried], steps: Mapping[str, float]) -> list[Tried]:
    """The lowest setting, and the lowest local minima inside the ranges; neighbours include diagonal ones."""
    best = lowest(tried)
    ranks = np.array([one.score if one.rank[:2] == best.rank[:2] else np.inf for one in tried])
    unit = np.log([step for step in steps.values() if step > 1])
    logs = np.log([[one.setting[name] for name, step in steps.items() if step > 1] for one in tried]) / unit
    near = np.abs(logs[:, None] - logs[None]).max(axis=2) <= STEP_LENGTH_LIMIT
    found = np.flatnonzero(np.isfinite(ranks) & (ranks <= np.where(near, ranks, np.inf).min(axis=1)))
    minima = [tried[place] for place in found[np.argsort(ranks[found], kind="stable")]]
    ends = {axis.name: (axis.low * EDGE_FACTOR, axis.high / EDGE_FACTOR) for axis in axes}
    inside = [one for one in minima if all(low < one.setting[name] < high for name, (low, high) in ends.items())]
    return [best, *(one for one in inside if one is not best)][:REFINED_MINIMA]


def polish(axes: Sequence[Axis], steps: Mapping[str, float], tried: History, patience: int) -> Iterator[list[Setting]]:
    """Try the minimum of a quadratic in the logarithms, fitted around the best, until it predicts no gain.

    A step without gain halves the length of the next one, and one with a gain doubles it. `patience` multiplies the
    number of settings. A dropped setting that the quadratic would be fitted to is scored in full before. With many
    axes there are fewer settings near than coefficients: the quadratic of least norm is taken.   (Powell 2004.)
    """
    axes = [axis for axis in axes if steps[axis.name] > 1]
    unit = np.array([math.log(steps[axis.name]) for axis in axes])
    length, misses = STEP_LENGTH_LIMIT, 0
    for _ in range(POLISH_SETTINGS * patience):
        best, count = lowest(tried()), len(tried())
        if not math.isfinite(best.score):
            return
        center = np.log([best.setting[axis.name] for axis in axes])
        while bounds := [one for one in _nearby(best, axes, center, unit, tried())[1] if one.dropped]:
            yield Again(one.setting for one in bounds)
        places, near = _nearby(best, axes, center, unit, tried())
        step = _model_step(places, np.array([one.score for one in near]) - best.score, length, abs(best.score))
        if step is None:
            return
        limits = np.log([axis.limits for axis in axes])
        place = np.clip(center + step * unit, *limits.T)
        if np.all(np.abs(place - center) < SAME_SETTING_DISTANCE):
            return
        values = np.exp(place).tolist()
        yield Near([best.setting | {axis.name: value for axis, value in zip(axes, values, strict=True)}])
        if len(tried()) == count:  # a whole number that was tried
            return
        missed = lowest(tried()) is best
        length, misses = (length / 2, misses + 1) if missed else (min(2 * length, STEP_LENGTH_LIMIT), 0)
        if misses == POLISH_MISSES * patience:
            return


def _nearby(
    best: Tried, axes: Sequence[Axis], center: Array, unit: Array, tried: Sequence[Tried]
) -> tuple[Array, list[Tried]]:
    """Positions (in steps from the best) of the nearest settings, at most 3^d of them, and the settings; with many axes
    a minimum number."""
    finite = [one for one in tried if one.rank[:2] == best.rank[:2]]
    logs = np.log([[one.setting[axis.name] for axis in axes] for one in finite])
    places = (logs.reshape(len(finite), -1) - center) / unit
    far = np.abs(places).max(axis=1, initial=0.0)
    order = np.argsort(far, kind="stable")[: 3 ** len(axes)]
    least = MODEL_SETTINGS_PER_AXIS * len(axes) if len(axes) > COMPLETE_MODEL_AXES else 0
    order = order[: max(np.count_nonzero(far[order] <= MODEL_DISTANCE), least)]
    return places[order], [finite[place] for place in order]


def _model_step(places: Array, rises: Array, length: float, size: float) -> Array | None:
    """The step to the minimum of the quadratic, None if it has none, or if its gain is negligible."""
    d = places.shape[1]
    upper = np.triu_indices(d)
    columns = np.column_stack([places, places[:, upper[0]] * places[:, upper[1]]])
    if d == 0 or len(places) <= 2 * d:
        return None
    far = np.abs(places).max(axis=1)
    # the size of the quadratic's error
    trust = 1 / np.maximum(far, far[far > 0].min(initial=MODEL_DISTANCE)) ** 3
    coef, *_ = np.linalg.lstsq(trust[:, None] * columns, trust * rises, rcond=1e-10)
    hessian = np.zeros((d, d))
    hessian[upper] = coef[d:]
    hessian += hessian.T
    sizes, axes = np.linalg.eigh(hessian)
    if not sizes[-1] > 0:
        return None
    shift, pull, step = max(0.0, 1e-6 * sizes[-1] - sizes[0]), axes.T @ coef[:d], np.full(d, np.inf)
    while np.abs(step).max() > length:
        step = -axes @ (pull / (sizes + shift))
        shift = 1.5 * shift + 1e-3 * sizes[-1]
    gain = -(coef[:d] @ step + 0.5 * step @ hessian @ step)
    return step if gain > POLISH_GAIN * size else None
