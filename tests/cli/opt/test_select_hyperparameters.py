"""Selection of hyper-parameters on the command line: equal x, ranges left by the search, automatic delta, warnings."""

import json

import numpy as np
import pytest

from hw4opt import Result
from hw4opt.problem.noise import noise_size

GIVEN = ["--gamma", "0.001", "--reg", "ridge=0.1"]


def table(path, **columns):
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(names), *(",".join(repr(float(cell)) for cell in row) for row in rows)]) + "\n")
    return path.name


@pytest.fixture
def doses(tmp_path):
    """Six doses, four responses each, as in a dose-response study."""
    dose = np.repeat([0.0, 1, 3, 10, 30, 100], 4)
    y = 80 * dose / (dose + 10) + np.tile([-3.0, 1, 2, 4], 6)
    return table(tmp_path / "doses.csv", dose=dose, y=y, batch=np.arange(24) % 4)


@pytest.fixture
def milli(tmp_path):
    """y in thousandths, with two outliers."""
    draw = np.random.default_rng(0)
    x = np.linspace(0, 1, 40)
    y = 0.005 * np.sin(6 * x) + 0.0003 * draw.standard_normal(40)
    y[[8, 30]] += 0.03
    return table(tmp_path / "milli.csv", x=x, y=y)


# ---- equal x


def test_equal_x_are_left_out_together_by_default_and_a_fall_between_doses_gets_a_warning(hw4opt, doses):
    done = hw4opt("solve", doses, "--x", "dose", "--constraint", "increasing", "--json", "-", "--quiet")
    record = done.json
    assert done.status == 0 and record["selection"]["method"] == "loo:x"
    assert record["selection"]["fits"] == 6 * len(record["selection"]["table"])
    said = [note for note in record["warnings"] if "equal x are left out together" in note]
    assert said == [note for note in record["selection"]["notes"] if "equal x" in note] and "24 of 24 rows" in said[0]
    falls = [note for note in record["warnings"] if note.startswith("increasing holds at the data rows only")]
    assert len(falls) == 1 and "the curve falls by up to" in falls[0] and "between dose = " in falls[0]
    assert all(f"warning: {note}" in done.err for note in (*said, *falls))


def test_the_fall_is_the_one_that_predict_shows(hw4opt, doses, tmp_path):
    given = ["--gamma", "0.0014", "--reg", "ridge=0.0002", "--select", "none"]
    record = hw4opt(
        "solve",
        doses,
        "--x",
        "dose",
        "--constraint",
        "increasing",
        *given,
        "--save",
        "m.json",
        "--json",
        "-",
        "--quiet",
    ).json
    f = Result.load(tmp_path / "m.json").predict(np.linspace(0, 100, 100_001))
    (note,) = record["warnings"]
    assert float(note.partition("by up to ")[2].split()[0]) == pytest.approx(
        (np.maximum.accumulate(f) - f).max(), rel=0.01
    )
    free = hw4opt("solve", doses, "--x", "dose", *given, "--json", "-", "--quiet").json
    assert free["warnings"] == []


def test_select_loo_x_and_loo(hw4opt, doses):
    words = ["solve", doses, "--x", "dose", *GIVEN, "--json", "-", "--quiet"]
    together, alone, grouped = (
        hw4opt(*words, *how).json
        for how in (["--select", "loo:x"], ["--select", "loo"], ["--select", "kfold:4", "--groups", "batch"])
    )
    assert [one["selection"]["method"] for one in (together, alone, grouped)] == ["loo:x", "loo", "kfold:4"]
    assert together["selection"]["fits"] == 6 and alone["selection"]["fits"] == 24
    assert together["warnings"] == [] and "share their x" in alone["warnings"][0] and grouped["warnings"] == []
    assert together["selection"]["score"] > alone["selection"]["score"]
    auto = hw4opt(*words, "--groups", "batch").json["selection"]
    assert auto["method"] == "kfold:4" and auto["standard_error"] == pytest.approx(
        grouped["selection"]["standard_error"]
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--select", "loo:y"], "there are auto, loo, loo:x, kfold:K (as in kfold:10) and none"),
        (
            ["--select", "loo:x", "--groups", "batch"],
            "--groups batch keeps rows together and --select loo:x holds out one at a time",
        ),
        (
            ["--select", "loo:x", "--folds", "contiguous"],
            "--folds contiguous: with --select loo:x every x is a fold of its own",
        ),
        (["--select", "loo:x", "--search-seed", "3"], "--search-seed 3: nothing is drawn"),
        (
            ["--loss", "huber:delta=auto", "--grid", "delta=1:2:3", "--metric", "absolute"],
            "--grid delta: huber.delta is given a value, too",
        ),
        (["--loss", "huber:delta=car"], "--loss huber:delta=car: delta is 'car'; give a number"),
        (["--loss", "quantile:tau=auto"], "--loss quantile:tau=auto: tau is 'auto'; give a number"),
        (["--reg", "tv=auto"], "--reg tv=auto: weight is 'auto'; give a number"),
    ],
)
def test_words_that_do_not_go_together(hw4opt, doses, words, said):
    done = hw4opt("solve", doses, "--x", "dose", *words)
    assert done.status == 2 and done.out == "" and said in done.err and done.err.count("\n") == 1


