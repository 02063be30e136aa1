"""Fixtures: a window without a browser, and a server on its own port."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hw4cli.json_record import plain
from hw4cli.opt.explore import command, serve, start_state
from hw4cli.opt.explorer.state import settings_of
from hw4cli.opt.explorer.window import Window
from hw4cli.opt.options import ProblemOptions, SolverOptions
from hw4cli.opt.selection_options import SelectionOptions
from hw4cli.options import take

SECONDS = 30.0  # that an answer may take on a busy machine
ORIGIN = {"version": "1", "command": "hw4opt explore", "seed": 0, "platform": "here"}
GIVEN = ["--gamma", "80", "--reg", "ridge=0.1"]


def started(*words: str) -> tuple[Any, Any]:
    """The state that `hw4opt explore` with these words starts with, and the true function."""
    given = command.make_context("explore", list(words)).params
    return start_state(take(ProblemOptions, given), take(SolverOptions, given), take(SelectionOptions, given))


class Page:
    """A page in this process: sends messages and collects the answers."""

    def __init__(self, *words: str, max_bytes: int = 1_000_000) -> None:
        self.start, truth = started(*words)
        self.settings = json.loads(json.dumps(settings_of(self.start.options)))
        self.heard: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        self.window = Window(self.start, truth, self.hear, max_bytes, ORIGIN)
        self.asked = 0

    def hear(self, record: Any) -> None:
        with self.changed:
            self.heard.append(json.loads(json.dumps(plain(record), allow_nan=False)))
            self.changed.notify_all()

    def send(self, kind: str, **content: Any) -> int:
        self.asked += 1
        self.window.receive(json.dumps({"kind": kind, "id": self.asked, **content}))
        return self.asked

    def wait(self, *kinds: str, id: int | None = None) -> dict[str, Any]:
        """The first message of one of these kinds for a request."""
        deadline = time.monotonic() + SECONDS
        with self.changed:
            while True:
                for one in self.heard:
                    if one["kind"] in kinds and (id is None or one["id"] == id):
                        return one
                assert self.changed.wait(deadline - time.monotonic()), (kinds, [one["kind"] for one in self.heard])

    def ask(self, kind: str, *answers: str, **content: Any) -> dict[str, Any]:
        """Send a message and wait for its answer."""
        return self.wait(*answers, id=self.send(kind, **content))

    def fit(self, data: Any = None, **settings: Any) -> dict[str, Any]:
        """The answer to these settings, and to these data."""
        return self.ask("fit", "fit", "fault", settings={**self.settings, **settings}, data=data)


@pytest.fixture
def open_page() -> Iterator[Callable[..., Page]]:
    pages: list[Page] = []

    def make(*words: str, **options: Any) -> Page:
        pages.append(Page(*words, **options))
        return pages[-1]

    yield make
    for page in pages:
        page.window.close()


@pytest.fixture
def served() -> Iterator[Callable[..., Any]]:
    """A running server, of `hw4opt explore` with these words."""
    pytest.importorskip("websockets", reason="the extra `explore` is not installed")
    running: list[Any] = []

    def run(*words: str, **options: Any) -> Any:
        start, truth = started(*words)
        explorer = serve(start, truth, 1_000_000, ORIGIN, **options)
        threading.Thread(target=explorer.run, daemon=True).start()
        running.append(explorer)
        return explorer

    yield run
    for explorer in running:
        explorer.close()
