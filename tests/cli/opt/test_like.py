"""`hw4opt solve DATA --like MODEL`: what a model file says, as options."""

import csv
import json

import numpy as np
import pytest

from hw4opt import RBF, Absolute, Additive, Component, Problem, Ridge, fit


@pytest.fixture
def tables(tmp_path):
    """Two tables of the same columns."""
    draw = np.random.default_rng(0)
    for name in ("old.csv", "new.csv"):
        dose, age = draw.uniform(0, 1, (2, 60))
        y = np.sin(6 * dose) + age + 0.1 * draw.standard_normal(60)
        with (tmp_path / name).open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["dose", "age", "y", "count", "w", "t"])
            rows.writerows(zip(dose, age, y, draw.poisson(2.0, 60), draw.uniform(1, 2, 60), 1 + age, strict=True))
    return tmp_path


CASES = {
    "tv": ["--x", "dose", "--gamma", "20", "--loss", "huber:delta=0.3", "--reg", "ridge=0.1", "--reg", "tv=0.2"],
    "columns": ["--x", "dose,age", "--gamma", "dose=9,age=0.3", "--reg", "ridge=0.1", "--intercept", "--weights", "w"],
    "shape": ["--x", "dose,age", "--gamma", "2", "--reg", "ridge=0.1", "--constraint", "increasing:column=age"],
    "everywhere": ["--x", "dose", "--gamma", "2", "--reg", "ridge=0.1", "--constraint", "increasing:everywhere=0..1"],
    "kernel": ["--x", "dose", "--kernel", "polynomial:degree=2,coef0=2", "--gamma", "1", "--reg", "ridge=0.1"],
    "levels": ["--x", "dose", "--loss", "quantile:tau=0.2;0.8", "--gamma", "5", "--reg", "ridge=0.1"],
    "linear": ["--x", "dose,age", "--y", "count", "--loss", "poisson", "--design", "linear", "--exposure", "t"],
    "scaled": ["--x", "dose,age", "--design", "linear", "--intercept", "--scale", "standard", "--reg", "l1=0.5"],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("tables")
def test_the_model_says_what_the_options_said(hw4opt, case):
    words = [*CASES[case], "--select", "none"]
    assert hw4opt("solve", "old.csv", *words, "--save", "old.json").status == 0
    again = hw4opt("solve", "new.csv", "--like", "old.json", "--select", "none", "--json", "-")
    said = hw4opt("solve", "new.csv", *words, "--json", "-")
    differing = {"command": 0, "seconds": 0}
    assert again.status == 0 and {**again.json, **differing} == {**said.json, **differing}


def test_options_override_the_model(hw4opt, tables):
    assert hw4opt("solve", "old.csv", *CASES["tv"], "--select", "none", "--save", "old.json").status == 0
    words = ["new.csv", "--like", "old.json", "--select", "none", "--json", "-"]
    found = hw4opt("solve", *words, "--reg", "ridge=0.5", "--gamma", "7").json["hyperparameters"]
    assert found == {"gamma": 7, "ridge": 0.5}
    searched = hw4opt("solve", *words[:3], "--reg", "ridge", "--reg", "tv=0.2", "--select", "kfold:3", "--json", "-")
    assert len(searched.json["selection"]["table"]) > 1 and searched.json["hyperparameters"]["gamma"] == 20


def test_components_override_the_columns_and_the_kernel_of_the_model(hw4opt, tables):
    assert hw4opt("solve", "old.csv", *CASES["columns"], "--select", "none", "--save", "old.json").status == 0
    words = ["new.csv", "--like", "old.json", "--select", "none", "--gamma", "2", "--reg", "ridge=0.1", "--json", "-"]
    found = hw4opt("solve", *words, "--component", "dose")
    assert found.status == 0 and found.json["features"] == ["dose"], found.err


def test_rows_in_blocks_take_a_model_and_give_one(hw4opt, tables):
    words = [*CASES["columns"], "--select", "none"]
    assert hw4opt("solve", "old.csv", "new.csv", *words, "--save", "blocks.json").status == 0
    assert json.loads((tables / "blocks.json").read_text())["context"]["weights"] == "w"
    objectives = {
        hw4opt("solve", *data, "--like", like, "--select", "none", "--save", "again.json", "--json", "-").json[
            "objective"
        ]
        for data, like in ((["old.csv", "new.csv"], "blocks.json"), (["old.csv", "new.csv"], "again.json"))
    }
    assert len(objectives) == 1
    memory = hw4opt("solve", "new.csv", "--like", "blocks.json", "--select", "none", "--json", "-")
    assert memory.json["objective"] == hw4opt("solve", "new.csv", *words, "--json", "-").json["objective"]


def test_what_no_option_says_is_one_sentence(hw4opt, tables):
    x = np.linspace(0, 1, 20)
    fit(Problem(x, x**2, RBF(5.0), Absolute(), [Ridge(0.1)])).save(tables / "python.json")
    parts = [Component(name, [place], ridge=0.1) for place, name in enumerate(("dose", "age"))]
    fit(Problem(np.column_stack([x, x**2]), x**3, Additive(parts))).save(tables / "sum.json")
    sentences = {
        "python.json": "it does not name its columns, which options cannot describe; describe the model by options",
        "sum.json": "it is a sum of components, which --like does not take; write its description by --save-problem",
        "old.csv": "old.csv",
        "no.json": "no.json",
    }
    for path, said in sentences.items():
        done = hw4opt("solve", "new.csv", "--like", path, "--json", "a.json")
        assert done.status == 2 and said in done.err and done.err.count("\n") == 1 and done.out == ""
    assert not (tables / "a.json").exists()
