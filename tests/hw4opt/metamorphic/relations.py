"""Changes of a problem, each with the formula of how its answer moves. f are fitted values, P the objective, s a power
of two.

Conventions: squared loss z² without a factor ½, ridge·αᵀKα (linear: ridge·‖w‖²), tv·Σ|f_{j+1} - f_j|, trend·Σ|D^k f|
with D^k f_j = (k-1)!·(x_{j+k} - x_j)·f[x_j, …, x_{j+k}], l1·‖w‖₁ without the intercept, bounds on f before the offset.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from hw4opt import Bounds, Problem, Ridge
from hw4opt.kernels import Precomputed
from hw4opt.terms import Coefficients, Differences, Interval, Smooth, Values
from metamorphic import scaling

ROW = 5  # the row that is moved, doubled or made heavy


@dataclass(frozen=True)
class Change:
    """The changed problem: f'[rows] = scale·f + shift and P' = factor·P + constant.

    loss      what a row's loss (and so a held-out score) is multiplied by
    rows      of the changed problem that are those of the unchanged one, None for all in their order
    compared  rows whose held-out loss keeps its meaning, None for all
    """

    problem: Problem
    scale: float = 1.0
    shift: float = 0.0
    factor: float = 1.0
    constant: float = 0.0
    loss: float = 1.0
    rows: np.ndarray | None = None
    compared: np.ndarray | None = None

    def of(self, values):
        """Entries of the changed problem's rows, in the order of the unchanged one's."""
        return values if self.rows is None else values[self.rows]


@dataclass(frozen=True)
class Relation(ABC):
    """core: the changed problem has to be certified, too. held_out: leave-one-out moves in the same way."""

    power: int = 0
    core: bool = True
    held_out: bool = True

    @property
    def name(self):
        return f"{type(self).__name__}{self.power:+d}" if self.power else type(self).__name__

    @abstractmethod
    def base(self, problem):
        """The problem that is changed, made from one of the table; None outside the relation's scope."""

    @abstractmethod
    def change(self, base):
        """The `Change`."""


class Level(Relation):
    """y' = y + c, c = 2^power, with a free intercept and a loss of f - y:  f' = f + c, bounds + c, P' = P.   Not
    nonnegative."""

    def base(self, problem):
        moves = all(isinstance(term, Bounds) or not isinstance(term.acts, Values) for term in problem.constraints)
        return problem if problem.intercept and moves and not isinstance(problem.loss, Smooth) else None

    def change(self, base):
        c = 2.0**self.power
        shapes = [
            Bounds(term.lower + c, term.upper + c) if isinstance(term, Bounds) else term for term in base.constraints
        ]
        return Change(replace(base, y=base.y + c, constraints=shapes), shift=c)


class Outlier(Relation):
    """y_i = 2^10 becomes 2^power, where the loss ends in straight lines of slope g:  f' = f, P' = P + ω_i g (2^power -
    2^10)."""

    far = 2.0**10

    def base(self, problem):
        return self._at(problem, self.far) if scaling.end_slope(problem.loss) is not None else None

    @staticmethod
    def _at(problem, value):
        y = problem.y.copy()
        y[ROW] = value
        return replace(problem, y=y)

    def change(self, base):
        weight = 1.0 if base.weights is None else base.weights[ROW]
        constant = weight * scaling.end_slope(base.loss) * (2.0**self.power - self.far)
        others = np.delete(np.arange(len(base.y)), ROW)
        return Change(self._at(base, 2.0**self.power), constant=constant, compared=others)


class ScaleTargets(Relation):
    """y' = s y, offset' = s offset, bounds' = s bounds, with a loss ℓ_{s θ}(s z) = s^p ℓ_θ(z):  f' = s f, P' = s^p P.

    θ are delta or epsilon; p is 2 for squared and huber, 1 for absolute, quantile and epsilon_insensitive.
    A regularizer of degree q (ridge 2; tv, trend, l1 1) gets the weight × s^(p-q).
    """

    def base(self, problem):
        moves = all(isinstance(term, Interval) or scaling.is_cone(term) for term in problem.constraints)
        return problem if moves and scaling.of_loss(problem.loss, 2.0) is not None else None

    def change(self, base):
        s = 2.0**self.power
        loss, p = scaling.of_loss(base.loss, s)
        kept = [replace(term, weight=term.weight * s ** (p - scaling.degree(term))) for term in base.regularizers]
        shapes = [scaling.times(term, s) for term in base.constraints]
        offset = None if base.offset is None else s * base.offset
        problem = replace(base, y=s * base.y, offset=offset, loss=loss, regularizers=kept, constraints=shapes)
        return Change(problem, scale=s, factor=s**p, loss=s**p)


