"""`hw4opt predict` for a model of `hw4opt solve` on rows in blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hw4cli.opt.model_columns import features_of
from hw4cli.opt.options import OutputOptions
from hw4cli.opt.predictors import MixtureColumns, PredictionNotes, PredictionRows, PredictOptions
from hw4opt import InputError, Status
from hw4opt.blocks import BlocksResult, load_blocks, save_blocks
from hw4opt.tables import Table
from hw4opt.tables.features import Features
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array


@dataclass(frozen=True, eq=False)
class BlocksPredictor:
    """A fit of rows in blocks: see `Predictor`."""

    result: BlocksResult
    kind: ClassVar[str] = "model"

    @classmethod
    def load(cls, path: str) -> BlocksPredictor:
        """Of a model file."""
        return cls(load_blocks(path))

    @property
    def context(self) -> Mapping[str, Any]:
        return self.result.context

    @property
    def features(self) -> Features | None:
        return features_of(self.context, self.count)

    @property
    def count(self) -> int:
        return len(self.result.center)

    @property
    def has_offset(self) -> bool:
        return self.result.has_offset

    @property
    def span(self) -> Array | None:
        return self.result.span

    def check(self, predict_options: PredictOptions, output_options: OutputOptions) -> None:
        """Refuse --y, --interval and --plot, which this model has nothing for."""
        given = {"--y": predict_options.y, "--interval": predict_options.interval, "--plot": output_options.plot}
        for option, value in given.items():
            if value:
                raise InputError(
                    f"{option}: {predict_options.model} is a fit of rows in blocks, and holds none; drop it"
                )

    def mixture_columns(self, predict_options: PredictOptions, table: Table) -> MixtureColumns:
        """None: a row's y does not change its prediction."""
        return MixtureColumns()

    @property
    def caveats(self) -> list[str]:
        return []

    def notes(self, rows: PredictionRows, columns: MixtureColumns) -> PredictionNotes:
        """None."""
        return PredictionNotes([], np.zeros(len(rows.x), dtype=bool))

    def predictions(self, rows: PredictionRows) -> dict[str, Array]:
        """prediction, mean and bound."""
        with np.errstate(all="ignore"):
            prediction = self.result.predict(rows.x)
            columns = {"prediction": prediction if rows.offset is None else prediction + rows.offset}
            if isinstance(self.result.model.loss, Likelihood):
                columns["mean"] = self.result.model.loss.mean(columns["prediction"])
            bound = None if self.result.model.intercept else self.result.bound(rows.x)
        return columns if bound is None else {**columns, "bound": bound}

    def status_record(self, message: str, predictions: Mapping[str, Array]) -> dict[str, Any]:
        """The status of the fit, and why there is no bound."""
        if self.result.status is not Status.CERTIFIED:
            message = f"{message} of a model that is not certified: {self.result.message}"
        record = {"status": self.result.status.word, "message": message}
        certificate = self.result.certificate
        reason = "predictions include the unpenalised intercept" if self.result.model.intercept else None
        reason = reason or certificate.norm_bound_reason or certificate.reason or ""
        return record if "bound" in predictions else {**record, "bound_reason": reason}

    def figure(self, x: Array) -> Any:
        """None: `check` refuses it."""
        raise InputError("--plot: a fit of rows in blocks holds no rows to draw; drop it")

    def save(self, path: str) -> None:
        """Write the model."""
        save_blocks(self.result, path)
