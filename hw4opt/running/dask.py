"""Tasks on the workers of a Dask cluster."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from importlib import import_module
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from hw4opt.errors import InputError, RefusedError

CONNECT_SECONDS = 20.0  # seconds that a scheduler may take to answer
SCHEDULER_ENDED = "the Dask scheduler ended before its tasks; start it again"

Task = TypeVar("Task")
Found = TypeVar("Found")


class DaskClient(Protocol):
    """What is asked of a `distributed.Client`."""

    def map(self, func: Callable[..., Any], *iterables: Any, pure: bool) -> list[Any]: ...

    def submit(self, func: Callable[..., Any], *args: Any, pure: bool) -> Any: ...

    def cancel(self, futures: list[Any]) -> Any: ...

    def nthreads(self) -> dict[str, int]: ...

    def run(self, function: Callable[..., Any]) -> dict[str, Any]: ...

    def close(self) -> Any: ...


class DaskWorkers:
    """The workers of a Dask cluster as an `Executor`: `for found in DaskWorkers(client).spread(act, tasks): …`.

    client    a `distributed.Client`

    The act is sent to each worker once. There are as many tasks at a time as the workers have threads; those of a
    worker that ends are run again by others. Tasks that are not wanted any more are cancelled, but those that have
    begun end by themselves. Raises what a task raises, and `InputError` where a task ends its workers again and again,
    or the scheduler is gone.
    """

    def __init__(self, client: DaskClient) -> None:
        self._client = client

    def spread(self, act: Callable[[Task], Found], tasks: Sequence[Task]) -> Generator[Found]:
        """`act` of every task, in their order as they are done."""
        waiting, ended = enumerate(tasks), SimpleQueue[Any]()
        places: dict[Any, int] = {}
        found: dict[int, Found] = {}
        held = self._client.submit(_same, act, pure=False)
        try:
            for place in range(len(tasks)):
                while place not in found:
                    for where, task in islice(waiting, max(self._threads() - len(places), 0)):
                        future = self._client.submit(_call, held, task, pure=False)
                        future.add_done_callback(ended.put)
                        places[future] = where
                    future = ended.get()
                    found[places.pop(future)] = result_of(future)
                yield found.pop(place)
        finally:
            self._client.cancel([*places, held])

    def _threads(self) -> int:
        """Those of the workers that there are now; one where there are none yet."""
        try:
            return max(sum(self._client.nthreads().values()), 1)
        except OSError as error:
            raise InputError(SCHEDULER_ENDED) from error


def _same(act: Found) -> Found:
    return act


def _call(act: Callable[[Task], Found], task: Task) -> Found:
    return aligned(act)(aligned(task))


def aligned(value: Found) -> Found:
    """A copy whose arrays begin at addresses that NumPy computes at. Those of an array that Dask has sent may be odd:
    it is then copied for every product, in another order, and the last digit of the product is another."""
    return pickle.loads(pickle.dumps(value))


def result_of(future: Any) -> Any:
    """What a future holds. Raises what its task raised, and `InputError` where its workers or the scheduler end."""
    try:
        return aligned(future.result())
    except import_module("distributed").KilledWorker as error:
        raise InputError(
            "a task ended Dask workers repeatedly, mostly for lack of memory; give workers more"
        ) from error
    except CancelledError as error:
        raise InputError(SCHEDULER_ENDED) from error


def connect(address: str) -> DaskClient:
    """The client of a scheduler. Raises `InputError` where none answers, `RefusedError` without the extra `dask`."""
    try:
        client = import_module("distributed").Client
    except ImportError as error:
        raise RefusedError(
            "a Dask cluster needs distributed; it comes with the extra: pip install 'hw4opt[dask]'"
        ) from error
    try:
        return client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # TimeoutError among them
        raise InputError(f"no Dask scheduler answers at {address}; give its address, as in tcp://host:8786") from error
