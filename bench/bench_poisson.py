"""Plain Poisson fits, each round with the description and the proof of existence, beside packages in use for them.

A peer's answer is judged by the certificate at its coefficients and our dual point: the gap bounds what its
likelihood lacks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from bench.record import OURS, Row, Target
from hw4opt import Poisson, Problem, fit
from hw4opt.form.canonicalize import canonicalize
from hw4opt.proof.certificate import certify

PASSES = 1e-6  # relative gap at which a peer's answer counts
PEERS = ("scikit-learn newton-cholesky", "scikit-learn lbfgs", "glum", "statsmodels GLM")
TARGETS = (Target("times_faster", at_least=1.0, than=PEERS[:1]), Target("relative_gap", at_most=1e-9))


class Data(NamedTuple):
    """Features without the intercept's column, counts, and whether a maximum exists."""

    x: np.ndarray
    y: np.ndarray
    exists: bool = True


def _draw(n: int, d: int, level: float, strength: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, d))
    return x, draw.poisson(np.exp(np.clip(x @ (strength * draw.standard_normal(d)) + level, -30, 20.7))).astype(float)


def _separated() -> Data:
    x, y = _draw(20_000, 10, 1.0, 0.2)
    x[:, -1] = np.arange(20_000) % 100 == 0
    y[x[:, -1] == 1] = 0
    return Data(x, y, exists=False)


def _scaled() -> Data:
    x, y = _draw(20_000, 10, 1.0, 0.2)
    return Data(x * 10.0 ** np.linspace(-6, 6, 10), y)


VARIANTS: dict[str, Callable[[], Data]] = {
    "n = 100,000, d = 20": lambda: Data(*_draw(100_000, 20, 1.0, 0.3)),
    "n = 100,000, d = 20, weak effects": lambda: Data(*_draw(100_000, 20, 1.0, 0.1)),
    "n = 20,000, d = 10, columns scaled from 1e-6 to 1e6": _scaled,
    "n = 20,000, d = 10, counts to 1e9": lambda: Data(*_draw(20_000, 10, 18.0, 0.3)),
    "n = 20,000, d = 10, no finite maximum": _separated,
}
variants = pytest.mark.parametrize("variant", VARIANTS)


def _scikit_learn(solver: str) -> Callable[[Data], np.ndarray]:
    linear_model = pytest.importorskip("sklearn.linear_model")

    def act(data: Data) -> np.ndarray:
        found = linear_model.PoissonRegressor(alpha=0, solver=solver).fit(data.x, data.y)
        return np.append(found.coef_, found.intercept_)

    return act


def _glum() -> Callable[[Data], np.ndarray]:
    glum = pytest.importorskip("glum")

    def act(data: Data) -> np.ndarray:
        found = glum.GeneralizedLinearRegressor(family="poisson", alpha=0).fit(data.x, data.y)
        return np.append(found.coef_, found.intercept_)

    return act


def _statsmodels() -> Callable[[Data], np.ndarray]:
    api = pytest.importorskip("statsmodels.api")

    def act(data: Data) -> np.ndarray:
        found = api.GLM(data.y, api.add_constant(data.x), family=api.families.Poisson()).fit()
        return np.append(found.params[1:], found.params[0])

    return act


MAKE = dict(
    zip(
        PEERS,
        (lambda: _scikit_learn("newton-cholesky"), lambda: _scikit_learn("lbfgs"), _glum, _statsmodels),
        strict=True,
    )
)


def _problem(data: Data) -> Problem:
    return Problem(data.x, data.y, loss=Poisson(), intercept=True)


@variants
def test_ours(timed, variant: str) -> None:
    data = VARIANTS[variant]()
    result = timed(lambda: fit(_problem(data)))
    gap, proven = result.certificate.relative_gap, result.certificate.holds(1e-9)
    note = "fit(), existence settled" if data.exists else f"says so, and names {len(result.existence.rows)} rows"
    targets = TARGETS if len(data.y) == 100_000 else TARGETS[1:] if data.exists else ()
    timed.file(
        Row(
            "poisson",
            variant,
            OURS,
            OURS,
            relative_gap=gap,
            certified=proven,
            n=len(data.y),
            note=note,
            targets=targets,
        )
    )


@variants
@pytest.mark.parametrize("name", PEERS)
def test_peer(timed, variant: str, name: str) -> None:
    data, act = VARIANTS[variant](), MAKE[name]()
    said: list[str] = []

    def quietly() -> np.ndarray | str:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                return act(data)
            except Exception as error:  # peers raise whatever they like
                return f"fails: {type(error).__name__}: {error}"[:120]
            finally:
                said[:] = sorted({item.category.__name__ for item in caught})

    w = timed(quietly)
    warned = f"warns ({', '.join(said)})" if said else "without a warning"
    if isinstance(w, str):
        row = Row("poisson", variant, name, name, certified=False, n=len(data.y), note=w)
    elif not data.exists:
        note = f"returns coefficients up to {np.abs(w).max():.3g}, {warned}"
        row = Row("poisson", variant, name, name, certified=False, n=len(data.y), note=note)
    else:
        gap, short = _judge(data, w)
        note = f"log-likelihood {short:.1e} below the best, {warned}"
        row = Row(
            "poisson", variant, name, name, relative_gap=gap, certified=bool(gap <= PASSES), n=len(data.y), note=note
        )
    timed.file(row)


def _judge(data: Data, w: np.ndarray) -> tuple[float, float]:
    """The relative gap at w beside our dual point, and the units of log-likelihood that w falls short."""
    problem = _problem(data)
    best, form = fit(problem), canonicalize(problem)
    u = form.split_duals([best.duals[rows.names[0]][None] for rows in form.terms])
    measured = np.append(w[:-1], w[-1] + problem.scaling[0] @ w[:-1])  # a column far from 0 is measured from its middle
    with np.errstate(all="ignore"):
        gap = certify(form, measured[None], u).certificates[0].relative_gap
        z = data.x @ w[:-1] + w[-1]
        short = float(Poisson().value(z, data.y)) - best.objective
    return float("inf") if gap is None else gap, max(short, 0.0)
