"""Requests of a page and their answers, in this process without a browser."""

import json
import random
import shlex
import threading
import time

import numpy as np
import pytest

from hw4cli.opt.explorer import records, window
from hw4cli.opt.explorer.newest import Newest
from hw4opt import (
    RBF,
    Additive,
    Categorical,
    Component,
    Huber,
    Increasing,
    Problem,
    Quantile,
    Ridge,
    TotalVariation,
    fit,
)
from hw4opt.datasets import step_data
from hw4opt.selection import select

GIVEN = ["--gamma", "80", "--reg", "ridge=0.1"]
X, Y, _ = step_data(50, 0)


def data(x=X, y=Y, **more):
    columns = {"x": list(map(float, x)), "y": list(map(float, y)), **more.pop("columns", {})}
    return {"columns": columns, "x": "x", "y": "y", "weights": None, "groups": None, **more}


def objective_of(problem):
    return fit(problem).raise_for_status().objective


def test_the_page_starts_with_the_options_of_solve(open_page):
    page = open_page("--loss", "huber:delta=2", "--gamma", "54", "--reg", "tv=0.3", "--reg", "ridge=0.2")
    page.window.send_start()
    heard = page.wait("data")
    assert heard["truth"] and heard["data"]["columns"]["y"] == Y.tolist()
    expected = Problem(X, Y, RBF(54), Huber(2), [Ridge(0.2), TotalVariation(0.3)])
    answer = page.fit()
    assert answer["certified"] and answer["objective"] == objective_of(expected)
    assert answer["view"]["outliers"][0] == 24


def test_what_is_not_given_starts_in_the_middle_of_its_range(open_page):
    page = open_page("--reg", "tv")
    low, high = records.slider_ranges(page.start.built().problem)["gamma"]
    assert low < page.settings["gamma"] < high
    assert [word.partition(":")[0].partition("=")[0] for word in page.settings["reg"]] == ["ridge", "tv"]
    assert page.fit()["certified"]


def test_a_changed_setting_and_a_moved_point_are_fitted(open_page):
    page = open_page(*GIVEN)
    moved = np.where(np.arange(50) == 24, 12.5, Y)
    answer = page.fit(data(y=moved), loss="huber:delta=1", gamma=60, reg=["ridge=0.1", "tv=0.3"])
    problem = Problem(X, moved, RBF(60), Huber(1), [Ridge(0.1), TotalVariation(0.3)])
    assert answer["objective"] == objective_of(problem)
    settings = {**page.settings, "loss": "huber:delta=1", "gamma": 60, "reg": ["ridge=0.1", "tv=0.3"]}
    exact = page.ask("fitted", "fitted", "fault", settings=settings)["columns"]
    np.testing.assert_allclose(exact["fitted"], fit(problem).fitted, rtol=1e-12)
    assert exact["y"] == moved.tolist() and exact["x"] == X.tolist(), "data stay until others are sent"
    np.testing.assert_allclose(np.add(exact["fitted"], exact["residual"]), moved, atol=1e-12)


def test_a_view_has_the_digits_of_a_drawing_and_nothing_that_the_page_has(open_page):
    page = open_page("--n", "5000", *GIVEN)
    answer, exact = page.fit(), page.ask("fitted", "fitted", settings=page.settings)["columns"]
    view, span = answer["view"], np.ptp(exact["y"])
    np.testing.assert_allclose(view["fitted"], exact["fitted"], atol=5e-7 * span, rtol=0)
    assert view["rows"] is None and view["y"] is None and len(json.dumps(answer)) < 100_000


def test_moves_are_told_alone_and_the_basis_serves_again(open_page):
    page = open_page(*GIVEN)
    settings, y = page.settings, Y.copy()
    refused = page.ask("fit", "fit", "fault", settings=settings, moves=[[24, X[24], 3.0]])
    assert "has not sent" in refused["sentence"]
    page.fit(data(y=y))
    first = page.window._before.design
    for height in (5.0, 6.0):
        y[24] = height
        answer = page.ask("fit", "fit", "fault", settings=settings, data=None, moves=[[24, X[24], height]])
        assert answer["objective"] == objective_of(Problem(X, y, RBF(80), regularizers=[Ridge(0.1)]))
    assert page.window._before.design is first, "only y was moved"
    x = X.copy()
    x[24] = 0.495
    answer = page.ask("fit", "fit", "fault", settings=settings, moves=[[24, 0.495, 6.0]])
    assert answer["objective"] == objective_of(Problem(x, y, RBF(80), regularizers=[Ridge(0.1)]))
    assert page.window._before.design is not first
    other = page.ask("fit", "fit", "fault", settings={**settings, "gamma": 60}, data=None)
    assert other["objective"] == objective_of(Problem(x, y, RBF(60), regularizers=[Ridge(0.1)]))


