"""A gamma per column on the command line."""

import numpy as np
import pytest

from hw4opt import RBF, Result

GIVEN = ["--gamma", "age=0.01,dose=2", "--select", "none"]
BOTH = ["--x", "dose,age", "--y", "response", "--reg", "ridge=0.01"]


def test_given_gammas_are_those_of_their_columns(hw4opt, dose, tmp_path):
    done = hw4opt("solve", dose, *BOTH, *GIVEN, "--json", "-", "--save", "m.json")
    assert done.json["hyperparameters"] == {"gamma.dose": 2, "gamma.age": 0.01, "ridge": 0.01}
    assert Result.load(tmp_path / "m.json").problem.kernel == RBF((2, 0.01))
    assert hw4opt("predict", "m.json", dose, "--out", "p.csv").status == 0
    assert hw4opt("report", dose, *BOTH, *GIVEN, "--out", "r.html").status == 0
    assert "--gamma dose=2,age=0.01" in (tmp_path / "r.html").read_text()


def test_each_is_chosen(hw4opt, dose):
    words = ["--gamma", "each", "--select", "kfold:3", "--grid", "gamma.dose=0.1:10:3", "--search", "grid"]
    done = hw4opt("solve", dose, *BOTH, *words, "--json", "-")
    assert set(done.json["hyperparameters"]) == {"gamma.dose", "gamma.age", "ridge"}
    assert {row["gamma.dose"] for row in done.json["selection"]["table"]} == set(np.geomspace(0.1, 10, 3))
    assert len({row["gamma.age"] for row in done.json["selection"]["table"]}) >= 10
    one = hw4opt(
        "solve", dose, "--x", "dose", "--y", "response", "--gamma", "each", "--select", "kfold:3", "--json", "-"
    )
    assert list(one.json["hyperparameters"]) == ["gamma", "ridge"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--gamma", "dose=2"], "--gamma dose=2: age has no gamma; give one for each of dose, age"),
        (["--gamma", "year=2,dose=1,age=1"], "no x column 'year'; there are age, dose"),
        (["--gamma", "dose=0,age=1"], "rbf: gamma is 0.0; it must be a number above 0"),
        (["--gamma", "dose=1,dose=2"], "'dose' is given twice"),
        (["--gamma", "dose=x,age=1"], "one per column or component, as dose=20,age=0.1, or each"),
        (["--gamma", "each", "--kernel", "polynomial"], "the polynomial kernel takes one gamma"),
        (["--gamma", "each", "--select", "none"], "gamma.dose and gamma.age are not given; give --gamma COL=G,…"),
        (["--gamma", "dose=1,age=1", "--grid", "gamma.age=1:2:3"], "gamma.age is given a value, too"),
        (["--gamma", "0"], "rbf: gamma is 0.0; it must be a number above 0"),
    ],
)
def test_what_does_not_fit_is_one_sentence(hw4opt, dose, words, sentence):
    done = hw4opt("solve", dose, *BOTH, *words)
    assert done.status == 2 and sentence in done.err and done.err.count("\n") == 1 and not done.out
