"""The gap is true: an upper bound of what the objective is above an optimum found elsewhere; and the other numbers
of the certificate.
"""

import dataclasses
import math

import numpy as np
import pytest

from cone_program import objective_by_hand, optimum
from dense_rows import divided
from hw4opt import (
    RBF,
    Absolute,
    Bounds,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Logistic,
    Problem,
    Ridge,
    Squared,
    Status,
    TotalVariation,
    fit,
)
from hw4opt.form.canonicalize import canonicalize
from hw4opt.proof.certificate import certify
from hw4opt.terms import Differences
from small_problems import SETTINGS, every_loss, one_problem, random_pairs


def dual_by_hand(problem, form, duals, i):
    """D(u) = -Σ_k [f_k*(u_k) - ⟨c_k, u_k⟩] - ‖Aᵀu‖²/(4 ridge), conjugates from the terms, A from dense rows."""
    design, pull, total = problem.design, 0.0, 0.0
    keep = np.arange(len(problem.y)) if problem.active is None else problem.active
    values = design.evaluate(problem.features(problem.active_x))
    x, first = np.unique(problem.active_x[:, 0], return_index=True)
    of_terms = form.duals_by_name(duals)
    for term in problem.terms:
        u = of_terms[term.name][i]
        if term is problem.loss:
            weights = np.ones(len(keep)) if problem.weights is None else problem.weights[keep]
            shift = np.zeros(len(keep)) if problem.offset is None else problem.offset[keep]
            y = problem.y[keep]
            more = [(target,) for target in term.check_targets(y)] if term.targets else [()] * len(y)
            shift = shift if term.targets else shift + problem.level - y
            inner = u / weights * (1 - 4e-16)  # dividing must not push it out of the domain
            total -= (
                sum(one * term.conjugate([part], *given) for one, part, given in zip(weights, inner, more, strict=True))
                - shift @ u
            )
            pull = pull + u @ values
        else:
            total -= term.conjugate(u)
            acts = term.acts
            rows = (
                divided(x, acts.order) @ values[first]
                if isinstance(acts, Differences)
                else np.eye(values.shape[1])[: len(u)]
            )
            pull = pull + u @ rows
    assert np.abs(pull[~design.penalized]).max(initial=0) <= 1e-11 * (1 + np.abs(pull).max())
    return total - np.square(pull[design.penalized]).sum() / (4 * problem.ridge)


@every_loss
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_gap_is_primal_minus_dual_and_never_below_what_is_missing(loss, setting):
    """For 40 random pairs of a point and duals: P and D by hand, P* from the witness."""
    problem = one_problem(loss, **SETTINGS[setting])
    form = canonicalize([problem] * 40)
    w, duals = random_pairs(form, np.random.default_rng(5))
    proof = certify(form, w, duals)
    best = optimum(problem).objective
    for i, certificate in enumerate(proof.certificates):
        objective = objective_by_hand(problem, proof.w[i])
        assert certificate.reason is None and certificate.violation == 0
        assert certificate.objective == pytest.approx(objective, rel=1e-9)
        assert certificate.gap >= 0
        assert certificate.gap >= objective - best - 1e-8 * abs(best)
        dual = dual_by_hand(problem, form, proof.u, i)
        size = abs(objective) + abs(dual)
        assert certificate.dual_objective == pytest.approx(objective - certificate.gap, abs=1e-11 * size)
        if (
            loss.name == "epsilon_insensitive"
        ):  # two sheets: random duals of each add up to a dual that one conjugate prices lower
            assert certificate.gap >= objective - dual - 1e-9 * size
        else:
            assert certificate.gap == pytest.approx(objective - dual, abs=1e-9 * size)


@every_loss
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_gap_closes_at_the_optimum_and_opens_beside_it(loss, setting):
    problem = one_problem(loss, **SETTINGS[setting])
    result = fit(problem)
    assert result.status is Status.CERTIFIED
    assert result.objective == pytest.approx(optimum(problem).objective, rel=1e-8)
    form = canonicalize([problem] * 12)
    random = np.random.default_rng(6)
    away = 10.0 ** -np.arange(12)[:, None]
    w = result.w + away * random.normal(size=form.penalty.shape)
    duals = form.split_duals([np.tile(u, (12, 1)) for u in result.duals.values()])
    gaps = np.array([certificate.gap for certificate in certify(form, w, duals).certificates])
    assert np.all(np.diff(gaps[:4]) < 0) and gaps[0] > 1e-3
    assert gaps[-1] <= 1e-8 * abs(result.objective)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
