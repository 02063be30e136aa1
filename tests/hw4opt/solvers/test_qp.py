"""`qp:NAME`: every installed backend against the interior point, duals and all; names, refusals, and what a backend
says when it fails."""

import subprocess
import sys

import numpy as np
import pytest

from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    EpsilonInsensitive,
    Huber,
    Increasing,
    InputError,
    Poisson,
    Problem,
    Quantile,
    RefusedError,
    Ridge,
    Squared,
    TotalVariation,
    UnknownNameError,
    fit,
    fit_batch,
)
from hw4opt.datasets import step_data
from hw4opt.solvers import installed, load_solver

EXTRA = "the extra is missing: pip install 'hw4opt[qp]'"
pytest.importorskip("qpsolvers", reason=EXTRA)

BACKENDS = ("daqp", "piqp", "proxqp", "quadprog")  # of the extra; HiGHS, which comes with it, solves few of these


def motorcycle(n=120, seed=7):
    """A curve with ties in x and noise that grows along it, such as accelerations after a crash."""
    draw = np.random.default_rng(seed)
    x = np.sort(np.round(draw.uniform(2.4, 57.6, n) * 5) / 5)
    y = 55 * np.exp(-(((x - 32) / 6) ** 2)) - 120 * np.exp(-(((x - 21) / 6) ** 2))
    return x, np.round(y + np.where(x < 14, 2, 22) * draw.standard_normal(n), 1)


STEPS, MOTORCYCLE = step_data()[:2], motorcycle()
DATA = {"steps": (STEPS, RBF(80), 0.1, 0.3), "motorcycle": (MOTORCYCLE, RBF(0.131), 0.01, 3.0)}
KINDS = {
    "squared": lambda tv: (Squared(), [], []),
    "huber": lambda tv: (Huber(1), [], []),
    "tv": lambda tv: (Squared(), [TotalVariation(tv)], []),
    "huber, tv": lambda tv: (Huber(1), [TotalVariation(tv)], []),
    "increasing": lambda tv: (Squared(), [], [Increasing()]),
    "quantile": lambda tv: (Quantile(0.8), [], []),
    "absolute, bounds": lambda tv: (Absolute(), [], [Bounds(0, 10)]),
    "epsilon": lambda tv: (EpsilonInsensitive(0.3), [], []),
}


SHORT = {("motorcycle", "huber, tv", "quadprog"): 1e-7}  # relative gaps of answers that say they are inaccurate


def problem(data, kind):
    (x, y), kernel, ridge, tv = DATA[data]
    loss, regularizers, constraints = KINDS[kind](tv)
    return Problem(x, y, kernel, loss, [Ridge(ridge), *regularizers], constraints)


def needs(name):
    if f"qp:{name}" not in installed("qp"):
        pytest.skip(f"{name} is not installed")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", ["steps", pytest.param("motorcycle", marks=pytest.mark.slow)])
def test_a_backend_agrees_with_the_interior_point(data, kind, backend):
    needs(backend)
    one = problem(data, kind)
    found, best = fit(one, f"qp:{backend}"), fit(one, "interior")
    assert found.solver == f"qp:{backend}"
    tol = SHORT.get((data, kind, backend), 1e-8)
    assert found.certificate.relative_gap <= tol, found.message
    assert (found.status.word == "certified") == (found.certificate.relative_gap <= 1e-8)
    assert (
        abs(found.objective - best.objective) <= found.certificate.gap + best.certificate.gap + 1e-10 * best.objective
    )
    again = found.verify()  # from w and the duals alone
    assert again.relative_gap <= tol and again.stationarity <= 1e-6


@pytest.mark.parametrize("backend", BACKENDS)
def test_duals_are_subgradients(backend):
    needs(backend)
    found = fit(problem("steps", "huber, tv"), f"qp:{backend}")
    np.testing.assert_allclose(found.duals["huber"], 2 * np.clip(found.fitted - STEPS[1], -1, 1), atol=1e-3)
    jumps = np.diff(found.fitted)
    clear = np.abs(jumps) > 1e-2
    assert clear.sum() >= 3 and (~clear).any()
    np.testing.assert_allclose(found.duals["tv"][clear], 0.3 * np.sign(jumps[clear]), atol=1e-4)
    assert np.abs(found.duals["tv"]).max() <= 0.3


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_ridge_and_with_weights_and_an_intercept(backend):
    needs(backend)
    draw = np.random.default_rng(3)
    x = draw.standard_normal((40, 3))
    y, weights = (
        x @ [1.0, -2.0, 0.0] + 3 + 0.5 * draw.standard_t(3, 40),
        draw.uniform(0, 2, 40) * (draw.uniform(size=40) > 0.2),
    )
    one = Problem(x, y, loss=Huber(0.5), regularizers=[L1(2)], weights=weights, intercept=True)
    found, best = fit(one, f"qp:{backend}"), fit(one, "interior")
    assert abs(found.objective - best.objective) <= 1e-7 * best.objective
    assert found.certificate.gap is not None and found.certificate.relative_gap <= 1e-6


