"""The examples of the site's pages and of the README: every block of Python, and every command that a page shows, runs
as it stands there. Blocks marked `sh` are not run: they install, download, or serve a page."""

from pathlib import Path

import pytest
from sybil import Example
from sybil.document import Document
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

from command_lines import copy_data, run_line
from hw4cli.nets.app import app as nets_app
from hw4cli.opt.app import app as opt_app

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))]
TRAIN = {
    f"docs/{name}.md" for name in ("manual/networks", "how-to/networks", "how-to/own-images")
}  # they need an extra


def evaluate_commands(example: Example) -> None:
    """Every line exits with 0, or with the status that the block names."""
    lines = example.parsed.strip().splitlines()
    options = dict(line[1:].split(": ") for line in lines if line.startswith(":"))
    for line in lines:
        if not line.startswith(":"):
            status, text = run_line(line, Path.cwd())
            assert status == int(options.get("status", 0)), f"{line}\n{text}"
    if "figure" in options:
        assert Path(options["figure"]).stat().st_size > 5_000


PARSERS = (PythonCodeBlockParser(), CodeBlockParser("{run}", evaluate_commands))
EXAMPLES = {page: list(Document.parse(str(ROOT / page), *PARSERS).examples()) for page in PAGES}


@pytest.mark.filterwarnings("default")  # an example may warn, as the command line does
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page in TRAIN else ())
        for page, examples in EXAMPLES.items()
        if examples
    ],
)
def test_the_examples_of_a_page(page, tmp_path, monkeypatch):
    if page in TRAIN:
        pytest.importorskip("torch", reason="torch is not installed (the extra nets)")
    copy_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    for example in EXAMPLES[page]:
        example.evaluate()


def test_pages_have_examples():
    assert sum(map(len, EXAMPLES.values())) >= 20


def test_every_command_has_a_table_of_its_options():
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    commands = [f"hw4opt {name}" for name in opt_app.texts] + [f"hw4nets {name}" for name in nets_app.texts]
    assert not [command for command in commands if f"{{command-options}} {command}\n" not in text]
