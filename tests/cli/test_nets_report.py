"""`hw4nets report`: runs in one file."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

from report_parts import Parts, data_of

pytest_plugins = ["nets_command"]


def report_of(hw4nets, *words):
    done = hw4nets("report", *words, "--out", "r.html", "--json", "-")
    assert done.status == 0, done.err
    text = Path("r.html").read_text(encoding="utf-8")
    return Parts(text), done, text


def test_it_holds_curves_confusions_mistakes_settings_and_seeds(hw4nets, trained):
    shutil.copytree("run", "other")
    parts, done, text = report_of(hw4nets, "run", "other", "run")
    assert parts.titles == ["Runs", "Curves", "run", "other", "Made by"] and not parts.open
    summary = json.loads(Path("run/summary.json").read_text())
    assert f"{100 * summary['test_accuracy']:.2f} %" in parts.text and f"{summary['parameters']:,}" in parts.text
    assert Path("run/config.toml").read_text() in parts.text
    accuracy, loss = data_of(text)["charts"]
    lines = [line.split(",") for line in Path("run/history.csv").read_text().splitlines()[1:]]
    assert accuracy["series"][0]["y"] == pytest.approx([float(line[3]) for line in lines], rel=1e-6)
    assert loss["series"][1]["y"] == pytest.approx([float(line[1]) for line in lines], rel=1e-6)
    images = [one for one in parts.references if one.startswith("data:image/png")]
    assert len(images) == 4 and all(one.startswith("data:") for one in parts.references)
    assert done.json["runs"]["other"] == {"epochs": 2, "finished": True}


def test_its_plot_and_save_are_those_of_plot(hw4nets, trained):
    assert hw4nets("plot", "run", "--plot", "a.svg", "--save", "a.csv", "-q").status == 0
    report_of(hw4nets, "run", "--plot", "b.svg", "--save", "b.csv")
    assert Path("a.csv").read_text() == Path("b.csv").read_text() and Path("b.svg").stat().st_size > 1000


def test_an_unfinished_run_is_in_it(hw4nets, trained):
    for name in ("summary.json", "confusion.png", "worst.png"):
        Path("run", name).unlink()
    parts, done, _ = report_of(hw4nets, "run")
    assert "Not finished" in parts.text and done.json["runs"]["run"]["finished"] is False


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("worst.png", b"<svg onload=alert(1)>", "worst.png is not a PNG"),
        ("summary.json", b"{", "cannot be read as JSON"),
        ("summary.json", b"[]", "is not a summary of a run"),
    ],
)
def test_a_damaged_run_gets_a_sentence(hw4nets, trained, name, content, words):
    Path("run", name).write_bytes(content)
    done = hw4nets("report", "run", "--out", "r.html")
    assert done.status == 2 and words in done.err and not Path("r.html").exists()


def test_wrong_paths_get_a_sentence(hw4nets, trained):
    assert "no run nowhere" in hw4nets("report", "nowhere").err
    done = hw4nets("report", "run", "--out", "run/config.toml")
    assert done.status == 2 and "would overwrite the run run" in done.err
    done = hw4nets("report", "run", "--out", "a.html", "--json", "a.html")
    assert done.status == 2 and "would overwrite" in done.err
