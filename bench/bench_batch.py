"""fit_batch of 500 problems over one design, one thread: seconds per problem, total time. The peers solve a sample of
them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.cases import VARIANTS, step_data
from bench.peers import DIRECT, FORMS, Compiled, Fold, assignment_loop, attempt, factored_loop, worst
from bench.record import ASSIGNMENT, FACTORED, OURS, PARAMETERS, Row, Target
from hw4opt import Problem, fit_batch

pytestmark = pytest.mark.usefixtures("one_core")
variants = pytest.mark.parametrize("variant", VARIANTS)
COUNT, CVXPY_SAMPLE, DIRECT_SAMPLE = 500, 20, 100
TARGETS = (
    Target("seconds", at_most=0.12e-3),
    Target("seconds", at_most=0.08e-3, aim=True),
    Target("relative_gap", at_most=1e-9),
)


def targets(count: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The design's x and one y a seed."""
    return step_data()[0], [step_data(seed=seed)[1] for seed in range(count)]


def sample(variant: str, count: int) -> list[Problem]:
    """Problems whose shared basis is built beforehand, outside the peers' time."""
    x, ys = targets(count)
    problems = [VARIANTS[variant].problem(x, y) for y in ys]
    _ = problems[0].design.matrix
    for problem in problems[1:]:
        problem.share_design(problems[0].design)
    return problems


@variants
def test_ours(timed, variant: str) -> None:
    x, ys = targets(COUNT)
    model = VARIANTS[variant]
    results = timed(lambda: fit_batch([model.problem(x, y) for y in ys]), 4.0)
    gaps = [result.certificate.relative_gap for result in results]
    gap = None if None in gaps else max(gaps)
    passes = all(result.certificate.holds(1e-9) for result in results)
    note = "descriptions, basis, solve and certificates"
    timed.file(
        Row("batch", variant, OURS, "hw4opt", COUNT, relative_gap=gap, certified=passes, note=note, targets=TARGETS)
    )


@variants
@pytest.mark.parametrize("name", ["CLARABEL", "OSQP", "SCS"])
@pytest.mark.parametrize("body", [assignment_loop, factored_loop], ids=["assignment", "factored"])
def test_cvxpy_rebuilt(timed, variant: str, body: Callable, name: str) -> None:
    problems, model = sample(variant, CVXPY_SAMPLE), VARIANTS[variant]
    kind, style = {assignment_loop: (ASSIGNMENT, "assignment's body"), factored_loop: (FACTORED, "factored by hand")}[
        body
    ]
    points = timed(attempt(lambda: [body(Fold(problem), model, name) for problem in problems]), 0.4)
    timed.file(_judged(variant, f"cvxpy:{name}, {style}", kind, problems, points))


@variants
@pytest.mark.parametrize("name", ["CLARABEL", "OSQP", "SCS"])
def test_cvxpy_parameters(timed, variant: str, name: str) -> None:
    problems, model = sample(variant, CVXPY_SAMPLE), VARIANTS[variant]
    compiled = Compiled(Fold(problems[0]), model, name)
    points = timed(attempt(lambda: [compiled(problem.y) for problem in problems]), 0.4)
    timed.file(_judged(variant, f"cvxpy:{name}, compiled once, y a Parameter", PARAMETERS, problems, points))


@variants
@pytest.mark.parametrize("name", ["PIQP", "ProxQP", "DAQP", "OSQP"])
@pytest.mark.parametrize("form", FORMS)
def test_direct(timed, variant: str, form: str, name: str) -> None:
    if variant == "squared" and form == "box":
        pytest.skip("the squared loss alone has no sides: its box QP has no variables")
    problems, model, inside = sample(variant, DIRECT_SAMPLE), VARIANTS[variant], []

    def act() -> list[np.ndarray]:
        solver = DIRECT[name]()
        found = [solver(FORMS[form](Fold(problem), model)) for problem in problems]
        inside.append(solver.inside)
        return found

    points = timed(attempt(act), 0.4)
    timed.file(_judged(variant, f"{name}, {form} QP", form, problems, points, inside[-timed.rounds :]))


def _judged(
    variant: str,
    who: str,
    kind: str,
    problems: list[Problem],
    points: list[np.ndarray] | str,
    inside: list[float] | None = None,
) -> Row:
    if isinstance(points, str):
        return Row("batch", variant, who, kind, len(problems), certified=False, note=points)
    gap, passes = worst([(problem, ()) for problem in problems], points)
    note = f"a sample of {len(problems)} of the {COUNT} problems"
    alone = float(np.median(inside)) if inside else None
    return Row("batch", variant, who, kind, len(problems), relative_gap=gap, certified=passes, note=note, inside=alone)
