"""Part 3 of the assignment on a few synthetic images: one report, one figure per network, and nothing done twice."""

import json

import pytest

from hw4nets import assignment, recipes, runs
from hw4nets.assignment import NETWORK_PARTS, diverged, reproduce, start_over
from hw4nets.errors import DivergedError, InputError
from hw4nets.files import locked
from hw4nets.history import Watch
from hw4nets.recipes import Recipe

SMALLER = {"hidden": {"M": 5}, "conv": {"M": 3}, "base": {"filters": (3, 4), "units": (8, 8)}, "logistic": {}}


@pytest.fixture
def tiny(monkeypatch):
    """The presets with smaller networks, and runs without the figures of each, which take longer than they do."""
    real = recipes.preset

    def small_preset(name, net) -> Recipe:
        smaller = SMALLER[net] | {"batch_size": 20, "memory_format": "contiguous", "precision": "float32"}
        return real(name, net).changed(smaller)

    monkeypatch.setattr(assignment, "preset", small_preset)
    monkeypatch.setattr(runs, "_draw", lambda *words: None)


@pytest.mark.slow
def test_reproduce_writes_report_and_figures_and_keeps_what_is_finished(tmp_path, small, tiny):
    class Count(Watch):
        epochs = 0

        def epoch(self, row, epochs):
            self.epochs += 1

    first, again = Count(), Count()
    said = []
    results = reproduce(tmp_path, small, {"epochs": 1, "threads": 1}, watch=first, progress=said.append)
    assert reproduce(tmp_path, small, {"epochs": 1, "threads": 1}, watch=again) == results
    assert (first.epochs, again.epochs) == (8, 0) and said[:2] == ["3a logistic, tuned", "3a logistic, assignment"]
    assert json.loads((tmp_path / "results.json").read_text()) == results
    report = (tmp_path / "report.md").read_text()
    for part in NETWORK_PARTS:
        assert (
            f"## {part.letter} {part.title}" in report
            and f"![accuracy over epochs]({part.letter}_{part.net}.png)" in report
        )
        assert (tmp_path / f"{part.letter}_{part.net}.png").read_bytes().startswith(b"\x89PNG")
        shown = results["parts"][part.letter]["assignment"]["summary"]
        assert f"| {part.letter} | {part.net} | assignment | {shown['test_accuracy']:.1%} |" in report
    assert "pixels synthetic" in report and "not comparable" in report and "| lr | " in report and "nan" not in report


@pytest.mark.slow
def test_the_assignments_own_settings_can_have_fewer_epochs(tmp_path, small, tiny):
    results = reproduce(tmp_path, small, {"epochs": 2, "threads": 1}, own_epochs=1)
    for part in results["parts"].values():
        assert (part["tuned"]["summary"]["epochs"], part["assignment"]["summary"]["epochs"]) == (2, 1)
    sections = (tmp_path / "report.md").read_text().split("\n## ")[1:]
    for part, text in zip(NETWORK_PARTS, sections, strict=True):
        tuned, own = (recipes.preset(name, part.net).config for name in ("tuned", "assignment"))
        assert f"| epochs | 2, cut from {tuned.epochs} | 1, cut from {own.epochs} |" in text
        assert (
            "| input_scale | standard | half |" in text
            and "| nesterov | True | False |" in text
            and "| seed |" not in text
        )
        assert f"| average_decay | {tuned.average_decay} | – |" in text
        assert (f"| side_lr | {tuned.side_lr} | – |" in text) == (part.net == "base")


@pytest.mark.slow
def test_a_loss_that_diverges_is_told_and_the_rest_goes_on(tmp_path, small, tiny, monkeypatch):
    real = assignment.run

    def failing(folder, recipe, data, watch):
        if folder.name == "3b_hidden_tuned":
            raise DivergedError(7, 1, 0.5)
        return real(folder, recipe, data, watch)

    monkeypatch.setattr(assignment, "run", failing)
    results = reproduce(tmp_path, small, {"epochs": 1, "threads": 1})
    assert list(results["parts"]) == [part.letter for part in NETWORK_PARTS]
    assert diverged(results["parts"]["3b"]) == {"tuned": str(DivergedError(7, 1, 0.5))} and not diverged(
        results["parts"]["3d"]
    )
    report = (tmp_path / "report.md").read_text()
    assert "| 3b | hidden | tuned | diverged |" in report and "tuned: the loss stopped being finite at step 7" in report
    assert not (tmp_path / "3b_hidden.png").exists() and (tmp_path / "3d_base.png").exists()


def test_one_process_at_a_time_reproduces_in_a_folder(tmp_path, small):
    with locked(tmp_path):
        for act in (lambda: start_over(tmp_path), lambda: reproduce(tmp_path, small, {})):
            with pytest.raises(InputError, match="another process works in"):
                act()


@pytest.mark.slow
def test_runs_can_be_started_anew(tmp_path, small, tiny):
    reproduce(tmp_path, small, {"epochs": 1, "threads": 1})
    with pytest.raises(InputError, match=r"other settings .epochs 1, not 2.*`overwrite=True`"):
        reproduce(tmp_path, small, {"epochs": 2, "threads": 1})
    start_over(tmp_path)
    assert reproduce(tmp_path, small, {"epochs": 2, "threads": 1})["parts"]["3d"]["tuned"]["summary"]["epochs"] == 2
