"""What a gap is relative to: what the fit explains. Nothing else moves `Certificate.gap_scale`, and nothing wrong is
certified by it.

Most tests carry an optimum over to a problem whose optimum is known from it, so that what they see is the certificate
alone, and no solver.
"""

import math
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hw4opt import (
    RBF,
    Absolute,
    Bounds,
    Huber,
    Increasing,
    Logistic,
    Poisson,
    Problem,
    Ridge,
    Squared,
    Status,
    TotalVariation,
    fit,
)
from hw4opt.form.canonicalize import canonicalize
from hw4opt.proof.certificate import certify
from hw4opt.terms import Smooth, find, names
from metamorphic import scaling
from metamorphic.problems import DEFAULTS, dyadic, targets
from metamorphic.problems import X as COLUMNS

LOSSES = [find("loss", name, **DEFAULTS.get(name, {})) for name in names("loss")]
OF_RESIDUALS = [loss for loss in LOSSES if not isinstance(loss, Smooth)]
ROBUST = [loss for loss in LOSSES if scaling.end_slope(loss) is not None]
X = COLUMNS["one"][:, 0]
ROW = 13
FAR = 2.0 ** np.array([10, 20, 30, 40])  # spreads of y are near 1


def by_name(losses):
    return pytest.mark.parametrize("loss", losses, ids=lambda loss: loss.name)


def curve(loss, intercept=False, **given):
    return Problem(X, targets(loss), RBF(1.0), loss, [Ridge(0.125)], intercept=intercept, **given)


def optimum(problem):
    """(w, duals of every piece) of a certified fit."""
    result = fit(problem, "interior", tol=1e-12)
    assert result.certificate.holds(1e-9), result.message
    return result.w, block_duals(problem, result)


def block_duals(problem, result):
    """One array per block of the form: terms that share their rows are added up."""
    return [sum(result.duals[name] for name in rows.names) for rows in canonicalize(problem).terms]


def certificate(problem, w, duals):
    """What is proven of a point with the duals of every term."""
    form = canonicalize(problem)
    return certify(form, np.asarray(w)[None], form.split_duals([np.asarray(u)[None] for u in duals])).certificates[0]


def with_row(problem, row, value, weight=1.0):
    """The problem with y and the weight of one row set."""
    y, weights = problem.y.copy(), np.ones(len(problem.y))
    y[row], weights[row] = value, weight
    return replace(problem, y=y, weights=weights)


def without_row(problem, row):
    weights = np.ones(len(problem.y))
    weights[row] = 0.0
    return replace(problem, weights=weights)


# ---- what does not move the scale ------------------------------------------------------------------------------------


@by_name(ROBUST)
@pytest.mark.parametrize("intercept", [False, True])
def test_an_outlier_moved_further_out_moves_the_scale_not_at_all(loss, intercept):
    near = with_row(curve(loss, intercept), ROW, FAR[0])
    w, duals = optimum(near)
    scales = [certificate(with_row(near, ROW, far), w, duals).gap_scale for far in FAR]
    for far, scale in zip(FAR, scales, strict=True):  # y itself is rounded to far · 2^-53
        assert_allclose(scale, scales[0], rtol=1e-6, atol=16 * np.finfo(float).eps * far)


@by_name(ROBUST)
@pytest.mark.parametrize("intercept", [False, True])
def test_no_outlier_lifts_the_scale_above_what_the_others_explain(loss, intercept):
    """Explained is at most what the others do by themselves, and the outlier's slope times the way that the fit goes
    towards it."""
    problem = curve(loss, intercept)
    constant, explained = explained_without(problem)
    w, duals = optimum(with_row(problem, ROW, FAR[0]))
    way = abs(float(problem.design.matrix[problem.design.row_of][ROW] @ w) - constant)
    for far in FAR:
        found = certificate(with_row(problem, ROW, far), w, duals)
        assert found.gap_scale <= (explained + scaling.end_slope(loss) * way) * (1 + 1e-6)


@by_name(LOSSES)
def test_no_weight_lifts_the_scale_above_what_the_others_explain(loss):
    """A weight counts as 100 times the median at most; a row explains at most its own loss at f = 0."""
    problem = curve(loss)
    _, explained = explained_without(problem)
    own = losses_at(problem, 0.0)[ROW] - least(problem)[ROW]
    for weight in (1e3, 1e6, 1e9, 1e12):
        found = fit(with_row(problem, ROW, problem.y[ROW], weight), "interior").certificate
        assert found.gap_scale <= (explained + 100 * own) * (1 + 1e-6) + found.gap