@pytest.mark.parametrize(
    "moves", [3, [3], [[1, 2]], [[50, 0.1, 0.2]], [[-1, 0.1, 0.2]], [[True, 0.1, 0.2]], [[0.5, 0, 0]], [[1, "2", 3]]]
)
def test_moves_that_are_none_get_a_sentence(open_page, moves):
    page = open_page(*GIVEN)
    page.fit(data())
    answer = page.ask("fit", "fit", "fault", settings=page.settings, moves=moves)
    assert answer["kind"] == "fault" and answer["sentence"].startswith("the page ")


def test_command_and_python_repeat_the_fit(open_page, hw4opt, tmp_path):
    """They are run as they stand, in a folder with the data that the page offers."""
    page = open_page(*GIVEN)
    weights = {"columns": {"w": [1.0, 2.0] * 25}, "weights": "w"}
    for given, settings in (
        (None, {}),
        (None, {"kernel": "matern52", "intercept": True, "loss": "quantile:tau=0.3", "constraint": ["increasing"]}),
        (data(y=Y + 1e-3, **weights), {"loss": "huber:delta=auto", "reg": ["ridge=0.05", "trend:order=1,weight=0.7"]}),
    ):
        answer = page.fit(given, **settings)
        if given is not None:
            names = list(given["columns"])
            rows = zip(*given["columns"].values(), strict=True)
            (tmp_path / "edited.csv").write_text(
                "\n".join([",".join(names), *(",".join(map(repr, row)) for row in rows)])
            )
        words = shlex.split(answer["command"])
        assert words.pop(0) == "hw4opt"
        done = hw4opt(*words, "--json", "-", "--quiet")
        assert done.status == 0, done.err
        assert done.json["objective"] == pytest.approx(answer["objective"], rel=1e-9)
        found: dict = {}
        exec(answer["python"], found)
        assert found["result"].objective == pytest.approx(answer["objective"], rel=1e-9)


def test_the_held_out_error_follows(open_page):
    page = open_page(*GIVEN)
    answer = page.wait("beside", id=page.fit()["id"])
    assert (answer["method"], answer["metric"]) == ("loo", "loss") and {"gamma", "ridge"} == set(answer["ranges"])
    problem = Problem(X, Y, RBF(80), None, [Ridge(0.1)])
    assert answer["held_out"] == pytest.approx(select(problem, [], "loo").score)


def test_choosing_tells_of_its_progress_and_finds_what_solve_finds(open_page, hw4opt):
    page = open_page(*GIVEN)
    answer = page.ask("choose", "chosen", "fault", settings=page.settings)
    assert any(one["kind"] == "progress" for one in page.heard)
    done = hw4opt("solve", "--select", "loo", "--json", "-", "--quiet")
    assert answer["hyperparameters"] == pytest.approx(done.json["hyperparameters"])
    assert answer["score"] == pytest.approx(done.json["selection"]["score"])
    assert len(answer["table"]) == len(done.json["selection"]["table"])


def test_a_search_is_cancelled_and_the_page_goes_on(open_page):
    page = open_page(*GIVEN, "--reg", "tv=1", "--search", "grid")
    search = page.send("choose", settings=page.settings)
    page.wait("progress", id=search)
    page.window.receive(json.dumps({"kind": "cancel", "id": search}))
    assert page.wait("cancelled", "chosen", id=search)["kind"] == "cancelled"
    assert page.fit()["certified"]


