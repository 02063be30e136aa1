"""Starts of a search, and perturbations of the best maximum found: responsibilities (s, k, units) for a first M-step.

Counts of real data are more dispersed than a Poisson law, so that responsibilities are nearly 0 or 1 and almost every
start ends in a different maximum. Starts therefore come from four families, and three kinds of perturbation change the
best maximum in ways that EM cannot, because they lower the likelihood at first. (Compare split and merge EM: Ueda,
Nakano, Ghahramani and Hinton 2000.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hw4opt.mixture.em import one_hot
from hw4opt.mixture.likelihood import Expectation
from hw4opt.mixture.sample import Sample
from hw4opt.terms.base import Array

MAX_REGRESSION_ROUNDS = 12  # of the regressions on log counts
OUTSIDE_WEIGHT = 1e-3  # weight of the units outside a random subset, so that every regression is determined
BADLY_FITTED_SHARE = 0.3  # of the units, those that a component may be moved to
MAX_RELABELLED_SHARE = 0.3  # of the units, those that one perturbation relabels
ROW_WEIGHT_FLOOR = 1e-8  # of a regression on log counts
GRAM_RIDGE = 1e-10  # of the largest diagonal entry of its Gram matrix

Draw = np.random.Generator


def draw_starts(sample: Sample, k: int, count: int, draw: Draw) -> Array:
    """`count` starts, from the families in turn."""
    families = (_log_regressions, _residual_quantiles, _random_subsets, _random_labels)
    shares = [len(range(number, count, len(families))) for number in range(len(families))]
    found = [family(sample, k, share, draw) for family, share in zip(families, shares, strict=True) if share]
    return np.concatenate(found)


def _random_labels(sample: Sample, k: int, count: int, draw: Draw) -> Array:
    return one_hot(draw.integers(k, size=(count, len(sample))), k)


def _random_subsets(sample: Sample, k: int, count: int, draw: Draw) -> Array:
    """Each component starts on a few units of its own."""
    units, p = len(sample), sample.matrix.shape[1]
    found = np.full((count, k, units), OUTSIDE_WEIGHT / k)
    for one in found:
        size = int(draw.integers(p + 1, max(units // k, p + 2)))
        for component in one:
            component[draw.permutation(units)[:size]] = 1.0
    return found / found.sum(axis=1, keepdims=True)


def _residual_quantiles(sample: Sample, k: int, count: int, draw: Draw) -> Array:
    """One regression on log counts, its residuals cut into k ranges: equal ones first, then random with noise."""
    residual = _log_residuals(sample, np.ones((1, 1, len(sample))))[0, 0]
    spread = residual.std() + 1e-300
    found = []
    for number in range(count):
        noisy = residual + (0.0 if number == 0 else draw.uniform(0, 1)) * spread * draw.standard_normal(len(residual))
        edges = np.full(k, 1.0 / k) if number == 0 else draw.dirichlet(np.full(k, 2.0))
        rank = np.empty(len(residual))
        rank[np.argsort(noisy, kind="stable")] = (np.arange(len(residual)) + 0.5) / len(residual)
        found.append(np.searchsorted(np.cumsum(edges)[:-1], rank))
    return one_hot(np.array(found), k)


def _log_regressions(sample: Sample, k: int, count: int, draw: Draw) -> Array:
    """k regressions on log counts from random labels, alternating with relabelling of each unit by the nearest."""
    labels = draw.integers(k, size=(count, len(sample)))
    for _ in range(MAX_REGRESSION_ROUNDS):
        distances = np.square(_log_residuals(sample, one_hot(labels, k)))
        labels, before = distances.argmin(axis=1), labels
        if (labels == before).all():
            break
    return one_hot(labels, k)


def _log_residuals(sample: Sample, shares: Array) -> Array:
    """Residuals of log(y + ½) from each component's weighted regression, means over each unit's rows: (s, k, units)."""
    s, k, _ = shares.shape
    x, p = sample.matrix, sample.matrix.shape[1]
    target = sample.law.inverse(sample.counts - sample.law.least + 0.5) - sample.offset
    weights = (sample.row_weights(shares) + ROW_WEIGHT_FLOOR).reshape(s * k, -1)
    gram = (weights @ (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)).reshape(-1, p, p)
    diagonal = np.einsum("bii->bi", gram)
    diagonal += GRAM_RIDGE * diagonal.max(axis=1, keepdims=True) + 1e-300
    coef = np.linalg.solve(gram, ((weights * target) @ x)[:, :, None])[:, :, 0]
    sizes = sample.unit_sums(np.ones(len(target)))
    return (sample.unit_sums(target - coef @ x.T) / sizes).reshape(s, k, -1)


def draw_perturbations(sample: Sample, best: Expectation, count: int, draw: Draw) -> Array:
    """`count` starts around one mixture's responsibilities, by the kinds of perturbation in turn."""
    shares = best.responsibilities[0]
    misfit = sample.saturated - best.densities[0]
    kinds: tuple[Callable[[Array], Array], ...] = (
        lambda one: _moved(one, misfit, sample.matrix.shape[1], draw),
        lambda one: _relabelled(one, draw),
        lambda one: _merged(one, sample, draw),
    )
    return np.stack([kinds[number % len(kinds)](shares.copy()) for number in range(count)])


