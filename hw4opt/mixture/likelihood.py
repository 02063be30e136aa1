"""The E-step, and the observed log-likelihood with its first two derivatives: passes over the rows.

A unit u (a row, or the rows of a group) has, in component k, the log-density

    h_uk = log π_k + Σ_i ι_i (y_i z_ik - exp z_ik),     z_ik = x_iᵀw_k + o_i.

The E-step and the log-likelihood are

    γ_uk = exp(h_uk) / Σ_l exp(h_ul),     ℓ = Σ_u ω_u (log Σ_k exp h_uk - Σ_i ι_i log y_i!),

both with the largest h subtracted first, so that densities as small as exp(-10⁵) are divided without loss. For counts
truncated at 0 the log-density is that of their law (terms/laws.py); λ below then stands for their mean in r, and for
their variance in the information. For counts above 10⁶, where y z and log y! would cancel, h is the log-density less
its largest value over λ, and the constant is that value.

With π = softmax(α) and r_ik = ι_i (y_i - λ_ik), the gradient is Σ_i ω γ_ik r_ik x_i for w_k, and Σ_u ω γ_uk - Ω π_k for
α_k. The observed information is that of complete data less the information of the missing labels (Louis 1982): with
v_uk = (Σ_{i in u} r_ik x_i, 1) in block k,

    -∇²ℓ = blockdiag(Σ ω γ_ik ι_i λ_ik x_i x_iᵀ) + Ω (diag π - ππᵀ)  -  Σ_u ω [Σ_k γ_uk v_uk v_ukᵀ - v̄_u v̄_uᵀ],

v̄_u = Σ_k γ_uk v_uk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np

from hw4opt.mixture.sample import Sample, UnitBlock
from hw4opt.running.threads import parallel_map
from hw4opt.terms.base import Array

MAX_INFORMATION_PARAMETERS = 3_000  # for which the observed information is formed: its eigenvectors take seconds there
# where exp(z) is cut off: every count has density 0 there in doubles, and products do not overflow
MAX_LOG_RATE = 150.0


@dataclass(frozen=True, eq=False)
class MixtureParameters:
    """A batch of s mixtures: coef (s, k, p) of the scaled columns, log_proportions (s, k)."""

    coef: Array
    log_proportions: Array

    def __len__(self) -> int:
        return len(self.coef)

    @property
    def k(self) -> int:
        return self.coef.shape[1]

    def pick(self, which: np.ndarray | slice) -> MixtureParameters:
        """Some mixtures of the batch."""
        return MixtureParameters(self.coef[which], self.log_proportions[which])

    @classmethod
    def stack(cls, points: list[MixtureParameters]) -> MixtureParameters:
        """The batches concatenated."""
        return cls(
            np.concatenate([point.coef for point in points]),
            np.concatenate([point.log_proportions for point in points]),
        )


class Expectation(NamedTuple):
    """An E-step: log_likelihood (s,) less the penalty, responsibilities (s, k, units), log-densities (s, units)."""

    log_likelihood: Array
    responsibilities: Array
    densities: Array


class BlockMatrix(NamedTuple):
    """A matrix over (w_1, α_1, w_2, α_2, …), 0 except a block of each w_j, (k, p, p), and one of all α, (k, k)."""

    coef: Array
    logits: Array

    @property
    def transposed(self) -> BlockMatrix:
        """The blocks' transposes."""
        return BlockMatrix(self.coef.swapaxes(1, 2), self.logits.T)

    def times(self, values: Array) -> Array:
        """The product with (K,) or (K, m)."""
        k, p = self.coef.shape[:2]
        rows = values.reshape(k, p + 1, -1)
        found = np.empty_like(rows)
        np.matmul(self.coef, rows[:, :p], out=found[:, :p])
        np.matmul(self.logits, rows[:, p], out=found[:, p])
        return found.reshape(values.shape)


class Curvature(NamedTuple):
    """ℓ of one mixture and its derivatives in (w_1, α_1, w_2, α_2, …), K = k (p + 1) of them.

    gradient (K,);  complete: the information of complete data
    observed (K, K): the observed information, None for K above `MAX_INFORMATION_PARAMETERS`
    """

    log_likelihood: float
    gradient: Array
    complete: BlockMatrix
    observed: Array | None

    @property
    def finite(self) -> bool:
        """Whether all of them are finite."""
        arrays = (self.log_likelihood, self.gradient, *self.complete, 0.0 if self.observed is None else self.observed)
        return all(bool(np.isfinite(array).all()) for array in arrays)


