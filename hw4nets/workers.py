"""Processes of one machine that do the same work in parallel."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from hw4nets.errors import InputError, NetsError, WriteError
from hw4nets.process import keep_freed_memory

LOOK_INTERVAL_SECONDS = 1.0  # seconds between two checks of the processes


def run_in_processes(work: Callable[[], None], count: int, look: Callable[[], None]) -> None:
    """Call `work` in `count` new processes, each with its part of torch's threads, until all have ended.

    look   called here once a second meanwhile, and at the end

    The first error ends all of them and is raised here; Ctrl-C does the same.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy threads of torch that do not run in the copy
    share = max(1, torch.get_num_threads() // count)
    pipes = [context.Pipe(duplex=False) for _ in range(count)]
    processes = [context.Process(target=_run, args=(work, share, end), daemon=True) for _, end in pipes]
    waiting: dict[Connection, int] = {start: number for number, (start, _) in enumerate(pipes)}
    try:
        for process, (_, end) in zip(processes, pipes, strict=True):
            process.start()
            end.close()
        while waiting:
            for ready in wait(list(waiting), timeout=LOOK_INTERVAL_SECONDS):
                assert isinstance(ready, Connection)
                _end_of(ready, processes[waiting.pop(ready)])
            look()
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            if process.pid is not None:
                process.join()


def _end_of(start: Connection, process: BaseProcess) -> None:
    """Raise the error that a process has ended with, if any."""
    try:
        error = start.recv()
    except EOFError:
        process.join()
        raise NetsError(f"a process of the search was killed (exit status {process.exitcode})") from None
    if error is not None:
        raise error


def _run(work: Callable[[], None], share: int, end: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process handles Ctrl-C and ends all
    torch.set_num_threads(share)
    keep_freed_memory()
    try:
        work()
        end.send(None)
    except (InputError, WriteError) as error:
        end.send(error)
    except BaseException as error:
        end.send(RuntimeError("".join(traceback.format_exception(error))))