def losses_at(problem, z):
    """Every row's loss at fitted value z."""
    z, loss = np.broadcast_to(z, problem.y.shape), problem.loss
    return (
        loss.pointwise(z, loss.check_targets(problem.y)) if isinstance(loss, Smooth) else loss.pointwise(z - problem.y)
    )


def least(problem):
    """The least loss of each row, by trying."""
    grid = np.linspace(-40, 40, 8_001)
    return np.min([losses_at(problem, z if isinstance(problem.loss, Smooth) else problem.y + z) for z in grid], axis=0)


def explained_without(problem):
    """The best constant (0 without an intercept) for all rows but `ROW`, and what their own fit explains beyond it."""
    others = np.arange(len(problem.y)) != ROW
    grid = np.linspace(problem.y.min(), problem.y.max(), 4_001) if problem.intercept else [0.0]
    totals = [losses_at(problem, z)[others].sum() for z in grid]
    best = fit(without_row(problem, ROW), "interior").objective
    return grid[int(np.argmin(totals))], min(totals) - best


@by_name(OF_RESIDUALS)
def test_a_level_of_y_beside_an_intercept_moves_the_scale_not_at_all(loss):
    problem = curve(loss, intercept=True)
    w, duals = optimum(problem)
    raised = np.zeros(len(w))
    raised[-1] = 1.0
    plain = certificate(problem, w, duals).gap_scale
    for c in FAR[:-1]:
        higher = replace(problem, y=problem.y + c)  # its points are measured from its own level
        lifted = certificate(higher, w + (c - (higher.level - problem.level)) * raised, duals).gap_scale
        assert_allclose(lifted, plain, rtol=1e-6)


def test_a_constant_of_the_loss_moves_the_scale_not_at_all():
    for loss, lifted in ((Logistic(), _LiftedLabels()), (Poisson(), _LiftedCounts())):
        problem = curve(loss)
        w, (u,) = optimum(problem)
        one, two = certificate(problem, w, [u]), certificate(replace(problem, loss=lifted), w, [u])
        assert_allclose(two.objective - one.objective, LIFT * len(X))
        assert_allclose(two.gap_scale, one.gap_scale, rtol=1e-9)


LIFT = 2.0**20


@dataclass(frozen=True)
class _LiftedLabels(Logistic):
    """The logistic loss and a constant."""

    def pointwise(self, z, y=1.0):
        return super().pointwise(z, y) + LIFT

    def conjugate_pointwise(self, u, y):
        return super().conjugate_pointwise(u, y) - LIFT

    def slack(self, z, u, y):
        return Logistic().slack(z, u, y)


@dataclass(frozen=True)
class _LiftedCounts(Poisson):
    """The Poisson loss and a constant."""

    def pointwise(self, z, y=1.0):
        return super().pointwise(z, y) + LIFT

    def derivatives(self, z, y):
        value, gradient, curvature = super().derivatives(z, y)
        return value + LIFT, gradient, curvature

    def conjugate_pointwise(self, u, y):
        return super().conjugate_pointwise(u, y) - LIFT


def test_the_size_of_counts_moves_the_scale_not_at_all():
    """y' = s y, offset' = offset + log s, ω' = ω/s: the same fit, P' = P - Σ y log s."""
    problem = curve(Poisson())
    w, (u,) = optimum(problem)
    plain = certificate(problem, w, [u])
    for s in (2.0**10, 2.0**20):
        offset, weights = np.full(32, math.log(s)), np.full(32, 1 / s)
        large = certificate(replace(problem, y=s * problem.y, offset=offset, weights=weights), w, [u])
        assert large.relative_gap <= 1e-9
        assert_allclose(large.gap_scale, plain.gap_scale, rtol=1e-6)


@by_name(LOSSES)
def test_weights_and_penalties_together_move_the_scale_with_them(loss):
    problem = curve(loss)
    w, (u,) = optimum(problem)
    plain = certificate(problem, w, [u]).gap_scale
    for s in (2.0**-40, 2.0**40):
        other = replace(problem, weights=np.full(32, s), regularizers=[Ridge(0.125 * s)])
        assert_allclose(certificate(other, w, [s * u]).gap_scale, s * plain, rtol=1e-9)


# ---- nothing wrong is certified --------------------------------------------------------------------------------------


