"""Held-out predictions of many settings, exact for every fold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hw4opt.fit import solve_with
from hw4opt.form import Form
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.problem import Problem
from hw4opt.running.threads import one_blas_thread
from hw4opt.selection import smooth
from hw4opt.selection.fold_fits import EXACT_GAP, FoldFits
from hw4opt.selection.fold_results import FoldResults
from hw4opt.selection.folds import Folds, check_folds
from hw4opt.selection.loo import closed_form, corrections, path
from hw4opt.selection.loo.layout import Layout, Layouts
from hw4opt.selection.loo.path import FullFits
from hw4opt.selection.no_finite_maximum import folds_without_maximum_at
from hw4opt.selection.refits import refit
from hw4opt.selection.scores import METRICS, Score, scores_of, weights_in_use
from hw4opt.shapes.fits import with_points
from hw4opt.shapes.function import shapes_of
from hw4opt.validation.arguments import check_word, checked

NEWTON_ENTRIES = 3_000_000  # rows × folds that take their Newton steps together: more would not fit into the cache
RESPONSE_ENTRIES = 10_000_000  # entries of the fits of settings that are processed together
FOLD_ENTRIES = 3_000_000  # rows × folds that are refitted together
# relative gaps of the full fits that folds start from; for smooth losses, whose folds are corrected anyway
FULL_FIT_TOL, CLOSE_FULL_FIT_TOL, SMOOTH_FULL_FIT_TOL = 1e-9, 1e-13, 1e-6
ALLOWED_VIOLATION = 1e-3  # of the mean size of f, f' or f'': violation of shapes at every x that is allowed in scores
PATH_FOLD_ROWS = 25  # rows of a fold up to which a path from the full fit is faster


@checked
def score_settings(
    problems: Sequence[Problem],
    folds: Folds,
    metric: str = "loss",
    units: np.ndarray | None = None,
    limit: float = math.inf,
    layouts: Layouts | None = None,
    keep_folds: bool = False,
) -> list[Score]:
    """One score per problem; the problems share x, y, weights and kinds of terms, and differ in hyper-parameters.

    units      labels of the rows in use: rows of one label count as one in the standard error
    limit      a setting may be dropped, its other folds not solved, once its score must exceed this; for the metric
               `loss`, and folds that hold out every row once
    layouts    of the folds, shared by the calls of a search
    keep_folds a score keeps the fits of its folds if every fold has one: folds × rank numbers per setting

    Problems over one basis are solved together. Raises `InputError` for an unknown metric, and for folds that are not
    arrays of rows.
    """
    check_word("metric", metric, METRICS)
    if problems:
        check_folds(folds, len(problems[0].active_x))
    layouts = Layouts(folds) if layouts is None else layouts
    if problems and math.isfinite(limit):
        limit = limit * weights_in_use(problems[0]).sum() if metric == "loss" else math.inf
    problems, kinds = _with_points(problems), dict[object, dict[object, list[int]]]()
    for place, problem in enumerate(problems):
        kinds.setdefault(tuple(term.acts for term in problem.terms), {}).setdefault(problem.kernel, []).append(place)
    scores: dict[int, Score] = {}
    with one_blas_thread():
        for by_kernel in kinds.values():
            together = [[problems[place] for place in places] for places in by_kernel.values()]
            results = _solve(together, layouts, limit, keep_folds)
            for places, mine, result in zip(by_kernel.values(), together, results, strict=True):
                scores |= dict(zip(places, scores_of(mine, result, metric, units), strict=True))
    return [scores[place] for place in range(len(problems))]


def _with_points(problems: Sequence[Problem]) -> Sequence[Problem]:
    """For shapes at every x, the rows at points of the full fits, which the folds keep; found basis by basis."""
    if not problems or not shapes_of(problems[0]):
        return problems
    found, places = list(problems), dict[object, list[int]]()
    for place, problem in enumerate(problems):
        places.setdefault((problem.kernel, *(term.acts for term in problem.terms)), []).append(place)
    for mine in places.values():
        of_basis = with_points([problems[place] for place in mine], allowed=ALLOWED_VIOLATION)
        for place, problem in zip(mine, of_basis, strict=True):
            found[place] = problem
    return found


def _solve(groups: Sequence[Sequence[Problem]], layouts: Layouts, limit: float, keep: bool) -> list[FoldResults]:
    """Every fold of every setting, basis by basis, by the cheapest exact method; up to a limit of losses."""
    forms, folds = [], layouts.folds
    for problems in groups:
        for problem in problems[1:]:
            problem.share_design(problems[0].design)
        forms.append(canonicalize(problems))
    results = [FoldResults.none(problems, form, folds, keep) for problems, form in zip(groups, forms, strict=True)]
    first, most = groups[0][0], max(len(held) for held in folds)
    if most == 1 and len(folds) == len(forms[0].design.x) and closed_form.takes(forms[0]):
        for form, result in zip(forms, results, strict=True):
            _in_closed_form(form, result)
    elif most == 1 and smooth.takes(forms[0]):
        for problems, form, result in zip(groups, forms, results, strict=True):
            _by_newton(problems, form, result)
    elif most * first.curves <= PATH_FOLD_ROWS:
        _by_paths(first, forms, results, layouts, limit)
        for problems, result in zip(groups, results, strict=True):
            _by_interior_points(problems, result)
    for problems, result in zip(groups, results, strict=True):
        refit(problems, result)
    return results


def _in_closed_form(form: Form, result: FoldResults) -> None:
    order = np.concatenate(result.folds)
    for settings in _runs(form.batch, len(order) * form.design.matrix.shape[1]):
        fits = closed_form.solve(form.cut(settings))
        result.store(form, settings, slice(None), FoldFits(fits.w[:, order], fits.gap[:, order], fits.rounds[:, order]))


def _by_newton(problems: Sequence[Problem], form: Form, result: FoldResults) -> None:
    answer = solve_with("interior", form, Options(tol=CLOSE_FULL_FIT_TOL))
    step = max(1, NEWTON_ENTRIES // len(form.design.x))
    for setting, w in enumerate(answer.w):
        one = np.array([setting])
        own = form.cut(one)
        for low in range(0, len(result.folds), step):
            span = slice(low, min(low + step, len(result.folds)))
            folds = result.folds[span]
            fits = smooth.solve(own, w, np.concatenate(folds))
            unbounded = folds_without_maximum_at(problems[setting], own, folds, fits.w[0], fits.gap[0])
            result.no_maximum[setting, span] |= unbounded
            result.store(form, one, span, fits)


class _Start(NamedTuple):
    """Full fits of some settings of one basis, and the results of their folds."""

    result: FoldResults
    settings: np.ndarray
    fits: FullFits


def _by_paths(
    first: Problem, forms: Sequence[Form], results: Sequence[FoldResults], layouts: Layouts, limit: float
) -> None:
    """Folds solved from the full fits of the interior point; those still missing, from full fits of a tighter
    tolerance.

    A setting whose held-out losses exceed the limit is not continued, if all folds are one run.
    """
    limit = limit if len(layouts.spans(first)) == 1 else math.inf
    for tol in (_first_tol(forms[0]), CLOSE_FULL_FIT_TOL):
        left = [np.flatnonzero(result.unsolved.any(axis=1)) for result in results]
        for starts in _stacks(forms, results, left, tol):
            for span, layout in layouts.of(first):
                solved = _solve_folds([start.fits for start in starts], layout, limit)
                for start, fits in zip(starts, solved, strict=True):
                    start.result.store(start.fits.form, start.settings, span, fits)


def _stacks(
    forms: Sequence[Form], results: Sequence[FoldResults], left: Sequence[np.ndarray], tol: float
) -> Iterator[list[_Start]]:
    """The unfinished settings with their full fits, in batches of limited size."""
    stack: list[_Start] = []
    size = 0
    for form, result, settings in zip(forms, results, left, strict=True):
        each = len(result.folds) * form.penalty.shape[1] + 6 * form.size
        for part in _runs(len(settings), each):
            if size and size + len(part) * each > RESPONSE_ENTRIES:
                yield stack
                stack, size = [], 0
            stack.append(_Start(result, settings[part], _full_fits(form.cut(settings[part]), tol)))
            size += len(part) * each
    if stack:
        yield stack


def _by_interior_points(problems: Sequence[Problem], result: FoldResults) -> None:
    """Folds that no path solved: by the interior point to near each optimum, then by an exact path from there."""
    left = np.argwhere(result.unsolved & ~result.no_maximum)
    rows = sum(max(len(problems[0].design.base_x), 1) for _ in problems[0].terms)
    step = max(1, FOLD_ENTRIES // rows)
    for part in (left[low : low + step] for low in range(0, len(left), step)):
        form = canonicalize([problems[setting] for setting, _ in part], [result.folds[fold] for _, fold in part])
        (found,) = _solve_folds([_full_fits(form, _first_tol(form))], Layout.of_all_rows(form))
        for (setting, fold), w, gap in zip(part, found.w[:, 0], found.gap[:, 0], strict=True):
            if gap <= EXACT_GAP:
                result.store_one(form.design, setting, fold, w, gap)


def _solve_folds(fits: Sequence[FullFits], layout: Layout, limit: float = math.inf) -> list[FoldFits]:
    return (corrections if fits[0].form.smooth_count else path).solve_folds(fits, layout, limit)


def _first_tol(form: Form) -> float:
    return SMOOTH_FULL_FIT_TOL if form.smooth_count else FULL_FIT_TOL


def _full_fits(form: Form, tol: float) -> FullFits:
    answer = solve_with("interior", form, Options(tol=tol))
    return FullFits(form, answer.w, answer.u)


def _runs(settings: int, each: int) -> Iterator[np.ndarray]:
    """The settings in runs of limited size, with `each` entries per setting."""
    step = max(1, RESPONSE_ENTRIES // each)
    return (np.arange(low, min(low + step, settings)) for low in range(0, settings, step))
