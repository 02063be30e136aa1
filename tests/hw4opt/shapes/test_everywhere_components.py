"""Shapes at every x of components of a sum: proven for the function that is evaluated, and optimal by cvxpy."""

import numpy as np
import pytest
from everywhere_cases import worst_violation
from numpy.testing import assert_allclose

from hw4opt import (
    RBF,
    Absolute,
    Additive,
    Categorical,
    Component,
    Concave,
    Convex,
    Decreasing,
    Huber,
    Increasing,
    Laplacian,
    Matern32,
    Matern52,
    Polynomial,
    Problem,
    Result,
    Ridge,
    Squared,
    Status,
    TotalVariation,
    fit,
    fit_batch,
)
from hw4opt.between import breaks
from hw4opt.crosscheck import crosscheck
from hw4opt.errors import InputError
from hw4opt.problem import ColumnNames
from hw4opt.selection import select

NAMES = ColumnNames(x=("dose", "age", "site"), y="response")


def table(seed=0, n=60):
    draw = np.random.default_rng(seed)
    x = np.column_stack([draw.uniform(0, 100, n), draw.uniform(20, 70, n), draw.integers(0, 3, n)])
    curve = 10 / (1 + np.exp(-(x[:, 0] - 40) / 8)) + 2 * np.sin(x[:, 1] / 5) + x[:, 2]
    return x, curve + 0.8 * draw.standard_normal(n)


def components(dose, age, kernel):
    return [
        Component("dose", ["dose"], kernel, 0.05, constraints=dose),
        Component("age", ["age"], RBF(0.01), 0.05, [TotalVariation(0.1)], age),
        Component("site", ["site"], Categorical(), 1.0),
    ]


RISING = Increasing(everywhere=True)


def problem(dose=(RISING,), age=(), loss=None, kernel=None, **given):
    return Problem(*table(), Additive(components(dose, age, kernel or RBF(0.01))), loss, names=NAMES, **given)


def random_sum(seed):
    """Two to three components with a shape at every x each, some with kernels without many derivatives, in any unit."""
    draw = np.random.default_rng(seed)
    n, unit = int(draw.integers(15, 50)), 10.0 ** draw.uniform(-1, 2)
    x = unit * np.column_stack([draw.uniform(0, 1, n), draw.normal(size=n), np.round(draw.uniform(-1, 1, n), 1)])
    y = np.sqrt(x[:, 0] / unit) + np.sin(2 * x[:, 1] / unit) - 0.5 * x[:, 2] / unit + 0.3 * draw.standard_normal(n)
    parts = []
    for column in draw.permutation(3)[: draw.integers(2, 4)].tolist():
        gamma = 10.0 ** draw.uniform(-0.5, 1) / unit**2
        kernel = [RBF(gamma), RBF(gamma), Polynomial(1 / unit**2, 3), Matern52(gamma), Matern32(gamma)][
            draw.integers(5)
        ]
        shapes = [Increasing, Decreasing, Convex, Concave][: 4 if kernel.functional_order == 2 else 2]
        everywhere = True if draw.random() < 0.6 else (-0.2 * unit, 1.1 * unit)
        shape = shapes[draw.integers(len(shapes))](everywhere=everywhere)
        parts.append(Component(f"c{column}", [column], kernel, 10.0 ** draw.uniform(-2, 0), constraints=[shape]))
    loss = (Squared(), Huber(0.3), Absolute())[draw.integers(3)]
    return Problem(x, y, Additive(parts), loss, standardize=bool(draw.random() < 0.3))


# ---- what is proven holds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [Squared(), Huber(0.5)])
def test_every_component_has_its_own_shape(loss):
    given = problem((Increasing(everywhere=True),), (Concave(everywhere=(15, 80)),), loss)
    result = fit(given).raise_for_status()
    dose, age = result.shapes
    assert (dose.name, dose.column, age.name, age.column) == ("dose.increasing", 0, "age.concave", 1)
    assert dose.proven and age.proven and dose.margin > 0 and (age.low, age.high) == (15, 80)
    assert dose.sentence("dose", "age", "site").startswith("dose.increasing on [") and not breaks(result)
    assert worst_violation(result, 20_000, 5) <= 0
    plain = fit(problem((Increasing(),), (Concave(),), loss))
    assert plain.objective < result.lower_bound <= result.objective
    assert_allclose(result.lower_bound, result.objective, rtol=1e-5)
    assert {point.column for point in result.shape_points} == {0, 1}


@pytest.mark.parametrize("kernel", [Matern32(0.001), Matern52(0.001), Polynomial(1e-4, 4)])
def test_every_kernel(kernel):
    result = fit(problem(kernel=kernel)).raise_for_status()
    assert result.shapes[0].proven and worst_violation(result, 20_000, 5) <= 0


@pytest.mark.thinned(8)
@pytest.mark.parametrize("seed", range(8))
def test_random_sums_hold_where_they_are_proven(seed):
    result = fit(random_sum(seed))
    assert result.status is Status.CERTIFIED or not all(proof.proven for proof in result.shapes)
    assert result.status is not Status.CERTIFIED or worst_violation(result, 20_000, 5) <= 0


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100))
def test_attack(seed):
    result = fit(random_sum(seed))
    proven = all(proof.proven for proof in result.shapes)
    assert proven or result.status is not Status.CERTIFIED
    assert not proven or worst_violation(result, 200_000, 20) <= 0


