"""`hw4opt solve`: the JSON, the choice of hyper-parameters, the files, the table."""

import json
import time

import numpy as np
import pytest

from hw4cli.opt import outputs, solve
from hw4opt import (
    RBF,
    Absolute,
    Huber,
    Laplacian,
    Polynomial,
    Problem,
    Quantile,
    Result,
    Ridge,
    TotalVariation,
    Trend,
    fit,
)
from hw4opt.datasets import step_data

KEYS = (
    "version command seed platform data_sha256 status message solver objective dual_objective gap relative_gap "
    "stationarity violation prediction_error_bound hyperparameters selection n rank iterations seconds x y fitted "
    "dual_coef"
)
GIVEN = ["--gamma", "20", "--reg", "ridge=0.01", "--select", "none"]
DOSE = ["--x", "dose", "--y", "response"]


def test_the_json_holds_the_contract_and_the_library_agrees(hw4opt):
    record = hw4opt("solve", "--loss", "huber:delta=2", *GIVEN, "--reg", "tv=0.3", "--json", "-").json
    assert not [key for key in KEYS.split() if key not in record]
    data = step_data()
    direct = fit(
        Problem(data.x, data.y, kernel=RBF(20), loss=Huber(2), regularizers=[Ridge(0.01), TotalVariation(0.3)])
    )
    assert record["status"] == "certified" and record["n"] == 50 and record["selection"] is None
    assert record["hyperparameters"] == {"gamma": 20, "ridge": 0.01, "tv": 0.3}
    assert record["objective"] == pytest.approx(direct.objective, rel=1e-12)
    np.testing.assert_allclose(record["fitted"], direct.fitted, atol=1e-9)
    np.testing.assert_array_equal(record["y"], data.y)
    np.testing.assert_array_equal(record["x"], data.x)
    assert len(record["dual_coef"]) == 50 and all(isinstance(value, float) for value in record["fitted"])
    assert 0 <= record["prediction_error_bound"] < 1e-3


@pytest.mark.parametrize(
    ("words", "kernel", "loss", "terms"),
    [
        (["--loss", "quantile:tau=0.9"], RBF(20), Quantile(0.9), []),
        (["--loss", "absolute", "--kernel", "laplacian"], Laplacian(20), Absolute(), []),
        (["--kernel", "polynomial:degree=2,coef0=0.5", "--loss", "huber"], Polynomial(20, 2, 0.5), Huber(), []),
        (["--reg", "trend:order=2,weight=0.1", "--loss", "huber:delta=0.5"], RBF(20), Huber(0.5), [Trend(0.1, 2)]),
        (
            ["--reg", "trend:order=2,weight=0.1", "--reg", "tv=2", "--loss", "huber"],
            RBF(20),
            Huber(),
            [Trend(0.1, 2), TotalVariation(2)],
        ),
    ],
)
def test_words_become_terms(hw4opt, words, kernel, loss, terms):
    record = hw4opt("solve", *words, *GIVEN, "--json", "-", "--quiet").json
    data = step_data()
    direct = fit(Problem(data.x, data.y, kernel=kernel, loss=loss, regularizers=[*terms, Ridge(0.01)]))
    assert record["objective"] == pytest.approx(direct.objective, rel=1e-8)


def test_columns_weights_and_scale(hw4opt, dose):
    record = hw4opt(
        "solve",
        dose,
        "--x",
        "dose,age",
        "--y",
        "response",
        "--weights",
        "weight",
        "--scale",
        "standard",
        *GIVEN,
        "--json",
        "-",
    ).json
    table = np.genfromtxt(dose, delimiter=",", names=True, dtype=None, encoding="utf-8")
    x = np.column_stack([table["dose"], table["age"]])
    kwargs = {"kernel": RBF(20), "regularizers": [Ridge(0.01)], "weights": table["weight"], "standardize": True}
    assert record["objective"] == pytest.approx(fit(Problem(x, table["response"], **kwargs)).objective, rel=1e-9)
    np.testing.assert_array_equal(record["x"], x)
    assert record["warnings"] == []


