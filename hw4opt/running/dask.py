"""Tasks on the workers of a Dask cluster."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from importlib import import_module
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar
from warnings import catch_warnings

from hw4opt.errors import InputError, RefusedError

ADDRESS = re.compile(r"((tcp|(?P<tls>tls))://)?(\[[\da-fA-F:.%]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})")
MAX_PORT = 65_535
CONNECT_SECONDS = 20.0  # seconds that a scheduler may take to answer
SCHEDULER_ENDED = "the Dask scheduler ended before its tasks; start it again"

Task = TypeVar("Task")
Found = TypeVar("Found")


class DaskClient(Protocol):
    """The methods of a `distributed.Client` that are used."""

    def map(self, func: Callable[..., Any], *iterables: Any, pure: bool) -> list[Any]: ...

    def submit(self, func: Callable[..., Any], *args: Any, pure: bool, **at: Any) -> Any: ...

    def cancel(self, futures: list[Any]) -> Any: ...

    def nthreads(self) -> dict[str, int]: ...

    def run(self, function: Callable[..., Any]) -> dict[str, Any]: ...

    def close(self) -> Any: ...


class DaskWorkers:
    """The workers of a Dask cluster as an `Executor`: `for found in DaskWorkers(client).spread(act, tasks): …`.

    client    a `distributed.Client`

    The function is sent to each worker once. As many tasks are submitted at a time as the workers have threads; the
    tasks of a worker that dies are run again by others. Closing the iterator cancels the remaining tasks, except those
    that have started. Raises what a task raises, and `InputError` if a task repeatedly kills its workers, or the
    scheduler ends.
    """

    def __init__(self, client: DaskClient) -> None:
        self._client = client

    def spread(self, act: Callable[[Task], Found], tasks: Sequence[Task]) -> Generator[Found]:
        """`act` of every task, in the order of the tasks."""
        waiting, ended = enumerate(tasks), SimpleQueue[Any]()
        running: dict[Any, tuple[int, str | None]] = {}
        found: dict[int, Found] = {}
        with catch_warnings(category=UserWarning, action="ignore"):  # about its size: it is sent once
            held = self._client.submit(_same, Sent.of(act), pure=False)
        try:
            for place in range(len(tasks)):
                while place not in found:
                    idle = self._idle([address for _, address in running.values()])
                    for address, (where, task) in zip(idle, waiting, strict=False):
                        at = {} if address is None else {"workers": [address], "allow_other_workers": True}
                        future = self._client.submit(_call, held, Sent.of(task), pure=False, **at)
                        future.add_done_callback(ended.put)
                        running[future] = where, address
                    future = ended.get()
                    where, _ = running.pop(future)
                    found[where] = result_of(future).value
                yield found.pop(place)
        finally:
            self._client.cancel([*running, held])

    def _idle(self, busy: list[str | None]) -> list[str | None]:
        """The worker of every thread without a task, since Dask itself would queue tasks at the worker that holds the
        function; None, any worker, if there is none yet."""
        free: Counter[str | None] = Counter(self._threads() or {None: 1})
        return [*(free - Counter(busy)).elements()]

    @property
    def count(self) -> int:
        """The number of threads of the workers now; 1 if there are none yet."""
        return max(sum(self._threads().values()), 1)

    def _threads(self) -> dict[str, int]:
        """The number of threads by the worker's address."""
        try:
            return self._client.nthreads()
        except OSError as error:
            raise InputError(SCHEDULER_ENDED) from error


class Sent:
    """A value that is sent as pickled bytes. Arrays that Dask itself transfers are at unaligned addresses: NumPy copies
    them for every product, whose last digit can then differ."""

    def __init__(self, value: Any, size: int) -> None:
        self.value, self.size = value, size

    @classmethod
    def of(cls, value: Any) -> Sent:
        """The value, to be sent."""
        return cls(value, 0)

    def __reduce__(self) -> tuple[Callable[[bytes], Sent], tuple[bytes]]:
        return _received, (pickle.dumps(self.value),)

    def __sizeof__(self) -> int:
        return self.size


def _received(sent: bytes) -> Sent:
    return Sent(pickle.loads(sent), len(sent))


def _same(act: Sent) -> Sent:
    return act


def _call(act: Sent, task: Sent) -> Sent:
    return Sent.of(act.value(task.value))


def aligned(value: Found) -> Found:
    """A copy whose arrays are at aligned addresses (`Sent`)."""
    return pickle.loads(pickle.dumps(value))


def result_of(future: Any) -> Any:
    """The value of a future, aligned. Raises what its task raised, and `InputError` if its workers or the scheduler
    end."""
    try:
        return aligned(future.result())
    except import_module("distributed").KilledWorker as error:
        raise InputError(
            "a task repeatedly ended its Dask workers, usually for lack of memory; give the workers more memory"
        ) from error
    except CancelledError as error:
        raise InputError(SCHEDULER_ENDED) from error


def connect(address: str) -> DaskClient:
    """The client of a scheduler. Raises `InputError` for what is not an address, and if no scheduler answers, or it has
    no workers, or one without this version of hw4opt; `RefusedError` without the extra `dask`."""
    found = ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found["port"]) <= MAX_PORT:
        raise InputError(f"{address!r} is not the address of a Dask scheduler; give it as in tcp://host:8786")
    try:
        distributed = import_module("distributed")
    except ImportError as error:
        raise RefusedError(
            "a Dask cluster needs distributed; it comes with the extra: pip install 'hw4opt[dask]'"
        ) from error
    if found["tls"] and distributed.Security().get_connection_args("client")["ssl_context"] is None:
        raise InputError(f"{address} needs certificates; name them in Dask's configuration, under distributed.comm.tls")
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # TimeoutError among them
        raise InputError(f"no Dask scheduler answers at {address}; give its address, as in tcp://host:8786") from error
    try:
        _check_workers(client, address)
    except BaseException:
        client.close()
        raise
    return client


def _check_workers(client: Any, address: str) -> None:
    """Raise `InputError` unless there are workers, all with this version of hw4opt: without it they would die of the
    first task."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError as error:
        raise InputError(
            f"the Dask scheduler at {address} has no workers; start some, as in dask worker {address}"
        ) from error
    ours = import_module("hw4opt").__version__
    for worker, found in client.run(eval, "__import__('hw4opt').__version__", on_error="return").items():
        if found != ours:
            theirs = f"cannot import hw4opt ({found})" if isinstance(found, Exception) else f"has hw4opt {found}"
            raise InputError(f"the Dask worker at {worker} {theirs}; install hw4opt {ours} there, too")
