"""The bound on the fit is true, also of problems stopped early and over a truncated basis: against the cone program."""

import math

import numpy as np
import pytest

import hw4opt.proof.certificate
from cone_program import optimum
from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    Concave,
    Convex,
    Decreasing,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Laplacian,
    Logistic,
    Matern32,
    Matern52,
    Nonnegative,
    Polynomial,
    Problem,
    Quantile,
    RefusedError,
    Ridge,
    Status,
    TotalVariation,
    Trend,
    fit,
    fit_batch,
)
from hw4opt.design import Design
from hw4opt.design.basis import build_basis
from hw4opt.form.canonicalize import canonicalize
from hw4opt.proof.certificate import certify
from small_problems import LOSSES, one_problem


def random_batch(seed, count=40):
    """`count` random problems over one random design: x in one to three dimensions, repeated or not, any kernel, loss
    and shape."""
    random = np.random.default_rng([2026, seed])
    loss = LOSSES[seed % len(LOSSES)]
    columns = 1 if random.random() < 0.7 else int(random.integers(2, 4))
    size = int(random.integers(8, 22))
    x = random.uniform(size=(size, columns))
    if random.random() < 0.3:
        x[1] = x[0]
    gamma = float(10 ** random.uniform(-0.5, 2))
    kernels = [
        RBF(gamma),
        Laplacian(gamma / 5),
        Matern32(gamma),
        Matern52(gamma),
        Polynomial(0.7, int(random.integers(1, 5))),
        None,
    ]
    kernel = kernels[random.integers(len(kernels))]
    shapes = [[], [], [Bounds(-0.5, 0.6)], [Nonnegative()]]
    if columns == 1:
        shapes += [[Increasing()], [Decreasing()], [Convex()], [Concave()], [Increasing(), Nonnegative()]]
    if not isinstance(kernel, Laplacian) and kernel is not None:
        shapes += [[Increasing(column=columns - 1)]]
    shape = shapes[random.integers(len(shapes))] if kernel is not None else []
    tv, trend = (
        columns == 1 and random.random() < 0.5,
        int(random.integers(1, 4)) if columns == 1 and random.random() < 0.3 else 0,
    )
    intercept, weighted = bool(random.random() < 0.25), bool(random.random() < 0.5)
    mask = (
        np.where((np.arange(size) >= 5) & (random.random(size) < 0.2), 0.0, 1.0)
        if random.random() < 0.3
        else np.ones(size)
    )
    problems = []
    for _ in range(count):
        y = np.sin(5 * x.sum(axis=1)) + 0.3 * random.normal(size=size)
        fresh = {
            "huber": lambda: Huber(random.uniform(0.1, 1)),
            "quantile": lambda: Quantile(random.uniform(0.1, 0.9)),
            "epsilon_insensitive": lambda: EpsilonInsensitive(random.uniform(0.05, 0.3)),
        }.get(loss.name, lambda: loss)
        regularizers = [Ridge(float(10 ** random.uniform(-2, 0.5)))]
        regularizers += [TotalVariation(random.uniform(0.05, 1))] if tv else []
        regularizers += [Trend(random.uniform(0.01, 0.3), order=trend)] if trend else []
        regularizers += [L1(random.uniform(0.05, 1))] if kernel is None else []
        weights = mask * (random.uniform(0.3, 2, size=size) if weighted else 1.0)
        offset = 0.2 * random.normal(size=size) if weighted else None
        targets = y > 0 if isinstance(loss, Logistic) else y
        problems.append(Problem(x, targets, kernel, fresh(), regularizers, shape, weights, offset, intercept))
    return problems, random


def stopped_early(seed):
    """Results of a random batch, stopped after a random number of steps by a random solver that takes it."""
    problems, random = random_batch(seed)
    steps = {
        "interior": int(random.integers(1, 6)),
        "admm": int(random.integers(1, 40)),
        "proximal": int(random.integers(1, 40)),
    }
    for solver in random.permutation(list(steps)):
        try:
            return fit_batch(problems, solver, max_iterations=steps[solver]), random
        except RefusedError:
            continue
    raise AssertionError("every solver refuses")


def kernel_part(result, x):
    return result.predict(x) - (result.intercept or 0.0)


def compare_with_bound(results, new):
    """For every result with a bound: its largest |f̂ - f*|/bound (less what the witness may be off), and whether that
    is far below."""
    ratios, sharp = [], []
    for result in results:
        certificate = result.certificate
        if certificate.norm_bound is None:
            assert certificate.reason and result.status is not Status.CERTIFIED
            continue
        x = np.vstack([result.problem.active_x, new])
        truth, bound = optimum(result.problem, new), result.bound(x)
        size = np.sqrt(result.design.diagonal(x))
        ratios.append(
            np.max((np.abs(kernel_part(result, x) - truth.f) - size * truth.error) / np.maximum(bound, 1e-300))
        )
        sharp.append(certificate.norm_bound > 10 * truth.error)
    return np.array(ratios), np.array(sharp)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_the_bound_is_true_for_problems_stopped_early(seed):
    """More than a thousand: 40 batches of 40."""
    results, random = stopped_early(seed)
    new = random.uniform(-0.1, 1.1, size=(4, results[0].problem.x.shape[1]))
    ratios, _ = compare_with_bound(results, new)
    assert ratios.max(initial=0) <= 1
    assert not {result.status for result in results} & {
        Status.INFEASIBLE,
        Status.UNBOUNDED,
    }  # f = 0 satisfies every shape


