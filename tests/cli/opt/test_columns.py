"""Which columns and rows of a table are taken: features named, levels, dates, missing cells, streams."""

import hashlib
import io
import json
import os
import socket
import threading
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest

SETTLED = ["--gamma", "3", "--reg", "ridge=1", "--select", "none", "--quiet"]
LINEAR = ["--design", "linear", "--reg", "ridge=0.1", "--select", "none", "--quiet"]
CITIES = ["Oslo", "Bergen", "Ås"]


def table(path, columns):
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path.name


@pytest.fixture
def towns(tmp_path):
    draw = np.random.default_rng(0)
    x, city = draw.normal(size=24).round(3).tolist(), [CITIES[i % 3] for i in range(24)]
    y = [a + len(c) for a, c in zip(x, city, strict=True)]
    dummies = {f"is_{c}": [int(one == c) for one in city] for c in sorted(CITIES)}
    table(tmp_path / "towns.csv", {"x": x, "city": city, "y": y})
    table(tmp_path / "all.csv", {"x": x, **dummies, "y": y})
    table(tmp_path / "less.csv", {"x": x, **{name: dummies[name] for name in sorted(dummies)[1:]}, "y": y})
    return tmp_path


def answer(done):
    assert done.status == 0, done.err
    return done.json


# ---- which columns are features --------------------------------------------------------------------------------------


def test_what_is_left_out_is_named_and_what_is_used_stands_in_the_json_and_the_table(hw4opt, tmp_path):
    columns = {"y": range(9), "dose": ['"1,3"'] * 9, "age": range(9), "site": list("abcabcabc"), "void": [""] * 9}
    table(
        tmp_path / "d.csv",
        columns | {"day": [date(2026, 1, i + 1) for i in range(9)], "rare": ["", "", "NA", 3, 4, "", "", "", ""]},
    )
    done = hw4opt("solve", "d.csv", *SETTLED, "--json", "a.json")
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["features"] == ["age"]
    said = "\n".join(record["warnings"])
    assert "column 'dose' holds decimal commas ('1,3') and is left out" in said
    assert "column 'site' holds text ('a')" in said and "--categorical site" in said
    assert "column 'void' is empty" in said and "column 'day' holds dates" in said and "--x day" in said
    assert "column 'rare' misses a number in most rows" in said
    assert all(one in " ".join(done.err.split()) for one in record["warnings"])
    assert ["x", "age"] in [line.split() for line in hw4opt("solve", "d.csv", *SETTLED[:-1]).out.splitlines()]


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
@pytest.mark.parametrize("index", [range(12), range(5, 17), "abcdefghijkl"])
def test_pandas_nameless_index_is_no_feature(hw4opt, tmp_path, name, index):
    x = np.random.default_rng(1).normal(size=12).tolist()
    table(tmp_path / "d.csv", {name: index, "x": x, "y": range(12)})
    record = answer(hw4opt("solve", "d.csv", *SETTLED, "--json", "-"))
    assert record["features"] == ["x"] and f"column {name!r} is an index" in record["warnings"][0]


def test_an_index_that_is_asked_for_is_taken(hw4opt, tmp_path):
    table(tmp_path / "d.csv", {"": range(12), "x": range(12), "y": range(12)})
    assert answer(hw4opt("solve", "d.csv", "--x", "", *SETTLED, "--json", "-"))["features"] == [""]


@pytest.mark.parametrize("cell", ["1_000", "١٢", "１２", "1 000", "0x10", "1d5", "1e5_0"])
def test_what_is_a_number_in_python_alone_is_text(hw4opt, tmp_path, cell):
    table(tmp_path / "d.csv", {"x": [1, 2, 3, 4, cell], "y": range(5)})
    done = hw4opt("solve", "d.csv", *SETTLED)
    assert done.status == 2 and f"column 'x' holds text ({cell!r}) in row 5" in done.err


def test_check_and_path_name_their_features_and_warnings_too(hw4opt, towns):
    for words in (["check", "--solver", "interior", "--solver", "admm"], ["path", "--vary", "ridge=0.1:1:2"]):
        ridge = [] if words[0] == "path" else ["--reg", "ridge=1"]
        done = hw4opt(
            words[0], "towns.csv", *words[1:], "--gamma", "3", *ridge, "--select", "none", "--quiet", "--json", "-"
        )
        assert answer(done)["features"] == ["x"] and "column 'city' holds text" in done.json["warnings"][0]
    assert answer(hw4opt("em", "towns.csv", "--quasi", "--k", "1", "--quiet", "--json", "-", "--y", "y"))[
        "features"
    ] == ["x"]


