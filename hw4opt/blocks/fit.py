"""fit_blocks: a certified fit to data that may exceed memory.

Newton's method (solvers/newton.py) starts from the fit of an evenly drawn sample. Each evaluation of value, gradient or
Hessian is a pass over the rows in blocks of fixed size; the sums of the blocks are added in a fixed tree, so that the
result is bit-identical for any memory limit, number of threads, and partition of the source. Models with a dual
variable per row are fitted by the in-memory solver instead (all_rows.py).
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from hw4opt.between import breaks
from hw4opt.blocks.all_rows import fit_all_rows, needs_row_duals
from hw4opt.blocks.basis import design_of
from hw4opt.blocks.certificate import certify
from hw4opt.blocks.existence import settle_blocks
from hw4opt.blocks.objective import BlockedRows, BlockForms
from hw4opt.blocks.reference import trivial_fit
from hw4opt.blocks.result import BlocksResult
from hw4opt.blocks.rows import BlockSums, RowSource, SourceSums
from hw4opt.blocks.survey import Survey, survey
from hw4opt.design import Design, Sum
from hw4opt.errors import InputError, RefusedError
from hw4opt.fit import STATIONARY_GAP, UNATTAINED, choose, solve_with
from hw4opt.form.answer import Status
from hw4opt.form.canonicalize import canonicalize
from hw4opt.kernels import Precomputed
from hw4opt.problem import Model, Problem
from hw4opt.proof.certificate import Certificate
from hw4opt.proof.existence import Existence
from hw4opt.regularizers.ridge import Ridge
from hw4opt.result import Result
from hw4opt.running.threads import one_blas_thread
from hw4opt.solvers._deadline import Deadline
from hw4opt.solvers.newton import NEWTON_STEP_LIMIT, Minimum, Newton, Stop, minimize_objective
from hw4opt.terms import Likelihood, is_everywhere
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked


def refuse(model: Model) -> str | None:
    """Why a model cannot be fitted over rows in blocks, and what to do instead; None if it can."""
    instead = "fit it to rows in memory: one file, and a larger `memory`"
    if isinstance(model.kernel, Precomputed):
        return f"rows in blocks have no Gram matrix; {instead}"
    if isinstance(model.kernel, Sum):
        return f"a sum of components cannot be fitted over rows in blocks; {instead}"
    if (term := next(filter(is_everywhere, model.constraints), None)) is not None:
        return f"{term.label} at every x cannot be fitted over rows in blocks, only at the data rows; {instead}"
    if model.curves > 1:
        return f"{model.loss.name} of several levels cannot be fitted over rows in blocks, only of one; {instead}"
    if not model.is_settled:
        return f"{model.loss.name} over rows in blocks needs numbers for {', '.join(model.loss.automatic)}; give them"
    return None


@checked
def fit_blocks(
    model: Model,
    source: RowSource | BlockSums,
    tol: float | None = None,
    max_iterations: int | None = None,
    time_limit: float | None = None,
    memory: int | None = None,
) -> BlocksResult:
    """Fit a model to rows in blocks, and certify the answer.

    minimise over f   Σ_i ω_i loss(f(x_i) + o_i, y_i) + ridge·‖f‖²      as for a `Problem` of the same rows

    model        any loss of one curve with given parameters; any terms, shapes at the data rows; any kernel but
                 `Precomputed`, or a linear design; intercept, standardize
    source       `ArrayRows`, `TableRows`, or any `RowSource`; or a `BlockSums` such as `DaskRows`
    tol          relative gap to certify; default 1e-9
    time_limit   seconds after which the solver stops; None: no limit
    memory       limit in bytes of a fit with a dual variable per row; None: half of the free memory

    Terms other than the ridge (tv, trend, l1, shapes) and losses with pieces of zero curvature (quantile, absolute,
    epsilon_insensitive) need a dual variable per row: two passes read the columns into memory
    (`all_rows.bytes_per_row`), the basis may be on disk, and the fit is that of `fit`.

    For other models, memory holds a few blocks, a sample of the rows, and an r × r sum for each of a few blocks. The
    relative gap and the bound are defined as for `fit`; order statistics in them are exact and found by passes over
    the targets. The bound of the kernel's truncation is larger than in memory if several rows have the same x. If a
    likelihood has no finite maximum, the separated rows are not listed.

    Raises `RefusedError` for a model that needs all rows in memory, `InputError` for invalid rows or options.
    """
    if (refusal := refuse(model)) is not None:
        raise RefusedError(refusal)
    if tol is not None and not 0 < tol < 1:
        raise InputError(f"tol is {tol!r}; it must lie between 0 and 1")
    if max_iterations is not None and max_iterations < 1:
        raise InputError(f"max_iterations is {max_iterations!r}; it must be 1 or more")
    if memory is not None and memory < 1:
        raise InputError(f"memory is {memory!r}; it must be 1 byte or more")
    usage = _Usage(sums_for(source))
    sums = usage.sums
    with one_blas_thread():
        surveyed = survey(model, sums)
        if needs_row_duals(model):
            limits = tol, max_iterations, time_limit
            result = fit_all_rows(model, sums.rows(), surveyed, memory, *limits)
            return _without_rows(result, surveyed, usage)
        design = design_of(model, surveyed, sums)
        trivial = trivial_fit(model, surveyed, sums)
        penalty = 2 * model.ridge * penalized(design)[None]
        blocked = BlockedRows(BlockForms(model, design, penalty, trivial.level), sums, surveyed)
        likelihood = isinstance(model.loss, Likelihood)
        settled_first = isinstance(model.loss, Likelihood) and model.loss.existence
        existence = settle_blocks(blocked) if settled_first else None
        if existence is not None and not existence.finite:
            return _result(blocked, usage, None, Status.NO_FINITE_MAXIMUM, _unattained(), 0.0, existence)
        stop = Stop(max_iterations or NEWTON_STEP_LIMIT, deadline=Deadline(time_limit))
        minimum = minimize_objective(blocked.objective(), sample_fit(blocked), stop)
        proof = certify(blocked, minimum.w, trivial)
        certificate, tol = proof.certificate, Newton.tolerance if tol is None else tol
        status = Status.CERTIFIED if certificate.holds(tol) else Status.INACCURATE
        if status is not Status.CERTIFIED and not minimum.converged.all():
            status = Status.ITERATION_LIMIT
        if likelihood and not settled_first:
            stationary = minimum.w if certificate.holds(STATIONARY_GAP) else None
            existence = settle_blocks(blocked, stationary)
            status = status if existence.finite else Status.UNBOUNDED
        return _result(
            *(blocked, usage, minimum, status, certificate, proof.largest, existence),
            certificate.shortfall(tol),
        )


class _Usage:
    """Sums over rows, with passes and seconds counted from creation."""

    def __init__(self, sums: BlockSums) -> None:
        self.sums, self._before, self._started = sums, sums.passes, time.perf_counter()

    @property
    def passes(self) -> int:
        return self.sums.passes - self._before

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started


def sums_for(source: RowSource | BlockSums) -> BlockSums:
    """The sums over a source's rows; a `BlockSums` is returned as it is."""
    return SourceSums(source) if isinstance(source, RowSource) else source


