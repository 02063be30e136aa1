"""EM as others write it, and data for it. Only `squarem`, which extrapolates hw4opt's cycles, shares code with it."""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma

import numpy as np

from hw4opt.mixture.em import cycle, textbook
from hw4opt.mixture.likelihood import MixtureParameters, expect
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.sample import Sample

RELATIVE_CHANGE = 1e-10  # relative change of the log-likelihood that ends a run
MAX_CYCLES = 5_000


@dataclass(frozen=True)
class Data:
    """Counts of k components: y ~ Poisson(exp(b_j + xᵀw_j)), w ~ spread · N(0, I), equal shares; random labels."""

    n: int
    d: int
    k: int
    spread: float
    seed: int = 0

    def draw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x (n, d), y (n,), labels (n,)."""
        draw = np.random.default_rng(self.seed)
        x, coef = draw.normal(size=(self.n, self.d)), draw.normal(size=(self.k, self.d)) * self.spread
        base, components = np.log(np.array([2.0, 5.0, 10.0, 20.0, 5.0])[: self.k]), draw.integers(self.k, size=self.n)
        y = draw.poisson(np.exp(base[components] + (x * coef[components]).sum(axis=1))).astype(float)
        return x, y, draw.integers(self.k, size=self.n)

    def sample(self) -> tuple[Sample, np.ndarray]:
        """The same as hw4opt takes it, and the labels."""
        x, y, labels = self.draw()
        return Sample.of(PoissonMixture(self.k).design(x, y)), labels


CASES = {  # plain EM needs about 120 cycles of the first, and over 300 of the second
    "apart": Data(5_000, 10, 5, 0.3),
    "close": Data(5_000, 10, 5, 0.1),
}
LARGE = Data(1_000_000, 10, 3, 0.3)


def numpy_em(data: Data) -> tuple[float, int]:
    """(n, k) arrays, one component's Newton steps after the other: log-likelihood and cycles at convergence."""
    x, y, labels = data.draw()
    x = np.column_stack([np.ones(len(x)), x])
    gamma, factorials = np.eye(data.k)[labels], np.array([lgamma(value + 1) for value in y])
    coef = np.tile(np.linalg.lstsq(x, np.log(y + 0.5), rcond=None)[0], (data.k, 1))
    value, last = 0.0, -np.inf
    for number in range(1, MAX_CYCLES + 1):
        shares = gamma.mean(axis=0)
        for j in range(data.k):
            for _ in range(50):
                mean = np.exp(x @ coef[j])
                step = np.linalg.solve((x * (gamma[:, j] * mean)[:, None]).T @ x, x.T @ (gamma[:, j] * (y - mean)))
                coef[j] += step
                if np.abs(step).max() < 1e-8:
                    break
        z = x @ coef.T
        joint = np.log(shares) + y[:, None] * z - np.exp(z) - factorials[:, None]
        top = joint.max(axis=1, keepdims=True)
        gamma = np.exp(joint - top)
        total = gamma.sum(axis=1, keepdims=True)
        gamma /= total
        value = float((top + np.log(total)).sum())
        if abs(value - last) <= RELATIVE_CHANGE * abs(value):
            return value, number
        last = value
    return value, MAX_CYCLES


def plain_em(sample: Sample, labels: np.ndarray, k: int) -> tuple[float, int]:
    """hw4opt's E-steps and exact M-steps to the same change."""
    last = -np.inf
    for number, (_, value) in enumerate(textbook(sample, labels, k), 1):
        if abs(value - last) <= RELATIVE_CHANGE * abs(value) or number == MAX_CYCLES:
            return value, number
        last = value
    return last, MAX_CYCLES


def squarem(sample: Sample, point: MixtureParameters) -> tuple[float, int]:
    """hw4opt's cycles extrapolated (Varadhan and Roland 2008, step length S3), or EM's where ℓ falls: ℓ and cycles."""
    here, last = expect(sample, point), -np.inf
    for number in range(1, MAX_CYCLES // 3):
        value = float(here.log_likelihood[0])
        if abs(value - last) <= RELATIVE_CHANGE * abs(value):
            return value, 3 * number
        last = value
        one = cycle(sample, here, point)
        two = cycle(sample, expect(sample, one), one)
        r, v = _flat(one) - _flat(point), _flat(two) - 2 * _flat(one) + _flat(point)
        length = -max(1.0, float(np.linalg.norm(r) / max(np.linalg.norm(v), 1e-300)))
        far = _point(_flat(point) - 2 * length * r + length**2 * v, point)
        there = cycle(sample, expect(sample, far), far)
        after = expect(sample, there)
        point, here = (there, after) if after.log_likelihood[0] >= value else (two, expect(sample, two))
    return last, MAX_CYCLES


def _flat(point: MixtureParameters) -> np.ndarray:
    return np.concatenate([point.coef.ravel(), point.log_proportions.ravel()])


def _point(values: np.ndarray, like: MixtureParameters) -> MixtureParameters:
    coef, logits = values[: like.coef.size].reshape(like.coef.shape), values[like.coef.size :]
    return MixtureParameters(coef, (logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max())[None])
