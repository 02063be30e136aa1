"""Work of the core in several threads: every item once, exceptions, Ctrl-C, and worker processes of all kinds."""

import threading
import time
from itertools import pairwise

import pytest

from core_processes import ROOT, run_in
from hw4opt.core import INT32, made, spread
from hw4opt.core.threads import DIRECT_WORK, DONE, MEMORY, PIECE_WORK, STOPPED
from hw4opt.running.processes import Workers
from hw4opt.running.threads import set_threads, threads, threads_to_use

MUCH = 1e12  # work that is always spread
NONE = 1 << 40  # no item


@pytest.fixture
def own_threads():
    yield set_threads
    set_threads(None)


def waiting(wait, count, seconds=0.0, bad=NONE, code=MEMORY):
    out, into = made(count, INT32)
    return out, lambda low, high, stop: wait(into, low, high, seconds, bad, code, stop)


def core_threads():
    return [thread for thread in threading.enumerate() if thread.name == "hw4opt-core"]


@pytest.mark.parametrize("threads", [None, 1, 2, 5])
@pytest.mark.parametrize("work", [1.0, DIRECT_WORK * 1.01, MUCH])
@pytest.mark.parametrize("count", [1, 2, 3, 31, 500])
def test_every_item_is_done_once(wait, count, work, threads):
    out, call = waiting(wait, count)
    spread(call, count, work, threads)
    assert (out == 1).all() and not core_threads()


def test_no_items_are_no_call():
    spread(None, 0, MUCH)


def test_little_work_runs_in_the_calling_thread_in_one_range():
    seen = []
    spread(lambda low, high, stop: seen.append((low, high, threading.current_thread())) or DONE, 500, DIRECT_WORK)
    assert seen == [(0, 500, threading.current_thread())]


def test_much_work_runs_in_ranges_on_threads():
    seen = []

    def call(low, high, stop):
        seen.append((low, high, threading.current_thread()))
        time.sleep(0.001)
        return DONE

    spread(call, 500, MUCH, threads=3)
    assert len({thread for *_, thread in seen}) == 3 and threading.current_thread() not in {one for *_, one in seen}
    ranges = sorted((low, high) for low, high, _ in seen)
    assert 24 <= len(ranges) <= 48 and ranges[0][0] == 0 and ranges[-1][1] == 500
    assert all(end == start for (_, end), (start, _) in pairwise(ranges))
    seen.clear()
    spread(call, 500, 100 * PIECE_WORK, threads=8)  # ranges aren't worth less than PIECE_WORK
    assert all(high - low >= 5 for low, high, _ in seen[:-1])


def test_the_default_is_the_cores_or_what_set_threads_says(own_threads):
    own_threads(3)
    seen = set()
    spread(lambda low, high, stop: seen.add(threading.get_ident()) or time.sleep(0.002) or DONE, 100, MUCH)
    assert len(seen) == 3
    own_threads(None)
    assert threads_to_use() >= 1
    with threads(2):
        assert threads_to_use() == 2
        with threads(None):
            assert threads_to_use() == 2
    with Workers(2) as workers:
        asked = "__import__('hw4opt.running.threads').running.threads.threads_to_use()"
        assert list(workers.spread(eval, [asked, asked])) == [1, 1]


@pytest.mark.parametrize("work", [1.0, MUCH])
@pytest.mark.parametrize(
    "code, error", [(MEMORY, MemoryError), (STOPPED, KeyboardInterrupt), (7, RuntimeError)], ids=str
)
def test_codes_become_exceptions(wait, work, code, error):
    out, call = waiting(wait, 200, 1e-4, bad=20, code=code)
    with pytest.raises(error):
        spread(call, 200, work, threads=2)
    assert out[20] == 0 and not out[180:].any() and not core_threads()  # the rest was left


@pytest.mark.parametrize("work", [1.0, MUCH])
def test_what_a_call_raises_is_raised(work):
    def call(low, high, stop):
        if low <= 30 < high:
            raise ZeroDivisionError("on purpose")
        return DONE

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        spread(call, 100, work, threads=2)
    assert not core_threads()


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_call_that_would_take_a_minute(wait, ctrl_c_after, threads):
    out, call = waiting(wait, threads, seconds=60.0)
    began = time.perf_counter()
    ctrl_c_after(0.2)
    with pytest.raises(KeyboardInterrupt):
        spread(call, threads, MUCH, threads)
    assert time.perf_counter() - began < 0.2 + 0.1 + 0.3  # the last for a machine that is busy
    assert not out.any() and not core_threads()


def test_ctrl_c_between_items(wait, ctrl_c_after):
    out, call = waiting(wait, 10_000, seconds=0.002)
    ctrl_c_after(0.2)
    with pytest.raises(KeyboardInterrupt):
        spread(call, 10_000, MUCH, threads=2)
    assert out.any() and not out.all() and not core_threads()


def test_several_callers_at_once(wait):
    outs = [waiting(wait, 100, 1e-4) for _ in range(4)]
    callers = [threading.Thread(target=spread, args=(call, 100, MUCH, 2)) for _, call in outs]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all((out == 1).all() for out, _ in outs)


PROCESSES = """
import ctypes, multiprocessing, sys
import numpy as np
from hw4opt.core import Pointer, function, given, spread
from hw4opt.running.threads import threads_to_use

def task(seed):
    finite = function("core_all_finite", Pointer, ctypes.c_size_t)
    rows = np.random.default_rng(seed).normal(size=(400, 50))
    seen = np.zeros(400, bool)
    def call(low, high, stop):
        part = rows[low:high]
        seen[low:high] = finite(given("x", part, part.shape), part.size)
        return 0
    spread(call, 400, 1e12, threads=3)
    return bool(seen.all())

def asked(item):
    return threads_to_use()

if __name__ == "__main__":
    assert task(0)
    if sys.argv[1] == "loky":
        from joblib.externals.loky import get_reusable_executor
        with get_reusable_executor(max_workers=2) as pool:
            print(list(pool.map(task, range(4))), set(pool.map(asked, range(4))))
    else:
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            print(pool.map(task, range(4)), set(pool.map(asked, range(4))))
"""


@pytest.mark.parametrize(
    "kind", ["fork", pytest.param("spawn", marks=pytest.mark.slow), pytest.param("loky", marks=pytest.mark.slow)]
)
def test_processes_of_every_kind_spread_too(tmp_path, kind):
    if kind == "loky":
        pytest.importorskip("joblib")
    script = tmp_path / "script.py"
    script.write_text(PROCESSES)
    status, said = run_in(ROOT, ["-W", "error", str(script), kind])
    assert (status, said) == (0, "[True, True, True, True] {1}\n")
