"""`hw4opt solve` and `predict` of several files, folders, patterns, and files that memory does not hold."""

import csv
import errno
import hashlib
import io
import json
import re
import signal
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from hw4cli.progress import Bar
from hw4opt import InputError, Result
from hw4opt.blocks import load_blocks
from hw4opt.tables.files import TableFiles
from hw4opt.tables.parquet import ArrowCells

arrow = pytest.importorskip("pyarrow", reason="Parquet files need pyarrow, an extra")
parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet files need pyarrow, an extra")

GIVEN = ["--loss", "huber:delta=0.5", "--gamma", "30", "--reg", "ridge=0.1"]
RUN = "import sys; from hw4cli.opt.app import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def data(tmp_path):
    """Three Parquet files and, of the same rows, a CSV."""
    draw = np.random.default_rng(0)
    x = draw.uniform(0, 1, 3_000)
    columns = {"x": x, "y": np.sin(8 * x) + 0.3 * draw.standard_normal(3_000), "count": draw.poisson(2.0, 3_000)}
    (tmp_path / "data").mkdir()
    for number in range(3):
        part = {name: values[1_000 * number : 1_000 * (number + 1)] for name, values in columns.items()}
        table = arrow.table({**part, "name": ["a, b"] * 1_000})
        parquet.write_table(table, tmp_path / f"data/{number}.parquet", row_group_size=300, write_page_checksum=True)
    with (tmp_path / "all.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*columns, "name"])
        rows.writerows([*map(float, row), "a, b"] for row in zip(*columns.values(), strict=True))
    return tmp_path / "data"


def test_a_pattern_a_folder_and_several_files_are_the_fit_of_one_table(hw4opt, data):
    files = sorted(data.iterdir())
    done = [
        hw4opt("solve", *words, *GIVEN, "--x", "x", "--json", "-", "--save", f"{number}.json")
        for number, words in enumerate([(data / "*.parquet",), (data,), reversed(files), (data / "../all.csv",)])
    ]
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    first = done[0].json
    assert first["status"] == "certified" and first["n"] == 3_000 and first["selection"] is None
    assert first["data_sha256"] == hashlib.sha256("".join(digests).encode()).hexdigest()
    for other in done[1:3]:
        assert {**other.json, "command": 0, "seconds": 0, "files": 0} == {
            **first,
            "command": 0,
            "seconds": 0,
            "files": 0,
        }
    whole = done[3].json
    assert first["objective"] == pytest.approx(whole["objective"], rel=1e-12)
    assert first["gap_scale"] == pytest.approx(whole["gap_scale"], rel=1e-10)
    x = np.linspace(0, 1, 77)
    assert np.abs(load_blocks("0.json").predict(x) - Result.load("3.json").predict(x)).max() < 1e-8
    stored = json.loads((data / "../0.json").read_text())
    assert stored["basis"] is not None and "duals" not in stored and "x" not in stored["arrays"]


@pytest.mark.slow
def test_a_gamma_a_column_is_that_of_one_table(hw4opt, data):
    words = ["--x", "x,count", "--gamma", "x=30,count=0.2", "--loss", "huber:delta=0.5", "--reg", "ridge=0.1"]
    blocks, whole = (hw4opt("solve", rows, *words, "--json", "-").json for rows in (data, data / "../all.csv"))
    assert blocks["hyperparameters"] == whole["hyperparameters"] == {"gamma.x": 30, "gamma.count": 0.2, "ridge": 0.1}
    assert blocks["objective"] == pytest.approx(whole["objective"], rel=1e-12)


STATES = [
    ["--reg", "tv=0.3"],
    ["--x", "x,count", "--constraint", "increasing:column=x"],
    ["--loss", "quantile:tau=0.7"],
]


@pytest.mark.thinned(3)
@pytest.mark.parametrize("words", STATES)
def test_terms_with_duals_over_files_are_the_fit_of_one_table(hw4opt, data, words):
    words = ["--x", "x", *GIVEN, *words, "--select", "none", "--json", "-"]
    files = hw4opt("solve", data / "*.parquet", *words, "--save", "0.json").json
    whole = hw4opt("solve", data / "../all.csv", *words, "--save", "1.json").json
    assert files["status"] == "certified" and files["solver"] == "interior" and files["passes"] == 2
    for name in ("objective", "gap_scale", "prediction_error_bound"):
        assert files[name] == pytest.approx(whole[name], rel=1e-8, abs=1e-8)
    assert files["largest_drop"] == pytest.approx(whole["largest_drop"], abs=1e-8)
    assert files["n"] == 3_000 and files["rank"] == whole["rank"] and "dual_coef" not in files
    for model, out in (("0.json", "0.csv"), ("1.json", "1.csv")):
        assert hw4opt("predict", model, data / "*.parquet", "--out", out).status == 0
    found, there = (np.genfromtxt(data.parent / name, delimiter=",", skip_header=1) for name in ("0.csv", "1.csv"))
    assert np.abs(found[:, -2:] - there[:, -2:]).max() < 1e-8  # name has a comma, which is quoted


def test_a_file_is_read_once_however_it_is_spelt(hw4opt, data):
    (data.parent / "link.csv").symlink_to(data.parent / "all.csv")
    names = [data.parent / "all.csv", "all.csv", "./all.csv", "link.csv"]
    assert hw4opt("solve", *names, *GIVEN, "--x", "x", "--json", "-").json["n"] == 3_000


def test_a_fault_in_a_later_file_is_a_sentence_for_terms_with_duals_too(hw4opt, data):
    words = ["--x", "x", *GIVEN, "--reg", "tv=0.3", "--save", "b.json", "--json", "a.json"]
    before = sorted(data.parent.iterdir())
    whole = (data / "2.parquet").read_bytes()
    columns = {"x": np.linspace(0, 1, 9), "y": [1.0] * 8 + [np.nan], "count": [1] * 9, "name": [""] * 9}
    parquet.write_table(arrow.table(columns), data / "2.parquet")
    done = hw4opt("solve", data, *words)
    assert done.status == 2 and "2.parquet: column 'y' holds nan in row 9" in done.err and done.err.count("\n") == 1
    (data / "2.parquet").write_bytes(whole[:400] + bytes(200) + whole[600:])
    done = hw4opt("solve", data, *words)
    assert done.status == 2 and "2.parquet is damaged" in done.err and done.err.count("\n") == 1
    assert sorted(data.parent.iterdir()) == before


def test_a_table_that_memory_does_not_hold_is_read_in_blocks(hw4opt, data):
    words = ("solve", data / "../all.csv", *GIVEN, "--x", "x", "--json", "-", "--select", "none")
    small, large = (hw4opt(*words, "--memory", memory).json for memory in ("1M", "1G"))
    assert "passes" in small and "passes" not in large
    assert small["objective"] == pytest.approx(large["objective"], rel=1e-12)
    assert small["data_sha256"] == large["data_sha256"]


def test_predictions_go_from_file_to_file(hw4opt, data):
    assert hw4opt("solve", data, *GIVEN, "--x", "x", "--save", "m.json").status == 0
    done = hw4opt("predict", "m.json", data / "*.parquet", "--out", "p.parquet", "--json", "-")
    found = parquet.read_table(data / "../p.parquet")
    assert done.json["n"] == 3_000 and done.json["status"] == "certified"
    assert found.column_names == ["x", "y", "count", "name", "prediction", "bound"]
    assert found.schema.field("count").type == arrow.int64() and found["name"][2_999].as_py() == "a, b"
    result = load_blocks("m.json")
    np.testing.assert_array_equal(found["prediction"], result.predict(found["x"].to_numpy()))
    np.testing.assert_array_equal(found["bound"], result.bound(found["x"].to_numpy()))
    assert hw4opt("predict", "m.json", data / "../all.csv", "--out", "one.csv").status == 0
    assert hw4opt("predict", "m.json", data / "../all.csv", "--memory", "1k", "--out", "two.csv").status == 0
    assert (data / "../one.csv").read_text() == (data / "../two.csv").read_text()
    assert hw4opt("predict", "m.json", data / "../all.csv", "--out", "q.pq").status == 0
    again = parquet.read_table(data / "../q.pq")
    assert again["x"].type == arrow.float64() and again["prediction"].equals(found["prediction"])
    memory = hw4opt("solve", data / "0.parquet", *GIVEN, "--x", "x", "--select", "none", "--save", "r.json")
    assert memory.status == 0 and hw4opt("predict", "r.json", data, "--out", "r.parquet").status == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--x", "x", "--constraint", "increasing:everywhere"], "at every x cannot be fitted over rows in blocks"),
        (["--loss", "quantile:tau=0.1;0.9"], "quantile of several levels cannot be fitted over rows in blocks"),
        (["--x", "x", "--reg", "tv=1", "--memory", "300kb"], "for 3,000 rows, and the limit is 300 kB; give a larger"),
        (["--x", "x", "--weights", "y"], "0.parquet: column 'y' holds -1.61146 in row 891"),
        (["--x", "x", "--save", "-"], "--save -: nothing but --json goes to stdout; give a name, as in ./-"),
        (["--x", "x", "--reg", "tv=1", "--memory", "300k"], "tv over rows in blocks needs"),
        (["--x", "x", "--reg", "tv=1", "--solver", "newton"], "rows in blocks are fitted by --solver interior"),
        (["--x", "count,x", "--constraint", "increasing"], "give increasing:column=NAME, or one x column"),
        (["--x", "x", "--reg", "tv=1", "--y", "name"], "0.parquet: column 'name' holds text ('a, b') in row 1"),
        (["--x", "x,count", "--gamma", "each", "--select", "none"], "--select none chooses nothing: give --gamma"),
        (["--x", "x,count", "--gamma", "x=2"], "count has no gamma"),
        (["--plot", "a.png"], "--plot needs all rows at once"),
        (["--select", "loo"], "--select loo needs all rows at once; give auto, which chooses on a sample, or kfold:K"),
        (["--select", "kfold:4000"], "kfold:4000 needs as many rows as folds at least, and 3000 have a weight above 0"),
        (["--grid", "ridge=0.1:1:3"], "--grid ridge: ridge is given a value, too"),
        (["--grid", "delta=0.1:1:3", "--loss", "huber"], "metric loss would reward a shrinking loss"),
        (["--select", "none", "--one-se"], "--one-se is for choosing"),
        (["--metric", "squared"], "--metric is for held-out rows, and none are held out"),
        (["--max-input", "10"], "0.parquet holds more than 10 bytes"),
        (["--groups", "count"], "--groups needs all rows at once"),
        (["--solver", "admm"], "--solver admm needs all rows at once"),
        (["--x", "name"], "0.parquet: column 'name' holds text ('a, b') in row 1"),
        (["--x", "nope"], "no column 'nope' (did you mean 'name'?)"),
        (["--y", "nope"], "no column 'nope' (did you mean 'name'?)"),
        (["--save", "data/0.parquet"], "0.parquet"),
    ],
)
def test_what_blocks_cannot_have_is_one_sentence(hw4opt, data, words, said):
    done = hw4opt("solve", data, "--gamma", "30", "--reg", "ridge=0.1", *words)
    assert done.status == 2 and said in done.err and done.err.count("\n") == 1 and done.out == ""


