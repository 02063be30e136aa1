"""What a fit returns: the solution, with its figure and its model file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from hw4opt.errors import NotCertifiedError
from hw4opt.form.answer import Status
from hw4opt.solution import Solution
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_argument, checked

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class Result(Solution):
    """The answer to a `Problem`; its fields, and what follows from them, are those of `Solution`."""

    def raise_for_status(self) -> Result:
        """Return self if certified; raise `NotCertifiedError` with the advice otherwise."""
        if self.status is not Status.CERTIFIED:
            raise NotCertifiedError(self.message)
        return self

    def plot(self, axes: Axes | None = None, truth: Array | None = None) -> Axes:
        """Data, fit and (if given) truth on matplotlib axes; see `hw4opt.plotting.plot_fit`."""
        from hw4opt.plotting import plot_fit  # matplotlib is loaded when it is needed

        return plot_fit(self, axes, truth)

    @checked
    def save(self, path: str | Path) -> None:
        """Write one JSON file (arrays in base64), in one piece.

        Raises `InputError` for numbers that are not finite, and for a term or kernel of an own class that cannot be
        imported.
        """
        from hw4opt.model_file import save  # deferred: json and hashlib cost as much as many a fit

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Read a model file; classes of a user's own are imported.

        Raises `ModelFileError` if it is damaged, of another kind, newer than this package, or without a class that it
        needs.
        """
        from hw4opt.model_file import load

        check_argument("path", path, "str | Path", {})
        solution = load(path)
        return cls(**{field.name: getattr(solution, field.name) for field in fields(solution)})
