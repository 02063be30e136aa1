"""What the tasks of a search run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from hw4opt.running.dask import DaskWorkers, connect
from hw4opt.running.processes import Executor, Workers


@contextmanager
def executor_of(dask: str | None, processes: int = 1) -> Iterator[Executor]:
    """The workers of a scheduler where its address is given, else so many processes, one of them being this one."""
    if dask is None:
        with Workers(processes) as workers:
            yield workers
        return
    with closing(connect(dask)) as client:
        yield DaskWorkers(client)
