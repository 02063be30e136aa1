"""Counts that could mislead: each case gives a warning or the correct value (data in tests/data)."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parents[2] / "data"
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
    assert re.search(r"d2 +– \(not identified\)", done.err)


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
    done = hw4opt("solve", data, "--design", "linear", "--select", "none", "--loss", "absolute", "--errors", "sandwich")
    assert done.status == 2 and "--errors sandwich: the loss absolute has no standard errors" in done.err


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
    assert (
        done.status == 1 and done.json["status"] == "no_finite_maximum" and "mood 2 has no finite maximum" in done.err
    )
    assert done.json["standard_errors"] is None and np.isfinite(done.json["log_likelihood"])


# ---- counts of at least 1 --------------------------------------------------------------------------------------------

ZERO_TRUNCATED = {"slope": 0.6929, "error": 0.049, "log_likelihood": -491.55}  # statsmodels' TruncatedLFPoisson


def test_the_law_of_counts_that_are_at_least_1(hw4opt, case):
    data = case("zero_truncated_data")
    given = [
        "--design",
        "linear",
        "--intercept",
        "--select",
        "none",
        "--loss",
        "poisson:truncated=1",
        "--save",
        "m.json",
    ]
    solved = hw4opt("solve", data, *given, "--json", "-", "--quiet")
    listened = hw4opt("em", data, "--k", 1, "--truncated", "--json", "-", "--quiet")
    assert solved.status == listened.status == 0 and not solved.json["warnings"] and not listened.json["warnings"]
    for slope, error, fit in (
        (solved.json["coef"][0], solved.json["standard_errors"][1], solved.json),
        (listened.json["rates"][0][1], listened.json["standard_errors"][0][1], listened.json),
    ):
        assert (round(slope, 4), round(error, 3)) == (ZERO_TRUNCATED["slope"], ZERO_TRUNCATED["error"])
        assert fit["log_likelihood"] == pytest.approx(ZERO_TRUNCATED["log_likelihood"], abs=5e-3)
    assert listened.json["truncated"] is True and min(solved.json["mean"]) > 1
    assert hw4opt("predict", "m.json", data, "--out", "p.csv", "--quiet").status == 0
    assert [float(row["mean"]) for row in rows_of("p.csv")] == pytest.approx(solved.json["mean"])


@pytest.mark.parametrize("words", [["solve", *PLAIN], ["em", "--k", 1]])
def test_counts_of_at_least_1_get_a_line(hw4opt, case, tmp_path, words):
    data = case("zero_truncated_data")
    done = hw4opt(words[0], data, *words[1:], "--json", "-", "--quiet")
    option = "--loss poisson:truncated=1" if words[0] == "solve" else "--truncated"
    assert (
        done.status == 0
        and any("1 or more" in one and option in one for one in done.json["warnings"])
        and option in done.err
    )
    (tmp_path / "zero.csv").write_text((tmp_path / data).read_text() + "0,0.5\n")
    assert not any(
        "1 or more" in one
        for one in hw4opt(words[0], "zero.csv", *words[1:], "--json", "-", "--quiet").json["warnings"]
    )


def test_a_zero_and_all_ones_are_refused_or_said(hw4opt, tmp_path):
    (tmp_path / "zero.csv").write_text("y,x,w\n1,2,1\n0,3,1\n4,1,1\n2,5,1\n3,3,1\n")
    (tmp_path / "ones.csv").write_text("y,x\n" + "".join(f"1,{i}\n" for i in range(8)))
    solve = ["--x", "x", "--design", "linear", "--intercept", "--select", "none", "--loss", "poisson:truncated=1"]
    for words in (["solve", "zero.csv", *solve], ["em", "zero.csv", "--x", "x", "--k", 1, "--truncated"]):
        done = hw4opt(*words, "--json", "-")
        assert (
            done.status == 2
            and "column 'y' holds 0 in row 2; counts truncated at 0 are 1 or more" in done.err
            and not done.out
        )
    done = hw4opt("solve", "ones.csv", *solve, "--json", "-", "--quiet")
    assert done.status == 1 and done.json["status"] == "no_finite_maximum" and "y = 1 can approach 1" in done.err
    done = hw4opt("em", "ones.csv", "--k", 1, "--truncated", "--json", "-")
    assert (
        done.status == 2 and "every count in column 'y' is 1, so that the likelihood has no finite maximum" in done.err
    )
    (tmp_path / "weights.csv").write_text((tmp_path / "zero.csv").read_text().replace("0,3,1", "0,3,0"))
    assert hw4opt("solve", "weights.csv", *solve, "--weights", "w", "--quiet").status == 0
    assert hw4opt("em", "weights.csv", "--x", "x", "--weights", "w", "--k", 1, "--truncated", "--quiet").status == 0


# ---- mixtures --------------------------------------------------------------------------------------------------------


@pytest.fixture
def listener(tmp_path):
    """Two moods of 200 rows with hours of exposure; in listener.csv and, without counts, in new.csv."""
    draw = np.random.default_rng(0)
    tempo, hours, mood = draw.standard_normal(200), draw.integers(1, 5, 200), draw.integers(0, 2, 200)
    plays = draw.poisson(hours * np.exp(np.where(mood == 0, 2 + 0.5 * tempo, -0.5 - 0.5 * tempo)))
    rows = [
        f"{a},{b!r},{c},u{place // 2}" for place, (a, b, c) in enumerate(zip(plays, tempo.tolist(), hours, strict=True))
    ]
    (tmp_path / "listener.csv").write_text("\n".join(["plays,tempo,hours,user", *rows]) + "\n")
    (tmp_path / "new.csv").write_text("\n".join(["tempo,hours,user", *(row.partition(",")[2] for row in rows)]) + "\n")
    return ["em", "listener.csv", "--y", "plays", "--x", "tempo", "--exposure", "hours", "--k", 2, "--search", 20]


@pytest.mark.parametrize("groups", [[], ["--groups", "user"]])
def test_predict_gives_the_moods_of_rows(hw4opt, listener, groups):
    record = hw4opt(*listener, *groups, "--save", "m.json", "--json", "-", "--quiet").json
    done = hw4opt("predict", "m.json", "listener.csv", "--out", "p.csv", "--json", "-")
    assert done.status == 0 and not done.json["warnings"] and done.json["status"] == "certified"
    rows = rows_of("p.csv")
    assert list(rows[0])[4:] == ["mood", "responsibility_1", "responsibility_2", "mean"]
    shares = np.array([[float(row[f"responsibility_{j}"]) for j in (1, 2)] for row in rows])
    assert np.allclose(shares, record["responsibilities"], atol=1e-9)
    assert [int(row["mood"]) for row in rows] == (1 + shares.argmax(axis=1)).tolist() == done.json["mood"]
    columns = np.array([[1.0, float(row["tempo"])] for row in rows])
    means = np.array([float(row["hours"]) for row in rows])[:, None] * np.exp(columns @ np.array(record["rates"]).T)
    assert np.allclose([float(row["mean"]) for row in rows], (shares * means).sum(axis=1))

    prior = hw4opt("predict", "m.json", "new.csv", "--out", "q.csv", "--json", "-")
    assert prior.status == 0 and "no column 'plays'" in prior.err and "over all moods" in prior.json["warnings"][0]
    assert list(rows_of("q.csv")[0]) == ["tempo", "hours", "user", "mean"]
    assert np.allclose([float(row["mean"]) for row in rows_of("q.csv")], means @ record["proportions"])


def test_predict_refuses_what_a_mixture_cannot_take(hw4opt, listener, tmp_path):
    assert hw4opt(*listener, "--save", "m.json", "--quiet").status == 0
    lines = (tmp_path / "listener.csv").read_text().splitlines()
    (tmp_path / "minus.csv").write_text("\n".join([lines[0], lines[1], "-3,0.5,1,u9"]) + "\n")
    (tmp_path / "short.csv").write_text("tempo\n1\n")
    for words, sentence in (
        (["minus.csv"], "column 'plays' holds -3 in row 2"),
        (["short.csv"], "no column 'hours'"),
        (["new.csv", "--y", "plays"], "no column 'plays'"),
        (["new.csv", "--x", "tempo,hours"], "--x names 2 columns and the mixture has 1 features"),
        (["new.csv", "--plot", "p.png"], "have no figure"),
    ):
        done = hw4opt("predict", "m.json", *words, "--out", "p.csv")
        assert done.status == 2 and sentence in done.err and not done.out and not (tmp_path / "p.csv").exists(), (
            done.err
        )
    assert hw4opt("predict", "m.json", "new.csv", "--out", "m.json").status == 2
    hw4opt("solve", "listener.csv", "--y", "plays", "--x", "tempo", *PLAIN, "--save", "s.json", "--quiet")
    done = hw4opt("predict", "s.json", "listener.csv", "--y", "plays", "--out", "p.csv")
    assert done.status == 2 and "--y plays belongs to a mixture" in done.err


def test_em_takes_y_alone(hw4opt, tmp_path):
    draw = np.random.default_rng(1)
    (tmp_path / "y.csv").write_text("plays\n" + "".join(f"{one}\n" for one in draw.poisson(np.repeat([2, 30], 60))))
    done = hw4opt("em", "y.csv", "--y", "plays", "--k", 2, "--search", 20, "--save", "m.json", "--json", "-", "--quiet")
    assert (
        done.status == 0
        and done.json["feature_names"] == ["(intercept)"]
        and "a rate alone" in done.json["warnings"][0]
    )
    assert sorted(np.exp(done.json["rates"]).ravel()) == pytest.approx([2, 30], rel=0.15)
    assert hw4opt("predict", "m.json", "y.csv", "--out", "p.csv", "--quiet").status == 0
    done = hw4opt("em", "y.csv", "--y", "plays", "--k", 2, "--no-intercept")
    assert done.status == 2 and "no numeric column besides plays" in done.err


def test_weights_that_sum_to_less_than_the_rows_get_a_warning(hw4opt, listener, tmp_path):
    text = (tmp_path / "listener.csv").read_text().splitlines()
    (tmp_path / "listener.csv").write_text("\n".join([f"{text[0]},w", *(f"{row},0.005" for row in text[1:])]) + "\n")
    range_ = [*listener[:-4], "--k-range", "1:2", "--search", 5]
    done = hw4opt(*range_, "--weights", "w", "--json", "-", "--quiet")
    assert (
        any("weights of 200 rows sum to 1:" in one and "BIC" in one for one in done.json["warnings"])
        and "sum to 1:" in done.err
    )
    assert not any("sum to" in one for one in hw4opt(*range_, "--json", "-", "--quiet").json["warnings"])


def test_standard_errors_of_moods_in_three_kinds(hw4opt, listener):
    found = {
        kind: hw4opt(*listener, "--errors", kind, "--json", "-", "--quiet").json
        for kind in ("information", "dispersion", "sandwich")
    }
    plain = np.array(found["information"]["standard_errors"])
    quasi = plain * np.sqrt(found["information"]["dispersion"])[:, None]
    assert np.allclose(found["dispersion"]["standard_errors"], quasi)
    assert np.allclose(found["sandwich"]["standard_errors"], plain, rtol=0.5) and not np.allclose(
        found["sandwich"]["standard_errors"], plain
    )
    assert [one["errors"] for one in found.values()] == list(found)
    alone = hw4opt(*listener[:-4], "--k", 1, "--errors", "sandwich", "--json", "-", "--quiet").json["standard_errors"][
        0
    ]
    words = [
        "--y",
        "plays",
        "--x",
        "tempo",
        "--exposure",
        "hours",
        *PLAIN,
        "--errors",
        "sandwich",
        "--json",
        "-",
        "--quiet",
    ]
    assert alone == pytest.approx(hw4opt("solve", "listener.csv", *words).json["standard_errors"], rel=1e-6)


def test_a_fit_that_identifies_nothing_prints_no_coefficient(hw4opt, tmp_path):
    (tmp_path / "s.csv").write_text("x,y\n0,0\n0,0\n1,3\n1,2\n1,4\n1,1\n")
    done = hw4opt("solve", "s.csv", *PLAIN, "--separated", "drop", "--save", "m.json", "--plot", "a.png", "--json", "-")
    assert (
        done.status == 0
        and done.json["standard_errors"] is None
        and "x, (intercept)" in done.json["standard_errors_reason"]
    )
    assert done.json["fitted"][:2] == [None, None] and done.json["mean"] == pytest.approx([0, 0, 2.5, 2.5, 2.5, 2.5])
    assert done.err.count("– (not identified)") == 2
    (tmp_path / "n.csv").write_text("x\n0\n1\n2\n0.5\n")
    done = hw4opt("predict", "m.json", "n.csv", "--out", "p.csv", "--plot", "b.png", "--json", "-")
    assert done.json["mean"] == [0, pytest.approx(2.5), None, 0]
    assert [row["prediction"] == "" for row in rows_of("p.csv")] == [True, False, True, True] and rows_of("p.csv")[2][
        "mean"
    ] == ""
    assert "rows 1, 4 fall to their limit 0" in done.err and "no prediction for row 3" in done.err


# ---- tables of a mixture ---------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path):
    """Counts by place, day and tempo, with a group: d.csv, a model of two moods in m.json, and its command line."""
    draw = np.random.default_rng(4)
    rows = []
    for i in range(160):
        place, day, tempo, mood = "abc"[i % 3], i % 28 + 1, draw.normal(), i % 2
        plays = draw.poisson(np.exp((3 if mood else 0.5) + 0.3 * (place == "b") + 0.01 * day + 0.2 * tempo))
        rows.append(f"{plays},{place},2026-01-{day:02d},{tempo!r},u{i // 2}")
    (tmp_path / "d.csv").write_text("\n".join(["plays,place,day,tempo,user", *rows]) + "\n")
    return [
        "em",
        "d.csv",
        "--y",
        "plays",
        "--x",
        "day,tempo",
        "--categorical",
        "place",
        "--k",
        2,
        "--search",
        10,
        "--save",
        "m.json",
    ]


def test_a_mixture_reads_new_tables_as_it_read_its_own(hw4opt, mixed, tmp_path):
    record = hw4opt(*mixed, "--json", "-", "--quiet").json
    assert record["features"] == ["day", "tempo", "place=b", "place=c"] == record["feature_names"][1:]
    done = hw4opt("predict", "m.json", "d.csv", "--out", "p.csv", "--json", "-")
    assert done.status == 0 and done.json["features"] == record["features"] and done.json["dropped_rows"] == []
    shares = np.column_stack([done.json["responsibility_1"], done.json["responsibility_2"]])
    assert np.allclose(shares, record["responsibilities"], atol=1e-9) and {row["mood"] for row in rows_of("p.csv")} == {
        "1",
        "2",
    }

    head, *rows = (tmp_path / "d.csv").read_text().splitlines()
    rows[1], rows[4] = "," + rows[1].partition(",")[2], rows[4].replace("2026-01-05", "")
    (tmp_path / "gaps.csv").write_text("\n".join([head, *rows]) + "\n")
    refused = hw4opt("predict", "m.json", "gaps.csv", "--out", "q.csv")
    assert refused.status == 2 and "column 'day' is empty in row 5" in refused.err and "--missing drop" in refused.err
    dropped = hw4opt("predict", "m.json", "gaps.csv", "--out", "q.csv", "--missing", "drop", "--json", "-")
    assert (
        dropped.status == 0
        and dropped.json["dropped_rows"] == [1, 4]
        and "2 rows miss a cell" in dropped.json["warnings"][0]
    )
    assert rows_of("q.csv") == [row for place, row in enumerate(rows_of("p.csv")) if place not in (1, 4)]

    (tmp_path / "level.csv").write_text(f"{head}\n{rows[0]}\n3,z,2026-01-02,0.1,u\n")
    done = hw4opt("predict", "m.json", "level.csv", "--out", "r.csv")
    assert done.status == 2 and "column 'place' holds the level 'z' in row 2; the levels fitted are a, b, c" in done.err
    done = hw4opt("predict", "m.json", "d.csv", "--out", "r.csv", "--max-input", "1k")
    assert done.status == 2 and "--max-input" in done.err
    (tmp_path / "half.csv").write_text(f"{head}\n{rows[0]}\n2.5,a,2026-01-02,0.1,u\n")
    done = hw4opt("predict", "m.json", "half.csv", "--out", "r.csv")
    assert done.status == 0 and "1 row of 'plays' holds fractions" in done.err


def test_a_mixture_names_dropped_rows_groups_and_rows_that_are_no_counts(hw4opt, mixed, tmp_path):
    hw4opt(*mixed, "--groups", "user", "--quiet")
    head, *rows = (tmp_path / "d.csv").read_text().splitlines()
    (tmp_path / "g.csv").write_text("\n".join([head, *rows[:3], rows[3].rpartition(",")[0] + ",", *rows[4:6]]) + "\n")
    done = hw4opt("predict", "m.json", "g.csv", "--out", "p.csv")
    assert done.status == 2 and "column 'user' is empty in row 4; give every row a group" in done.err
    done = hw4opt("predict", "m.json", "g.csv", "--out", "p.csv", "--missing", "drop", "--json", "-", "--quiet")
    assert done.status == 0 and done.json["dropped_rows"] == [3] and done.json["mood"][0] == done.json["mood"][1]
    (tmp_path / "c.csv").write_text(
        "\n".join([head, f",{rows[0].partition(',')[2]}", f"-2,{rows[1].partition(',')[2]}"]) + "\n"
    )
    done = hw4opt("predict", "m.json", "c.csv", "--out", "q.csv", "--missing", "drop")
    assert done.status == 2 and "column 'plays' holds -2 in row 2" in done.err and not (tmp_path / "q.csv").exists()


@pytest.mark.parametrize("what", ["keep", "empty", "clip"])
def test_rows_outside_the_range_of_a_mixture(hw4opt, mixed, tmp_path, what):
    hw4opt(*mixed, "--quiet")
    (tmp_path / "n.csv").write_text(
        "place,day,tempo,plays\na,2026-01-02,0.1,20\na,2026-05-01,0.1,20\na,2026-01-28,0.1,20\n"
    )
    done = hw4opt("predict", "m.json", "n.csv", "--out", "p.csv", "--outside", what, "--json", "-", "--quiet")
    (said,) = done.json["warnings"]
    assert (
        done.status == 0
        and done.json["outside_rows"] == [1]
        and said.startswith("row 2 lies outside")
        and "day from 0 to 27" in said
    )
    _, outside, edge = rows_of("p.csv")
    cells = [
        [row[name] for name in ("mood", "responsibility_1", "responsibility_2", "mean")] for row in (outside, edge)
    ]
    assert (cells[0] == ["", "", "", ""]) == (what == "empty") and (cells[0] == cells[1]) == (what == "clip")
    assert edge["mood"] in ("1", "2") and (done.json["mood"][1] is None) == (what == "empty")


def test_what_no_number_holds_of_a_mixture_is_empty(hw4opt, listener, tmp_path):
    hw4opt(*listener, "--save", "m.json", "--quiet")
    (tmp_path / "n.csv").write_text("tempo,hours,user\n0.2,1,u\n1e308,1,u\n")
    done = hw4opt("predict", "m.json", "n.csv", "--out", "p.csv", "--json", "-", "--quiet")
    assert done.status == 0 and "row 2: a prediction" in done.json["warnings"][-1]
    assert rows_of("p.csv")[0]["mean"] and not rows_of("p.csv")[1]["mean"]
    assert not {"nan", "inf"} & set((tmp_path / "p.csv").read_text().lower().replace("\n", ",").split(","))


def test_moods_of_columns_that_say_the_same_have_the_errors_that_are_known(hw4opt, listener, tmp_path):
    head, *rows = (tmp_path / "listener.csv").read_text().splitlines()
    draw = np.random.default_rng(5).normal(size=len(rows))
    lines = [f"{row},{other!r},{2 * other!r}" for row, other in zip(rows, draw.tolist(), strict=True)]
    (tmp_path / "listener.csv").write_text("\n".join([f"{head},one,two", *lines]) + "\n")
    words = ["--errors", "sandwich", "--json", "-", "--search", 20]
    listener = [*listener[:4], "--x", "tempo,one", *listener[6:-2], *words]
    known = hw4opt(*listener, "--quiet").json
    listener[5] = "tempo,one,two"
    done = hw4opt(*listener)
    errors = done.json["standard_errors"]
    assert done.status == 0 and "one of mood 1, two of mood 1, one of mood 2" in done.json["standard_errors_reason"]
    for mine, other in zip(errors, known["standard_errors"], strict=True):
        assert mine[2:] == [None, None] and mine[:2] == pytest.approx(other[:2], rel=1e-5)
    assert done.err.count("– (not identified)") == 4
    kept = hw4opt(*listener, "--save", "m.json", "--playlists", "lists", "--top", 3)
    assert kept.status == 0 and all(row["standard_error"] == "" for row in rows_of("lists/mood_1.csv"))
    assert not any("so large" in one for one in kept.json["warnings"])
    assert hw4opt("predict", "m.json", "listener.csv", "--out", "p.csv", "--quiet").status == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("coef", [[1.0]]),
        ("coef", None),
        ("coef", [[1e999, 0.0], [0.0, 0.0]]),
        ("proportions", [0.5]),
        ("proportions", [2.0, -1.0]),
        ("names", "xy"),
        ("names", [1, 2]),
        ("span", [[0.0], [1.0], [2.0]]),
        ("uncertainty", []),
        ("context", [3]),
        ("context", {"features": [3]}),
        ("context", {"target": []}),
        ("context", {"y": ["a"]}),
        ("format", 99),
    ],
)
def test_a_damaged_file_of_moods_is_refused(hw4opt, listener, tmp_path, key, value):
    hw4opt(*listener, "--save", "m.json", "--quiet")
    stored = json.loads((tmp_path / "m.json").read_text())
    (tmp_path / "m.json").write_text(json.dumps(stored | {key: value}))
    done = hw4opt("predict", "m.json", "listener.csv", "--out", "p.csv")
    assert done.status == 2 and "should not" not in done.err and not done.out and not (tmp_path / "p.csv").exists(), (
        done.err
    )
