"""Choice of all hyper-parameters by exact leave-one-out, compared with a loop over the folds in cvxpy, which is
estimated from a few folds of the chosen setting."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from bench.cases import measured
from bench.peers import PASSES, attempt
from bench.record import COMPILED, OURS, Row, Target
from hw4opt import (
    RBF,
    Decreasing,
    Huber,
    Increasing,
    Logistic,
    Poisson,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    fit,
)
from hw4opt.fit import prove, solve_with
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.selection import Selection, select
from hw4opt.terms import Loss, Term

Arrays = tuple[np.ndarray, np.ndarray]
PATIENCE = 120.0  # seconds of a search
FOLDS = 3  # that the loop over cvxpy solves
ROUNDS = {"mcycle": 3, "gagurine": 1, "diabetes": 1, "simulated": 1}


def diabetes() -> Arrays:
    """442 rows of 10 columns, the third being bmi."""
    return pytest.importorskip("sklearn.datasets").load_diabetes(return_X_y=True)


def counts() -> Arrays:
    """500 counts whose rate rises in steps."""
    x = np.linspace(0, 1, 500)
    return x, np.random.default_rng(0).poisson(2.0 + np.floor(5 * x)).astype(float)


def labels() -> Arrays:
    """500 labels whose probability goes up and down in steps."""
    x = np.linspace(0, 1, 500)
    rate = np.where(np.floor(5 * x) % 2 == 0, 0.2, 0.8)
    return x, np.where(np.random.default_rng(0).uniform(size=500) < rate, 1.0, -1.0)


class Case(NamedTuple):
    """A problem whose weights and gamma are free; seconds asked for, and aimed at."""

    data: Callable[[], Arrays]
    loss: Loss
    terms: tuple[Term, ...]
    asked: float
    aim: float
    standardize: bool = False

    def problem(self) -> Problem:
        tv = [term for term in self.terms if isinstance(term, TotalVariation)]
        orders = [term for term in self.terms if term not in tv]
        x, y = self.data()
        return Problem(x, y, RBF(1.0), self.loss, [Ridge(1.0), *tv], orders, standardize=self.standardize)

    @property
    def free(self) -> list[str]:
        return ["gamma", "ridge", *(["tv"] if any(isinstance(term, TotalVariation) for term in self.terms) else [])]


TV = TotalVariation(1.0)
KINDS: dict[str, tuple[Loss, tuple[Term, ...]]] = {
    "Huber": (Huber(), ()),
    "Huber, tv": (Huber(), (TV,)),
    "quantile 0.9": (Quantile(0.9), ()),
    "squared, increasing": (Squared(), (Increasing(),)),
    "Huber, decreasing": (Huber(), (Decreasing(),)),
    "Huber, tv, decreasing": (Huber(), (TV, Decreasing())),
}
ASKED = {  # seconds, by kind
    "mcycle": (0.4, 1.5, 0.6, 0.8, 1.0, 3.0),
    "gagurine": (1.0, 12.0, 1.0, 15.0, 2.0, 12.0),
}
AIMS = {"mcycle": (0.2, 0.75, 0.3, 0.4, 0.5, 1.5), "gagurine": (0.5, 4.0, 0.5, 5.0, 1.0, 4.0)}
CASES = {
    f"{series}: {kind}": Case(lambda series=series: measured(series), *KINDS[kind], ASKED[series][k], AIMS[series][k])
    for series in ASKED
    for k, kind in enumerate(KINDS)
}
CASES |= {
    "diabetes: Huber, delta 50": Case(diabetes, Huber(50.0), (), 4.0, 2.0, True),
    "diabetes: quantile 0.9": Case(diabetes, Quantile(0.9), (), 30.0, 10.0, True),
    "diabetes: squared, increasing in bmi": Case(diabetes, Squared(), (Increasing(2),), 45.0, 15.0, True),
    "simulated: Poisson, increasing": Case(counts, Poisson(), (Increasing(),), 5.0, 2.0),
    "simulated: logistic, tv": Case(labels, Logistic(), (TV,), 5.0, 2.0),
}
variants = pytest.mark.parametrize("variant", CASES)


CHOSEN: dict[str, Selection] = {}  # what ours has chosen, where the peers take their folds


def choose(variant: str) -> Selection:
    """Stop the search after PATIENCE seconds, with the best setting so far."""
    case, end = CASES[variant], time.perf_counter() + PATIENCE

    def progress(done: int, total: int, best: float) -> None:
        if time.perf_counter() > end:
            raise KeyboardInterrupt

    CHOSEN[variant] = select(case.problem(), case.free, "loo", progress=progress)
    return CHOSEN[variant]


@cache
def warmed() -> None:
    """Loads what is loaded late."""
    x = np.linspace(0, 1, 12)
    fit(select(Problem(x, x, RBF(1.0), Huber(), [Ridge(1.0), TV], [Decreasing()]), ["gamma"], "loo").problem)


@variants
def test_ours(timed, variant: str) -> None:
    case = CASES[variant]
    warmed()
    result = timed.exactly(lambda: fit(choose(variant).problem), ROUNDS[variant.partition(":")[0]])
    selection = CHOSEN[variant]
    unproven = sum(row.get("unproven", False) for row in selection.table)
    said = ", ".join(f"{name} {count:,}" for name, count in selection.work.items() if count)
    note = f"{len(selection.table)} settings, {selection.fits:,} fits ({said})"
    note += f"; {unproven} settings unproven" if unproven else ""
    note += f"; stopped after {PATIENCE:.0f} s" if selection.interrupted else ""
    targets = (
        Target("seconds", at_most=case.asked),
        Target("seconds", at_most=case.aim, aim=True),
        Target("relative_gap", at_most=1e-12),
    )
    passes = result.certificate.holds(1e-9) and not unproven and not selection.interrupted
    gap, n = selection.largest_fold_gap, len(selection.predictions)
    timed.file(Row("choice", variant, OURS, OURS, 1, 1, gap, passes, n, note, targets=targets))


@variants
def test_cvxpy(timed, variant: str) -> None:
    selection = CHOSEN.get(variant) or choose(variant)
    problem, n = selection.problem, len(selection.predictions)
    _ = problem.design.matrix
    held = [np.array([n * (2 * k + 1) // (2 * FOLDS)]) for k in range(FOLDS)]
    forms = [canonicalize([problem], [rows]) for rows in held]
    options = Options(tol=PASSES, backend="CLARABEL")
    loop = attempt(lambda: [solve_with("cvxpy", form, options) for form in forms])
    found = timed.exactly(loop, 1)
    who, work = "cvxpy:CLARABEL, a loop over folds", (FOLDS, selection.fits)
    if isinstance(found, str):
        timed.file(Row("choice", variant, who, COMPILED, *work, certified=False, n=n, note=found))
        return
    proofs = [prove(form, one, PASSES)[0].certificates[0] for form, one in zip(forms, found, strict=True)]
    gaps = [proof.relative_gap for proof in proofs]
    gap, passes = None if None in gaps else max(gaps), all(proof.holds(PASSES) for proof in proofs)
    note = f"{FOLDS} folds of the chosen setting, scaled; over our basis (not counted), certified by its own duals"
    timed.file(Row("choice", variant, who, COMPILED, *work, gap, passes, n, note))
