"""Whether the answer changed as a relation predicts, as far as it is certified.

Gaps are priced by the scale of the unchanged problem's certificate, so that a scale that grows with what does not
matter is no excuse.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from hw4opt import RefusedError, fit
from hw4opt.proof.certificate import Certificate
from hw4opt.selection import leave_one_out, score_settings
from hw4opt.solvers import load_solver, solver_names
from hw4opt.terms import Smooth
from metamorphic.problems import spread

TIGHT = 1e-13  # tolerance of the solvers that can be exact
EXACT = ("interior", "newton")
CLOSE = 1e-6  # of y's robust spread: fitted values of exact solvers, held-out predictions
PROVEN = 1e-9  # relative gap of a certified fit of an exact solver, and of a held-out fit
STRENGTHS = (0.25, 1.0, 4.0)  # settings tried by leave-one-out, times the first regularizer's weight
LIMITS = {"admm": 5_000}  # iterations
SAME = 2.0  # scales of one problem in two forms: a row that counts twice as one row or as two is the largest or is not
EPS = np.finfo(float).eps


@dataclass(frozen=True, eq=False)
class Solved:
    """The fit, with how far f without the intercept is proven (None: not), and whether it is certified."""

    result: object
    bound: float | None
    certified: bool

    @property
    def certificate(self) -> Certificate:
        return self.result.certificate


@cache
def solved(problem, solver, tol=None):
    """The fit at that tolerance, certified if it reaches the solver's default one."""
    result = fit(problem, solver, tol=tol, max_iterations=LIMITS.get(solver))
    certified = result.status.word == "certified" if tol is None else result.certificate.holds(PROVEN)
    norm = result.certificate.norm_bound
    largest = np.sqrt(result.design.diagonal(result.design.x).max())
    return Solved(result, None if norm is None else largest * norm, certified)


def curved_rows(problem, fitted):
    """How many rows' losses have curvature at the fit: they tell one level of the fit from another."""
    if isinstance(problem.loss, Smooth):
        return len(problem.y)
    z, step = fitted - problem.y, 1e-3 * spread(problem)
    wide, narrow = (_second_difference(problem.loss, z, move) for move in (step, step / 4))
    return int(
        np.count_nonzero((narrow > 1e-9 * step**2) & (np.abs(wide - 16 * narrow) <= 0.01 * wide))
    )  # at a kink it is 4, or none


def _second_difference(loss, z, step):
    return loss.pointwise(z + step) - 2 * loss.pointwise(z) + loss.pointwise(z - step)


def uniqueness(problem, one):
    """values | shape (values up to a constant) | objective: what of the optimum there is only one of."""
    rank = problem.design.matrix.shape[1]
    curved = curved_rows(problem, one.result.fitted)
    if curved >= rank + 3:
        return "values"
    if problem.ridge == 0:
        return "objective"
    return "values" if not problem.intercept or curved >= 3 else "shape"


def compare(relation, problem, solver):
    """None outside the relation's scope; else the faults, in sentences."""
    base = relation.base(problem)
    if base is None:
        return None
    change, tol = relation.change(base), TIGHT if solver in EXACT else None
    try:
        one, two = solved(base, solver, tol), solved(change.problem, solver, tol)
    except RefusedError:  # a solver may take the one and not the other, as long as it says so
        return None
    plain, usual = solved(base, solver, None), solved(change.problem, solver, None)
    faults, scale = [], max(one.certificate.gap_scale, plain.certificate.gap_scale)  # optima need not be unique
    if one.certified:
        for found in {two, usual}:
            faults += (
                (_moved(base, change, one, found, solver) + _priced(change, scale, found, solver))
                if found.certified
                else []
            )
    if (
        relation.core and solver in EXACT
    ):  # others are witnesses: what they certify is right, and they need not certify everything
        named = {"unchanged": plain, "changed": usual}
        faults += [
            f"the {name} problem is not certified: {found.result.message}"
            for name, found in named.items()
            if _fails(found)
        ]
    return faults


def _fails(found):
    """Not certified, though doubles could tell: where only the rounding of the gap's own sum is above tolerance, the
    status is honest."""
    certificate = found.certificate
    proven = (
        certificate.gap is not None
        and certificate.gap <= PROVEN * certificate.gap_scale
        and certificate.violation <= PROVEN
    )
    return not found.certified and not (proven and "rounding alone" in found.result.message)


def _moved(base, change, one, two, solver):
    """What is wrong with a certified answer of the changed problem."""
    return _fitted(base, change, one, two, solver) + _objective(change, one, two)


def _priced(change, scale, two, solver):
    """The gap is within tolerance of what the unchanged certificate is relative to, moved as the objective is."""
    tol = load_solver(solver.partition(":")[0]).tolerance if solver in solver_names() else PROVEN
    allowed = SAME * tol * change.factor * scale
    if two.certificate.gap <= allowed:
        return []
    return [
        f"certified at a gap of {two.certificate.gap:.1e}, allowed {allowed:.1e} by the scale of the unchanged problem"
    ]


def _fitted(base, change, one, two, solver):
    """Fitted values: within `CLOSE` for exact solvers that reached `TIGHT`, and always within both proven bounds."""
    expected, found = change.scale * one.result.fitted + change.shift, change.of(two.result.fitted)
    kind = uniqueness(base, one)
    apart = np.abs(found - expected).max()
    if kind == "shape":
        apart = np.ptp(found - expected)
    rounding = 64 * EPS * np.abs(expected).max()
    allowed = []
    if solver in EXACT and one.certificate.holds(TIGHT) and two.certificate.holds(TIGHT) and kind != "objective":
        allowed.append(CLOSE * spread(base) * change.scale)
    if one.bound is not None and two.bound is not None and (kind == "shape" or not base.intercept):
        allowed.append((two.bound + change.scale * one.bound) * (2 if kind == "shape" else 1) + rounding)
    if not allowed or apart <= min(allowed):
        return []
    return [
        f"certified, fitted values {apart / change.scale / spread(base):.1e} spreads off, allowed {min(allowed):.1e}"
    ]


