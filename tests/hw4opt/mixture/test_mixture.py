"""Mixtures of Poisson regressions: against an EM written here, published fits, finite differences and invariances."""

from itertools import permutations
from math import lgamma
from pathlib import Path

import numpy as np
import pytest

from hw4opt import InputError, ModelFileError, Status
from hw4opt.mixture.ascent import ascend, moved
from hw4opt.mixture.budget import Budget
from hw4opt.mixture.components import Components
from hw4opt.mixture.em import cycle, m_step, one_hot
from hw4opt.mixture.likelihood import MixtureParameters, curvature, expect
from hw4opt.mixture.listener import COEF, simulated_listener
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.runs import finish_run
from hw4opt.mixture.sample import Sample
from hw4opt.mixture.selection import choose_k
from hw4opt.mixture.validation import Rows

PATENT = np.loadtxt(Path(__file__).parent / "data" / "patent.csv", delimiter=",", skiprows=1)
QUICK = Budget(24, 80)


def simulated(seed, n=150, d=2, k=2):
    draw = np.random.default_rng(seed)
    x, coef = draw.normal(size=(n, d)), draw.normal(size=(k, d + 1)) * 0.5 + np.r_[1.5, np.zeros(d)]
    components = draw.integers(k, size=n)
    return (
        x,
        draw.poisson(np.exp(coef[components, 0] + (x * coef[components, 1:]).sum(axis=1))).astype(float),
        components,
    )


def sample_of(x, y, rows=None, ridge=0.0):
    return Sample.of(PoissonMixture(1, ridge=ridge).design(x, y, rows))


# ---- the textbook's EM, written from the formulas alone --------------------------------------------------------------


def poisson_regression(x, y, weights):
    """Maximum of Σ w (y z - exp z) by plain Newton steps, halved until they rise."""

    def value(w):
        z = x @ w
        return weights @ (y * z - np.exp(z))

    w = np.linalg.lstsq(x * np.sqrt(weights)[:, None], np.log(y + 0.5) * np.sqrt(weights), rcond=None)[0]
    for _ in range(100):
        mean = np.exp(x @ w)
        step = np.linalg.solve(x.T @ (x * (weights * mean)[:, None]), x.T @ (weights * (y - mean)))
        t = 1.0
        while value(w + t * step) < value(w) - 1e-12 * abs(value(w)) and t > 1e-8:
            t /= 2
        w = w + t * step
        if np.abs(step).max() < 1e-13 * (1 + np.abs(w).max()):
            break
    return w


def textbook(x, y, labels, k, cycles):
    x = np.column_stack([np.ones(len(x)), x])
    factorials = np.array([lgamma(value + 1) for value in y])
    gamma, trace = np.eye(k)[labels], []
    for _ in range(cycles):
        shares = gamma.mean(axis=0)
        coef = np.array([poisson_regression(x, y, gamma[:, j]) for j in range(k)])
        z = x @ coef.T
        joint = np.log(shares) + y[:, None] * z - np.exp(z) - factorials[:, None]
        top = joint.max(axis=1)
        total = top + np.log(np.exp(joint - top[:, None]).sum(axis=1))
        trace.append(total.sum())
        gamma = np.exp(joint - total[:, None])
    return np.array(trace), coef


@pytest.mark.parametrize(("seed", "k"), [(0, 2), (1, 3), (2, 2)])
def test_plain_is_the_textbooks_em_cycle_by_cycle(seed, k):
    x, y, _ = simulated(seed, k=k)
    labels = np.random.default_rng(seed + 50).integers(k, size=len(y))
    trace, coef = textbook(x, y, labels, k, 25)
    found = PoissonMixture(k).fit_plain(x, y, labels, 25)
    assert found.trace == pytest.approx(trace, rel=1e-10) and found.cycles == 25
    closest = min(np.abs(found.coef - coef[list(order)]).max() for order in permutations(range(k)))
    assert closest < 1e-6


def test_a_plain_run_that_is_not_stationary_says_so():
    x, y, _ = simulated(1, k=3)
    labels = np.random.default_rng(0).integers(3, size=len(y))
    found = PoissonMixture(3).fit_plain(x, y, labels, 2)
    assert (
        found.status is Status.ITERATION_LIMIT
        and "not stationary" in found.message
        and found.uncertainty.covariance is None
    )


# ---- monotone, and derivatives ---------------------------------------------------------------------------------------