# ---- levels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "dummies", "levels"),
    [
        (["--design", "linear", "--intercept"], "less.csv", ["Oslo", "Ås"]),
        (["--design", "linear"], "all.csv", ["Bergen", "Oslo", "Ås"]),
        (["--gamma", "2"], "all.csv", ["Bergen", "Oslo", "Ås"]),
        (["--gamma", "2", "--intercept"], "all.csv", ["Bergen", "Oslo", "Ås"]),
    ],
)
def test_levels_are_a_dummy_matrix(hw4opt, towns, words, dummies, levels):
    words = [*words, "--reg", "ridge=0.1", "--select", "none", "--quiet", "--json", "-"]
    ours, by_hand = (
        answer(hw4opt("solve", "towns.csv", "--categorical", "city", *words)),
        answer(hw4opt("solve", dummies, *words)),
    )
    assert ours["features"] == ["x", *(f"city={level}" for level in levels)]
    assert (
        ours["objective"] == by_hand["objective"] and ours["fitted"] == by_hand["fitted"] and ours["x"] == by_hand["x"]
    )
    dropped = "'Bergen', is where all of them are 0" in ours["warnings"][0]
    assert "'city'" in ours["warnings"][0] and dropped == (len(levels) == 2)


def test_levels_are_kept_in_the_model_and_an_unseen_one_is_refused(hw4opt, towns):
    answer(
        hw4opt(
            "solve",
            "towns.csv",
            "--categorical",
            "city",
            "--x",
            "x",
            *LINEAR,
            "--intercept",
            "--save",
            "m.json",
            "--json",
            "-",
        )
    )
    record = answer(hw4opt("predict", "m.json", "towns.csv", "--out", "p.csv", "--quiet", "--json", "-"))
    again = answer(hw4opt("solve", "less.csv", *LINEAR, "--intercept", "--json", "-"))
    np.testing.assert_allclose(record["prediction"], again["fitted"], rtol=1e-12)
    table(towns / "new.csv", {"x": [1, 2, 3], "city": ["Oslo", "Bergen", "Tromsø"]})
    done = hw4opt("predict", "m.json", "new.csv", "--out", "q.csv")
    assert (
        done.status == 2
        and "column 'city' holds the level 'Tromsø' in row 3; the levels fitted are Bergen, Oslo, Ås" in done.err
    )
    assert not (towns / "q.csv").exists()


def test_levels_that_are_numbers_are_sorted_as_such(hw4opt, tmp_path):
    table(tmp_path / "d.csv", {"g": [10, 2, 1] * 5, "y": range(15)})
    assert answer(hw4opt("solve", "d.csv", "--categorical", "g", *SETTLED, "--json", "-"))["features"] == [
        "g=1",
        "g=2",
        "g=10",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--x", "city"], "column 'city' holds text ('Oslo') in row 1; give numbers, or --categorical city"),
        (["--categorical", "nosuch"], "no column 'nosuch'"),
        (["--categorical", "y"], "column 'y' is both --categorical and y"),
        (["--categorical", "one"], "column 'one' has one level only ('a')"),
        (["--categorical", "id"], "column 'id' has 1,200 levels; a categorical column needs 2 to 1,000"),
    ],
)
def test_levels_that_cannot_be(hw4opt, tmp_path, words, said):
    columns = {
        "x": range(1200),
        "city": CITIES * 400,
        "one": ["a"] * 1200,
        "id": [f"s{i}" for i in range(1200)],
        "y": range(1200),
    }
    table(tmp_path / "d.csv", columns)
    done = hw4opt("solve", "d.csv", *words, *LINEAR)
    assert done.status == 2 and said in done.err


def test_a_mixture_takes_levels_too(hw4opt, tmp_path):
    words = ["--quasi", "--k", "1", "--quiet", "--json", "-"]
    draw = np.random.default_rng(3)
    city = [CITIES[i % 3] for i in range(60)]
    plays = [int(draw.poisson(3 + len(c))) for c in city]
    table(tmp_path / "a.csv", {"y": plays, "city": city})
    table(tmp_path / "b.csv", {"y": plays, "o": [int(c == "Oslo") for c in city], "s": [int(c == "Ås") for c in city]})
    ours, by_hand = (
        answer(hw4opt("em", name, *more, *words))
        for name, more in (("a.csv", ["--categorical", "city"]), ("b.csv", []))
    )
    assert ours["feature_names"] == ["(intercept)", "city=Oslo", "city=Ås"] and ours["rates"] == by_hand["rates"]


