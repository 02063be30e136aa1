"""Time limits of native solvers and backends, and the process of its own in which a backend can be killed."""

import importlib
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw4opt import RBF, Huber, Increasing, Logistic, Poisson, Problem, Ridge, Squared, TotalVariation, fit, fit_batch
from hw4opt.crosscheck import crosscheck
from hw4opt.running.processes import in_own_process
from hw4opt.solvers import installed
from hw4opt.solvers._deadline import BACKEND_RETURN_SECONDS, Deadline

OS = "__import__('os')"
LONG = "__import__('time').sleep(60)"
NOTE = "stopped at the time limit of {} s"
posix = pytest.mark.skipif(os.name != "posix", reason="processes have signals only there")


def rising(n=400, seed=0):
    draw = np.random.default_rng(seed)
    x = np.sort(draw.uniform(0, 1, n))
    return x, np.floor(5 * x) * 2 + draw.standard_normal(n)


HARD = Problem(*rising(), RBF(300.0), Huber(1), [Ridge(0.01), TotalVariation(0.3)], [Increasing()])
STEPS = Problem(*rising(60), RBF(80.0), Squared(), [Ridge(0.1)], [Increasing()])
COUNTS = Problem(rising()[0], np.floor(np.abs(rising()[1])), RBF(10), Poisson(), [Ridge(1e-3)])


