"""Held-out predictions of many settings, exact fold by fold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hw4opt.fit import solve_with
from hw4opt.form import Form
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.problem import Problem
from hw4opt.running.threads import one_blas_thread
from hw4opt.selection import smooth
from hw4opt.selection.fold_fits import FoldFits
from hw4opt.selection.fold_results import FoldResults
from hw4opt.selection.folds import Folds, check_folds
from hw4opt.selection.loo import active_set, closed_form
from hw4opt.selection.loo.active_set import FullFits
from hw4opt.selection.loo.layout import Layout
from hw4opt.selection.loo.tableau import TABLEAU_ROWS_LIMIT
from hw4opt.selection.no_finite_maximum import folds_without_maximum_at
from hw4opt.selection.refits import refit
from hw4opt.selection.scores import METRICS, Score, scores_of
from hw4opt.terms import Smooth
from hw4opt.validation.arguments import check_word, checked

LAYOUT_ENTRIES = 1_500_000  # rows × folds whose layouts are in memory together
NEWTON_ENTRIES = 3_000_000  # rows × folds that take their Newton steps together: more would only leave the cache
RESPONSE_ENTRIES = 10_000_000  # entries of the responses of settings that are looked at together
FULL_FIT_TOL, CLOSE_FULL_FIT_TOL = 1e-7, 1e-13  # relative gaps of full fits that the folds start from
LOW_RANK_FOLD_ROWS = 25  # rows a fold may lose for low-rank changes of the full fit to pay


class _Layouts:
    """The folds in runs of a size, each with its rows: kept for the next gamma where there is one run only."""

    def __init__(self, problem: Problem, folds: Folds) -> None:
        rows = sum(max(len(problem.design.base_x), 1) for _ in problem.terms)
        step = max(8, LAYOUT_ENTRIES // rows)
        self.problem, self.folds = problem, folds
        self.spans = [slice(low, min(low + step, len(folds))) for low in range(0, len(folds), step)]
        self.only = Layout.of(problem, folds) if len(self.spans) == 1 else None

    def __iter__(self) -> Iterator[tuple[slice, Layout]]:
        for span in self.spans:
            yield span, self.only or Layout.of(self.problem, self.folds[span])


@checked
def score_settings(
    problems: Sequence[Problem], folds: Folds, metric: str = "loss", units: np.ndarray | None = None
) -> list[Score]:
    """One score a problem; the problems share x, y, weights and kinds of terms, and differ in hyper-parameters.

    units    labels of the rows in use: rows of one label count as one in the standard error

    Those over one basis are solved together. Raises `InputError` for an unknown metric, and for folds that hold
    anything but rows.
    """
    check_word("metric", metric, METRICS)
    if problems:
        check_folds(folds, len(problems[0].active_x))
    kinds: dict[object, dict[object, list[int]]] = {}
    for place, problem in enumerate(problems):
        kinds.setdefault(tuple(term.acts for term in problem.terms), {}).setdefault(problem.kernel, []).append(place)
    scores: dict[int, Score] = {}
    with one_blas_thread():
        for by_kernel in kinds.values():
            together = [[problems[place] for place in places] for places in by_kernel.values()]
            for places, mine, result in zip(by_kernel.values(), together, _solve(together, folds), strict=True):
                scores |= dict(zip(places, scores_of(mine, result, metric, units), strict=True))
    return [scores[place] for place in range(len(problems))]


def _solve(groups: Sequence[Sequence[Problem]], folds: Folds) -> list[FoldResults]:
    """Every fold of every setting, grouped by basis, by the cheapest way that is exact."""
    forms = []
    for problems in groups:
        for problem in problems[1:]:
            problem.share_design(problems[0].design)
        forms.append(canonicalize(problems))
    results = [FoldResults.none(problems, form, folds) for problems, form in zip(groups, forms, strict=True)]
    first, most = groups[0][0], max(len(held) for held in folds)
    if most == 1 and len(folds) == len(forms[0].design.x) and closed_form.takes(forms[0]):
        for form, result in zip(forms, results, strict=True):
            _in_closed_form(form, result)
    elif most == 1 and smooth.takes(forms[0]):
        for problems, form, result in zip(groups, forms, results, strict=True):
            _by_newton(problems, form, result)
    elif not isinstance(first.loss, Smooth) and most <= LOW_RANK_FOLD_ROWS:
        _by_changes(forms, results, _Layouts(first, folds))
    for problems, result in zip(groups, results, strict=True):
        refit(problems, result)
    return results


def _in_closed_form(form: Form, result: FoldResults) -> None:
    order = np.concatenate(result.folds)
    for settings in _runs(form.batch, len(order) * form.design.matrix.shape[1]):
        fits = closed_form.solve(form.cut(settings))
        result.store(form, settings, slice(None), FoldFits(*(array[:, order] for array in fits)))


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


class _StackedFits(NamedTuple):
    """Full fits of some settings of one basis, and where the results of their folds go."""

    result: FoldResults
    settings: np.ndarray
    fits: FullFits


def _by_changes(forms: Sequence[Form], results: Sequence[FoldResults], layouts: _Layouts) -> None:
    """Folds from the full fits: of least squares where that is cheap, then of the interior point to a rough tolerance
    and, for settings with folds that are still missing, to a tight one.

    Bases go together as long as all of it stays small.
    """
    small = sum(term.count for term in forms[0].terms) <= TABLEAU_ROWS_LIMIT
    if small and all(_is_curved(form) for form in forms):
        nothing = Layout.of(layouts.problem, [np.empty(0, dtype=int)])
        fits = active_set.from_least_squares(forms, nothing)
        starts = [
            _StackedFits(result, np.arange(one.form.batch), one) for result, one in zip(results, fits, strict=True)
        ]
        _in_stacks(starts, layouts)
    for tol in (FULL_FIT_TOL, CLOSE_FULL_FIT_TOL):
        left = [np.flatnonzero(np.isinf(result.gaps).any(axis=1)) for result in results]
        _in_stacks(
            (
                _StackedFits(result, settings, _full_fits(form.cut(settings), tol))
                for form, result, settings in zip(forms, results, left, strict=True)
                if len(settings)
            ),
            layouts,
        )


def _full_fits(form: Form, tol: float) -> FullFits:
    answer = solve_with("interior", form, Options(tol=tol))
    return FullFits(form, answer.w, answer.u)


def _in_stacks(starts: Iterable[_StackedFits], layouts: _Layouts) -> None:
    """The folds of full fits, as many together as stay small."""
    stack: list[_StackedFits] = []
    size = 0
    for result, settings, fits in starts:
        rows = fits.u.shape[1]
        each = rows * (fits.w.shape[1] + (2 * rows if rows <= TABLEAU_ROWS_LIMIT else len(result.folds)))
        for part in _runs(len(settings), each):
            if size and size + len(part) * each > RESPONSE_ENTRIES:
                _folds_of(stack, layouts)
                stack, size = [], 0
            stack.append(
                _StackedFits(result, settings[part], FullFits(fits.form.cut(part), fits.w[part], fits.u[part]))
            )
            size += len(part) * each
    if stack:
        _folds_of(stack, layouts)


def _is_curved(form: Form) -> bool:
    """Whether every row of every term has curvature and no weight of 0, and every column a penalty."""
    boxes = [box for term in form.terms for box in term.boxes]
    return all((box.quadratic > 0).all() and box.all_open for box in boxes) and bool((form.penalty > 0).all())


def _folds_of(starts: Sequence[_StackedFits], layouts: _Layouts) -> None:
    """Solve and store the folds; bases whose rows are of the same kinds go together."""
    kinds: dict[object, list[_StackedFits]] = {}
    for start in starts:
        kinds.setdefault(tuple((term.acts, len(term.functions)) for term in start.fits.form.terms), []).append(start)
    for span, layout in layouts:
        for mine in kinds.values():
            solved = active_set.solve_folds([start.fits for start in mine], layout)
            for start, fits in zip(mine, solved, strict=True):
                start.result.store(start.fits.form, start.settings, span, fits)


def _runs(settings: int, each: int) -> Iterator[np.ndarray]:
    """The settings in runs, `each` entries a setting."""
    step = max(1, RESPONSE_ENTRIES // each)
    return (np.arange(low, min(low + step, settings)) for low in range(0, settings, step))
