"""Statistics of a fit: standard errors, deviance, degrees of freedom, R², prediction intervals."""

from hw4opt.inference.components import ComponentFit, component_fits, component_means, component_values, level_names
from hw4opt.inference.degrees_of_freedom import degrees_of_columns, effective_degrees_of_freedom
from hw4opt.inference.explained import deviance_explained, r_squared
from hw4opt.inference.likelihood import OVERDISPERSION, Inference, infer
from hw4opt.inference.residual import infer_from_residuals
from hw4opt.inference.standard_errors import ERRORS, StandardErrors, kinds_of

__all__ = [
    "ERRORS",
    "OVERDISPERSION",
    "ComponentFit",
    "Inference",
    "StandardErrors",
    "component_fits",
    "component_means",
    "component_values",
    "degrees_of_columns",
    "deviance_explained",
    "effective_degrees_of_freedom",
    "infer",
    "infer_from_residuals",
    "kinds_of",
    "level_names",
    "r_squared",
]
