"""`hw4opt check`, `predict` and `path`."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from hw4cli.opt import check
from hw4opt import RBF, Huber, Problem, Result, Ridge, Status, fit
from hw4opt.crosscheck import Crosscheck, Row
from hw4opt.datasets import step_data

GIVEN = ["--loss", "huber", "--gamma", "54", "--reg", "ridge=0.1"]
DOSE = ["--x", "dose", "--y", "response", "--gamma", "20", "--reg", "ridge=0.01", "--select", "none"]


def test_check_compares_solvers(hw4opt, tmp_path):
    done = hw4opt("check", *GIVEN, "--select", "none", "--solver", "interior", "--solver", "admm", "--solver", "cvxpy:CLARABEL",
                  "--json", "-", "--plot", "c.png", "--save", "m.json")  # fmt: skip
    assert done.status == 0 and done.json["status"] == "certified"
    assert [row["solver"] for row in done.json["rows"]] == ["interior", "admm", "cvxpy:CLARABEL"]
    assert {"solver", "status", "objective", "relative_gap", "seconds", "message"} <= set(done.json["rows"][0])
    objectives = [row["objective"] for row in done.json["rows"]]
    assert done.json["largest_difference"] == pytest.approx(max(objectives) - min(objectives))
    assert (tmp_path / "c.png").exists() and Result.load("m.json").problem.kernel == RBF(54.0)


def test_a_solver_that_refuses_is_a_row(hw4opt):
    words = ["--select", "none", "--solver", "interior", "--solver", "admm", "--solver", "cvxpy:SCIPY"]
    done = hw4opt("check", *GIVEN, *words, "--json", "-")
    assert done.status == 0 and done.json["rows"][2]["status"] != "certified" and done.json["rows"][2]["message"]
    assert "cvxpy:SCIPY: " in done.err


def test_solvers_that_disagree_are_exit_1(hw4opt, monkeypatch, tmp_path):
    rows = [Row("interior", "certified", 1.0, 0.0, 0.0, 0.1, "m"), Row("admm", "certified", 2.0, 0.0, 0.0, 0.1, "m")]
    monkeypatch.setattr(check, "crosscheck", lambda *_: Crosscheck(rows, 1.0, ["interior and admm differ by 1"]))
    done = hw4opt("check", *GIVEN, "--select", "none", "--json", "-", "--quiet", "--save", "m.json")
    assert done.status == 1 and done.json["message"] == "interior and admm differ by 1" and "differ by 1" in done.err
    assert not (tmp_path / "m.json").exists() and "(--save m.json not written)" in done.err


def test_fewer_than_two_certified_solvers_are_exit_1(hw4opt):
    done = hw4opt("check", *GIVEN, "--select", "none", "--solver", "interior", "--json", "-")
    assert done.status == 1 and "fewer than two" in done.json["message"]


def read(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def model(hw4opt, dose):
    assert hw4opt("solve", dose, *DOSE, "--save", "m.json").status == 0
    return "m.json"


def test_predict_appends_to_the_inputs_columns(hw4opt, dose, model, tmp_path):
    done = hw4opt("predict", model, dose, "--out", "p.csv", "--json", "-", "--plot", "p.png", "--save", "again.json")
    rows = read(tmp_path / "p.csv")
    assert list(rows[0]) == ["id", "dose", "age", "weight", "group", "response", "prediction", "bound"] and len(rows) == 40
    before = read(dose)
    assert [{name: row[name] for name in before[0]} for row in rows] == before
    result = Result.load(model)
    x = [float(row["dose"]) for row in rows]
    np.testing.assert_array_equal([float(row["prediction"]) for row in rows], result.predict(x))
    np.testing.assert_array_equal([float(row["bound"]) for row in rows], result.bound(x))
    assert done.json["n"] == 40 and done.json["status"] == "certified" and len(done.json["prediction"]) == 40
    np.testing.assert_array_equal(Result.load("again.json").w, result.w)


def test_predict_without_a_proven_bound_has_no_such_column(hw4opt, dose, tmp_path):
    hw4opt("solve", dose, "--x", "dose,age", "--y", "response", "--design", "linear", "--select", "none", "--save", "m.json")
    assert hw4opt("predict", "m.json", dose, "--out", "p.csv", "--quiet").status == 0
    assert (tmp_path / "p.csv").read_text().splitlines()[0].endswith("response,prediction")


def test_predict_with_an_intercept_says_why_it_has_no_bound(hw4opt, tmp_path):
    """No penalty reaches the intercept, and several may be optimal: a bound beside a prediction that holds it would promise too much."""
    solved = hw4opt("solve", *GIVEN, "--intercept", "--save", "m.json", "--json", "-")
    assert solved.json["prediction_error_bound"] > 0 and "without its unpenalised intercept" in solved.json["prediction_error_bound_reason"]
    assert "at every data row (the bound covers the fit without its unpenalised intercept)" in " ".join(solved.err.split())
    (tmp_path / "d.csv").write_text("x\n0.5\n0.6\n")
    done = hw4opt("predict", "m.json", "d.csv", "--out", "p.csv", "--x", "x", "--json", "-")
    assert done.status == 0 and list(read(tmp_path / "p.csv")[0]) == ["x", "prediction"]
    assert done.json["bound_reason"] == "predictions hold the intercept, which no penalty reaches"
    assert "No proven bound: predictions hold the intercept" in done.err


def test_predict_with_a_model_that_is_not_certified_is_exit_1(hw4opt, tmp_path):
    data = step_data()
    result = fit(Problem(data.x, data.y, kernel=RBF(54), loss=Huber(), regularizers=[Ridge(0.1)]))
    dataclasses.replace(result, status=Status.ITERATION_LIMIT).save("m.json")
    (tmp_path / "d.csv").write_text("x\n0.5\n")
    done = hw4opt("predict", "m.json", "d.csv", "--out", "p.csv", "--x", "x", "--json", "-", "--quiet")
    assert done.status == 1 and done.json["status"] == "iteration_limit" and "of a model that is not certified" in done.json["message"]
    assert done.json["message"] in done.err
    assert len(read(tmp_path / "p.csv")) == 1


def test_predict_a_probability(hw4opt, tmp_path):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{int(i % 7 > i // 6)}\n" for i in range(30)))
    hw4opt("solve", "d.csv", "--loss", "logistic", "--gamma", "0.1", "--reg", "ridge=1", "--select", "none", "--save", "m.json")
    hw4opt("predict", "m.json", "d.csv", "--out", "p.csv", "--plot", "p.png")
    row = read(tmp_path / "p.csv")[3]
    assert float(row["mean"]) == pytest.approx(1 / (1 + np.exp(-float(row["prediction"]))))


def test_predict_with_a_model_from_python(hw4opt, tmp_path):
    data = step_data()
    result = fit(Problem(data.x, data.y, kernel=RBF(54), loss=Huber(), regularizers=[Ridge(0.1)]))
    result.save("m.json")
    (tmp_path / "d.csv").write_text("t\n0.5\n0.6\n")
    assert "give --x with d.csv's columns" in hw4opt("predict", "m.json", "d.csv", "--out", "p.csv").err
    assert hw4opt("predict", "m.json", "d.csv", "--out", "p.csv", "--x", "t").status == 0
    rows = read(tmp_path / "p.csv")
    np.testing.assert_allclose([float(row["prediction"]) for row in rows], result.predict([0.5, 0.6]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: "not a model", "no model file of hw4opt"),
        (lambda text: json.dumps({"kind": "something else"}), "no model file of hw4opt"),
        (lambda text: json.dumps(json.loads(text) | {"format": 99}), "newer"),
        (lambda text: json.dumps(json.loads(text) | {"duals": 3}), "damaged"),
    ],
)
def test_a_wrong_model_file_is_refused(hw4opt, dose, model, tmp_path, change, said):
    (tmp_path / model).write_text(change((tmp_path / model).read_text()))
    (tmp_path / "p.csv").write_text("old")
    done = hw4opt("predict", model, dose, "--out", "p.csv", "--json", "-")
    assert done.status == 2 and done.out == "" and said in done.err and done.err.count("\n") == 1
    assert (tmp_path / "p.csv").read_text() == "old"


@pytest.mark.parametrize(
    ("header", "words", "said"),
    [
        ("dosis,a", [], "no column 'dose' (did you mean 'dosis'?)"),
        ("dose,prediction", [], "has a column 'prediction' already"),
        ("dose,a", ["--x", "dose,a"], "--x names 2 columns and the model has 1 features"),
        ("dose,a", ["--out", "d.csv"], "--out d.csv would overwrite the data"),
        ("dose,a", ["--out", "m.json"], "--out m.json would overwrite the model"),
        ("dose,a", ["--out", "no/p.csv"], "the folder no does not exist"),
    ],
)
def test_predict_refuses_data_that_do_not_fit(hw4opt, model, tmp_path, header, words, said):
    (tmp_path / "d.csv").write_text(f"{header}\n1,2\n3,4\n")
    done = hw4opt("predict", model, "d.csv", *(words if "--out" in words else ["--out", "p.csv", *words]))
    assert done.status == 2 and said in done.err and not (tmp_path / "p.csv").exists()


def test_path_fits_and_scores_along_one_hyperparameter(hw4opt, tmp_path):
    done = hw4opt(
        "path", "--loss", "huber", "--gamma", "54", "--vary", "ridge=0.01:1:5", "--json", "-", "--plot", "p.png", "--save", "m.json"
    )
    rows = done.json["rows"]
    assert done.status == 0 and [row["ridge"] for row in rows] == pytest.approx(np.geomspace(0.01, 1, 5))
    assert {"objective", "score", "standard_error", "relative_gap", "status"} <= set(rows[0])
    data = step_data()
    for row in rows:
        problem = Problem(data.x, data.y, kernel=RBF(54), loss=Huber(), regularizers=[Ridge(row["ridge"])])
        assert row["objective"] == pytest.approx(fit(problem).objective, rel=1e-9)
    alone = hw4opt(
        "solve", "--loss", "huber", "--gamma", "54", "--reg", f"ridge={rows[2]['ridge']!r}", "--select", "loo", "--json", "-"
    ).json
    assert rows[2]["score"] == pytest.approx(alone["selection"]["score"], rel=1e-7)
    best = min(rows, key=lambda row: row["score"])
    assert done.json["best"] == best["ridge"] == Result.load("m.json").problem.ridge
    assert done.json["hyperparameters"] == {"gamma": 54} and (tmp_path / "p.png").exists()


@pytest.mark.parametrize("vary", ["gamma=10:100:3", "tv=0.1:1:3", "delta=0.5:2:3"])
def test_path_along_anything(hw4opt, vary):
    words = {"gamma": ["--reg", "ridge=0.1"], "tv": ["--reg", "ridge=0.1", "--gamma", "54", "--reg", "tv"], "delta": GIVEN[2:]}
    name = vary.partition("=")[0]
    metric = ["--metric", "absolute", "--select", "kfold:5"]
    done = hw4opt("path", "--loss", "huber", *words[name], "--vary", vary, *metric, "--json", "-", "--quiet")
    full = "huber.delta" if name == "delta" else name
    assert done.status == 0 and [full in row for row in done.json["rows"]] == [True] * 3
    assert all(row["score"] > 0 for row in done.json["rows"])


def test_path_along_a_whole_number_has_each_once(hw4opt):
    words = ["--gamma", "54", "--reg", "ridge=0.1", "--reg", "trend:weight=0.1", "--vary", "order=1:4:7", "--select", "kfold:5"]
    rows = hw4opt("path", *words, "--json", "-").json["rows"]
    assert [row["trend.order"] for row in rows] == [1, 2, 3, 4]


def test_path_chooses_what_else_is_not_given(hw4opt):
    words = ["--vary", "ridge=0.01:1:3", "--grid", "gamma=10:100:3", "--search", "grid", "--select", "kfold:5"]
    done = hw4opt("path", *words, "--json", "-", "--quiet")
    assert done.status == 0 and min(abs(done.json["hyperparameters"]["gamma"] / np.array([10, 1000**0.5, 100]) - 1)) < 1e-9


def test_path_without_scores(hw4opt, tmp_path):
    done = hw4opt("path", "--gamma", "54", "--vary", "ridge=0.01:1:3", "--select", "none", "--json", "-", "--plot", "p.png")
    assert done.status == 0 and [row["score"] for row in done.json["rows"]] == [None] * 3 and done.json["best"] is None
    assert (tmp_path / "p.png").exists()


def test_path_with_a_fit_that_is_not_certified_is_exit_1(hw4opt):
    words = ["--loss", "huber", "--gamma", "54", "--reg", "ridge=0.1", "--vary", "tv=0.1:1:2", "--reg", "tv", "--select", "none"]
    done = hw4opt("path", *words, "--solver", "admm", "--max-iterations", "1", "--json", "-", "--quiet")
    assert done.status == 1 and done.json["status"] != "certified" and "tv = 1: " in done.err


def test_path_says_which_files_it_did_not_write(hw4opt, tmp_path):
    words = ["--loss", "huber", "--gamma", "54", "--reg", "ridge=0.1", "--vary", "tv=0.1:1:2", "--reg", "tv", "--select", "kfold:2"]
    done = hw4opt("path", *words, "--solver", "admm", "--max-iterations", "1", "--quiet", "--plot", "p.png", "--save", "m.json")
    assert done.status == 1 and done.err.endswith("(--plot p.png and --save m.json not written)\n") and list(tmp_path.iterdir()) == []


def test_path_keeps_the_offsets_column_in_its_model(hw4opt, tmp_path):
    rows = "".join(f"{i},{i % 4 + i // 5},{1 + i % 3}\n" for i in range(30))
    (tmp_path / "d.csv").write_text(f"x,y,hours\n{rows}")
    words = ["--loss", "poisson", "--exposure", "hours", "--design", "linear", "--intercept", "--vary", "ridge=0.1:1:2", "--reg", "ridge"]
    assert hw4opt("path", "d.csv", *words, "--save", "m.json", "-q").status == 0
    assert hw4opt("predict", "m.json", "d.csv", "--out", "p.csv", "-q").status == 0


def test_path_names_its_own_option_where_the_best_is_at_the_end(hw4opt):
    done = hw4opt("path", "--gamma", "54", "--vary", "ridge=10:20:2", "--select", "kfold:5", "-q")
    assert "widen it with --vary ridge=LOW:HIGH:COUNT" in done.err
