"""What the reports of both programs share: the page, its charts and its images."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hw4cli.pages import page
from hw4cli.pages.markup import pairs, place, text

SHOWN_DIGITS = 7  # of drawn numbers


@dataclass(frozen=True)
class Series:
    """A line, or dots with the ends of their error bars; a dotted line has no name of its own.

    kind     line | dotted | dots;    color   a number: series of one number have one color
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    kind: str = "line"
    color: int = 0
    low: ArrayLike | None = None
    high: ArrayLike | None = None

    def record(self) -> dict[str, Any]:
        """What the script reads."""
        arrays = {name: short(getattr(self, name)) for name in ("x", "y", "low", "high")}
        return {"name": self.name, "kind": self.kind, "color": self.color, **arrays}


@dataclass(frozen=True)
class Chart:
    """Series over one x.

    names          of the places 0, 1, … on the x axis, where it counts things
    percent        whether y is shown in percent
    logarithmic    whether the y axis is
    """

    title: str
    x_name: str
    y_name: str
    series: Sequence[Series]
    names: Sequence[str] = ()
    percent: bool = False
    logarithmic: bool = False

    def record(self, where: str) -> dict[str, Any]:
        """What the script reads."""
        return {
            **{name: value for name, value in vars(self).items() if name != "series"},
            "place": where,
            "series": [one.record() for one in self.series],
        }


class Charts:
    """The charts of a report, in their order."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def place(self, chart: Chart) -> str:
        """The HTML of the place where the chart is drawn."""
        where = f"chart-{len(self.records)}"
        self.records.append(chart.record(where))
        return place(where, chart.title, "chart")


def report_page(program: str, title: str, subtitle: str, parts: Sequence[str], data: Mapping[str, Any]) -> str:
    """The HTML of a report; `parts` are sections."""
    head = (
        f'<header class="report"><h1>{text(program)} report</h1><span class="soft">{text(subtitle)}</span>'
        '<span class="spring"></span><button id="theme" type="button"></button></header>\n<main class="report">'
    )
    body = "\n".join((head, *filter(None, parts), "</main>"))
    return page(f"{program} report: {title}", body, ("report.css",), ("chart.js", "report.js"), data)


def made_by(program: str, origin: Mapping[str, Any]) -> str:
    """A table of where the report comes from."""
    names = {"version": program, "command": "command", "seed": "seed", "platform": "platform"}
    names |= {"data_sha256": "SHA-256 of the data"} if origin["data_sha256"] is not None else {}
    return pairs([(label, origin[key]) for key, label in names.items()])


def png(content: bytes, label: str) -> str:
    """A PNG inside the page."""
    return f'<img src="data:image/png;base64,{base64.b64encode(content).decode()}" alt="{text(label)}">'


def short(values: ArrayLike | None) -> list[float | None]:
    """Numbers of a few digits: a file holds thousands of them. What is not finite is null."""
    if values is None:
        return []
    numbers = np.asarray(values, dtype=float).tolist()
    return [float(f"{one:.{SHOWN_DIGITS}g}") if np.isfinite(one) else None for one in numbers]
