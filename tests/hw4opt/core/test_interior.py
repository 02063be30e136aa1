"""The compiled interior point on flat arrays, against sums in long doubles and solutions in 60 digits."""

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from random_tables import PRICE, gap_of, random_table, rows_of

from hw4opt.core import threads
from hw4opt.core.interior import MapRows, RowTable, interior, polish
from hw4opt.running.threads import set_threads

TOL = 1e-10
STEPS = 200


def check(seed: int) -> bool:
    """Whether the core reports the problem of that seed as solved; if so, this is checked."""
    table = random_table(np.random.default_rng(seed))
    found = interior(table, TOL, STEPS)
    assert np.isfinite(found.w).all() and np.isfinite(found.u).all()
    if found.solved[0]:
        gap = gap_of(table, found.w, found.u)[0]
        allowed = PRICE * TOL * table.gap_scale[0] + rounding(table, found.w, found.u)
        assert gap <= allowed, f"seed {seed}: {gap:.1e} for {allowed:.1e}"
    return bool(found.solved[0])


def rounding(table: RowTable, w: np.ndarray, u: np.ndarray) -> float:
    """What the rounding of z does to Aᵀu on a column without penalty, where u = (z - t)/q, and to rows on a kink."""
    a = np.abs(rows_of(table))
    unsure = 8 * np.finfo(float).eps * (np.abs(w) @ a.T + np.abs(table.t))
    pulls = np.where(table.q > 0, unsure / np.where(table.q > 0, table.q, 1.0), 0.0) @ a
    kinks = np.where(table.q > 0, 0.0, np.minimum(table.high - table.low, PRICE * np.abs(u).max()))
    return float((pulls * np.maximum(np.abs(w), table.w_scale)).sum() + (unsure * kinks).sum())


def test_random_problems_are_solved_or_said_not_to_be():
    assert np.mean([check(seed) for seed in range(400)]) >= 0.98


@pytest.mark.slow
def test_ten_thousand_random_problems():
    assert np.mean([check(seed) for seed in range(10_000)]) >= 0.98


def test_a_batch_is_its_problems_one_by_one():
    for seed in range(20):
        table = random_table(np.random.default_rng(seed), batch=4)
        together = interior(table, TOL, STEPS)
        for i in range(4):
            alone = interior(one_of(table, i), TOL, STEPS)
            for name in ("w", "u", "gap", "steps"):
                assert_array_equal(getattr(alone, name)[0], getattr(together, name)[i])


def one_of(table: RowTable, i: int) -> RowTable:
    shared = ("base", "maps", "length")
    batch = table.batch
    arrays = {
        one.name: np.ascontiguousarray(value[i : i + 1])
        for one in fields(table)
        if one.name not in shared and isinstance(value := getattr(table, one.name), np.ndarray) and len(value) == batch
    }
    return replace(table, **arrays)


def many_rows(size: int) -> RowTable:
    random = np.random.default_rng(5)
    base = np.cos(np.linspace(0, 3, size)[:, None] * np.arange(6))
    t = np.sin(9 * base[:, 1]) + 0.1 * random.normal(size=size)
    pairs = np.broadcast_to(np.array([-1.0, 1.0]), (size - 1, 2))
    maps = [MapRows(size, 0, None, None), MapRows(size - 1, 0, None, pairs)]
    wide = 2 * size - 1
    q, low, high = np.full((1, wide), 0.5), np.full((1, wide), -0.3), np.full((1, wide), 0.3)
    q[:, size:] = 0.0
    return RowTable(
        base=base, maps=maps, penalty=np.full((1, 6), 0.1), q=q, t=np.concatenate([t, np.zeros(size - 1)])[None],
        low=low, high=high, length=np.concatenate([np.full(size, 2.0), np.full(size - 1, 1e-4)]),
        w_scale=np.ones((1, 6)), proximal=np.zeros((1, 6)), z_scale=np.ones(1), u_scale=np.full(1, 0.3),
        loss_length=2.0, data_rows=size, gap_scale=np.full(1, 0.1 * size),
    )  # fmt: skip


def test_many_rows_do_not_depend_on_the_number_of_threads():
    table = many_rows(40_000)
    answers = []
    for count in (1, 2, 5):
        set_threads(count)
        try:
            answers.append(interior(table, 1e-8, STEPS))
        finally:
            set_threads(None)
    for other in answers[1:]:
        for name in ("w", "u", "gap", "steps"):
            assert_array_equal(getattr(other, name), getattr(answers[0], name))
    assert answers[0].solved.all()
    assert gap_of(table, answers[0].w, answers[0].u)[0] <= 1e-8 * table.gap_scale[0]


