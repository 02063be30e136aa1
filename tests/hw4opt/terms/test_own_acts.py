"""Functionals of a user's own: a term that acts on them is fitted, certified, and left out of a fold, as any other."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from hw4opt import RBF, Huber, Problem, Ridge, fit
from hw4opt.selection import leave_one_out, score_settings
from hw4opt.terms import Acts, PiecewiseQuadratic, Table
from hw4opt.terms.acts import FoldRows
from hw4opt.terms.row_map import RowMap


@dataclass(frozen=True)
class Mean(Acts):
    """The mean of f over the data rows: one row, which loses a point with each fold."""

    def rows(self, points, owner):
        count = len(points.x)
        return RowMap(1, index=np.arange(count)[None], coef=np.full((1, count), 1 / count))

    def fold_rows(self, points, rows, held_out):
        count = len(points.x)
        coef = [np.full(count, 1 / count), *(_without(count, held) for held in held_out)]
        index = np.tile(np.arange(count), (len(coef), 1))
        has = np.column_stack([np.zeros(len(held_out)), np.eye(len(held_out))])
        return FoldRows(RowMap(len(coef), index=index, coef=np.array(coef)), has)


def _without(count, held):
    kept = np.ones(count)
    kept[held] = 0.0
    return kept / kept.sum()


@dataclass(frozen=True)
class SmallMean(PiecewiseQuadratic):
    """weight |mean f|."""

    name: ClassVar[str] = "small_mean"
    weight: float = 1.0

    @property
    def acts(self):
        return Mean()

    @property
    def tables(self):
        return (Table(low=-self.weight, high=self.weight),)

    def in_units(self, size):
        return size, self

    def model(self, cp, z):
        return self.weight * cp.abs(z)


X = np.linspace(0, 1, 24)
Y = 1 + np.sin(6 * X) + 0.2 * np.cos(50 * X)


def problem(weight):
    return Problem(X, Y, RBF(20.0), Huber(0.3), [Ridge(0.1), SmallMean(weight)])


@pytest.mark.parametrize("solver", ["interior", "admm", "proximal", "cvxpy:CLARABEL"])
def test_every_solver_fits_it_and_proves_it(solver):
    best = fit(problem(5.0), tol=1e-10)
    found = fit(problem(5.0), solver)
    assert found.status.word == "certified", found.message
    assert abs(found.objective - best.objective) <= found.certificate.gap + best.certificate.gap + 1e-9
    assert 0 < found.fitted.mean() < fit(problem(0.0)).fitted.mean() - 0.05


def test_a_large_weight_puts_the_mean_on_0():
    assert abs(fit(problem(1e3), tol=1e-11).fitted.mean()) < 1e-7


def test_a_fold_is_a_fit_without_its_row():
    base = problem(5.0)
    (found,) = score_settings([base], leave_one_out(len(X)), metric="squared")
    for row in (0, 7, 23):
        rest = np.delete(np.arange(len(X)), row)
        alone = fit(replace(base, x=X[rest], y=Y[rest]), tol=1e-11)
        assert found.predictions[row] == pytest.approx(alone.predict(X[row : row + 1]).item(), abs=1e-6)
