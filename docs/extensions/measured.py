"""The directive `measured`: a table of figures from the files in bench/results, and when and where they were
measured.

    ```{measured} fit
    :columns: case, who, seconds as one fit, times_ours as × hw4opt
    :where: kind=hw4opt
    ```

The argument is a file without its `.json`, or a pattern: then each file is a row. `table` names the list of rows in
the
file (`rows` by default); `where` keeps the rows whose columns hold one of the values (`kind=hw4opt|factored, n=50`);
`sort` names a column. A name with a dot is a key inside a key.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from node_table import table

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results"
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


class Measured(SphinxDirective):
    """A table of measured figures."""

    required_arguments = 1
    option_spec = {name: directives.unchanged_required for name in ("columns", "where", "table", "sort")}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """The table, and a line that says where its figures come from."""
        files = sorted(RESULTS.glob(f"{self.arguments[0]}.json"))
        if not files:
            raise self.error(f"bench/results has no file {self.arguments[0]}.json")
        for file in files:
            self.env.note_dependency(str(file))
        found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        rows = (
            found[0][self.options.get("table", "rows")] if len(files) == 1 and "*" not in self.arguments[0] else found
        )
        conditions = [part.strip().split("=") for part in self.options.get("where", "").split(",") if part]
        kept = [row for row in rows if all(str(_of(row, name)) in values.split("|") for name, values in conditions)]
        if not kept:
            raise self.error(f"no row of {self.arguments[0]}.json is kept")
        if "sort" in self.options:
            kept.sort(key=lambda row: _of(row, self.options["sort"]))
        columns = [part.strip().partition(" as ") for part in self.options["columns"].split(",")]
        cells = [[_cell(name, _of(row, name)) for name, _, _ in columns] for row in kept]
        titles = [title or name.replace("_", " ") for name, _, title in columns]
        source = _source(found[0], files)
        return [table(titles, cells), nodes.paragraph("", source)]


def _of(row: dict[str, Any], name: str) -> Any:
    for key in name.split("."):
        row = row[key]
    return row


def _cell(name: str, value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    if not isinstance(value, int | float):
        return str(value)
    if "accuracy" in name or "coverage" in name:
        return f"{100 * value:.1f} %"
    if "seconds" in name or name == "interquartile_range":
        unit, word = next(((unit, word) for unit, word in UNITS if value >= unit), UNITS[-1])
        return f"{value / unit:,.3g} {word}" if value < 1000 else f"{value / 60:,.0f} min"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _source(found: dict[str, Any], files: list[Path]) -> str:
    where = (
        files[0].relative_to(RESULTS.parents[1]) if len(files) == 1 else files[0].parent.relative_to(RESULTS.parents[1])
    )
    machine = found.get("machine") or found.get("about", {}).get("machine") or ""
    if isinstance(machine, dict):
        cpu = machine.get("cpu") or machine.get("processor")
        machine = f"{cpu}, {machine.get('cpu_count') or machine.get('cores')} cores"
    date = found.get("measured") or found.get("date") or found.get("about", {}).get("date") or ""
    return f"From {where}" + "".join(f"; {part}" for part in (date, machine) if part) + "."


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True}