@by_name(LOSSES)
@pytest.mark.parametrize("intercept", [False, True])
def test_what_explains_nothing_is_not_certified(loss, intercept):
    problem = curve(loss, intercept)
    w, duals = optimum(problem)
    zero = [np.zeros_like(u) for u in duals]
    assert not certificate(problem, 0 * w, zero).holds(1e-6)
    assert not certificate(problem, 0 * w, duals).holds(1e-6)
    assert not certificate(problem, w, zero).holds(1e-6)
    for size in (1e3, 1e6, 1e9):  # nonsense that is large
        assert not certificate(problem, size * w, duals).holds(1e-6)
        assert not certificate(problem, size * w, zero).holds(1e-6)


@by_name(LOSSES)
@pytest.mark.parametrize("size", [1e-3, 1e-2, 0.1])
def test_a_point_that_is_off_is_certified_no_further_than_it_is_right(loss, size):
    problem = curve(loss)
    w, duals = optimum(problem)
    best = certificate(problem, w, duals)
    for seed in range(3):
        move = np.random.default_rng(seed).standard_normal(len(w))
        found = certificate(problem, w + size * move / np.linalg.norm(move), duals)
        excess = found.objective - best.objective
        assert found.gap >= excess * (1 - 1e-6) - best.gap
        explained = certificate(problem, 0 * w, duals).objective - best.objective
        assert excess > 1e-9 * explained
        assert not found.holds(0.5 * excess / explained)


@by_name(OF_RESIDUALS)
def test_a_large_number_that_does_not_matter_hides_no_error(loss):
    """A level of 1e9 spreads beside an intercept; a robust loss's outlier of 1e12: the same wrong fit stays
    uncertified."""
    problem = curve(loss, intercept=True)
    w, duals = optimum(problem)
    wrong, raised = w.copy(), np.zeros(len(w))
    wrong[0] += 0.05
    raised[-1] = 1.0
    assert not certificate(problem, wrong, duals).holds(1e-6)
    for c in FAR[:-1]:
        assert not certificate(replace(problem, y=problem.y + c), wrong + c * raised, duals).holds(1e-6)
    if loss not in ROBUST:
        return
    near = with_row(problem, ROW, FAR[0])
    w, duals = optimum(near)
    w = w + 0.05 * np.eye(len(w))[0]
    for far in FAR:
        assert not certificate(with_row(problem, ROW, far), w, duals).holds(1e-6)


@by_name(OF_RESIDUALS)
def test_a_trivial_fit_that_is_infeasible_certifies_nothing(loss):
    """Bounds far from the data: no constant that fits them is allowed, and a feasible fit is judged by what it
    costs."""
    problem = replace(curve(loss, intercept=True), constraints=[Bounds(5.0, 6.0)])
    result = fit(problem, "interior")
    assert result.certificate.gap <= 1e-8 * result.objective
    duals = block_duals(problem, result)
    zero = [np.zeros_like(u) for u in duals]
    trivial, feasible = np.zeros(len(result.w)), np.zeros(len(result.w))
    trivial[-1], feasible[-1] = float(np.mean(problem.y)), 5.75
    for w in (trivial, 0 * trivial):
        assert not certificate(problem, w, zero).holds(1e-6) and not certificate(problem, w, duals).holds(1e-6)
    assert not certificate(problem, feasible, zero).holds(1e-6)
    excess = certificate(problem, feasible, duals)
    assert excess.gap >= excess.objective - result.objective - result.certificate.gap > 0
    assert not excess.holds(1e-6)


@by_name(OF_RESIDUALS)
def test_data_that_leave_nothing_to_explain_are_certified_at_rounding_level_only(loss):
    problem = replace(curve(loss, intercept=True), y=np.full(32, 3.0))
    right = np.zeros(problem.design.matrix.shape[1])
    right[-1] = 3.0 - problem.level
    duals = [np.zeros(32)]
    assert certificate(problem, right, duals).holds(1e-9)
    assert fit(problem, "interior").status is Status.CERTIFIED
    wrong = right.copy()
    wrong[0] = 1.0
    assert not certificate(problem, wrong, duals).holds(1e-6)


def test_the_scale_is_no_looser_than_the_objective_on_the_step_data(references):
    step = references["huber"]
    ways = [
        Problem(step.x, step.y, RBF(79.0), loss, [Ridge(0.36), *more])
        for loss in OF_RESIDUALS
        for more in ([], [TotalVariation(0.38)])
    ]
    for problem in ways:
        proof = fit(problem).certificate
        assert proof.gap_scale <= (1 + 1e-9) * max(abs(proof.objective), abs(proof.dual_objective))
        assert proof.gap_scale >= 1e-3 * proof.objective  # and what is certified there can still be reached


