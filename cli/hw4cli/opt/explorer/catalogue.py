"""What the page offers: kernels, losses, penalties and shapes of the folders, with their parameters."""

from __future__ import annotations

import dataclasses
from typing import Any

from hw4cli.opt.option_syntax import kernel_names
from hw4opt.terms import Acts, Interval, Likelihood, Shape, load, names

TERM_KINDS = ("loss", "regularizer", "constraint")
NOT_OFFERED = ("column", "weight", "gamma")  # of a parameter: the first is for several x, the others have a slider


def catalogue() -> dict[str, list[dict[str, Any]]]:
    """Kind → its items: name, first line of the documentation, numerical parameters.

    everywhere, of_sum    whether a shape supports `everywhere`; whether it acts on the sum, not on a component
    likelihood            whether a loss is a likelihood: its targets cannot be dragged
    several               whether a parameter may be several numbers
    """
    offered = {kind: [_entry(kind, name) for name in names(kind) if _is_for_curves(kind, name)] for kind in TERM_KINDS}
    return {"kernel": [_entry("kernel", name) for name in kernel_names()], **offered}


def _is_for_curves(kind: str, name: str) -> bool:
    """Whether a term acts on the curve, not on the coefficients of a linear design."""
    return not _acts(load(kind, name)).of_coefficients


def _acts(item: Any) -> Acts:
    return (item(lower=0.0) if issubclass(item, Interval) else item()).acts


def _entry(kind: str, name: str) -> dict[str, Any]:
    item = load(kind, name)
    return {
        "name": name,
        "everywhere": issubclass(item, Shape),
        "of_sum": issubclass(item, Shape) and _acts(item).of_data_rows,
        "likelihood": issubclass(item, Likelihood),
        "about": (item.__doc__ or "").strip().split("\n")[0].replace(" of shape (n,)", ""),
        "parameters": [
            {
                "name": field.name,
                "default": field.default if _is_finite(field.default) else None,
                "several": "tuple" in str(field.type),
            }
            for field in dataclasses.fields(item)
            if field.name not in NOT_OFFERED and not isinstance(field.default, bool)
        ],
    }


def _is_finite(value: Any) -> bool:
    return abs(value) < float("inf")