def _with_x_scaled(problem, s, x):
    """x' = s x: gamma ÷ s^a where k(s x, s z; gamma ÷ s^a) = k(x, z), trend of order k × s^(k-1), of degree q its q-th
    power.

    Linear: ridge × s², l1 × s.
    """

    def scaled(term):
        if isinstance(term, Ridge):
            return replace(term, weight=term.weight * (s**2 if problem.kernel is None else 1.0))
        if isinstance(term.acts, Differences):
            return replace(term, weight=term.weight * s ** (scaling.degree(term) * (term.acts.order - 1)))
        return (
            replace(term, weight=term.weight * s ** scaling.degree(term))
            if isinstance(term.acts, Coefficients)
            else term
        )

    shapes = [
        scaling.times(term, 1 / s) if isinstance(term.acts, Coefficients) else term for term in problem.constraints
    ]

    kernel = problem.kernel
    if kernel is not None:
        kernel = replace(kernel, gamma=kernel.gamma * s ** -scaling.power_of_gamma(kernel))
    return replace(
        problem, x=x, kernel=kernel, regularizers=[scaled(term) for term in problem.regularizers], constraints=shapes
    )


class ScaleX(Relation):
    """x' = s x:  f' = f, P' = P, with gamma ÷ s² (laplacian: s), trend × s^(k-1), linear: ridge × s², l1 × s."""

    def base(self, problem):
        return None if isinstance(problem.kernel, Precomputed) else problem

    def change(self, base):
        s = 2.0**self.power
        return Change(_with_x_scaled(base, s, s * base.x))


class ShiftX(Relation):
    """x' = x + 2^power, with a kernel of x - z:  f' = f, P' = P."""

    def base(self, problem):
        return problem if problem.kernel is not None and scaling.is_stationary(problem.kernel) else None

    def change(self, base):
        return Change(replace(base, x=base.x + 2.0**self.power))


class Columns(Relation):
    """x'_j = s_j (x_j + c), s = 2^power, 2^-power, …, c = 2^20, where the fit does not see it:  f' = f, P' = P.

    With `standardize`, or for a linear design with an intercept and no penalty on coefficients. c = 0 without a centre
    (a linear design without intercept) and for polynomial kernels.
    """

    def base(self, problem):
        if isinstance(problem.kernel, Precomputed):
            return None
        if any(isinstance(term.acts, Coefficients) and not scaling.is_cone(term) for term in problem.constraints):
            return None  # one interval for coefficients of several units
        penalized = any(isinstance(term, Ridge) or isinstance(term.acts, Coefficients) for term in problem.regularizers)
        plain = problem.kernel is None and problem.intercept and not penalized
        return problem if plain else replace(problem, standardize=True)

    def change(self, base):
        s = 2.0 ** (self.power * (-1.0) ** np.arange(base.x.shape[1]))
        centred = base.intercept if base.kernel is None else scaling.is_stationary(base.kernel)
        return Change(replace(base, x=s * (base.x + (2.0**20 if centred else 0.0))))


class ScaleWeights(Relation):
    """Row weights and the weights of all regularizers × s:  f' = f, P' = s P."""

    def base(self, problem):
        return problem

    def change(self, base):
        s = 2.0**self.power
        weights = s * (np.ones(len(base.y)) if base.weights is None else base.weights)
        kept = [replace(term, weight=s * term.weight) for term in base.regularizers]
        return Change(replace(base, weights=weights, regularizers=kept), factor=s)


class HeavyRows(Relation):
    """Fewer rows than the rank weigh 2^40 and then 2^47 times the others: f' = f, and P' = P but for what those rows
    cost at least, up to 2^-40.

    The heavy rows lie at distinct x, on a function that satisfies the constraints; of losses with targets it is one
    row, as any level does. Losses whose rows have no minimum (logistic) are out: their fit there goes on for ever.
    """

    rows = np.array([3, 11, 20])

    def base(self, problem):
        if not scaling.has_minimum(problem.loss, problem.y):
            return None
        rank = problem.design.matrix.shape[1]
        count = min(1 if isinstance(problem.loss, Smooth) else 3, rank - 1)
        rows = [row for row in self.rows[:count] if problem.x[row].any()]
        y = problem.y.copy()
        if isinstance(problem.loss, Smooth):
            y[rows] = 2.0
        else:
            y[rows] = self._feasible(problem)[rows] + (0.0 if problem.offset is None else problem.offset[rows])
        weights = np.ones(len(y)) if problem.weights is None else problem.weights.copy()
        weights[rows] = 2.0**40
        return replace(problem, y=y, weights=weights) if rows else None

    @staticmethod
    def _feasible(problem):
        """¾ ± x/4 ± x²/32 by the constraints; without an intercept a linear design keeps x/4."""
        names = {term.name for term in problem.constraints}
        x = np.zeros(len(problem.y)) if isinstance(problem.kernel, Precomputed) else problem.x[:, 0]
        slope = (-x if "decreasing" in names else x) / 4
        if problem.kernel is None:
            return slope + 0.75 * problem.intercept
        return 0.75 + slope + x * x / 32 * (("convex" in names) - 1.0 * ("concave" in names))

    def change(self, base):
        heavy = base.weights >= 2.0**40
        least = (
            -base.loss.conjugate_pointwise(np.zeros(heavy.sum()), base.y[heavy]).sum()
            if isinstance(base.loss, Smooth)
            else 0.0
        )
        problem = replace(base, weights=np.where(heavy, 2.0**47, base.weights))
        return Change(problem, constant=(2.0**47 - 2.0**40) * least, compared=np.flatnonzero(~heavy))


