"""A problem: model and data, checked."""

from hw4opt.problem.additive import Additive, Component
from hw4opt.problem.data import ColumnNames, Data
from hw4opt.problem.held_out_fits import HeldOutFits
from hw4opt.problem.hyperparameters import HyperparameterKey
from hw4opt.problem.model import Model
from hw4opt.problem.problem import Problem
from hw4opt.problem.shape_rows import with_shape_rows

__all__ = [
    "Additive",
    "ColumnNames",
    "Component",
    "Data",
    "HeldOutFits",
    "HyperparameterKey",
    "Model",
    "Problem",
    "with_shape_rows",
]