@pytest.mark.parametrize(
    "change",
    [{"x": 3}, {"x": [1, 2, 3]}, {"x": ["a"]}, {"x": ["a", "b", "c"]}, {"features": 3}, {"features": []}, None, 3, []],
)
def test_a_model_whose_columns_are_not_what_they_should_be_is_refused(hw4opt, towns, change):
    hw4opt("solve", "towns.csv", "--categorical", "city", *LINEAR, "--intercept", "--save", "m.json")
    stored = json.loads((towns / "m.json").read_text())
    del stored["sha256"]
    stored["context"] = stored["context"] | change if isinstance(change, dict) else change
    digest = hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
    (towns / "h.json").write_text(json.dumps(stored | {"sha256": digest}))
    done = hw4opt("predict", "h.json", "towns.csv", "--out", "p.csv", "--plot", "p.png")
    assert done.status == 2 and "damaged" in done.err and not (towns / "p.csv").exists()


# ---- dates -----------------------------------------------------------------------------------------------------------

DAYS = [date(2026, 1, 30) + timedelta(days=i) for i in range(20)]
MOMENTS = [
    datetime(2026, 1, 31, 23, 59, 30, 500_000, timezone(timedelta(hours=2))) + timedelta(seconds=i * i)
    for i in range(20)
]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("cells", "numbers", "unit"),
    [
        (DAYS, list(range(20)), "days since 2026-01-30"),
        (MOMENTS, [i * i for i in range(20)], "seconds since 2026-01-31T21:59:30.5Z"),
        (
            [one.replace(tzinfo=None) for one in MOMENTS],
            [i * i for i in range(20)],
            "seconds since 2026-01-31T23:59:30.5",
        ),
    ],
)
def test_dates_are_days_and_times_are_seconds_since_the_first(hw4opt, tmp_path, kind, cells, numbers, unit):
    y = [i % 4 for i in range(20)]
    if kind == "csv":
        table(tmp_path / "d.csv", {"when": cells, "y": y})
    else:
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(arrow.table({"when": cells, "y": y}), tmp_path / "d.parquet")
    table(tmp_path / "n.csv", {"when": numbers, "y": y})
    words = ["--gamma", "0.01", *SETTLED[2:], "--json", "-"]
    ours, by_hand = (
        answer(hw4opt("solve", f"d.{kind}", "--save", "m.json", *words)),
        answer(hw4opt("solve", "n.csv", *words)),
    )
    assert ours["x"] == numbers and ours["fitted"] == by_hand["fitted"]
    assert f"column 'when' is taken as {unit}" in ours["warnings"]
    record = answer(hw4opt("predict", "m.json", f"d.{kind}", "--out", "p.csv", "--quiet", "--json", "-"))
    np.testing.assert_allclose(record["prediction"], by_hand["fitted"], rtol=1e-12)
    target = answer(hw4opt("solve", f"d.{kind}", "--x", "y", "--y", "when", *words, "--save", "t.json"))
    assert target["y"] == numbers and f"column 'when' is taken as {unit}, and so are predictions" in target["warnings"]
    assert (
        f"predictions are {unit}"
        in answer(hw4opt("predict", "t.json", f"d.{kind}", "--out", "p.csv", "-q", "--json", "-"))["warnings"]
    )


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["2026-01-01T00:00:00", *["2026-01-02T00:00:00Z"] * 4], "names no time zone and others do (row 1"),
        (
            ["2026-01-01", "2026-01-02", "2026-01-03", "2026-02-30", "2026-01-04"],
            "holds text ('2026-02-30') in row 4; give dates",
        ),
        (["2026-01-01", "2026-01-02", "2026-01-03", "", "2026-01-04"], "is empty in row 4"),
    ],
)
def test_dates_that_cannot_be_are_named(hw4opt, tmp_path, cells, said):
    table(tmp_path / "d.csv", {"when": cells, "y": range(5)})
    done = hw4opt("solve", "d.csv", *SETTLED)
    assert done.status == 2 and f"column 'when' {said}" in done.err


