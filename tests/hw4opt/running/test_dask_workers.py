"""Tasks on a Dask cluster, a scheduler and two worker processes: their order, what is raised, what a killed worker and
Ctrl-C do; and searches there, for mixtures and hyper-parameters, against those in this process."""

import os
import re
import signal
import threading
import time
from functools import partial

import numpy as np
import pytest

import hw4opt
from hw4opt import RBF, Huber, Problem, Ridge, TotalVariation
from hw4opt.errors import InputError
from hw4opt.kernels import find_kernel
from hw4opt.mixture.budget import Budget
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.selection import choose_k
from hw4opt.running import dask
from hw4opt.running.dask import DaskWorkers, connect
from hw4opt.selection import select, setting_runs

WHERE = "(__import__('time').sleep(0.1), __import__('os').getpid())[1]"
pytest.importorskip("distributed", reason="Dask needs distributed, an extra")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # those of distributed are its own


@pytest.fixture
def workers(client):
    client.wait_for_workers(2, timeout=60)
    return DaskWorkers(client)


def listened(n=400, seed=0):
    """Features (n, 2) and counts of three components that are wider than Poisson counts."""
    draw = np.random.default_rng(seed)
    x, component = draw.normal(size=(n, 2)), draw.integers(3, size=n)
    rates = np.exp(1.5 + x @ [0.3, -0.2] + 0.8 * component * x[:, 0])
    return x, draw.poisson(rates * draw.gamma(1.0, 1.0, n)).astype(float)


def assert_same(one, other):
    assert (one.coef == other.coef).all() and (one.trace == other.trace).all() and one.starts == other.starts
    assert (one.responsibilities == other.responsibilities).all() and one.log_likelihood == other.log_likelihood


def test_results_come_in_the_order_of_the_tasks_from_both_workers(client, workers):
    slow_first = ["__import__('time').sleep(0.5) or 3", "1", "2", "4", "5"]
    assert list(workers.spread(eval, slow_first)) == [3, 1, 2, 4, 5]
    assert list(workers.spread(abs, range(-3, 0))) == [3, 2, 1] and list(workers.spread(abs, [])) == []
    assert set(workers.spread(eval, [WHERE] * 6)) == set(client.run(os.getpid).values())


@pytest.mark.parametrize("columns", range(1, 9))
def test_arrays_arrive_where_numpy_computes_with_them(workers, columns):
    """Dask hands over arrays at odd addresses: products of them differ in the last digit."""
    matrix = np.asfortranarray(np.random.default_rng(columns).normal(size=(80, columns)))
    for found in workers.spread(partial(getattr, matrix), ["__array_interface__"] * 2):
        assert found["data"][0] % matrix.itemsize == 0 and found["shape"] == matrix.shape
    for found in workers.spread(np.asfortranarray, [matrix, matrix]):
        assert found.flags.aligned and found.flags.f_contiguous and (found == matrix).all()


def test_what_a_task_raises_is_raised_here(workers):
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        list(workers.spread(eval, ["1", "1 / 0", "2"]))
    with pytest.raises(InputError, match="gamma is -1"):
        list(workers.spread(partial(find_kernel, gamma=-1), ["rbf", "rbf"]))
    assert list(workers.spread(abs, [-3, -1])) == [3, 1]


def test_tasks_beyond_the_threads_wait_here_and_are_given_up(client, workers, tmp_path):
    """Two run at a time; of twenty, those that begin after the first is taken are few."""
    made = [f"open({str(tmp_path / str(number))!r}, 'w').close() or {WHERE}" for number in range(20)]
    words = workers.spread(eval, made)
    assert next(words) in client.run(os.getpid).values()
    words.close()
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) <= 6


def test_ctrl_c_ends_the_wait(workers, ctrl_c_after):
    ctrl_c_after(0.5)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(workers.spread(eval, ["__import__('time').sleep(5)"] * 40))
    assert time.monotonic() - started < 20
    assert list(workers.spread(abs, [-1])) == [1]  # after what had begun


def test_a_task_that_ends_its_workers_is_one_sentence(client, workers):
    with pytest.raises(InputError, match="a task repeatedly ended its Dask workers, usually for lack of memory"):
        list(workers.spread(eval, ["__import__('os')._exit(1)"]))
    client.wait_for_workers(2, timeout=60)
    assert list(workers.spread(abs, [-1])) == [1]


