"""The directive `run`: commands of the command line, run when the site is built, with what they print and draw.

    ```{run}
    :figure: fit.png
    hw4opt solve dose.csv --x dose --y response --plot fit.png
    ```

A page's commands run in one folder, a copy of docs/data. A command that exits with another status than 0 (or that of
the option `status`) is an error of the build. The tests run the same blocks (tests/docs).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from command_lines import copy_data, run_line


class Run(SphinxDirective):
    """Commands, and what they print and draw."""

    has_content = True
    option_spec = {"figure": directives.unchanged, "status": directives.nonnegative_int}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """One block of text, and the figure."""
        folder = self._folder()
        shown = []
        for line in self.content:
            status, text = run_line(line, folder)
            if status != self.options.get("status", 0):
                raise self.error(f"{line} exited with {status}: {text}")
            shown.append(f"$ {line}\n{text.rstrip()}".rstrip())
        block = nodes.literal_block("\n\n".join(shown), "\n\n".join(shown), language="text")
        return [block, *self._figure(folder)]

    def _folder(self) -> Path:
        key = f"run_command:{self.env.docname}"
        if key not in self.env.temp_data:
            made = tempfile.TemporaryDirectory()
            copy_data(Path(made.name))
            self.env.temp_data[key] = made  # removed when the page has been read
        return Path(self.env.temp_data[key].name)

    def _figure(self, folder: Path) -> list[nodes.Node]:
        if "figure" not in self.options:
            return []
        name = self.options["figure"]
        kept = Path(self.env.srcdir) / "reference" / "figures" / f"{self.env.docname.replace('/', '-')}-{name}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, kept)
        return [
            nodes.image(uri=f"/{kept.relative_to(self.env.srcdir)}", alt=f"the figure {name} that the command draws")
        ]


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("run", Run)
    return {"parallel_read_safe": False}