def worst_fitted(misfit: Array, size: int) -> np.ndarray:
    """The `size` units with the largest misfit."""
    return np.argsort(-misfit, kind="stable")[:size]


def assigned_to(shares: Array, component: int, units: np.ndarray) -> Array:
    """One component on these units only; its share of all others goes to the other components in proportion."""
    shares[component] = 0.0
    left = shares.sum(axis=0)
    shares /= np.where(left > 0, left, 1.0)
    shares[:, left <= 0] = 1.0 / max(len(shares) - 1, 1)
    shares[component] = 0.0
    shares[:, units] = 0.0
    shares[component, units] = 1.0
    return shares


def _moved(shares: Array, misfit: Array, p: int, draw: Draw) -> Array:
    """One component moved to some of the badly fitted units."""
    pool = worst_fitted(misfit, max(p + 2, round(BADLY_FITTED_SHARE * len(misfit))))
    size = int(draw.integers(1, max(2, len(pool) // 2 + 1)))
    return assigned_to(shares, int(draw.integers(len(shares))), draw.permutation(pool)[:size])


def _relabelled(shares: Array, draw: Draw) -> Array:
    """A random set of units, each moved to a random component."""
    k, units = shares.shape
    size = max(1, round(units ** draw.uniform(0, 1) * MAX_RELABELLED_SHARE))
    chosen = draw.permutation(units)[:size]
    shares[:, chosen] = one_hot(draw.integers(k, size=size), k)
    return shares


def _merged(shares: Array, sample: Sample, draw: Draw) -> Array:
    """Two components merged; the free one takes about half of the units of another.

    These are the units above the other's regression on log counts, or on one side of a random plane.
    """
    k = len(shares)
    if k < 2:
        return shares
    kept, free = draw.permutation(k)[:2]
    shares[kept] += shares[free]
    shares[free] = 0.0
    split = int(draw.choice([c for c in range(k) if c != free]))
    if draw.uniform() < 0.5:
        side = _log_residuals(sample, shares[None, split : split + 1])[0, 0]
    else:
        rows = sample.unit_sums(sample.matrix @ draw.standard_normal(sample.matrix.shape[1]))
        side = rows / sample.unit_sums(np.ones(len(sample.counts)))
    members = shares[split] > 0.5
    half = side > np.quantile(side[members] if members.any() else side, draw.uniform(0.2, 0.8))
    shares[free] = np.where(half, shares[split], 0.0)
    shares[split] -= shares[free]
    return shares
