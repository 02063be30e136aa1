"""A model in a model file: kernel and terms by name; those of a component of a sum under that component."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hw4opt.design import Sum
from hw4opt.errors import InputError
from hw4opt.kernels import Kernel
from hw4opt.problem.additive import Additive, Component
from hw4opt.problem.model import Model
from hw4opt.problem.stored import check_known, packed, unpacked
from hw4opt.regularizers.ridge import Ridge
from hw4opt.terms import ComponentTerm, Term


def pack_model(model: Model) -> dict[str, Any]:
    """Kernel and terms; those of one component of a sum stand in `components`."""
    own = {
        kind: [term for term in terms if not isinstance(term, ComponentTerm)]
        for kind, terms in (("regularizer", model.regularizers), ("constraint", model.constraints))
    }
    components = {"components": _pack_components(model, model.kernel)} if isinstance(model.kernel, Sum) else {}
    return {
        "kernel": None if model.kernel is None or components else packed("kernel", model.kernel),
        "loss": packed("loss", model.loss),
        "regularizers": [packed("regularizer", term) for term in own["regularizer"]],
        "constraints": [packed("constraint", term) for term in own["constraint"]],
        **components,
        "intercept": model.intercept,
        "standardize": model.standardize,
    }


def _pack_components(model: Model, kernel: Sum) -> list[dict[str, Any]]:
    found = []
    for part in kernel.parts:
        own = pack_model(model.component(part.name))
        terms = {name: own[name] for name in ("kernel", "regularizers", "constraints")}
        found.append({"name": part.name, "columns": list(part.columns), **terms})
    return found


def _terms(stored: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The kind and the stored form of every term of the model, or of one component."""
    yield from (("regularizer", term) for term in stored["regularizers"])
    yield from (("constraint", term) for term in stored["constraints"])


def check_model_known(stored: dict[str, Any]) -> None:
    """Raise `ModelFileError` for a term that this package does not have, as `check_known` does."""
    check_known("loss", stored["loss"])
    for owner in (stored, *stored.get("components", [])):
        for kind, term in _terms(owner):
            check_known(kind, term)


def _unpack_terms(stored: dict[str, Any]) -> tuple[Kernel | None, list[Term], list[Term]]:
    """Kernel, regularizers and constraints of the model, or of one component."""
    kernel = None if stored["kernel"] is None else unpacked("kernel", stored["kernel"])
    terms: dict[str, list[Term]] = {"regularizer": [], "constraint": []}
    for kind, term in _terms(stored):
        terms[kind].append(unpacked(kind, term))
    return kernel, terms["regularizer"], terms["constraint"]


def unpack_model(stored: dict[str, Any]) -> Model:
    """The model of `pack_model`; raises `InputError` for terms that exclude each other."""
    kernel, regularizers, constraints = _unpack_terms(stored)
    components = [_unpack_component(one) for one in stored.get("components", [])]
    loss, flags = unpacked("loss", stored["loss"]), (stored["intercept"], stored["standardize"])
    return Model(Additive(components) if components else kernel, loss, regularizers, constraints, *flags)


def _unpack_component(stored: dict[str, Any]) -> Component:
    kernel, (ridge, *regularizers), constraints = _unpack_terms(stored)
    if not isinstance(ridge, Ridge):
        raise InputError("a component has no ridge")
    return Component(stored["name"], stored["columns"], kernel, ridge.weight, regularizers, constraints)
