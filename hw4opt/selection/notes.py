"""The notes of a search."""

from __future__ import annotations

from collections.abc import Sequence

from hw4opt.problem import Problem
from hw4opt.problem.hyperparameters import RIDGE
from hw4opt.selection.axes import Axis, Setting, Tried, lowest
from hw4opt.selection.fold_fits import PROVEN_GAP
from hw4opt.selection.folds import labels_of, shared
from hw4opt.selection.refine import EDGE_FACTOR
from hw4opt.selection.scores import Score
from hw4opt.terms.base import Array


def remedy_for(problem: Problem, axes: Sequence[Axis]) -> str:
    """Advice that gives held-out fits a finite maximum."""
    if problem.ridge == 0 and all(axis.key.owner != RIDGE for axis in axes):
        return "give the ridge a weight above 0, or search it"
    return "leave out what has no penalty (an intercept, say)"


def no_finite_maximum(score: Score, folds: int, remedy: str) -> list[str]:
    """A sentence on the chosen setting's held-out fits without a finite maximum."""
    if not (count := score.work["endless"]):
        return []
    said = f"{count} of {folds} held-out fits of the chosen setting {'has' if count == 1 else 'have'} no finite maximum"
    return [f"{said}: its held-out loss is infinite; {remedy}"]


def unproven(chosen: float, tried: Sequence[float]) -> list[str]:
    """Notes on held-out fits without proof, by the largest gaps of the chosen setting, and of all."""
    notes = []
    if not chosen <= PROVEN_GAP:
        notes.append(
            f"not every held-out fit is proven: the largest relative gap of the chosen setting is {chosen:.1e}"
        )
    count = sum(not one <= PROVEN_GAP for one in tried)
    if count and len(tried) > 1:
        have, scores, were = ("has", "its score", "it was") if count == 1 else ("have", "their scores", "they were")
        so = f"{were} not chosen" if chosen <= PROVEN_GAP else f"{scores} may have misled the choice"
        notes.append(f"{count} of {len(tried)} settings tried {have} a held-out fit without proof; {so}")
    return notes


def beyond(axis: Axis, tried: Sequence[Tried]) -> str | None:
    """A sentence on a search that left the axis's default range and ended within its reach."""
    values = [one.setting[axis.name] for one in tried]
    ends = [("down", min(values))] if min(values) < axis.low / EDGE_FACTOR else []
    ends += [("up", max(values))] if max(values) > axis.high * EDGE_FACTOR else []
    if not ends or edge(axis, lowest(tried).setting) is not None:
        return None
    where = " and ".join(f"{way} to {value:.4g}" for way, value in ends)
    return f"{axis.name} was searched beyond its default range {axis.low:.4g} to {axis.high:.4g}, {where}"


def edge(axis: Axis, setting: Setting) -> str | None:
    """A sentence on a value at the end of the range that the search may try, and the direction to widen it."""
    value = setting[axis.name]
    low, high = axis.limits
    if low == high or low * EDGE_FACTOR < value < high / EDGE_FACTOR:
        return None
    side, way = ("lower", "downwards") if value <= low * EDGE_FACTOR else ("upper", "upwards")
    where = f"the best {axis.name} = {value:.4g} lies on the {side} edge of its range {low:.4g} to {high:.4g}"
    return f"{where}; widen it {way} with `grid={{{axis.name!r}: (low, high, count)}}`"


def on_twins(x: Array, rows: str, advice: str) -> list[str]:
    """The note on folds of single rows, whose x are these (or of some of them, as `rows` says), where some are
    equal."""
    if not (count := shared(labels_of(x))):
        return []
    stays = "when one is left out, another row at the same x may stay in the fit"
    return [f"{count} of {len(x)} {rows} share their x with another row: {stays}; {advice}"]
