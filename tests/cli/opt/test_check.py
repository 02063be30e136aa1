"""`hw4opt check` and the limits of `solve`: table, --all, --time-limit, the odd one out, Ctrl-C in any backend."""

import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw4cli.opt import check as command
from hw4opt import RBF, Result
from hw4opt import crosscheck as module
from hw4opt.crosscheck import Crosscheck, Row, default_solvers, every_solver
from hw4opt.fit import fit_rows
from hw4opt.solvers import installed

RUN = "import sys; from hw4cli.opt.app import main; sys.exit(main(sys.argv[1:]))"
HUBER = ["--loss", "huber", "--gamma", "54", "--reg", "ridge=0.1"]
GIVEN = ["--gamma", "20", "--reg", "ridge=0.1", "--constraint", "increasing", "--select", "none"]
SOLVERS = [word for solver in ("interior", "admm", "proximal") for word in ("--solver", solver)]


@pytest.fixture
def steps(tmp_path) -> Path:
    """40 rows of a step function: HiGHS never ends on its monotone fit."""
    draw = np.random.default_rng(0)
    x = np.linspace(0, 1, 40)
    rows = [f"{a:.4f},{b:.4f}" for a, b in zip(x, np.floor(4.999 * x) + 0.3 * draw.standard_normal(40), strict=True)]
    path = tmp_path / "steps.csv"
    path.write_text("\n".join(["x,y", *rows]))
    return path


def test_check_compares_solvers(hw4opt, tmp_path):
    solvers = ["--solver", "interior", "--solver", "admm", "--solver", "cvxpy:CLARABEL"]
    files = ["--json", "-", "--plot", "c.png", "--save", "m.json"]
    done = hw4opt("check", *HUBER, "--select", "none", *solvers, *files)
    assert done.status == 0 and done.json["status"] == "certified"
    assert [row["solver"] for row in done.json["rows"]] == ["interior", "admm", "cvxpy:CLARABEL"]
    assert {"solver", "status", "objective", "relative_gap", "seconds", "message"} <= set(done.json["rows"][0])
    objectives = [row["objective"] for row in done.json["rows"]]
    assert done.json["largest_difference"] == pytest.approx(max(objectives) - min(objectives))
    assert (tmp_path / "c.png").exists() and Result.load("m.json").problem.kernel == RBF(54.0)


def test_a_solver_that_refuses_is_a_row(hw4opt):
    words = ["--select", "none", "--solver", "interior", "--solver", "admm", "--solver", "cvxpy:SCIPY"]
    done = hw4opt("check", *HUBER, *words, "--json", "-")
    assert done.status == 0 and done.json["rows"][2]["status"] != "certified" and done.json["rows"][2]["message"]
    assert "cvxpy:SCIPY: " in done.err


def test_solvers_that_disagree_are_exit_1(hw4opt, monkeypatch, tmp_path):
    rows = [Row("interior", "certified", 1.0, 0.0, 0.0, 0.1, "m"), Row("admm", "certified", 2.0, 0.0, 0.0, 0.1, "m")]
    monkeypatch.setattr(command, "crosscheck", lambda *_: Crosscheck(rows, 1.0, ["interior and admm differ by 1"]))
    done = hw4opt("check", *HUBER, "--select", "none", "--json", "-", "--quiet", "--save", "m.json")
    assert done.status == 1 and done.json["message"] == "interior and admm differ by 1" and "differ by 1" in done.err
    assert not (tmp_path / "m.json").exists() and "(--save m.json not written)" in done.err


def test_fewer_than_two_certified_solvers_are_exit_1(hw4opt):
    done = hw4opt("check", *HUBER, "--select", "none", "--solver", "interior", "--json", "-")
    assert done.status == 1 and "fewer than two" in done.json["message"]


@pytest.mark.slow
def test_check_asks_the_default_solvers_and_ends(hw4opt, steps):
    started = time.monotonic()
    done = hw4opt("check", steps, *GIVEN, "--json", "-")
    assert time.monotonic() - started < 60
    assert done.status == 0 and done.json["odd_one_out"] is None
    assert [row["solver"] for row in done.json["rows"]] == default_solvers()
    certified = [row for row in done.json["rows"] if row["status"] == "certified"]
    assert len(certified) >= 5
    assert all(row["fitted_difference"] < 1e-3 and len(row["agrees_with"]) >= 4 for row in certified)
    assert "Agree with each other: admm, interior, proximal" in done.err


