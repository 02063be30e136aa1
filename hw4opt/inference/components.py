"""The centered components of a fitted sum.

f(x) = intercept + Σ_j f_j(x_j),    Σ_i ω_i f_j(x_ij) = 0:    means move to the intercept; predictions do not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw4opt.design import AdditiveDesign
from hw4opt.problem import ColumnNames, Problem
from hw4opt.terms.base import Array
from hw4opt.validation.arrays import ReadOnly


@dataclass(frozen=True, eq=False)
class ComponentFit(ReadOnly):
    """One component of a fit.

    columns            its x columns, by name
    hyperparameters    gamma, ridge and the weights of its terms
    effective_degrees_of_freedom    Σ_i ∂f_j(x_i)/∂y_i over the rows in use; None without a fit
    fitted (n,)        f_j at the input rows, of weighted mean 0; (n, curves) for several curves
    """

    name: str
    columns: tuple[str, ...]
    hyperparameters: dict[str, float]
    effective_degrees_of_freedom: float | None
    fitted: Array


def component_values(problem: Problem, w: Array, x: Array) -> Array:
    """f_j at new rows x (m, d), centered: (m, components), or (m, components, curves) for several curves; no
    components for a design that is not a sum."""
    return _values(problem, w, problem.features(x)) - component_means(problem, w)


def component_means(problem: Problem, w: Array) -> Array:
    """The weighted mean over the rows in use of every component before centering: (components,), or (components,
    curves) for several curves."""
    weights = None if problem.weights is None else problem.weights[problem.weights > 0]
    values = _values(problem, w, problem.design.x)
    return np.average(values, axis=0, weights=weights) if values.size else np.zeros(0)


def component_fits(problem: Problem, w: Array, names: Sequence[str], degrees: Array | None) -> tuple[ComponentFit, ...]:
    """All components; `degrees` are the degrees of freedom of every column of the design."""
    design = problem.design
    if not isinstance(design, AdditiveDesign):
        return ()
    found = []
    values = component_values(problem, w, problem.x)
    by_curve = None if degrees is None else degrees.reshape(design.curves, -1)
    for place, part in enumerate(design.summands):
        own = problem.model.component(part.name).hyperparameters
        degree = None if by_curve is None else float(by_curve[:, design.columns[part.name]].sum())
        columns = tuple(names[column] for column in part.places)
        found.append(ComponentFit(part.name, columns, own, degree, values[:, place].copy()))
    return tuple(found)


def _values(problem: Problem, w: Array, features: Array) -> Array:
    design = problem.design
    if not isinstance(design, AdditiveDesign):
        return np.zeros((len(features), 0))
    pairs, of_curves = zip(design.summand_bases, design.columns.values(), strict=True), design.of_curves(w)
    return np.stack([basis.evaluate(features) @ of_curves[columns] for basis, columns in pairs], axis=1)


def level_names(context: Mapping[str, Any], names: ColumnNames, column: int, values: Array) -> list[str]:
    """The names of levels (k,) of an x column: those in `context`, else the numbers."""
    stored, columns = context.get("features") or [], names.x or ()
    own = (one for one in stored if "levels" in one and one.get("name") in columns[column : column + 1])
    named = next(own, None)
    return [f"{value:g}" if named is None else named["levels"][int(value)] for value in values]
