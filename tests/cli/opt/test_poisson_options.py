"""`hw4opt solve --loss poisson` and `predict`: the contract's JSON, and an error for every invalid count."""

import math

import numpy as np
import pytest

from hw4opt import Result

PLAIN = [
    "--design",
    "linear",
    "--loss",
    "poisson",
    "--intercept",
    "--y",
    "plays",
    "--reg",
    "ridge=0",
    "--select",
    "none",
]


def table(path, **columns):
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")


@pytest.fixture
def songs(tmp_path):
    """songs.csv: name, plays, tempo, mood, hours (an exposure), its logarithm, fresh (1 in rows with 0 plays)."""
    draw = np.random.default_rng(0)
    tempo, mood, hours = draw.uniform(60, 180, 80).round(1), draw.integers(0, 7, 80), draw.integers(1, 5, 80)
    fresh = 1 * (np.arange(80) % 10 == 0)
    plays = draw.poisson(hours * np.exp(0.01 * tempo - 0.1 * mood)) * (1 - fresh)
    names = [f"s{i}" for i in range(80)]
    log = [repr(math.log(h)) for h in hours]
    table(
        tmp_path / "songs.csv", song=names, plays=plays, tempo=tempo, mood=mood, hours=hours, log_hours=log, fresh=fresh
    )
    return "songs.csv"


def test_the_json_of_a_plain_fit(hw4opt, songs):
    done = hw4opt("solve", songs, *PLAIN, "--x", "tempo,mood", "--exposure", "hours", "--json", "-", "--quiet")
    assert done.status == 0
    record = done.json
    assert record["status"] == "certified" and record["relative_gap"] <= 1e-9 and record["solver"] == "newton"
    assert record["rank"] == 3 and len(record["coef"]) == 2 and len(record["standard_errors"]) == 3
    assert record["existence"] == {"finite": True, "rows": [], "columns": [], "supremum": None}
    assert record["log_likelihood"] < 0 < record["deviance"]
    assert np.allclose(np.log(record["mean"]), record["fitted"])
    assert "standard_errors_reason" not in record
    other = hw4opt("solve", songs, *PLAIN, "--x", "tempo,mood", "--offset", "log_hours", "--json", "-", "--quiet").json
    assert np.allclose(other["coef"], record["coef"], rtol=1e-9)


def test_no_finite_maximum_ends_with_1_and_no_numbers(hw4opt, songs):
    done = hw4opt(
        "solve",
        songs,
        *PLAIN,
        "--x",
        "tempo,fresh",
        "--exposure",
        "hours",
        "--json",
        "-",
        "--quiet",
        "--save",
        "m.json",
    )
    assert done.status == 1 and "fresh" in done.err and "Traceback" not in done.err
    record = done.json
    assert record["status"] == "no_finite_maximum" and "fresh" in record["message"]
    existence = record["existence"]
    assert existence["rows"] == list(range(0, 80, 10)) and existence["columns"] == ["fresh"] and not existence["finite"]
    assert (
        record["coef"] == [None, None]
        and record["intercept"] is record["log_likelihood"] is record["standard_errors"] is None
    )
    assert record["standard_errors_reason"]

    dropped = hw4opt(
        "solve",
        songs,
        *PLAIN,
        "--x",
        "tempo,fresh",
        "--exposure",
        "hours",
        "--separated",
        "drop",
        "--json",
        "-",
        "--quiet",
    )
    assert dropped.status == 0 and "separated rows were dropped" in dropped.err
    record = dropped.json
    assert record["status"] == "certified" and record["existence"] == existence and record["rank"] == 2
    assert record["log_likelihood"] == pytest.approx(existence["supremum"])


def test_dropping_separated_rows_until_nothing_is_left(hw4opt, tmp_path):
    (tmp_path / "s.csv").write_text("x,y\n0,0\n1,0\n2,3\n")
    words = [
        "solve",
        "s.csv",
        "--design",
        "linear",
        "--intercept",
        "--loss",
        "poisson",
        "--select",
        "none",
        "--json",
        "-",
    ]
    refused, dropped = (hw4opt(*words, "--separated", how) for how in ("refuse", "drop"))
    assert refused.status == dropped.status == 1
    assert dropped.json["status"] == "no_finite_maximum" and dropped.json["existence"] == refused.json["existence"]


def test_all_zero_counts(hw4opt, tmp_path):
    table(tmp_path / "zero.csv", plays=[0] * 10, tempo=range(10))
    done = hw4opt("solve", "zero.csv", *PLAIN, "--json", "-", "--quiet")
    assert done.status == 1 and done.json["status"] == "no_finite_maximum"
    assert done.json["existence"] == {
        "finite": False,
        "rows": list(range(10)),
        "columns": ["(intercept)"],
        "supremum": 0.0,
    }


def test_the_table_shows_coefficients_with_their_errors(hw4opt, songs):
    out = hw4opt("solve", songs, *PLAIN, "--x", "tempo,mood", "--exposure", "hours").out
    assert "log-likelihood" in out and "deviance" in out and "±" in out and "(intercept)" in out