@pytest.mark.slow
def test_the_stopped_problems_put_the_bound_to_the_test():
    """Nearly all have one, and for many it lies far above what the witness may be off, yet not far above the error."""
    found = [compare_with_bound(stopped_early(seed)[0], np.zeros((1, 1))) for seed in (6, 8, 15, 22, 33, 34, 35)]
    ratios, sharp = (np.concatenate(part) for part in zip(*found, strict=True))
    assert len(ratios) >= 0.9 * 7 * 40
    assert sharp.sum() >= 0.4 * 7 * 40
    assert ratios[sharp].max() > 0.25


@pytest.mark.parametrize("kernel", [RBF(20.0), Polynomial(1.0, 3), None], ids=str)
def test_the_bound_is_attained(kernel):
    """Targets out of reach: the absolute loss is linear, f* = -Σ u_i k(x_i, ·)/(2 ridge) with u = -sign y, P(f* + δ) =
    P* + ridge ‖δ‖².

    For δ along k(x, ·) the error at x is the bound: nothing smaller is true.
    """
    x, ridge = np.linspace(-1, 1, 9)[:, None], 0.4
    y = 1e3 * (-1.0) ** np.arange(9)
    problem = Problem(x, y, kernel, Absolute(), [Ridge(ridge)])
    form, basis = canonicalize(problem), problem.design.evaluate(x)
    best = basis.T @ np.sign(y) / (2 * ridge)
    for row in (0, 3, 7):
        away = 0.01 * basis[row]
        certificate = certify(form, (best + away)[None], -np.sign(y)[None]).certificates[0]
        size = math.sqrt(problem.design.diagonal(x)[row])
        assert certificate.norm_bound * size == pytest.approx(basis[row] @ away, rel=1e-5)


SLOW = [Laplacian(3.0), Matern32(20.0), Matern52(60.0), RBF(300.0)]


def truncated(problem, limit):
    """The same problem over a basis cut off at a rank: what is left over is large."""
    basis, _ = build_basis(problem.kernel, problem.design.base_x, tuple(problem.design.slopes), limit)
    problem.share_design(Design(problem.design.x, problem.kernel, problem.intercept, problem.design.slopes, basis))
    return problem


def cut_off(kernel, limit, intercept=False):
    random = np.random.default_rng([limit, intercept])
    x = random.uniform(size=30)
    y = np.sin(6 * x) + 0.2 * random.normal(size=30)
    shapes = [[], [Nonnegative()], [Bounds(-0.5, 0.5)]]
    shapes += (
        [[Increasing(column=0)]] if limit >= 20 and not isinstance(kernel, Laplacian) else []
    )  # eight narrow bumps cannot rise
    for loss in LOSSES:
        for regularizers, shape in (([TotalVariation(0.2)], []), *(([], shape) for shape in shapes)):
            targets = y > 0 if isinstance(loss, Logistic) else y
            problem = Problem(x, targets, kernel, loss, [Ridge(0.3), *regularizers], shape, intercept=intercept)
            yield fit(truncated(problem, limit))


@pytest.mark.slow
@pytest.mark.parametrize("kernel", SLOW, ids=str)
@pytest.mark.parametrize("limit", [8, 20])
@pytest.mark.parametrize("intercept", [False, True])
def test_the_bound_holds_for_the_users_kernel_when_the_basis_is_cut_off(kernel, limit, intercept):
    new = np.random.default_rng(7).uniform(size=(10, 1))
    results = list(cut_off(kernel, limit, intercept))
    assert all(result.rank == limit + intercept and result.certificate.norm_bound is not None for result in results)
    ratios, sharp = compare_with_bound(results, new)
    assert ratios.max() <= 1 and sharp.all()


def test_without_the_truncation_the_bound_would_be_false(monkeypatch):
    """The test above can fail: the same answers without the truncation in the bound."""
    monkeypatch.setattr(hw4opt.proof.certificate, "_truncation", lambda form, duals, scale: np.zeros(form.batch))
    ratios, _ = compare_with_bound(cut_off(Laplacian(3.0), 8), np.random.default_rng(7).uniform(size=(10, 1)))
    assert np.all(ratios > 1)


def test_truncation_is_the_norm_of_what_is_left_over(monkeypatch):
    """ridge αᵀ(K - BBᵀ)α; with more functionals than are computed exactly, its bound ridge (Σ |α_j| √d_j)²."""
    result = next(iter(cut_off(Matern32(20.0), 8)))
    kernel, x = result.problem.kernel, result.problem.x
    base = result.design.matrix
    left = kernel.gram(result.design.base_x, result.design.base_x) - base @ base.T
    alpha = result.dual_coef[np.argsort(x[:, 0])]
    certificate = result.certificate
    assert certificate.truncation == pytest.approx(0.3 * alpha @ left @ alpha, rel=1e-9)
    monkeypatch.setattr(hw4opt.proof.certificate, "MAX_EXACT_TRUNCATION_ROWS", 29)
    monkeypatch.setattr(hw4opt.proof.certificate, "MAX_TRUNCATION", 1e9)  # it is plainly enough
    bound = 0.3 * (np.abs(alpha) @ np.sqrt(np.maximum(np.diagonal(left), 0))) ** 2
    assert result.verify().truncation == pytest.approx(bound, rel=1e-6) and bound > 2 * certificate.truncation
    assert certificate.norm_bound == pytest.approx(
        math.sqrt((certificate.gap + certificate.truncation) / 0.3), rel=1e-12
    )
    assert fit(Problem(x, result.problem.y, None, regularizers=[Ridge(0.3)])).certificate.truncation == 0


def test_the_bound_of_a_fit_with_intercept_says_what_it_covers():
    certificate = fit(one_problem(Huber(0.3), intercept=True)).certificate
    assert certificate.norm_bound is not None
    assert certificate.norm_bound_reason == "the bound covers the fit without its unpenalised intercept"
    assert fit(one_problem(Huber(0.3))).certificate.norm_bound_reason is None
