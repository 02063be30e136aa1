"""Every solver found × every reference problem that it does not refuse; refusals in sentences; batches; `auto`."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    EpsilonInsensitive,
    Huber,
    Increasing,
    InputError,
    Laplacian,
    Matern32,
    Nonnegative,
    Poisson,
    Problem,
    Ridge,
    Squared,
    TotalVariation,
    UnknownNameError,
    fit,
    fit_batch,
)
from hw4opt.crosscheck import crosscheck, default_solvers, every_solver
from hw4opt.errors import RefusedError
from hw4opt.solvers import load_solver, native_solvers, solver_names

BACKENDS = ("CLARABEL", "OSQP", "ECOS", "SCS")
NATIVE = native_solvers()
SOLVERS = [*NATIVE, *(f"cvxpy:{name}" for name in BACKENDS)]
BACKENDS_BESIDE = ("cvxpy:OSQP", "cvxpy:ECOS", "cvxpy:SCS")  # beside Clarabel, the oracle's
SMOOTH = {
    "squared",
    "least squares",
    "logistic",
    "logistic, linear",
    "counts",
    "counts, ridge",
    "counts, offset and weights",
    "counts of at least 1",
    "counts, curve",
}
REFUSED = {
    "proximal": {  # neither the primal nor the dual has a smooth part
        "l1, huber, ridge",
        "absolute, linear",
        "absolute, intercept",
        "quantile, intercept",
        "epsilon-insensitive, intercept",
        "decreasing, linear",
        "counts",  # its curvature has no bound
        "counts, ridge",
        "counts, offset and weights",
        "counts, l1",
        "counts of at least 1",
        "counts of at least 1, l1",
    },
}

REFUSAL = r"refuses this problem: .* smooth(, of bounded curvature)?; .* (is|are) not$|cvxpy:OSQP cannot"


def refused(solver, name):
    """Whether a solver must refuse a reference problem."""
    if solver == "newton":
        return name not in SMOOTH
    if solver == "cvxpy:OSQP":  # no exponential cone
        return name.startswith(("logistic", "counts"))
    return name in REFUSED.get(solver, ())


def test_the_promised_solvers_are_found():
    assert {"admm", "cvxpy", "interior", "newton", "proximal", "qp"} <= set(solver_names())
    assert NATIVE == ["admm", "interior", "newton", "proximal"]
    assert {*NATIVE, "cvxpy:CLARABEL", "cvxpy:OSQP", "cvxpy:SCS"} <= set(default_solvers()) <= set(every_solver())
    assert {"cvxpy:HIGHS", "cvxpy:SCIPY"} <= set(every_solver()) - set(default_solvers())


@pytest.mark.parametrize(
    "solver",
    [
        *(solver for solver in SOLVERS if solver not in BACKENDS_BESIDE),
        *(pytest.param(solver, marks=pytest.mark.thinned(4)) for solver in BACKENDS_BESIDE),
    ],
)
def test_a_solver_certifies_and_agrees_with_the_oracle_or_refuses(solver, reference, oracle):
    name, problem = reference
    family, _, backend = solver.partition(":")
    if backend and backend not in load_solver("cvxpy").backends():
        pytest.skip(f"{backend} is not installed; it has no wheels for this Python")
    if refused(solver, name):
        with pytest.raises(RefusedError, match=REFUSAL):
            fit(problem, solver)
        return
    result, best = fit(problem, solver), oracle(problem)
    certificate = result.certificate
    assert result.status.word == "certified", result.message
    assert best.status.word == "certified", best.message
    assert (
        certificate.relative_gap <= load_solver(family).tolerance
        and certificate.violation <= load_solver(family).tolerance
    )
    if family == "proximal":
        result = fit(problem, solver, tol=1e-8)  # of which its default is 100 times
        assert result.status.word == "certified", result.message
    allowed = 1e-6 if backend in ("ECOS", "SCS") else 1e-7
    assert abs(result.objective - best.objective) <= allowed * abs(best.objective)


def test_auto_says_which_solver_it_picked(reference):
    name, problem = reference
    result = fit(problem)
    assert result.solver in NATIVE and result.status.word == "certified", name


def test_the_solver_and_back_end_are_named(references):
    assert fit(references["huber"], "cvxpy").solver == "cvxpy:CLARABEL"
    assert fit(references["huber"], "cvxpy:osqp").solver == "cvxpy:OSQP"


@pytest.mark.parametrize("solver", [solver for solver in SOLVERS if solver != "newton"])
def test_duals_are_subgradients_with_the_same_sign_everywhere(solver, references):
    if solver.startswith("cvxpy:") and solver[6:] not in load_solver("cvxpy").backends():
        pytest.skip(f"{solver} is not installed")
    problem = references["huber, tv"]
    result = fit(problem, solver)
    residual = result.fitted - problem.y
    assert_allclose(result.duals["huber"], 2 * np.clip(residual, -1, 1), atol=2e-3)
    jumps = np.diff(result.fitted)
    clear = np.abs(jumps) > 1e-2
    assert clear.sum() >= 3
    assert_allclose(result.duals["tv"][clear], 0.36 * np.sign(jumps[clear]), atol=2e-3)


@pytest.mark.parametrize(
    "name",
    [
        "huber, tv",
        "lasso",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("monotone", "logistic, linear", "counts")),
    ],
)
def test_the_crosscheck_agrees(name, references):
    found = crosscheck(references[name])
    assert found.agrees, found.faults
    assert sum(row.status == "certified" for row in found.rows) >= 5
    assert all(row.message.strip() for row in found.rows)


@pytest.mark.parametrize(
    ("solver", "problem", "sentence"),
    [
        (
            "interior",
            Problem(np.eye(3), [1, 2, 4], RBF(1), regularizers=[Ridge(1), TotalVariation(1)]),
            "tv needs an order along one x column",
        ),
        (
            "interior",
            Problem(np.eye(3), [1, 2, 4], RBF(1), regularizers=[Ridge(1)], constraints=[Increasing()]),
            "increasing:column=NAME",
        ),
        (
            "admm",
            Problem([0, 1, 2], [1, 2, 4], RBF(1), regularizers=[Ridge(1), L1(1)]),
            "l1 acts on coefficients and needs a linear design",
        ),
        (
            "interior",
            Problem([0, 1, 2], [1, 2, 4], Laplacian(1), constraints=[Increasing(0)]),
            "laplacian kernel has no derivative",
        ),
        ("proximal", Problem([0, 1, 2], [1, 2, 4], loss=Absolute()), "with ridge 0 proximal needs .* absolute is not"),
    ],
)
def test_a_refusal_names_both_sides(solver, problem, sentence):
    with pytest.raises(RefusedError, match=sentence):
        fit(problem, solver)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"solver": "interor"},
            "no solver 'interor' .did you mean 'interior'.*admm, auto, cvxpy, cvxpy:NAME, "
            "interior, newton, proximal, qp, qp:NAME",
        ),
        ({"solver": "cvxpy:NOPE"}, "no installed cvxpy solver 'NOPE'.*CLARABEL"),
        ({"solver": "admm:OSQP"}, "only cvxpy and qp take a name after a colon"),
        ({"tol": 0}, "tol is 0; it must lie between 0 and 1"),
        ({"tol": float("nan")}, "tol is nan"),
        ({"max_iterations": 0}, "max_iterations is 0; it must be 1 or more"),
        ({"time_limit": 0}, "time_limit is 0; it must be above 0"),
        ({"time_limit": float("nan")}, "time_limit is nan"),
    ],
)
def test_a_wrong_option_is_refused_in_a_sentence(options, sentence, references):
    with pytest.raises((InputError, UnknownNameError), match=sentence):
        fit(references["huber"], **options)


@pytest.mark.parametrize("solver", ["interior", "newton", "admm", "proximal", "cvxpy:CLARABEL"])
def test_a_fit_stopped_early_never_claims_more_than_it_has(solver, references, oracle):
    for name in ("huber, tv", "monotone", "logistic, linear", "tv, trend 2", "counts"):
        if refused(solver, name):
            continue
        result, best = fit(references[name], solver, tol=1e-13, max_iterations=3), oracle(references[name])
        gap = result.certificate.gap
        assert result.status.word != "certified" or result.certificate.relative_gap <= 1e-13
        assert gap is None or result.objective - best.objective <= gap + 1e-11 * abs(best.objective)


BATCHES = {
    "huber, tv": lambda y, draw: Problem(
        X,
        y,
        KERNEL,
        Huber(draw.uniform(0.2, 3)),
        [Ridge(draw.uniform(0.05, 1)), TotalVariation(draw.uniform(0, 1))],
        weights=draw.uniform(0.1, 2, 40),
    ),
    "increasing": lambda y, draw: Problem(
        X, y, KERNEL, Huber(draw.uniform(0.2, 3)), [Ridge(draw.uniform(0.05, 1))], [Increasing()]
    ),
    "lasso": lambda y, draw: Problem(
        X, y, regularizers=[L1(draw.uniform(0, 5))], weights=draw.uniform(0.1, 2, 40), intercept=True
    ),
    "squared": lambda y, draw: Problem(
        X, y, KERNEL, Squared(), [Ridge(draw.uniform(0.05, 1))], weights=draw.uniform(0.1, 2, 40)
    ),
    "counts": lambda y, draw: Problem(
        X, np.floor(np.abs(y)), loss=Poisson(), weights=draw.uniform(0.1, 2, 40), intercept=True
    ),
    "counts of at least 1": lambda y, draw: Problem(
        X, 1 + np.floor(np.abs(y)), loss=Poisson(truncated=True), weights=draw.uniform(0.1, 2, 40), intercept=True
    ),
    "counts, curve": lambda y, draw: Problem(
        X, np.floor(np.abs(y)), KERNEL, Poisson(), [Ridge(draw.uniform(0.05, 1))], intercept=True
    ),
}
PLAIN = {"squared", "counts", "counts of at least 1", "counts, curve"}
X, KERNEL = np.sort(np.random.default_rng(8).uniform(0, 3, 40)), RBF(4)


@pytest.mark.parametrize(
    ("solver", "kind"),
    [(solver, kind) for solver in NATIVE for kind in BATCHES if (solver == "newton") == (kind in PLAIN)],
)
def test_a_batch_equals_its_single_fits(solver, kind):
    draw = np.random.default_rng(9)
    problems = [BATCHES[kind](X + 0.3 * draw.standard_normal(40), draw) for _ in range(30)]
    together = fit_batch(problems, solver, tol=1e-9)
    alone = [fit(dataclasses.replace(problem), solver, tol=1e-9) for problem in problems]
    assert len({id(result.problem.design) for result in together}) == 1
    for one, other in zip(together, alone, strict=True):
        assert one.status.word == other.status.word == "certified"
        assert_allclose(one.objective, other.objective, rtol=2e-9)
        assert np.abs(one.fitted - other.fitted).max() <= 1e-3


def test_a_batch_that_shares_too_little_is_refused(references):
    with pytest.raises(InputError, match="problem 1 of the batch differs from the first in x"):
        fit_batch([references["squared"], references["huber"]])
    with pytest.raises(InputError, match="problem 1 of the batch has other terms"):
        fit_batch([Problem(X, X, KERNEL), Problem(X, X, KERNEL, Absolute())])
    with pytest.raises(InputError, match="no problem"):
        fit_batch([])


@pytest.mark.parametrize("solver", ["interior", "admm", "cvxpy:CLARABEL"])
def test_infeasible_is_said_only_where_no_function_is_feasible(solver):
    x = np.linspace(-1, 1, 9)
    never = fit(
        Problem(x, x, loss=Absolute(), constraints=[Bounds(lower=1)]), solver
    )  # a line through 0 is not above 1
    assert never.status.word == "infeasible"
    only_zero = fit(
        Problem(x, x + 1, loss=Absolute(), constraints=[Nonnegative()]), solver
    )  # f = 0 is feasible, though nothing is strictly so
    assert only_zero.status.word != "infeasible"


@pytest.mark.parametrize("seed", [20, 27])
def test_complementarity_waits_for_residuals(seed):
    """If complementarity is only kept constant while residuals are much larger, these end at the iteration limit."""
    draw = np.random.default_rng(seed)
    x, y, offset = draw.uniform(-1, 1, (19, 2)), 1e-3 * draw.standard_normal(19), 1e-3 * draw.standard_normal(19)
    loss, shape = EpsilonInsensitive(0), Increasing(column=0)
    result = fit(
        Problem(x, y, Matern32(1), loss, [Ridge(1)], [shape], offset=offset, intercept=True, standardize=True),
        "interior",
    )
    assert result.status.word == "certified"