def test_fits_are_answered_while_a_search_runs(open_page, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def choice(state, progress):
        begun.set()
        assert go_on.wait(30)
        raise window.SearchCancelledError

    monkeypatch.setattr(records, "choice_record", choice)
    page = open_page(*GIVEN)
    search = page.send("choose", settings=page.settings)
    assert begun.wait(30) and page.fit()["certified"]
    go_on.set()
    page.wait("cancelled", id=search)


def test_only_the_newest_state_is_computed():
    """While the first request is processed, only the last of the others is kept."""
    taken, begun, go_on = [], threading.Event(), threading.Event()

    def act(item):
        taken.append(item)
        begun.set()
        assert go_on.wait(30)

    newest = Newest(act)
    newest.put(0)
    assert begun.wait(30)
    for item in range(1, 100):
        newest.put(item)
    go_on.set()
    deadline = time.monotonic() + 30
    while taken != [0, 99]:
        assert time.monotonic() < deadline, taken
        time.sleep(0.001)
    newest.close()


def test_two_windows_do_not_disturb_each_other(open_page):
    one, other = open_page(*GIVEN), open_page(*GIVEN)
    before = other.fit()["objective"]
    assert one.fit(data(y=Y + 5), gamma=9)["objective"] != before
    assert other.fit()["objective"] == before


# ---- files -----------------------------------------------------------------------------------------------------------

CSV = "time,dose,y\n" + "".join(f"{k},{k * k},{k % 5}\n" for k in range(20))


def test_a_csv_is_opened_and_other_columns_are_taken(open_page):
    page = open_page(*GIVEN)
    opened = page.ask("load", "data", "fault", name="doses.csv", text=CSV)["data"]
    assert (opened["x"], opened["y"], opened["source"]) == ("time", "y", "doses.csv")
    assert opened["choices"] == ["time", "dose", "y"]
    answer = page.fit()
    assert answer["certified"] and answer["command"].startswith("hw4opt solve doses.csv --x time ")
    assert page.ask("columns", "data", "fault", x="dose", y="time")["data"]["y"] == "time"
    assert "--x dose --y time" in page.fit()["command"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x,y\n",
        "x,y\n1\n",
        "x;y\n1;2\n",
        "x,y\n1,2\n2,n/a\n3,1\n4,1\n",
        "x,x\n1,2\n",
        "x,y\n1,2\n1,3\n",
        "\0",
        "1,2\n3,4",
    ],
)
def test_a_bad_csv_is_answered_with_the_sentence_of_the_command_line(open_page, hw4opt, tmp_path, text):
    (tmp_path / "bad.csv").write_text(text)
    done = hw4opt("solve", "bad.csv", *GIVEN, "--select", "none")
    assert done.status == 2
    page = open_page(*GIVEN)
    answer = page.ask("load", "data", "fault", name="bad.csv", text=text)
    assert f"hw4opt: {answer['sentence'].removesuffix('.')}\n" == done.err
    assert page.fit()["certified"], "the data that were there are still there"


def test_a_file_above_the_limit_is_refused(open_page):
    page = open_page(*GIVEN, max_bytes=20)
    answer = page.ask("load", "data", "fault", name="big.csv", text=CSV)
    assert "more than 20 bytes" in answer["sentence"]


# ---- wrong words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"loss": "hubert"}, "did you mean 'huber'"),
        ({"loss": "huber:delta=-1"}, "delta"),
        ({"loss": "__import__('os')"}, "no loss"),
        ({"loss": 7}, "loss"),
        ({"gamma": "80"}, "gamma"),
        ({"gamma": True}, "gamma"),
        ({"gamma": -1}, "gamma"),
        ({"reg": ["ridge=0.1"] * 100}, "reg"),
        ({"reg": "ridge"}, "reg"),
        ({"weights": "y"}, "setting"),
        ({"constraint": ["increasing", "increasing"]}, "twice"),
        ({"kernel": "rbf:" + "9" * 300}, "kernel"),
    ],
)
def test_a_wrong_setting_is_answered_with_a_sentence(open_page, settings, part):
    page = open_page(*GIVEN)
    answer = page.fit(**settings)
    assert answer["kind"] == "fault" and part in answer["sentence"], answer
    assert window.UNEXPECTED not in answer["sentence"]
    assert page.ask("fit", "fit", "fault", settings={**page.settings}, data=None)["kind"] == "fit"


