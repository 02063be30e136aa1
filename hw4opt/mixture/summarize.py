"""The result of a fit from where its search ended: standard errors, criteria, dispersion, status and warnings.

The observed information is exact (likelihood.py), so standard errors allow for the components being unobserved. BIC,
AIC (Schwarz 1978, Akaike 1974) and ICL (Biernacki, Celeux and Govaert 2000) count every coefficient and k - 1
proportions. Components are counted from 0 in sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.design.unit_diagonal import inverse_root_diagonal
from hw4opt.errors import listed
from hw4opt.form.answer import Status
from hw4opt.form.canonicalize import canonicalize
from hw4opt.inference import ERRORS, OVERDISPERSION
from hw4opt.losses.poisson import Poisson
from hw4opt.mixture.ascent import Ascent
from hw4opt.mixture.likelihood import (
    MAX_INFORMATION_PARAMETERS,
    MAX_LOG_RATE,
    BlockMatrix,
    MixtureParameters,
    expect,
    penalty,
    scores_outer,
)
from hw4opt.mixture.result import Criteria, MixtureResult, Starts
from hw4opt.mixture.sample import MixtureDesign, Sample
from hw4opt.mixture.search import SearchRecord
from hw4opt.mixture.uncertainty import SINGULAR_EIGENVALUE, Uncertainty, inverse
from hw4opt.problem import Problem
from hw4opt.proof.existence import settle
from hw4opt.terms.base import Array

MIN_RESPONSIBILITY = 1e-4  # responsibility from which a row belongs to a component in the check for a finite maximum
WEIGHT_ROUNDING = 1e-9  # relative, of a sum of weights


@dataclass(frozen=True, eq=False)
class FinishedFit:
    """The end of a fit; record is None for a plain run without search; errors: the kind of standard errors."""

    k: int
    design: MixtureDesign
    sample: Sample
    end: Ascent
    record: SearchRecord | None
    errors: str = ERRORS[0]

    @property
    def is_timed_out(self) -> bool:
        """Whether the seconds of the search ran out; an empty component may then not have been moved."""
        return self.record is not None and self.record.timed_out


def summarize(fit: FinishedFit, seconds: float) -> MixtureResult:
    """The result, its components in descending proportion."""
    fit = replace(fit, end=_ordered(fit.end))
    sample, point = fit.sample, fit.end.point
    shares = expect(sample, point).responsibilities[0]
    responsibilities = _responsibilities(fit, shares)
    without_maximum = _without_maximum(fit.design, responsibilities)
    dispersion = _dispersion(sample, point, shares)
    status, message = _status(fit, without_maximum)
    counts = fit.design.counts * fit.design.weights
    return MixtureResult(
        status=status,
        message=message,
        coef=point.coef[0] / sample.scale,
        proportions=np.exp(point.log_proportions[0]),
        responsibilities=responsibilities,
        log_likelihood=fit.end.log_likelihood,
        trace=np.array(fit.end.trace),
        gradient=fit.end.gradient,
        uncertainty=_uncertainty(fit, dispersion, without_maximum),
        criteria=_criteria(sample, fit.end, shares),
        dispersion=dispersion,
        explained=counts @ responsibilities / counts.sum(),
        starts=_starts(fit.record),
        seconds=seconds,
        warnings=tuple(_warnings(fit, dispersion)),
        design=fit.design,
    )


def _ordered(end: Ascent) -> Ascent:
    """The same with the components in descending proportion."""
    order = np.argsort(-end.point.log_proportions[0], kind="stable")
    p = end.point.coef.shape[2]
    parameters = (order[:, None] * (p + 1) + np.arange(p + 1)).ravel()
    here = end.curvature
    curvature = here._replace(
        gradient=here.gradient[parameters],
        complete=BlockMatrix(here.complete.coef[order], here.complete.logits[np.ix_(order, order)]),
        observed=None if here.observed is None else here.observed[np.ix_(parameters, parameters)],
    )
    point = MixtureParameters(end.point.coef[:, order], end.point.log_proportions[:, order])
    return replace(end, point=point, curvature=curvature)


def _responsibilities(fit: FinishedFit, shares: Array) -> Array:
    """Responsibilities of every row of the input, (n, k); those of rows of weight 0 are computed from the mixture."""
    sample = fit.sample
    if len(sample.counts) < len(fit.design.counts):
        sample = Sample.of(fit.design)
        shares = expect(sample, fit.end.point).responsibilities[0]
    found = np.empty((len(fit.design.counts), len(shares)))
    found[sample.order] = shares[:, sample.unit_of].T
    return found


def _without_maximum(design: MixtureDesign, responsibilities: Array) -> list[int]:
    """The components whose own regression has no finite maximum: its rate goes to 0 at rows of the least count."""
    if design.penalty.all() or not (design.counts == design.law.least).any():
        return []
    return [c for c in range(responsibilities.shape[1]) if not _has_maximum(design, responsibilities[:, c])]


def _has_maximum(design: MixtureDesign, shares: Array) -> bool:
    """Whether the regression of a component has a finite maximum over the rows that belong to it."""
    own, weights = (shares > MIN_RESPONSIBILITY) & (design.weights > 0), shares * design.weights
    if not (design.counts[own] == design.law.least).any():
        return True
    rows = np.resize(np.flatnonzero(own), max(2, own.sum()))  # a single row twice: a problem has two or more
    x = (design.features[rows] / design.scale)[:, design.penalty == 0]  # penalised coefficients stay finite
    loss = Poisson(quasi=True, truncated=design.law.least == 1)
    problem = Problem(x, design.counts[rows], loss=loss, weights=weights[rows], offset=design.offset[rows])
    return settle(canonicalize(problem), 0).finite


def _uncertainty(fit: FinishedFit, dispersion: Array, without_maximum: list[int]) -> Uncertainty:
    sample, end, information = fit.sample, fit.end, fit.end.curvature.observed
    reason = _reason_for_no_errors(fit, dispersion, without_maximum)
    if reason is not None or information is None:
        return Uncertainty.none(reason or "not computed")
    k, p = end.point.coef.shape[1:]
    pseudo_inverse = inverse(information)
    lost = pseudo_inverse.lost.reshape(k, p + 1)
    if lost[:, p].any() or lost[:, :p].all():  # proportions vanish where components are equal, or one is nearly empty
        return Uncertainty.none(
            "not identified: the observed information is singular, so other coefficients fit as well"
        )
    lost, covariances = lost[:, :p], pseudo_inverse.matrix
    if fit.errors == "sandwich":
        covariances = covariances @ scores_outer(sample, end.point) @ covariances
    of_components = covariances.reshape(k, p + 1, k, p + 1)
    covariance = np.stack([of_components[c, :p, c, :p] for c in range(k)])
    if fit.errors == "dispersion":
        covariance *= dispersion[:, None, None]
    errors = np.where(lost, np.nan, np.sqrt(np.einsum("kii->ki", covariance)))
    unscaled = errors / sample.scale
    if not np.isfinite(unscaled[~lost]).all():
        return Uncertainty.none("not computed: they exceed the range of numbers")
    reason = _not_identified(lost, fit.design.names) if lost.any() else None
    return Uncertainty(unscaled, covariance / (errors[:, :, None] * errors[:, None, :]), reason)


def _reason_for_no_errors(fit: FinishedFit, dispersion: Array, without_maximum: list[int]) -> str | None:
    if without_maximum:
        return "not identified: coefficients of a component without finite maximum"
    if not fit.end.stationary:
        return f"the point is not stationary{': the seconds ran out' if fit.end.timed_out else ''}"
    if fit.end.curvature.observed is None:
        most = f"{MAX_INFORMATION_PARAMETERS:,} parameters, k·(columns + 1)"
        return f"not computed: the information matrix is not formed for more than {most}"
    if fit.end.saddle:
        return "not identified: the point is a saddle, and the observed information not positive definite"
    if fit.errors == "dispersion" and not np.isfinite(dispersion).all():
        return "a component has no degrees of freedom left to estimate a dispersion from"
    return None


def _not_identified(lost: np.ndarray, names: Sequence[str]) -> str:
    """The sentence on the coefficients (k, p) that are not."""
    which = listed([f"{names[column]} of component {c}" for c, column in np.argwhere(lost).tolist()])
    return f"not identified: {which}; the observed information is singular, so other coefficients fit as well"


def _criteria(sample: Sample, end: Ascent, shares: Array) -> Criteria:
    k, p = end.point.coef.shape[1:]
    log_likelihood = end.log_likelihood + float(penalty(sample, end.point)[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(shares > 0, shares * np.log(shares), 0.0)
    entropy = max(-float(terms.sum(axis=0) @ sample.unit_weights), 0.0)
    df = k * p + k - 1
    bic = -2 * log_likelihood + df * float(np.log(sample.total))
    return Criteria(bic, -2 * log_likelihood + 2 * df, bic + 2 * entropy, entropy)


def _dispersion(sample: Sample, point: MixtureParameters, shares: Array) -> Array:
    """Pearson's χ² of each component over its degrees of freedom; NaN where it has none."""
    weights = sample.row_weights(shares)
    z = np.minimum(point.coef[0] @ sample.matrix.T + sample.offset, MAX_LOG_RATE)
    _, rise, variance = sample.law.derivatives(z)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        squares = weights * np.square(sample.counts - sample.law.least - rise) / variance
        chi2 = np.where(weights > 0, squares, 0.0).sum(axis=1)
        free = weights.sum(axis=1) - sample.matrix.shape[1]
        return np.where(free > 0, chi2 / np.where(free > 0, free, 1.0), np.nan)


