"""`hw4opt em`: JSON, playlists, plain runs, and a sentence for everything that is wrong."""

import csv
import json
import sys

import numpy as np
import pytest

KEYS = """version command seed platform data_sha256 status message k log_likelihood trace proportions rates
    feature_names standard_errors bic aic icl responsibilities cluster_sizes starts cycles seconds"""
QUICK = ["--restarts", "24", "--search", "40"]


@pytest.fixture
def songs(tmp_path):
    """A CSV of 80 songs: name, plays, tempo, mood, groups of four, initial labels, exposure, and wrong columns."""
    draw = np.random.default_rng(0)
    path = tmp_path / "songs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["song", "plays", "tempo", "loud", "day", "start", "hours", "flat", "half", "none", "minus", "gap", "huge"]
        )
        for i in range(80):
            x, mood = draw.normal(size=2), i // 4 % 2
            plays = draw.poisson(np.exp(2 + (0.9 if mood else -0.9) * x[0]))
            gap = "" if i == 6 else 1.5
            writer.writerow(
                [f"s{i}", plays, *x, f"d{i // 4}", i % 2, 1 + i % 3, 7, plays + 0.5, 0, plays - 100, gap, 1e6 * i]
            )
    return path


DATA = ["songs.csv", "--y", "plays", "--x", "tempo,loud"]


def test_the_built_in_listener_shows_true_against_found(hw4opt):
    done = hw4opt("em", *QUICK)
    assert (
        done.status == 0
        and "true 2" in done.out
        and "--plot" in done.out
        and "of the songs are in the right one" in done.out
    )
    record = hw4opt("em", *QUICK, "--json", "-", "--quiet").json
    assert not [key for key in KEYS.split() if key not in record]
    assert record["k"] == 3 and record["status"] == "certified" and record["truth"]["moods_right"] > 0.8
    assert np.abs(np.array(record["rates"]) - record["truth"]["rates"]).max() < 0.3
    assert record["feature_names"][0] == "(intercept)" and np.diff(record["proportions"]).max() <= 0
    assert (
        set(record["starts"]) >= {"tried", "agreed", "failed", "next_best"} and len(record["trace"]) == record["cycles"]
    )
    df, n = 3 * 4 + 2, len(record["responsibilities"])
    assert record["bic"] == pytest.approx(-2 * record["log_likelihood"] + df * np.log(n))
    assert record["aic"] == pytest.approx(-2 * record["log_likelihood"] + 2 * df)
    assert record["icl"] == pytest.approx(record["bic"] + 2 * record["entropy"])


@pytest.mark.thinned(4)
@pytest.mark.parametrize(
    "words",
    [
        ["--x", "tempo,energy", "--k", "2"],
        ["--no-intercept", "--k", "2"],
        ["--offset", "tempo", "--k", "3"],
        ["--x", "energy"],
    ],
)
def test_with_other_columns_there_is_no_truth_to_compare_with(hw4opt, tmp_path, words):
    done = hw4opt("em", *words, "--restarts", "4", "--search", "0", "--plot", "a.png", "--json", "-")
    assert done.status == 0 and "truth" not in done.json and "(true" not in done.err and (tmp_path / "a.png").exists()
    assert "--offset" not in words or done.json["feature_names"] == ["(intercept)", "energy", "acoustic"]


@pytest.mark.slow
def test_the_truth_is_compared_in_the_order_of_the_columns(hw4opt):
    words = ["--restarts", "8", "--search", "8", "--json", "-", "--quiet"]
    plain = hw4opt("em", *words).json
    turned = hw4opt("em", "--x", "acoustic,tempo,energy", *words, "--plot", "a.png").json
    order = [plain["feature_names"].index(name) for name in turned["feature_names"]]
    assert order == [0, 3, 1, 2] and turned["truth"]["moods_right"] == plain["truth"]["moods_right"]
    assert turned["truth"]["rates"] == [[row[place] for place in order] for row in plain["truth"]["rates"]]


def test_with_groups_proportions_are_shares_of_the_groups(hw4opt, songs):
    words = ["--k", "2", "--restarts", "4", "--search", "0"]
    assert "share of the groups" in hw4opt("em", *DATA, *words, "--groups", "day").out
    assert "share of the rows" in hw4opt("em", *DATA, *words).out


