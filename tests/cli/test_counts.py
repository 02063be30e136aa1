"""Counts that lead astray in silence: each situation gets its sentence or its right value (data in tests/data)."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parents[1] / "data"
PLAIN = ["--design", "linear", "--loss", "poisson", "--intercept", "--select", "none"]


@pytest.fixture
def case(tmp_path):
    """Copies a file of tests/data into the test's folder."""

    def copy(name):
        return Path(shutil.copy(DATA / f"counts_{name}.csv", tmp_path)).name

    return copy


def rows_of(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_of_a_separated_column_are_their_limit(hw4opt, case):
    data, new = case("predict_separated_data"), case("predict_separated_new")
    assert hw4opt("solve", data, *PLAIN, "--separated", "drop", "--save", "m.json", "--quiet").status == 0
    done = hw4opt("predict", "m.json", new, "--out", "p.csv", "--json", "-")
    assert done.status == 0 and "d2" in done.err and "rows 3, 4" in done.err
    rows = rows_of("p.csv")
    assert [row["mean"] for row in rows][2:] == ["0.0", "0.0"] and [row["prediction"] for row in rows][2:] == ["", ""]
    assert [float(row["mean"]) for row in rows[:2]] == pytest.approx([1.056, 2.62585], rel=1e-5)
    record = done.json
    assert record["mean"][2:] == [0, 0] and record["prediction"][2:] == [None, None] and "d2" in record["warnings"][0]


def test_standard_errors_of_what_is_identified(hw4opt, case):
    done = hw4opt("solve", case("separated_no_se_data"), *PLAIN, "--separated", "drop", "--json", "-")
    assert done.status == 0
    intercept, d1, d2 = done.json["standard_errors"]
    assert (round(d1, 4), round(intercept, 4), d2) == (0.1008, 0.0870, None)
    assert "not identified: d2" in done.json["standard_errors_reason"] and "d2" in done.err
    assert "not identified" in done.err.split("d2  ")[1].splitlines()[0]


def test_counts_spread_wider_are_said_to_be(hw4opt, case):
    data = case("dispersion_silent_data")
    done = hw4opt("solve", data, *PLAIN, "--json", "-", "--quiet")
    assert done.status == 0 and "dispersion is 4.23" in done.err and "becomes 0.0299" in done.err
    assert done.json["dispersion"] == pytest.approx(4.23, abs=5e-3) and done.json["errors"] == "information"
    assert any("4.23" in one for one in done.json["warnings"])
    for errors in ("dispersion", "sandwich"):
        other = hw4opt("solve", data, *PLAIN, "--errors", errors, "--json", "-")
        assert other.status == 0 and other.json["errors"] == errors and not other.json["warnings"]
        assert f"{errors} standard errors" in other.err
        assert other.json["coef"] == done.json["coef"] and other.json["standard_errors"] != done.json["standard_errors"]
        if errors == "dispersion":
            assert round(other.json["standard_errors"][1], 4) == 0.0299
    done = hw4opt("solve", data, "--design", "linear", "--select", "none", "--errors", "sandwich")
    assert done.status == 2 and "--errors sandwich belongs to likelihoods" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["em_single_zero_data", "--y", "plays", "--x", "one", "--no-intercept", "--k", 2],
        ["em_single_zero_two_zeros", "--y", "plays", "--x", "one", "--no-intercept", "--k", 2],
        ["em_single_zero_plain0", "--x", "x", "--k", 2, "--plain", "--init", "lab", "--cycles", 50],
    ],
)
def test_a_mood_of_one_zero_has_no_finite_maximum(hw4opt, case, words):
    done = hw4opt("em", case(words[0]), *words[1:], "--json", "-", "--quiet")
    assert done.status == 1 and done.json["status"] == "no_finite_maximum" and "mood 2 has no finite maximum" in done.err
    assert done.json["standard_errors"] is None and np.isfinite(done.json["log_likelihood"])