def test_every_numeric_column_without_another_role_is_a_feature(hw4opt, dose):
    record = hw4opt(
        "solve", dose, "--y", "response", "--weights", "weight", "--groups", "group", *GIVEN, "--json", "-"
    ).json
    assert np.shape(record["x"]) == (40, 2)
    assert record["features"] == ["dose", "age"]
    left_out, spreads = record["warnings"]
    assert "column 'id' holds text" in left_out and "--scale standard" in spreads


def test_a_constraint_on_one_of_several_columns(hw4opt, dose):
    words = [
        "--x",
        "age,dose",
        "--y",
        "response",
        "--scale",
        "standard",
        "--gamma",
        "0.5",
        "--reg",
        "ridge=0.01",
        "--select",
        "none",
    ]
    record = hw4opt(
        "solve", dose, *words, "--constraint", "increasing:column=dose", "--save", "m.json", "--json", "-"
    ).json
    assert record["status"] == "certified"
    assert Result.load("m.json").problem.constraints[0].column == 1


def test_a_linear_design_gives_coefficients(hw4opt, dose):
    words = ["--x", "dose,age", "--y", "response", "--design", "linear", "--intercept", "--select", "none"]
    record = hw4opt("solve", dose, *words, "--json", "-").json
    table = np.genfromtxt(dose, delimiter=",", names=True, dtype=None, encoding="utf-8")
    X = np.column_stack([table["dose"], table["age"], np.ones(40)])
    expected = np.linalg.lstsq(X, table["response"], rcond=None)[0]
    np.testing.assert_allclose([*record["coef"], record["intercept"]], expected, rtol=1e-6)
    assert record["hyperparameters"] == {} and "dual_coef" not in record
    assert record["prediction_error_bound"] is None and record["prediction_error_bound_reason"]


