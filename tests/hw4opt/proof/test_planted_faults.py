"""Planted faults that the certificate must catch: wrong proximal maps, conjugates, gradients, and statuses."""

import dataclasses

import numpy as np
import pytest

from cone_program import optimum
from hw4opt import (
    Absolute,
    Huber,
    Logistic,
    Quantile,
    Status,
    TotalVariation,
    fit,
)
from hw4opt.crosscheck import crosscheck
from hw4opt.fit import prove
from hw4opt.form import BoxRows
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.proof.certificate import certify
from hw4opt.solvers import _first_order as first_order
from hw4opt.solvers import load_solver
from hw4opt.solvers._polish import Polished
from hw4opt.terms import Table
from small_problems import one_problem


def believe(form, w, u, aim):
    """Polishing that changes nothing and reports success."""
    return Polished(w, u, np.zeros(form.batch))


@pytest.fixture
def first_order_methods_alone(monkeypatch):
    """They are not polished, and end after 4,000 steps."""
    monkeypatch.setattr(first_order, "polish", believe)
    monkeypatch.setattr(first_order, "FIRST_POLISH", 4000)


@pytest.mark.parametrize("loss", [Huber(0.3), Absolute(), Quantile(0.8)], ids=lambda loss: loss.name)
def test_a_wrong_prox_is_caught(loss, monkeypatch, first_order_methods_alone):
    """A box that is 5 % too wide: the solver converges, and says so; the certificate, which has not its prox, does not
    believe it."""
    problem = one_problem(loss, regularizers=[TotalVariation(0.3)])
    assert fit(problem, "admm", tol=1e-5).status is Status.CERTIFIED  # without the fault these steps are enough
    right = BoxRows.prox_dual
    wide = lambda rows: BoxRows(rows.quadratic, rows.shift, 1.05 * rows.low, 1.05 * rows.high)  # noqa: E731
    monkeypatch.setattr(BoxRows, "prox_dual", lambda rows, *at: right(wide(rows), *at))
    result = fit(problem, "admm", tol=1e-5)
    assert result.status in (Status.INACCURATE, Status.ITERATION_LIMIT)
    missing = result.objective - optimum(problem).objective
    assert result.certificate.gap >= missing > 1e-5 * result.objective


def test_a_wrong_prox_of_the_dual_is_caught(monkeypatch, first_order_methods_alone):
    problem = one_problem(Huber(0.3), regularizers=[TotalVariation(0.3)])
    assert fit(problem, "proximal", tol=1e-5).status is Status.CERTIFIED
    right = BoxRows.prox_dual
    monkeypatch.setattr(BoxRows, "prox_dual", lambda rows, z, center, step: right(rows, 0.98 * z, 0.98 * center, step))
    result = fit(problem, "proximal", tol=1e-5)
    assert result.status is not Status.CERTIFIED
    assert result.certificate.gap >= result.objective - optimum(problem).objective > 0


class WrongTable(Huber):
    """Huber whose conjugate's box is 10 % too wide: native solvers minimise another function than the model."""

    @property
    def tables(self):
        return (Table(quadratic=0.5, low=-2.2 * self.delta, high=2.2 * self.delta),)


class WrongCurve(Huber):
    """Huber whose conjugate is u²/3.6 instead of u²/4."""

    @property
    def tables(self):
        return (Table(quadratic=2 / 3.6, low=-2 * self.delta, high=2 * self.delta),)


class TurnedTable(Quantile):
    """The quantile's mirror image."""

    @property
    def tables(self):
        return (Table(low=self.tau - 1, high=self.tau),)


@pytest.mark.parametrize(
    "loss", [WrongTable(0.3), WrongCurve(0.3), TurnedTable(0.8)], ids=lambda loss: type(loss).__name__
)
def test_a_wrong_conjugate_is_caught(loss):
    """The model, written apart from the table, leads to a point and duals that the table's certificate does not
    accept."""
    problem = one_problem(loss, regularizers=[TotalVariation(0.1)])
    right = one_problem(type(loss).__mro__[1](*vars(loss).values()), regularizers=[TotalVariation(0.1)])
    assert fit(right, "cvxpy").status is Status.CERTIFIED
    result = fit(problem, "cvxpy")
    assert result.status is Status.INACCURATE
    assert result.certificate.relative_gap > 1e-4
    checked = crosscheck(problem, ["interior", "cvxpy:CLARABEL"])
    assert not checked.agrees and checked.faults == ["fewer than two solvers are certified (1)"]


class DearConjugate(Logistic):
    def conjugate_pointwise(self, u, y):
        return super().conjugate_pointwise(u, y) + 1e-3


class CheapConjugate(Logistic):
    def conjugate_pointwise(self, u, y):
        return super().conjugate_pointwise(u, y) - 1e-3


class HalfConjugate(Logistic):
    def conjugate_pointwise(self, u, y):
        return 0.5 * super().conjugate_pointwise(u, y)


class WrongGradient(Logistic):
    def gradient(self, z, y):
        return 0.99 * super().gradient(z, y)


@pytest.mark.parametrize(
    "loss", [DearConjugate(), CheapConjugate(), HalfConjugate(), WrongGradient()], ids=lambda loss: type(loss).__name__
)
@pytest.mark.parametrize("solver", ["interior", "admm"])
def test_a_wrong_smooth_conjugate_or_gradient_is_caught(loss, solver):
    """Too large a conjugate increases the gap; too small a one violates f(z) + f*(u) ≥ ⟨z, u⟩, and proves nothing."""
    assert fit(one_problem(Logistic()), solver, max_iterations=200).status is Status.CERTIFIED
    result = fit(one_problem(loss), solver, max_iterations=200)
    assert result.status is not Status.CERTIFIED
    assert result.certificate.gap is None or result.certificate.relative_gap > 1e-9


def test_a_dual_outside_its_domain_is_brought_into_it_before_it_counts():
    """Duals twice too large would give a dual value above P*: clipped, the gap stays true."""
    problem = one_problem(Absolute(), regularizers=[TotalVariation(0.3)])
    result = fit(problem)
    form = canonicalize(problem)
    duals = 2 * form.split_duals([u[None] for u in result.duals.values()])
    proof = certify(form, result.w[None], duals)
    assert proof.certificates[0].dual_objective <= optimum(problem).objective * (1 + 1e-9)
    assert all(np.abs(u).max() <= bound for u, bound in zip(form.of_terms(proof.u), (1.0, 0.3), strict=True))


def test_a_solvers_word_is_not_believed():
    """An answer that says certified, with a point that is off."""
    problem = one_problem(Huber(0.3))
    form = canonicalize(problem)
    answer = load_solver("interior").solve(form, Options(tol=1e-9))
    assert answer.reached == [Status.CERTIFIED]
    off = dataclasses.replace(answer, w=1.001 * answer.w)
    proof, statuses = prove(form, off, 1e-9)
    assert statuses == [Status.INACCURATE] and proof.certificates[0].gap > 0
    nowhere = dataclasses.replace(answer, w=np.full_like(answer.w, np.nan))
    assert prove(form, nowhere, 1e-9)[1][0] is not Status.CERTIFIED