# ---- missing cells and rows of weight 0 ------------------------------------------------------------------------------


def gaps(tmp_path):
    x, y = [i / 7 for i in range(20)], [i % 4 for i in range(20)]
    whole = {"x": x, "g": list("abab" * 5), "w": [1] * 20, "y": y}
    holed = {name: list(cells) for name, cells in whole.items()}
    holed["x"][3], holed["y"][9], holed["g"][12], holed["w"][15] = "", "NA", " ", "nan"
    table(tmp_path / "holed.csv", holed)
    rows = [row for row in range(20) if row not in (3, 9, 12, 15)]
    table(tmp_path / "whole.csv", {name: [cells[row] for row in rows] for name, cells in whole.items()})


def test_rows_that_miss_a_cell_are_refused_or_dropped(hw4opt, tmp_path):
    gaps(tmp_path)
    words = [
        "--weights",
        "w",
        "--groups",
        "g",
        "--gamma",
        "3",
        "--reg",
        "ridge=1",
        "--select",
        "kfold:2",
        "--quiet",
        "--json",
        "-",
    ]
    done = hw4opt("solve", "holed.csv", *words)
    assert (
        done.status == 2
        and "column 'x' is empty in row 4; give a value, drop the row, or give --missing drop" in done.err
    )
    ours, whole = (
        answer(hw4opt("solve", "holed.csv", *words, "--missing", "drop")),
        answer(hw4opt("solve", "whole.csv", *words)),
    )
    assert ours["dropped_rows"] == [3, 9, 12, 15] and whole["dropped_rows"] == []
    assert (
        ours["fitted"] == whole["fitted"]
        and ours["n"] == 16
        and ours["selection"]["score"] == whole["selection"]["score"]
    )
    assert "4 rows miss a cell of 'x', 'y', 'w', 'g' and are dropped: 4, 10, 13, 16" in ours["warnings"][0]


def test_predict_drops_rows_without_features(hw4opt, tmp_path):
    gaps(tmp_path)
    hw4opt("solve", "whole.csv", "--x", "x", *SETTLED, "--save", "m.json")
    assert "column 'x' is empty in row 4" in hw4opt("predict", "m.json", "holed.csv", "--out", "p.csv").err
    record = answer(
        hw4opt("predict", "m.json", "holed.csv", "--out", "p.csv", "--missing", "drop", "--quiet", "--json", "-")
    )
    assert (
        record["dropped_rows"] == [3] and record["n"] == 19 and len((tmp_path / "p.csv").read_text().splitlines()) == 20
    )


@pytest.mark.parametrize("missing", ["", " ", None])
def test_a_missing_group_is_refused_by_row(hw4opt, tmp_path, missing):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    groups = [missing if i == 7 else f"u{i % 3}" for i in range(20)]
    columns = {"x": [i / 7 for i in range(20)], "g": groups, "y": [i % 4 for i in range(20)]}
    parquet.write_table(arrow.table(columns), tmp_path / "d.parquet")
    for words in (
        ["em", "--k", "2", "--x", "x"],
        ["solve", "--x", "x", "--select", "kfold:2"],
        ["path", "--vary", "ridge=1:2:2"],
    ):
        done = hw4opt(words[0], "d.parquet", *words[1:], "--groups", "g")
        assert done.status == 2 and "column 'g' is empty in row 8; give every row a group" in done.err


@pytest.mark.parametrize("held", ["", "n/a", "1e300", "inf", "abc", "NaN"])
def test_a_weight_of_0_excuses_anything_in_its_row(hw4opt, tmp_path, held):
    draw = np.random.default_rng(2)
    x = draw.normal(size=30).round(3).tolist()
    plain = {
        "x": x,
        "h": [1 + i % 3 for i in range(30)],
        "g": list("abc") * 10,
        "w": [1] * 30,
        "y": [int(c) for c in draw.poisson(4, 30)],
    }
    table(tmp_path / "plain.csv", plain)
    table(tmp_path / "odd.csv", {name: [0 if name == "w" else held, *cells] for name, cells in plain.items()})
    for words in (
        ["solve", "--x", "x", *LINEAR, "--loss", "poisson", "--exposure", "h", "--intercept"],
        ["solve", "--x", "x", "--gamma", "2", "--reg", "ridge=1", "--select", "kfold:3", "--groups", "g", "--quiet"],
        ["em", "--x", "x", "--exposure", "h", "--groups", "g", "--k", "2", "--search", "5", "--quiet"],
    ):
        ours, bare = (
            answer(hw4opt(words[0], name, *words[1:], "--weights", "w", "--json", "-"))
            for name in ("odd.csv", "plain.csv")
        )
        key = "log_likelihood" if words[0] == "em" else "objective"
        assert ours[key] == pytest.approx(bare[key], rel=1e-12), words
        if words[0] == "solve":
            assert (
                ours["x"][0] is None
                and ours["y"][0] is None
                and ours["fitted"][0] is None
                and ours["fitted"][1] is not None
            )


