"""Exact leave-one-out over whole grids of 5,000 and 50,000 fits, seconds a fit, beside the assignment's loop and QP
solvers called on every fold; and all folds of one setting at n = 1,000 and 5,000.

The peers solve a sample of the same fits: cvxpy at settings and folds drawn at random; the
direct solvers along the whole path of weights at five pairs of gamma and fold (the outlier's among them), each started
at the last where the solver can.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import numpy as np
import pytest

from bench.cases import VARIANTS, Model, step_data
from bench.child import run_child
from bench.peers import DIRECT, FORMS, PASSES, Fold, assignment_loop, attempt, factored_loop, judge, worst
from bench.record import ASSIGNMENT, BOX, FACTORED, OURS, SPLIT, Row, Target
from hw4opt import Problem
from hw4opt.selection import leave_one_out, score_settings

pytestmark = pytest.mark.usefixtures("one_core")
GAMMAS, RIDGES, TVS = np.geomspace(10, 300, 10), np.geomspace(1e-3, 10, 10), np.geomspace(0.03, 3, 10)
PAIRS = ((0, 3), (2, 14), (5, 24), (7, 33), (9, 47))  # place of gamma, fold
CVXPY_SAMPLE = 12
N = 50
LOOP = (ASSIGNMENT, FACTORED)
ASKED = {  # case: (µs a fold, aimed at; times the loop, times the best direct solver)
    "squared": (4, 2, 1_000, 20),
    "huber": (7, 4, 400, 20),
    "monotone": (14, 9, 100, 4),
    "tv": (14, 8, 150, 10),
    "huber_tv": (27, 17, 150, 10),
}
LONG = {  # (case, n): seconds asked for all folds, aimed at
    ("huber", 1_000): (0.05, 0.025),
    ("huber", 5_000): (1.0, 0.5),
    ("huber_tv", 1_000): (1.0, 0.5),
    ("huber_tv", 5_000): (10.0, 5.0),
}
cases = pytest.mark.parametrize("variant", ASKED)


def path(case: str) -> list[dict[str, float]]:
    """The weights tried at one gamma."""
    if not VARIANTS[case].tv:
        return [{"ridge": ridge} for ridge in RIDGES.tolist()]
    return [{"ridge": ridge, "tv": tv} for ridge, tv in itertools.product(RIDGES.tolist(), TVS.tolist())]


def at_gamma(case: str, place: int) -> tuple[Model, Problem]:
    model = VARIANTS[case].at(gamma=float(GAMMAS[place]))
    return model, model.problem(*step_data(N))


def score(case: str, places: Iterable[int]) -> float:
    """Every fold of every weight at some gammas; the largest fold gap."""
    problem = at_gamma(case, 0)[1]
    grid = [{"gamma": float(GAMMAS[place]), **weights} for place in places for weights in path(case)]
    scores = score_settings([problem.with_hyperparameters(setting) for setting in grid], leave_one_out(N))
    return max(score.largest_gap for score in scores)


@cases
def test_ours(timed, variant: str) -> None:
    gap = timed(
        lambda: score(variant, range(len(GAMMAS))),
        10.0,
        warm=lambda: score(variant, [5]),
        share=1 / len(GAMMAS),
    )
    asked, aim, loop, direct = ASKED[variant]
    targets = (
        Target("times_faster", at_least=loop, than=LOOP),
        Target("times_faster", at_least=direct, than=(SPLIT,)),
        Target("times_faster", at_least=direct, than=(SPLIT, BOX)),
        Target("seconds", at_most=1e-6 * asked),
        Target("seconds", at_most=1e-6 * aim, aim=True),
        *([Target("times_faster", at_least=1_000, than=LOOP, aim=True)] if variant == "huber" else []),
        Target("relative_gap", at_most=1e-9),
        Target("relative_gap", at_most=1e-12, aim=True),
    )
    count = len(GAMMAS) * len(path(variant)) * N
    note = f"score_settings, all {count:,} fits of the grid"
    timed.file(Row("loo", variant, OURS, "hw4opt", count, 1, gap, gap <= 1e-9, note=note, targets=targets))


@cache
def drawn(case: str) -> list[tuple[Model, Problem, tuple[int]]]:
    """Settings and folds of the grid at random, on bases built beforehand."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(CVXPY_SAMPLE):
        model, problem = at_gamma(case, int(rng.integers(len(GAMMAS))))
        weights = path(case)[int(rng.integers(len(path(case))))]
        _ = problem.design.matrix
        found.append((model.at(**weights), problem.with_hyperparameters(weights), (int(rng.integers(N)),)))
    return found


