"""The examples of the site's pages and of the README: every block of Python, and every command that a page shows, runs
as it stands there: blocks `{run}` when the site is built, too, blocks `bash` in the slow tests alone. Blocks `sh` are
not run: they install, download, take hours, or serve a page."""

import re
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
TRAIN = {  # they need an extra
    f"docs/{name}.md"
    for name in (
        "manual/networks", "how-to/networks", "how-to/own-images", "how-to/search-networks",
        "how-to/compare-networks", "how-to/label-images", "how-to/image-data",
    )
}  # fmt: skip
SLOW = TRAIN | {"docs/assignment/em.md", "docs/manual/choosing.md"}


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


def examples_of(*parsers):
    """Page → its examples, where there are any."""
    found = {page: list(Document.parse(str(ROOT / page), *parsers).examples()) for page in PAGES}
    return {page: examples for page, examples in found.items() if examples}


EXAMPLES = examples_of(PythonCodeBlockParser(), CodeBlockParser("{run}", evaluate_commands))
COMMANDS = examples_of(CodeBlockParser("bash", evaluate_commands))
OWN_PROGRAMS = re.compile(r"^(    |\$ )?hw4(opt|nets) ", re.MULTILINE)


def evaluate_all(examples, folder, monkeypatch):
    copy_data(folder)
    monkeypatch.chdir(folder)
    for example in examples:
        example.evaluate()


@pytest.mark.filterwarnings("default")  # an example may warn, as the command line does
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow if page in SLOW else ()) for page in EXAMPLES]
)
def test_the_examples_of_a_page(page, tmp_path, monkeypatch):
    if page in TRAIN:
        pytest.importorskip("torch", reason="torch is not installed (the extra nets)")
    evaluate_all(EXAMPLES[page], tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", COMMANDS)
def test_the_commands_of_a_page(page, tmp_path, monkeypatch):
    evaluate_all(COMMANDS[page], tmp_path, monkeypatch)


def test_pages_have_examples():
    assert sum(map(len, EXAMPLES.values())) >= 60 and len(COMMANDS) >= 4


@pytest.mark.parametrize("page", PAGES)
def test_a_command_stands_in_a_block_that_says_whether_it_is_run(page):
    """Not in an indented block, nor in one of another language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    outside = re.sub(r"^```(sh|bash|\{run\}|python)\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert not OWN_PROGRAMS.findall(outside)


def test_every_command_has_a_table_of_its_options():
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    commands = [f"hw4opt {name}" for name in opt_app.texts] + [f"hw4nets {name}" for name in nets_app.texts]
    assert not [command for command in commands if f"{{command-options}} {command}\n" not in text]