def test_logistic_adds_the_mean(hw4opt, tmp_path):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{int(i % 7 > i // 6)}\n" for i in range(30)))
    record = hw4opt(
        "solve", "d.csv", "--loss", "logistic", "--gamma", "0.1", "--reg", "ridge=1", "--select", "none", "--json", "-"
    ).json
    np.testing.assert_allclose(record["mean"], 1 / (1 + np.exp(-np.array(record["fitted"]))))


def test_what_is_not_given_is_chosen(hw4opt):
    record = hw4opt(
        "solve", "--gamma", "50", "--search", "grid", "--grid", "ridge=0.01:1:3", "--select", "loo", "--json", "-"
    ).json
    selection = record["selection"]
    assert selection["method"] == "loo" and selection["fits"] == 150 and len(selection["predictions"]) == 50
    assert [row["gamma"] for row in selection["table"]] == [50] * 3
    best = min(selection["table"], key=lambda row: row["score"])
    assert record["hyperparameters"]["ridge"] == best["ridge"] and selection["score"] == best["score"]
    error = np.square(np.array(selection["predictions"]) - record["y"]).mean()
    assert selection["score"] == pytest.approx(error, rel=1e-9)


def test_everything_given_is_scored(hw4opt):
    record = hw4opt("solve", *GIVEN[:4], "--select", "kfold:5", "--json", "-").json
    assert record["selection"]["method"] == "kfold:5" and record["selection"]["fits"] == 5
    assert record["hyperparameters"] == {"gamma": 20, "ridge": 0.01}


def test_a_parameter_of_the_loss_is_searched_when_named(hw4opt):
    words = [
        "--loss",
        "huber",
        *GIVEN[:4],
        "--search",
        "grid",
        "--grid",
        "delta=0.5:2:3",
        "--metric",
        "absolute",
        "--select",
        "kfold:5",
    ]
    record = hw4opt("solve", *words, "--json", "-").json
    assert record["hyperparameters"]["huber.delta"] in [row["huber.delta"] for row in record["selection"]["table"]]
    assert [row["huber.delta"] for row in record["selection"]["table"]] == pytest.approx([0.5, 1, 2])


def test_long_arrays_can_be_left_out(hw4opt):
    record = hw4opt("solve", *GIVEN, "--no-arrays", "--json", "-").json
    assert not {"x", "y", "fitted", "dual_coef"} & set(record)


def test_files_are_written_and_the_model_predicts(hw4opt, dose, tmp_path):
    (tmp_path / "a.json").write_text("old")
    done = hw4opt("solve", dose, *DOSE, *GIVEN, "--json", "a.json", "--plot", "fit.png", "--save", "m.json", "--quiet")
    assert done.status == 0 and done.out == "" and done.err == ""
    record = json.loads((tmp_path / "a.json").read_text())
    result = Result.load(tmp_path / "m.json")
    np.testing.assert_allclose(result.predict(record["x"]), record["fitted"], atol=1e-9)
    assert result.context["x"] == ["dose"] and result.context["y"] == "response"
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "dose.csv", "fit.png", "m.json"]


@pytest.mark.parametrize(("name", "start"), [("a.pdf", b"%PDF"), ("a.svg", b"<?xml"), ("a.jpg", b"\xff\xd8")])
def test_a_figure_has_the_kind_its_name_says(hw4opt, tmp_path, name, start):
    assert hw4opt("solve", *GIVEN, "--plot", name).status == 0
    assert (tmp_path / name).read_bytes().startswith(start)


def test_the_table_ends_with_the_line_for_a_figure(hw4opt):
    done = hw4opt("solve", "--loss", "huber", *GIVEN)
    lines = done.out.splitlines()
    assert (
        lines[-1] == "For a figure: hw4opt solve --loss huber --gamma 20 --reg ridge=0.01 --select none --plot fit.png"
    )
    assert any("relative gap" in line for line in lines) and any("certified" in line for line in lines)


def test_with_json_on_stdout_the_table_goes_to_stderr(hw4opt):
    done = hw4opt("solve", *GIVEN, "--json", "-")
    assert done.json["status"] == "certified" and "relative gap" in done.err


def test_an_answer_without_proof_is_exit_1_with_json_and_no_other_file(hw4opt, tmp_path):
    (tmp_path / "fit.png").write_text("old")
    words = ["--loss", "huber", *GIVEN, "--reg", "tv=1", "--solver", "admm", "--max-iterations", "1", "--tol", "1e-30"]
    done = hw4opt("solve", *words, "--json", "-", "--quiet", "--plot", "fit.png", "--save", "m.json")
    assert done.status == 1 and done.json["status"] != "certified" and done.json["message"]
    assert done.err.count("\n") == 1 and "--plot fit.png and --save m.json not written" in done.err
    assert (tmp_path / "fit.png").read_text() == "old" and not (tmp_path / "m.json").exists()


def test_the_tables_numbers_are_null_where_there_are_none(hw4opt, dose):
    done = hw4opt(
        "solve",
        dose,
        *DOSE,
        "--design",
        "linear",
        "--constraint",
        "decreasing",
        "--constraint",
        "bounds:lower=1",
        "--json",
        "-",
    )
    assert done.status == 1 and done.json["status"] in ("uncertified", "infeasible")
    assert done.json["relative_gap"] is None


@pytest.mark.parametrize("kernel", ["rbf", "laplacian", "matern52", "polynomial"])
def test_the_unit_of_x_changes_nothing_but_gamma(hw4opt, tmp_path, kernel):
    """Units from 1e-150 to 1e150, whose squares are 0 or infinite; default ranges scale with the unit."""
    y = np.sin(np.arange(24) / 4) + 0.1 * np.random.default_rng(0).standard_normal(24)
    power = 1 if kernel == "laplacian" else 2
    found = {}
    for unit in (1.0, 1e-150, 1e150):
        (tmp_path / "d.csv").write_text(
            "dose,y\n" + "".join(f"{i / 23 * unit!r},{float(value)!r}\n" for i, value in enumerate(y))
        )
        found[unit] = hw4opt("solve", "d.csv", "--kernel", kernel, "--search", "grid", "--json", "-", "-q").json
    one = found[1.0]
    for unit in (1e-150, 1e150):
        assert found[unit]["hyperparameters"]["gamma"] * unit**power == pytest.approx(
            one["hyperparameters"]["gamma"], rel=1e-6
        )
        assert found[unit]["hyperparameters"]["ridge"] == pytest.approx(one["hyperparameters"]["ridge"], rel=1e-6)
        np.testing.assert_allclose(found[unit]["fitted"], one["fitted"], atol=1e-6)


def test_a_full_disk_is_a_sentence(hw4opt, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs, "write_text", full)
    done = hw4opt("solve", *GIVEN, "--json", "a.json")
    assert done.status == 1 and done.err.splitlines()[-1] == "hw4opt: the system ended it: No space left on device"


def test_ctrl_c_in_a_destructor_is_not_lost(hw4opt, ctrl_c, monkeypatch):
    """Python prints and ignores exceptions of destructors."""

    class Closing:
        def __del__(self):
            raise KeyboardInterrupt

    def slow(*_, **__):
        Closing()
        time.sleep(5)

    monkeypatch.setattr(solve, "fit", slow)
    done = hw4opt("solve", *GIVEN)
    assert done.status == 130 and done.err.strip() == "hw4opt: interrupted"


def test_an_unexpected_error_is_a_sentence_and_exit_1(hw4opt, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("in the\nmiddle")

    monkeypatch.setattr(solve, "fit", broken)
    done = hw4opt("solve", *GIVEN)
    assert done.status == 1 and done.err.count("\n") == 1
    assert "ZeroDivisionError: in the middle; -v shows where" in done.err
    monkeypatch.setattr(solve, "fit", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))
    assert "not enough memory" in hw4opt("solve", *GIVEN).err


def test_an_interrupted_search_keeps_the_best_so_far(hw4opt, monkeypatch, tmp_path):
    from hw4opt.selection import setting_runs

    score, calls = setting_runs.score_settings, []

    def interrupted(*given):
        calls.append(given)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return score(*given)

    monkeypatch.setattr(setting_runs, "SHARED_TASK_FITS", 0)
    monkeypatch.setattr(setting_runs, "score_settings", interrupted)
    done = hw4opt("solve", "--select", "kfold:5", "--json", "-", "--save", "m.json", "--quiet")
    assert done.status == 130 and done.json["status"] == "interrupted"
    assert done.err.splitlines()[-1] == "hw4opt: interrupted; what was done is kept (--save m.json not written)"
    assert done.json["selection"]["score"] == min(row["score"] for row in done.json["selection"]["table"])
    assert not (tmp_path / "m.json").exists()


def test_terms_are_distinguished_by_their_column(hw4opt, tmp_path):
    draw = np.random.default_rng(0)
    rows = np.column_stack([draw.uniform(size=(30, 2)), draw.standard_normal(30)])
    np.savetxt(tmp_path / "ab.csv", rows, delimiter=",", header="a,b,y", comments="")
    words = ["solve", "ab.csv", "--gamma", "2", "--reg", "ridge=0.1", "--select", "none"]
    shapes = ["--constraint", "increasing:column=a", "--constraint", "increasing:column=b"]
    done = hw4opt(*words, *shapes, "--save", "m.json")
    assert done.status == 0 and "increasing:column=a + increasing:column=b" in done.out
    assert hw4opt("predict", "m.json", "ab.csv", "--out", "p.csv").status == 0
    twice = hw4opt(*words, *shapes, "--constraint", "increasing:column=b")
    assert twice.status == 2 and "--constraint increasing:column=b is given twice" in twice.err


def test_constraints_on_fitted_values_of_a_linear_design_say_so(hw4opt, tmp_path):
    draw = np.random.default_rng(0)
    rows = np.column_stack([draw.uniform(size=(30, 2)), draw.standard_normal(30)])
    np.savetxt(tmp_path / "ab.csv", rows, delimiter=",", header="a,b,y", comments="")
    words = ["solve", "ab.csv", "--design", "linear", "--intercept", "--select", "none", "--json", "-"]
    said = hw4opt(*words, "--constraint", "nonnegative").json["warnings"]
    assert said == [
        "nonnegative holds for the fitted values, not for the coefficients; --constraint coef_nonnegative is for those"
    ]
    done = hw4opt(*words, "--constraint", "coef_nonnegative", "--constraint", "coef_bounds:upper=0.1")
    assert done.json["warnings"] == [] and min(done.json["coef"]) >= 0 and max(done.json["coef"]) <= 0.1 + 1e-9
    kernel = hw4opt("solve", *GIVEN, "--constraint", "coef_nonnegative")
    assert kernel.status == 2 and "needs a linear design" in kernel.err
