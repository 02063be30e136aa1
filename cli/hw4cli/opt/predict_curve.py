"""`hw4opt predict` for a model of `hw4opt solve`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hw4cli.opt.columns import features_of
from hw4cli.opt.options import Writing
from hw4cli.opt.outside import numbered
from hw4cli.opt.predictors import Asking, Rows, Said, Told
from hw4opt import InputError, Precomputed, Result, Status
from hw4opt.tables import Table
from hw4opt.tables.features import Features
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array


@dataclass(frozen=True, eq=False)
class Curve:
    """A fit: see `Predictor`."""

    result: Result
    what: ClassVar[str] = "model"

    @property
    def context(self) -> Mapping[str, Any]:
        return self.result.context

    @property
    def features(self) -> Features | None:
        return features_of(self.context, self.count)

    @property
    def count(self) -> int:
        return self.result.problem.x.shape[1]

    @property
    def has_offset(self) -> bool:
        return self.result.problem.offset is not None

    @property
    def span(self) -> Array | None:
        problem = self.result.problem
        if isinstance(problem.kernel, Precomputed):  # rows of a Gram matrix lie nowhere
            return None
        return np.stack([problem.active_x.min(axis=0), problem.active_x.max(axis=0)])

    def check(self, asking: Asking, writing: Writing) -> None:
        """--y is for mixtures."""
        if asking.y is not None:
            raise InputError(f"--y {asking.y} belongs to a mixture, as `hw4opt em --save` writes it, and {asking.model} is none; drop it")

    def told(self, asking: Asking, table: Table) -> Told:
        """Nothing: a row's y does not change its prediction."""
        return Told()

    def columns(self, rows: Rows) -> dict[str, Array]:
        """prediction, mean and bound."""
        with np.errstate(all="ignore"):
            prediction = self.result.predict(rows.x)
            columns = {"prediction": prediction if rows.offset is None else prediction + rows.offset}
            if isinstance(self.result.problem.loss, Likelihood):
                columns["mean"] = self.result.predict_mean(rows.x, rows.offset)
            bound = None if self.result.problem.intercept else self.result.bound(rows.x)
        return columns if bound is None else columns | {"bound": bound}

    def said(self, rows: Rows, told: Told) -> Said:
        """The rows whose prediction is the limit that separated columns have, or has none."""
        with np.errstate(all="ignore"):
            drift = self.result.drift(rows.x)
        sentences: list[str] = []
        existence, loss = self.result.existence, self.result.problem.loss
        if not drift.any() or existence is None or not isinstance(loss, Likelihood):
            return Said(sentences, np.zeros(len(drift), dtype=bool))
        names, low = existence.columns_named(self.result.column_names), drift == -np.inf
        if low.any():
            least = f"{float(loss.mean(np.array([-np.inf]))[0]):g}"
            fall = f"the mean of {numbered(rows.places[low])} falls to its limit {least} and has"
            if low.sum() > 1:
                fall = f"the means of {numbered(rows.places[low])} fall to their limit {least} and have"
            sentences.append(f"along {names} {fall} no linear predictor")
        if (others := (drift != 0) & ~low).any():
            sentences.append(f"no prediction for {numbered(rows.places[others])}: the likelihood has no maximum along {names}")
        return Said(sentences, drift != 0)

    def ending(self, message: str, columns: Mapping[str, Array]) -> dict[str, Any]:
        """That of the fit, and why there is no bound."""
        if self.result.status is not Status.CERTIFIED:
            message = f"{message} of a model that is not certified: {self.result.message}"
        record = {"status": self.result.status.word, "message": message}
        return record if "bound" in columns else {**record, "bound_reason": self._unbound()}

    def _unbound(self) -> str:
        """Why there is no column `bound`."""
        if self.result.problem.intercept:
            return "predictions hold the intercept, which no penalty reaches"
        if isinstance(self.result.problem.kernel, Precomputed):
            return "rows of a precomputed kernel do not hold k(x, x)"
        return self.result.certificate.norm_bound_reason or self.result.certificate.reason or ""

    def figure(self, x: Array) -> Any:
        """The fit with its predictions."""
        from hw4opt.plotting import figure_of, plot_fit, plot_predictions

        return figure_of(plot_predictions(self.result, x, plot_fit(self.result)))

    def save(self, path: str) -> None:
        """Write it again."""
        self.result.save(path)
