"""What has to agree before a release: versions, the changelog's newest heading, the citation."""

import re
import tomllib
from pathlib import Path

import hw4opt

ROOT = Path(__file__).resolve().parents[2]


def test_one_version_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    released = re.findall(r"^## \[(\d[\d.]*)\] - (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)[0]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert (hw4opt.__version__, project) == (released[0], released[0])
    assert f"\nversion: {released[0]}\ndate-released: {released[1]}\n" in citation
