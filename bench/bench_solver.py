"""The solver alone: the core on a row table that is ready, beside QP solvers on a ready QP of the same problem."""

from __future__ import annotations

import numpy as np
import pytest

from bench.cases import VARIANTS, Model, measured, step_data
from bench.peers import DIRECT, FORMS, PASSES, Fold, attempt, judge
from bench.record import OURS, Row, Target
from hw4opt import Problem
from hw4opt.core.interior import interior
from hw4opt.fit import prove
from hw4opt.form.answer import Answer, Status
from hw4opt.form.canonicalize import canonicalize
from hw4opt.form.table import row_table
from hw4opt.solvers.interior import INTERIOR_STEP_LIMIT

pytestmark = pytest.mark.usefixtures("one_core")
PEERS = ("PIQP", "DAQP")
LONG = {  # rank 167; seconds asked, aimed at
    "increasing, against 314 rows": (Model(gamma=8.0, ridge=0.1, order=1), 10e-3, 8e-3),
    "decreasing, 314 rows": (Model(gamma=8.0, ridge=0.1, order=-1), 5e-3, 4e-3),
}
CASES = {name: (model, 1e-9) for name, model in VARIANTS.items() if name != "squared"}
CASES |= {name: (model, 1e-12) for name, (model, _, _) in LONG.items()}
variants = pytest.mark.parametrize("variant", CASES)


def described(variant: str) -> Problem:
    """With its basis."""
    problem = CASES[variant][0].problem(*(measured("gagurine") if variant in LONG else step_data()))
    _ = problem.design.matrix
    return problem


def asked(variant: str) -> tuple[Target, ...]:
    if variant in LONG:
        _, seconds, aim = LONG[variant]
        speed = (Target("seconds", at_most=seconds), Target("seconds", at_most=aim, aim=True))
    else:
        speed = (Target("times_faster", at_least=1.0, than=("PIQP",)),)
    if variant == "monotone":
        speed += (Target("times_faster", at_least=0.5, than=("DAQP",), aim=True),)
    return *speed, Target("relative_gap", at_most=CASES[variant][1])


@variants
def test_ours(timed, variant: str) -> None:
    form, tol = canonicalize([described(variant)]), CASES[variant][1]
    table = row_table(form)
    found = timed(lambda: interior(table, tol, INTERIOR_STEP_LIMIT))
    answer = Answer(found.w, found.u, [Status.CERTIFIED], found.steps, found.interior)
    proof = prove(form, answer, tol)[0].certificates[0]
    n, gap, passes = len(form.design.x), proof.relative_gap, proof.holds(1e-9)
    note = f"core, to {tol:.0e}: {found.steps[0]} steps, rank {form.matrix.shape[1]}"
    timed.file(Row("solver", variant, OURS, OURS, 1, 1, gap, passes, n, note, targets=asked(variant)))


@variants
@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("form", FORMS)
def test_peer(timed, variant: str, form: str, name: str) -> None:
    model, tol = CASES[variant]
    problem = described(variant)
    qp = FORMS[form](Fold(problem), model)
    who, n = f"{name}, {form} QP", len(problem.y)
    w = timed(attempt(lambda: DIRECT[name](tol)(qp)), 0.5)
    if isinstance(w, str):
        timed.file(Row("solver", variant, who, name, certified=False, n=n, note=w))
        return
    proof = judge(problem, np.asarray(w))
    note = "its default tolerances" if name == "DAQP" else f"to {tol:.0e}"
    timed.file(Row("solver", variant, who, name, 1, 1, proof.relative_gap, proof.holds(PASSES), n, note))
