"""A gamma per column: kernels, hyper-parameters, choice, files."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hw4opt import (
    RBF,
    Additive,
    Component,
    Huber,
    Increasing,
    InputError,
    Laplacian,
    Matern32,
    Matern52,
    Polynomial,
    Precomputed,
    Problem,
    Result,
    Ridge,
    fit,
)
from hw4opt.problem import ColumnNames
from hw4opt.selection import select

GAMMAS = (20.0, 0.1)


def doses(n=50, seed=0):
    """Two columns of different widths, and targets that follow both."""
    draw = np.random.default_rng(seed)
    x = draw.uniform(0, 1, (n, 2)) * [1, 10]
    return x, np.sin(6 * x[:, 0]) + np.sin(0.3 * x[:, 1]) + 0.1 * draw.standard_normal(n)


def problem(kernel, *, named=True, **given):
    x, y = doses()
    names = ColumnNames(x=("dose", "age")) if named else None
    return Problem(x, y, kernel, Huber(0.3), [Ridge(0.01)], names=names, **given)


@pytest.mark.parametrize("kind", [RBF, Laplacian, Matern32, Matern52])
def test_a_gamma_a_column_is_one_gamma_on_columns_in_their_units(kind):
    x, _ = doses(12)
    z, kernel, unit = x[::-1] + 0.01, kind(GAMMAS), np.array(GAMMAS) ** (1 / kind.gamma_power)
    one = kind(1.0)
    assert_allclose(kernel.gram(x, z), one.gram(x * unit, z * unit), rtol=1e-12)
    assert kind([3.0]) == kind(3.0) and kind([1, 2]) == kind((1.0, 2.0)) and hash(kernel)
    if kernel.is_differentiable:
        slope = unit[1] * one.slope(x * unit, z * unit, 1)
        assert_allclose(kernel.slope(x, z, 1), slope, atol=1e-12 * np.abs(slope).max())
        bent = unit[0] * unit[1] * one.cross_slope(x * unit, z * unit, 0, 1)
        assert_allclose(kernel.cross_slope(x, z, 0, 1), bent, atol=1e-12 * np.abs(bent).max())


def test_the_fit_is_that_of_columns_in_their_units():
    x, y = doses()
    ours = fit(problem(RBF(GAMMAS), constraints=[Increasing(column=1)])).raise_for_status()
    terms = [Ridge(0.01)], [Increasing(column=1)]
    other = fit(Problem(x * np.sqrt(GAMMAS), y, RBF(1.0), Huber(0.3), *terms)).raise_for_status()
    assert ours.objective == pytest.approx(other.objective, rel=1e-8)
    assert_allclose(ours.predict(x[:5] + 0.1), other.predict((x[:5] + 0.1) * np.sqrt(GAMMAS)), atol=1e-6)
    assert fit(ours.problem, solver="cvxpy").objective == pytest.approx(ours.objective, rel=1e-6)


def test_hyperparameters_go_by_the_names_of_the_columns_or_their_places():
    named, unnamed = problem(RBF(GAMMAS)), problem(RBF(GAMMAS), named=False)
    assert named.hyperparameters == {"gamma.dose": 20, "gamma.age": 0.1, "ridge": 0.01}
    assert unnamed.hyperparameters == {"gamma.0": 20, "gamma.1": 0.1, "ridge": 0.01}
    assert named.with_hyperparameters({"gamma.age": 2.0}).kernel == RBF((20, 2))
    assert unnamed.with_hyperparameters({"gamma.0": 2.0}).kernel == RBF((2, 0.1))


def test_one_a_column_is_chosen_and_scores_no_worse():
    grid = {"gamma.dose": (1, 30, 3), "gamma.age": (1e-3, 1, 3)}
    chosen = select(problem(RBF((1, 1))), ["gamma.dose", "gamma.age", "ridge"], "kfold:5", "grid", grid)
    assert set(chosen.problem.hyperparameters) == {"gamma.dose", "gamma.age", "ridge"} and len(chosen.table) == 90
    assert chosen.problem.kernel.gamma == tuple(chosen.problem.hyperparameters[f"gamma.{c}"] for c in ("dose", "age"))
    found = select(problem(RBF((1, 1))), ["gamma.dose", "gamma.age"], "kfold:5")
    x, y = doses()
    best = min(fold_error(x, y, gammas) for gammas in [(1.0, 1.0), (10.0, 0.1), (30.0, 0.03)])
    assert found.score <= best


def fold_error(x, y, gammas):
    """The held-out error of one setting."""
    one = Problem(x, y, RBF(gammas), Huber(0.3), [Ridge(0.01)])
    return select(one, [], "kfold:5").score


def test_a_model_file_holds_them(tmp_path):
    result = fit(problem(Matern52(GAMMAS)))
    result.save(tmp_path / "m.json")
    loaded = Result.load(tmp_path / "m.json")
    assert loaded.problem.kernel == Matern52(GAMMAS) and '"format": 4' in (tmp_path / "m.json").read_text()
    assert_allclose(loaded.predict([[0.3, 4.0]]), result.predict([[0.3, 4.0]]), rtol=0)
    assert loaded.problem.hyperparameters == result.problem.hyperparameters


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (
            lambda: Polynomial((1, 2)),
            "polynomial kernel takes one gamma; one gamma per column is for laplacian, matern32",
        ),
        (lambda: Precomputed((1, 2)), "precomputed kernel takes one gamma"),
        (lambda: RBF((1, -2)), "gamma is -2; it must be a number above 0"),
        (lambda: RBF(()), "gamma holds no number"),
        (lambda: problem(RBF((1, 2, 3))), "3 numbers and there are 2 x columns"),
        (
            lambda: problem(RBF(GAMMAS)).with_hyperparameters({"gamma.year": 1}),
            "there are gamma.dose, gamma.age, ridge",
        ),
        (lambda: problem(RBF(GAMMAS)).with_hyperparameters({"gamma": 1}), "several numbers"),
        (lambda: problem(RBF(1.0)).with_hyperparameters({"gamma.dose": 1}), "there are gamma, ridge"),
    ],
)
def test_what_does_not_fit_is_one_sentence(act, sentence):
    with pytest.raises(InputError, match=sentence):
        act()


def test_a_component_of_several_columns_has_a_gamma_each(tmp_path):
    x, y = doses()
    unit = np.sqrt(GAMMAS)
    both = Component("both", [0, 1], RBF(GAMMAS), 0.01)
    result = fit(Problem(x, y, Additive([both]), Huber(0.3)))
    one = fit(Problem(x * unit, y, Additive([Component("both", [0, 1], RBF(1.0), 0.01)]), Huber(0.3)))
    assert_allclose(result.fitted, one.fitted, atol=1e-6)
    assert result.problem.hyperparameters == {"both.gamma.0": 20, "both.gamma.1": 0.1, "both.ridge": 0.01}
    other = result.problem.with_hyperparameters({"both.gamma.1": 0.3})
    assert other.hyperparameters == {"both.gamma.0": 20, "both.gamma.1": 0.3, "both.ridge": 0.01}
    result.save(tmp_path / "m.json")
    read = Result.load(tmp_path / "m.json")
    assert read.problem.hyperparameters == result.problem.hyperparameters
    assert_allclose(read.predict(x), result.predict(x), rtol=0)
    found = select(result.problem, ["both.gamma.0", "both.gamma.1"], "kfold:5", "random:5")
    assert {name for name in found.table[0] if "gamma" in name} == {"both.gamma.0", "both.gamma.1"}


def test_what_a_sum_does_not_take():
    with pytest.raises(InputError, match="component both: gamma of the rbf kernel has 3 numbers and there are 2 x col"):
        Component("both", [0, 1], RBF((1, 2, 3)))
