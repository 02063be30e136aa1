"""`hw4opt reproduce`."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from hw4opt import Result, assignment


@pytest.mark.slow
def test_reproduce_writes_the_report_the_numbers_and_the_figures(hw4opt, tmp_path):
    done = hw4opt(
        "reproduce",
        "--out",
        "new/part2",
        "--draws",
        1,
        "--workers",
        1,
        "--json",
        "-",
        "--plot",
        "all.png",
        "--save",
        "all.json",
    )
    assert done.status == 0
    folder = tmp_path / "new" / "part2"
    figures = {f"2{part}_{kind}.png" for part in "abcd" for kind in ("fit", "heatmap")} | {"2c_variety.png"}
    models = {f"2{part}_model.json" for part in "abcd"}
    assert {path.name for path in folder.iterdir()} == figures | models | {"report.md", "results.json"}
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in figures)
    results = done.json
    assert results["status"] == "certified" and set(results["parts"]) == set(results["spread"]) == {
        "2a",
        "2b",
        "2c",
        "2d",
    }
    for model in sorted(models):
        kept = Result.load(folder / model)
        assert kept.problem.hyperparameters == results["parts"][model[:2]]["chosen"]["setting"]
    saved = json.loads((folder / "results.json").read_text())
    assert {name: results[name] for name in saved} == saved == json.loads((tmp_path / "all.json").read_text())
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    for name, part in results["parts"].items():
        assert part["chosen"]["status"] == "certified" and 0 < part["largest_fold_gap"] <= 1e-9
        assert len(results["spread"][name]) == 1
        assert results["spread"][name][0] == {
            label: part[label] for label in ("chosen", "reported")
        }  # seed 0 is also the first draw
        if name == "2d":
            assert part["reported"] is None
        else:
            assert part["chosen"]["score"] <= part["reported"]["score"]
    assert results["parts"]["2a"]["reported"]["setting"] == {"gamma": 81.42, "ridge": 0.13}
    report = (folder / "report.md").read_text()
    assert all(f"({name})" in report for name in figures)
    assert all(f"{part['chosen']['score']:.3f}" in report for part in results["parts"].values())


def interrupted_in_the_middle(out, *_):
    (Path(out) / "2a_fit.png").write_text("new")
    raise KeyboardInterrupt


@pytest.mark.parametrize("out", ["new/part2", "."])
def test_an_interruption_leaves_nothing(hw4opt, tmp_path, monkeypatch, out):
    monkeypatch.setattr(assignment, "reproduce", interrupted_in_the_middle)
    done = hw4opt("reproduce", "--out", out)
    assert done.status == 130 and done.err.strip() == "hw4opt: interrupted" and list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_an_older_report_as_it_was(hw4opt, tmp_path, monkeypatch):
    (tmp_path / "2a_fit.png").write_text("old")
    monkeypatch.setattr(assignment, "reproduce", interrupted_in_the_middle)
    assert hw4opt("reproduce", "--out", ".").status == 130
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("2a_fit.png", "old")]


def test_an_interrupted_search_is_no_result(hw4opt, tmp_path, monkeypatch):
    monkeypatch.setattr(assignment, "select", lambda *_, **__: SimpleNamespace(interrupted=True))
    assert hw4opt("reproduce", "--out", "new").status == 130 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "words", "said"),
    [
        ("there/new", [], "cannot write to --out there/new: there is not a folder"),
        (
            "old",
            ["--json", "old/results.json"],
            "--out old would overwrite --json old/results.json; give another folder",
        ),
        ("loose", [], "cannot write into the folder loose: File exists"),
    ],
)
def test_a_folder_that_cannot_be_filled(hw4opt, tmp_path, monkeypatch, out, words, said):
    (tmp_path / "there").write_text("kept")
    (tmp_path / "old").mkdir()
    (tmp_path / "loose").symlink_to("nowhere")
    monkeypatch.setattr(assignment, "reproduce", lambda *_: {})
    done = hw4opt("reproduce", "--out", out, *words)
    assert (
        done.status == 2
        and said in done.err
        and sorted(path.name for path in tmp_path.iterdir()) == ["loose", "old", "there"]
    )


def test_out_that_is_a_file_is_bad_input(hw4opt, tmp_path):
    (tmp_path / "there").write_text("kept")
    done = hw4opt("reproduce", "--out", "there", "--draws", 1)
    assert done.status == 2 and done.out == ""
    assert len(done.err.strip().splitlines()) == 1 and "there is a file; give a folder" in done.err
    assert (tmp_path / "there").read_text() == "kept"


@pytest.mark.parametrize("words", [(), ("--out", "f", "--draws", 0), ("--out", "f", "--workers", 0)])
def test_bad_options_are_exit_2(hw4opt, tmp_path, words):
    done = hw4opt("reproduce", *words)
    assert done.status == 2 and done.err and not (tmp_path / "f").exists()