def expect(sample: Sample, point: MixtureParameters) -> Expectation:
    """The E-step of every mixture of the batch."""
    found = parallel_map(lambda block: _block_posterior(block, point)[2:], sample.blocks(point.coef.shape[0] * point.k))
    shares = np.concatenate([share for share, _ in found], axis=-1) if len(found) > 1 else found[0][0]
    densities = np.concatenate([density for _, density in found], axis=-1) if len(found) > 1 else found[0][1]
    return Expectation(densities @ sample.unit_weights - penalty(sample, point), shares, densities)


def penalty(sample: Sample, point: MixtureParameters) -> Array:
    """Σ_k Σ_j penalty_j w_kj², (s,)."""
    return (np.square(point.coef) @ sample.penalty).sum(axis=1)


class _BlockPosterior(NamedTuple):
    """The E-step of a block: γ (s, k, units) and the mixture's log-density (s, units).

    rise       mean less the law's least count, (s, k, rows);  variance  of the counts, likewise; both may share memory
    """

    rise: Array
    variance: Array
    shares: Array
    density: Array


def _block_posterior(block: UnitBlock, point: MixtureParameters) -> _BlockPosterior:
    s, k, p = point.coef.shape
    z = (point.coef.reshape(-1, p) @ block.matrix.T).reshape(s, k, -1)
    z += block.offset
    np.minimum(z, MAX_LOG_RATE, out=z)
    cumulant, rise, variance = block.law.derivatives(z)
    if block.has_large_counts:
        z = -block.law.divergence(z, block.above, block.above - rise)
    else:
        z *= block.above
        z -= cumulant
    if block.inner_weights is not None:
        z *= block.inner_weights
    if block.first_rows is not None:
        z = np.add.reduceat(z, block.first_rows, axis=2)  # a unit's rows belong to one component
    z += point.log_proportions[:, :, None]
    top = z.max(axis=1, keepdims=True)
    z -= top
    np.exp(z, out=z)
    total = z.sum(axis=1, keepdims=True)
    z /= total
    density = np.log(total)
    density += top
    return _BlockPosterior(rise, variance, z, density[:, 0] - block.constants)


class _LikelihoodSums(NamedTuple):
    """The sums of `curvature` over the blocks; `missing` is 0 where the observed information is not formed.

    gradient   Σ ω v̄ (k, p + 1);  complete  blocks Σ ω γ ι λ x xᵀ (k, p, p);  missing  Σ_u ω [Σ_k γ v vᵀ - v̄ v̄ᵀ] (K, K)
    """

    log_likelihood: float
    gradient: Array
    complete: Array
    missing: Array | float

    def plus(self, other: _LikelihoodSums) -> _LikelihoodSums:
        """The sums over the blocks of both."""
        return _LikelihoodSums(
            self.log_likelihood + other.log_likelihood,
            self.gradient + other.gradient,
            self.complete + other.complete,
            self.missing + other.missing,
        )


class _Residuals(NamedTuple):
    """r = ι (y - λ) and ω γ ι, each (k, rows)."""

    residual: Array
    weights: Array


def curvature(sample: Sample, point: MixtureParameters) -> Curvature:
    """ℓ of one mixture with its gradient, the information of complete data, and the observed information."""
    k, p = point.coef.shape[1:]
    sums_of = _second_order_sums if k * (p + 1) <= MAX_INFORMATION_PARAMETERS else _first_order_sums
    found = parallel_map(lambda block: sums_of(block, point), sample.blocks(k * p))
    return _assemble(sample, point, reduce(_LikelihoodSums.plus, found))


