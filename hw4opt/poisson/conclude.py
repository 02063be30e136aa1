"""From where the search ended to what is said of it: moods in order, standard errors, criteria, dispersion, status and warnings.

The observed information is exact (likelihood.py), so standard errors allow for not knowing the moods. BIC, AIC (Schwarz 1978, Akaike 1974)
and ICL (Biernacki, Celeux and Govaert 2000) count every coefficient and k - 1 proportions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.answer import Status
from hw4opt.canonical import canonicalize
from hw4opt.errors import listed
from hw4opt.inference import ERRORS, OVERDISPERSION, UNIDENTIFIED_SHARE
from hw4opt.losses.poisson import Poisson
from hw4opt.poisson.ascent import Climb
from hw4opt.poisson.existence import settle
from hw4opt.poisson.likelihood import LARGEST, MOST, Blocks, Point, expect, penalty, scores_outer
from hw4opt.poisson.moods import Criteria, MixtureResult, Starts, Uncertainty
from hw4opt.poisson.sample import Design, Sample
from hw4opt.poisson.search import Found
from hw4opt.problem import Problem
from hw4opt.terms.base import Array

SINGULAR = 1e-10  # eigenvalue of the information with unit diagonal below which something is not identified
BELONGS = 1e-4  # responsibility from which a row counts as the mood's when its maximum is in question


@dataclass(frozen=True, eq=False)
class Run:
    """What a fit ended with; found None: a plain run, without search; errors: which standard errors are wanted."""

    k: int
    design: Design
    sample: Sample
    climb: Climb
    found: Found | None
    errors: str = ERRORS[0]


def conclude(run: Run, seconds: float) -> MixtureResult:
    """The result, moods in descending proportion."""
    sample, climb = run.sample, _ordered(run.climb)
    point = climb.point
    shares = expect(sample, point).responsibilities[0]
    everywhere = _everywhere(run, point, shares)
    endless = _without_maximum(run.design, everywhere)
    dispersion = _dispersion(sample, point, shares)
    uncertainty = _uncertainty(run, climb, dispersion, endless)
    status, message = _status(run, climb, endless)
    counts = run.design.counts * run.design.weights
    return MixtureResult(
        status,
        message,
        point.coef[0] / sample.scale,
        np.exp(point.log_proportions[0]),
        everywhere,
        climb.log_likelihood,
        np.array(climb.trace),
        climb.gradient,
        uncertainty,
        _criteria(sample, climb, shares),
        dispersion,
        counts @ everywhere / counts.sum(),
        _starts(run.found),
        seconds,
        tuple(_warnings(run, climb, dispersion)),
        run.design,
    )


def _ordered(climb: Climb) -> Climb:
    order = np.argsort(-climb.point.log_proportions[0], kind="stable")
    p = climb.point.coef.shape[2]
    place = (order[:, None] * (p + 1) + np.arange(p + 1)).ravel()
    end = climb.curvature
    complete = Blocks(end.complete.coef[order], end.complete.logits[np.ix_(order, order)])
    observed = None if end.observed is None else end.observed[np.ix_(place, place)]
    curvature = end._replace(gradient=end.gradient[place], complete=complete, observed=observed)
    return replace(climb, point=Point(climb.point.coef[:, order], climb.point.log_proportions[:, order]), curvature=curvature)


def _everywhere(run: Run, point: Point, shares: Array) -> Array:
    """Responsibilities of every row of the input, (n, k); rows of weight 0 get theirs from the mixture."""
    sample = run.sample
    if len(sample.counts) < len(run.design.counts):
        sample = Sample.of(run.design)
        shares = expect(sample, point).responsibilities[0]
    found = np.empty((len(run.design.counts), len(shares)))
    found[sample.order] = shares[:, sample.unit_of].T
    return found


def _without_maximum(design: Design, shares: Array) -> list[int]:
    """The moods whose own regression has no finite maximum: rows of theirs with the least count whose rates can go to 0 at no cost."""
    if design.penalty.all() or not (design.counts == design.law.least).any():
        return []
    return [mood for mood in range(shares.shape[1]) if not _finite(design, shares[:, mood])]


def _finite(design: Design, shares: Array) -> bool:
    """Whether the regression of a mood has a finite maximum; rows that hardly belong to it do not hold it back, whatever they weigh."""
    own, weights = (shares > BELONGS) & (design.weights > 0), shares * design.weights
    if not (design.counts[own] == design.law.least).any():
        return True
    rows = np.resize(np.flatnonzero(own), max(2, own.sum()))  # a lone row twice: a problem has two or more
    x = (design.features[rows] / design.scale)[:, design.penalty == 0]  # what is penalised cannot go to infinity
    loss = Poisson(quasi=True, truncated=design.law.least == 1)
    form = canonicalize(Problem(x, design.counts[rows], loss=loss, weights=weights[rows], offset=design.offset[rows]))
    return settle(form, 0).finite


def _uncertainty(run: Run, climb: Climb, dispersion: Array, endless: list[int]) -> Uncertainty:
    sample, point = run.sample, climb.point
    if endless:
        return Uncertainty.none("not identified: coefficients of a mood without finite maximum")
    if not climb.stationary:
        return Uncertainty.none(f"the point is not stationary{': the seconds ran out' if climb.cut else ''}")
    information = climb.curvature.observed
    if information is None:
        return Uncertainty.none(f"not computed: the information of more than {MOST:,} parameters, k·(columns + 1), is not made")
    if climb.saddle:
        return Uncertainty.none("not identified: the point is a saddle, and the observed information not positive definite")
    if run.errors == "dispersion" and not np.isfinite(dispersion).all():
        return Uncertainty.none("a mood has no degrees of freedom left to estimate a dispersion from")
    unit, root = _unit(information)
    values, vectors = np.linalg.eigh(unit)
    flat = values <= SINGULAR
    k, p = point.coef.shape[1:]
    lost = (np.linalg.norm(vectors[:, flat], axis=1) > UNIDENTIFIED_SHARE).reshape(k, p + 1)
    if lost[:, p].any() or lost[:, :p].all():  # where shares are not, two moods are the same, or one is nearly empty
        return Uncertainty.none("not identified: the observed information is singular, so other coefficients fit as well")
    lost = lost[:, :p]
    why = _not_identified(lost, run.design.names) if lost.any() else None
    inverse = (vectors[:, ~flat] / values[~flat] @ vectors[:, ~flat].T) * root * root[:, None]
    if run.errors == "sandwich":
        inverse = inverse @ scores_outer(sample, point) @ inverse
    blocks = inverse.reshape(k, p + 1, k, p + 1)
    covariance = np.stack([blocks[c, :p, c, :p] for c in range(k)])
    if run.errors == "dispersion":
        covariance *= dispersion[:, None, None]
    errors = np.where(lost, np.nan, np.sqrt(np.einsum("kii->ki", covariance)))
    own = errors / sample.scale
    if not np.isfinite(own[~lost]).all():
        return Uncertainty.none("not computed: they are larger than a number can be")
    return Uncertainty(own, covariance / (errors[:, :, None] * errors[:, None, :]), why)


def _not_identified(lost: np.ndarray, names: Sequence[str]) -> str:
    """The sentence on the coefficients (k, p) that are not."""
    which = listed([f"{names[place]} of mood {mood + 1}" for mood, place in np.argwhere(lost).tolist()])
    return f"not identified: {which}; the observed information is singular, so other coefficients fit as well"


def _unit(information: Array) -> tuple[Array, Array]:
    """The information with unit diagonal, but where that is not above 0, and what its rows and columns were multiplied with."""
    diagonal = information.diagonal()
    root = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    return information * root * root[:, None], root


def _criteria(sample: Sample, climb: Climb, shares: Array) -> Criteria:
    k, p = climb.point.coef.shape[1:]
    fit = climb.log_likelihood + float(penalty(sample, climb.point)[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(shares > 0, shares * np.log(shares), 0.0)
    entropy = max(-float(parts.sum(axis=0) @ sample.unit_weights), 0.0)
    df = k * p + k - 1
    bic = -2 * fit + df * float(np.log(sample.total))
    return Criteria(bic, -2 * fit + 2 * df, bic + 2 * entropy, entropy)


def _dispersion(sample: Sample, point: Point, shares: Array) -> Array:
    """Pearson's χ² of each mood over its degrees of freedom; NaN where it has none."""
    weights = sample.row_weights(shares)
    z = np.minimum(point.coef[0] @ sample.matrix.T + sample.offset, LARGEST)
    _, rise, variance = sample.law.derivatives(z)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        parts = np.where(weights > 0, weights * np.square(sample.counts - sample.law.least - rise) / variance, 0.0)
        free = weights.sum(axis=1) - sample.matrix.shape[1]
        return np.where(free > 0, parts.sum(axis=1) / np.where(free > 0, free, 1.0), np.nan)


