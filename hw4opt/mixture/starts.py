"""Where searches start, and how they move on from the best place found: responsibilities (s, k, units) for a first M-step.

Real counts are spread wider than a Poisson law, so responsibilities are nearly 0 or 1 and almost every start ends in a maximum of its
own. Starts therefore come from four families, and from the best of them three kinds of perturbation try what EM cannot do by itself:
carry a component across a valley of the likelihood. (Compare split and merge EM: Ueda, Nakano, Ghahramani and Hinton 2000.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hw4opt.mixture.em import one_hot
from hw4opt.mixture.likelihood import Expectation
from hw4opt.mixture.sample import Sample
from hw4opt.terms.base import Array

ROUNDS = 12  # of the regressions on log counts
FAINT = 1e-3  # weight of the units outside a random subset: it keeps every regression determined
WORST = 0.3  # share of the units that count as badly fitted
RELABEL = 0.3  # largest share of the units that a relabelling touches

Draw = np.random.Generator


def starts(sample: Sample, k: int, count: int, draw: Draw) -> Array:
    """`count` starts, the families in turn."""
    families = (_log_regressions, _residual_quantiles, _random_subsets, _random_labels)
    shares = [len(range(place, count, len(families))) for place in range(len(families))]
    found = [family(sample, k, share, draw) for family, share in zip(families, shares, strict=True) if share]
    return np.concatenate(found)


def _random_labels(sample: Sample, k: int, count: int, draw: Draw) -> Array:
    return _labelled(draw.integers(k, size=(count, len(sample))), k)


def _random_subsets(sample: Sample, k: int, count: int, draw: Draw) -> Array:
    """Each component starts on a few units of its own."""
    units, p = len(sample), sample.matrix.shape[1]
    found = np.full((count, k, units), FAINT / k)
    for one in found:
        size = int(draw.integers(p + 1, max(units // k, p + 2)))
        for component in one:
            component[draw.permutation(units)[:size]] = 1.0
    return found / found.sum(axis=1, keepdims=True)


def _residual_quantiles(sample: Sample, k: int, count: int, draw: Draw) -> Array:
    """One regression on log counts; its residuals, blurred, are cut into k ranges: equal ones the first time."""
    residual = _log_residuals(sample, np.ones((1, 1, len(sample))))[0, 0]
    spread = residual.std() + 1e-300
    found = []
    for number in range(count):
        blurred = residual + (0.0 if number == 0 else draw.uniform(0, 1)) * spread * draw.standard_normal(len(residual))
        edges = np.full(k, 1.0 / k) if number == 0 else draw.dirichlet(np.full(k, 2.0))
        rank = np.empty(len(residual))
        rank[np.argsort(blurred, kind="stable")] = (np.arange(len(residual)) + 0.5) / len(residual)
        found.append(np.searchsorted(np.cumsum(edges)[:-1], rank))
    return _labelled(np.array(found), k)


def _log_regressions(sample: Sample, k: int, count: int, draw: Draw) -> Array:
    """k least-squares regressions on log counts from random labels, each unit then moved to the nearest, and again."""
    labels = draw.integers(k, size=(count, len(sample)))
    for _ in range(ROUNDS):
        distances = np.square(_log_residuals(sample, _labelled(labels, k)))
        labels, before = distances.argmin(axis=1), labels
        if (labels == before).all():
            break
    return _labelled(labels, k)


def _log_residuals(sample: Sample, shares: Array) -> Array:
    """Residuals of log(y + ½) from the weighted regressions of each component, means over each unit's rows: (s, k, units)."""
    s, k, _ = shares.shape
    x, p = sample.matrix, sample.matrix.shape[1]
    target = sample.law.inverse(sample.counts - sample.law.least + 0.5) - sample.offset
    weights = (sample.row_weights(shares) + 1e-8).reshape(s * k, -1)
    gram = (weights @ (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)).reshape(-1, p, p)
    diagonal = np.einsum("bii->bi", gram)
    diagonal += 1e-10 * diagonal.max(axis=1, keepdims=True) + 1e-300
    coef = np.linalg.solve(gram, ((weights * target) @ x)[:, :, None])[:, :, 0]
    sizes = sample.unit_sums(np.ones(len(target)))
    return (sample.unit_sums(target - coef @ x.T) / sizes).reshape(s, k, -1)


def perturbed(sample: Sample, best: Expectation, count: int, draw: Draw) -> Array:
    """`count` starts around one mixture's responsibilities, the kinds of perturbation in turn."""
    shares = best.responsibilities[0]
    badness = sample.saturated - best.densities[0]
    kinds: tuple[Callable[[Array], Array], ...] = (
        lambda one: _moved(one, badness, sample.matrix.shape[1], draw),
        lambda one: _relabelled(one, draw),
        lambda one: _merged(one, sample, draw),
    )
    return np.stack([kinds[number % len(kinds)](shares.copy()) for number in range(count)])


def worst(badness: Array, size: int) -> np.ndarray:
    """The units fitted worst."""
    return np.argsort(-badness, kind="stable")[:size]


def given_to(shares: Array, component: int, units: np.ndarray) -> Array:
    """One component on these units alone; what it held elsewhere goes to the others, in proportion."""
    shares[component] = 0.0
    left = shares.sum(axis=0)
    shares /= np.where(left > 0, left, 1.0)
    shares[:, left <= 0] = 1.0 / max(len(shares) - 1, 1)
    shares[component] = 0.0
    shares[:, units] = 0.0
    shares[component, units] = 1.0
    return shares


def _moved(shares: Array, badness: Array, p: int, draw: Draw) -> Array:
    """One component onto some of the badly fitted units."""
    pool = worst(badness, max(p + 2, round(WORST * len(badness))))
    size = int(draw.integers(1, max(2, len(pool) // 2 + 1)))
    return given_to(shares, int(draw.integers(len(shares))), draw.permutation(pool)[:size])


def _relabelled(shares: Array, draw: Draw) -> Array:
    """From one unit to a good part of them, to a component drawn anew."""
    k, units = shares.shape
    size = max(1, round(units ** draw.uniform(0, 1) * RELABEL))
    chosen = draw.permutation(units)[:size]
    shares[:, chosen] = one_hot(draw.integers(k, size=size), k)
    return shares


def _merged(shares: Array, sample: Sample, draw: Draw) -> Array:
    """Two components as one; the one that is free takes half of another's units: those above its regression on log counts, or some half."""
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


def _labelled(labels: np.ndarray, k: int) -> Array:
    return (labels[:, None, :] == np.arange(k)[:, None]).astype(float)