def test_a_batch_is_solved_problem_by_problem():
    needs("piqp")
    problems = [Problem(*STEPS, RBF(80), Huber(delta), [Ridge(0.1)]) for delta in (0.5, 1.0, 2.0)]
    together = fit_batch(problems, "qp:piqp")
    assert [result.status.word for result in together] == ["certified"] * 3
    assert [result.objective for result in together] == pytest.approx(
        [fit(one, "interior").objective for one in problems], rel=1e-8
    )


def test_names():
    needs("piqp")
    assert fit(problem("steps", "huber"), "qp").solver == "qp:piqp"
    assert fit(problem("steps", "huber"), "qp:PIQP").solver == "qp:piqp"
    with pytest.raises(
        UnknownNameError, match=r"no installed qp solver 'piqq' .did you mean 'piqp'.*; there are .*piqp"
    ):
        fit(problem("steps", "huber"), "qp:piqq")


def test_without_piqp_the_first_one_stands_for_qp(monkeypatch):
    monkeypatch.setattr("qpsolvers.available_solvers", ["proxqp", "daqp"])
    assert load_solver("qp").backend("") == "daqp"


def test_a_smooth_loss_is_refused_in_a_sentence():
    with pytest.raises(RefusedError, match="qp refuses this problem: a quadratic program cannot hold poisson loss"):
        fit(Problem(STEPS[0], np.arange(50), loss=Poisson()), "qp")


def test_an_iteration_limit_is_the_backends_own_or_refused():
    needs("piqp")
    stopped = fit(problem("steps", "huber, tv"), "qp:piqp", max_iterations=2)
    assert stopped.status.word == "iteration_limit" and stopped.iterations == 2
    needs("quadprog")
    with pytest.raises(InputError, match="qp:quadprog has no limit on iterations"):
        fit(problem("steps", "huber"), "qp:quadprog", max_iterations=2)


def test_what_a_backend_raises_is_a_note(monkeypatch):
    def broken(*_, **__):
        raise ArithmeticError("a pivot is 0\nat line 7")

    monkeypatch.setattr("qpsolvers.solve_problem", broken)
    result = fit(problem("steps", "huber"), "qp:piqp")
    assert result.status.word != "certified" and result.note == "qp:piqp failed: a pivot is 0"


def test_dense_matrices_that_are_too_large_are_refused(monkeypatch):
    needs("quadprog")
    monkeypatch.setattr("hw4opt.solvers.qp.PREFERRED_DENSE_ENTRIES", 0)
    monkeypatch.setattr("hw4opt.solvers.qp.MAX_DENSE_ENTRIES", 1000)
    with pytest.raises(RefusedError, match=r"qp:quadprog takes dense matrices, which are too large for .* variables"):
        fit(problem("steps", "huber"), "qp:quadprog")


def test_sparse_matrices_are_as_good_as_dense_ones(monkeypatch):
    needs("piqp")
    monkeypatch.setattr("hw4opt.solvers.qp.PREFERRED_DENSE_ENTRIES", 0)
    assert fit(problem("steps", "huber, tv"), "qp:piqp").status.word == "certified"


def test_the_missing_extra_is_named():
    words = "import sys; sys.modules['qpsolvers'] = None; from hw4cli.opt.app import main; sys.exit(main(sys.argv[1:]))"
    given = ["solve", "--gamma", "80", "--reg", "ridge=0.1", "--select", "none", "--solver", "qp:piqp"]
    done = subprocess.run([sys.executable, "-c", words, *given], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "hw4opt: the solver qp needs qpsolvers; it comes with the extra: pip install 'hw4opt[qp]'\n"


@pytest.mark.slow
def test_without_the_extra_check_asks_the_others():
    words = (
        "import sys; sys.modules['qpsolvers'] = None; from hw4opt.crosscheck import "
        "default_solvers; print(*default_solvers())"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=60)
    assert "interior" in done.stdout and "cvxpy:CLARABEL" in done.stdout and "qp" not in done.stdout
