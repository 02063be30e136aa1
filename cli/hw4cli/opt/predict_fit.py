"""`hw4opt predict` for a model of `hw4opt solve`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hw4cli.opt.extrapolation import row_list
from hw4cli.opt.model_columns import features_of
from hw4cli.opt.options import OutputOptions
from hw4cli.opt.predictors import MixtureColumns, PredictionNotes, PredictionRows, PredictOptions
from hw4opt import InputError, Precomputed, Result, Status
from hw4opt.inference.intervals import caveats, checked_levels, refusal
from hw4opt.tables import Table
from hw4opt.tables.features import Features
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array


@dataclass(frozen=True, eq=False)
class FitPredictor:
    """A fit of `hw4opt solve`: see `Predictor`."""

    result: Result
    levels: tuple[float, ...] = ()
    interval_method: str = "plus"
    kind: ClassVar[str] = "model"

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
        if isinstance(problem.kernel, Precomputed):  # rows of a Gram matrix have no position
            return None
        return np.stack([problem.active_x.min(axis=0), problem.active_x.max(axis=0)])

    def check(self, predict_options: PredictOptions, output_options: OutputOptions) -> None:
        """Refuse --y, which is for mixtures, and --interval of a model without held-out fits."""
        if self.levels:
            self._check_intervals(predict_options.model)
        if predict_options.y is not None:
            raise InputError(
                f"--y {predict_options.y} belongs to a mixture, as `hw4opt em --save` writes it, "
                f"and {predict_options.model} is not one; drop it"
            )

    def _check_intervals(self, model: str) -> None:
        problem = self.result.problem
        if (refused := refusal(problem.loss)) is not None:
            raise InputError(f"--interval: {refused}; drop it")
        if problem.held_out is None:
            how = f"write the model with hw4opt solve … --keep-folds --save {model}"
            raise InputError(f"--interval needs held-out fits and {model} has none; {how}")
        checked_levels(self.levels, len(problem.held_out.fold_of))

    def mixture_columns(self, predict_options: PredictOptions, table: Table) -> MixtureColumns:
        """None: a row's y does not change its prediction."""
        return MixtureColumns()

    def predictions(self, rows: PredictionRows) -> dict[str, Array]:
        """prediction, mean and bound, and lower and upper ends of the intervals."""
        with np.errstate(all="ignore"):
            prediction = self.result.predict(rows.x)
            prediction = prediction if rows.offset is None else (prediction.T + rows.offset).T
            levels = self.result.problem.loss.levels
            columns = {"prediction": prediction}
            if levels:
                columns = {f"prediction_{level:.15g}": prediction[:, place] for place, level in enumerate(levels)}
            if isinstance(self.result.problem.loss, Likelihood):
                columns["mean"] = self.result.predict_mean(rows.x, rows.offset)
            bound = None if self.result.problem.intercept else self.result.bound(rows.x)
            columns |= {} if bound is None else {"bound": bound}
            if self.levels:
                _, ends = self.result.predict_interval(rows.x, self.levels, self.interval_method, rows.offset)
                for place, level in enumerate(self.levels):
                    columns |= {f"lower_{level:.15g}": ends[:, 0, place], f"upper_{level:.15g}": ends[:, 1, place]}
        return columns

    @property
    def caveats(self) -> list[str]:
        return caveats(self.result.problem) if self.levels else []

    def notes(self, rows: PredictionRows, columns: MixtureColumns) -> PredictionNotes:
        """Warnings on rows whose prediction is a limit along separated columns, or does not exist."""
        with np.errstate(all="ignore"):
            drift = self.result.drift(rows.x)
        sentences: list[str] = []
        existence, loss = self.result.existence, self.result.problem.loss
        if not drift.any() or existence is None or not isinstance(loss, Likelihood):
            return PredictionNotes(sentences, np.zeros(len(drift), dtype=bool))
        names, low = existence.columns_named(self.result.column_names), drift == -np.inf
        if low.any():
            least = f"{float(loss.mean(np.array([-np.inf]))[0]):g}"
            fall = f"the mean of {row_list(rows.table_rows[low])} falls to its limit {least} and has"
            if low.sum() > 1:
                fall = f"the means of {row_list(rows.table_rows[low])} fall to their limit {least} and have"
            sentences.append(f"along {names} {fall} no linear predictor")
        if (others := (drift != 0) & ~low).any():
            sentences.append(
                f"no prediction for {row_list(rows.table_rows[others])}: the likelihood has no maximum along {names}"
            )
        return PredictionNotes(sentences, drift != 0)

    def status_record(self, message: str, predictions: Mapping[str, Array]) -> dict[str, Any]:
        """The status of the fit, and why there is no bound."""
        if self.result.status is not Status.CERTIFIED:
            message = f"{message} of a model that is not certified: {self.result.message}"
        record: dict[str, Any] = {"status": self.result.status.word, "message": message}
        if self.levels and (held_out := self.result.problem.held_out) is not None:
            record["interval"] = {
                "levels": list(self.levels),
                "method": self.interval_method,
                "folds": held_out.method,
                "held_out_rows": len(held_out.fold_of),
                "unproven_folds": held_out.unproven,
            }
        return record if "bound" in predictions else {**record, "bound_reason": self._bound_reason()}

    def _bound_reason(self) -> str:
        """Why there is no column `bound`."""
        if self.result.problem.intercept:
            return "predictions include the unpenalised intercept"
        if isinstance(self.result.problem.kernel, Precomputed):
            return "rows of a precomputed kernel do not include k(x, x)"
        return self.result.certificate.norm_bound_reason or self.result.certificate.reason or ""

    def figure(self, x: Array) -> Any:
        """The fit with its predictions."""
        from hw4opt.plotting import figure_of, plot_fit, plot_predictions

        return figure_of(plot_predictions(self.result, x, plot_fit(self.result)))

    def save(self, path: str) -> None:
        """Write the model."""
        self.result.save(path)