@pytest.mark.slow
def test_hyperparameters_are_chosen_on_all_rows_or_on_a_sample(hw4opt, data):
    """The chosen model is fitted; its score equals that of the same search in memory up to the different folds."""
    words = ["--x", "x", "--loss", "huber:delta=0.5", "--search", "grid", "--grid", "ridge=0.01:10:4", "--json", "-"]
    words += ["--gamma", "30"]
    every = hw4opt("solve", data, *words, "--select", "kfold:5", "--save", "m.json")
    found = every.json["selection"]
    assert every.json["status"] == "certified" and found["method"] == "kfold:5" and found["fits"] == 20
    assert found["largest_fold_gap"] < 1e-9 and len(found["table"]) == 4 and found["notes"] == []
    best = min(found["table"], key=lambda row: row["score"])
    assert best["ridge"] == every.json["hyperparameters"]["ridge"] and best["score"] == found["score"]
    whole = hw4opt("solve", data / "../all.csv", *words, "--select", "kfold:5").json["selection"]
    assert found["score"] == pytest.approx(whole["score"], abs=0.1 * whole["standard_error"])
    assert found["standard_error"] == pytest.approx(whole["standard_error"], rel=0.01)
    sample = hw4opt("solve", data, *words)  # which is all of so few rows
    assert sample.json["selection"]["notes"] == [] and "were chosen on" not in sample.err
    words = ["--x", "x,count", "--reg", "ridge=0.1", "--search", "random:2", "--select", "kfold:3", "--json", "-"]
    named = hw4opt("solve", data, *words, "--gamma", "each").json
    assert set(named["selection"]["table"][0]) >= {"gamma.x", "gamma.count", "ridge"}
    assert named["hyperparameters"]["gamma.count"] in [row["gamma.count"] for row in named["selection"]["table"]]