def gone(pid):
    """Whether a process has ended, or is a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


def wait_for(condition, seconds=30):
    """The value of the condition as soon as it is true, or its last value after the timeout."""
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def needs(solver):
    family, _, _ = solver.partition(":")
    if solver not in installed(family):
        pytest.skip(f"{solver} is not installed")


# ---- the clock -------------------------------------------------------------------------------------------------------


def test_a_deadline():
    for never in (Deadline(None), Deadline(math.inf)):
        assert not never.passed() and never.left == math.inf and never.notes([]) == {}
        assert never.pass_on(settings := {}, "time_limit") == math.inf and settings == {}
    soon = Deadline(0.05)
    assert not soon.passed() and 0 < soon.left <= 0.05
    assert (
        0 < soon.pass_on(settings := {}, "time_limit") - settings["time_limit"] == pytest.approx(BACKEND_RETURN_SECONDS)
    )
    assert soon.pass_on({}, None) <= 0.05
    time.sleep(0.06)
    assert soon.passed() and soon.left == 0 and soon.elapsed >= 0.05 and soon.note == NOTE.format(0.05)


@pytest.mark.parametrize(
    ("solver", "problem"), [("interior", HARD), ("admm", HARD), ("proximal", HARD), ("newton", COUNTS)]
)
def test_a_native_solver_looks_at_the_clock(solver, problem):
    assert "time limit" not in (fit(problem, solver, max_iterations=3).note or "")
    stopped = fit(problem, solver, tol=1e-14, time_limit=1e-6)
    assert stopped.status.word == "iteration_limit" and stopped.iterations <= 1
    assert stopped.note == NOTE.format("1e-06") and stopped.note in stopped.message


@pytest.mark.parametrize("solver", ["interior", "admm", "proximal", "cvxpy:CLARABEL", "qp:piqp"])
def test_time_enough_changes_nothing(solver):
    if ":" in solver:
        needs(solver)
    limited, free = fit(STEPS, solver, time_limit=60), fit(STEPS, solver)
    assert limited.status.word == "certified" and limited.note is None
    np.testing.assert_allclose(limited.fitted, free.fitted, atol=1e-9)


def test_the_limit_of_a_batch_is_one_limit():
    problems = [replace(HARD, regularizers=[Ridge(ridge), TotalVariation(0.3)]) for ridge in (0.01, 0.02, 0.03, 0.04)]
    started = time.monotonic()
    results = fit_batch(problems, "admm", tol=1e-14, time_limit=1e-6)
    assert time.monotonic() - started < 5 and {result.note for result in results} == {NOTE.format("1e-06")}


# ---- backends --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver", ["cvxpy:CLARABEL", "cvxpy:ECOS", "cvxpy:OSQP", "cvxpy:SCS", "cvxpy:HIGHS", "qp:proxqp", "qp:piqp"]
)
def test_a_backend_is_stopped(solver):
    needs(solver)
    problem = replace(HARD, x=rising(3000)[0], y=rising(3000)[1])
    fit(STEPS, solver, time_limit=5)  # the start of the process does not count
    started = time.monotonic()
    stopped = fit(problem, solver, tol=1e-12, time_limit=0.2)
    assert time.monotonic() - started < 15
    assert stopped.status.word == "iteration_limit" and stopped.note == NOTE.format(0.2)


def test_case_j_ends():
    """HiGHS never ends on this quadratic program by itself."""
    x, y = (
        np.linspace(0, 1, 40),
        np.floor(np.linspace(0, 4.99, 40)) + 0.3 * np.random.default_rng(0).standard_normal(40),
    )
    problem = Problem(x, y, RBF(20.0), Squared(), [Ridge(0.1)], [Increasing()])
    started = time.monotonic()
    fit(problem, "cvxpy:HIGHS", time_limit=1)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("solver", ["cvxpy:CLARABEL", "qp:piqp"])
def test_with_a_limit_a_backend_runs_in_another_process(solver, monkeypatch):
    needs(solver)
    family = importlib.import_module(f"hw4opt.solvers.{solver.partition(':')[0]}")
    calls = []
    monkeypatch.setattr(family, "in_own_process", lambda *given: calls.append(given) or in_own_process(*given))
    assert fit(STEPS, solver).status.word == "certified" and not calls
    assert fit(STEPS, solver, time_limit=math.inf).status.word == "certified" and len(calls) == 1


@pytest.mark.parametrize("solver", [pytest.param("cvxpy:SCS", marks=pytest.mark.slow), "qp:piqp"])
def test_a_backend_that_breaks_its_process_is_one_that_failed(solver, monkeypatch):
    needs(solver)
    family = importlib.import_module(f"hw4opt.solvers.{solver.partition(':')[0]}")
    monkeypatch.setattr(family, "in_own_process", lambda *_: in_own_process(os._exit, 7))
    result = fit(STEPS, solver, time_limit=60)
    assert result.status.word != "certified" and result.note == f"{solver} failed: its process ended"
    report = crosscheck(STEPS, ["interior", "admm", solver])
    assert report.agrees and [row.status for row in report.rows] == ["certified", "certified", "inaccurate"]


def test_terms_of_another_package_stay_in_this_process(monkeypatch):
    class Own(Squared):
        pass

    monkeypatch.setattr("hw4opt.solvers.cvxpy.in_own_process", lambda *_: pytest.fail("it cannot be sent"))
    assert fit(replace(STEPS, loss=Own()), "cvxpy:CLARABEL", time_limit=60).status.word == "certified"


def test_logistic_through_another_process():
    x, y = rising(80)
    problem = Problem(x, np.sign(y - 4), RBF(10.0), Logistic(), [Ridge(0.1)])
    assert fit(problem, "cvxpy:CLARABEL", time_limit=60).status.word == "certified"


# ---- the process -----------------------------------------------------------------------------------------------------


def test_the_process_is_kept_and_another_one():
    pid = in_own_process(eval, f"{OS}.getpid()")
    assert pid != os.getpid() and in_own_process(eval, f"{OS}.getpid()") == pid


def test_what_it_raises_is_raised_here_and_the_next_call_works():
    with pytest.raises(ZeroDivisionError):
        in_own_process(eval, "1 / 0")
    assert in_own_process(eval, "1 + 1") == 2


def test_a_task_that_cannot_be_read_there_is_an_error_here():
    class Local:
        def __reduce__(self):
            return (eval, ("__import__('no_such_module')",))

    with pytest.raises(ImportError, match="no_such_module"):
        in_own_process(str, Local())
    assert in_own_process(eval, "1 + 1") == 2


@posix
def test_a_task_is_killed_after_its_time():
    pid, started = in_own_process(eval, f"{OS}.getpid()"), time.monotonic()
    with pytest.raises(TimeoutError, match=r"longer than 0\.3 s"):
        in_own_process(eval, LONG, 0.3)
    assert time.monotonic() - started < 5
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert in_own_process(eval, "1 + 1") == 2


@posix
def test_ctrl_c_ends_the_wait_and_the_process(ctrl_c_after):
    pid = in_own_process(eval, f"{OS}.getpid()")
    ctrl_c_after(0.3)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_own_process(eval, LONG)
    assert time.monotonic() - started < 5
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@posix
def test_the_process_goes_with_its_caller_even_in_the_middle_of_a_task(tmp_path):
    task = f"open({str(tmp_path / 'pid')!r}, 'w').write(str({OS}.getpid())) and {LONG}"
    caller = subprocess.Popen(
        [sys.executable, "-c", f"from hw4opt.running.processes import in_own_process; in_own_process(eval, {task!r})"]
    )
    try:
        pid = wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        assert pid
        os.kill(int(pid), 0)
    finally:
        caller.kill()
        caller.wait()
    assert wait_for(lambda: gone(int(pid)))


@posix
def test_a_process_that_died_is_replaced():
    pid = in_own_process(eval, f"{OS}.getpid()")
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # all of its threads have ended; its status is left to be read
    assert in_own_process(eval, f"{OS}.getpid()") != pid
