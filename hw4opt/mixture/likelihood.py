"""Passes over the rows: the E-step, and the observed log-likelihood with its first two derivatives.

A unit u (a row, or the rows of a group) has, in component k, the log-density  h_uk = log π_k + Σ_i ι_i (y_i z_ik - exp z_ik),
z_ik = x_iᵀw_k + o_i. The E-step is  γ_uk = exp(h_uk) / Σ_l exp(h_ul), and  ℓ = Σ_u ω_u (log Σ_k exp h_uk - Σ_i ι_i log y_i!),
both with the largest h taken out first, so that densities of exp(-10⁵) divide as well as any. Of counts truncated at 0 the log-density
is that of their law (terms/laws.py), λ their mean in r, and their variance in the information below. Above 10⁶, where y z and log y! would
cancel, h is what the row falls short of the best λ, and the constant what is left there.

With π = softmax(α) and r_ik = ι_i (y_i - λ_ik), the gradient is  Σ_i ω γ_ik r_ik x_i  for w_k and  Σ_u ω γ_uk - Ω π_k  for α_k. The
information that the counts hold is what complete data would hold less what the labels would add (Louis 1982): with
v_uk = (Σ_{i in u} r_ik x_i, 1) in block k,

    -∇²ℓ = blockdiag(Σ ω γ_ik ι_i λ_ik x_i x_iᵀ) + Ω (diag π - ππᵀ)  -  Σ_u ω [Σ_k γ_uk v_uk v_ukᵀ - v̄_u v̄_uᵀ],   v̄_u = Σ_k γ_uk v_uk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw4opt.mixture.sample import Part, Sample
from hw4opt.rows import each
from hw4opt.terms.base import Array

MOST = 3_000  # parameters up to which the observed information is made: its eigenvectors take seconds there, and hours at ten times as many
LARGEST = 150.0  # z up to which exp(z) is taken: at any count's density there is 0 in doubles, and products of it do not overflow


@dataclass(frozen=True, eq=False)
class Point:
    """Parameters of a batch of s mixtures: coef (s, k, p) of the scaled columns, log_proportions (s, k)."""

    coef: Array
    log_proportions: Array

    def __len__(self) -> int:
        return len(self.coef)

    @property
    def k(self) -> int:
        return self.coef.shape[1]

    def pick(self, which: np.ndarray | slice) -> Point:
        """Some mixtures of the batch."""
        return Point(self.coef[which], self.log_proportions[which])

    @classmethod
    def stack(cls, points: list[Point]) -> Point:
        """Batches in a row as one."""
        return cls(np.concatenate([point.coef for point in points]), np.concatenate([point.log_proportions for point in points]))


class Expectation(NamedTuple):
    """An E-step: log_likelihood (s,) less the penalty, responsibilities (s, k, units), the mixture's log densities (s, units)."""

    log_likelihood: Array
    responsibilities: Array
    densities: Array


class Blocks(NamedTuple):
    """A matrix of (w_1, α_1, w_2, α_2, …) that is 0 but for a block of each w_j, (k, p, p), and one of all the α, (k, k)."""

    coef: Array
    logits: Array

    @property
    def transposed(self) -> Blocks:
        """The blocks' transposes."""
        return Blocks(self.coef.swapaxes(1, 2), self.logits.T)

    def times(self, values: Array) -> Array:
        """The product with (K,) or (K, m)."""
        k, p = self.coef.shape[:2]
        rows = values.reshape(k, p + 1, -1)
        found = np.empty_like(rows)
        np.matmul(self.coef, rows[:, :p], out=found[:, :p])
        np.matmul(self.logits, rows[:, p], out=found[:, p])
        return found.reshape(values.shape)


class Curvature(NamedTuple):
    """Of one mixture, in (w_1, α_1, w_2, α_2, …), K = k (p + 1) of them.

    gradient (K,);  complete: the information of complete data;  observed (K, K): that of the counts, None for K above `MOST`
    """

    log_likelihood: float
    gradient: Array
    complete: Blocks
    observed: Array | None

    @property
    def finite(self) -> bool:
        """Whether all of it are finite numbers."""
        parts = (self.log_likelihood, self.gradient, *self.complete, 0.0 if self.observed is None else self.observed)
        return all(bool(np.isfinite(part).all()) for part in parts)


def expect(sample: Sample, point: Point) -> Expectation:
    """The E-step of every mixture of the batch."""
    parts = sample.parts(point.coef.shape[0] * point.k)
    found = each(lambda part: _posterior(part, point)[2:], parts)
    shares = np.concatenate([share for share, _ in found], axis=-1) if len(found) > 1 else found[0][0]
    densities = np.concatenate([density for _, density in found], axis=-1) if len(found) > 1 else found[0][1]
    return Expectation(densities @ sample.unit_weights - penalty(sample, point), shares, densities)


def penalty(sample: Sample, point: Point) -> Array:
    """Σ_k Σ_j penalty_j w_kj², (s,)."""
    return (np.square(point.coef) @ sample.penalty).sum(axis=1)


class _Posterior(NamedTuple):
    """Mean less the law's least count and variance (s, k, rows), which may share memory, γ (s, k, units), the log-density (s, units)."""

    rise: Array
    variance: Array
    shares: Array
    density: Array