def _status(run: Run, climb: Climb, endless: list[int]) -> tuple[Status, str]:
    emptied = f"emptied{'' if _hurried(run) else ' twice'} and were left out, so k is {climb.point.k}"
    fewer = "" if climb.point.k == run.k else f"; {run.k - climb.point.k} of {run.k} moods {emptied}"
    if endless:
        which = f"mood{'s' if len(endless) > 1 else ''} {', '.join(str(mood + 1) for mood in endless)}"
        reached = "the supremum to tolerance" if climb.stationary else "not yet the supremum, for the point is not stationary"
        least = f"{run.design.law.least:g}"
        advice = f"its rates at some counts of {least} go to 0, and the likelihood shown is {reached}; "
        advice += f"a `ridge` above 0 makes it finite, with `intercept=False` where all its counts are {least}"
        return Status.NO_FINITE_MAXIMUM, f"{which} has no finite maximum: {advice}{fewer}"
    if not climb.stationary:
        why = "the seconds ran out" if climb.cut else "the cycles ended" if run.found is None else "the ascent ended"
        more = "; give more `seconds` or a smaller `k`" if climb.cut else ""
        return Status.ITERATION_LIMIT, f"not stationary: {why} with a gradient of {climb.gradient:.1e} standard errors{more}{fewer}"
    if climb.saddle and run.found is not None:
        return Status.ITERATION_LIMIT, f"a saddle: ℓ rises in some direction there; give another `seed` or a smaller `k`{fewer}"
    return Status.CERTIFIED, f"stationary: the gradient asks for {climb.gradient:.1e} standard errors{_maximum(climb)}{fewer}"


