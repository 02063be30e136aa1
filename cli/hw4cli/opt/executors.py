"""Where the tasks of a search run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from hw4opt.running.dask import DaskWorkers, connect
from hw4opt.running.processes import Executor, Workers


@contextmanager
def executor_of(dask: str | None, processes: int = 1) -> Iterator[Executor]:
    """Context with the workers of the Dask scheduler at an address, or without one with `processes` processes."""
    if dask is None:
        with Workers(processes) as workers:
            yield workers
        return
    with closing(connect(dask)) as client:
        yield DaskWorkers(client)
