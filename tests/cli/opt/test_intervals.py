"""Prediction intervals on the command line: --keep-folds of solve, --interval of predict, and the band in figures."""

import csv
import json
import math

import numpy as np
import pytest

from hw4opt import Result
from hw4opt.plotting import plot_fit
from hw4opt.selection import score_settings, select

SOLVE = ["--x", "dose", "--y", "response", "--gamma", "20", "--reg", "ridge=0.05"]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_intervals_of_a_kept_model(hw4opt, dose, tmp_path):
    solved = hw4opt(
        "solve", dose, *SOLVE, "--select", "loo", "--keep-folds", "--save", "m.json", "--json", "-", "--quiet"
    )
    assert solved.status == 0
    done = hw4opt("predict", "m.json", dose, "--out", "p.csv", "--interval", "0.9,0.50", "--json", "-")
    assert done.status == 0
    names = ["prediction", "bound", "lower_0.9", "upper_0.9", "lower_0.5", "upper_0.5"]
    found = rows_of(tmp_path / "p.csv")
    assert list(found[0])[-6:] == names
    result = Result.load("m.json")
    x = [float(row["dose"]) for row in found]
    _, ends = result.predict_interval(x, [0.9, 0.5])
    for name, values in zip(names[2:], ends.transpose(2, 1, 0).reshape(4, 40), strict=True):
        np.testing.assert_array_equal([float(row[name]) for row in found], values)
        np.testing.assert_array_equal(done.json[name], values)
    assert done.json["interval"] == {
        "levels": [0.9, 0.5],
        "method": "plus",
        "folds": "loo",
        "held_out_rows": 40,
        "unproven_folds": 0,
    }
    assert "lower_0.9" in done.err and done.json["warnings"] == []
    errors = np.sort(np.abs(np.array(solved.json["y"]) - solved.json["selection"]["predictions"]))
    hw4opt("predict", "m.json", dose, "--out", "p.csv", "--interval", "0.9", "--interval-method", "base", "--quiet")
    for row in rows_of(tmp_path / "p.csv"):
        half = errors[math.ceil(0.9 * 41) - 1]
        assert float(row["upper_0.9"]) - float(row["prediction"]) == pytest.approx(half, rel=1e-9)
    hw4opt("predict", "m.json", dose, "--out", "p.csv", "--interval", "0.9", "--interval-method", "minmax", "--quiet")
    wide = [float(row["upper_0.9"]) for row in rows_of(tmp_path / "p.csv")]
    assert (np.array(wide) >= ends[:, 1, 0]).all()


def test_choosing_keeps_the_fits_of_the_choice(hw4opt, dose):
    words = ["--x", "dose", "--y", "response", "--loss", "huber", "--select", "kfold:5", "--save", "m.json"]
    done = hw4opt("solve", dose, *words, "--keep-folds", "--json", "-", "--quiet")
    plain = hw4opt("solve", dose, *words[:-2], "--json", "-", "--quiet")
    assert done.json["hyperparameters"] == plain.json["hyperparameters"]
    fits = Result.load("m.json").problem.held_out
    assert (fits.folds, fits.method) == (5, "kfold:5")


def test_empty_rows_have_empty_cells(hw4opt, dose, tmp_path):
    hw4opt("solve", dose, *SOLVE, "--keep-folds", "--select", "kfold:4", "--save", "m.json", "--quiet")
    (tmp_path / "n.csv").write_text("dose\n0.5\n7\n")
    words = ["--out", "p.csv", "--interval", "0.8", "--outside", "empty", "--quiet"]
    assert hw4opt("predict", "m.json", "n.csv", *words).status == 0
    inside, outside = rows_of(tmp_path / "p.csv")
    assert float(inside["lower_0.8"]) < float(inside["prediction"]) < float(inside["upper_0.8"])
    assert outside["lower_0.8"] == outside["upper_0.8"] == outside["prediction"] == ""