@pytest.mark.parametrize(
    "given",
    [
        {},
        data(x=X[:40]),
        data(columns={"z": [0.0]}),
        {**data(), "x": None},
        {**data(), "columns": {"x": ["a"], "y": [1]}},
        {**data(), "columns": {"x": [10**400, 1], "y": [1, 2]}},
        {**data(), "columns": {"x": [], "y": []}},
        data(x=[1.0], y=[2.0]),
        data(x=[1.0, 1.0], y=[2.0, 3.0]),
        data(x=[1e300, -1e300], y=[2.0, 3.0]),
    ],
)
def test_wrong_data_are_answered_with_a_sentence(open_page, given):
    page = open_page(*GIVEN)
    answer = page.fit(given)
    assert answer["kind"] == "fault" and window.UNEXPECTED not in answer["sentence"], answer


def messages(count, seed=0):
    """Random messages: valid ones with changes, and noise."""
    draw = random.Random(seed)
    words = [
        "huber",
        "huber:delta=1",
        "",
        "ridge=0.1",
        "tv=1",
        "increasing",
        "a" * 300,
        "\0",
        "é",
        "ridge=1e999",
        "=:,",
        "depth",
        "depth.tv=1",
        "depth=depth:rbf",
        "site=site,x:linear",
        "quantile:tau=0.1;0.9",
    ]
    parts = [[[0, None, 1.0]], [[1, 0.5, 1.0]], {"depth": 1.0}, ["depth=depth:rbf", "site=x"]]
    values = [None, True, *parts, 0, -1, 1e308, 10**30, "x", [], {}, [1, 2], [[]], {"x": [1]}, *words]
    names = [
        "kind",
        "id",
        "settings",
        "data",
        "columns",
        "x",
        "y",
        "loss",
        "gamma",
        "reg",
        "kernel",
        "name",
        "text",
        "moves",
        "shown",
        "component",
        "weights",
        "site",
    ]

    def value(depth):
        if depth and draw.random() < 0.5:
            return {draw.choice(names): value(depth - 1) for _ in range(draw.randrange(5))}
        return draw.choice(values)

    for _ in range(count):
        kind = draw.choice(["fit", "choose", "cancel", "load", "columns", "report", "fitted", "none", 3])
        message = {"kind": kind, "id": draw.randrange(9), **{draw.choice(names): value(3) for _ in range(4)}}
        if draw.random() < 0.3:
            setting = draw.choice(["loss", "gamma", "reg", "kernel", "constraint", "component"])
            message["settings"] = {setting: draw.choice(values)}
        text = json.dumps(message)
        yield text if draw.random() < 0.8 else text[: draw.randrange(len(text))] + draw.choice(["", "NaN", "[" * 999])


@pytest.mark.parametrize(("is_sum", "count"), [(False, 10_000), (True, 2_000)])
def test_random_messages_do_not_break_a_window(open_page, tmp_path, is_sum, count):
    """Each message is answered or queued; none causes an internal error."""
    write_sites(tmp_path / "sites.csv")
    page = open_page(str(tmp_path / "sites.csv"), *SUM) if is_sum else open_page(*GIVEN)
    page.asked = 100  # above the numbers of the random ones
    for text in messages(count):
        page.window.receive(text)
    columns = {"depth": DEPTH.tolist(), "age": AGE.tolist(), "site": SITE.tolist(), "y": PARTS.tolist()}
    sites = {"columns": columns, "x": None, "y": "y", "weights": None, "groups": None}
    answer = page.fit(sites if is_sum else data())
    assert answer["kind"] == "fit" and answer["certified"], answer
    unexpected = {
        one["sentence"] for one in page.heard if one["kind"] == "fault" and window.UNEXPECTED in one["sentence"]
    }
    assert not unexpected


def test_a_report_of_the_page_holds_its_fit_and_its_search(open_page):
    page = open_page(*GIVEN)
    page.ask("choose", "chosen", "fault", settings=page.settings)
    answer = page.ask("report", "report", "fault", settings={**page.settings, "loss": "huber"}, data=None)
    html = answer["html"]
    assert page.fit(loss="huber")["command"] in html and "How hyper-parameters were chosen" in html