def test_a_playlist_of_a_table_with_dropped_rows_names_its_rows(hw4opt, tmp_path):
    draw = np.random.default_rng(4)
    x = draw.normal(size=40).round(2)
    y = draw.poisson(np.exp(1 + x))
    table(tmp_path / "d.csv", {"x": ["", *x], "y": [1, *y], "song": [f"s{i}" for i in range(41)]})
    words = ["--k", "1", "--quiet", "--json", "-", "--playlists", "lists", "--top", "3", "--missing", "drop"]
    record = answer(hw4opt("em", "d.csv", *words))
    best = (np.argsort(-x, kind="stable")[:3] + 1).tolist()
    assert record["playlists"][0]["rows"] == best
    rows = [line.split(",") for line in (tmp_path / "lists" / "mood_1.csv").read_text().splitlines()[1:]]
    assert [(int(row[1]), row[2]) for row in rows] == [(place + 1, f"s{place}") for place in best]


# ---- where a table comes from ----------------------------------------------------------------------------------------

DATA = "x,y\n" + "".join(f"{i / 9},{i % 4}\n" for i in range(12))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_dash_is_standard_input(hw4opt, tmp_path, monkeypatch, kind):
    (tmp_path / "d.csv").write_text(DATA)
    data = DATA.encode()
    if kind == "parquet":
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(
            arrow.table({"x": [i / 9 for i in range(12)], "y": [i % 4 for i in range(12)]}), tmp_path / "d.parquet"
        )
        data = (tmp_path / "d.parquet").read_bytes()
    plain = answer(hw4opt("solve", "d.csv", *SETTLED, "--json", "-", "--save", "m.json"))
    for words in (["solve", "-", *SETTLED], ["predict", "m.json", "-", "--out", "p.csv", "--quiet"]):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        record = answer(hw4opt(*words, "--json", "-"))
        np.testing.assert_allclose(
            record["fitted" if words[0] == "solve" else "prediction"], plain["fitted"], rtol=1e-12
        )
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert "standard input is empty" in hw4opt("solve", "-").err
    assert "both standard input" in hw4opt("em", "-", "--k", "1", "--catalogue", "-").err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_fifo_is_read_up_to_max_input(hw4opt, tmp_path):
    os.mkfifo(tmp_path / "f")
    for most, status in (("1k", 0), ("30", 2), ("0.03 kB", 2)):
        writer = threading.Thread(target=(tmp_path / "f").write_text, args=(DATA,))
        writer.start()
        done = hw4opt("solve", "f", *SETTLED, "--max-input", most)
        writer.join()
        assert done.status == status and ("f holds more than 30 bytes" in done.err) == bool(status)


def test_files_are_bounded_and_devices_and_sockets_refused(hw4opt, tmp_path):
    (tmp_path / "d.csv").write_text(DATA)
    refused = hw4opt("solve", "d.csv", "--max-input", "99").err
    assert "d.csv holds more than 99 bytes, the most that is read; give a larger --max-input" in refused
    assert hw4opt("solve", "d.csv", *SETTLED, "--max-input", "2GiB").status == 0
    for wrong in ("0", "-1", "2X", "", "1" * 300, "nan"):
        done = hw4opt("solve", "d.csv", "--max-input", wrong)
        assert done.status == 2 and "500M, 2G or 2GiB" in done.err
    if os.path.exists("/dev/zero"):
        assert "/dev/zero is a device" in hw4opt("solve", "/dev/zero").err
    with socket.socket(socket.AF_UNIX) as held:
        held.bind("s")
        for words in (["solve", "s"], ["em", "s", "--k", "1"], ["check", "s"], ["path", "s", "--vary", "ridge=1:2:2"]):
            done = hw4opt(*words)
            assert done.status == 2 and "s is a socket" in done.err