def _objective(change, one, two):
    """Objectives: within both gaps, what both bases leave out, and 1e-9 of what the unchanged certificate is relative
    to."""
    expected, found = change.factor * one.result.objective + change.constant, two.result.objective
    allowed = two.certificate.gap + change.factor * (one.certificate.gap + 1e-9 * one.certificate.gap_scale)
    allowed += two.certificate.truncation + change.factor * one.certificate.truncation
    allowed += two.certificate.gap_rounding + change.factor * one.certificate.gap_rounding
    allowed += 64 * EPS * len(one.result.fitted) * max(abs(expected), abs(change.constant))
    if abs(found - expected) <= allowed:
        return []
    return [f"certified, objective {found - expected:.2e} off {expected:.6g}, allowed {allowed:.1e}"]


@dataclass(frozen=True)
class HeldOut:
    """Scores of the settings, and how far predictions may be off by what their folds prove."""

    scores: list
    problems: list


def _settings(base):
    """The problem at several strengths of its first regularizer, if it has one."""
    if not base.regularizers:
        return [base]
    name = base.regularizers[0].name
    return [base.with_hyperparameters({name: strength * base.regularizers[0].weight}) for strength in STRENGTHS]


@cache
def _scored(base):
    problems = _settings(base)
    return HeldOut(_scores(problems), problems)


def _scores(problems):
    size = len(problems[0].y if problems[0].active is None else problems[0].active)
    return score_settings(problems, leave_one_out(size))


def compare_held_out(relation, problem):
    """None outside the relation's scope, or where held-out fits are not unique; else the faults, in sentences."""
    base = relation.base(problem)
    if base is None or uniqueness(base, solved(base, "interior", TIGHT)) != "values":
        return None
    held = _scored(base)
    changes = [relation.change(one) for one in held.problems]
    faults, unit = [], solved(base, "interior", TIGHT).certificate.gap_scale
    others = _scores([change.problem for change in changes])
    allowed = []
    for setting, change, one, two in zip(held.problems, changes, held.scores, others, strict=True):
        if not max(one.largest_gap, two.largest_gap) <= PROVEN:
            faults += (
                [f"a fold is not proven, gaps {one.largest_gap:.1e}, {two.largest_gap:.1e}"] if relation.core else []
            )
        else:
            allowed.append(_allowance(setting, unit, one) + _allowance(setting, unit, two))
            faults += _predictions(setting, change, one, two, allowed[-1])
    return faults if faults or len(allowed) < len(others) else _choice(held, changes, others, allowed)


def _allowance(problem, unit, score):
    """`CLOSE`, and what a gap of that size leaves: √(gap k(x, x)/ridge); without a ridge the loss bounds the fit."""
    gap = score.largest_gap * unit
    reach = problem.design.diagonal(problem.design.x).max() / problem.ridge if problem.ridge > 0 else 16.0
    return 0.5 * CLOSE * spread(problem) + np.sqrt(gap * reach)


def _predictions(base, change, one, two, allowed):
    expected = change.scale * one.predictions + change.shift
    found = change.of(two.predictions)
    if np.array_equal(np.isnan(expected), np.isnan(found)):
        apart = np.nanmax(np.abs(found - expected)) / change.scale
        if apart <= allowed + 64 * EPS * np.nanmax(np.abs(expected)) / change.scale:
            return []
        return [
            f"proven, held-out predictions {apart / spread(base):.1e} spreads off, allowed {allowed / spread(base):.1e}"
        ]
    return ["held-out fits without a finite maximum differ"]


def _errors(problem, predictions):
    """The loss of each row at its held-out prediction."""
    loss = problem.loss
    if isinstance(loss, Smooth):
        return loss.pointwise(predictions, loss.check_targets(problem.y))
    return loss.pointwise(predictions - problem.y)


def _choice(held, changes, others, allowed):
    """Scores as far as all rows are compared, and the setting with the least error among the rows that are."""
    faults, ours, theirs, slacks = [], [], [], []
    for base, change, one, two, off in zip(held.problems, changes, held.scores, others, allowed, strict=True):
        weights = np.ones(len(base.y)) if base.weights is None else base.weights
        plain = _errors(base, one.predictions)
        slack = np.max([np.abs(_errors(base, one.predictions + move) - plain) for move in (-off, off)], axis=0)
        slack = slack + 1e-9 * np.abs(plain) + 64 * EPS * np.abs(base.y)
        back = (change.of(two.predictions) - change.shift) / change.scale
        rows = slice(None) if change.compared is None else change.compared
        ours.append((weights * plain)[rows].sum() / weights[rows].sum())
        theirs.append((weights * _errors(base, back))[rows].sum() / weights[rows].sum())
        allowance = (weights * slack)[rows].sum() / weights[rows].sum()
        slacks.append(allowance)
        if change.compared is None and abs(two.score / change.loss - one.score) > allowance:
            faults.append(f"score {two.score:.10g} for {one.score:.10g}, allowed {allowance:.1e}")
        if theirs[-1] > ours[-1] + allowance:
            faults.append(f"error of held-out rows {theirs[-1]:.10g} for {ours[-1]:.10g}, allowed {allowance:.1e}")
    best, chosen = int(np.argmin(ours)), int(np.argmin(theirs))
    if ours[chosen] > ours[best] + slacks[chosen] + slacks[best]:
        faults.append(f"the choice moved from setting {best} to {chosen}")
    return faults