def test_intervals_are_drawn_where_they_are_asked_for(open_page):
    page = open_page(*GIVEN)
    assert "band" not in page.wait("beside", id=page.fit()["id"])
    asked = page.send("fit", settings=page.settings, data=None, bands=True)
    band = page.wait("beside", id=asked)["band"]
    chosen = select(fit(Problem(X, Y, RBF(80), None, [Ridge(0.1)])).problem, [], "loo", keep_folds=True)
    ends = fit(chosen.problem).predict_interval(np.array(band["x"]), 0.9)[1][:, :, 0]
    np.testing.assert_allclose(np.stack([band["lower"], band["upper"]], axis=1), ends, rtol=1e-9)


def test_shapes_at_every_x_are_fitted_and_their_proof_is_said(open_page):
    page = open_page(*GIVEN, "--constraint", "increasing:everywhere")
    answer = page.fit()
    shape = Increasing(everywhere=True)
    assert answer["objective"] == objective_of(Problem(X, Y, RBF(80), None, [Ridge(0.1)], [shape]))
    assert "increasing on [0, 1]: proven" in answer["shapes"][0] and "increasing:everywhere" in answer["command"]
    assert page.fit(constraint=["increasing"])["shapes"] == []
    assert "proven" in page.fit(constraint=["bounds:lower=-1,everywhere=0..2"])["shapes"][0]


# ---- several curves, and sums ----------------------------------------------------------------------------------------


def test_every_level_is_drawn_and_its_fit_repeated(open_page, hw4opt):
    page = open_page("--loss", "quantile:tau=0.1;0.5;0.9", *GIVEN)
    answer = page.fit()
    exact = fit(Problem(X, Y, RBF(80), Quantile((0.1, 0.5, 0.9)), [Ridge(0.1)]))
    assert answer["objective"] == exact.objective and answer["view"]["levels"] == [0.1, 0.5, 0.9]
    at = exact.predict(np.array(answer["view"]["curve_x"]))
    np.testing.assert_allclose(answer["view"]["level_curves"], at.T, atol=1e-4)
    np.testing.assert_allclose(answer["view"]["curve"], at[:, 1], atol=1e-4)
    done = hw4opt(*shlex.split(answer["command"])[1:], "--json", "-", "--quiet")
    assert done.json["objective"] == pytest.approx(answer["objective"], rel=1e-9)
    columns = page.ask("fitted", "fitted", "fault", settings=page.settings)["columns"]
    np.testing.assert_allclose(columns["fitted 0.9"], exact.fitted[:, 2], rtol=1e-12)
    beside = page.wait("beside", id=page.send("fit", settings=page.settings, data=None, bands=True))
    assert beside["held_out"] > 0 and "band" not in beside


def test_levels_come_and_go(open_page):
    page = open_page(*GIVEN)
    for loss, exact in (
        ("quantile", Quantile(0.5)),
        ("quantile:tau=0.1;0.9", Quantile((0.1, 0.9))),
        ("quantile:tau=0.1;0.5;0.9", Quantile((0.1, 0.5, 0.9))),
        ("quantile", Quantile(0.5)),
    ):
        answer = page.fit(loss=loss)
        assert answer["objective"] == objective_of(Problem(X, Y, RBF(80), exact, [Ridge(0.1)])), answer


RNG = np.random.default_rng(3)
DEPTH, AGE, SITE = RNG.uniform(0, 9, 40), RNG.uniform(20, 60, 40), RNG.choice(["north", "south", "west"], 40)
PARTS = 3 * np.log1p(DEPTH) - ((AGE - 40) / 20) ** 2 + 2 * (SITE == "south") + RNG.normal(0, 0.3, 40)
SUM = ["--additive", "--component", "site=site:categorical", "--gamma", "depth=0.3,age=0.01", "--reg", "ridge=0.1"]
SUM += ["--reg", "depth.tv=0.3", "--reg", "site.ridge=0.2", "--constraint", "depth.increasing"]


def write_sites(path, y=PARTS):
    rows = "\n".join(",".join(map(str, row)) for row in zip(DEPTH, AGE, SITE, y, strict=True))
    path.write_text(f"depth,age,site,y\n{rows}\n")


def exact_sum(y=PARTS, gamma=0.3, tv=0.3):
    parts = [
        Component("site", [2], Categorical(), 0.2),
        Component("depth", [0], RBF(gamma), 0.1, [TotalVariation(tv)], [Increasing()]),
        Component("age", [1], RBF(0.01), 0.1),
    ]
    codes = np.unique(SITE, return_inverse=True)[1]
    return fit(Problem(np.column_stack([DEPTH, AGE, codes]), y, Additive(parts))).raise_for_status()


