"""Held-out predictions of many settings, exact fold by fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np

from hw4opt.fit import better_proof, prove, solve_with, unattained
from hw4opt.form import Form
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.problem import Problem
from hw4opt.proof.certificate import Proof, certify
from hw4opt.proof.feasibility import strictly_feasible
from hw4opt.running.threads import one_blas_thread
from hw4opt.selection import closed, exact, smooth
from hw4opt.selection.endless import endless, endless_at
from hw4opt.selection.exact import FullFits
from hw4opt.selection.folds import Folds, check_folds
from hw4opt.selection.layout import Layout
from hw4opt.selection.lines import EXACT_GAP, ROUND_LIMIT
from hw4opt.selection.tableau import TABLEAU_ROWS_LIMIT
from hw4opt.terms import Likelihood, Smooth, Term
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_word, checked

FOLD_BATCH_ENTRIES = 3_000_000  # rows × problems solved together: more would only leave the cache
RESPONSE_ENTRIES = 10_000_000  # entries of the responses of settings that are looked at together
FULL_FIT_TOL, CLOSE_FULL_FIT_TOL = 1e-7, 1e-13  # relative gaps of full fits that the folds start from
REFIT_TOL = 1e-13  # tolerance of folds solved anew: a prediction is off by the root of its gap
PROVEN_GAP = 1e-9  # relative gap of a held-out fit that counts as proven
BATCHED_REFIT_LIMIT, SINGLE_REFIT_LIMIT = 1_000, 16  # folds of one basis that are refitted in small batches, and alone
REFIT_BATCH = 32  # folds without proof that are solved together once more, their steps on the rows themselves
LOW_RANK_FOLD_ROWS = 25  # rows a fold may lose for low-rank changes of the full fit to pay
CLOSED_FORM_ROUNDS = -1  # rounds of a fold in closed form
METRICS = ("loss", "squared", "absolute")


@dataclass(frozen=True)
class Score:
    """Error over held-out rows: weighted mean and its standard error, predictions (n,) of f + offset, the largest
    relative fold gap.

    Where a fold has no finite maximum, the score is infinite, its predictions are NaN, and its gap does not count.

    work    how many folds took how much: `closed` by formula, `one_round` and `rounds` by low-rank changes of the full
            fit (Newton steps from it for smooth losses), `path` along a path from it, `anew` by the interior point,
            `endless` not: no finite maximum
    """

    score: float
    standard_error: float
    predictions: Array
    largest_gap: float
    work: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Found:
    """Predictions (S, n), relative gaps (S, F) and rounds (S, F) of every fold of S settings over one basis, as they
    are found.

    endless (S, F)    folds without a finite maximum: nothing is predicted where they hold out
    """

    folds: Folds
    predictions: Array
    gaps: Array
    rounds: np.ndarray
    endless: np.ndarray

    @classmethod
    def none(cls, problems: Sequence[Problem], form: Form, folds: Folds) -> Found:
        shape = (form.batch, len(folds))
        predictions, gaps = np.full((form.batch, len(form.design.x)), np.nan), np.full(shape, np.inf)
        return cls(folds, predictions, gaps, np.zeros(shape, dtype=int), endless(problems, form, folds))

    def put(self, form: Form, settings: np.ndarray, span: slice, solved: tuple[Array, Array, np.ndarray | int]) -> None:
        """What is exact among (w (S, F, r), gap, rounds) of some settings and a run of folds."""
        w, gap, rounds = solved
        some = self.folds[span]
        held, fold_of = np.concatenate(some), np.repeat(np.arange(len(some)), [len(one) for one in some])
        b = form.design.matrix[held if form.design.row_of is None else form.design.row_of[held]]
        good = (gap <= EXACT_GAP) & ~self.endless[settings, span]
        predicted = np.vecdot(w[:, fold_of], b)
        _put(self.predictions, (settings[:, None], held), good[:, fold_of], predicted)
        _put(self.gaps, (settings, span), good, gap)
        _put(self.rounds, (settings, span), good, rounds)

    def work(self) -> list[dict[str, int]]:
        rounds = self.rounds
        kinds = {
            "closed": rounds == CLOSED_FORM_ROUNDS,
            "one_round": rounds == 1,
            "rounds": (rounds > 1) & (rounds <= ROUND_LIMIT),
            "path": rounds > ROUND_LIMIT,
            "anew": (rounds == 0) & ~self.endless,
            "endless": self.endless,
        }
        counts = zip(*(mask.sum(axis=1).tolist() for mask in kinds.values()), strict=True)
        return [dict(zip(kinds, row, strict=True)) for row in counts]


def _put(
    target: np.ndarray, place: tuple[np.ndarray, np.ndarray | slice], good: np.ndarray, values: np.ndarray | int
) -> None:
    target[place] = np.where(good, values, target[place])


class _Layouts:
    """The folds in runs of a size, each with its rows: kept for the next gamma where there is one run only."""

    def __init__(self, problem: Problem, folds: Folds) -> None:
        rows = sum(max(len(problem.design.base_x), 1) for _ in problem.terms)
        step = max(8, FOLD_BATCH_ENTRIES // rows // 2)
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

    Those over one basis are solved together. Raises `InputError` for an unknown metric, and for folds that are no
    rows.
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
            for places, mine, found in zip(by_kernel.values(), together, _solve(together, folds), strict=True):
                scores |= dict(zip(places, _scores(mine, found, metric, units), strict=True))
    return [scores[place] for place in range(len(problems))]


def _solve(groups: Sequence[Sequence[Problem]], folds: Folds) -> list[Found]:
    """Every fold of every setting, grouped by basis, by the cheapest way that is exact."""
    forms = []
    for problems in groups:
        for problem in problems[1:]:
            problem.share_design(problems[0].design)
        forms.append(canonicalize(problems))
    founds = [Found.none(problems, form, folds) for problems, form in zip(groups, forms, strict=True)]
    first, most = groups[0][0], max(len(held) for held in folds)
    if most == 1 and len(folds) == len(forms[0].design.x) and closed.takes(forms[0]):
        for form, found in zip(forms, founds, strict=True):
            _in_closed_form(form, found)
    elif most == 1 and smooth.takes(forms[0]):
        for problems, form, found in zip(groups, forms, founds, strict=True):
            _by_newton(problems, form, found)
    elif not isinstance(first.loss, Smooth) and most <= LOW_RANK_FOLD_ROWS:
        _by_changes(list(zip(forms, founds, strict=True)), _Layouts(first, folds))
    for problems, found in zip(groups, founds, strict=True):
        _anew(problems, folds, found)
    return founds


def _in_closed_form(form: Form, found: Found) -> None:
    order = np.concatenate(found.folds)
    for settings in _some(form.batch, len(order) * form.design.matrix.shape[1]):
        w, gap = closed.solve(form.cut(settings))
        found.put(form, settings, slice(None), (w[:, order], gap[:, order], CLOSED_FORM_ROUNDS))


def _by_newton(problems: Sequence[Problem], form: Form, found: Found) -> None:
    answer = solve_with("interior", form, Options(tol=CLOSE_FULL_FIT_TOL))
    step = max(1, FOLD_BATCH_ENTRIES // len(form.design.x))
    for setting, w in enumerate(answer.w):
        one = np.array([setting])
        for low in range(0, len(found.folds), step):
            span = slice(low, min(low + step, len(found.folds)))
            solved = smooth.solve(form.cut(one), w, np.concatenate(found.folds[span]))
            found.endless[setting, span] |= endless_at(problems[setting], form.cut(one), found.folds[span], *solved[:2])
            found.put(form, one, span, tuple(array[None] for array in solved))  # type: ignore[arg-type]


def _by_changes(tasks: Sequence[tuple[Form, Found]], layouts: _Layouts) -> None:
    """Bases share their rounds as long as all of it stays small. What a near full fit leaves starts once more from a
    nearer one."""
    small = sum(term.count for term in tasks[0][0].terms) <= TABLEAU_ROWS_LIMIT
    if small and all(_curved(form) for form, _ in tasks):
        nothing = Layout.of(layouts.problem, [np.empty(0, dtype=int)])
        fits = exact.from_least_squares([form for form, _ in tasks], nothing)
        _in_stacks(
            [(found, np.arange(fit.form.batch), fit) for (_, found), fit in zip(tasks, fits, strict=True)], layouts
        )
    for tol in (FULL_FIT_TOL, CLOSE_FULL_FIT_TOL):
        left = [(form, found, np.flatnonzero(np.isinf(found.gaps).any(axis=1))) for form, found in tasks]
        _in_stacks(((found, mine, _full(form.cut(mine), tol)) for form, found, mine in left if len(mine)), layouts)


def _full(form: Form, tol: float) -> FullFits:
    answer = solve_with("interior", form, Options(tol=tol))
    return FullFits(form, answer.w, answer.u)


def _in_stacks(fits: Iterable[tuple[Found, np.ndarray, FullFits]], layouts: _Layouts) -> None:
    """The folds of full fits (with the settings they are), as many together as stay small."""
    stack: list[tuple[Found, np.ndarray, FullFits]] = []
    size = 0
    for found, settings, fit in fits:
        rows = fit.u.shape[1]
        each = rows * (fit.w.shape[1] + (2 * rows if rows <= TABLEAU_ROWS_LIMIT else len(found.folds)))
        for part in _some(len(settings), each):
            if size and size + len(part) * each > RESPONSE_ENTRIES:
                _folds_of(stack, layouts)
                stack, size = [], 0
            stack.append((found, settings[part], FullFits(fit.form.cut(part), fit.w[part], fit.u[part])))
            size += len(part) * each
    if stack:
        _folds_of(stack, layouts)


def _curved(form: Form) -> bool:
    boxes = [box for term in form.terms for box in term.boxes]
    return all((box.quadratic > 0).all() and box.all_open for box in boxes) and bool((form.penalty > 0).all())


def _folds_of(fits: Sequence[tuple[Found, np.ndarray, FullFits]], layouts: _Layouts) -> None:
    kinds: dict[object, list[int]] = {}
    for place, (_, _, one) in enumerate(fits):
        kinds.setdefault(tuple((term.acts, len(term.functions)) for term in one.form.terms), []).append(place)
    for span, layout in layouts:
        for places in kinds.values():
            mine = [fits[place] for place in places]
            for (found, settings, one), solved in zip(
                mine, exact.solve_folds([one for _, _, one in mine], layout), strict=True
            ):
                found.put(one.form, settings, span, solved)


def _some(settings: int, each: int) -> Iterator[np.ndarray]:
    """The settings in runs, `each` entries a setting."""
    step = max(1, RESPONSE_ENTRIES // each)
    return (np.arange(low, min(low + step, settings)) for low in range(0, settings, step))


def _anew(problems: Sequence[Problem], folds: Folds, found: Found) -> None:
    """What is left, by the interior point; what is still without proof once more in small batches, then alone by
    whatever proves it.

    Where no point lies strictly inside the constraints of all rows, the folds are not looked at twice.
    """

    @cache
    def inside(constraints: tuple[Term, ...]) -> Array | None:
        """A point strictly inside the constraints of all rows: of a fold's rows, too, which are some of them or merged
        ones."""
        return strictly_feasible(
            canonicalize(next(problem for problem in problems if problem.constraints == constraints))
        )

    rows = sum(max(len(problems[0].design.base_x), 1) for _ in problems[0].terms)
    left = np.argwhere(~(found.gaps <= PROVEN_GAP) & ~found.endless)
    _refit(problems, folds, found, left, max(1, FOLD_BATCH_ENTRIES // rows), partial(_by_interior, inside))
    batches = (REFIT_BATCH, BATCHED_REFIT_LIMIT, partial(_by_interior, inside))
    for size, most, solve in (batches, (1, SINGLE_REFIT_LIMIT, _alone)):
        left = np.argwhere(~(found.gaps <= PROVEN_GAP) & ~found.endless)
        possible = [
            not problems[setting].constraints or inside(problems[setting].constraints) is not None
            for setting, _ in left
        ]
        _refit(problems, folds, found, left[possible][:most], size, solve)


def _by_interior(inside: Callable[[tuple[Term, ...]], Array | None], problems: Sequence[Problem], form: Form) -> Proof:
    """All by the interior point; a problem that breaks a constraint by what its steps could not resolve is moved
    towards `inside` it."""
    answer = solve_with("interior", form, Options(tol=REFIT_TOL, max_iterations=60))
    proof = certify(form, answer.w, answer.u, answer.interior)
    for i in [i for i, certificate in enumerate(proof.certificates) if certificate.gap is None]:
        if (point := inside(problems[i].constraints)) is not None:
            proof = better_proof(
                proof, i, form.cut(np.array([i])), answer.w[i : i + 1], answer.u[i : i + 1], point[None]
            )
    return proof


def _alone(problems: Sequence[Problem], form: Form) -> Proof:
    """One fold as a fit would solve it, and if that does not prove it, by ADMM."""
    options = Options(tol=PROVEN_GAP)
    proof, _ = prove(form, solve_with("interior", form, options), options.tol, partial(solve_with, "interior"))
    if proof.certificates[0].holds(options.tol):
        return proof
    other, _ = prove(form, solve_with("admm", form, options), options.tol)
    return other if other.certificates[0].holds(options.tol) else proof


def _refit(
    problems: Sequence[Problem],
    folds: Folds,
    found: Found,
    left: np.ndarray,
    size: int,
    solve: Callable[[Sequence[Problem], Form], Proof],
) -> None:
    """The folds `left`, (m, 2) of setting and fold, `size` of them together; what proves more is kept."""
    design = problems[0].design
    for low in range(0, len(left), size):
        part = left[low : low + size]
        mine = [problems[setting] for setting, _ in part]
        form = canonicalize(mine, [folds[fold] for _, fold in part])
        proof = solve(mine, form)
        for place, ((setting, fold), w, certificate) in enumerate(zip(part, proof.w, proof.certificates, strict=True)):
            if unattained(form, proof, place):
                found.endless[setting, fold] = True
                continue
            gap = np.inf if certificate.relative_gap is None else certificate.relative_gap
            if gap > found.gaps[setting, fold]:
                continue
            held = folds[fold]
            found.predictions[setting, held] = design.matrix[held if design.row_of is None else design.row_of[held]] @ w
            found.gaps[setting, fold] = gap


def _scores(problems: Sequence[Problem], found: Found, metric: str, units: np.ndarray | None) -> list[Score]:
    first = problems[0]
    kept = slice(None) if first.active is None else first.active
    y = first.y[kept] - first.level  # predictions, too, are measured from the level of a free intercept
    weights = np.ones(len(y)) if first.weights is None else first.weights[kept]
    predictions = found.predictions if first.offset is None else found.predictions + first.offset[kept]
    lost = np.zeros(predictions.shape, dtype=bool)
    for setting, fold in np.argwhere(found.endless):
        lost[setting, found.folds[fold]] = True
    known = np.where(lost, 0.0, predictions)
    if all(problem.loss == first.loss for problem in problems):
        errors = error_of_rows(first, known, y, metric)
    else:
        errors = np.stack(
            [error_of_rows(problem, row, y, metric) for problem, row in zip(problems, known, strict=True)]
        )
    errors = np.where(lost, np.inf, errors)
    means = errors @ weights / weights.sum()
    apart = errors - np.where(np.isfinite(means), means, 0.0)[:, None]
    deviations = np.sqrt(np.square(_sums(weights * apart, units)).sum(axis=1)) / weights.sum()
    every = np.full((len(problems), len(first.y)), np.nan)
    every[:, kept] = predictions + first.level
    gaps = np.where(found.endless, 0.0, found.gaps).max(axis=1).tolist()
    return [Score(*one) for one in zip(means.tolist(), deviations.tolist(), every, gaps, found.work(), strict=True)]


def _sums(rows: Array, units: np.ndarray | None) -> Array:
    """(S, n) summed over the rows of each unit."""
    if units is None:
        return rows
    labels = np.unique(units, return_inverse=True)[1]
    order = np.argsort(labels, kind="stable")
    return np.add.reduceat(rows[:, order], np.flatnonzero(np.diff(labels[order], prepend=-1)), axis=1)


def error_of_rows(problem: Problem, predictions: Array, y: Array, metric: str) -> Array:
    """The metric at each row: the problem's own loss, or the squared or absolute error (of the mean, for
    likelihoods)."""
    loss = problem.loss
    if isinstance(loss, Smooth):
        if metric == "loss":
            return loss.pointwise(predictions, loss.check_targets(y))
        y = loss.check_targets(y)
        apart = loss.mean(predictions) - loss.observed(y) if isinstance(loss, Likelihood) else predictions - y
    elif metric == "loss":
        return loss.pointwise(predictions - y)
    else:
        apart = predictions - y
    return np.square(apart) if metric == "squared" else np.abs(apart)