@pytest.mark.thinned(2)
@pytest.mark.parametrize("seed", range(4))
def test_cvxpy_agrees_on_the_rows_at_points(seed):
    found = crosscheck(random_sum(seed + 20), ["interior", "cvxpy:CLARABEL"])
    assert found.agrees, found.faults


def test_a_sum_of_one_component_is_the_fit_of_its_kernel():
    x, y = table()
    shape = Increasing(everywhere=True)
    one = fit(Problem(x[:, :1], y, Additive([Component("dose", [0], RBF(0.01), 0.05, constraints=[shape])])))
    plain = fit(Problem(x[:, 0], y, RBF(0.01), None, [Ridge(0.05)], [shape], intercept=True))
    assert_allclose(one.objective, plain.objective, rtol=1e-7)
    assert one.shapes[0].proven and plain.shapes[0].proven
    assert_allclose(one.predict(x[:, :1]), plain.predict(x[:, 0]), atol=1e-3 * np.ptp(y))


# ---- everything else goes by the same form ---------------------------------------------------------------------------


@pytest.mark.parametrize("standardize", [False, True])
def test_coefficients_of_points_are_their_share_of_the_component(standardize):
    """f_j is the sum over kernels at the data, by the duals of loss and shape there, and over those of the points."""
    kernel = RBF(0.01 if not standardize else 5.0)
    result = fit(problem(kernel=kernel, standardize=standardize)).raise_for_status()
    given, h = result.problem, 1e-4
    x = np.repeat(np.asarray(given.x)[:1], 40, axis=0)
    x[:, 0] = np.linspace(5, 95, 40)

    def gram(dose):
        rows = np.repeat(np.asarray(given.x)[:1], len(np.atleast_1d(dose)), axis=0)
        rows[:, 0] = dose
        return kernel.gram(given.features(x)[:, :1], given.features(rows)[:, :1])

    order = np.argsort(given.x[:, 0])
    spread = 2 * (np.asarray(given.y) - result.fitted)  # -Sᵀu of the loss, and of the steps between sorted doses
    spread[order] += np.diff(result.duals["dose.increasing"], prepend=0.0, append=0.0)
    f = gram(given.x[:, 0]) @ spread / (2 * 0.05)
    for point in result.shape_points:
        f += point.coef * ((gram(point.x + h) - gram(point.x - h)) / (2 * h))[:, 0]
    own = result.predict_components(x)[:, 0]
    assert_allclose(f - f.mean(), own - own.mean(), atol=1e-4 * np.ptp(own))


def test_a_model_file_keeps_points_and_proofs(tmp_path):
    result = fit(problem((Increasing(everywhere=True),), (Concave(everywhere=True),)))
    result.save(tmp_path / "model.json")
    loaded = Result.load(tmp_path / "model.json")
    assert loaded.shapes == result.shapes and loaded.problem.shape_rows == result.problem.shape_rows
    assert loaded.shape_points == result.shape_points
    x = table(1)[0]
    assert_allclose(loaded.predict(x), result.predict(x), rtol=0, atol=0)
    assert loaded.verify().holds(1e-9)


def test_a_batch_shares_its_points():
    given = problem()
    results = fit_batch([given, given.with_hyperparameters({"age.ridge": 0.2})])
    assert all(result.status is Status.CERTIFIED and result.shapes[0].proven for result in results)
    assert results[0].problem.shape_rows[0].points == results[1].problem.shape_rows[0].points


def test_hyper_parameters_are_chosen_beside_it():
    found = select(problem(), ["dose.ridge"], grid={"dose.ridge": (0.02, 0.5, 3)}, search="grid")
    assert found.largest_fold_gap < 1e-9 and fit(found.problem).raise_for_status().shapes[0].proven


def test_an_unproven_shape_is_said(monkeypatch):
    monkeypatch.setattr("hw4opt.shapes.exchange.MAX_ROUNDS", 1)
    result = fit(problem(age=(Concave(everywhere=True),), dose=()))
    assert result.status is Status.UNCERTIFIED and "age.concave on [" in result.message
    assert "not proven between age = " in result.message


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (Component("a", [0], None, 1.0, constraints=[Increasing(everywhere=True)]), "drop everywhere"),
        (
            Component("a", [0], Laplacian(1.0), 1.0, constraints=[Increasing(everywhere=True)]),
            "a.increasing: increasing at every x cannot be proven for the laplacian kernel; it can for matern32",
        ),
        (Component("a", [0], Matern32(1.0), 1.0, constraints=[Convex(everywhere=True)]), "it can for matern52"),
        (Component("a", [0, 1], RBF(1.0), 1.0, constraints=[Convex(everywhere=True)]), "a component of one column"),
        (Component("a", [2], Categorical(), 1.0, constraints=[Convex(everywhere=True)]), "levels have no order"),
    ],
)
def test_what_cannot_be_asked_for(component, said):
    with pytest.raises(InputError, match=said):
        Problem(*table(), Additive([component]))
