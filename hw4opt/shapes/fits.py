"""Fits with shape constraints at every x, and proofs of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from hw4opt.form.answer import Options, Status
from hw4opt.form.canonicalize import canonicalize
from hw4opt.form.equilibrate import solve_scaled
from hw4opt.problem import Problem
from hw4opt.running.threads import one_blas_thread
from hw4opt.shapes.exchange import exchange, find_points
from hw4opt.shapes.function import shapes_of
from hw4opt.shapes.proof import ShapeProof
from hw4opt.solvers.interior import Interior
from hw4opt.terms.base import Array

HANDOVER_VIOLATION = (
    1e-4  # violation, relative to the mean size of f, f' or f'', below which the chosen solver takes over
)

S = TypeVar("S", bound=Any)  # a `Solution`, which cannot be imported here: it imports ShapeProof


@dataclass(frozen=True, eq=False)
class _InteriorFit:
    """An uncertified fit by the interior point method."""

    problem: Problem
    w: Array
    duals: Mapping[str, Array]


def _interior_solver() -> Callable[[Sequence[Problem]], list[_InteriorFit]]:
    """A function that solves one batch by the interior point method, for repeated rounds with the same data and
    weights: gap reference and scales are computed once."""
    solver, known = Interior(), dict[str, object]()

    def solve(problems: Sequence[Problem]) -> list[_InteriorFit]:
        form, options = canonicalize(problems).knowing(**known), Options(solver.tolerance)
        answer = solver.solve(form, options) if solver.scale_free(form) else solve_scaled(solver.solve, form, options)
        known.update({name: vars(form)[name] for name in ("reference", "scales") if name in vars(form)})
        duals = form.duals_by_name(answer.u)
        return [
            _InteriorFit(problem, w, {name: u[i] for name, u in duals.items()})
            for i, (problem, w) in enumerate(zip(problems, answer.w, strict=True))
        ]

    return solve


def with_points(problems: Sequence[Problem], deadline: float = math.inf, allowed: float = 0.0) -> list[Problem]:
    """The problems of a batch with rows at points, so that no violation above `allowed` (as in `find_points`) is found;
    unchanged if they have no shape at every x."""
    if not shapes_of(problems[0]):
        return list(problems)
    with one_blas_thread():
        return find_points(problems, _interior_solver(), deadline, allowed)[0]


def with_proofs(
    problems: Sequence[Problem], solve: Callable[[Sequence[Problem]], list[S]], time_limit: float | None
) -> list[S]:
    """The results of `solve` with proofs of their shapes at every x; a result whose shape is not proven is not
    certified.

    Points are found with fits of the interior point method, the last of them with those of `solve`.
    """
    if not problems or not shapes_of(problems[0]):
        return solve(problems)
    deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
    with one_blas_thread():
        points, rounds_done = find_points(
            problems, _interior_solver(), deadline, enough=HANDOVER_VIOLATION, is_thinned=True
        )
        results, examined = exchange(points, solve, deadline, rounds_done)
    return [_with_status(result, [one.proof for one in found]) for result, found in zip(results, examined, strict=True)]


def _with_status(result: S, proofs: Sequence[ShapeProof]) -> S:
    missing = [one.sentence(*(result.names.x or ())) for one in proofs if not one.proven]
    if not missing or result.status is not Status.CERTIFIED:
        return replace(result, shapes=tuple(proofs))
    return replace(result, shapes=tuple(proofs), status=Status.UNCERTIFIED, note="; ".join(missing))