@pytest.mark.parametrize("loss", [Squared(), Huber(0.3), Absolute()], ids=lambda loss: loss.name)
@pytest.mark.parametrize("intercept", [False, True])
def test_the_proof_does_not_depend_on_the_unit_of_y(scale, loss, intercept):
    """Without a warning, too."""
    plain = one_problem(loss, intercept=intercept)
    power = 1 if loss.name == "absolute" else 2
    scaled_loss = Huber(0.3 * scale) if loss.name == "huber" else loss
    ridge = Ridge(0.2 * scale ** (power - 2))
    scaled = dataclasses.replace(plain, y=scale * plain.y, loss=scaled_loss, regularizers=[ridge])
    one, other = fit(plain), fit(scaled)
    assert one.status is other.status is Status.CERTIFIED
    assert other.objective == pytest.approx(one.objective * scale**power, rel=2e-9)


@every_loss
def test_the_relative_gap_is_relative_to_what_the_fit_explains(loss):
    """max(min(P̂, E), 1e-4 L), from every row's loss at f and at f = 0; test_gap_scale.py has weights and levels."""
    problem = one_problem(loss, regularizers=[TotalVariation(0.3)], offset=True)
    form = canonicalize([problem] * 20)
    y = loss.check_targets(problem.y) if loss.targets else problem.y
    rows = lambda f: loss.pointwise(f + problem.offset, y) if loss.targets else loss.pointwise(f + problem.offset - y)  # noqa: E731
    proof = certify(form, *random_pairs(form, np.random.default_rng(11)))
    for certificate, w in zip(proof.certificates, proof.w, strict=True):
        lost, left = rows(np.zeros(16)), rows(problem.design.evaluate(problem.x) @ w)
        positive = np.sort(lost[lost > 0])
        median = positive[(len(positive) - 1) // 2]
        penalties = certificate.objective - left.sum()
        remains, explained = (np.minimum(each, np.sort(each)[-2]).sum() for each in (left, lost - left))
        remains, explained = remains + penalties, explained - penalties + certificate.gap
        spread = np.subtract(*np.sort(problem.y - problem.offset)[[-1 - 15 // 4, 15 // 4]]) if not loss.targets else 1.0
        charged = problem.ridge * spread**2
        size = max(min(remains, max(explained, charged)), 1e-4 * len(positive) * median)
        assert certificate.gap_scale == pytest.approx(size, rel=1e-9)
        assert certificate.relative_gap == pytest.approx(certificate.gap / size, rel=1e-9)


def test_an_objective_near_zero_is_measured_against_what_there_is_to_explain():
    """Interpolation: P* is far below 1e-4 of the loss of f = 0, its rows counted as the median one; y is 0 in one of
    eight rows."""
    x = np.linspace(0, 1, 8)
    y = np.sin(6 * x)
    problem = Problem(x, y, RBF(60.0), regularizers=[Ridge(1e-12)])
    result, form = fit(problem), canonicalize(problem)
    assert result.objective < 1e-9 * np.square(y).sum()
    assert result.status is Status.CERTIFIED
    near = certify(form, 1.0001 * result.w[None], form.split_duals([result.duals["squared"][None]])).certificates[0]
    assert near.gap > 1e-9 * np.square(y).sum()
    assert near.relative_gap == pytest.approx(near.gap / (1e-4 * 7 * np.sort(np.square(y[1:]))[3]), rel=1e-9)


@pytest.mark.parametrize("constraints", [[], [Increasing()], [Bounds(-1, 1)]], ids=str)
@pytest.mark.parametrize(
    "case", [(0.0, Squared()), (0.0, Huber()), (0.0, Absolute()), (0.5, EpsilonInsensitive(1.0))], ids=str
)
def test_nothing_to_fit_is_certified(case, constraints):
    """The loss is 0 at w = 0 already: P = P* = 0."""
    level, loss = case
    result = fit(Problem(np.linspace(0, 1, 12), np.full(12, level), RBF(20.0), loss, [Ridge(0.1)], constraints))
    assert result.status is Status.CERTIFIED
    assert abs(result.objective) <= 1e-30


@every_loss
@pytest.mark.parametrize("setting", ["plain", "intercept", "linear", "no ridge"])
def test_stationarity_is_small_at_a_certified_answer_and_not_away_from_it(loss, setting):
    """‖2 ridge w + Aᵀu‖ relative to the terms' pulls: also where one term's rows must cancel among themselves."""
    problem = one_problem(
        loss, **(dict(kernel=None, ridge=0.0, intercept=True) if setting == "no ridge" else SETTINGS[setting])
    )
    if isinstance(loss, Logistic):
        problem = dataclasses.replace(problem, y=np.where(np.arange(16) % 5 == 0, 1 - problem.y, problem.y))
    result = fit(problem)
    assert result.status is Status.CERTIFIED
    assert result.certificate.stationarity <= 1e-4
    form = canonicalize(problem)
    duals = form.split_duals([u[None] for u in result.duals.values()])
    if problem.ridge:
        pulls = [rows.map.take(problem.design.matrix).T @ result.duals[rows.names[0]] for rows in form.terms]
        residual = 2 * problem.ridge * np.where(problem.design.penalized, 1.5 * result.w, 0) + sum(pulls)
        largest = max(np.abs(pull).max() for pull in pulls)
        away = certify(form, 1.5 * result.w[None], duals).certificates[0]
        assert away.stationarity == pytest.approx(np.abs(residual).max() / largest, rel=1e-6)


def test_holds_needs_gap_with_its_rounding_violation_and_truncation():
    certificate = fit(one_problem(Huber(0.3))).certificate
    given = partial_certificate(
        dataclasses.replace(certificate, gap=0.0, gap_scale=2.0, gap_rounding=0.0, violation=0.0, truncation=0.0)
    )
    assert (
        given(gap=1.9e-9).holds(1e-9)
        and given(violation=1e-9).holds(1e-9)
        and given(gap=1e-9, gap_rounding=0.9e-9).holds(1e-9)
    )
    assert given(truncation=1.9e-6).holds(1e-9) and not given(truncation=2.1e-6).holds(
        1e-9
    )  # 1e-6 of the scale at least
    assert given(truncation=1.9e-3).holds(1e-3) and not given(truncation=2.1e-3).holds(1e-3)
    nothing = partial_certificate(given(gap_scale=0.0))
    assert nothing(gap=1e-15, gap_rounding=1e-15).holds(1e-9) and not nothing(gap=2e-15, gap_rounding=1e-15).holds(1e-9)
    for wrong in (
        dict(gap=2.1e-9),
        dict(violation=2e-9),
        dict(gap=None),
        dict(gap_scale=None),
        dict(gap_rounding=2.1e-9),
    ):
        assert not given(**wrong).holds(1e-9)
    assert not given(gap=1.5e-9, gap_rounding=0.6e-9).holds(1e-9)
    for nan in (dict(gap=math.nan), dict(violation=math.nan), dict(gap_rounding=math.nan), dict(truncation=math.nan)):
        assert not given(**nan).holds(1e-9)


def partial_certificate(certificate):
    return lambda **changes: dataclasses.replace(certificate, **changes)


def test_as_dict_holds_every_number():
    certificate = fit(one_problem(Huber(0.3))).certificate
    assert certificate.as_dict() == {name: getattr(certificate, name) for name in certificate.__dataclass_fields__}


@pytest.mark.slow
def test_rounding_alone_does_not_take_the_proof_away():
    """20,000 rows: neighbours differ by less than evaluating them is off, yet the increasing fit is certified."""
    random = np.random.default_rng(14)
    x = random.uniform(size=20_000)
    y = 10 * np.floor(5 * x) + random.normal(size=20_000)
    for loss in (Squared(), Huber(1.0)):
        result = fit(Problem(x, y, RBF(80.0), loss, [Ridge(0.1)], [Increasing()]))
        assert result.status is Status.CERTIFIED, result.message
        assert result.certificate.violation == 0
        assert result.certificate.largest_drop <= 1e-12 * np.ptp(y)