class Doubled(Relation):
    """A row twice is a row of twice the weight:  f' = f, P' = P."""

    def base(self, problem):
        weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights.copy()
        weights[ROW] *= 2
        return replace(problem, weights=weights)

    def change(self, base):
        order = np.append(np.arange(len(base.y)), ROW)
        weights = base.weights[order]
        weights[[ROW, -1]] /= 2
        return Change(replace(_rows(base, order), weights=weights), rows=np.arange(len(base.y)))


def _rows(problem, order):
    """The problem on those of its rows."""
    x = problem.x[np.ix_(order, order)] if isinstance(problem.kernel, Precomputed) else problem.x[order]
    parts = {name: getattr(problem, name) for name in ("weights", "offset")}
    return replace(
        problem, x=x, y=problem.y[order], **{name: None if one is None else one[order] for name, one in parts.items()}
    )


class Permuted(Relation):
    """Rows in another order:  f' and held-out predictions in that order, P' = P."""

    def base(self, problem):
        return problem

    def change(self, base):
        order = np.random.default_rng(3).permutation(len(base.y))
        return Change(_rows(base, order), rows=np.argsort(order))


class ZeroRow(Relation):
    """One more row, of weight 0, that holds anything:  f' = f at the others, P' = P."""

    def base(self, problem):
        return problem

    def change(self, base):
        n = len(base.y)
        if isinstance(base.kernel, Precomputed):
            x = np.eye(n + 1)
            x[:n, :n] = base.x
        else:
            x = np.vstack([base.x, np.full((1, base.x.shape[1]), 2.0**30)])
        weights = np.append(np.ones(n) if base.weights is None else base.weights, 0.0)
        offset = None if base.offset is None else np.append(base.offset, 2.0**40)
        rows = np.arange(n)
        return Change(
            replace(base, x=x, y=np.append(base.y, -1.5 * 2.0**60), weights=weights, offset=offset), rows=rows
        )


class Reflected(Relation):
    """x' = -x, with increasing for decreasing and decreasing for increasing:  f' = f, P' = P."""

    def base(self, problem):
        return None if isinstance(problem.kernel, Precomputed) else problem

    def change(self, base):
        return Change(replace(base, x=-base.x, constraints=[scaling.mirrored(term) for term in base.constraints]))


class ConstantColumn(Relation):
    """A column of 2^power in a linear design beside an intercept, with a ridge or l1 > 0: its coefficient is 0, f' = f,
    P' = P."""

    def base(self, problem):
        penalized = any(term.weight > 0 for term in problem.regularizers)
        ordered = any(isinstance(term.acts, Differences) for term in problem.terms)
        return problem if problem.kernel is None and problem.intercept and penalized and not ordered else None

    def change(self, base):
        return Change(replace(base, x=np.column_stack([base.x, np.full(len(base.y), 2.0**self.power)])))


RELATIONS = {
    relation.name: relation
    for relation in [
        Level(10),
        *(Level(power, core=False, held_out=power == 30) for power in (20, 30)),
        *(Outlier(power, core=power == 20, held_out=power != 30) for power in (20, 30, 40)),
        *(ScaleTargets(power) for power in (40, -40)),
        *(ScaleX(power) for power in (30, -30)),
        ShiftX(20),
        *(Columns(power, core=False, held_out=power == 10) for power in (10, -30)),
        *(ScaleWeights(power) for power in (40, -40)),
        HeavyRows(core=False),
        Doubled(held_out=False),
        Permuted(),
        ZeroRow(),
        Reflected(),
        *(ConstantColumn(power, core=power == 3, held_out=power == 3) for power in (3, 20)),
    ]
}