def test_terms_with_a_state_for_each_row_are_chosen_fold_by_fold_and_the_cost_is_told(hw4opt, data, monkeypatch):
    words = ["--x", "x", "--gamma", "30", "--reg", "tv=0.3", "--reg", "ridge", "--search", "grid", "--json", "-"]
    words += ["--grid", "ridge=0.1:1:2", "--folds", "contiguous", "--select", "kfold:3"]
    monkeypatch.setattr(Bar.__init__, "__defaults__", (False, None, 0.0))
    done, whole = hw4opt("solve", data, *words), hw4opt("solve", data / "../all.csv", *words)
    found, known = done.json["selection"], whole.json["selection"]
    assert [row["score"] for row in found["table"]] == pytest.approx([row["score"] for row in known["table"]], rel=1e-6)
    assert done.json["hyperparameters"] == whole.json["hyperparameters"] and found["fits"] == 6
    told = r"choosing: 6 fits to 3,000 rows in the first round of the search; by the first, each takes about \S+ s, "
    assert len(re.findall(told, done.err)) == 1
    assert "fits to" not in hw4opt("solve", data, *words, "--quiet").err


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.5, "0.5 s, and all about 50 s"), (90, "90 s, and all about 2.5 hours")]
)
def test_the_cost_is_in_units_that_are_read_at_a_glance(seconds, said):
    stream = io.StringIO()
    Bar("choosing", stream=stream).cost(100, 5, seconds)
    assert said in stream.getvalue()
    Bar("choosing", stream=stream).cost(1, 5, 0.1)
    assert stream.getvalue().count("\n") == 1