def test_counts_with_an_exposure(hw4opt, tmp_path):
    draw = np.random.default_rng(1)
    x, hours = draw.normal(size=60), draw.uniform(1, 9, 60)
    plays = draw.poisson(hours * np.exp(0.5 * x))
    lines = [f"{a!r},{b!r},{c}" for a, b, c in zip(x.tolist(), hours.tolist(), plays, strict=True)]
    (tmp_path / "songs.csv").write_text("\n".join(["tempo,hours,plays", *lines]) + "\n")
    words = ["--design", "linear", "--loss", "poisson", "--intercept", "--y", "plays", "--exposure", "hours"]
    solved = hw4opt("solve", "songs.csv", *words, "--reg", "ridge=0.1", "--keep-folds", "--save", "m.json", "--quiet")
    assert solved.status == 0, solved.err
    done = hw4opt("predict", "m.json", "songs.csv", "--out", "p.csv", "--interval", "0.8", "--quiet")
    assert done.status == 0, done.err
    rows = rows_of(tmp_path / "p.csv")
    held = [float(row["lower_0.8"]) <= float(row["plays"]) <= float(row["upper_0.8"]) for row in rows]
    assert all(float(row["lower_0.8"]) < float(row["mean"]) < float(row["upper_0.8"]) for row in rows)
    assert 0.7 < np.mean(held) < 0.95


def test_what_the_guarantee_asks_for_is_warned_of(hw4opt, dose, tmp_path):
    words = ["--weights", "weight", "--groups", "group", "--select", "kfold:4", "--keep-folds", "--save", "m.json"]
    assert hw4opt("solve", dose, *SOLVE, *words, "--quiet").status == 0
    done = hw4opt("predict", "m.json", dose, "--out", "p.csv", "--interval", "0.9", "--json", "-", "--quiet")
    assert done.json["warnings"] == [
        "rows of unequal weights count alike in the intervals: no coverage is guaranteed",
        "rows were left out together by group or x, which no guarantee of the intervals covers",
    ]
    blocks = hw4opt("predict", "m.json", dose, "--memory", "1k", "--out", "q.csv", "--interval", "0.9", "--json", "-")
    assert blocks.json["warnings"] == done.json["warnings"] and rows_of(tmp_path / "q.csv") == rows_of(
        tmp_path / "p.csv"
    )
    assert hw4opt("predict", "m.json", dose, "--out", "p.csv", "--json", "-", "--quiet").json["warnings"] == []


# ---- what is refused


@pytest.fixture
def models(hw4opt, dose):
    hw4opt("solve", dose, *SOLVE, "--select", "none", "--save", "plain.json", "--quiet")
    hw4opt("solve", dose, *SOLVE, "--keep-folds", "--select", "kfold:4", "--save", "kept.json", "--quiet")
    hw4opt("em", "--k", "1", "--save", "moods.json", "--quiet")


REFUSED = {
    "a model without folds": (
        ["plain.json", "--interval", "0.9"],
        "--interval needs held-out fits and plain.json has none; "
        "write the model with hw4opt solve … --keep-folds --save plain.json",
    ),
    "a mixture": (
        ["moods.json", "--interval", "0.9"],
        "--interval: moods.json is a mixture, which has no intervals; drop it",
    ),
    "a level for more rows": (
        ["kept.json", "--interval", "0.99"],
        "level 0.99 needs 99 held-out rows or more, and there are 40; give a lower one",
    ),
    "percent": (["kept.json", "--interval", "90"], "90: give levels between 0 and 1, as in 0.9 or 0.9,0.5"),
    "1": (["kept.json", "--interval", "1.0"], "1.0: give levels between 0 and 1"),
    "0": (["kept.json", "--interval", "0.9,0.0"], "0.9,0.0: give levels between 0 and 1"),
    "no number": (["kept.json", "--interval", "high"], "high: give levels between 0 and 1"),
    "nothing": (["kept.json", "--interval", ""], "give levels between 0 and 1"),
    "digits of another script": (["kept.json", "--interval", "٠.٩"], "give levels between 0 and 1"),
    "one twice": (["kept.json", "--interval", "0.9,0.90"], "0.9,0.90: a level is given twice"),
    "a method alone": (
        ["kept.json", "--interval-method", "plus"],
        "--interval-method plus needs --interval; give it, too",
    ),
    "a method that does not exist": (["kept.json", "--interval", "0.9", "--interval-method", "naive"], "'naive'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_sentence(hw4opt, dose, models, tmp_path, name):
    (model, *words), said = REFUSED[name]
    done = hw4opt("predict", model, dose, "--out", "p.csv", *words)
    assert done.status == 2 and done.out == "" and said in done.err and done.err.count("\n") == 1
    assert not (tmp_path / "p.csv").exists()


def test_select_none_makes_no_folds(hw4opt, dose):
    done = hw4opt("solve", dose, *SOLVE, "--select", "none", "--keep-folds")
    assert done.status == 2 and "--keep-folds keeps held-out fits and --select none makes none" in done.err


def test_labels_have_no_folds_to_keep(hw4opt, tmp_path):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(12)))
    done = hw4opt("solve", "d.csv", "--loss", "logistic", "--gamma", "1", "--reg", "ridge=1", "--keep-folds")
    assert done.status == 2
    assert (
        "--keep-folds is for prediction intervals: an interval holds numbers, and the targets of logistic" in done.err
    )