def quadratic(rows: np.ndarray, penalty: np.ndarray, t: np.ndarray, q: np.ndarray) -> RowTable:
    n, r = rows.shape
    return RowTable(
        base=rows, maps=[MapRows(n, 0, None, None)], penalty=penalty[None], q=q[None], t=t[None],
        low=np.full((1, n), -np.inf), high=np.full((1, n), np.inf), length=np.ones(n), w_scale=np.ones((1, r)),
        proximal=np.zeros((1, r)), z_scale=np.ones(1), u_scale=np.ones(1), loss_length=1.0, data_rows=n,
        gap_scale=np.ones(1),
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 5, 8, 9, 37])
@pytest.mark.parametrize("span", [0, 9])
def test_least_squares_are_those_of_sixty_digits(size, span):
    """Any number and scale of columns: a Cholesky factorisation does not depend on scaling."""
    random = np.random.default_rng(size)
    rows = random.normal(size=(size + 30, size)) * 10.0 ** random.uniform(-span, span, size)
    penalty = 0.1 * np.square(rows).sum(axis=0)
    t, q = random.normal(size=len(rows)), random.uniform(0.5, 2, len(rows))
    found = interior(quadratic(rows, penalty, t, q), 1e-14, STEPS).w[0]
    with mpmath.workdps(60):
        a, weight = mpmath.matrix(rows.tolist()), mpmath.diag([1 / mpmath.mpf(one) for one in q])
        h = a.T * weight * a + mpmath.diag([mpmath.mpf(one) for one in penalty])
        exact = mpmath.lu_solve(h, a.T * weight * mpmath.matrix(t.tolist()))
        best = np.array([float(one) for one in exact])
    scale = np.sqrt(np.square(rows).sum(axis=0))
    assert np.abs((found - best) * scale).max() <= 1e-13 * np.abs(best * scale).max()


def test_a_column_of_zeros_takes_no_part():
    random = np.random.default_rng(0)
    rows = random.normal(size=(20, 4))
    rows[:, 2] = 0.0
    found = interior(quadratic(rows, np.array([0.1, 0.1, 0.0, 0.1]), random.normal(size=20), np.ones(20)), 1e-12, STEPS)
    assert found.w[0, 2] == 0 and found.solved[0]


def test_polishing_lands_on_the_active_set():
    table = random_table(np.random.default_rng(7))
    rough = interior(table, 1e-4, 8)
    found = polish(table, rough.w, rough.u, np.array([1e-12 * table.gap_scale[0]]), 60)
    assert found.gap[0] <= 1e-14 * table.gap_scale[0] < rough.gap[0]
    at_end = (found.u == table.low) | (found.u == table.high)
    z = found.w @ rows_of(table).T
    on_edge = np.abs(z - table.t) <= 1e-12 * np.abs(z).max()
    curved = table.q > 0
    assert (at_end | on_edge | curved).all()


@pytest.mark.parametrize(
    "name", ["base", "penalty", "q", "t", "low", "high", "length", "z_scale", "u_scale", "gap_scale"]
)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-320, 0.0])
def test_whatever_is_passed_the_core_returns(name, value):
    """Forms never have such numbers; if they did, the fit must end without certificate, crash or endless loop."""
    for seed in range(3):
        table = random_table(np.random.default_rng(seed))
        broken = np.array(getattr(table, name))
        broken.flat[0] = value
        table = replace(table, **{name: broken})
        found = interior(table, TOL, 50)
        again = interior(table, TOL, 50, w=found.w, u=found.u)
        assert found.steps[0] <= 50 and again.steps[0] <= 50


def test_a_time_limit_ends_it():
    found = interior(many_rows(20_000), 1e-12, STEPS, time_limit=1e-9)
    assert found.steps[0] <= 1 and not found.solved[0]


@pytest.mark.full
def test_memory_does_not_grow_over_a_hundred_thousand_fits():
    tables = [random_table(np.random.default_rng(seed)) for seed in range(100)]

    def round_of_fits(times: int) -> None:
        for _ in range(times):
            for table in tables:
                interior(table, 1e-8, 60)

    round_of_fits(20)
    before = resident_bytes()
    round_of_fits(1_000)
    assert resident_bytes() - before <= 8e6


def resident_bytes() -> int:
    """What this process holds; Linux tells."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("only Linux tells what a process holds")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return 1024 * int(line.split()[1])


ANSWERS = """
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from hw4opt.core import lanes
from hw4opt.core.interior import interior
from random_tables import random_table, rows_of
found = [lanes()]
for seed in range(60):
    table = random_table(np.random.default_rng(seed))
    answer = interior(table, 1e-13, 200)
    z = answer.w[0] @ rows_of(table).T
    found.append([bool(answer.solved[0]), z[: len(table.base)].tolist(), float(np.abs(table.t).max())])
print(json.dumps(found))
"""


def test_vectors_of_either_length_give_the_same_answers():
    """Fitted values to 1e-9 of the targets' size; where a machine has no AVX2, both are the baseline."""
    answers = []
    for variant in ("baseline", "avx2"):
        done = subprocess.run(
            [sys.executable, "-c", ANSWERS, str(Path(__file__).parent)],
            env=os.environ | {"HW4OPT_CORE": variant}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if variant == "avx2" and "which this machine" in done.stderr:
            pytest.skip("this machine has no AVX2")
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout))
    first, second = answers
    assert (first[0], second[0]) == (2, 4)
    for one, other in zip(first[1:], second[1:], strict=True):
        if one[0] and other[0]:
            assert np.abs(np.subtract(one[1], other[1])).max() <= 1e-6 * one[2]


def test_small_work_stays_in_the_calling_thread(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a thread was started")

    monkeypatch.setattr(threads, "Thread", refused)
    interior(random_table(np.random.default_rng(1)), TOL, STEPS)
