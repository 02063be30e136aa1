"""Fits whose shapes hold at every x, and are proven to."""

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

HANDOVER = 1e-4  # of the mean size of f, f' or f'': a violation below which the next fit is the solver's own

S = TypeVar("S", bound=Any)  # a `Solution`, which knows of proofs itself


@dataclass(frozen=True, eq=False)
class _Point:
    """A fit of the interior point, not certified."""

    problem: Problem
    w: Array
    duals: Mapping[str, Array]


def _interior_rounds() -> Callable[[Sequence[Problem]], list[_Point]]:
    """Fits of the interior point for round after round of one batch, whose data and weights stay what they are."""
    solver, known = Interior(), dict[str, object]()

    def solve(problems: Sequence[Problem]) -> list[_Point]:
        form, options = canonicalize(problems).knowing(**known), Options(solver.tolerance)
        answer = solver.solve(form, options) if solver.scale_free(form) else solve_scaled(solver.solve, form, options)
        known.update({name: vars(form)[name] for name in ("reference", "scales") if name in vars(form)})
        duals = form.duals_by_name(answer.u)
        return [
            _Point(problem, w, {name: u[i] for name, u in duals.items()})
            for i, (problem, w) in enumerate(zip(problems, answer.w, strict=True))
        ]

    return solve


def with_points(problems: Sequence[Problem], deadline: float = math.inf, allowed: float = 0.0) -> list[Problem]:
    """The problems of a batch with rows at the points where their shapes would fail (by more than `allowed`, as in
    `exchange`); as they are where no shape is to hold at every x."""
    if not shapes_of(problems[0]):
        return list(problems)
    with one_blas_thread():
        return find_points(problems, _interior_rounds(), deadline, allowed)[0]


def with_proofs(
    problems: Sequence[Problem], solve: Callable[[Sequence[Problem]], list[S]], time_limit: float | None
) -> list[S]:
    """The results of `solve`, with a proof of the shapes that are to hold at every x; those without are not certified.

    Points are found by the interior point, the last of them by what `solve` gives.
    """
    if not problems or not shapes_of(problems[0]):
        return solve(problems)
    deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
    with one_blas_thread():
        points, taken = find_points(problems, _interior_rounds(), deadline, enough=HANDOVER, is_thinned=True)
        results, examined = exchange(points, solve, deadline, taken)
    return [_concluded(result, [one.proof for one in found]) for result, found in zip(results, examined, strict=True)]


def _concluded(result: S, proofs: Sequence[ShapeProof]) -> S:
    missing = [one.sentence(*(result.names.x or ())) for one in proofs if not one.proven]
    if not missing or result.status is not Status.CERTIFIED:
        return replace(result, shapes=tuple(proofs))
    return replace(result, shapes=tuple(proofs), status=Status.UNCERTIFIED, note="; ".join(missing))
