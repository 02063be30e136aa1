"""Sums over rows in blocks on a Dask cluster: workers hold the rows and exchange only sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from hw4opt.blocks import rows
from hw4opt.blocks.rows import DataRows, NumberedRows, R, in_blocks
from hw4opt.running.dask import DaskClient, DaskWorkers, aligned, result_of
from hw4opt.running.threads import tree_reduce
from hw4opt.validation.frozen import cached_property

PARTITION_BLOCKS = 64  # blocks that a worker reads and sums in one task: a power of 2, so that the tree stays the same


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
    `SourceSums`: the result is bit-identical for any number of workers. Folds with a dual variable per row are fitted
    on the workers (`executor`). If a worker dies, others read its rows again. Raises `RefusedError` if the source
    cannot read rows by number, `InputError` for what the source refuses, and if tasks repeatedly kill their workers.
    """

    source: NumberedRows
    client: DaskClient
    passes: int = 0

    def __post_init__(self) -> None:
        self._sent_before = {address: sent for address, (sent, _) in self.client.run(_sent_and_memory).items()}

    @property
    def executor(self) -> DaskWorkers:
        """Runs fits on the workers, one per thread at a time."""
        return DaskWorkers(self.client)

    @cached_property
    def _partitions(self) -> list[Any]:
        count, size = self.source.row_count(), PARTITION_BLOCKS * rows.BLOCK_ROWS
        bounds = [(low, min(low + size, count)) for low in range(0, count, size)]
        source = self.source
        return self.client.map(lambda span: list(in_blocks(source.between(*span), span[0])), bounds, pure=False)

    def total(self, act: Callable[[DataRows], R], combine: Callable[[R, R], R], with_x: bool = True) -> R | None:
        """As `SourceSums.total`; `with_x` has no effect, since the workers hold x."""
        self.passes += 1
        sums = self.client.map(lambda blocks: _sum(act, combine, blocks), self._partitions, pure=False)
        total = tree_reduce(lambda one, other: self.client.submit(combine, one, other, pure=False), sums)
        return None if total is None else result_of(total)

    def rows(self) -> Iterator[DataRows]:
        """All rows in blocks, fetched from the workers."""
        self.passes += 1
        for partition in self._partitions:
            yield from result_of(partition)

    def usage(self) -> DaskUsage:
        """The resources that the cluster has used for these rows so far."""
        now = self.client.run(_sent_and_memory)
        sent = sum(sent - self._sent_before.get(address, 0) for address, (sent, _) in now.items())
        return DaskUsage(len(now), sent, max((memory for _, memory in now.values()), default=0))


def _sum(act: Callable[[DataRows], R], combine: Callable[[R, R], R], blocks: list[DataRows]) -> R | None:
    """The sum over the blocks of a task, which another worker may have sent."""
    return tree_reduce(combine, (act(aligned(block)) for block in blocks))


def _sent_and_memory(dask_worker: Any) -> tuple[int, int]:
    """Bytes that a worker sent to other workers, and the memory of its process; Dask passes the worker as
    `dask_worker`."""
    sent = sum(one["total"] for one in dask_worker.transfer_outgoing_log)
    return sent, dask_worker.monitor.get_process_memory()