@pytest.mark.parametrize("n", [400, 3_000])  # all units, and a subsample of them
def test_two_workers_find_the_mixture_of_one_process(workers, n):
    x, y = listened(n)
    model, heard = PoissonMixture(3, budget=Budget(96, 240)), []
    there = model.fit(x, y, progress=lambda *words: heard.append(words), executor=workers)
    assert_same(model.fit(x, y), there)
    assert [tried for tried, *_ in heard] == sorted({tried for tried, *_ in heard}) and len(heard) >= 2
    assert heard[-1] == (there.starts.tried, 96 + 240, there.log_likelihood)


def test_a_choice_of_k_goes_to_the_workers(workers):
    x, y = listened(120)
    words = (PoissonMixture(1, budget=Budget(48, 24)), x, y, range(1, 4))
    here, there = choose_k(*words, criterion="held_out"), choose_k(*words, criterion="held_out", executor=workers)
    assert here.held_out == there.held_out
    assert_same(here.best, there.best)


def test_settings_are_scored_by_the_workers(workers, monkeypatch):
    monkeypatch.setattr(setting_runs, "TASK_ENTRIES", 30_000)
    draw = np.random.default_rng(0)
    x = draw.uniform(0, 1, 60)
    y = np.floor(4 * x) + 0.2 * draw.standard_normal(60)
    problem = Problem(x, y, RBF(20.0), Huber(0.5), [Ridge(0.1), TotalVariation(0.3)])
    here, there = (select(problem, ["gamma", "ridge", "tv"], "loo", executor=one) for one in (None, workers))
    assert there.table == here.table and there.score == here.score and there.notes == here.notes
    assert (there.predictions == here.predictions).all() and there.work == here.work


def test_a_killed_worker_costs_time_and_not_the_mixture(client, workers):
    x, y = listened(500)
    model, killed = PoissonMixture(4, budget=Budget(96, 600)), []

    def kill():
        time.sleep(0.7)
        killed.append(next(iter(client.run(os.getpid).values())))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    there = model.fit(x, y, executor=workers)
    thread.join()
    assert_same(there, model.fit(x, y))
    client.wait_for_workers(2, timeout=60)
    assert killed[0] not in client.run(os.getpid).values()


def test_the_seconds_of_a_search_end_it_on_the_workers(workers):
    x, y = listened(900)
    started = time.monotonic()
    found = PoissonMixture(8, budget=Budget(24 * 400, 10**6, seconds=2.0)).fit(x, y, executor=workers)
    assert time.monotonic() - started < 20 and found.starts.tried < 24 * 400
    assert any("seconds of the search ran out" in said for said in found.warnings)


@pytest.mark.parametrize(
    "address", ["", "nowhere", "tcp://127.0.0.1", "http://host:80", "tcp://host:99999", "host:0", "a b:1", "tcp://:1"]
)
def test_what_is_not_an_address_is_refused_without_waiting(address):
    with pytest.raises(InputError, match="is not the address of a Dask scheduler; give it as in tcp://host:8786"):
        connect(address)


def test_a_scheduler_that_does_not_answer_is_one_sentence(monkeypatch):
    monkeypatch.setattr(dask, "CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:1", "127.0.0.1:1"):
        with pytest.raises(InputError, match=f"no Dask scheduler answers at {re.escape(address)}"):
            connect(address)


def test_certificates_that_are_not_configured_are_one_sentence():
    with pytest.raises(InputError, match="needs certificates; name them in Dask's configuration"):
        connect("tls://127.0.0.1:1")


class Elsewhere:
    """A client whose workers answer `found`, or that has none."""

    def __init__(self, found):
        self.found, self.closed = found, False

    def wait_for_workers(self, count, timeout):
        if self.found is None:
            raise TimeoutError

    def run(self, function, *args, on_error):
        return {"tcp://b:1": hw4opt.__version__, "tcp://a:1": self.found}

    def close(self):
        self.closed = True


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "the Dask scheduler at h:1 has no workers; start some, as in dask worker h:1"),
        (
            ModuleNotFoundError("No module named 'hw4opt'"),
            "at tcp://a:1 cannot import hw4opt .No module named 'hw4opt'.;",
        ),
        ("0.9.0", f"at tcp://a:1 has hw4opt 0.9.0; install hw4opt {hw4opt.__version__} there, too"),
    ],
)
def test_workers_that_cannot_run_the_tasks_are_one_sentence(monkeypatch, found, said):
    made = Elsewhere(found)
    monkeypatch.setattr("distributed.Client", lambda *_, **__: made)
    with pytest.raises(InputError, match=said):
        connect("h:1")
    assert made.closed


def test_a_client_that_connects_has_workers(client):
    again = connect(client.scheduler.address)
    assert len(again.nthreads()) == 2
    again.close()