def test_rows_of_weight_0_are_left_out_whatever_they_hold(hw4opt, tmp_path):
    draw = np.random.default_rng(0)
    x = draw.normal(size=60)
    plays = draw.poisson(np.exp(2 + np.where(np.arange(60) % 2, 0.9, -0.9) * x))
    rows = [f"{count},{tempo},1" for count, tempo in zip(plays, x, strict=True)]
    words = ["--y", "plays", "--x", "tempo", "--k", "2", *QUICK, "--json", "-", "--quiet"]
    (tmp_path / "plain.csv").write_text("\n".join(["plays,tempo,w", *rows]))
    plain = hw4opt("em", "plain.csv", *words).json
    for cell, plot in (("-999", []), ("0.5", []), ("1e300", ["--plot", "a.png"])):
        (tmp_path / "odd.csv").write_text("\n".join(["plays,tempo,w", f"{cell},0.1,0", *rows]))
        done = hw4opt("em", "odd.csv", *words, "--weights", "w", *plot)
        assert done.status == 0 and done.json["log_likelihood"] == pytest.approx(plain["log_likelihood"]), cell
        assert done.json["warnings"] == plain["warnings"]
    (tmp_path / "odd.csv").write_text("\n".join(["plays,tempo,w", "-999,0.1,0", "-3,0.1,1", *rows]))
    assert "column 'plays' holds -3 in row 2" in hw4opt("em", "odd.csv", *words, "--weights", "w").err
    (tmp_path / "odd.csv").write_text("\n".join(["plays,tempo,w", "5,0.1,0", "0,0.1,1", "0,0.3,1"]))
    assert "every count in column 'plays' is 0" in hw4opt("em", "odd.csv", *words, "--weights", "w").err
    (tmp_path / "odd.csv").write_text("\n".join(["plays,tempo,w", "5,0.1,0", "3,0.2,0"]))
    assert "every weight in column 'w' is 0" in hw4opt("em", "odd.csv", *words, "--weights", "w").err


def test_playlists_of_an_earlier_fit_with_more_moods_are_named(hw4opt, songs, tmp_path):
    words = [*DATA, "--k", "2", "--restarts", "4", "--search", "0", "--json", "-", "--quiet", "--playlists"]
    (tmp_path / "lists").mkdir()
    for name in ("mood_2.csv", "mood_3.csv", "mood_10.csv", "mood_4.txt"):
        (tmp_path / "lists" / name).write_text("old")
    done = hw4opt("em", *words, "lists")
    said = "--playlists lists also holds mood_3.csv, mood_10.csv, not of this fit: it has k = 2"
    assert done.status == 0 and said in done.json["warnings"] and said in done.err
    assert (tmp_path / "lists" / "mood_3.csv").read_text() == "old" != (tmp_path / "lists" / "mood_2.csv").read_text()
    assert not any("also holds" in one for one in hw4opt("em", *words, "new").json["warnings"])


