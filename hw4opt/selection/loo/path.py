"""Folds along the path of the optimum from the fit of all rows (core/folds.c): what the core is given, and gives back.

Rows of all data stand first, then those that only folds have.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.form import Form
from hw4opt.selection.fold_fits import FoldFits
from hw4opt.selection.loo.layout import Layout
from hw4opt.terms.base import Array


@dataclass(frozen=True, eq=False)
class FullFits:
    """The settings of one basis, solved on all rows: w (S, r) and the duals u of all rows (S, m); None: not solved,
    where every row has curvature."""

    form: Form
    w: Array | None
    u: Array | None


class _Task(ctypes.Structure):
    """FoldTask of core/folds.h."""

    _fields_ = [(name, ctypes.c_int64) for name in ("settings", "folds", "rank", "rows", "extra", "values")] + [
        (name, ctypes.c_void_p)
        for name in (
            *("a", "unit", "q", "t", "low", "high", "penalty", "w_scale", "u_scale", "gap_scale", "w", "u"),
            *("leave_from", "leave", "enter_from", "enter", "fold_w", "gap", "events", "wrong"),
        )
    ]


def solve_folds(fits: Sequence[FullFits], layout: Layout) -> list[FoldFits]:
    """The fits of every fold, basis by basis."""
    return [_solve(one, layout)[0] for one in fits]


def _load():
    global LIB
    try:
        return LIB
    except NameError:
        LIB = ctypes.CDLL("/tmp/fw/folds.so")
        LIB.folds_solve.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        return LIB


def _solve(fits: FullFits, layout: Layout):
    form = fits.form
    arrays = _rows(form, layout) | _tables(form, layout) | _changes(form, layout)
    w = np.zeros(form.penalty.shape) if fits.w is None else fits.w
    arrays |= {
        "penalty": form.penalty,
        "w_scale": np.broadcast_to(form.w_scale, form.penalty.shape),
        "u_scale": form.scales[1][:, 0],
        "gap_scale": form.gap_scale(w, np.zeros(form.batch)),
        "w": fits.w,
        "u": fits.u,
    }
    folds, rank = len(arrays["leave_from"]) - 1, form.penalty.shape[1]
    shape = (form.batch, folds)
    arrays |= {"fold_w": np.empty((*shape, rank)), "gap": np.empty(shape)}
    arrays |= {"events": np.empty(shape, dtype=np.int64), "wrong": np.empty(form.batch, dtype=np.int64)}
    kept = {name: None if one is None else _plain(one) for name, one in arrays.items()}
    rows = form.size
    task = _Task(form.batch, folds, rank, rows, len(kept["unit"]) - rows, form.loss.count)
    for name, one in kept.items():
        setattr(task, name, None if one is None else one.ctypes.data)
    _load().folds_solve(ctypes.addressof(task), 0, form.batch, None)
    return FoldFits(kept["fold_w"], kept["gap"], kept["events"] + 1), kept


def _plain(array):
    return np.ascontiguousarray(array, dtype=np.int64 if array.dtype.kind in "iub" else np.float64)


def _listed(form: Form):
    return [(term.acts, term.count) for term in form.terms for _ in term.functions]


def _rows(form: Form, layout: Layout):
    matrices = {acts: rows.take(form.design.matrix) for acts, (rows, _) in layout.maps.items()}
    units = {}
    for acts, (rows, _) in layout.maps.items():
        lengths = np.linalg.norm(matrices[acts], axis=1) / form.loss_length
        units[acts] = lengths if rows.coef is None else np.abs(rows.coef).sum(axis=1)
    listed = _listed(form)
    order = [(acts, slice(None, count)) for acts, count in listed] + [(acts, slice(count, None)) for acts, count in listed]
    return {
        "a": np.concatenate([matrices[acts][part] for acts, part in order]),
        "unit": np.concatenate([units[acts][part] for acts, part in order]),
    }


def _tables(form: Form, layout: Layout):
    boxes = [box for term in form.terms for box in term.boxes]
    listed = _listed(form)

    def joined(name, pick):
        arrays = [getattr(box, name) for box in boxes]
        main = [np.broadcast_to(one, (form.batch, count)) for one, (_, count) in zip(arrays, listed, strict=True)]
        more = []
        for one, (acts, count) in zip(arrays, listed, strict=True):
            extra = layout.maps[acts][0].count - count
            more.append(np.broadcast_to(pick(one, axis=1)[:, None], (form.batch, extra)))
        return np.concatenate(main + more, axis=1)

    return {
        "q": joined("quadratic", np.max),
        "t": joined("shift", np.max),
        "low": joined("low", np.min),
        "high": joined("high", np.max),
    }


def _changes(form: Form, layout: Layout):
    listed = _listed(form)
    have = [layout.maps[acts][1] for acts, _ in listed]
    leave = ~np.concatenate([one[:, :count] for one, (_, count) in zip(have, listed, strict=True)], axis=1)
    enter = np.concatenate([one[:, count:] for one, (_, count) in zip(have, listed, strict=True)], axis=1)
    return {
        "leave_from": np.concatenate([[0], np.cumsum(leave.sum(axis=1))]),
        "leave": np.nonzero(leave)[1],
        "enter_from": np.concatenate([[0], np.cumsum(enter.sum(axis=1))]),
        "enter": np.nonzero(enter)[1] + leave.shape[1],
    }
