"""`crosscheck`: which solvers are asked, who agrees with whom, and the odd one out, planted."""

from dataclasses import replace

import numpy as np
import pytest

from hw4opt import RBF, Absolute, Huber, Increasing, Problem, Ridge, Status, fit
from hw4opt import crosscheck as module
from hw4opt.crosscheck import COMPARED_BACKENDS, crosscheck, default_solvers, every_solver, robust_spread
from hw4opt.fit import fit_rows
from hw4opt.solvers import installed

X = np.linspace(0, 1, 40)
Y = np.floor(5 * X) + 0.3 * np.random.default_rng(0).standard_normal(40)
PROBLEM = Problem(X, Y, RBF(20.0), Huber(1), [Ridge(0.1)], [Increasing()])
NATIVE = ["interior", "admm", "proximal"]


def plant(monkeypatch, **wrong):
    """`fit_rows`, but the named solvers' results are changed."""

    def planted(problems, solver, **options):
        (result,) = fit_rows(problems, "interior" if solver in wrong else solver, **options)
        return [wrong[solver](replace(result, solver=solver)) if solver in wrong else result]

    monkeypatch.setattr(module, "fit_rows", planted)


def moved(result, by=1e-3, status=Status.CERTIFIED):
    """Another w and the objective there, with the gap of the right answer."""
    w = result.w * (1 + by)
    certificate = replace(result.certificate, objective=result.objective * (1 + by), gap=1e-12, relative_gap=1e-14)
    return replace(result, w=w, certificate=certificate, status=status)


def test_the_default_solvers():
    found = default_solvers()
    assert found[:4] == ["admm", "interior", "newton", "proximal"]
    assert set(found[4:]) == set(COMPARED_BACKENDS) & {*installed("cvxpy"), *installed("qp")}
    assert {"cvxpy:CLARABEL", "cvxpy:OSQP", "cvxpy:SCS"} <= set(found) < set(every_solver())
    assert not {"cvxpy:HIGHS", "qp:highs"} & set(found)


def test_all_agree():
    told = []
    found = crosscheck(PROBLEM, progress=told.append)
    assert found.agrees and found.odd_one_out is None and told == default_solvers()
    answers = [row for row in found.rows if row.status == "certified"]
    assert len(answers) >= 5
    for row in answers:
        assert set(row.agrees_with) == {other.solver for other in answers} - {row.solver}
        assert row.fitted_difference <= 1e-4
    assert min(row.fitted_difference for row in answers) == 0
    refused = next(row for row in found.rows if row.solver == "newton")
    assert refused.status == "refused" and refused.fitted_difference is None and refused.agrees_with == ()


def test_a_certified_answer_that_is_wrong_is_the_odd_one_out(monkeypatch):
    plant(monkeypatch, newton=moved)
    found = crosscheck(PROBLEM, ["newton", *NATIVE])
    assert found.odd_one_out == "newton" and not found.agrees
    assert any("newton and interior differ by" in fault for fault in found.faults)
    rows = {row.solver: row for row in found.rows}
    assert rows["newton"].agrees_with == () and set(rows["admm"].agrees_with) == {"interior", "proximal"}
    assert (
        rows["admm"].fitted_difference < 1e-6 < rows["newton"].fitted_difference
    )  # the best answer is one of the majority
    assert rows["newton"].fitted_difference == pytest.approx(
        1e-3 * np.abs(fit(PROBLEM).fitted).max() / robust_spread(Y), rel=1e-6
    )


def test_certified_fits_apart_at_one_objective_are_told(monkeypatch):
    def elsewhere(result):
        return replace(result, w=result.w * 1.01)

    plant(monkeypatch, newton=elsewhere)
    assert crosscheck(PROBLEM, ["newton", *NATIVE]).odd_one_out == "newton"


def test_an_uncertified_answer_that_lies_apart_is_no_disagreement(monkeypatch):
    plant(monkeypatch, newton=lambda result: moved(result, 0.05, Status.INACCURATE))
    found = crosscheck(PROBLEM, NATIVE)
    assert found.odd_one_out is None
    monkeypatch.setattr(module, "native_solvers", lambda: NATIVE)
    found = crosscheck(PROBLEM, ["newton", *NATIVE])
    assert found.odd_one_out == "newton" and found.agrees


def test_a_rough_answer_is_not_the_odd_one_out(monkeypatch):
    plant(monkeypatch, newton=lambda result: moved(result, 1e-6, Status.INACCURATE))
    found = crosscheck(PROBLEM, ["newton", *NATIVE])
    assert found.odd_one_out is None and set(found.rows[0].agrees_with) == set(NATIVE)


@pytest.mark.parametrize(
    "nothing",
    [
        lambda result: moved(result, 0.5, Status.ITERATION_LIMIT),
        lambda result: replace(result, w=0 * result.w, status=Status.UNCERTIFIED),
        lambda result: moved(result, np.nan, Status.NO_FINITE_MAXIMUM),
    ],
)
def test_who_was_stopped_or_failed_is_not_the_odd_one_out(monkeypatch, nothing):
    plant(monkeypatch, newton=nothing)
    assert crosscheck(PROBLEM, ["newton", *NATIVE]).odd_one_out is None


def test_two_that_disagree_have_no_odd_one_out(monkeypatch):
    plant(monkeypatch, newton=moved)
    found = crosscheck(PROBLEM, ["newton", "interior"])
    assert found.odd_one_out is None and not found.agrees


def test_of_two_the_one_farther_off_is_named(monkeypatch):
    plant(monkeypatch, newton=lambda result: moved(result, 1e-3), proximal=lambda result: moved(result, 1e-2))
    assert crosscheck(PROBLEM, ["newton", "interior", "admm", "proximal"]).odd_one_out == "proximal"


def test_objectives_may_differ_by_their_gaps_and_a_billionth_of_the_scale(monkeypatch):
    for share, agrees in ((0.5, True), (3.0, False)):

        def near(result, share=share):
            off = share * 1e-9 * result.certificate.gap_scale + result.certificate.gap
            return replace(result, certificate=replace(result.certificate, objective=result.objective + off))

        plant(monkeypatch, newton=near)
        assert crosscheck(PROBLEM, ["newton", "interior"]).agrees == agrees


def test_fits_that_are_not_unique_may_differ(monkeypatch):
    """Without ridge the median of an even number of rows is an interval."""
    flat = Problem([-1, 1, -1, 1], [0, 0, 1, 1], loss=Absolute(), intercept=True)

    def other(result):
        return replace(result, w=result.w + np.array([0, 0.2]), status=Status.INACCURATE)

    plant(monkeypatch, newton=other)
    assert crosscheck(flat, ["newton", "interior", "admm"]).odd_one_out is None


def test_the_limit_goes_to_every_solver(monkeypatch):
    given = []
    monkeypatch.setattr(
        module, "fit_rows", lambda some, solver, **options: given.append(options) or fit_rows(some, solver)
    )
    crosscheck(PROBLEM, ["interior", "admm"])
    crosscheck(PROBLEM, ["interior"], time_limit=3)
    assert given == [{"time_limit": 60}, {"time_limit": 60}, {"time_limit": 3}]


def test_the_robust_spread():
    draw = np.random.default_rng(1).standard_normal(10_001)
    assert robust_spread(draw) == pytest.approx(1, rel=0.05)
    assert robust_spread(np.append(draw, 1e12)) == pytest.approx(1, rel=0.05)
    assert (
        robust_spread(np.array([0, 0, 0, 1.0])) == pytest.approx(np.std([0, 0, 0, 1]))
        and robust_spread(np.ones(3)) == 1
    )