@pytest.mark.slow
def test_check_all_asks_every_solver_for_its_seconds(hw4opt, steps):
    done = hw4opt("check", steps, *GIVEN, "--all", "--time-limit", "2", "--json", "-", "--quiet")
    assert [row["solver"] for row in done.json["rows"]] == every_solver()
    assert max(row["seconds"] or 0 for row in done.json["rows"]) < 10
    stopped = [row for row in done.json["rows"] if "time limit of 2 s" in row["message"]]
    assert all(row["status"] == "iteration_limit" for row in stopped) and done.status == 0


def test_all_and_solver_exclude_each_other(hw4opt):
    done = hw4opt("check", *GIVEN, "--all", "--solver", "interior")
    assert (done.status, done.out) == (2, "") and "--all takes every solver and --solver takes some" in done.err


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
@pytest.mark.parametrize("command", ["solve", "check"])
def test_a_wrong_time_limit_is_refused(hw4opt, command, seconds):
    done = hw4opt(command, *GIVEN, "--time-limit", seconds)
    assert (done.status, done.out) == (2, "") and "--time-limit" in done.err


def test_one_backend_under_two_spellings_is_refused(hw4opt):
    for names in (("cvxpy", "cvxpy:clarabel"), ("interior", "interior")):
        done = hw4opt("check", *GIVEN, *(word for name in names for word in ("--solver", name)))
        assert done.status == 2 and f"--solver {names[0]} and --solver {names[1]} are one solver" in done.err


def test_the_odd_one_out_is_named(hw4opt, monkeypatch):
    def planted(problems, solver, **options):
        (result,) = fit_rows(problems, solver, **options)
        if solver != "admm":
            return [result]
        certificate = replace(result.certificate, objective=1.01 * result.objective)
        return [replace(result, w=1.01 * result.w, certificate=certificate)]

    monkeypatch.setattr(module, "fit_rows", planted)
    done = hw4opt("check", *GIVEN, *SOLVERS, "--json", "-")
    assert done.status == 1 and done.json["odd_one_out"] == "admm"
    assert "admm is the odd one out: its answer lies apart from all others" in done.err
    assert "Agree with each other: interior, proximal" in done.err
    rows = {row["solver"]: row for row in done.json["rows"]}
    assert rows["admm"]["agrees_with"] == [] and rows["admm"]["fitted_difference"] > 1e-3


def test_the_table_fits_80_columns(hw4opt, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = hw4opt("check", *GIVEN, *SOLVERS, "--solver", "cvxpy:CLARABEL", "--time-limit", "30")
    assert done.status == 0
    for whole in ("solver", "status", "objective", "rel. gap", "fit off", "seconds", "cvxpy:CLARABEL"):
        assert whole in done.out


@pytest.mark.parametrize("command", [["solve", "--reg", "ridge=0.1"], ["path", "--vary", "ridge=0.1:1:2"]])
def test_the_time_limit_is_given_on(hw4opt, command):
    problem = ["--n", "2000", "--loss", "huber", "--gamma", "300", "--constraint", "increasing", "--select", "none"]
    words = [*command, *problem, "--solver", "admm", "--tol", "1e-14", "--time-limit", "0.001"]
    done = hw4opt(*words, "--json", "-", "--quiet")
    assert done.status == 1 and done.json["status"] == "iteration_limit"
    assert done.json["message"].endswith("stopped at the time limit of 0.001 s")


LONG = ["--n", "4000", "--gamma", "300", "--reg", "ridge=0.01", "--reg", "tv=1"]
SLOW_TO_END = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("cvxpy:OSQP", "cvxpy:SCS", "cvxpy:HIGHS", "qp:highs", "qp:piqp")
]
LONGER = [*LONG, "--loss", "huber", "--constraint", "increasing"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
@pytest.mark.parametrize(
    "solver",
    ["admm", pytest.param("cvxpy:CLARABEL", marks=pytest.mark.slow), *SLOW_TO_END],
)
def test_ctrl_c_ends_any_solver(solver, start, children):
    if ":" in solver and solver not in installed(solver.partition(":")[0]):
        pytest.skip(f"{solver} is not installed")
    heavy = LONG if solver == "cvxpy:HIGHS" else LONGER  # which HiGHS soon gives up
    words = ["solve", *heavy, "--select", "none", "--tol", "1e-14", "--solver", solver]
    running = start(RUN, *words)
    end = time.monotonic() + 30
    while ":" in solver and not children(running.pid) and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(2 if solver.startswith("cvxpy") else 1)  # until the solver is at work
    workers = children(running.pid)
    assert running.poll() is None, "it ended before Ctrl-C"
    started = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert time.monotonic() - started < 5
    assert running.returncode == 130 and err == b"hw4opt: interrupted\n"
    assert len(workers) == (":" in solver) and not any(Path(f"/proc/{pid}").exists() for pid in workers)
