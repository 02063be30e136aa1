"""Consistency checks of a term's functions, for the tests and for users' own terms.

prox and conjugate are compared with brute-force minimisation of `value`, derivatives with finite differences, the cvxpy
model with `value`. Terms are sums over rows and are checked row by row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError, shown
from hw4opt.terms import registry
from hw4opt.terms.base import Term
from hw4opt.terms.conformance._derivatives import check_derivatives, check_duals, check_likelihood
from hw4opt.terms.conformance._fixed import fixed_terms
from hw4opt.terms.conformance._models import check_model, check_units
from hw4opt.terms.conformance._values import check_conjugate, check_fenchel_young, check_prox, check_value
from hw4opt.terms.requirements import class_fault, term_fault

TERM_CHECKS = (
    check_value,
    check_derivatives,
    check_duals,
    check_likelihood,
    check_prox,
    check_conjugate,
    check_fenchel_young,
    check_model,
    check_units,
)


def check_term(term: Term | type[Term], targets: ArrayLike | None = None) -> None:
    """Raise `InputError` for the first fault of a term: a missing function, or two functions that disagree.

    term      the term with its parameters, or its class, which is then created with its defaults
    targets   (k,) targets for a smooth loss; None: a few that it accepts

    `value`, `prox` and `conjugate` are compared with brute-force minimisation and the Fenchel-Young inequality, `model`
    with `value`, `in_units` with both, derivatives with finite differences. Needs cvxpy for the model.
    """
    for made in _with_weight_0(_made(term)):
        if fault := (None if isinstance(made, registry.load("regularizer", "ridge")) else term_fault(made)):
            raise InputError(fault)
        check_dataclass(made)
        terms = list(fixed_terms(made, targets))
        with np.errstate(all="ignore"):
            for check in TERM_CHECKS:
                for fixed in terms:
                    check(fixed)


def _with_weight_0(term: Any) -> Iterator[Term]:
    """The term, and the same term with weight 0, which a search may try."""
    yield term
    if "weight" in registry.parameters(type(term)):
        yield dataclasses.replace(term, weight=0.0)


def check_dataclass(thing: Any) -> None:
    """Raise `InputError` unless the term or kernel is equal to a copy of itself and can be hashed."""
    try:
        same = dataclasses.replace(thing)
        if same == thing and hash(same) == hash(thing):
            return
    except TypeError as error:
        raise InputError(f"{thing.name}: {shown(thing)} cannot be copied and hashed: {error}") from error
    raise InputError(f"{thing.name}: {shown(thing)} differs from a copy of itself")


def _made(term: Term | type[Term]) -> Term:
    kind = term if isinstance(term, type) else type(term)
    if not issubclass(kind, Term):
        raise InputError(f"{shown(term)} is not a term; its class must derive from PiecewiseQuadratic or Smooth")
    if fault := class_fault(kind):
        raise InputError(fault)
    if not isinstance(term, type):
        return term
    try:
        return term()
    except TypeError as error:
        raise InputError(
            f"{term.name} has parameters without defaults ({error}); give the term instead of its class"
        ) from error