def _status(fit: FinishedFit, without_maximum: list[int]) -> tuple[Status, str]:
    end = fit.end
    emptied = f"became empty{'' if fit.is_timed_out else ' twice'} and were left out, so k is {end.point.k}"
    fewer = "" if end.point.k == fit.k else f"; {fit.k - end.point.k} of {fit.k} components {emptied}"
    if without_maximum:
        return Status.NO_FINITE_MAXIMUM, _no_maximum_sentence(fit, without_maximum) + fewer
    if not end.stationary:
        why = "the ascent ended" if fit.record is not None else "the cycles ended"
        why = "the seconds ran out" if end.timed_out else why
        advice = "; give more `seconds` or a smaller `k`" if end.timed_out else ""
        gradient = f"a gradient of {end.gradient:.1e} standard errors"
        return Status.ITERATION_LIMIT, f"not stationary: {why} with {gradient}{advice}{fewer}"
    if end.saddle and fit.record is not None:
        advice = "give another `seed` or a smaller `k`"
        return Status.ITERATION_LIMIT, f"a saddle: ℓ rises in some direction there; {advice}{fewer}"
    message = f"stationary: the gradient is {end.gradient:.1e} standard errors long{_kind_of_point(end)}{fewer}"
    return Status.CERTIFIED, message