def test_the_solver_that_runs_may_be_named(hw4opt, data):
    for more, name in (["--reg", "tv=0.3"], "interior"), ([], "newton"):
        done = hw4opt("solve", data, *GIVEN, "--x", "x", *more, "--solver", name, "--json", "-")
        assert done.status == 0 and done.json["solver"] == name


def test_a_file_without_a_whole_row_is_left_out_of_predictions(hw4opt, data):
    assert hw4opt("solve", data, *GIVEN, "--x", "x", "--save", "m.json").status == 0
    empty = arrow.table({"x": arrow.array([None] * 5, arrow.float64()), "y": [1.0] * 5})
    parquet.write_table(empty, data / "../empty.parquet")
    (data / "../new.csv").write_text("x,y\n0.5,1\n,2\n")
    (data / "../new").mkdir()
    words = ["predict", "m.json", data / "../new", "--out", "p.csv", "--missing", "drop", "--json", "-"]
    for name, n in (("a.parquet", 0), ("b.csv", 1)):
        source = data / f"../{'empty.parquet' if n == 0 else 'new.csv'}"
        (data / "../new" / name).write_bytes(source.read_bytes())
        done = hw4opt(*words)
        if n == 0:
            assert done.status == 2 and "misses a cell; --missing drop leaves none" in done.err
    assert done.status == 0 and done.json["n"] == 1 and done.json["dropped_count"] == 6
    assert any("6 rows are left out, for a missing cell" in one for one in done.json["warnings"])
    done = hw4opt(*words[:4], "-", *words[5:])
    assert done.status == 2 and "--out -: nothing but --json goes to stdout" in done.err


