"""Sums of components on the command line: --additive, --component, dotted words; what is refused."""

import csv
import json
import re

import numpy as np
import pytest

from hw4opt import RBF, Additive, Categorical, Component, Huber, Increasing, Problem, Result, TotalVariation, fit

SUM = [
    *("--component", "dose=dose", "--component", "age=age", "--component", "site=site:categorical"),
    *("--component", "line=year:linear", "--gamma", "dose=0.01,age=0.02", "--reg", "ridge=0.01"),
    *("--reg", "dose.tv=0.3", "--reg", "site.ridge=0.1", "--constraint", "dose.increasing", "--select", "none"),
]


@pytest.fixture
def trial(tmp_path):
    """Dose, age, a site of three names, year."""
    rng = np.random.default_rng(0)
    n = 60
    dose, age = np.round(rng.uniform(0, 100, n)), np.round(rng.normal(50, 10, n), 2)
    site, year = rng.choice(["north", "south", "east"], n), rng.integers(2000, 2020, n)
    level = np.array([{"north": 0.0, "south": 0.5, "east": -0.5}[one] for one in site])
    y = 2 * np.log1p(dose / 10) + np.sin(age / 6) + level + 0.02 * (year - 2010) + 0.3 * rng.normal(size=n)
    with (tmp_path / "trial.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["dose", "age", "site", "year", "y"])
        writer.writerows(zip(dose, age, site, year, np.round(y, 4), strict=True))
    return "trial.csv"


def test_a_sum_is_that_of_python(hw4opt, trial, tmp_path):
    done = hw4opt("solve", trial, *SUM, "--loss", "huber", "--json", "-", "--save", "m.json")
    assert done.status == 0, done.err
    record, rows = done.json, [*csv.DictReader((tmp_path / trial).read_text().splitlines())]
    sites = sorted({row["site"] for row in rows})
    x = [[float(row["dose"]), float(row["age"]), sites.index(row["site"]), float(row["year"])] for row in rows]
    dose = Component("dose", [0], RBF(0.01), 0.01, [TotalVariation(0.3)], [Increasing()])
    others = [
        Component("age", [1], RBF(0.02), 0.01),
        Component("site", [2], Categorical(), 0.1),
        Component("line", [3]),
    ]
    result = fit(Problem(np.array(x), [float(row["y"]) for row in rows], Additive([dose, *others]), Huber()))
    assert record["objective"] == pytest.approx(result.objective, rel=1e-9)
    assert record["intercept"] == pytest.approx(result.intercept) and "dual_coef" not in record
    for one, other in zip(record["components"], result.components, strict=True):
        assert list(one) == ["name", "columns", "hyperparameters", "effective_degrees_of_freedom", "fitted"]
        np.testing.assert_allclose(one["fitted"], other.fitted, atol=1e-6)
    assert [one["columns"] for one in record["components"]] == [["dose"], ["age"], ["site"], ["year"]]
    assert record["components"][0]["hyperparameters"] == {"gamma": 0.01, "ridge": 0.01, "tv": 0.3}
    assert record["hyperparameters"]["site.ridge"] == 0.1 and record["hyperparameters"]["line.ridge"] == 0
    assert [(one["name"], one["column"]) for one in record["shapes"]] == [("increasing", "dose")]
    assert "without its unpenalised intercept and components" in record["prediction_error_bound_reason"]
    assert "f of site" in done.err and "sum of dose, age, site, line" in done.err
    loaded = Result.load(tmp_path / "m.json")
    np.testing.assert_allclose(loaded.fitted, record["fitted"])
    assert "fitted" not in hw4opt("solve", trial, *SUM, "--no-arrays", "--json", "-").json["components"][0]


def test_predict_reads_levels_by_their_names(hw4opt, trial, tmp_path):
    assert hw4opt("solve", trial, *SUM, "--save", "m.json").status == 0
    assert hw4opt("predict", "m.json", trial, "--out", "p.csv").status == 0
    predicted = [float(row["prediction"]) for row in csv.DictReader((tmp_path / "p.csv").read_text().splitlines())]
    np.testing.assert_array_equal(predicted, Result.load(tmp_path / "m.json").fitted)
    (tmp_path / "new.csv").write_text("dose,age,site,year\n10,50,west,2010\n")
    done = hw4opt("predict", "m.json", "new.csv", "--out", "q.csv")
    assert done.status == 2 and "the level 'west' in row 1" in done.err


def test_a_sum_has_quantiles_of_several_levels(hw4opt, trial, tmp_path):
    given = [*SUM, "--loss", "quantile:tau=0.1;0.5;0.9", "--json", "-", "--save", "m.json", "--plot", "levels.png"]
    done = hw4opt("solve", trial, *given)
    assert done.status == 0, done.err
    record = done.json
    assert record["levels"] == [0.1, 0.5, 0.9] and record["crossings"] == 0 and len(record["intercept"]) == 3
    parts = np.array([one["fitted"] for one in record["components"]])
    assert parts.shape == (4, 60, 3) and (tmp_path / "levels.png").stat().st_size > 10_000
    np.testing.assert_allclose(parts.sum(axis=0) + record["intercept"], record["fitted"], atol=1e-9)
    assert hw4opt("predict", "m.json", trial, "--out", "p.csv").status == 0
    rows = [*csv.DictReader((tmp_path / "p.csv").read_text().splitlines())]
    names = ["prediction_0.1", "prediction_0.5", "prediction_0.9"]
    np.testing.assert_array_equal([[float(row[name]) for name in names] for row in rows], record["fitted"])


@pytest.mark.slow
def test_a_search_of_many_hyperparameters_tells_its_budget_and_keeps_it(hw4opt, trial):
    words = ["--component", "dose=dose", "--component", "age=age", "--select", "kfold:3", "--json", "-"]
    done = hw4opt("solve", trial, *words)
    most, seconds = re.search(r"choosing: at most (\d+) settings, about (\S+) s\n", done.err).groups()
    assert len(done.json["selection"]["table"]) <= int(most) and float(seconds) > 0
    assert "settings" not in hw4opt("solve", trial, *words, "--quiet").err
    assert "settings, about" not in hw4opt("solve", trial, *words[:2], "--quiet").err


def test_additive_makes_a_component_of_every_column_and_chooses_what_is_not_given(hw4opt, trial):
    given = ["--additive", "--component", "site=site:categorical", "--search", "random:2", "--select", "kfold:3"]
    record = hw4opt("solve", trial, *given, "--reg", "dose.tv", "--kernel", "matern52", "--json", "-", "--quiet").json
    assert [one["name"] for one in record["components"]] == ["site", "dose", "age", "year"]
    chosen = ["site.ridge", "dose.gamma", "dose.ridge", "dose.tv", "age.gamma", "age.ridge", "year.gamma", "year.ridge"]
    assert list(record["hyperparameters"]) == chosen
    assert len({row["dose.tv"] for row in record["selection"]["table"]}) > 1


def test_undotted_words_speak_of_every_kernel(hw4opt, trial):
    given = ["--additive", "--x", "dose,age", "--component", "line=year:linear", "--component", "s=site:categorical"]
    words = ["--gamma", "0.02", "--reg", "ridge=0.5", "--reg", "tv=0.1", "--reg", "age.tv=0.7", "--reg", "s.ridge=2"]
    record = hw4opt("solve", trial, *given, *words, "--select", "none", "--json", "-", "--quiet").json
    assert record["hyperparameters"] == {
        **{"line.ridge": 0, "s.ridge": 2, "dose.gamma": 0.02, "dose.ridge": 0.5, "dose.tv": 0.1},
        **{"age.gamma": 0.02, "age.ridge": 0.5, "age.tv": 0.7},
    }


def test_a_fall_between_doses_gets_a_warning(hw4opt, tmp_path):
    x = np.repeat(np.arange(6.0), 3)
    rows = "\n".join(f"{a},{b},{min(a, 2) + 0.1 * b}" for a, b in zip(x, np.tile([0.0, 1, 2], 6), strict=True))
    (tmp_path / "steps.csv").write_text(f"dose,age,y\n{rows}\n")
    words = ["--component", "dose=dose", "--component", "age=age:linear", "--gamma", "3", "--reg", "ridge=1e-6"]
    done = hw4opt("solve", "steps.csv", *words, "--constraint", "dose.increasing", "--select", "none", "--json", "-")
    (warning,) = [one for one in done.json["warnings"] if "holds at the data rows only" in one]
    assert warning.startswith("dose.increasing") and "the curve falls" in warning and "between dose = " in warning
    assert done.json["shapes"][0]["fall"] > 0


def test_components_have_shapes_at_every_x(hw4opt, trial, tmp_path):
    words = ["--component", "d=dose", "--component", "age=age", "--gamma", "0.01", "--reg", "ridge=0.1"]
    shapes = ["--constraint", "d.increasing:everywhere", "--constraint", "age.concave:everywhere=10..90"]
    done = hw4opt("solve", trial, *words, *shapes, "--select", "none", "--json", "-", "--save", "m.json")
    assert done.status == 0 and "age.concave on [10, 90]: proven (" in done.err, done.err
    dose, age = done.json["shapes"]
    assert (dose["name"], dose["column"], dose["component"], dose["proven"]) == ("increasing", "dose", "d", True)
    assert (age["low"], age["high"], age["column"], age["fall"]) == (10, 90, "age", 0)
    assert {point["column"] for point in done.json["shape_points"]} == {"dose", "age"}
    assert done.json["lower_bound"] <= done.json["objective"]
    assert hw4opt("predict", "m.json", trial, "--out", "p.csv").status == 0
    predicted = [float(row["prediction"]) for row in csv.DictReader((tmp_path / "p.csv").read_text().splitlines())]
    np.testing.assert_array_equal(predicted, Result.load(tmp_path / "m.json").fitted)


@pytest.mark.slow
def test_every_solver_that_takes_a_sum_agrees(hw4opt, trial):
    done = hw4opt("check", trial, *SUM, "--json", "-", "--quiet")
    assert done.status == 0 and sum(row["status"] == "certified" for row in done.json["rows"]) >= 4


def test_paths_and_reports_take_sums(hw4opt, trial, tmp_path):
    path = ["--additive", "--x", "dose,age", "--gamma", "0.02", "--reg", "ridge=0.1", "--reg", "dose.tv"]
    varied = hw4opt("path", trial, *path, "--vary", "dose.tv=0.1:1:3", "--select", "kfold:3", "--json", "-", "--quiet")
    assert varied.status == 0, varied.err
    assert hw4opt("report", trial, *SUM, "--out", "r.html", "--quiet").status == 0
    page = (tmp_path / "r.html").read_text()
    assert "--gamma dose=0.01,age=0.02" in page and "dose.tv=0.3" in page


def test_the_figure_of_a_sum_has_a_panel_a_component(hw4opt, trial, tmp_path):
    assert hw4opt("solve", trial, *SUM, "--plot", "f.svg", "--quiet").status == 0
    assert (tmp_path / "f.svg").stat().st_size > 10_000


LINEAR = ["--component", "age:linear", "--component", "site:categorical"]
REFUSED = {
    "no component 'wine'": ["--additive", "--constraint", "wine.increasing"],
    "increasing acts on one component of a sum; name one of dose": [
        *("--component", "dose=dose", "--constraint", "increasing"),
    ],
    "component dose has no kernel": ["--component", "dose=dose:linear", "--gamma", "dose=2"],
    "no component 'wine'; there are dose": ["--component", "dose=dose", "--gamma", "wine=2"],
    "'dose' is given twice": ["--component", "dose=dose", "--gamma", "dose=2,dose=3"],
    "give a number, one per column or component": ["--component", "dose=dose", "--gamma", "wide"],
    "a component has one gamma; leave --gamma out": ["--component", "dose=dose", "--gamma", "each"],
    "or --component site:categorical to take its levels": ["--component", "place=site"],
    "no x column 'age'; there are dose": ["--component", "dose=dose", "--constraint", "dose.increasing:column=age"],
    "dose.increasing at every x is for one curve": [
        *("--component", "dose=dose", "--constraint", "dose.increasing:everywhere", "--loss", "quantile:tau=0.1;0.9"),
    ],
    "--component dose is given twice": ["--component", "dose=dose", "--component", "dose=age"],
    "give NAME=COL": ["--component", "dose="],
    "no column 'nope'": ["--component", "dose=nope"],
    "component's name 'tv' is that of": ["--component", "tv=dose"],
    "drop everywhere": ["--component", "dose=dose:linear", "--constraint", "dose.increasing:everywhere"],
    "low must be below high": ["--component", "dose=dose", "--constraint", "dose.increasing:everywhere=5..2"],
    "levels have no order": ["--component", "site=site:categorical", "--constraint", "site.increasing"],
    "in no --component": ["--component", "dose=dose", "--x", "dose,age"],
    "--design linear does not go": ["--component", "dose=dose", "--design", "linear"],
    "--categorical does not go": ["--additive", "--categorical", "site"],
    "--no-intercept does not go": ["--additive", "--no-intercept"],
    "bounds acts on the sum": ["--component", "dose=dose", "--constraint", "dose.bounds:lower=0"],
    "no kernel 'wavelet'": ["--component", "dose=dose:wavelet"],
    "are the same function": ["--component", "a=dose:linear", "--component", "b=dose:linear"],
    "component one has one value": ["--component", "one=constant"],
    "is both --component and y": ["--component", "dose=y"],
    "dose.ridge is given twice": ["--component", "dose=dose", "--reg", "dose.ridge=1", "--reg", "dose.ridge=2"],
    "give --gamma dose=G --reg dose.ridge=WEIGHT": ["--component", "dose=dose", "--select", "none"],
    "--x leaves out column 'age', which is in a --component": ["--x", "dose", "--component", "dose", *LINEAR],
    "--kernel matern32: every --component names its own space": ["--component", "dose:rbf", "--kernel", "matern32"],
    "--gamma 3 applies to components with a kernel": [*LINEAR, "--gamma", "3"],
    "--reg tv=3 applies to components with a kernel, and there are none": [*LINEAR, "--reg", "tv=3"],
    "--component a.b: the component's name is 'a.b'; give a word without . = , :, as in --component NAME=a.b": [
        *("--component", "a.b", "--reg", "a.b.ridge=1"),
    ],
    "there are 60 rows; give a component a ridge": [
        *("--component", "age=age:categorical", "--component", "dose=dose:categorical", "--reg", "age.ridge=0"),
        *("--reg", "dose.ridge=0"),
    ],
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_bad_input_gets_one_sentence(hw4opt, trial, tmp_path, sentence):
    lines = (tmp_path / trial).read_text().splitlines()
    (tmp_path / trial).write_text("\n".join([f"{lines[0]},constant", *(f"{line},1" for line in lines[1:])]) + "\n")
    done = hw4opt("solve", trial, *REFUSED[sentence])
    assert done.status == 2 and sentence in done.err and done.out == "", done.err
    assert json.dumps(done.err).count("\\n") == 1


@pytest.mark.parametrize("name", ["dose.mg", "gamma", "dose:mg"])
def test_a_column_that_names_no_component_is_told_what_to_give(hw4opt, tmp_path, name):
    (tmp_path / "t.csv").write_text(f"{name},y\n" + "".join(f"{i},{i % 3}\n" for i in range(9)))
    done = hw4opt("solve", "t.csv", "--additive", "--gamma", "1", "--reg", "ridge=1", "--select", "none")
    assert done.status == 2 and f"--additive: column {name!r}: the" in done.err
    assert f"give --component NAME={name}\n" in done.err


def test_a_shape_along_one_column_of_a_component_goes_by_its_name(hw4opt, trial):
    words = [
        "--component",
        "both=dose,age",
        "--gamma",
        "0.001",
        "--reg",
        "ridge=0.1",
        "--select",
        "none",
        "--json",
        "-",
    ]
    record = hw4opt("solve", trial, *words, "--constraint", "both.increasing:column=age").json
    assert record["status"] == "certified" and record["components"][0]["columns"] == ["dose", "age"]
    loose = hw4opt("solve", trial, *words).json
    assert record["objective"] > loose["objective"] * (1 + 1e-6)


def test_text_that_additive_leaves_out_is_offered_as_a_component(hw4opt, trial):
    done = hw4opt("solve", trial, "--additive", "--gamma", "1", "--reg", "ridge=1", "--select", "none")
    assert done.status == 0 and "--component site:categorical uses its levels" in done.err