# ---- problems whose right answer is known ----------------------------------------------------------------------------


def rising():
    """40 rows of a rising curve with deterministic noise, on a grid that any level keeps exactly."""
    x = np.arange(40) / 40 + 0.01 * np.sin(np.arange(40.0) ** 2)
    noise = 0.3 * np.sin(12.9898 * np.arange(1, 41.0) ** 2) + 0.2 * np.cos(78.233 * np.arange(1, 41.0) ** 2)
    return x, dyadic(4 * x - np.sin(6 * x) / 2 + noise, 10)


@pytest.mark.parametrize("level", [9790.0, 2_459_000.0, 1_700_000_000.0])
def test_dates_as_targets_are_fitted_as_well_as_their_differences(level):
    """Days since 1900, Julian dates, unix times: y + c with an intercept."""
    x, y = rising()
    problem = Problem(x, y, RBF(50.0), Squared(), [Ridge(0.1)], [Increasing()], intercept=True)
    right = fit(problem, "interior", tol=1e-12)
    assert right.certificate.holds(1e-9)
    found = fit(replace(problem, y=y + level))
    if level < 1e7:
        assert found.status is Status.CERTIFIED, found.message
    if found.status is Status.CERTIFIED:
        assert_allclose(found.objective, right.objective, rtol=1e-8)
        assert_allclose(found.fitted - level, right.fitted, atol=1e-4)


@pytest.mark.parametrize(("loss", "intercept"), [(Huber(1.0), True), (Absolute(), False)], ids=["huber", "absolute"])
@pytest.mark.parametrize("code", [1e4, 2.0**31, 1e12])
def test_sentinel_codes_under_a_robust_loss_are_fitted_as_any_outliers(loss, intercept, code):
    x, y = rising()
    at = np.array([4, 11, 19, 27, 33])
    signs = np.array([1.0, -1.0, 1.0, 1.0, -1.0])

    def coded(value):
        codes = y.copy()
        codes[at] = signs * value
        return Problem(x, codes, RBF(50.0), loss, [Ridge(0.1)], [Increasing()], intercept=intercept)

    right = fit(coded(128.0), "interior", tol=1e-12)
    assert right.certificate.holds(1e-9)
    found = fit(coded(code))
    assert found.status is Status.CERTIFIED or code > 1e10, found.message
    if found.status is Status.CERTIFIED:
        assert_allclose(found.fitted, right.fitted, atol=1e-3)


@pytest.mark.parametrize("ridge", [1e-6, 1e-10, 1e-14, 1e-20])
def test_what_the_basis_leaves_out_counts(ridge):
    """Certified only where the objective is within 1e-6 of the whole kernel's own optimum, known to 80 digits."""
    x = np.linspace(0, 1, 20)
    y = np.sin(6 * x) + 0.1 * np.random.default_rng(0).standard_normal(20)
    best = _exact_optimum(x, y, 3.0, ridge)
    found = fit(Problem(x, y, RBF(3.0), Squared(), [Ridge(ridge)]))
    error = abs(found.objective - best) / best  # of either sign: rounding of the basis counts as what it leaves out
    assert found.status is not Status.CERTIFIED or error <= 1e-6
    assert found.status is Status.CERTIFIED or ridge < 1e-9, found.message


def _exact_optimum(x, y, gamma, ridge):
    """ridge·yᵀ(K + ridge I)⁻¹y for k = exp(-gamma (x - z)²), by Cholesky in 80 digits."""
    with localcontext() as context:
        context.prec = 80
        x, y, gamma, ridge = (
            [Decimal(v) for v in x.tolist()],
            [Decimal(v) for v in y.tolist()],
            Decimal(gamma),
            Decimal(ridge),
        )
        lower, solved = [], []
        for i in range(len(x)):
            row = []
            for j in range(i + 1):
                entry = (-gamma * (x[i] - x[j]) ** 2).exp() + (ridge if i == j else 0)
                rest = entry - sum(a * b for a, b in zip(row, row if i == j else lower[j], strict=False))
                row.append(rest.sqrt() if i == j else rest / lower[j][j])
            lower.append(row)
            solved.append((y[i] - sum(a * b for a, b in zip(row, solved, strict=False))) / row[i])
        return float(ridge * sum(v * v for v in solved))
