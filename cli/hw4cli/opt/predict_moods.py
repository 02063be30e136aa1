"""`hw4opt predict` for a mixture: the moods of new rows by their counts, or the mean over all moods where no count is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hw4cli.opt import counts
from hw4cli.opt.columns import features_of, target_of
from hw4cli.opt.options import Writing
from hw4cli.opt.outside import emptied
from hw4cli.opt.predictors import Asking, Rows, Said, Told
from hw4opt import InputError, Status
from hw4opt.mixture.components import Components
from hw4opt.tables import Table
from hw4opt.tables.features import Features
from hw4opt.terms.base import Array

NO_FIGURE = "predictions of a mixture have no figure; `hw4opt em --plot` draws its moods"


@dataclass(frozen=True, eq=False)
class Mixture:
    """Moods: see `Predictor`."""

    moods: Components
    what: ClassVar[str] = "mixture"

    @property
    def context(self) -> Mapping[str, Any]:
        return self.moods.context

    @property
    def features(self) -> Features | None:
        return features_of({**self.context, "x": list(self.moods.features)}, self.count)

    @property
    def count(self) -> int:
        return len(self.moods.features)

    @property
    def has_offset(self) -> bool:
        return self.moods.has_offset or "offset" in self.context or "exposure" in self.context

    @property
    def span(self) -> Array | None:
        return self.moods.span

    def check(self, asking: Asking, writing: Writing) -> None:
        """There is no figure."""
        if writing.plot is not None:
            raise InputError(f"--plot {writing.plot}: {NO_FIGURE}")

    def told(self, asking: Asking, table: Table) -> Told:
        """The counts, and the groups whose rows share a mood."""
        name = asking.y or self.context.get("y")
        if asking.y is None and name not in table.columns:
            missing = f"{table.source} has no column {name!r}" if name else "no column of counts is named with --y"
            return Told(warnings=(f"{missing}: mean is that over all moods, by their proportions, whatever the count",))
        groups, target = self.context.get("groups"), target_of(self.context, str(name))
        if groups is None or groups in table.columns:
            return Told(target, str(name), groups)
        alone = f"{table.source} has no column {groups!r}, whose rows share a mood: each row is judged by its own count alone"
        return Told(target, str(name), None, (alone,))

    def columns(self, rows: Rows) -> dict[str, Array]:
        """mood, responsibilities and mean given the counts, else the mean over all moods."""
        with np.errstate(all="ignore"):
            means = self.moods.means(rows.x, rows.offset)
            if rows.y is None:
                return {"mean": means @ self.moods.proportions}
            shares = self.moods.posterior(rows.x, rows.y, rows.offset, rows.groups)
            mean = (shares * np.where(shares > 0, means, 0.0)).sum(axis=1)
        mood = emptied(1 + shares.argmax(axis=1), np.isnan(shares[:, 0]))
        return {"mood": mood, **{f"responsibility_{j}": share for j, share in enumerate(shares.T, 1)}, "mean": mean}

    def said(self, rows: Rows, told: Told) -> Said:
        """On fractions among the counts."""
        sentences = []
        if rows.y is not None:
            y = np.ones(len(rows.here))
            y[rows.here] = rows.y
            sentences = counts.check(y, told.name, self.moods.loss, rows.here, None)
        return Said(sentences, np.zeros(len(rows.x), dtype=bool))

    def ending(self, message: str, columns: Mapping[str, Array]) -> dict[str, Any]:
        """That of a mixture, which is saved where it is stationary alone."""
        return {"status": Status.CERTIFIED.word, "message": message, "k": len(self.moods.proportions)}

    def figure(self, x: Array) -> Any:
        """There is none."""
        raise InputError(NO_FIGURE)

    def save(self, path: str) -> None:
        """Write it again."""
        self.moods.save(path)