def penalized(design: Design) -> Array:
    """(r,) 1 for columns that the ridge penalises, 0 for the intercept."""
    columns = len(design.x.T) if design.reduced is None else len(design.reduced.points)
    return np.concatenate([np.ones(columns), np.zeros(int(design.intercept))])


def sample_fit(blocked: BlockedRows) -> Array:
    """The fit of the sample with the ridge scaled by its share of the rows, (1, r); 0 if it is not finite."""
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


def _without_rows(result: Result, surveyed: Survey, usage: _Usage) -> BlocksResult:
    """The result of a fit in memory, without its rows."""
    problem, design = result.problem, result.design
    center, spread = problem.scaling
    existence = None if result.existence is None else replace(result.existence, rows=())
    return BlocksResult(
        problem.model,
        Design(design.x[:2].copy(), problem.kernel, problem.intercept, basis=design.reduced),
        center,
        spread,
        surveyed.span,
        problem.level,
        result.w,
        result.status,
        result.certificate,
        surveyed.count,
        design.largest,
        result.iterations,
        usage.passes,
        usage.seconds,
        surveyed.has_offset,
        existence,
        result.rank,
        note=result.note,
        solver=result.solver,
        breaks=tuple(breaks(result)) if result.status is Status.CERTIFIED else (),
    )


def _unattained() -> Certificate:
    none = (None, None, None, np.inf, 0.0, None, 0.0, None, UNATTAINED, UNATTAINED)
    return Certificate(np.nan, *none)


def _result(
    blocked: BlockedRows,
    usage: _Usage,
    minimum: Minimum | None,
    status: Status,
    certificate: Certificate,
    largest: float,
    existence: Existence | None,
    note: str | None = None,
) -> BlocksResult:
    surveyed, r = blocked.survey, blocked.penalty.shape[1]
    return BlocksResult(
        blocked.model,
        blocked.design,
        surveyed.kept.center,
        surveyed.kept.spread,
        surveyed.span,
        blocked.forms.level,
        np.full(r, np.nan) if minimum is None else minimum.w[0],
        status,
        certificate,
        surveyed.count,
        largest,
        0 if minimum is None else int(minimum.iterations[0]),
        usage.passes,
        usage.seconds,
        surveyed.has_offset,
        existence,
        r if minimum is None else minimum.rank,
        note=note,
    )
