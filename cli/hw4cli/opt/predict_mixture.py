"""`hw4opt predict` for a mixture: the moods of new rows from their counts, or the mean over moods without counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hw4cli.opt import poisson_options
from hw4cli.opt.extrapolation import with_empty_rows
from hw4cli.opt.model_columns import features_of, target_of
from hw4cli.opt.options import OutputOptions
from hw4cli.opt.predictors import MixtureColumns, PredictionNotes, PredictionRows, PredictOptions
from hw4opt import InputError, Status
from hw4opt.mixture.components import Components
from hw4opt.tables import Table
from hw4opt.tables.features import Features
from hw4opt.terms.base import Array

NO_FIGURE = "predictions of a mixture have no figure; `hw4opt em --plot` draws its moods"


@dataclass(frozen=True, eq=False)
class MixturePredictor:
    """A mixture of `hw4opt em`: see `Predictor`."""

    components: Components
    kind: ClassVar[str] = "mixture"

    @property
    def context(self) -> Mapping[str, Any]:
        return self.components.context

    @property
    def features(self) -> Features | None:
        return features_of({**self.context, "x": list(self.components.features)}, self.count)

    @property
    def count(self) -> int:
        return len(self.components.features)

    @property
    def has_offset(self) -> bool:
        return self.components.has_offset or "offset" in self.context or "exposure" in self.context

    @property
    def span(self) -> Array | None:
        return self.components.span

    def check(self, predict_options: PredictOptions, output_options: OutputOptions) -> None:
        """Refuse --plot, for which there is no figure, and --interval."""
        if predict_options.interval:
            raise InputError(f"--interval: {predict_options.model} is a mixture, which has no intervals; drop it")
        if output_options.plot is not None:
            raise InputError(f"--plot {output_options.plot}: {NO_FIGURE}")

    def mixture_columns(self, predict_options: PredictOptions, table: Table) -> MixtureColumns:
        """The counts, and the groups whose rows share a mood."""
        name = predict_options.y or self.context.get("y")
        if predict_options.y is None and name not in table.columns:
            missing = f"{table.source} has no column {name!r}" if name else "no column of counts is named with --y"
            return MixtureColumns(warnings=(f"{missing}: mean is taken over all moods, weighted by their proportions",))
        groups, target = self.context.get("groups"), target_of(self.context, str(name))
        if groups is None or groups in table.columns:
            return MixtureColumns(target, str(name), groups)
        warning = (
            f"{table.source} has no column {groups!r}, whose rows share a mood: "
            "the mood of a row depends on its own count alone"
        )
        return MixtureColumns(target, str(name), None, (warning,))

    def predictions(self, rows: PredictionRows) -> dict[str, Array]:
        """mood, responsibilities and mean given the counts, else the mean over all moods."""
        with np.errstate(all="ignore"):
            means = self.components.means(rows.x, rows.offset)
            if rows.y is None:
                return {"mean": means @ self.components.proportions}
            shares = self.components.posterior(rows.x, rows.y, rows.offset, rows.groups)
            mean = (shares * np.where(shares > 0, means, 0.0)).sum(axis=1)
        mood = with_empty_rows(1 + shares.argmax(axis=1), np.isnan(shares[:, 0]))
        return {"mood": mood, **{f"responsibility_{j}": share for j, share in enumerate(shares.T, 1)}, "mean": mean}

    @property
    def caveats(self) -> list[str]:
        return []

    def notes(self, rows: PredictionRows, columns: MixtureColumns) -> PredictionNotes:
        """Warnings on fractions among the counts."""
        warnings = []
        if rows.y is not None:
            y = np.ones(len(rows.used))
            y[rows.used] = rows.y
            warnings = poisson_options.check_counts(y, columns.name, self.components.loss, rows.used, None)
        return PredictionNotes(warnings, np.zeros(len(rows.x), dtype=bool))

    def status_record(self, message: str, predictions: Mapping[str, Array]) -> dict[str, Any]:
        """Certified: only a stationary mixture is saved."""
        return {"status": Status.CERTIFIED.word, "message": message, "k": len(self.components.proportions)}

    def figure(self, x: Array) -> Any:
        """Raise `InputError`: there is no figure."""
        raise InputError(NO_FIGURE)

    def save(self, path: str) -> None:
        """Write the model."""
        self.components.save(path)
