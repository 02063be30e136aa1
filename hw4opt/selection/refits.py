"""Folds that could not be solved from the full fit: fitted from the start, until each is certified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from hw4opt.fit import better_proof, prove, solve_with, unattained
from hw4opt.form import Form
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.problem import Problem
from hw4opt.proof.certificate import Proof, certify
from hw4opt.proof.feasibility import strictly_feasible
from hw4opt.running.processes import Executor
from hw4opt.selection.fold_fits import PROVEN_GAP
from hw4opt.selection.fold_results import FoldResults
from hw4opt.terms import Term
from hw4opt.terms.base import Array

REFIT_TOL = 1e-13  # tolerance of a fold's fit: the error of a prediction is the root of its gap
FIRST_BATCH_ENTRIES = 3_000_000  # rows × folds that are first solved together: more would not fit into the cache
SMALL_BATCH_FOLDS = 32  # folds without proof that are solved together again, with steps on the rows themselves
BATCHED_REFIT_LIMIT, SINGLE_REFIT_LIMIT = 1_000, 16  # folds of one basis that are refitted in small batches, and alone


Solve = Callable[[Sequence[Problem], Form], Proof]


def refit(problems: Sequence[Problem], result: FoldResults) -> None:
    """Solve the folds that are not proven by the interior point; those still without proof again in small batches, then
    singly by any solver that proves them.

    If no point lies strictly inside the constraints of all rows, the folds are solved only once.
    """

    @cache
    def inside(constraints: tuple[Term, ...]) -> Array | None:
        """A point strictly inside the constraints of all rows, and so of every fold's, which are a part or merged."""
        return strictly_feasible(
            canonicalize(next(problem for problem in problems if problem.constraints == constraints))
        )

    rows = sum(max(len(problems[0].design.base_x), 1) for _ in problems[0].terms)
    together = partial(_by_interior, inside)
    _refit_in_batches(problems, result, _unproven(result), max(1, FIRST_BATCH_ENTRIES // rows), together)
    for size, most, solve in ((SMALL_BATCH_FOLDS, BATCHED_REFIT_LIMIT, together), (1, SINGLE_REFIT_LIMIT, _alone)):
        left = _unproven(result)
        possible = [
            not problems[setting].constraints or inside(problems[setting].constraints) is not None
            for setting, _ in left
        ]
        _refit_in_batches(problems, result, left[possible][:most], size, solve)


class FoldFit(NamedTuple):
    """The fit without a fold: w (r,); its relative gap, infinite if nothing is proven; no_maximum: the likelihood has
    no finite maximum."""

    w: Array
    gap: float
    no_maximum: bool


def refit_one_by_one(
    problem: Problem,
    result: FoldResults,
    fit_fold: Callable[[int], FoldFit],
    executor: Executor,
    fitted: Callable[[], None],
) -> None:
    """Refit the folds of one problem separately, for so many rows that memory holds the dual variables of one fold.

    fit_fold    `fit_to_rest` of a fold, by its number;  executor  runs it
    fitted      called after every fit
    """
    left = [int(fold) for _, fold in _unproven(result)]
    with closing(executor.spread(fit_fold, left)) as fits:
        for fold, fit in zip(left, fits, strict=True):
            fitted()
            _keep(problem, result, 0, fold, fit)


def fit_to_rest(problem: Problem, held: np.ndarray) -> FoldFit:
    """The fit to the rows of a problem without those held out, as `fit` would solve it."""
    form = canonicalize([problem], [held])
    return _fold_fit(form, _as_a_fit(form), 0)


def _unproven(result: FoldResults) -> np.ndarray:
    """(m, 2) setting and fold of those without proof that may have a finite maximum."""
    return np.argwhere(~(result.gaps <= PROVEN_GAP) & ~result.no_maximum & ~result.dropped[:, None])


def _by_interior(inside: Callable[[tuple[Term, ...]], Array | None], problems: Sequence[Problem], form: Form) -> Proof:
    """Solve all by the interior point; a fit that violates a constraint by rounding is moved towards `inside`."""
    answer = solve_with("interior", form, Options(tol=REFIT_TOL, max_iterations=60))
    proof = certify(form, answer.w, answer.u, answer.interior)
    for i in [i for i, certificate in enumerate(proof.certificates) if certificate.gap is None]:
        if (point := inside(problems[i].constraints)) is not None:
            one = slice(i, i + 1)
            proof = better_proof(proof, i, form.cut(np.array([i])), answer.w[one], answer.u[one], point[None])
    return proof


def _alone(problems: Sequence[Problem], form: Form) -> Proof:
    """Solve one fold as `fit` would, and if that does not prove it, by ADMM."""
    proof = _as_a_fit(form)
    if proof.certificates[0].holds(PROVEN_GAP):
        return proof
    other, _ = prove(form, solve_with("admm", form, Options(tol=PROVEN_GAP)), PROVEN_GAP)
    return other if other.certificates[0].holds(PROVEN_GAP) else proof


def _as_a_fit(form: Form) -> Proof:
    answer = solve_with("interior", form, Options(tol=PROVEN_GAP))
    return prove(form, answer, PROVEN_GAP, partial(solve_with, "interior"))[0]


def _refit_in_batches(
    problems: Sequence[Problem], result: FoldResults, left: np.ndarray, size: int, solve: Solve
) -> None:
    """Fit the folds `left`, (m, 2) of setting and fold, `size` at a time; the fit of smaller gap is kept."""
    folds = result.folds
    for low in range(0, len(left), size):
        part = left[low : low + size]
        mine = [problems[setting] for setting, _ in part]
        form = canonicalize(mine, [folds[fold] for _, fold in part])
        proof = solve(mine, form)
        for place, (setting, fold) in enumerate(part):
            _keep(problems[setting], result, setting, fold, _fold_fit(form, proof, place))


def _fold_fit(form: Form, proof: Proof, place: int) -> FoldFit:
    gap = proof.certificates[place].relative_gap
    return FoldFit(proof.w[place], np.inf if gap is None else gap, unattained(form, proof, place))


def _keep(problem: Problem, result: FoldResults, setting: int, fold: int, fit: FoldFit) -> None:
    """Store the fit of a fold, unless a fit of smaller gap is stored."""
    if fit.no_maximum:
        result.no_maximum[setting, fold] = True
    elif fit.gap <= result.gaps[setting, fold]:
        result.store_one(problem.design, setting, fold, fit.w, fit.gap)