def test_a_saved_model_predicts_counts_and_asks_for_its_exposure(hw4opt, songs, tmp_path):
    record = hw4opt(
        "solve", songs, *PLAIN, "--x", "tempo,mood", "--exposure", "hours", "--save", "m.json", "--json", "-", "--quiet"
    ).json
    assert hw4opt("predict", "m.json", songs, "--out", "p.csv", "--quiet").status == 0
    rows = [line.split(",") for line in (tmp_path / "p.csv").read_text().splitlines()]
    assert rows[0][-2:] == ["prediction", "mean"]
    assert np.allclose([float(row[-1]) for row in rows[1:]], record["mean"])
    table(tmp_path / "new.csv", tempo=[100], mood=[3], seconds=[3600])
    done = hw4opt("predict", "m.json", "new.csv", "--out", "q.csv")
    assert done.status == 2 and "'hours'" in done.err and "exposure" in done.err and not (tmp_path / "q.csv").exists()
    assert hw4opt("predict", "m.json", "new.csv", "--out", "q.csv", "--exposure", "seconds", "--quiet").status == 0
    hw4opt("solve", songs, *PLAIN, "--x", "tempo,mood", "--save", "plain.json", "--quiet")
    done = hw4opt("predict", "plain.json", songs, "--out", "q.csv", "--exposure", "hours")
    assert done.status == 2 and "without an offset" in done.err


def test_quasi_takes_fractions_and_says_so(hw4opt, tmp_path):
    table(tmp_path / "half.csv", plays=[0.5, 1, 2.5, 3], tempo=[1, 2, 4, 3])
    done = hw4opt("solve", "half.csv", *PLAIN)
    assert done.status == 2 and "'plays' holds 0.5 in row 1" in done.err and "--quasi" in done.err
    done = hw4opt("solve", "half.csv", *PLAIN, "--quasi", "--json", "-", "--quiet")
    assert done.status == 0 and "fractions" in done.err and done.json["status"] == "certified"


COLUMNS = {
    "song": ["a", "b", "c", "d"],
    "plays": [1, 0, 2, 3],
    "minus": [1, 0, -2, 3],
    "text": [1, "none", 2, 3],
    "empty": [1, "", 2, 3],
    "tempo": [1, 2, 3, 5],
    "level": [7, 7, 7, 7],
    "hours": [1, 2, 0, 1],
    "less": [1, 2, -1, 1],
}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--y", "minus", "--x", "tempo"], "column 'minus' holds -2 in row 3; counts are 0 or more"),
        (["--y", "text", "--x", "tempo"], "column 'text' holds text"),
        (["--x", "song"], "column 'song' holds text"),
        (["--x", "empty"], "column 'empty' is empty in row 2"),
        (["--x", "tempo,level"], "column 'level' is constant and there is an intercept"),
        (
            ["--x", "tempo", "--exposure", "hours"],
            "column 'hours' holds the exposure 0 in row 3; exposures must be above 0",
        ),
        (["--x", "tempo", "--exposure", "less"], "column 'less' holds the exposure -1 in row 3"),
        (["--x", "tempo", "--exposure", "tempo"], "column 'tempo' is both x and exposure"),
        (["--x", "tempo", "--exposure", "hours", "--offset", "level"], "have the same meaning"),
        (["--x", "tempo", "--offset", "nosuch"], "no column 'nosuch'"),
        (["--x", "tempo", "--separated", "keep"], "keep"),
        (["--x", "tempo", "--loss", "squared", "--exposure", "hours"], "--exposure hours belongs to counts"),
        (["--x", "tempo", "--loss", "squared", "--quasi"], "--quasi belongs to counts"),
    ],
)
def test_what_counts_cannot_be_is_a_sentence(hw4opt, tmp_path, words, sentence):
    table(tmp_path / "bad.csv", **COLUMNS)
    done = hw4opt("solve", "bad.csv", *PLAIN, *words, "--json", "out.json")
    assert done.status == 2 and sentence in done.err and done.err.count("\n") == 1 and not done.out
    assert not (tmp_path / "out.json").exists()


def test_one_row(hw4opt, tmp_path):
    table(tmp_path / "one.csv", plays=[3], tempo=[1])
    done = hw4opt("solve", "one.csv", *PLAIN[:5], "--no-intercept", *PLAIN[5:])
    assert done.status == 2 and "one row" in done.err


def test_a_curve_with_a_shape_on_the_log_rate(hw4opt, songs, tmp_path):
    given = [
        "--x",
        "tempo",
        "--y",
        "plays",
        "--loss",
        "poisson",
        "--gamma",
        "1e-3",
        "--reg",
        "ridge=0.1",
        "--exposure",
        "hours",
    ]
    record = hw4opt(
        "solve",
        songs,
        *given,
        "--reg",
        "tv=0.5",
        "--constraint",
        "increasing",
        "--select",
        "none",
        "--json",
        "-",
        "--quiet",
    ).json
    assert record["status"] == "certified" and record["solver"] == "interior"
    curve = np.array(record["fitted"]) - np.log(
        [int(row.split(",")[4]) for row in (tmp_path / songs).read_text().splitlines()[1:]]
    )
    assert np.diff(curve[np.argsort(record["x"], kind="stable")]).min() >= -1e-8


def test_the_figure_draws_counts_per_unit_of_exposure(hw4opt, songs, tmp_path):
    given = [
        "--x",
        "tempo",
        "--y",
        "plays",
        "--loss",
        "poisson",
        "--gamma",
        "1e-3",
        "--reg",
        "ridge=0.1",
        "--exposure",
        "hours",
    ]
    hw4opt("solve", songs, *given, "--select", "none", "--save", "curve.json", "--plot", "curve.svg", "--quiet")
    assert (tmp_path / "curve.svg").exists()
    axes = Result.load(tmp_path / "curve.json").plot()
    assert axes.get_ylabel() == "mean of plays per hours"
    rows = [line.split(",") for line in (tmp_path / songs).read_text().splitlines()[1:]]
    assert np.allclose(axes.collections[0].get_offsets()[:, 1], [int(row[1]) / int(row[4]) for row in rows])
