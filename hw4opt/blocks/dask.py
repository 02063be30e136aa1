"""Sums over rows in blocks on a Dask cluster: workers hold the rows and exchange only sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from hw4opt.blocks import rows
from hw4opt.blocks.rows import DataRows, NumberedRows, R, in_blocks
from hw4opt.errors import InputError, RefusedError
from hw4opt.running.threads import tree_reduce
from hw4opt.validation.frozen import cached_property

CONNECT_SECONDS = 20.0  # seconds that a scheduler may take to answer
PARTITION_BLOCKS = 64  # blocks that a worker reads and sums in one task: a power of 2, so that the tree stays the same


class DaskClient(Protocol):
    """What is asked of a `distributed.Client`."""

    def map(self, func: Callable[..., Any], *iterables: Any, pure: bool) -> list[Any]: ...

    def submit(self, func: Callable[..., Any], *args: Any, pure: bool) -> Any: ...

    def run(self, function: Callable[..., Any]) -> dict[str, Any]: ...

    def close(self) -> Any: ...


class DaskUsage(NamedTuple):
    """Number of workers, bytes sent between them since the `DaskRows` was created, and the largest memory of a worker
    process in bytes."""

    workers: int
    bytes_moved: int
    worker_memory: int


@dataclass(eq=False)
class DaskRows:
    """Rows that the workers of a Dask cluster read and hold: a source for `fit_blocks` and `select_blocks`.

    source    `ArrayRows`, `TableRows` of Parquet files with the same path on every worker, or any `NumberedRows`
    client    a `distributed.Client`

    Each task sums the blocks of a partition on a worker, and sums are added in pairs on workers, in the same tree as
    `SourceSums`: the result is bit-identical for any number of workers. If a worker dies, others read its rows again.
    Raises `RefusedError` if the source cannot read rows by number, `InputError` for what the source refuses, and if
    tasks repeatedly kill their workers.
    """

    source: NumberedRows
    client: DaskClient
    passes: int = 0

    def __post_init__(self) -> None:
        self._sent_before = {address: sent for address, (sent, _) in self.client.run(_sent_and_memory).items()}

    @cached_property
    def _partitions(self) -> list[Any]:
        count, size = self.source.row_count(), PARTITION_BLOCKS * rows.BLOCK_ROWS
        bounds = [(low, min(low + size, count)) for low in range(0, count, size)]
        source = self.source
        return self.client.map(lambda span: list(in_blocks(source.between(*span), span[0])), bounds, pure=False)

    def total(self, act: Callable[[DataRows], R], combine: Callable[[R, R], R], with_x: bool = True) -> R | None:
        """As `SourceSums.total`; `with_x` has no effect, since the workers hold x."""
        self.passes += 1
        sums = self.client.map(lambda blocks: tree_reduce(combine, map(act, blocks)), self._partitions, pure=False)
        total = tree_reduce(lambda one, other: self.client.submit(combine, one, other, pure=False), sums)
        return None if total is None else self._result(total)

    def rows(self) -> Iterator[DataRows]:
        """All rows in blocks, fetched from the workers."""
        self.passes += 1
        for partition in self._partitions:
            yield from self._result(partition)

    def _result(self, future: Any) -> Any:
        try:
            return future.result()
        except import_module("distributed").KilledWorker as error:
            raise InputError(
                "a task ended Dask workers repeatedly, mostly for lack of memory; give workers more"
            ) from error

    def usage(self) -> DaskUsage:
        """The resources that the cluster has used for these rows so far."""
        now = self.client.run(_sent_and_memory)
        sent = sum(sent - self._sent_before.get(address, 0) for address, (sent, _) in now.items())
        return DaskUsage(len(now), sent, max((memory for _, memory in now.values()), default=0))


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


def _sent_and_memory(dask_worker: Any) -> tuple[int, int]:
    """Bytes that a worker sent to other workers, and the memory of its process; Dask passes the worker as
    `dask_worker`."""
    sent = sum(one["total"] for one in dask_worker.transfer_outgoing_log)
    return sent, dask_worker.monitor.get_process_memory()