def problem(seed):
    draw = np.random.default_rng(seed)
    n, d, k = int(draw.integers(8, 80)), int(draw.integers(1, 4)), int(draw.integers(1, 5))
    x, y, _ = simulated(seed, n, d, k)
    y = np.where(draw.uniform(size=n) < draw.uniform(0, 0.5), 0.0, y * 10.0 ** draw.integers(0, 5))
    y[0] = max(y[0], 1.0)
    rows = Rows(
        offset=draw.normal(size=n) if seed % 3 == 0 else None,
        weights=draw.uniform(0.1, 3, n) if seed % 4 == 0 else None,
        groups=draw.integers(max(n // 3, k), size=n) if seed % 5 == 0 else None,
    )
    return sample_of(x, y, rows, ridge=0.3 * (seed % 2)), k, draw


@pytest.mark.thinned(3)
@pytest.mark.parametrize("block", range(8))
def test_no_cycle_lowers_the_likelihood(block):
    """200 random problems with zeros, large counts, offsets, weights, groups, ridge: EM's cycles, then the ascent."""
    for seed in range(25 * block, 25 * block + 25):
        sample, k, draw = problem(seed)
        point = m_step(sample, one_hot(draw.integers(k, size=len(sample)), k)[None])
        trace = []
        for _ in range(8):
            here = expect(sample, point)
            trace.append(here.log_likelihood[0])
            point = cycle(sample, here, point)
        done = ascend(sample, point, limit=60)
        trace = np.array([*trace, expect(sample, point).log_likelihood[0], *done.trace])
        assert np.isfinite(trace).all() and (np.diff(trace) >= -1e-12 * np.abs(trace[:-1])).all(), seed


@pytest.mark.parametrize("groups", [False, True])
def test_gradient_and_information_are_the_derivatives(groups):
    draw = np.random.default_rng(3)
    x, y, _ = simulated(3, 60)
    rows = Rows(draw.normal(size=60) * 0.2, draw.uniform(0.5, 2, 60), draw.integers(20, size=60) if groups else None)
    sample = sample_of(x, y, rows, ridge=0.4)
    point = MixtureParameters(draw.normal(size=(1, 3, 3)) * 0.4 + np.array([1, 0, 0]), np.log([[0.2, 0.3, 0.5]]))
    here, step = curvature(sample, point), 1e-5
    unit = np.eye(12) * step
    pairs = [(curvature(sample, moved(point, one)), curvature(sample, moved(point, -one))) for one in unit]
    gradient = [(up.log_likelihood - down.log_likelihood) / (2 * step) for up, down in pairs]
    hessian = np.array([(up.gradient - down.gradient) / (2 * step) for up, down in pairs])
    free = np.zeros(12)
    free[3::4] = 1  # the direction that changes no proportion, to which the information adds Ω/k
    assert here.gradient == pytest.approx(np.array(gradient), abs=1e-6 * np.abs(here.gradient).max())
    assert -hessian + np.outer(free, free) * sample.total / 3 == pytest.approx(
        here.observed, abs=1e-6 * np.abs(here.observed).max()
    )


def test_standard_errors_are_those_of_the_finite_difference_hessian():
    """In the natural parameters, w and π_1 … π_{k-1}: another parametrisation than the one that is inverted."""
    x, y = PATENT[:, 1], PATENT[:, 0]
    found = PoissonMixture(3, budget=QUICK).fit(x, y)
    features = np.column_stack([np.ones(70), x])

    def value(theta):
        coef, shares = theta[:6].reshape(3, 2), np.r_[theta[6:], 1 - theta[6:].sum()]
        z = features @ coef.T
        return np.log(np.exp(y[:, None] * (z - z.max()) - np.exp(z)) @ shares).sum() + z.max() * y.sum()

    theta = np.r_[found.coef.ravel(), found.proportions[:2]]
    step = 1e-4 * np.eye(8)
    hessian = np.array(
        [
            [value(theta + a + b) - value(theta + a - b) - value(theta - a + b) + value(theta - a - b) for a in step]
            for b in step
        ]
    )
    errors = np.sqrt(np.diag(np.linalg.inv(-hessian / 4e-8)))[:6].reshape(3, 2)
    assert found.uncertainty.standard_errors == pytest.approx(errors, rel=1e-3)


# ---- published and simulated -----------------------------------------------------------------------------------------


def test_the_patent_data_are_fitted_as_published():
    """R's flexmix: log-likelihood -203.533, BIC 441.05, weights 0.183, 0.240, 0.577, and BIC picks k = 3."""
    choice = choose_k(PoissonMixture(1, budget=Budget(48, 240)), PATENT[:, 1], PATENT[:, 0], range(1, 6))
    best = choice.best
    assert best.k == 3 and best.status is Status.CERTIFIED
    assert best.log_likelihood == pytest.approx(-203.533, abs=6e-4) and best.criteria.bic == pytest.approx(
        441.05, abs=6e-3
    )
    assert best.proportions == pytest.approx([0.577, 0.240, 0.183], abs=6e-4)
    heights = [choice.results[k].log_likelihood for k in range(1, 6)]
    assert heights == sorted(heights)


@pytest.mark.parametrize("seed", range(3))
def test_simulated_components_are_recovered(seed):
    listener = simulated_listener(seed)
    found = PoissonMixture(3, budget=QUICK).fit(listener.x, listener.plays)
    assert found.status is Status.CERTIFIED and found.starts.failed == 0
    errors = found.uncertainty.standard_errors
    assert errors is not None and (np.abs(found.coef - COEF) < 4 * errors).all()
    assert np.abs(found.proportions - listener.proportions).max() < 0.08
    assert (found.labels == listener.moods).mean() > 0.8


def test_null_data_choose_one_component():
    for seed in range(3):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(150, 2))
        y = draw.poisson(np.exp(1 + x @ [0.5, -0.3])).astype(float)
        assert choose_k(PoissonMixture(1, budget=Budget(24, 48)), x, y, range(1, 4)).best.k == 1
    held = choose_k(PoissonMixture(1, budget=Budget(24, 24)), x, y, range(1, 3), criterion="held_out")
    assert held.best.k == 1 and set(held.values("held_out")) == {1, 2}


def test_a_component_of_three_percent_survives():
    draw = np.random.default_rng(4)
    x = draw.normal(size=(600, 1))
    components = draw.uniform(size=600) < 0.03
    y = draw.poisson(np.exp(np.where(components, 4.5, 1.0) + 0.4 * x[:, 0])).astype(float)
    found = PoissonMixture(2, budget=QUICK).fit(x, y)
    assert found.proportions[1] == pytest.approx(components.mean(), abs=0.01) and found.coef[1, 0] == pytest.approx(
        4.5, abs=0.2
    )


# ---- invariances -----------------------------------------------------------------------------------------------------


def same(one, other, tol=1e-6):
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-9)
    assert one.proportions == pytest.approx(other.proportions, abs=tol)
    assert one.coef == pytest.approx(other.coef, abs=tol)


