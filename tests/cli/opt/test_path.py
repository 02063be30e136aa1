"""`hw4opt path`."""

import numpy as np
import pytest

from hw4opt import RBF, Huber, Problem, Result, Ridge, fit
from hw4opt.datasets import step_data

GIVEN = ["--loss", "huber", "--gamma", "54", "--reg", "ridge=0.1"]
DOSE = ["--x", "dose", "--y", "response", "--gamma", "20", "--reg", "ridge=0.01", "--select", "none"]


def test_path_fits_and_scores_along_one_hyperparameter(hw4opt, tmp_path):
    done = hw4opt(
        "path",
        "--loss",
        "huber",
        "--gamma",
        "54",
        "--vary",
        "ridge=0.01:1:5",
        "--json",
        "-",
        "--plot",
        "p.png",
        "--save",
        "m.json",
    )
    rows = done.json["rows"]
    assert done.status == 0 and [row["ridge"] for row in rows] == pytest.approx(np.geomspace(0.01, 1, 5))
    assert {"objective", "score", "standard_error", "relative_gap", "status"} <= set(rows[0])
    data = step_data()
    for row in rows:
        problem = Problem(data.x, data.y, kernel=RBF(54), loss=Huber(), regularizers=[Ridge(row["ridge"])])
        assert row["objective"] == pytest.approx(fit(problem).objective, rel=1e-9)
    alone = hw4opt(
        "solve",
        "--loss",
        "huber",
        "--gamma",
        "54",
        "--reg",
        f"ridge={rows[2]['ridge']!r}",
        "--select",
        "loo",
        "--json",
        "-",
    ).json
    assert rows[2]["score"] == pytest.approx(alone["selection"]["score"], rel=1e-7)
    best = min(rows, key=lambda row: row["score"])
    assert done.json["best"] == best["ridge"] == Result.load("m.json").problem.ridge
    assert done.json["hyperparameters"] == {"gamma": 54} and (tmp_path / "p.png").exists()


@pytest.mark.parametrize("vary", ["gamma=10:100:3", "tv=0.1:1:3", "delta=0.5:2:3"])
def test_path_along_anything(hw4opt, vary):
    words = {
        "gamma": ["--reg", "ridge=0.1"],
        "tv": ["--reg", "ridge=0.1", "--gamma", "54", "--reg", "tv"],
        "delta": GIVEN[2:],
    }
    name = vary.partition("=")[0]
    metric = ["--metric", "absolute", "--select", "kfold:5"]
    done = hw4opt("path", "--loss", "huber", *words[name], "--vary", vary, *metric, "--json", "-", "--quiet")
    full = "huber.delta" if name == "delta" else name
    assert done.status == 0 and [full in row for row in done.json["rows"]] == [True] * 3
    assert all(row["score"] > 0 for row in done.json["rows"])


def test_path_along_a_whole_number_has_each_once(hw4opt):
    words = [
        "--gamma",
        "54",
        "--reg",
        "ridge=0.1",
        "--reg",
        "trend:weight=0.1",
        "--vary",
        "order=1:4:7",
        "--select",
        "kfold:5",
    ]
    rows = hw4opt("path", *words, "--json", "-").json["rows"]
    assert [row["trend.order"] for row in rows] == [1, 2, 3, 4]


def test_path_chooses_what_else_is_not_given(hw4opt):
    words = ["--vary", "ridge=0.01:1:3", "--grid", "gamma=10:100:3", "--search", "grid", "--select", "kfold:5"]
    done = hw4opt("path", *words, "--json", "-", "--quiet")
    assert (
        done.status == 0 and min(abs(done.json["hyperparameters"]["gamma"] / np.array([10, 1000**0.5, 100]) - 1)) < 1e-9
    )


def test_path_without_scores(hw4opt, tmp_path):
    done = hw4opt(
        "path", "--gamma", "54", "--vary", "ridge=0.01:1:3", "--select", "none", "--json", "-", "--plot", "p.png"
    )
    assert done.status == 0 and [row["score"] for row in done.json["rows"]] == [None] * 3 and done.json["best"] is None
    assert (tmp_path / "p.png").exists()


def test_path_with_a_fit_that_is_not_certified_is_exit_1(hw4opt):
    words = [
        "--loss",
        "huber",
        "--gamma",
        "54",
        "--reg",
        "ridge=0.1",
        "--vary",
        "tv=0.1:1:2",
        "--reg",
        "tv",
        "--select",
        "none",
    ]
    done = hw4opt(
        "path", *words, "--solver", "admm", "--max-iterations", "1", "--tol", "1e-30", "--json", "-", "--quiet"
    )
    assert done.status == 1 and done.json["status"] != "certified" and "tv = 1: " in done.err


def test_path_says_which_files_it_did_not_write(hw4opt, tmp_path):
    words = [
        "--loss",
        "huber",
        "--gamma",
        "54",
        "--reg",
        "ridge=0.1",
        "--vary",
        "tv=0.1:1:2",
        "--reg",
        "tv",
        "--select",
        "kfold:2",
    ]
    done = hw4opt(
        "path",
        *words,
        "--solver",
        "admm",
        "--max-iterations",
        "1",
        "--tol",
        "1e-30",
        "--quiet",
        "--plot",
        "p.png",
        "--save",
        "m.json",
    )
    assert (
        done.status == 1
        and done.err.endswith("(--plot p.png and --save m.json not written)\n")
        and list(tmp_path.iterdir()) == []
    )


def test_path_keeps_the_offsets_column_in_its_model(hw4opt, tmp_path):
    rows = "".join(f"{i},{i % 4 + i // 5},{1 + i % 3}\n" for i in range(30))
    (tmp_path / "d.csv").write_text(f"x,y,hours\n{rows}")
    words = [
        "--loss",
        "poisson",
        "--exposure",
        "hours",
        "--design",
        "linear",
        "--intercept",
        "--vary",
        "ridge=0.1:1:2",
        "--reg",
        "ridge",
    ]
    assert hw4opt("path", "d.csv", *words, "--save", "m.json", "-q").status == 0
    assert hw4opt("predict", "m.json", "d.csv", "--out", "p.csv", "-q").status == 0


def test_path_names_its_own_option_where_the_best_is_at_the_end(hw4opt):
    done = hw4opt("path", "--gamma", "54", "--vary", "ridge=10:20:2", "--select", "kfold:5", "-q")
    assert "widen it downwards with --vary ridge=LOW:HIGH:COUNT" in done.err


def test_path_says_that_it_keeps_no_held_out_fits_of_a_problem_file(hw4opt):
    given = ["--gamma", "54", "--reg", "ridge=0.1", "--select", "kfold:5", "--keep-folds", "--save-problem", "p.toml"]
    assert hw4opt("solve", *given, "-q").status == 0
    words = ["path", "--problem", "p.toml", "--reg", "ridge", "--vary", "ridge=0.1:1:2", "-q"]
    assert "m.json holds no held-out fits" in hw4opt(*words, "--save", "m.json").err
    assert "held-out fits" not in hw4opt(*words).err