def _second_order_sums(block: UnitBlock, point: MixtureParameters) -> _LikelihoodSums:
    rise, variance, shares, density = (array[0] for array in _block_posterior(block, point))
    k, p = point.coef.shape[1:]
    residual, weights = _residuals(block, rise, shares)
    halves = np.sqrt(variance * weights)  # √ω γ ι λ
    roots, columns, root_weights = np.sqrt(shares), block.matrix.T, np.sqrt(block.unit_weights)
    scores = np.empty((k, p + 1, len(root_weights)))
    complete, missing, half = np.empty((k, p, p)), np.zeros((k, p + 1, k, p + 1)), np.empty(columns.shape)
    for c in range(k):
        np.multiply(columns, halves[c], out=half)
        np.matmul(half, half.T, out=complete[c])
        score, outer = scores[c], roots[c] * root_weights
        score[:p] = block.per_unit(np.multiply(columns, residual[c], out=half))
        score[:p] *= outer
        score[p] = outer  # √(ω γ) v
        missing[c, :, c] = score @ score.T
        score *= roots[c]  # √ω γ v
    flat = scores.reshape(k * (p + 1), -1)
    square = missing.reshape(len(flat), -1)
    square -= flat @ flat.T
    log_likelihood = float(density @ block.unit_weights)
    return _LikelihoodSums(log_likelihood, (flat @ root_weights).reshape(k, p + 1), complete, square)


def _first_order_sums(block: UnitBlock, point: MixtureParameters) -> _LikelihoodSums:
    rise, variance, shares, density = (array[0] for array in _block_posterior(block, point))
    residual, weights = _residuals(block, rise, shares)
    halves = np.sqrt(variance * weights)
    of_coef = (residual * block.per_row(shares * block.unit_weights)) @ block.matrix
    gradient = np.column_stack([of_coef, shares @ block.unit_weights])
    complete = np.stack([half @ half.T for half in (block.matrix.T * root for root in halves)])
    return _LikelihoodSums(float(density @ block.unit_weights), gradient, complete, 0.0)


def _residuals(block: UnitBlock, rise: Array, shares: Array) -> _Residuals:
    residual, weights = block.above - rise, block.per_row(shares * block.unit_weights)
    if block.inner_weights is None:
        return _Residuals(residual, weights)
    return _Residuals(residual * block.inner_weights, weights * block.inner_weights)


def scores_outer(sample: Sample, point: MixtureParameters) -> Array:
    """Σ_u ω s_u s_uᵀ of one mixture in (w_1, α_1, w_2, …), (K, K), of the units' gradients s_u: v̄_u less π in α."""
    k, p = point.coef.shape[1:]
    shares = np.exp(point.log_proportions[0])

    def of_block(block: UnitBlock) -> Array:
        found = _block_posterior(block, point)
        residual = _residuals(block, found.rise[0], found.shares[0]).residual
        scores = np.empty((k, p + 1, len(block.unit_weights)))
        for c, row in enumerate(residual):
            scores[c, :p] = block.per_unit(block.matrix.T * row) * found.shares[0, c]
            scores[c, p] = found.shares[0, c] - shares[c]
        flat = scores.reshape(k * (p + 1), -1) * np.sqrt(block.unit_weights)
        return flat @ flat.T

    return sum(parallel_map(of_block, sample.blocks(k * p)), np.zeros((k * (p + 1),) * 2))


def _assemble(sample: Sample, point: MixtureParameters, sums: _LikelihoodSums) -> Curvature:
    """The sums over all blocks, with the penalty and the terms of the proportions alone.

    The latter are Ω (diag π - ππᵀ), plus Ω/k 11ᵀ along the direction that changes no proportion.
    """
    gradient, complete, missing = sums.gradient, sums.complete, sums.missing
    k, p = point.coef.shape[1:]
    shares, components, columns = np.exp(point.log_proportions[0]), np.arange(k), np.arange(p)
    gradient[:, :p] -= 2 * sample.penalty * point.coef[0]
    gradient[:, p] -= sample.total * shares
    information = BlockMatrix(complete, sample.total * (np.diag(shares) - np.outer(shares, shares) + 1.0 / k))
    information.coef[:, columns, columns] += 2 * sample.penalty
    observed = None
    if isinstance(missing, np.ndarray):
        observed = -missing
        square = observed.reshape(k, p + 1, k, p + 1)
        square[components, :p, components, :p] += information.coef
        square[:, p, :, p] += information.logits
    log_likelihood = float(sums.log_likelihood) - float(penalty(sample, point)[0])
    return Curvature(log_likelihood, gradient.ravel(), information, observed)
