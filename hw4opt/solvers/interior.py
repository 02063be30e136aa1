"""The interior point of the compiled core (Mehrotra 1992), and damped Newton steps around it for smooth rows.

Smooth rows are replaced by their second-order expansions, which the core solves; a damped Newton step goes towards its
answer, of a length that is safe for self-concordant losses, |f'''| ≤ c f'' (Sun and Tran-Dinh 2019; Tran-Dinh,
Kyrillidis and Cevher 2015).
"""

from __future__ import annotations

from hw4opt.core.interior import interior
from hw4opt.form import Form
from hw4opt.form.answer import Answer, Options, Start, Status
from hw4opt.form.subsample import subsample
from hw4opt.form.table import row_table
from hw4opt.solvers._base import Solver
from hw4opt.solvers._deadline import Deadline
from hw4opt.solvers._newton_around import newton_around
from hw4opt.terms.base import Array

INTERIOR_STEP_LIMIT = 100
SUBSAMPLED_FROM = 60_000  # data rows from which one problem starts at the solution of a part of them,
SUBSAMPLE_ROWS = 16_000  # about so many
SUBSAMPLE_TOL = 1e-4


class Interior(Solver):
    """The interior point, for every form."""

    name = "interior"
    tolerance = 1e-9

    def refuse(self, form: Form) -> str | None:
        """None: it takes every form."""
        return None

    def scale_free(self, form: Form) -> bool:
        """Whether the form needs no scaling: its basis is orthonormal, or its rows are quadratic and take one step."""
        orthonormal = form.design.kernel is not None and not form.design.intercept and form.has_loss
        return orthonormal or not form.nonquadratic

    def solve(self, form: Form, options: Options, start: Start | None = None) -> Answer:
        """Solve every problem of the batch. A warm start is polished first; if that does not solve the problem, the
        path begins there."""
        if form.smooth_count:
            return newton_around(form, options, start)
        deadline = Deadline(options.time_limit)
        limit = options.max_iterations or INTERIOR_STEP_LIMIT
        w, u = (_solution_of_part(form), None) if start is None else start
        found = interior(row_table(form), options.tol, limit, deadline.left, w, u)
        reached = [Status.CERTIFIED if done else Status.ITERATION_LIMIT for done in found.solved]
        return Answer(found.w, found.u, reached, found.steps, found.interior, deadline.notes(reached))


def _solution_of_part(form: Form) -> Array | None:
    """w (1, r) of a part of the rows of one large problem, to start from; None for all others."""
    if form.batch > 1 or form.design.curves > 1 or len(form.design.x) <= SUBSAMPLED_FROM:
        return None
    kinds = [block.kind for block in form.nonquadratic]
    if not kinds or not all(kind.low_bounded and kind.high_bounded for kind in kinds):
        return None
    part = subsample(form, len(form.design.x) // SUBSAMPLE_ROWS)
    return Interior().solve(part, Options(tol=SUBSAMPLE_TOL)).interior
