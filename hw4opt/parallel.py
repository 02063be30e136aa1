"""Work spread over processes, in order, each with one BLAS thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Task = TypeVar("Task")
Found = TypeVar("Found")


def spread(act: Callable[[Task], Found], tasks: Sequence[Task], workers: int) -> Iterator[Found]:
    """`act` of every task, one after the other as they are done; on one worker in this process."""
    if min(workers, len(tasks)) < 2:
        yield from map(act, tasks)
        return
    from joblib import Parallel, delayed, parallel_config  # 0.35 s

    with parallel_config(backend="loky", inner_max_num_threads=1):
        yield from Parallel(n_jobs=min(workers, len(tasks)), return_as="generator")(delayed(act)(task) for task in tasks)  # type: ignore[misc]