def _posterior(part: Part, point: Point) -> _Posterior:
    """The E-step on a part."""
    s, k, p = point.coef.shape
    z = (point.coef.reshape(-1, p) @ part.matrix.T).reshape(s, k, -1)
    z += part.offset
    np.minimum(z, LARGEST, out=z)
    cumulant, rise, variance = part.law.derivatives(z)
    if part.large:
        z = -part.law.divergence(z, part.above, part.above - rise)
    else:
        z *= part.above
        z -= cumulant
    if part.inner is not None:
        z *= part.inner
    if part.first is not None:
        z = np.add.reduceat(z, part.first, axis=2)  # a unit's rows share their mood
    z += point.log_proportions[:, :, None]
    top = z.max(axis=1, keepdims=True)
    z -= top
    np.exp(z, out=z)
    total = z.sum(axis=1, keepdims=True)
    z /= total
    density = np.log(total)
    density += top
    return _Posterior(rise, variance, z, density[:, 0] - part.constants)


def curvature(sample: Sample, point: Point) -> Curvature:
    """ℓ of one mixture with its gradient, the information of complete data, and that of the counts."""
    k, p = point.coef.shape[1:]
    act = _curvature if k * (p + 1) <= MOST else _slopes
    pieces = each(lambda part: act(part, point), sample.parts(k * p))
    log_likelihood, gradient, complete, missing = (sum(column) for column in zip(*pieces, strict=True))
    return _assemble(sample, point, float(log_likelihood), (gradient, complete, missing))  # type: ignore[arg-type]


def _curvature(part: Part, point: Point) -> tuple[float, Array, Array, Array]:
    """A part's ℓ, Σ ω v̄ (k, p + 1), blocks Σ ω γ ι λ x xᵀ (k, p, p), and Σ_u ω [Σ_k γ v vᵀ - v̄ v̄ᵀ] (K, K)."""
    rise, variance, shares, density = (array[0] for array in _posterior(part, point))
    k, p = point.coef.shape[1:]
    residual, weights = _residuals(part, rise, shares)
    halves = np.sqrt(variance * weights)  # √ω γ ι λ
    roots, columns, size = np.sqrt(shares), part.matrix.T, np.sqrt(part.unit_weights)
    scores = np.empty((k, p + 1, len(size)))
    complete, missing, half = np.empty((k, p, p)), np.zeros((k, p + 1, k, p + 1)), np.empty(columns.shape)
    for c in range(k):
        np.multiply(columns, halves[c], out=half)
        np.matmul(half, half.T, out=complete[c])
        score, outer = scores[c], roots[c] * size
        score[:p] = part.per_unit(np.multiply(columns, residual[c], out=half))
        score[:p] *= outer
        score[p] = outer  # √(ω γ) v
        missing[c, :, c] = score @ score.T
        score *= roots[c]  # √ω γ v
    flat = scores.reshape(k * (p + 1), -1)
    square = missing.reshape(len(flat), -1)
    square -= flat @ flat.T
    return float(density @ part.unit_weights), (flat @ size).reshape(k, p + 1), complete, square


def _slopes(part: Part, point: Point) -> tuple[float, Array, Array, float]:
    """The same without its last, for which 0 stands."""
    rise, variance, shares, density = (array[0] for array in _posterior(part, point))
    residual, weights = _residuals(part, rise, shares)
    halves = np.sqrt(variance * weights)
    gradient = np.column_stack([(residual * part.per_row(shares * part.unit_weights)) @ part.matrix, shares @ part.unit_weights])
    complete = np.stack([half @ half.T for half in (part.matrix.T * root for root in halves)])
    return float(density @ part.unit_weights), gradient, complete, 0.0


def _residuals(part: Part, rise: Array, shares: Array) -> tuple[Array, Array]:
    """r = ι (y - λ) and ω γ ι, each (k, rows)."""
    residual, weights = part.above - rise, part.per_row(shares * part.unit_weights)
    return (residual, weights) if part.inner is None else (residual * part.inner, weights * part.inner)


def scores_outer(sample: Sample, point: Point) -> Array:
    """Σ_u ω s_u s_uᵀ of one mixture in (w_1, α_1, w_2, …), (K, K), s_u the gradient of unit u: v̄_u with π taken from the α's."""
    k, p = point.coef.shape[1:]
    shares = np.exp(point.log_proportions[0])

    def one(part: Part) -> Array:
        found = _posterior(part, point)
        residual = _residuals(part, found.rise[0], found.shares[0])[0]
        scores = np.empty((k, p + 1, len(part.unit_weights)))
        for c, row in enumerate(residual):
            scores[c, :p] = part.per_unit(part.matrix.T * row) * found.shares[0, c]
            scores[c, p] = found.shares[0, c] - shares[c]
        flat = scores.reshape(k * (p + 1), -1) * np.sqrt(part.unit_weights)
        return flat @ flat.T

    return sum(each(one, sample.parts(k * p)), np.zeros((k * (p + 1),) * 2))


def _assemble(sample: Sample, point: Point, log_likelihood: float, sums: tuple[Array, Array, Array | float]) -> Curvature:
    """The sums over all parts, with the penalty and what the proportions alone bring.

    That is Ω (diag π - ππᵀ), plus Ω/k 11ᵀ along the direction that changes no proportion.
    """
    gradient, complete, missing = sums
    k, p = point.coef.shape[1:]
    shares, moods, place = np.exp(point.log_proportions[0]), np.arange(k), np.arange(p)
    gradient[:, :p] -= 2 * sample.penalty * point.coef[0]
    gradient[:, p] -= sample.total * shares
    blocks = Blocks(complete, sample.total * (np.diag(shares) - np.outer(shares, shares) + 1.0 / k))
    blocks.coef[:, place, place] += 2 * sample.penalty
    observed = None
    if isinstance(missing, np.ndarray):
        observed = -missing
        square = observed.reshape(k, p + 1, k, p + 1)
        square[moods, :p, moods, :p] += blocks.coef
        square[:, p, :, p] += blocks.logits
    return Curvature(log_likelihood - float(penalty(sample, point)[0]), gradient.ravel(), blocks, observed)
