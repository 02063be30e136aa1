"""Child processes of tests, forked from a server that has torch loaded (otherwise seconds each), and always terminated.

The server starts at the first use and ends with the tests. A child runs functions that can be imported: those below.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

SERVER = multiprocessing.get_context("forkserver")
# torch._dynamo: its optimizers import it at their first step; pytest: a child imports the main module of the tests
SERVER.set_forkserver_preload(["torch", "torch._dynamo", "pytest"])
MAX_SECONDS = 60  # that a child may take


@dataclass(frozen=True)
class Child:
    """A process under way, and the files that its output goes to."""

    process: ForkServerProcess
    stdout: Path
    stderr: Path

    def status(self) -> int:
        """Its exit status when it has ended; minus the signal's number where one ended it."""
        self.process.join(MAX_SECONDS)
        if self.process.exitcode is None:
            pytest.fail(f"the process has not ended after {MAX_SECONDS} s")
        return self.process.exitcode

    def kill(self) -> None:
        """Kill it, as by kill -9."""
        self.process.kill()
        assert self.status() == -signal.SIGKILL


@contextmanager
def child(act: Callable[..., None], *given: Any, folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Child]:
    """`act(*given)` in a process of its own, in that folder and with those additions to the environment."""
    with tempfile.TemporaryDirectory() as outputs:
        stdout, stderr = Path(outputs, "stdout"), Path(outputs, "stderr")
        environment = {**os.environ, **(env or {})}
        process = SERVER.Process(target=_begin, args=(act, given, str(folder), environment, str(stdout), str(stderr)))
        process.start()
        try:
            yield Child(process, stdout, stderr)
        finally:
            process.kill()
            process.join()


def _begin(act, given, folder, environment, stdout, stderr):
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # ignored in the server, and in tests that run in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    import torch

    torch.set_num_threads(1)
    act(*given)


# ---- what children do ------------------------------------------------------------------------------------------------


def command(words: Sequence[str], without: str | None = None) -> None:
    """The command line `hw4nets`, where one package is not installed."""
    if without is not None:
        sys.modules[without] = None  # type: ignore[assignment]
    from hw4cli.nets.app import main

    sys.exit(main(list(words)))


def modules_of(words: Sequence[str]) -> None:
    """Run the command line, and print what is loaded after it."""
    from hw4cli.nets.app import main

    main(list(words))
    print("MODULES", *sys.modules)


def trained(shape: Any, config: Any, counts: tuple[int, int], folder: Path) -> None:
    """Train on synthetic images; a line when it begins, one after each batch, and one at its end."""
    from hw4nets.data import synthetic
    from hw4nets.history import Watch
    from hw4nets.models import build
    from hw4nets.training import train

    class Printed(Watch):
        def batch(self, epoch, done, total):
            print("batch", epoch, flush=True)

    train(build(shape, 0), synthetic(*counts), config, folder, Printed())
    print("done", flush=True)


def count_page_faults() -> None:
    """Blocks of 64 MB are fetched once, not at every use; prints "no mallopt" where that cannot be arranged."""
    import resource

    import torch

    from hw4nets.process import keep_freed_memory

    if not keep_freed_memory():
        print("no mallopt")
        return
    before = 0
    for number in range(20):  # the first few find their places
        torch.ones(16_000_000)
        if number == 9:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
