"""The base classes of losses, regularizers and constraints."""

from hw4opt.terms.acts import Acts, Coefficients, Differences, Slope, Values
from hw4opt.terms.base import AUTO, Loss, Term
from hw4opt.terms.component_terms import ComponentTerm, OnComponent, own_term
from hw4opt.terms.everywhere import AtPoints, Shape, ShapeRows, functionals_of, is_everywhere
from hw4opt.terms.interval import Interval
from hw4opt.terms.quadratic import PiecewiseQuadratic, Table
from hw4opt.terms.registry import find, load, names, parameters
from hw4opt.terms.smooth import Likelihood, Smooth
from hw4opt.validation.arguments import check_parameter, check_whole

__all__ = [
    "AUTO",
    "Acts",
    "AtPoints",
    "Coefficients",
    "ComponentTerm",
    "Differences",
    "Interval",
    "Likelihood",
    "Loss",
    "OnComponent",
    "PiecewiseQuadratic",
    "Shape",
    "ShapeRows",
    "Slope",
    "Smooth",
    "Table",
    "Term",
    "Values",
    "check_parameter",
    "check_whole",
    "find",
    "functionals_of",
    "is_everywhere",
    "load",
    "names",
    "own_term",
    "parameters",
]
