"""Describe a penalised or shape-constrained regression once, solve it with any solver, and get an answer that proves itself."""

import logging

from hw4opt.constraints.bounds import Bounds
from hw4opt.constraints.coef_bounds import CoefBounds
from hw4opt.constraints.coef_nonnegative import CoefNonnegative
from hw4opt.constraints.concave import Concave
from hw4opt.constraints.convex import Convex
from hw4opt.constraints.decreasing import Decreasing
from hw4opt.constraints.increasing import Increasing
from hw4opt.constraints.nonnegative import Nonnegative
from hw4opt.errors import Hw4Error, InputError, ModelFileError, NotCertifiedError, RefusedError, UnknownNameError
from hw4opt.fit import fit, fit_batch
from hw4opt.form.answer import Status
from hw4opt.kernels import RBF, Laplacian, Matern32, Matern52, Polynomial, Precomputed
from hw4opt.losses.absolute import Absolute
from hw4opt.losses.epsilon_insensitive import EpsilonInsensitive
from hw4opt.losses.huber import Huber
from hw4opt.losses.logistic import Logistic
from hw4opt.losses.poisson import Poisson
from hw4opt.losses.quantile import Quantile
from hw4opt.losses.squared import Squared
from hw4opt.problem import Problem
from hw4opt.proof.certificate import Certificate
from hw4opt.regularizers.l1 import L1
from hw4opt.regularizers.ridge import Ridge
from hw4opt.regularizers.trend import Trend
from hw4opt.regularizers.tv import TotalVariation
from hw4opt.result import Result

__version__ = "0.1.0"

__all__ = [
    "L1",
    "RBF",
    "Absolute",
    "Bounds",
    "Certificate",
    "CoefBounds",
    "CoefNonnegative",
    "Concave",
    "Convex",
    "Decreasing",
    "EpsilonInsensitive",
    "Huber",
    "Hw4Error",
    "Increasing",
    "InputError",
    "Laplacian",
    "Logistic",
    "Matern32",
    "Matern52",
    "ModelFileError",
    "Nonnegative",
    "NotCertifiedError",
    "Poisson",
    "Polynomial",
    "Precomputed",
    "Problem",
    "Quantile",
    "RefusedError",
    "Result",
    "Ridge",
    "Squared",
    "Status",
    "TotalVariation",
    "Trend",
    "UnknownNameError",
    "fit",
    "fit_batch",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
