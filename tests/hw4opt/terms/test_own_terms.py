"""Terms and kernels of a user's own classes: what a problem takes, and the sentences on what it does not."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw4opt import Bounds, Huber, Increasing, InputError, Problem, Result, Ridge, TotalVariation, check_term, fit
from hw4opt.crosscheck import crosscheck
from hw4opt.selection import select
from hw4opt.selection.ranges import default_range
from hw4opt.terms import Differences, Loss, PiecewiseQuadratic, Table, Term
from own_terms import LogCosh, RationalQuadratic, Roughness, SquaredExcess, X, Y, smooth


@dataclass(frozen=True)
class DividingRoughness(Roughness):
    """The same with a table that has no weight 0."""

    @property
    def tables(self):
        return (Table(quadratic=0.5 / self.weight),)


@dataclass(frozen=True)
class LargestDifference(Term):
    """max |Df|: no sum over rows, so that it has neither a table nor derivatives."""

    name: ClassVar[str] = "largest_difference"

    @property
    def acts(self):
        return Differences(1)

    def value(self, z):
        return float(np.abs(z).max())

    def prox(self, v, step):
        return v

    def conjugate(self, u):
        return 0.0 if np.abs(u).sum() <= 1 else np.inf

    def model(self, cp, z):
        return cp.norm_inf(z)


@dataclass(frozen=True)
class NoTable(SquaredExcess):
    """A table is missing."""

    @property
    def tables(self):
        return ()


class NoName(PiecewiseQuadratic, Loss):
    """A class without name that is no dataclass."""

    tables: Any = (Table(quadratic=0.5),)
    model: Any = None


@pytest.mark.parametrize("solver", ["auto", "cvxpy"])
def test_two_classes_of_one_module_are_fitted_together(solver):
    given = {"loss": SquaredExcess(), "regularizers": [Ridge(0.01), Roughness(0.3), TotalVariation(0.1)]}
    result = fit(smooth(**given), solver)
    assert result.status.word == "certified", result.message
    assert set(result.duals) == {"squared_excess", "roughness", "tv"}
    assert result.problem.hyperparameters == {"gamma": 20.0, "ridge": 0.01, "roughness": 0.3, "tv": 0.1}


def test_a_squared_penalty_of_weight_0_takes_no_part():
    without = fit(smooth()).raise_for_status()
    none = fit(smooth(regularizers=[Ridge(0.01), Roughness(0.0)])).raise_for_status()
    some = fit(smooth(regularizers=[Ridge(0.01), Roughness(3.0)])).raise_for_status()
    assert_allclose(none.fitted, without.fitted, atol=1e-9)
    assert np.abs(some.fitted - without.fitted).max() > 1e-3
    assert np.abs(np.diff(some.fitted, 2)).sum() < np.abs(np.diff(none.fitted, 2)).sum()


def test_times_scales_the_function():
    z = np.linspace(-3, 3, 25)
    for table in (
        Table(quadratic=0.5),
        Table(low=-1, high=2),
        Table(quadratic=0.25, linear=0.5, low=-1),
        Table(high=0),
    ):
        with np.errstate(invalid="ignore"):
            assert_allclose(table.times(0.75).pointwise(z), 0.75 * table.pointwise(z), rtol=1e-14)
        assert_allclose(table.times(0).pointwise(z), 0, atol=0)


def refused(**given):
    with pytest.raises(InputError) as caught:
        smooth(**given)
    return str(caught.value)


def test_what_a_problem_cannot_hold_is_refused_in_a_sentence():
    assert "largest_difference has neither a table nor derivatives; " in refused(regularizers=[LargestDifference()])
    assert "squared_excess has 0 tables" in refused(loss=NoTable())
    assert "DividingRoughness(weight=0) has no tables" in refused(regularizers=[DividingRoughness(0)])
    assert refused(loss=NoName()) == "the class NoName is not a frozen dataclass; put @dataclass(frozen=True) above it"
    nameless = dataclass(frozen=True)(type("NoName", (SquaredExcess,), {"name": ""}))
    assert (
        refused(loss=nameless()) == 'the class NoName has no name; give it one, as in name: ClassVar[str] = "no_name"'
    )
    spaced = dataclass(frozen=True)(type("Spaced", (SquaredExcess,), {"name": "two words"}))
    assert "must be one word of letters, digits and _" in refused(loss=spaced())
    assert "kernel is" in refused(kernel=SquaredExcess()) and "loss is" in refused(loss=Huber)


@pytest.mark.parametrize("name", ["ridge", "gamma"])
def test_the_names_of_hyperparameters_are_taken(name):
    own = dataclass(frozen=True)(type("Own", (Roughness,), {"name": name}))
    assert f"the name '{name}' of the class Own is taken" in refused(regularizers=[own()])


def test_two_terms_of_one_name_are_refused():
    own = dataclass(frozen=True)(type("Own", (Roughness,), {"name": "tv"}))
    assert "tv is given twice" in refused(regularizers=[own(), TotalVariation()])
    both = dataclass(frozen=True)(type("Own", (Roughness,), {"name": "squared"}))
    assert "squared is given twice" in refused(regularizers=[both()])


def test_hyperparameters_of_own_terms_are_changed_by_name():
    changed = smooth(regularizers=[Ridge(0.01), Roughness(0.3)]).with_hyperparameters({"roughness": 0.5})
    assert changed.regularizers == (Ridge(0.01), Roughness(0.5))
    assert dataclasses.replace(changed).regularizers == changed.regularizers


@pytest.mark.parametrize("method", ["loo", "kfold:5"])
def test_hyperparameters_of_own_classes_are_chosen(method):
    given = {"kernel": RationalQuadratic(20.0), "loss": SquaredExcess(), "regularizers": [Ridge(0.01), Roughness(0.3)]}
    grid = {"roughness": (0.01, 1.0, 2), "gamma": (5.0, 50.0, 2)}
    chosen = select(smooth(**given), [], method, "grid", grid, metric="squared")
    assert len(chosen.table) == 4 and np.isfinite(chosen.score)
    assert fit(chosen.problem).status.word == "certified"


# ---- a smooth loss that is no likelihood -----------------------------------------------------------------------------


class Steep(LogCosh):
    """Σ log cosh(10 (z_i - y_i)): |f'''| ≤ 20 f''."""

    name = "steep"
    steepest = 100.0
    self_concordance = 20.0

    def pointwise(self, z, y=1.0):
        return super().pointwise(10 * np.asarray(z), 10 * np.asarray(y))

    def gradient(self, z, y):
        return 10 * super().gradient(10 * z, 10 * y)

    def curvature(self, z, y):
        return 100 * super().curvature(10 * z, 10 * y)

    def conjugate_pointwise(self, u, y):
        return super().conjugate_pointwise(u / 10, 10 * y)

    def clip_dual(self, u, y):
        return np.clip(u, -10, 10)

    def model(self, cp, z, y=1.0):
        return super().model(cp, 10 * z, 10 * y)


@pytest.mark.parametrize(
    "terms", [{}, {"regularizers": [Ridge(0.01), TotalVariation(0.1)]}, {"constraints": [Increasing()]}]
)
def test_the_interior_point_follows_the_self_concordance(terms):
    check_term(Steep)
    problem = smooth(loss=Steep(), **terms)
    found = fit(problem, "interior")
    assert found.status.word == "certified" and found.iterations < 60
    assert crosscheck(problem, ["interior", "cvxpy:CLARABEL"]).agrees


@pytest.mark.parametrize("solver", ["interior", "newton", "proximal", "cvxpy:CLARABEL"])
def test_a_smooth_loss_that_is_no_likelihood_is_fitted_and_certified(solver):
    result, best = fit(smooth(loss=LogCosh()), solver), fit(smooth(loss=LogCosh()), "newton", tol=1e-12)
    assert result.status.word == "certified", result.message
    assert_allclose(result.objective, best.objective, rtol=2e-6)
    assert_allclose(
        result.objective, np.log(np.cosh(result.fitted - Y)).sum() + 0.01 * (result.w @ result.w), rtol=1e-9
    )


@pytest.mark.parametrize(
    "terms", [{}, {"regularizers": [Ridge(0.01), TotalVariation(0.1)]}, {"constraints": [Bounds(0, 0.8)]}]
)
def test_solvers_agree_on_it(terms):
    found = crosscheck(smooth(loss=LogCosh(), **terms), ["interior", "cvxpy:CLARABEL"])
    assert found.agrees, found.faults


def test_it_has_no_likelihood_and_no_mean(tmp_path):
    result = fit(smooth(loss=LogCosh(), offset=0.1 * X)).raise_for_status()
    assert result.inference is None and result.infer("sandwich") is None and result.mean is None
    assert_array_equal(result.predict_mean(X, 0.1 * X), result.predict(X) + 0.1 * X)
    result.save(tmp_path / "model.json")
    loaded = Result.load(tmp_path / "model.json")
    assert loaded.problem.loss == LogCosh() and loaded.inference is None and loaded.verify().holds(1e-9)


def test_it_is_drawn_as_residual_losses_are():
    axes = fit(smooth(loss=LogCosh(), offset=0.1 * X)).plot()
    assert axes.get_ylabel() == "y"
    (points,) = (one.get_offsets() for one in axes.collections if one.get_label() == "data")
    assert_allclose(np.asarray(points)[:, 1], Y - 0.1 * X)


@pytest.mark.parametrize("metric", ["loss", "squared", "absolute"])
def test_held_out_errors_are_of_its_predictions(metric):
    problem = smooth(loss=LogCosh(), intercept=True)
    chosen = select(problem, ["ridge"], "loo", "grid", {"ridge": (0.01, 0.1, 2)}, metric=metric)
    apart = chosen.predictions - Y
    errors = {"loss": np.log(np.cosh(apart)), "squared": apart**2, "absolute": np.abs(apart)}
    assert_allclose(chosen.score, errors[metric].mean(), rtol=1e-9)
    refit = fit(Problem(X[1:], Y[1:], **parts(chosen.problem)))
    assert_allclose(refit.predict(X[:1]), chosen.predictions[:1], atol=1e-6)


def parts(problem):
    names = ("kernel", "loss", "regularizers", "constraints", "intercept")
    return {name: getattr(problem, name) for name in names}


def test_its_default_ranges_are_those_of_the_data():
    low, high = default_range(smooth(loss=LogCosh()), "ridge")
    assert 0 < low < 0.01 < high < 1e3
