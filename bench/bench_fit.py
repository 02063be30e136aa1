"""One fit() at n = 50, described and solved anew each round, beside cvxpy and QP solvers on the same problem."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.cases import VARIANTS, step_data
from bench.peers import DIRECT, FORMS, PASSES, Fold, assignment_loop, attempt, factored_loop, judge
from bench.record import ASSIGNMENT, COMPILED, FACTORED, OURS, Row, Target
from hw4opt import Result, fit

pytestmark = pytest.mark.usefixtures("one_core")
variants = pytest.mark.parametrize("variant", VARIANTS)
CVXPY = ("CLARABEL", "OSQP", "ECOS", "SCS")
TARGETS = (
    Target("seconds", at_most=0.6e-3),
    Target("seconds", at_most=0.3e-3, aim=True),
    Target("relative_gap", at_most=1e-9),
    Target("times_faster", at_least=5.0, than=(ASSIGNMENT, COMPILED)),
    Target("times_faster", at_least=5.0, than=(ASSIGNMENT, COMPILED, FACTORED)),
)


@variants
def test_ours(timed, variant: str) -> None:
    x, y = step_data()
    model = VARIANTS[variant]
    result = timed(lambda: fit(model.problem(x, y)))
    gap = result.certificate.relative_gap
    timed.file(
        Row(
            "fit",
            variant,
            OURS,
            "hw4opt",
            relative_gap=gap,
            certified=result.certificate.holds(1e-9),
            note="fit()",
            targets=TARGETS,
        )
    )


@variants
def test_basis(timed, variant: str) -> None:
    """What no fit does without; a peer with our basis, which its row leaves out, would pay it too."""
    x, y = step_data()
    timed(lambda: VARIANTS[variant].problem(x, y).design.matrix, 0.4)
    timed.file(Row("fit", variant, "the description and the basis alone", "floor"))


@variants
@pytest.mark.parametrize("name", CVXPY)
def test_through_fit(timed, variant: str, name: str) -> None:
    x, y = step_data()
    model = VARIANTS[variant]
    result = timed(attempt(lambda: fit(model.problem(x, y), f"cvxpy:{name}")), 0.4)
    who, note = (
        f"cvxpy:{name}, compiled",
        "fit(problem, 'cvxpy:NAME'): our compiled model, tightened settings, certified by its own duals",
    )
    if isinstance(result, Result):
        gap, passes = result.certificate.relative_gap, result.certificate.holds(PASSES)
        timed.file(Row("fit", variant, who, COMPILED, relative_gap=gap, certified=passes, note=note))
    else:
        timed.file(Row("fit", variant, who, COMPILED, certified=False, note=result))


@variants
@pytest.mark.parametrize("name", CVXPY)
@pytest.mark.parametrize("body", [assignment_loop, factored_loop], ids=["assignment", "factored"])
def test_cvxpy(timed, variant: str, body: Callable, name: str) -> None:
    problem, model = VARIANTS[variant].problem(*step_data()), VARIANTS[variant]
    w = timed(attempt(lambda: body(Fold(problem), model, name)), 0.4)
    kind, style, note = {
        assignment_loop: (ASSIGNMENT, "assignment's body", "full Gram matrix, psd_wrap, default settings"),
        factored_loop: (FACTORED, "factored by hand", "over our basis (not counted), default settings"),
    }[body]
    timed.file(_judged(variant, f"cvxpy:{name}, {style}", kind, w, note))


@variants
@pytest.mark.parametrize("name", DIRECT)
@pytest.mark.parametrize("form", FORMS)
def test_direct(timed, variant: str, form: str, name: str) -> None:
    if variant == "squared" and form == "box":
        pytest.skip("the squared loss alone has no sides: its box QP has no variables")
    problem, model, inside = VARIANTS[variant].problem(*step_data()), VARIANTS[variant], []

    def act() -> np.ndarray:
        solver = DIRECT[name]()
        w = solver(FORMS[form](Fold(problem), model))
        inside.append(solver.inside)
        return w

    w = timed(attempt(act), 0.4)
    timed.file(
        _judged(
            variant,
            f"{name}, {form} QP",
            form,
            w,
            "forms and solves the QP; basis not counted",
            inside[-timed.rounds :],
        )
    )


def _judged(
    variant: str, who: str, kind: str, w: np.ndarray | str, note: str, inside: list[float] | None = None
) -> Row:
    if isinstance(w, str):
        return Row("fit", variant, who, kind, certified=False, note=w)
    proof = judge(VARIANTS[variant].problem(*step_data()), w)
    alone = float(np.median(inside)) if inside else None
    return Row(
        "fit",
        variant,
        who,
        kind,
        relative_gap=proof.relative_gap,
        certified=proof.holds(PASSES),
        note=note,
        inside=alone,
    )
