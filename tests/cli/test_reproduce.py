"""`hw4opt reproduce`."""

import json

import pytest


def test_reproduce_writes_the_report_the_numbers_and_the_figures(hw4opt, tmp_path):
    done = hw4opt("reproduce", "--out", "new/part2", "--draws", 1, "--workers", 1, "--json", "-")
    assert done.status == 0
    folder = tmp_path / "new" / "part2"
    figures = {f"2{part}_{kind}.png" for part in "abcd" for kind in ("fit", "heatmap")} | {"2c_variety.png"}
    assert {path.name for path in folder.iterdir()} == figures | {"report.md", "results.json"}
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in figures)
    results = done.json
    assert results["status"] == "certified" and set(results["parts"]) == set(results["spread"]) == {"2a", "2b", "2c", "2d"}
    saved = json.loads((folder / "results.json").read_text())
    assert {name: results[name] for name in saved} == saved
    for name, part in results["parts"].items():
        assert part["chosen"]["status"] == "certified" and 0 < part["largest_fold_gap"] <= 1e-9
        assert len(results["spread"][name]) == 1
        assert results["spread"][name][0] == {label: part[label] for label in ("chosen", "reported")}  # seed 0 is also the first draw
        if name == "2d":
            assert part["reported"] is None
        else:
            assert part["chosen"]["score"] <= part["reported"]["score"]
    assert results["parts"]["2a"]["reported"]["setting"] == {"gamma": 81.42, "ridge": 0.13}
    report = (folder / "report.md").read_text()
    assert all(f"({name})" in report for name in figures)
    assert all(f"{part['chosen']['score']:.3f}" in report for part in results["parts"].values())


def test_out_that_is_a_file_is_bad_input(hw4opt, tmp_path):
    (tmp_path / "there").write_text("kept")
    done = hw4opt("reproduce", "--out", "there", "--draws", 1)
    assert done.status == 2 and done.out == ""
    assert len(done.err.strip().splitlines()) == 1 and "there is a file; give a folder" in done.err
    assert (tmp_path / "there").read_text() == "kept"


def test_figures_go_into_the_folder_only(hw4opt, tmp_path):
    done = hw4opt("reproduce", "--out", "folder", "--plot", "x.png")
    assert done.status == 2 and "--plot" in done.err and not (tmp_path / "folder").exists()


@pytest.mark.parametrize("words", [(), ("--out", "f", "--draws", 0), ("--out", "f", "--workers", 0)])
def test_bad_options_are_exit_2(hw4opt, tmp_path, words):
    done = hw4opt("reproduce", *words)
    assert done.status == 2 and done.err and not (tmp_path / "f").exists()
