"""The loop of first-order methods: the iterate is polished at increasing intervals, and the best point is kept, until
its gap is small enough."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hw4opt.form import Form
from hw4opt.form.answer import Answer, Options, Start, Status
from hw4opt.solvers._deadline import Deadline
from hw4opt.solvers._polish import polish

FIRST_POLISH = 100  # steps before the first polishing; further ones after 2, 4, 8 … times as many


class Method(Protocol):
    """An iterative method on the whole batch."""

    def step(self, number: int) -> None:
        """The step of that number, counted from 1."""

    def point(self) -> Start:
        """The iterate: w (b, r) and u (b, M) of the nonquadratic rows."""
        ...


def iterate(method: Method, form: Form, options: Options, limit: int) -> Answer:
    """Steps until every polished point is solved, or the limit on steps or time is reached."""
    # an iterate that diverges may overflow: the point kept is unaffected
    with np.errstate(over="ignore", invalid="ignore"):
        return _iterate(method, form, options, limit)


def _iterate(method: Method, form: Form, options: Options, limit: int) -> Answer:
    limit, deadline, b = options.max_iterations or limit, Deadline(options.time_limit), form.batch
    kept, best = method.point(), np.full(b, np.inf)
    iterations, check = np.full(b, limit), FIRST_POLISH if form.nonquadratic else 1
    solved = np.zeros(b, dtype=bool)
    for number in range(1, limit + 1):
        method.step(number)
        last = number == limit or deadline.passed()
        if number != check and not last:
            continue
        here = method.point()
        goal = 0.5 * options.tol * form.gap_scale(here.w, np.zeros(b))
        polished = polish(form, here.w, here.u, goal)
        better = (polished.gap < best)[:, None]
        kept = Start(np.where(better, polished.w, kept.w), np.where(better, polished.u, kept.u))
        best = np.minimum(best, polished.gap)
        iterations[(best <= goal) & ~solved] = number
        solved |= best <= goal
        check = max(2 * check, FIRST_POLISH)
        if last:
            iterations = np.minimum(iterations, number)
            solved &= iterations < number  # a problem ended by the limit does not count as solved, however good it is
        if solved.all() or last:
            break
    reached = [Status.CERTIFIED if done else Status.ITERATION_LIMIT for done in solved]
    notes = deadline.notes(reached)
    return Answer(kept.w, form.complete_dual(kept.u, kept.w), reached, iterations, notes=notes)