# ---- figures


def band(result):
    axes = plot_fit(result)
    return axes, dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True)).get("0.9 interval")


def test_the_figure_shows_the_band_at_09(hw4opt, dose, tmp_path):
    hw4opt("solve", dose, *SOLVE, "--keep-folds", "--select", "loo", "--save", "m.json", "--plot", "f.png", "--quiet")
    assert (tmp_path / "f.png").stat().st_size > 0
    result = Result.load("m.json")
    _, drawn = band(result)
    (path,) = drawn.get_paths()
    corners = path.vertices
    for place in (0.0, 0.5, 0.975):
        low, high = result.predict_interval([place], 0.9)[1][0, :, 0]
        there = corners[np.isclose(corners[:, 0], place), 1]
        np.testing.assert_allclose([there.min(), there.max()], [low, high], rtol=1e-9)
    hw4opt("solve", dose, *SOLVE, "--select", "loo", "--save", "m.json", "--quiet")
    assert band(Result.load("m.json"))[1] is None


def test_of_several_columns_every_drawn_row_has_its_interval(hw4opt, dose):
    words = ["--x", "dose,age", "--y", "response", "--gamma", "0.01", "--reg", "ridge=0.1", "--select", "kfold:5"]
    hw4opt("solve", dose, *words, "--keep-folds", "--save", "m.json", "--quiet")
    result = Result.load("m.json")
    segments = np.array(band(result)[1].get_segments())
    _, ends = result.predict_interval(result.problem.x, 0.9)
    order = np.argsort(result.fitted, kind="stable")
    np.testing.assert_allclose(segments[:, :, 1], ends[order, :, 0], rtol=1e-12)
    np.testing.assert_allclose(segments[:, 0, 0], result.fitted[order], rtol=1e-12)


def test_few_rows_have_no_band(hw4opt, tmp_path):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i * i}\n" for i in range(8)))
    words = ["--gamma", "1", "--reg", "ridge=0.1", "--select", "loo", "--keep-folds", "--save", "m.json"]
    assert hw4opt("solve", "d.csv", *words, "--plot", "f.png", "--quiet").status == 0
    assert band(Result.load("m.json"))[1] is None


def test_the_json_of_solve_is_the_same_with_and_without(hw4opt, dose, tmp_path):
    records = []
    for more in ([], ["--keep-folds"]):
        hw4opt("solve", dose, *SOLVE, "--select", "loo", *more, "--json", "r.json", "--quiet")
        record = json.loads((tmp_path / "r.json").read_text())
        for name in ("seconds", "command"):
            record.pop(name)
        record["selection"].pop("seconds")
        records.append(record)
    assert records[0] == records[1]
    (score,) = score_settings([select_again(dose)], [np.array([i]) for i in range(40)])
    np.testing.assert_allclose(records[1]["selection"]["predictions"], score.predictions, rtol=1e-9)


def select_again(dose):
    from hw4opt import RBF, Problem, Ridge

    rows = rows_of(dose)
    x, y = ([float(row[name]) for row in rows] for name in ("dose", "response"))
    return select(Problem(x, y, RBF(20.0), regularizers=[Ridge(0.05)]), [], method="loo").problem