@pytest.mark.slow
def test_a_component_of_a_sum_is_drawn_and_has_controls_of_its_own(open_page, hw4opt, tmp_path):
    write_sites(tmp_path / "sites.csv")
    page = open_page("sites.csv", *SUM)
    exact = exact_sum()
    bare = [word for word in page.settings["reg"] if "tv" not in word]
    page.ask("fit", "fit", "fault", settings={**page.settings, "reg": bare, "constraint": []}, shown="age")
    answer = page.ask("fit", "fit", "fault", settings=page.settings, shown="age")  # whose design has other functionals
    assert answer["objective"] == pytest.approx(exact.objective, rel=1e-9)
    np.testing.assert_allclose(answer["view"]["fitted"], exact.components[2].fitted, atol=1e-4)
    partial = exact.components[2].fitted + PARTS - exact.fitted
    np.testing.assert_allclose(answer["view"]["y"], partial, atol=1e-4)
    levels = page.ask("fit", "fit", settings=page.settings, shown="site")["view"]
    assert levels["ticks"] == ["north", "south", "west"] and levels["curve"][2] is None
    settings = {**page.settings, "gamma": {"depth": 0.5, "age": 0.01}}
    settings["reg"] = [word.replace("depth.tv=0.3", "depth.tv=0.7") for word in page.settings["reg"]]
    changed = page.ask("fit", "fit", "fault", settings=settings, shown="depth")
    assert changed["objective"] == pytest.approx(exact_sum(gamma=0.5, tv=0.7).objective, rel=1e-9)
    done = hw4opt(*shlex.split(changed["command"])[1:], "--json", "-", "--quiet")
    assert done.json["objective"] == pytest.approx(changed["objective"], rel=1e-9)
    found: dict = {}
    exec(changed["python"], found)
    assert found["result"].objective == pytest.approx(changed["objective"], rel=1e-9)
    chosen = page.ask("choose", "chosen", "fault", settings=settings, shown="depth")
    assert {"depth.gamma", "depth.tv", "site.ridge", "age.gamma"} <= {*chosen["hyperparameters"]}


def test_points_of_a_component_are_moved_and_levels_stay_text(open_page, hw4opt, tmp_path):
    write_sites(tmp_path / "sites.csv")
    page = open_page("sites.csv", *SUM)
    page.window.send_start()
    columns = page.wait("data")["data"]["columns"]
    assert columns["site"] == SITE.tolist()
    sent = {"columns": columns, "x": None, "y": "y", "weights": None, "groups": None}
    page.ask("fit", "fit", "fault", settings=page.settings, shown="depth", data=sent)
    moved = np.where(np.arange(40) == 7, 30.0, PARTS)
    answer = page.ask("fit", "fit", "fault", settings=page.settings, shown="site", moves=[[7, None, 30.0]])
    assert answer["objective"] == pytest.approx(exact_sum(moved).objective, rel=1e-9)
    write_sites(tmp_path / "edited.csv", moved)
    done = hw4opt(*shlex.split(answer["command"])[1:], "--json", "-", "--quiet")
    assert done.json["objective"] == pytest.approx(answer["objective"], rel=1e-9)
    fault = page.ask("fit", "fit", "fault", settings=page.settings, shown="width")
    assert fault["kind"] == "fault" and "'width'" in fault["sentence"]


def test_a_file_that_is_opened_in_place_of_a_sum_is_one_curve(open_page, tmp_path):
    write_sites(tmp_path / "sites.csv")
    page = open_page(str(tmp_path / "sites.csv"), *SUM)
    page.ask("fit", "fit", "fault", settings=page.settings, shown="depth")
    opened = page.ask("load", "data", "fault", name="doses.csv", text=CSV)
    assert opened["data"]["components"] == {} and opened["settings"]["component"] == []
    assert opened["settings"]["reg"] == ["ridge=0.1", "tv=0.3"] and opened["settings"]["gamma"] == 0.3
    assert page.ask("fit", "fit", "fault", settings=opened["settings"])["certified"]
