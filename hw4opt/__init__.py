"""Penalised and shape-constrained regression: one description, several solvers, and a proof of optimality with each
answer.

Besides the names below, the class of every loss, regularizer, constraint and kernel in the folders of those names can
be imported from here.
"""

import logging
from typing import TYPE_CHECKING, Any

from hw4opt.design import Categorical
from hw4opt.errors import Hw4Error, InputError, ModelFileError, NotCertifiedError, RefusedError, UnknownNameError
from hw4opt.fit import fit, fit_batch
from hw4opt.form.answer import Status
from hw4opt.problem import Additive, Component, Problem
from hw4opt.proof.certificate import Certificate
from hw4opt.result import Result
from hw4opt.solvers import Solver
from hw4opt.terms import registry

if TYPE_CHECKING:  # for type checkers, which do not look into the folders
    from hw4opt.constraints.bounds import Bounds as Bounds
    from hw4opt.constraints.coef_bounds import CoefBounds as CoefBounds
    from hw4opt.constraints.coef_nonnegative import CoefNonnegative as CoefNonnegative
    from hw4opt.constraints.concave import Concave as Concave
    from hw4opt.constraints.convex import Convex as Convex
    from hw4opt.constraints.decreasing import Decreasing as Decreasing
    from hw4opt.constraints.increasing import Increasing as Increasing
    from hw4opt.constraints.nonnegative import Nonnegative as Nonnegative
    from hw4opt.kernels import RBF as RBF
    from hw4opt.kernels import Laplacian as Laplacian
    from hw4opt.kernels import Matern32 as Matern32
    from hw4opt.kernels import Matern52 as Matern52
    from hw4opt.kernels import Polynomial as Polynomial
    from hw4opt.kernels import Precomputed as Precomputed
    from hw4opt.kernels._conformance import check_kernel as check_kernel
    from hw4opt.losses.absolute import Absolute as Absolute
    from hw4opt.losses.epsilon_insensitive import EpsilonInsensitive as EpsilonInsensitive
    from hw4opt.losses.huber import Huber as Huber
    from hw4opt.losses.logistic import Logistic as Logistic
    from hw4opt.losses.poisson import Poisson as Poisson
    from hw4opt.losses.quantile import Quantile as Quantile
    from hw4opt.losses.squared import Squared as Squared
    from hw4opt.regularizers.l1 import L1 as L1
    from hw4opt.regularizers.ridge import Ridge as Ridge
    from hw4opt.regularizers.trend import Trend as Trend
    from hw4opt.regularizers.tv import TotalVariation as TotalVariation
    from hw4opt.solver_conformance import check_solver as check_solver
    from hw4opt.terms.conformance import check_term as check_term

__version__ = "1.0.0"

__all__ = [
    "Additive",
    "Categorical",
    "Certificate",
    "Component",
    "Hw4Error",
    "InputError",
    "ModelFileError",
    "NotCertifiedError",
    "Problem",
    "RefusedError",
    "Result",
    "Solver",
    "Status",
    "UnknownNameError",
    "check_kernel",
    "check_solver",
    "check_term",
    "fit",
    "fit_batch",
]
__all__ += list(registry.public_classes())  # pyright: ignore[reportUnsupportedDunderAll]
globals().update(registry.public_classes())


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "check_term":
        from hw4opt.terms.conformance import check_term

        return check_term
    if name == "check_kernel":
        from hw4opt.kernels._conformance import check_kernel

        return check_kernel
    if name == "check_solver":
        from hw4opt.solver_conformance import check_solver

        return check_solver
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


logging.getLogger(__name__).addHandler(logging.NullHandler())