def test_help_names_the_new_words(hw4opt):
    text = " ".join(hw4opt("solve", "--help").out.split())
    assert "auto|loo|loo:x|kfold:K|none" in text and "delta=auto" in text


# ---- ranges


def test_a_search_beyond_its_range_gets_a_note(hw4opt, tmp_path):
    """Noise-free rows: the smaller the ridge the better, beyond any default range."""
    x = np.linspace(0, 1, 20)
    name = table(tmp_path / "smooth.csv", x=x, y=np.sin(3 * x))
    record = hw4opt("solve", name, "--gamma", "1", "--json", "-", "--quiet").json
    (note,) = [note for note in record["warnings"] if note.startswith("ridge was searched beyond its default range")]
    low = float(note.partition("default range ")[2].split()[0])
    assert record["hyperparameters"]["ridge"] < low and ", down to " in note
    named = hw4opt("solve", name, "--gamma", "1", "--grid", "ridge=0.01:10:5", "--json", "-", "--quiet").json
    assert (
        named["hyperparameters"]["ridge"] == pytest.approx(0.01)
        and "lies on the lower edge of its range 0.01 to 10; widen it downwards with --grid ridge="
        in named["warnings"][0]
    )


def test_years_are_as_good_as_years_from_their_mean(hw4opt, tmp_path):
    draw = np.random.default_rng(3)
    year = np.arange(1991.0, 2021)
    y = 14 + 0.02 * (year - 1991) + 0.1 * draw.standard_normal(30)
    raw, centred = (
        table(tmp_path / "raw.csv", year=year, y=y),
        table(tmp_path / "centred.csv", year=year - year.mean(), y=y),
    )
    words = [
        "--design",
        "linear",
        "--intercept",
        "--loss",
        "huber:delta=0.2",
        "--reg",
        "ridge",
        "--select",
        "loo",
        "--json",
        "-",
        "--quiet",
    ]
    one, other = (hw4opt("solve", name, *words).json["selection"] for name in (raw, centred))
    assert one["score"] == pytest.approx(other["score"], rel=1e-6)
    assert [row["ridge"] for row in one["table"]][:13] == pytest.approx([row["ridge"] for row in other["table"]][:13])


# ---- delta


def test_a_delta_of_another_unit_gets_a_warning(hw4opt, milli):
    done = hw4opt("solve", milli, "--loss", "huber", *GIVEN, "--select", "none")
    assert (
        "no residual lies beyond huber's delta = 1, which makes this least squares; --loss huber:delta=auto" in done.err
    )
    tiny = hw4opt("solve", milli, "--loss", "huber:delta=1e-9", *GIVEN, "--select", "none")
    assert (
        "40 of 40 residuals lie beyond huber's delta = 1e-09, which makes this nearly least absolute deviations"
        in tiny.err
    )
    for words in (
        ["huber:delta=0.0004", "--gamma", "20", "--reg", "ridge=0.001"],
        ["huber:delta=auto", "--gamma", "20", "--reg", "ridge=0.001"],
    ):
        assert "delta" not in hw4opt("solve", milli, "--loss", *words, "--select", "none").err


def test_an_automatic_delta_is_in_the_json_the_table_and_the_model(hw4opt, milli, tmp_path):
    words = ["solve", milli, "--loss", "huber:delta=auto", "--save", "m.json", "--json", "a.json"]
    done = hw4opt(*words)
    record = json.loads((tmp_path / "a.json").read_text())
    x, y = np.loadtxt(tmp_path / milli, delimiter=",", skiprows=1, unpack=True)
    delta = record["hyperparameters"]["huber.delta"]
    assert delta == pytest.approx(1.345 * noise_size(x[:, None], y)) and 0.0002 < delta < 0.0008
    assert f"{delta:.6g}  (auto)" in done.out
    assert Result.load(tmp_path / "m.json").problem.loss.delta == delta
    by_hand = hw4opt("solve", milli, "--loss", f"huber:delta={delta!r}", "--json", "-", "--quiet").json
    assert (
        by_hand["selection"]["score"] == pytest.approx(record["selection"]["score"])
        and "huber.delta" not in by_hand["hyperparameters"]
    )


def test_an_automatic_delta_in_check_and_path(hw4opt, milli):
    words = ["--loss", "huber:delta=auto", "--gamma", "20", "--json", "-", "--quiet", "--select"]
    along = hw4opt("path", milli, "--vary", "ridge=0.001:1:3", *words, "none").json
    crossed = hw4opt(
        "check", milli, "--reg", "ridge=0.01", "--solver", "interior", "--solver", "admm", *words, "none"
    ).json
    assert along["hyperparameters"]["huber.delta"] == crossed["hyperparameters"]["huber.delta"] > 0
    refused = hw4opt("path", milli, "--vary", "delta=0.001:1:3", "--loss", "huber:delta=auto", "--metric", "absolute")
    assert refused.status == 2 and "--vary delta: huber.delta is given a value, too" in refused.err
