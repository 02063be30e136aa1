"""fit_blocks: a model fitted to rows that memory need not hold, and certified.

Newton's method on sums over the rows (solvers/newton.py), from the fit of an even sample of them. Each question is a
pass over the rows, a block of a fixed number at a time; the sums go by the blocks' numbers in a fixed tree, so that
neither memory nor threads nor the parts of the source change a digit.
"""

from __future__ import annotations

import time

import numpy as np

from hw4opt.blocks.basis import design_of
from hw4opt.blocks.certificate import certify
from hw4opt.blocks.existence import settle_blocks
from hw4opt.blocks.objective import BlockedRows, BlockForms
from hw4opt.blocks.reference import trivial_fit
from hw4opt.blocks.result import BlocksResult
from hw4opt.blocks.rows import BlockSums, RowSource, SourceSums
from hw4opt.blocks.survey import survey
from hw4opt.design import Design, Sum
from hw4opt.errors import InputError, RefusedError, listed
from hw4opt.fit import STATIONARY_GAP, UNATTAINED, choose, solve_with
from hw4opt.form.answer import Status
from hw4opt.form.canonicalize import canonicalize
from hw4opt.kernels import Precomputed
from hw4opt.problem import Model, Problem
from hw4opt.proof.certificate import Certificate
from hw4opt.proof.existence import Existence
from hw4opt.regularizers.ridge import Ridge
from hw4opt.running.threads import one_blas_thread
from hw4opt.solvers._deadline import Deadline
from hw4opt.solvers.newton import NEWTON_STEP_LIMIT, Minimum, Newton, Stop, minimize_objective
from hw4opt.terms import Likelihood, PiecewiseQuadratic
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked


def refuse(model: Model) -> str | None:
    """What rows in blocks cannot take of a model, and what to do; None if they can take all of it."""
    instead = "fit it to rows in memory: one file, and a larger `memory`"
    if isinstance(model.kernel, Precomputed):
        return f"rows in blocks have no Gram matrix; {instead}"
    if isinstance(model.kernel, Sum):
        return f"a sum of components cannot be had over rows in blocks; {instead}"
    others = [term.label for term in (*model.regularizers, *model.constraints) if not isinstance(term, Ridge)]
    if others:
        return f"{listed(others)} cannot be had over rows in blocks, which take ridge alone; {instead}"
    if not model.is_settled:
        return f"{model.loss.name} over rows in blocks needs numbers for {', '.join(model.loss.automatic)}; give them"
    curves = [one for one in model.loss.curves if isinstance(one, PiecewiseQuadratic)]
    if not all(table.quadratic > 0 for one in curves for table in one.tables):
        smooth = "squared, huber, logistic and poisson loss can"
        return (
            f"{model.loss.name} keeps a state for each row and cannot be had over rows in blocks; {smooth}: {instead}"
        )
    return None


