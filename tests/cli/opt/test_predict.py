"""`hw4opt predict` for models of `hw4opt solve`."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from hw4opt import RBF, Huber, Problem, Result, Ridge, Status, fit
from hw4opt.datasets import step_data

GIVEN = ["--loss", "huber", "--gamma", "54", "--reg", "ridge=0.1"]
DOSE = ["--x", "dose", "--y", "response", "--gamma", "20", "--reg", "ridge=0.01", "--select", "none"]


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
    assert (
        list(rows[0]) == ["id", "dose", "age", "weight", "group", "response", "prediction", "bound"] and len(rows) == 40
    )
    before = read(dose)
    assert [{name: row[name] for name in before[0]} for row in rows] == before
    result = Result.load(model)
    x = [float(row["dose"]) for row in rows]
    np.testing.assert_array_equal([float(row["prediction"]) for row in rows], result.predict(x))
    np.testing.assert_array_equal([float(row["bound"]) for row in rows], result.bound(x))
    assert done.json["n"] == 40 and done.json["status"] == "certified" and len(done.json["prediction"]) == 40
    np.testing.assert_array_equal(Result.load("again.json").w, result.w)


def test_predict_without_a_proven_bound_has_no_such_column(hw4opt, dose, tmp_path):
    hw4opt(
        "solve",
        dose,
        "--x",
        "dose,age",
        "--y",
        "response",
        "--design",
        "linear",
        "--select",
        "none",
        "--save",
        "m.json",
    )
    assert hw4opt("predict", "m.json", dose, "--out", "p.csv", "--quiet").status == 0
    assert (tmp_path / "p.csv").read_text().splitlines()[0].endswith("response,prediction")


def test_predict_with_an_intercept_says_why_it_has_no_bound(hw4opt, tmp_path):
    """The intercept is unpenalised, and several may be optimal: no bound on a prediction that includes it is proven."""
    solved = hw4opt("solve", *GIVEN, "--intercept", "--save", "m.json", "--json", "-")
    assert (
        solved.json["prediction_error_bound"] > 0
        and "without its unpenalised intercept" in solved.json["prediction_error_bound_reason"]
    )
    assert "at every data row (the bound covers the fit without its unpenalised intercept)" in " ".join(
        solved.err.split()
    )
    (tmp_path / "d.csv").write_text("x\n0.5\n0.6\n")
    done = hw4opt("predict", "m.json", "d.csv", "--out", "p.csv", "--x", "x", "--json", "-")
    assert done.status == 0 and list(read(tmp_path / "p.csv")[0]) == ["x", "prediction"]
    assert done.json["bound_reason"] == "predictions include the unpenalised intercept"
    assert "No proven bound: predictions include the unpenalised intercept" in done.err


def test_predict_with_a_model_that_is_not_certified_is_exit_1(hw4opt, tmp_path):
    data = step_data()
    result = fit(Problem(data.x, data.y, kernel=RBF(54), loss=Huber(), regularizers=[Ridge(0.1)]))
    dataclasses.replace(result, status=Status.ITERATION_LIMIT).save("m.json")
    (tmp_path / "d.csv").write_text("x\n0.5\n")
    done = hw4opt("predict", "m.json", "d.csv", "--out", "p.csv", "--x", "x", "--json", "-", "--quiet")
    assert (
        done.status == 1
        and done.json["status"] == "iteration_limit"
        and "of a model that is not certified" in done.json["message"]
    )
    assert done.json["message"] in done.err
    assert len(read(tmp_path / "p.csv")) == 1


def test_predict_a_probability(hw4opt, tmp_path):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{int(i % 7 > i // 6)}\n" for i in range(30)))
    hw4opt(
        "solve",
        "d.csv",
        "--loss",
        "logistic",
        "--gamma",
        "0.1",
        "--reg",
        "ridge=1",
        "--select",
        "none",
        "--save",
        "m.json",
    )
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
        (lambda text: "not a model", "not a model file of hw4opt"),
        (lambda text: json.dumps({"kind": "something else"}), "not a model file of hw4opt"),
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
