"""The recipe "Add a network" of CONTRIBUTING.md: with its two files alone there is a network like the others."""

import importlib
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("hw4nets", "hw4cli")


def blocks():
    """Language and content of the code blocks of the recipe, in order."""
    section = (
        (ROOT / "CONTRIBUTING.md")
        .read_text(encoding="utf-8")
        .partition("\n## Add a network\n")[2]
        .partition("\n## ")[0]
    )
    return re.findall(r"^```(\w+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def loaded():
    return [name for name in sys.modules if name.partition(".")[0] in PACKAGES]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the package with what the recipe says, imported in place of the package until the test ends."""
    shutil.copytree(ROOT / "hw4nets", tmp_path / "hw4nets", ignore=shutil.ignore_patterns("__pycache__"))
    for _, content in blocks():
        path = tmp_path / content.partition("\n")[0].removeprefix("# ")
        assert path.exists() == (path.suffix == ".toml")  # a new file of code, and more settings in an old file
        with path.open("a", encoding="utf-8") as file:
            file.write(content)
    before = {name: sys.modules.pop(name) for name in loaded()}
    monkeypatch.syspath_prepend(tmp_path)
    try:
        yield tmp_path
    finally:
        for name in loaded():
            del sys.modules[name]
        sys.modules.update(before)


def test_the_recipe_is_one_file_and_its_settings():
    assert [language for language, _ in blocks()] == ["python", "toml"]


def test_a_network_made_by_the_recipe_is_a_network_like_the_others(copy, capsys, monkeypatch):
    hw4nets, app = importlib.import_module("hw4nets"), importlib.import_module("hw4cli.nets.app")
    assert Path(hw4nets.__file__).is_relative_to(copy)
    assert "Wide" in hw4nets.__all__ and hw4nets.NETS["wide"] is hw4nets.Wide and list(hw4nets.NETS)[-1] == "wide"
    default_space = importlib.import_module("hw4nets.search_plan").default_space
    assert default_space(hw4nets.preset("tuned", "wide"))["width"].low == 1000
    monkeypatch.chdir(copy)
    assert app.main(["train", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "logistic|hidden|conv|base|fast|wide" in said and "--width N Hidden units; default: wide 4000." in said
    assert app.main(["train", "--out", "run"]) == 2
    assert "--net logistic, hidden, conv, base, fast or wide" in capsys.readouterr().err
    words = "train --net wide --width 5 --data synthetic --epochs 1 --batch-size 2000 --threads 1 --out run --quiet"
    assert app.main(words.split()) == 0
    assert 'net = "wide"' in (copy / "run" / "config.toml").read_text()
    assert (copy / "run" / "history.csv").read_text().count("\n") == 2


def test_the_package_is_itself_again():
    import hw4nets

    assert Path(hw4nets.__file__).is_relative_to(ROOT) and "wide" not in hw4nets.NETS