@checked
def fit_blocks(
    model: Model,
    source: RowSource | BlockSums,
    tol: float | None = None,
    max_iterations: int | None = None,
    time_limit: float | None = None,
) -> BlocksResult:
    """Fit a model to rows in blocks, and certify the answer.

    minimise over f   Σ_i ω_i loss(f(x_i) + o_i, y_i) + ridge·‖f‖²      as for a `Problem` of the same rows

    model        loss: squared, huber, logistic, poisson, or another one that is smooth, or curved wherever it bends;
                 ridge alone besides; any kernel but `Precomputed`, or a linear design; intercept, standardize
    source       `ArrayRows`, `TableRows`, or any `RowSource`; or sums over rows, `BlockSums`, that are had elsewhere
    tol          relative gap to certify; default 1e-9
    time_limit   seconds after which Newton's method stops; None: no limit

    Memory is that of some blocks, of a sample of the rows, and of r × r sums for each of a few blocks. The relative gap
    and the bound are those of `fit`, order statistics included, which passes over the targets find exactly; what the
    basis leaves out of the kernel counts by a bound that is larger than in memory where rows repeat an x. Rows
    separated by a likelihood without maximum are not listed.

    Raises `RefusedError` for a model that needs all rows at once, `InputError` for rows that are none.
    """
    if (refusal := refuse(model)) is not None:
        raise RefusedError(refusal)
    if tol is not None and not 0 < tol < 1:
        raise InputError(f"tol is {tol!r}; it must lie between 0 and 1")
    if max_iterations is not None and max_iterations < 1:
        raise InputError(f"max_iterations is {max_iterations!r}; it must be 1 or more")
    clock = _Since(sums_of(source))
    sums = clock.sums
    with one_blas_thread():
        found = survey(model, sums)
        design = design_of(model, found, sums)
        trivial = trivial_fit(model, found, sums)
        penalty = 2 * model.ridge * penalized(design)[None]
        blocked = BlockedRows(BlockForms(model, design, penalty, trivial.level), sums, found)
        likelihood = isinstance(model.loss, Likelihood)
        settles = isinstance(model.loss, Likelihood) and model.loss.existence
        existence = settle_blocks(blocked) if settles else None
        if existence is not None and not existence.finite:
            return _result(blocked, clock, None, Status.NO_FINITE_MAXIMUM, _unattained(), 0.0, existence)
        stop = Stop(max_iterations or NEWTON_STEP_LIMIT, deadline=Deadline(time_limit))
        minimum = minimize_objective(blocked.objective(), sample_fit(blocked), stop)
        proof = certify(blocked, minimum.w, trivial)
        certificate, tol = proof.certificate, Newton.tolerance if tol is None else tol
        status = Status.CERTIFIED if certificate.holds(tol) else Status.INACCURATE
        if status is not Status.CERTIFIED and not minimum.converged.all():
            status = Status.ITERATION_LIMIT
        if likelihood and not settles:
            stationary = minimum.w if certificate.holds(STATIONARY_GAP) else None
            existence = settle_blocks(blocked, stationary)
            status = status if existence.finite else Status.UNBOUNDED
        return _result(
            *(blocked, clock, minimum, status, certificate, proof.largest, existence),
            certificate.shortfall(tol),
        )


class _Since:
    """Sums over rows, and how many passes and seconds go by from now on."""

    def __init__(self, sums: BlockSums) -> None:
        self.sums, self._before, self._started = sums, sums.passes, time.perf_counter()

    @property
    def passes(self) -> int:
        return self.sums.passes - self._before

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started


def sums_of(source: RowSource | BlockSums) -> BlockSums:
    """The sums over a source's rows; sums stay what they are."""
    return SourceSums(source) if isinstance(source, RowSource) else source


def penalized(design: Design) -> Array:
    """(r,) 1 where the ridge acts: everything but the intercept."""
    columns = len(design.x.T) if design.reduced is None else len(design.reduced.points)
    return np.concatenate([np.ones(columns), np.zeros(int(design.intercept))])


def sample_fit(blocked: BlockedRows) -> Array:
    """The fit of the sample, the ridge in its share, (1, r)."""
    sample, model, zero = blocked.survey.sample, blocked.model, np.zeros(blocked.penalty.shape)
    if len(sample) < 2:
        return zero
    share = len(sample) / blocked.survey.count
    terms = [Ridge(share * model.ridge)] if model.ridge else []
    assert sample.x is not None
    problem = Problem(
        *(sample.x, sample.y, model.kernel, model.loss, terms), (), sample.weights, sample.offset, model.intercept
    )
    problem.share_design(Design(sample.x, model.kernel, model.intercept, basis=blocked.design.reduced))
    form = canonicalize(problem)
    chosen, options = choose(form, "auto", None, None)
    w = solve_with(chosen.solver, form, options).w
    if model.intercept:
        w[:, -1] += problem.level - blocked.forms.level
    return w if np.isfinite(w).all() else zero


def _unattained() -> Certificate:
    none = (None, None, None, np.inf, 0.0, None, 0.0, None, UNATTAINED, UNATTAINED)
    return Certificate(np.nan, *none)


def _result(
    blocked: BlockedRows,
    clock: _Since,
    minimum: Minimum | None,
    status: Status,
    certificate: Certificate,
    largest: float,
    existence: Existence | None,
    note: str | None = None,
) -> BlocksResult:
    found, r = blocked.survey, blocked.penalty.shape[1]
    return BlocksResult(
        blocked.model,
        blocked.design,
        found.kept.center,
        found.kept.spread,
        found.span,
        blocked.forms.level,
        np.full(r, np.nan) if minimum is None else minimum.w[0],
        status,
        certificate,
        found.count,
        largest,
        0 if minimum is None else int(minimum.iterations[0]),
        clock.passes,
        clock.seconds,
        found.has_offset,
        existence,
        r if minimum is None else minimum.rank,
        note=note,
    )