def test_weight_two_is_the_row_twice_and_weight_zero_no_row():
    x, y, _ = simulated(5)
    twice = np.random.default_rng(0).integers(0, 3, len(y))
    model = PoissonMixture(2, budget=QUICK)
    weighted = model.fit(x, y, Rows(weights=twice))
    repeated = model.fit(np.repeat(x, twice, axis=0), np.repeat(y, twice))
    same(weighted, repeated)
    assert weighted.criteria.bic == pytest.approx(repeated.criteria.bic, rel=1e-9)
    assert weighted.uncertainty.standard_errors == pytest.approx(repeated.uncertainty.standard_errors, rel=1e-5)
    assert weighted.responsibilities.shape == (len(y), 2) and weighted.cluster_sizes.sum() == (twice > 0).sum()


def test_the_order_of_rows_and_the_scale_of_columns_change_nothing():
    x, y, _ = simulated(6)
    model = PoissonMixture(2, budget=QUICK)
    plain, order = model.fit(x, y), np.random.default_rng(1).permutation(len(y))
    shuffled = model.fit(x[order], y[order])
    same(plain, shuffled)
    assert shuffled.responsibilities == pytest.approx(plain.responsibilities[order], abs=1e-6)
    scaled = model.fit(x * [1e-6, 1e6], y)
    same(plain, scaled, 1e10)
    assert scaled.coef * [1, 1e-6, 1e6] == pytest.approx(plain.coef, abs=1e-6)


def test_an_offset_moves_the_intercept_alone():
    x, y, _ = simulated(7)
    model = PoissonMixture(2, budget=QUICK)
    plain, moved_by = model.fit(x, y), model.fit(x, y, Rows(offset=np.full(len(y), 0.7)))
    assert moved_by.coef + np.array([0.7, 0, 0]) == pytest.approx(plain.coef, abs=1e-6)
    with pytest.raises(InputError, match="fitted with an offset"):
        moved_by.predict(x)
    assert moved_by.predict(x, np.full(len(y), 0.7)) == pytest.approx(plain.predict(x), rel=1e-6)


def test_rows_of_a_group_share_their_component():
    """Single rows hardly tell the components apart; groups of ten do. A group of its own for each row is no group."""
    draw = np.random.default_rng(8)
    groups = np.repeat(np.arange(40), 10)
    x, components = draw.normal(size=(400, 1)), draw.integers(2, size=40)
    y = draw.poisson(np.exp(0.5 + np.where(components, 0.5, -0.5)[groups] * x[:, 0])).astype(float)
    order = draw.permutation(400)
    found = PoissonMixture(2, budget=QUICK).fit(x[order], y[order], Rows(groups=groups[order]))
    shares = np.empty_like(found.responsibilities)
    shares[order] = found.responsibilities
    assert (shares.reshape(40, 10, 2) == shares.reshape(40, 10, 2)[:, :1]).all()
    right = (shares[::10, 0] > 0.5) == (components == (found.coef[0, 1] > 0))
    assert right.mean() > 0.9
    assert found.criteria.bic == pytest.approx(-2 * found.log_likelihood + 5 * np.log(40))
    alone = PoissonMixture(2, budget=QUICK).fit(x, y, Rows(groups=np.arange(400)))
    same(alone, PoissonMixture(2, budget=QUICK).fit(x, y))