def test_a_damaged_file_and_a_missing_column_are_one_sentence_and_nothing_is_written(hw4opt, data):
    assert hw4opt("solve", data, *GIVEN, "--x", "x", "--save", "m.json").status == 0
    whole = (data / "1.parquet").read_bytes()
    (data / "1.parquet").write_bytes(whole[:400] + bytes(200) + whole[600:])
    before = sorted(data.parent.iterdir())
    for words in (
        ("solve", data, *GIVEN, "--x", "x", "--json", "a.json", "--save", "b.json"),
        ("solve", data, "--x", "x", "--gamma", "30", "--select", "kfold:3", "--json", "a.json", "--save", "b.json"),
        ("solve", data, "--like", "m.json", "--json", "a.json"),
        ("predict", "m.json", data, "--out", "p.parquet"),
        ("predict", "m.json", data, "--out", "p.csv"),
    ):
        done = hw4opt(*words)
        assert done.status == 2 and "1.parquet is damaged" in done.err and done.err.count("\n") == 1
    (data / "1.parquet").write_bytes(whole)
    parquet.write_table(arrow.table({"y": [1.0, 2.0]}), data / "2.parquet")
    done = hw4opt("solve", data, *GIVEN, "--json", "a.json")
    assert done.status == 2 and "2.parquet has no column 'x'" in done.err
    assert sorted(data.parent.iterdir()) == before


def test_a_full_disk_is_one_sentence_and_nothing_is_written(hw4opt, data, monkeypatch):
    assert hw4opt("solve", data, *GIVEN, "--x", "x", "--save", "m.json").status == 0
    before = sorted(data.parent.iterdir())

    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hw4cli.opt.predict_files.write_csv_block", full)
    done = hw4opt("predict", "m.json", data, "--out", "p.csv")
    assert done.status == 1 and "No space left on device" in done.err and done.err.count("\n") == 1
    assert sorted(data.parent.iterdir()) == before


@pytest.mark.slow
def test_ctrl_c_leaves_no_file(start, data):
    """SIGINT arrives while rows are read: the child prints a byte at each pass."""
    code = "import hw4opt.blocks.tables as t; parts = t.TableRows.parts; "
    code += "t.TableRows.parts = lambda *a: (print(flush=True), __import__('time').sleep(1), parts(*a))[2]; "
    before = sorted(data.parent.iterdir())
    words = ["solve", str(data), *GIVEN, "--x", "x", "--json", "a.json", "--save", "m.json"]
    running = start(code + RUN, *words, cwd=data.parent)
    assert running.stdout.read(1) == b"\n"
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130 and b"Traceback" not in err
    assert sorted(data.parent.iterdir()) == before


@pytest.mark.slow
def test_ctrl_c_while_choosing_on_a_sample_ends_with_130_and_the_best_so_far(hw4opt, data, monkeypatch):
    from hw4cli.opt import solve_blocks

    def choose(*given, **named):
        return replace(select_blocks(*given, **named), interrupted=True)

    select_blocks = solve_blocks.select_blocks
    monkeypatch.setattr(solve_blocks, "select_blocks", choose)
    words = ["--x", "x", "--gamma", "30", "--reg", "tv=0.3", "--json", "r.json", "--save", "m.json"]
    done = hw4opt("solve", data, *words)
    assert done.status == 130 and "interrupted; what was done is kept" in done.err
    assert json.loads((data.parent / "r.json").read_text())["status"] == "interrupted"
    assert not (data.parent / "m.json").exists()


def test_files_in_blocks_are_tables(data):
    """Messages name the row in its file, not in its block."""
    blocks = list(TableFiles.of(data).blocks(["x"]))
    assert [len(one) for one in blocks] == [1_000] * 3 and isinstance(blocks[0].column("x"), ArrowCells)
    with pytest.raises(InputError, match="row 7"):
        blocks[0].refuse("x", 7, "")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of distributed
def test_the_workers_of_dask_give_the_fit_of_this_process(hw4opt, data):
    distributed = pytest.importorskip("distributed", reason="Dask needs distributed, an extra")
    words = ["solve", data, *GIVEN, "--x", "x", "--json", "-"]
    here = hw4opt(*words)
    workers = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**workers) as cluster:
        there = hw4opt(*words, "--dask", cluster.scheduler_address)
        shown = hw4opt(*words[:-2], "--dask", cluster.scheduler_address)
        before = sorted(data.parent.iterdir())
        whole = (data / "1.parquet").read_bytes()
        (data / "1.parquet").write_bytes(whole[:400] + bytes(200) + whole[600:])
        damaged = hw4opt(*words[:-1], "a.json", "--dask", cluster.scheduler_address)
    assert there.status == 0 and there.json["dask"]["workers"] == 2 and "2 workers of up to" in shown.out
    for key in ("objective", "gap", "gap_scale", "data_sha256", "passes", "rank"):
        assert there.json[key] == here.json[key]
    assert damaged.status == 2 and "1.parquet is damaged" in damaged.err and damaged.err.count("\n") == 1
    assert sorted(data.parent.iterdir()) == before


