"""Parallel work in processes with one BLAS thread each; results in order."""

from __future__ import annotations

import atexit
import math
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from functools import cache
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from types import TracebackType
from typing import IO, Any, Protocol, TypeVar, runtime_checkable

from hw4opt.running.threads import set_threads

Task = TypeVar("Task")
Found = TypeVar("Found")
NextTask = Callable[[], tuple[int, Any] | None]
Outcomes = SimpleQueue[tuple[int, bool, Any]]

ONE_THREAD_ENVIRONMENT = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
WORKER_SOURCE = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)  # before the slow imports
import pickle, sys
try:
    sys.path[:] = pickle.load(sys.stdin.buffer)
except EOFError:
    sys.exit()
from hw4opt.running.processes import work
work()
"""


@runtime_checkable
class Executor(Protocol):
    """What runs tasks in parallel, `count` at a time: `Workers`, or `DaskWorkers` (dask.py)."""

    @property
    def count(self) -> int: ...

    def spread(self, act: Callable[[Task], Found], tasks: Sequence[Task]) -> Generator[Found]:
        """`act` of every task, in the order of the tasks; closing the iterator drops the rest."""
        ...


class WorkerEndedError(MemoryError):
    """A worker process ended before its task was done: killed, usually for lack of memory, or crashed in compiled
    code."""


class Workers:
    """`with Workers(2) as workers: for found in workers.spread(act, tasks): …`; processes start when first needed and
    end with the context.

    Ctrl-C only interrupts the caller: a terminal sends it to its process group, and workers have their own.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[Thread] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the workers have started and none has ended."""
        return bool(self._processes) and all(process.poll() is None for process in self._processes)

    def spread(self, act: Callable[[Task], Found], tasks: Sequence[Task]) -> Generator[Found]:
        """`act` of every task, in their order as they are done; here if one worker is enough. What a worker raises is
        raised here."""
        if self.count < 2 or len(tasks) < 2:
            yield from map(act, tasks)
            return
        try:
            yield from self._spread(act, tasks)
        except BaseException:
            self.close()  # unfinished tasks are no longer needed
            raise

    def call(self, act: Callable[[Task], Found], task: Task, seconds: float = math.inf) -> Found:
        """`act` on one task in a worker, which is killed after `seconds` (`TimeoutError`) or when the caller is
        interrupted."""
        try:
            return next(self._spread(act, [task], seconds))
        except Empty:
            self.close()
            raise TimeoutError(f"a task took longer than {seconds:g} s") from None
        except BaseException:
            self.close()
            raise

    def _spread(
        self, act: Callable[[Task], Found], tasks: Sequence[Task], seconds: float = math.inf
    ) -> Iterator[Found]:
        outcomes: Outcomes = SimpleQueue()
        waiting, lock = enumerate(tasks), Lock()

        def next_task() -> tuple[int, Task] | None:
            with lock:
                return next(waiting, None)

        count = min(self.count, len(tasks))
        while len(self._processes) < count:
            self._processes.append(_start())
        self._threads = [
            Thread(target=_feed, args=(process, act, next_task, outcomes), daemon=True)
            for process in self._processes[:count]
        ]
        for thread in self._threads:
            thread.start()
        found: dict[int, Found] = {}
        for place in range(len(tasks)):
            while place not in found:
                where, good, outcome = outcomes.get(timeout=seconds if math.isfinite(seconds) else None)
                if not good:
                    raise outcome
                found[where] = outcome
            yield found.pop(place)

    def close(self) -> None:
        """Kill the workers; the next call starts new ones."""
        for process in self._processes:
            process.kill()
        for thread in self._threads:
            if thread.ident is not None:  # Ctrl-C may come before a thread has started
                thread.join()
        for process in self._processes:
            with process, suppress(OSError):  # waits for it and closes its pipes
                _pipes(process)[0].close()
        self._processes, self._threads = [], []


def in_own_process(act: Callable[[Task], Found], task: Task, seconds: float = math.inf) -> Found:
    """`act` on a task in a process that is kept for the next call, and killed after `seconds` or by Ctrl-C.

    `seconds` excludes the start of the process. Raises `TimeoutError`, `WorkerEndedError`, and exceptions of `act`.
    """
    start_own_process(act)
    workers, lock = _own_process(os.getpid())
    with lock:
        return workers.call(act, task, seconds)


def start_own_process(act: Callable[[Any], Any]) -> None:
    """Start the process of `in_own_process` unless it runs, and import the modules that `act` needs there."""
    workers, lock = _own_process(os.getpid())
    with lock:
        if not workers.alive:
            workers.close()
        workers.call(_imported, act)


@cache
def _own_process(pid: int) -> tuple[Workers, Lock]:  # one per process, forked ones included
    workers = Workers(1)
    atexit.register(workers.close)
    return workers, Lock()


def _imported(act: object) -> None:
    """Do nothing: unpickling `act` has imported its modules."""


def _start() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER_SOURCE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **ONE_THREAD_ENVIRONMENT},
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    pickle.dump(sys.path, _pipes(process)[0])
    return process


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


def _feed(process: subprocess.Popen[bytes], act: Callable[[Any], Any], next_task: NextTask, outcomes: Outcomes) -> None:
    """One worker's tasks, one by one, as long as there are any and it lives."""
    tasks, found = _pipes(process)
    good = True
    while good and (waiting := next_task()) is not None:
        place, task = waiting
        try:
            pickle.dump((act, task), tasks)
            tasks.flush()
            good, outcome = pickle.load(found)
        except (OSError, EOFError, pickle.UnpicklingError):
            good, outcome = False, WorkerEndedError(f"a worker process ended with status {process.wait()}")
        except Exception as error:
            good, outcome = False, error
        outcomes.put((place, good, outcome))


def work() -> None:
    """The main loop of a worker, with one thread: read tasks from stdin and write outcomes to stdout, until the caller
    closes the pipe or ends."""
    set_threads(1)
    tasks, outcomes = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints of a task go to stderr
    Thread(target=_exit_with, args=(os.getppid(),), daemon=True).start()
    with suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            outcomes.write(_outcome_of_next(tasks))
            outcomes.flush()


def _exit_with(parent: int) -> None:
    """Exit when the caller has ended, even during a task."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _outcome_of_next(tasks: IO[bytes]) -> bytes:
    try:
        act, task = pickle.load(tasks)
    except (AttributeError, ImportError) as error:  # the task refers to objects that only the caller has
        return pickle.dumps((False, error))
    return _outcome(act, task)


def _outcome(act: Callable[[Any], Any], task: Any) -> bytes:
    try:
        return pickle.dumps((True, act(task)))
    except Exception as error:
        try:
            pickle.loads(whole := pickle.dumps((False, error)))
        except Exception:
            whole = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
        return whole