def test_the_same_seed_gives_the_same_answer():
    x, y, _ = simulated(9, k=3)
    one, other = (PoissonMixture(3, budget=QUICK, seed=4).fit(x, y) for _ in range(2))
    assert (one.coef == other.coef).all() and (one.trace == other.trace).all() and one.starts == other.starts


# ---- where there is little or no maximum -----------------------------------------------------------------------------


def test_more_components_than_the_data_support_do_not_crash_and_do_not_pretend():
    x, y, _ = simulated(10, n=25)
    found = PoissonMixture(9, budget=Budget(24, 40)).fit(x, y)
    assert found.k <= 9 and np.isfinite(found.log_likelihood)
    assert found.uncertainty.covariance is None and "not identified" in str(found.uncertainty.reason)
    assert any("more than the data support" in said for said in found.warnings)


def test_a_component_of_zeros_alone_has_no_finite_maximum_and_a_ridge_gives_it_one():
    draw = np.random.default_rng(0)
    x = draw.normal(size=200)
    y = np.where(draw.uniform(size=200) < 0.4, 0, draw.poisson(8, 200)).astype(float)
    found = PoissonMixture(2, budget=QUICK).fit(x, y)
    assert found.status is Status.NO_FINITE_MAXIMUM and "component 1 has no finite maximum" in found.message
    assert found.uncertainty.covariance is None and found.proportions[1] == pytest.approx((y == 0).mean(), abs=0.01)
    assert (
        PoissonMixture(2, ridge=0.1, budget=QUICK).fit(x, y).status is Status.NO_FINITE_MAXIMUM
    )  # the intercept is free
    assert PoissonMixture(2, ridge=0.1, intercept=False, budget=QUICK).fit(x, y).status is Status.CERTIFIED


def test_an_emptied_component_is_reseeded_on_the_worst_fitted_rows():
    x, y, _ = simulated(11, k=2)
    y[:6] = 5_000.0
    sample = sample_of(x, y)
    point = m_step(sample, np.ones((1, 1, len(y))))
    empty = MixtureParameters(np.concatenate([point.coef, point.coef], axis=1), np.array([[0.0, -80.0]]))
    done = finish_run(sample, empty)
    assert done.point.k == 2 and done.stationary and done.log_likelihood > expect(sample, point).log_likelihood[0] + 100


def test_collinear_columns_are_not_identified_and_fit_all_the_same():
    x, y, _ = simulated(12)
    found = PoissonMixture(2, budget=QUICK).fit(np.column_stack([x, x[:, 0] + x[:, 1]]), y)
    plain = PoissonMixture(2, budget=QUICK).fit(x, y)
    assert found.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-8) and "not identified" in str(
        found.uncertainty.reason
    )


def test_dispersion_is_one_for_poisson_counts_and_said_where_it_is_not():
    draw = np.random.default_rng(2)
    x = draw.normal(size=500)
    rates = np.exp(2 + 0.5 * x)
    calm = PoissonMixture(1).fit(x, draw.poisson(rates))
    wide = PoissonMixture(1).fit(x, draw.poisson(rates * draw.gamma(1, 1, 500)))
    assert calm.dispersion[0] == pytest.approx(1, abs=0.2) and not calm.warnings
    assert wide.dispersion[0] > 3 and "vary more than Poisson counts" in wide.warnings[0]


def test_a_cap_on_the_seconds_is_flagged():
    x, y, _ = simulated(13, k=3)
    found = PoissonMixture(3, budget=Budget(48, 500, 1e-6)).fit(x, y)
    assert any("seconds of the search ran out" in said for said in found.warnings) and found.starts.tried < 100


def test_components_survive_a_file(tmp_path):
    x, y, _ = simulated(14)
    components = PoissonMixture(2, budget=QUICK).fit(x, y).components
    components.save(tmp_path / "components.json")
    again = Components.load(tmp_path / "components.json")
    assert (again.scores(x) == components.scores(x)).all() and (
        again.score_errors(x) == components.score_errors(x)
    ).all()
    (tmp_path / "components.json").write_text("{}")
    with pytest.raises(ModelFileError):
        Components.load(tmp_path / "components.json")


def test_the_public_names_are_there_and_loaded_late():
    import hw4opt.mixture as mixture

    assert mixture.__all__ == sorted(mixture.__all__) and all(
        callable(getattr(mixture, name)) for name in mixture.__all__
    )
    with pytest.raises(AttributeError, match="no attribute 'Mixture'"):
        _ = mixture.Mixture
