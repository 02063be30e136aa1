"""A problem: model and data, checked."""

from hw4opt.problem.data import ColumnNames, Data
from hw4opt.problem.held_out_fits import HeldOutFits
from hw4opt.problem.hyperparameters import HyperparameterKey
from hw4opt.problem.problem import Model, Problem
from hw4opt.problem.shape_rows import with_shape_rows

__all__ = ["ColumnNames", "Data", "HeldOutFits", "HyperparameterKey", "Model", "Problem", "with_shape_rows"]
