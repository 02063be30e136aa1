"""Quantiles of several levels on the command line."""

import csv
import json

import numpy as np
import pytest

from hw4opt import RBF, Problem, Quantile, Ridge, fit
from hw4opt.datasets import step_data
from report_parts import data_of

LEVELS = ["--loss", "quantile:tau=0.05;0.5;0.95"]
GIVEN = ["--gamma", "20", "--reg", "ridge=0.01", "--select", "none"]


def test_the_json_and_the_predictions_hold_every_level(hw4opt, tmp_path):
    done = hw4opt("solve", *LEVELS, *GIVEN, "--json", "-", "--save", "m.json", "--plot", "f.png")
    data = step_data()
    direct = fit(Problem(data.x, data.y, RBF(20), Quantile((0.05, 0.5, 0.95)), [Ridge(0.01)]))
    record = done.json
    assert done.status == 0 and record["levels"] == [0.05, 0.5, 0.95] and record["crossings"] == 0
    np.testing.assert_allclose(record["fitted"], direct.fitted, atol=1e-9)
    np.testing.assert_allclose(record["dual_coef"], direct.dual_coef, atol=1e-6)
    (tmp_path / "new.csv").write_text("x\n0.1\n0.9\n")
    assert hw4opt("predict", "m.json", "new.csv", "--out", "p.csv", "--plot", "p.png").status == 0
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = ["prediction_0.05", "prediction_0.5", "prediction_0.95"]
    assert list(rows[0]) == ["x", *names, "bound"]
    found = [[float(row[name]) for name in names] for row in rows]
    np.testing.assert_allclose(found, direct.predict([0.1, 0.9]), atol=1e-9)
    assert (tmp_path / "f.png").stat().st_size > 0 and (tmp_path / "p.png").stat().st_size > 0


def test_one_choice_is_made_for_all_levels(hw4opt):
    done = hw4opt("solve", *LEVELS, "--gamma", "20", "--json", "-", "--select", "kfold:5")
    assert list(done.json["hyperparameters"]) == ["gamma", "ridge"]
    assert np.shape(done.json["selection"]["predictions"]) == (50, 3)
    assert "crossings" in hw4opt("solve", *LEVELS, *GIVEN).out


def test_a_report_repeats_the_levels(hw4opt, tmp_path):
    assert hw4opt("report", *LEVELS, *GIVEN, "--out", "r.html").status == 0
    text = (tmp_path / "r.html").read_text()
    view = data_of(text)["figures"][0]["view"]
    assert "quantile:tau=0.05;0.5;0.95" in text and view["levels"] == [0.05, 0.5, 0.95]
    assert len(view["level_curves"]) == 3 and view["level_curves"][1] == view["curve"]


@pytest.mark.slow
def test_path_and_check_take_levels(hw4opt, tmp_path):
    path = ["path", *LEVELS, "--gamma", "20", "--vary", "ridge=0.01:1:3", "--plot", "path.png", "--select", "kfold:3"]
    assert hw4opt(*path).status == 0 and (tmp_path / "path.png").exists()
    rows = json.loads(hw4opt("check", *LEVELS, *GIVEN, "--json", "-").out)["rows"]
    assert sum(row["status"] == "certified" for row in rows) >= 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--loss", "quantile:tau=0.9;0.1"], "give a number, or two or more increasing levels"),
        (["--loss", "quantile:tau=0.1;x"], "tau is 'x'; give a number"),
        (["--loss", "quantile:tau=0.1;1"], "it must be a number between 0 and 1"),
        (["--loss", "huber:delta=1;2"], "huber: delta is (1.0, 2.0)"),
        ([*LEVELS, "--constraint", "increasing:everywhere"], "is for one curve and quantile has 3; drop everywhere"),
        ([*LEVELS, "--metric", "squared"], "metric squared compares one curve with y and there are 3"),
        ([*LEVELS, "--keep-folds"], "an interval is around one curve, and quantile has 3"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(hw4opt, words, sentence):
    done = hw4opt("solve", "--gamma", "20", "--reg", "ridge=0.01", *words)
    assert done.status == 2 and sentence in done.err and done.err.count("\n") == 1 and not done.out


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        (["--design", "linear", "--loss", "quantile:tau=0.1;0.9"], "several levels"),
        (["--component", "x:linear"], "a sum of components"),
    ],
)
def test_errors_of_fits_without_standard_errors_are_refused(hw4opt, words, fits):
    done = hw4opt("solve", *words, "--select", "none", "--errors", "sandwich")
    assert done.status == 2 and f"--errors sandwich: fits of {fits} have no standard errors" in done.err


def test_coefficients_are_shown_at_every_level(hw4opt):
    words = ["--design", "linear", "--intercept", "--loss", "quantile:tau=0.1;0.9", "--select", "none"]
    record = hw4opt("solve", *words, "--json", "-", "-q").json
    shown = " ".join(hw4opt("solve", *words).out.split())
    for name, values in (("x", record["coef"][0]), ("(intercept)", record["intercept"])):
        assert f"{name} {values[0]:.6g} at 0.1, {values[1]:.6g} at 0.9" in shown