def _hurried(run: Run) -> bool:
    """Whether the seconds of the search ran out, so that a mood that emptied may not have had its second chance."""
    return run.found is not None and run.found.capped


def _maximum(climb: Climb) -> str:
    """A maximum has a positive definite information, as standard errors need it; without one the point may be a ridge or a saddle."""
    if climb.curvature.observed is None:
        return ""
    if climb.saddle:
        return "; a saddle: ℓ rises in some direction, try other labels"
    values = np.linalg.eigvalsh(_unit(climb.curvature.observed)[0])
    return "; a local maximum" if values[0] > SINGULAR else "; the likelihood is flat in some direction there"


def _starts(found: Found | None) -> Starts:
    if found is None:
        return Starts(1, 1, 1, 0, None)
    return Starts(found.tried, len(found.ends), found.agreed, found.failed, found.next_best)


def _warnings(run: Run, climb: Climb, dispersion: Array) -> list[str]:
    said, (k, p) = [], climb.point.coef.shape[1:]
    if climb.point.k < run.k:
        said.append(
            f"{run.k} moods were asked for and {climb.point.k} are left: the others emptied"
            + ("" if _hurried(run) else ", were put onto the worst-fitted rows, and emptied again")
        )
    if _hurried(run):
        said.append("the seconds of the search ran out before its budget: another machine may find another answer")
    if run.found is not None and run.found.failed:
        said.append(f"{run.found.failed} of {run.found.tried} starts failed")
    df, units = k * p + k - 1, run.sample.total
    if df >= units:
        said.append(
            f"{df} parameters for {units:g} {'rows' if run.design.groups is None else 'groups'}: more than the data support; "
            "take a smaller k"
        )
    weights = run.design.active.weights
    if weights.sum() < len(weights) * (1 - 1e-9):
        said.append(
            f"the weights of {len(weights)} rows sum to {weights.sum():.4g}: a weight is how often a row was seen, so that standard "
            "errors, BIC, AIC and ICL are those of so few rows, and choose too few moods"
        )
    wide = [f"{value:.3g} times in mood {mood + 1}" for mood, value in enumerate(dispersion) if value > OVERDISPERSION]
    if wide:
        said.append(
            f"counts are spread wider than Poisson counts, {', '.join(wide)}: "
            + ("standard errors are too small by the root of that, " if run.errors == ERRORS[0] else "")
            + "responsibilities too sure, and criteria ask for too many moods"
        )
    if not climb.stationary:
        said.append("the point is not stationary")
    return said