def test_a_catalogue_becomes_playlists(hw4opt, songs, tmp_path):
    done = hw4opt(
        "em", *DATA, "--k", "2", *QUICK, "--catalogue", "songs.csv", "--top", "5", "--playlists", "lists", "--json", "-"
    )
    record = done.json
    assert done.status == 0 and len(record["playlists"]) == 2 and "Mood 1" in done.err
    for number, one in enumerate(record["playlists"], 1):
        with (tmp_path / "lists" / f"mood_{number}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["rank", "row", "song", "day", "score", "standard_error"] and len(rows) == 5
        assert [int(row["row"]) - 1 for row in rows] == one["rows"] and [row["song"] for row in rows] == one["song"]


def test_playlists_default_to_the_listeners_own_songs(hw4opt, songs, tmp_path):
    assert hw4opt("em", *DATA, "--k", "2", *QUICK, "--playlists", "a", "--quiet").status == 0
    assert (
        hw4opt("em", *DATA, "--k", "2", *QUICK, "--catalogue", "songs.csv", "--playlists", "b", "--quiet").status == 0
    )
    assert (tmp_path / "a" / "mood_2.csv").read_text() == (tmp_path / "b" / "mood_2.csv").read_text()


@pytest.mark.slow
def test_plain_runs_exactly_so_many_cycles_and_is_exit_1_where_it_is_not_stationary(hw4opt, songs, tmp_path):
    words = ["--k", "2", "--plain", "--init", "start", "--json", "-", "--quiet", "--plot", "p.png"]
    short = hw4opt("em", *DATA, *words, "--cycles", "3")
    assert (
        short.status == 1
        and short.json["status"] == "iteration_limit"
        and len(short.json["trace"]) == short.json["cycles"] == 3
    )
    assert "--plot p.png not written" in short.err and not (tmp_path / "p.png").exists()
    long = hw4opt("em", *DATA, *words, "--cycles", "400")
    assert long.status == 0 and long.json["trace"][:3] == pytest.approx(short.json["trace"], rel=1e-12)
    assert (np.diff(long.json["trace"]) >= -1e-12 * abs(long.json["log_likelihood"])).all() and (
        tmp_path / "p.png"
    ).exists()


def test_k_range_chooses_by_a_criterion(hw4opt, songs):
    done = hw4opt("em", *DATA, "--k-range", "1:3", *QUICK, "--json", "-")
    assert (
        done.status == 0
        and done.json["k"] == 2
        and list(done.json["bic_by_k"]) == ["1", "2", "3"]
        and "Moods by bic" in done.err
    )
    assert done.json["bic_by_k"]["2"] == done.json["bic"] == min(done.json["bic_by_k"].values())
    held = hw4opt("em", *DATA, "--k-range", "1:2", *QUICK, "--criterion", "held_out", "--json", "-", "--quiet").json
    assert held["k"] == 2 and held["held_out_by_k"]["2"] > held["held_out_by_k"]["1"]


def test_the_seconds_cap_a_whole_range_and_say_what_was_not_tried(hw4opt, songs):
    done = hw4opt("em", *DATA, "--k-range", "1:70", "--search-seconds", "0.3", "--json", "-", "--quiet")
    tried = [int(k) for k in done.json["bic_by_k"]]
    assert tried == list(range(1, len(tried) + 1)) and (len(tried) == 70 or f"before k = {len(tried) + 1}" in done.err)


def test_columns_of_any_size_give_the_same_moods_and_playlists(hw4opt, songs, tmp_path):
    rows = list(csv.DictReader(songs.read_text().splitlines()))
    for size in ("1e160", "1e-200"):
        with (tmp_path / "sized.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["song", "plays", "tempo", "loud"])
            writer.writerows(
                [[row["song"], row["plays"], float(row["tempo"]) * float(size), row["loud"]] for row in rows]
            )
        words = ["--y", "plays", "--k", "2", *QUICK, "--json", "-", "--quiet"]
        sized = hw4opt("em", "sized.csv", *words, "--playlists", "sized").json
        plain = hw4opt("em", *DATA, "--k", "2", *QUICK, "--json", "-", "--quiet", "--playlists", "plain").json
        for key in ("rates", "standard_errors"):
            assert np.array(sized[key]) * [1, float(size), 1] == pytest.approx(np.array(plain[key]), rel=1e-6)
        for one, other in zip(sized["playlists"], plain["playlists"], strict=True):
            assert one["song"] == other["song"] and one["standard_errors"] == pytest.approx(
                other["standard_errors"], rel=1e-6
            )


def test_a_catalogue_may_name_its_columns_as_playlists_do(hw4opt, songs, tmp_path):
    lines = ["rank,row,mood,scores,tempo,loud,score", *(f"first,r{i},sad,x,{i / 9},{-i / 9},top" for i in range(9))]
    (tmp_path / "ranked.csv").write_text("\n".join(lines))
    words = ["--k", "2", *QUICK, "--catalogue", "ranked.csv", "--playlists", "lists", "--json", "-", "--quiet"]
    one = hw4opt("em", *DATA, *words).json["playlists"][0]
    header = (tmp_path / "lists" / "mood_1.csv").read_text().splitlines()[0].split(",")
    assert header == [
        "rank",
        "row",
        "catalogue_rank",
        "catalogue_row",
        "mood",
        "scores",
        "catalogue_score",
        "score",
        "standard_error",
    ]
    assert one["mood"] == 1 and one["catalogue_mood"] == ["sad"] * 9 and one["catalogue_scores"] == ["x"] * 9
    assert one["catalogue_rank"] == ["first"] * 9 and one["scores"][0] == max(one["scores"])


def test_scores_that_no_number_holds_are_null_and_said(hw4opt, songs, tmp_path):
    rows = list(csv.DictReader(songs.read_text().splitlines()))
    lines = ["plays,tempo", *(f"{row['plays']},{float(row['tempo']) * 1e-9}" for row in rows)]
    (tmp_path / "small.csv").write_text("\n".join(lines))
    (tmp_path / "far.csv").write_text("tempo\n1e-9\n1.7e308\n")
    words = ["--y", "plays", "--k", "2", *QUICK, "--catalogue", "far.csv", "--playlists", "lists", "--json", "-"]
    done = hw4opt("em", "small.csv", *words)
    assert done.status == 0 and "left empty" in done.err
    for number, one in enumerate(done.json["playlists"], 1):
        assert (
            one["standard_errors"][one["rows"].index(1)] is None
            and one["standard_errors"][one["rows"].index(0)] is not None
        )
        assert "inf" not in (tmp_path / "lists" / f"mood_{number}.csv").read_text()


@pytest.mark.slow
def test_groups_offsets_weights_ridge_and_files(hw4opt, songs, tmp_path):
    words = [
        "--groups",
        "day",
        "--exposure",
        "hours",
        "--weights",
        "hours",
        "--ridge",
        "0.5",
        "--plot",
        "m.png",
        "--save",
        "m.json",
    ]
    done = hw4opt("em", *DATA, "--k", "2", *QUICK, *words, "--json", "o.json", "--quiet")
    record = json.loads((tmp_path / "o.json").read_text())
    assert done.status == 0 and done.out == "" and (tmp_path / "m.png").stat().st_size > 10_000
    shares = np.array(record["responsibilities"]).reshape(20, 4, 2)
    assert (shares == shares[:, :1]).all() and record["trace"][-1] == pytest.approx(record["log_likelihood"])
    assert json.loads((tmp_path / "m.json").read_text())["names"] == ["(intercept)", "tempo", "loud"]


def test_the_same_seed_gives_the_same_answer(hw4opt, songs):
    one, other = (
        hw4opt("em", *DATA, "--k", "3", *QUICK, "--json", "-", "--quiet", "--seed", "5").json for _ in range(2)
    )
    assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_two_processes_give_the_answer_of_one(hw4opt, songs):
    words = ["em", *DATA, "--k", "3", "--restarts", "72", "--search", "72", "--json", "-", "--quiet"]
    one, two = hw4opt(*words).json, hw4opt(*words, "--workers", "2").json
    same = {"seconds": 0, "command": ""}
    assert one | same == two | same


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of distributed
def test_the_workers_of_dask_give_the_answer_of_this_process(hw4opt, songs):
    distributed = pytest.importorskip("distributed", reason="Dask needs distributed, an extra")
    words = ["em", *DATA, "--k-range", "1:3", "--restarts", "72", "--search", "72", "--json", "-", "--quiet"]
    here = hw4opt(*words)
    workers = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**workers) as cluster:
        there = hw4opt(*words, "--dask", cluster.scheduler_address)
    assert there.status == here.status == 0 and there.err == here.err
    same = {"seconds": 0, "command": ""}
    assert there.json | same == here.json | same


def test_what_dask_needs_is_one_sentence(hw4opt, songs, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = hw4opt("em", *DATA, "--k", "2", "--dask", "tcp://127.0.0.1:1")
    assert done.status == 2 and "pip install 'hw4opt[dask]'" in done.err and done.err.count("\n") == 1


def test_seconds_that_run_out_are_flagged(hw4opt, songs):
    done = hw4opt("em", *DATA, "--k", "3", "--search-seconds", "1e-6", "--json", "-", "--quiet")
    assert any("ran out" in said for said in done.json["warnings"]) and "ran out" in done.err


def test_fractions_are_taken_with_quasi_and_said(hw4opt, songs):
    words = ["songs.csv", "--y", "half", "--x", "tempo", "--k", "2", *QUICK, "--json", "-", "--quiet"]
    assert hw4opt("em", *words).status == 2
    done = hw4opt("em", *words, "--quasi")
    assert done.status == 0 and any("fractions" in said for said in done.json["warnings"])


def test_a_mood_without_maximum_is_exit_1(hw4opt, tmp_path):
    draw = np.random.default_rng(0)
    lines = [f"{draw.poisson(8) if draw.uniform() < 0.6 else 0},{draw.normal()}" for _ in range(150)]
    (tmp_path / "zeros.csv").write_text("plays,tempo\n" + "\n".join(lines))
    done = hw4opt("em", "zeros.csv", "--y", "plays", "--k", "2", *QUICK, "--json", "-", "--quiet")
    assert done.status == 1 and done.json["status"] == "no_finite_maximum" and "mood 2" in done.err
    assert done.json["standard_errors"] is None and "not identified" in done.json["standard_errors_reason"]
    assert (
        hw4opt(
            "em", "zeros.csv", "--y", "plays", "--k", "2", *QUICK, "--ridge", "0.01", "--no-intercept", "--quiet"
        ).status
        == 0
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["songs.csv", "--y", "plays", "--x", "tempo"], "the number of moods is not given"),
        ([*DATA, "--k", "2", "--k-range", "1:3"], "both give the number of moods"),
        ([*DATA, "--k-range", "3:1"], "give LOW:HIGH"),
        ([*DATA, "--k-range", "1:²"], "give LOW:HIGH"),
        ([*DATA, "--k-range", "1:81"], "k is 81 and there are 80 distinct rows; k must be 80 or less"),
        (
            [*DATA, "--k-range", "1:999999999999", "--playlists", "lists"],
            "k is 999999999999 and there are 80 distinct rows",
        ),
        ([*DATA, "--k-range", "1:21", "--groups", "day"], "k is 21 and there are 20 groups; k must be 20 or less"),
        ([*DATA, "--k", "0"], "0 is not in the range"),
        ([*DATA, "--k", "81"], "there are 80 distinct rows"),
        (["songs.csv", "--y", "play", "--k", "2"], "no column 'play' (did you mean 'plays'?)"),
        (["songs.csv", "--y", "half", "--x", "tempo", "--k", "2"], "column 'half' holds"),
        (["songs.csv", "--y", "minus", "--x", "tempo", "--k", "2"], "column 'minus' holds -"),
        (["songs.csv", "--y", "none", "--x", "tempo", "--k", "2"], "every count in column 'none' is 0"),
        (["songs.csv", "--y", "plays", "--x", "tempo,flat", "--k", "2"], "column 'flat' is constant"),
        (["songs.csv", "--y", "plays", "--x", "song", "--k", "2"], "column 'song' holds text ('s0') in row 1"),
        (["songs.csv", "--y", "plays", "--x", "gap", "--k", "2"], "column 'gap' is empty in row 7"),
        (["songs.csv", "--y", "plays", "--x", "plays", "--k", "2"], "both x and y"),
        ([*DATA, "--k", "2", "--offset", "flat", "--exposure", "hours"], "have the same meaning"),
        ([*DATA, "--k", "2", "--exposure", "none"], "exposures must be above 0"),
        ([*DATA, "--k", "2", "--init", "start"], "belongs to --plain"),
        ([*DATA, "--k", "2", "--plain"], "give --init COL and --k K"),
        ([*DATA, "--k", "2", "--plain", "--init", "start", "--restarts", "3"], "belongs to the search"),
        ([*DATA, "--k", "2", "--plain", "--init", "start", "--workers", "2"], "--workers 2 belongs to the search"),
        ([*DATA, "--k", "2", "--plain", "--init", "start", "--dask", "tcp://a:1"], "--dask tcp://a:1 belongs to the"),
        ([*DATA, "--k", "2", "--workers", "2", "--dask", "tcp://a:1"], "and --dask tcp://a:1 has workers of its own"),
        ([*DATA, "--k", "2", "--workers", "0"], "0 is not in the range"),
        ([*DATA, "--k", "3", "--plain", "--init", "start"], "no row has the initial label 2"),
        ([*DATA, "--k", "2", "--catalogue", "absent.csv"], "there is no file absent.csv"),
        ([*DATA, "--k", "2", "--catalogue", "one.csv"], "the catalogue one.csv: no column 'loud'"),
        ([*DATA, "--k", "2", "--playlists", "songs.csv"], "is a file; give a folder"),
        ([*DATA, "--k", "2", "--playlists", "songs.csv/lists"], "songs.csv is not a folder"),
        ([*DATA, "--k", "2", "--playlists", "x" * 300], "cannot write to --playlists"),
        ([*DATA, "--k", "2", "--playlists", ".", "--save", "mood_2.csv"], "would overwrite --save mood_2.csv"),
        ([*DATA, "--k", "2", "--plain", "--init", "hours"], "the initial labels hold 2 in row 2"),
        ([*DATA, "--k", "2", "--offset", "huge"], "offset holds 1e+06 in row 2"),
        (["nothing.csv", "--k", "2"], "there is no file nothing.csv"),
        (["one.csv", "--y", "plays", "--k", "1"], "there is one row"),
        ([*DATA, "--k", "2", "--criterion", "magic"], "magic"),
    ],
)
def test_wrong_input_is_exit_2_and_one_sentence(hw4opt, songs, tmp_path, words, sentence):
    (tmp_path / "one.csv").write_text("plays,tempo\n3,1.5\n")
    before = sorted(tmp_path.iterdir())
    done = hw4opt("em", *words, "--json", "-")
    assert done.status == 2 and done.out == "" and sentence in done.err and done.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_em_has_every_option_of_the_contract(hw4opt):
    text = hw4opt("em", "--help").out
    options = """--y --x --offset --exposure --weights --groups --k --k-range --no-intercept --restarts --search
        --search-seconds --ridge --quasi --plain --init --cycles --catalogue --top --playlists"""
    assert not [option for option in options.split() if option not in text]