def _no_maximum_sentence(fit: FinishedFit, without_maximum: list[int]) -> str:
    several = len(without_maximum) > 1
    which = f"component{'s' if several else ''} {', '.join(map(str, without_maximum))} {'have' if several else 'has'}"
    whose = "their" if several else "its"
    least = f"{fit.design.law.least:g}"
    reached = "the supremum to tolerance"
    if not fit.end.stationary:
        reached = "not yet the supremum, for the point is not stationary"
    return (
        f"{which} no finite maximum: {whose} rates at some counts of {least} go to 0, and the likelihood shown is "
        f"{reached}; a `ridge` above 0 makes it finite, with `intercept=False` where all {whose} counts are {least}"
    )


def _kind_of_point(end: Ascent) -> str:
    """Whether a stationary point is a maximum, by the eigenvalues of the observed information; "" without those."""
    if end.curvature.observed is None:
        return ""
    if end.saddle:
        return "; a saddle: ℓ rises in some direction, try other labels"
    root = inverse_root_diagonal(end.curvature.observed)
    values = np.linalg.eigvalsh(end.curvature.observed * root * root[:, None])
    if values[0] > SINGULAR_EIGENVALUE:
        return "; a local maximum"
    return "; the likelihood is flat in some direction there"


def _starts(record: SearchRecord | None) -> Starts:
    if record is None:
        return Starts(1, 1, 1, 0, None)
    return Starts(record.tried, len(record.ends), record.agreed, record.failed, record.next_best)


def _warnings(fit: FinishedFit, dispersion: Array) -> Iterator[str]:
    k, p = fit.end.point.coef.shape[1:]
    if k < fit.k:
        moved = "" if fit.is_timed_out else ", were moved to the worst-fitted rows, and became empty again"
        yield f"{fit.k} components were asked for and {k} are left: the others became empty{moved}"
    if fit.is_timed_out:
        yield "the seconds of the search ran out before it was complete: another machine may find another answer"
    if fit.record is not None and fit.record.failed:
        yield f"{fit.record.failed} of {fit.record.tried} starts failed"
    df, units = k * p + k - 1, fit.sample.total
    if df >= units:
        kind = "rows" if fit.design.groups is None else "groups"
        yield f"{df} parameters for {units:g} {kind}: more than the data support; take a smaller k"
    weights = fit.design.active.weights
    if weights.sum() < len(weights) * (1 - WEIGHT_ROUNDING):
        yield (
            f"the weights of {len(weights)} rows sum to {weights.sum():.4g}: a weight is how often a row was seen, so "
            "that standard errors, BIC, AIC and ICL are those of that few rows, and choose too few components"
        )
    wide = [f"{value:.3g} times in component {c}" for c, value in enumerate(dispersion) if value > OVERDISPERSION]
    if wide:
        too_small = "standard errors are too small by the root of that, " if fit.errors == ERRORS[0] else ""
        yield (
            f"counts vary more than Poisson counts, {', '.join(wide)}: {too_small}responsibilities too sure, "
            "and criteria ask for too many components"
        )
    if not fit.end.stationary:
        yield "the point is not stationary"