@cases
@pytest.mark.parametrize("name", ["CLARABEL", "OSQP", "SCS"])
@pytest.mark.parametrize("body", [assignment_loop, factored_loop], ids=["assignment", "factored"])
def test_cvxpy(timed, variant: str, body: Callable, name: str) -> None:
    tasks = drawn(variant)
    points = timed(attempt(lambda: [body(Fold(problem, held), model, name) for model, problem, held in tasks]), 0.3)
    kind, style = {assignment_loop: (ASSIGNMENT, "assignment's body"), factored_loop: (FACTORED, "factored by hand")}[
        body
    ]
    who = f"cvxpy:{name}, {style}"
    if isinstance(points, str):
        timed.file(Row("loo", variant, who, kind, len(tasks), 1, certified=False, note=points))
        return
    gap, passes = worst([(problem, held) for _, problem, held in tasks], points)
    note = f"a sample of {len(tasks)} fits; default settings"
    timed.file(Row("loo", variant, who, kind, len(tasks), 1, gap, passes, note=note))


@cache
def folds_of(case: str) -> list[tuple[Model, Problem, int]]:
    found = [(*at_gamma(case, place), fold) for place, fold in PAIRS]
    for _, problem, _ in found:
        _ = problem.design.matrix
    return found


def along_paths(case: str) -> Iterator[tuple[Fold, list[Model]]]:
    for model, problem, held in folds_of(case):
        yield Fold(problem, (held,)), [model.at(**weights) for weights in path(case)]


@cases
@pytest.mark.parametrize("name", ["PIQP", "ProxQP", "DAQP", "OSQP"])
@pytest.mark.parametrize("form", FORMS)
def test_direct(timed, variant: str, form: str, name: str) -> None:
    if variant == "squared" and form == "box":
        pytest.skip("the squared loss alone has no sides: its box QP has no variables")
    inside = []

    def act() -> list[np.ndarray]:
        found, spent = [], 0.0
        for fold, models in along_paths(variant):
            solver = DIRECT[name]()
            found += [solver(FORMS[form](fold, model)) for model in models]
            spent += solver.inside
        inside.append(spent)
        return found

    short = 1 / len(PAIRS)
    points = timed(attempt(act), 1.0, warm=lambda: _one_path(variant, form, name), share=short)
    who, work = f"{name}, {form} QP", len(PAIRS) * len(path(variant))
    if isinstance(points, str):
        timed.file(Row("loo", variant, who, form, work, 1, certified=False, note=points))
        return
    tasks = [
        (problem.with_hyperparameters(weights), (held,))
        for _, problem, held in folds_of(variant)
        for weights in path(variant)
    ]
    gap, passes = worst(tasks, points)
    note = f"a sample of {work} fits along paths of weights; warm where the solver can"
    alone = float(np.median(inside[-timed.rounds :]))
    timed.file(Row("loo", variant, who, form, work, 1, gap, passes, note=note, inside=alone))


def _one_path(case: str, form: str, name: str) -> None:
    fold, models = next(along_paths(case))
    solver = DIRECT[name]()
    attempt(lambda: [solver(FORMS[form](fold, model)) for model in models])()


@pytest.mark.parametrize(("case", "n"), LONG)
def test_ours_long(timed, case: str, n: int) -> None:
    found = timed.exactly(lambda: run_child("loo", case, n), 1)
    assert "failed" not in found, found["failed"]
    done, sampled = found["fits"], found["fits"] < n
    note = f"one setting; a sample of {done} folds, scaled" if sampled else "one setting, every fold"
    targets = (
        Target("seconds", at_most=LONG[case, n][0]),
        Target("seconds", at_most=LONG[case, n][1], aim=True),
        Target("relative_gap", at_most=1e-9),
        Target("relative_gap", at_most=1e-12, aim=True),
    )
    timed.file(
        Row(
            "loo",
            f"{case}, n = {n:,}",
            OURS,
            "hw4opt",
            done,
            n,
            found["relative_gap"],
            found["certified"],
            n,
            note,
            [found["seconds"]],
            peak_bytes=found["peak_bytes"],
            targets=targets,
        )
    )


@pytest.mark.parametrize(("n", "name"), [(1_000, "cvxpy:CLARABEL"), (1_000, "PIQP"), (5_000, "cvxpy:CLARABEL")])
def test_peers_long(timed, n: int, name: str) -> None:
    """Three folds of the one setting; the box QP is dense and n by n."""
    model = VARIANTS["huber"]
    problem = model.problem(*step_data(n))
    _ = problem.design.matrix
    held = [(24,), (n // 2,), (n - 1,)]
    solver = DIRECT[name]() if name in DIRECT else None

    def act() -> list[np.ndarray]:
        if solver is None:
            return [factored_loop(Fold(problem, one), model, name.partition(":")[2]) for one in held]
        return [solver(FORMS["box"](Fold(problem, one), model)) for one in held]

    points = timed(act, 1.0)
    proofs = [judge(problem, w, one) for w, one in zip(points, held, strict=True)]
    gap, passes = max(proof.relative_gap for proof in proofs), all(proof.holds(PASSES) for proof in proofs)
    who, kind = (f"{name}, factored by hand", FACTORED) if solver is None else (f"{name}, box QP", BOX)
    timed.file(Row("loo", f"huber, n = {n:,}", who, kind, len(held), n, gap, passes, n, "a sample of 3 folds, scaled"))
