"""Unpenalised columns: duals are moved onto their balance, or prove nothing."""

import dataclasses

import numpy as np
import pytest

import hw4opt.proof.certificate
from cone_program import objective_by_hand, optimum
from hw4opt import (
    Absolute,
    Logistic,
    Polynomial,
    Status,
    TotalVariation,
    fit,
)
from hw4opt.form.canonicalize import canonicalize
from hw4opt.form.dual_projection import Projected
from hw4opt.proof.certificate import certify
from small_problems import every_loss, one_problem, random_pairs


@every_loss
def test_duals_are_moved_onto_zero_sum_for_an_intercept(loss):
    problem = one_problem(loss, intercept=True, regularizers=[TotalVariation(0.3)])
    form = canonicalize([problem] * 30)
    w, duals = random_pairs(form, np.random.default_rng(9))
    proof = certify(form, w, duals)
    best = optimum(problem).objective
    pulls = form.adjoint(proof.u)
    size = np.abs(proof.u).sum(axis=1)
    assert np.all(np.abs(pulls[:, -1]) <= 1e-11 * size)
    assert np.abs(form.adjoint(duals)[:, -1]).min() > 1e-4  # they were not before
    for i, certificate in enumerate(proof.certificates):
        assert certificate.gap >= max(0, objective_by_hand(problem, w[i]) - best - 1e-8 * abs(best))


@every_loss
@pytest.mark.parametrize("side", [-1, 1])
def test_duals_that_all_stand_at_one_end_can_be_balanced(loss, side):
    """Nothing can move by a Newton step there, but u = 0 is in every loss's domain: one column takes a bisection."""
    problem = one_problem(loss, intercept=True)
    form = canonicalize(problem)
    proof = certify(form, np.zeros(form.penalty.shape), np.full((1, form.size), 1e3 * side))
    certificate = proof.certificates[0]
    assert certificate.reason is None
    assert certificate.gap >= objective_by_hand(problem, proof.w[0]) - optimum(problem).objective - 1e-8
    assert abs(form.adjoint(proof.u)[0, -1]) <= 1e-11


@every_loss
@pytest.mark.parametrize("kernel", [None, Polynomial(1.0, 2)], ids=str)
def test_without_ridge_the_gap_is_true_and_the_bound_null_with_its_reason(loss, kernel):
    problem = one_problem(loss, kernel=kernel, ridge=0.0, intercept=kernel is None)
    if isinstance(loss, Logistic):  # overlapping labels, so that the minimum exists
        problem = dataclasses.replace(problem, y=np.where(np.arange(16) % 5 == 0, 1 - problem.y, problem.y))
    result = fit(problem)
    certificate, best = result.certificate, optimum(problem).objective
    assert result.status is Status.CERTIFIED
    assert result.objective == pytest.approx(best, rel=1e-7)
    assert certificate.norm_bound is None and certificate.truncation == 0
    assert certificate.norm_bound_reason == "ridge is 0: the objective is not strongly convex"
    form = canonicalize([problem] * 20)
    w, duals = random_pairs(form, np.random.default_rng(10))
    w += result.w
    for i, one in enumerate(certify(form, w, duals).certificates):
        assert one.reason is None or "balance" in one.reason
        assert one.gap is None or one.gap >= max(0, objective_by_hand(problem, w[i]) - best - 1e-8 * abs(best))


def test_what_cannot_be_balanced_proves_nothing(monkeypatch):
    problem = one_problem(Absolute(), intercept=True)
    form = canonicalize(problem)
    unreached = lambda form, z, u: Projected(u, np.zeros(form.batch, dtype=bool))  # noqa: E731
    monkeypatch.setattr(hw4opt.proof.certificate, "project_dual", unreached)
    certificate = certify(form, np.zeros(form.penalty.shape), np.zeros((1, form.size))).certificates[0]
    assert certificate.gap is None and certificate.norm_bound is None and not certificate.holds(0.999)
    assert certificate.reason == "no dual point balances the unpenalised columns; give the ridge a weight above 0"
