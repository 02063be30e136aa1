"""Work in several processes: order of results, exceptions, and Ctrl-C. Tasks are Python expressions, which any
process can read."""

import os
import signal
import time
from functools import partial

import pytest

from hw4opt.errors import InputError
from hw4opt.kernels import find_kernel
from hw4opt.running.processes import Workers

OS = "__import__('os')"
LONG = "__import__('time').sleep(60)"
posix = pytest.mark.skipif(os.name != "posix", reason="processes have groups and signals only there")


@pytest.fixture
def workers():
    with Workers(2) as two:
        yield two


def pids(workers):
    return set(workers.spread(eval, [f"(__import__('time').sleep(0.05), {OS}.getpid())[1]"] * 6))


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(count):
    with Workers(count) as workers:
        slow_first = ["__import__('time').sleep(0.2) or 3", "1", "2"]
        assert list(workers.spread(eval, slow_first)) == [3, 1, 2]
        assert list(workers.spread(abs, [-3, -1])) == [3, 1]
        assert list(workers.spread(abs, [-3])) == [3] and list(workers.spread(abs, [])) == []


@posix
@pytest.mark.slow
def test_workers_are_kept_for_the_next_call_and_gone_after_the_block():
    with Workers(2) as workers:
        found = pids(workers)
        assert len(found) == 2 and os.getpid() not in found and pids(workers) == found
    assert all(map(gone, found))
    with Workers(1) as workers:
        assert pids(workers) == {os.getpid()}


@pytest.mark.slow
def test_what_a_worker_raises_is_raised_here(workers):
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        list(workers.spread(eval, ["1", "1 / 0", LONG]))
    with pytest.raises(InputError, match="gamma is -1"):
        list(workers.spread(partial(find_kernel, gamma=-1), ["rbf", "rbf"]))
    with pytest.raises(RuntimeError, match="UnknownNameError: no kernel 'rbff'"):  # an exception that does not travel
        list(workers.spread(find_kernel, ["rbff", "rbf"]))
    with pytest.raises(Exception, match="pickle"):
        list(workers.spread(lambda task: task, [1, 2]))
    assert list(workers.spread(abs, [-3, -1])) == [3, 1]


@posix
def test_a_worker_that_is_killed(workers):
    with pytest.raises(MemoryError, match="a worker process ended with status -9"):
        list(workers.spread(eval, [f"{OS}.kill({OS}.getpid(), 9)", "1"]))


def test_what_a_worker_prints_is_no_outcome(workers):
    assert list(workers.spread(eval, ["print('a word')", "2"])) == [None, 2]


def test_every_worker_has_one_blas_thread(workers):
    assert list(workers.spread(eval, [f"{OS}.environ['OPENBLAS_NUM_THREADS']"] * 2)) == ["1", "1"]


@posix
def test_workers_do_not_hear_ctrl_c(workers):
    words = f"({OS}.getpgrp(), __import__('signal').getsignal({int(signal.SIGINT)}))"
    for group, handler in workers.spread(eval, [words] * 2):
        assert group != os.getpgrp() and handler is signal.SIG_IGN


@posix
def test_ctrl_c_ends_the_wait_and_the_workers(workers, ctrl_c_after):
    found = pids(workers)
    ctrl_c_after(0.2)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(workers.spread(eval, [LONG] * 3))
    assert time.monotonic() - started < 20 and all(map(gone, found))


@posix
def test_workers_end_with_an_iterator_that_is_dropped(workers):
    words = workers.spread(eval, [f"{OS}.getpid()", LONG, LONG])
    pid, started = next(words), time.monotonic()
    words.close()
    assert time.monotonic() - started < 20 and gone(pid)