def test_what_dask_needs_is_one_sentence(hw4opt, data, monkeypatch):
    done = hw4opt("solve", *GIVEN, "--select", "none", "--dask", "tcp://127.0.0.1:1")
    assert done.status == 2 and "--select none excludes; drop one of the two" in done.err
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = hw4opt("solve", data, *GIVEN, "--x", "x", "--dask", "tcp://127.0.0.1:1")
    assert done.status == 2 and "pip install 'hw4opt[dask]'" in done.err and done.err.count("\n") == 1
    done = hw4opt("solve", "--dask", "tcp://127.0.0.1:1")
    assert done.status == 2 and "pip install 'hw4opt[dask]'" in done.err and done.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of distributed
def test_settings_of_a_table_in_memory_are_scored_by_the_workers_of_dask(hw4opt, data):
    distributed = pytest.importorskip("distributed", reason="Dask needs distributed, an extra")
    words = ["solve", data / "../small.csv", "--x", "x", "--reg", "tv", "--select", "kfold:3", "--json", "-"]
    lines = (data / "../all.csv").read_text().splitlines()
    (data / "../small.csv").write_text("\n".join(lines[:120]) + "\n")
    here, workers = hw4opt(*words), {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**workers) as cluster:
        there = hw4opt(*words, "--dask", cluster.scheduler_address)
    assert there.status == here.status == 0 and there.json["fitted"] == here.json["fitted"]
    assert there.json["selection"] | {"seconds": 0} == here.json["selection"] | {"seconds": 0}


def test_rows_with_a_missing_cell_are_refused_or_dropped_with_a_warning(hw4opt, tmp_path):
    for name, rows in (("a.csv", [(0, 1), (1, 2), (2, 1), (3, 3)]), ("b.csv", [("", 5), (4, 2), (5, 1)])):
        (tmp_path / name).write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in rows))
    words = ["solve", "a.csv", "b.csv", "--gamma", "1", "--reg", "ridge=1", "--json", "-"]
    done = hw4opt(*words)
    assert done.status == 2 and "in row 1; give a value, drop the row, or give --missing drop" in done.err
    done = hw4opt(*words, "--missing", "drop")
    said = "1 row misses a cell of 'x' and is dropped: 5, counted through all files in sorted order"
    assert done.status == 0 and done.json["dropped_rows"] == [4] and done.json["warnings"] == [said]
    assert f"warning: {said}" in done.err


def test_what_was_chosen_is_shown_by_the_names_of_columns(hw4opt, data):
    words = ["--x", "x,count", "--gamma", "each", "--reg", "ridge=0.1", "--grid", "gamma.count=1e-9:2e-9:2"]
    words += ["--grid", "gamma.x=30:40:2", "--search", "grid", "--select", "kfold:2"]
    done = hw4opt("solve", data / "0.parquet", data / "1.parquet", *words)
    assert done.status == 0 and "the best gamma.count = " in done.err and "gamma.1" not in done.err
    assert re.search(r"gamma\.count +\S+ +\(chosen\)", done.out) and re.search(r"ridge +0\.1\n", done.out)
    assert re.search(r"held-out loss +\S+ ± \S+ +\(kfold:2, 8 fits", done.out)


def test_rows_in_blocks_have_a_problem_file(hw4opt, data):
    words = ["--x", "x", *GIVEN, "--json", "-"]
    saved = hw4opt("solve", "data/*.parquet", *words, "--save-problem", "p.toml")
    again = hw4opt("solve", "--problem", "p.toml", "--json", "-")
    assert saved.status == again.status == 0, again.err
    assert (again.json["objective"], again.json["n"]) == (saved.json["objective"], 3_000)
    done = hw4opt("solve", "data/0.parquet", "data/1.parquet", *words, "--save-problem", "q.toml")
    assert done.status == 2 and "DATA is several; give a pattern" in done.err


@pytest.mark.parametrize("command", [("report",), ("check",), ("em", "--k", "1")])
def test_a_pattern_is_refused_where_one_file_is_read(hw4opt, data, command):
    done = hw4opt(*command, data / "*.parquet")
    assert done.status == 2 and "*.parquet is a pattern and this command reads one file" in done.err
