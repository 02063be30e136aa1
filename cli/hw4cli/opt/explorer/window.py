"""One window of the explorer: what the page asks, and what it is answered."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hw4cli.opt.build_problem import BuiltProblem
from hw4cli.opt.explorer import records
from hw4cli.opt.explorer.newest import Newest
from hw4cli.opt.explorer.state import State, field, one_x, parse, settings_of
from hw4cli.opt.fit_report import Reported, fit_report
from hw4cli.opt.fit_warnings import fit_warnings
from hw4cli.opt.problem_file import PROBLEM_FILE, problem_text
from hw4cli.texts import one_line
from hw4cli.translate import translate
from hw4opt import Hw4Error, InputError, Problem, Result
from hw4opt.tables import Table, parse_table

if TYPE_CHECKING:
    from hw4opt.selection import Selection

Send = Callable[[Mapping[str, Any]], None]
QUIET_SECONDS = 0.3  # without another fit, before the held-out error of many rows is computed
UNEXPECTED = "an error that should not happen"


class SearchCancelledError(Exception):
    """The search was cancelled."""


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """A request of the page for a fit or a search, with its number; bands: with intervals."""

    id: int
    state: State
    bands: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """A request with its fit."""

    asked: Asked
    built: BuiltProblem
    result: Result


class Window:
    """The state of a window, and three threads: fits, what takes longer than a fit, and searches.

    Each thread processes only its newest request, so that outdated requests take no time.
    """

    def __init__(
        self, start: State, truth: records.Truth | None, send: Send, max_bytes: int, origin: Mapping[str, Any]
    ) -> None:
        self._origin = origin
        self._state, self._truth, self._send, self._max_bytes = start, truth, send, max_bytes
        self._table: Table | None = start.table  # as it was read
        self._cancelled: set[int] = set()
        self._newest_fit = 0
        self._before: Problem | None = None  # whose basis serves the next fit, where it is the same
        self._selection: Selection | None = None  # of the last search, on these data
        self._fits = Newest(self._fit)
        self._beside = Newest(self._held_out, gives_way=True)
        self._searches = Newest(self._choose, gives_way=True)
        self._kinds = {"fit": self._ask_fit, "choose": self._ask_choice, "cancel": self._cancel, "load": self._load}
        self._kinds |= {"columns": self._columns, "report": self._report, "fitted": self._fitted}

    def receive(self, text: str | bytes) -> None:
        """Act on a message of the page; one that is wrong is answered with a sentence."""
        with self._faults_of(None):
            message = parse(text)
            id = message.get("id")
            with self._faults_of(id if isinstance(id, int) else None):
                self._dispatch(message)

    def close(self) -> None:
        """End the threads, and a search when it next tells of its progress."""
        for thread in (self._fits, self._beside, self._searches):
            thread.close()
        self._cancelled.add(-1)

    def send_start(self) -> None:
        """The data, and the ranges of the sliders."""
        built = self._state.built()
        self._answer("data", None, data=self._state.data(built), truth=self._truth is not None)

    def _dispatch(self, message: Mapping[str, Any]) -> None:
        act = self._kinds.get(message["kind"])
        if act is None:
            raise InputError(f"the page sent a message {message['kind'][:40]!r}; there are {', '.join(self._kinds)}")
        act(message)

    @contextmanager
    def _faults_of(self, about: int | None) -> Iterator[None]:
        """Errors in the block are answered as sentences about the message of that number."""
        try:
            yield
        except SearchCancelledError:
            self._answer("cancelled", about)
        except Hw4Error as error:
            sentence = translate(str(error), getattr(error, "row", None))
            self._answer("fault", about, sentence=one_line(sentence))
        except MemoryError:
            self._answer("fault", about, sentence="there is not enough memory for this problem; use fewer rows")
        except Exception as error:
            self._answer("fault", about, sentence=one_line(f"{UNEXPECTED}, {type(error).__name__}: {error}"))

    def _answer(self, kind: str, id: int | None, **content: Any) -> None:
        self._send({"kind": kind, "id": id, **content})

    # ---- fits --------------------------------------------------------------------------------------------------------

    def _ask_fit(self, message: Mapping[str, Any]) -> None:
        asked = self._asked(message)
        self._newest_fit = asked.id
        self._fits.put(asked)
        self._beside.clear()

    def _asked(self, message: Mapping[str, Any]) -> Asked:
        """The state that the message speaks of, which is the window's from now on."""
        state = self._state.with_settings(field(message, "settings", dict))
        state = state.with_shown(None if message.get("shown") is None else field(message, "shown", str))
        if message.get("data") is not None:
            state = state.with_data(field(message, "data", dict))
        if message.get("moves") is not None:
            state = state.with_moves(message["moves"])
        self._state = state
        return Asked(field(message, "id", int), state, message.get("bands") is True)

    def _fit(self, asked: Asked) -> None:
        with self._faults_of(asked.id):
            record, built, result = records.fit_record(asked.state, self._before)
            self._before = result.problem
            self._answer("fit", asked.id, **record)
            self._beside.put(Fitted(asked, built, result))

    def _held_out(self, fitted: Fitted) -> None:
        if len(fitted.result.fitted) > records.MAX_LEFT_OUT:  # no work for a state that a drag has left by then
            time.sleep(QUIET_SECONDS)
            if fitted.asked.id != self._newest_fit:
                return
        with self._faults_of(fitted.asked.id):
            record = records.beside_record(fitted.asked.state, fitted.built, fitted.result, fitted.asked.bands)
            self._answer("beside", fitted.asked.id, ranges=records.slider_ranges(fitted.built.problem), **record)

    # ---- searches ----------------------------------------------------------------------------------------------------

    def _ask_choice(self, message: Mapping[str, Any]) -> None:
        self._searches.put(self._asked(message))

    def _cancel(self, message: Mapping[str, Any]) -> None:
        self._cancelled.add(field(message, "id", int))

    def _choose(self, asked: Asked) -> None:
        def progress(done: int, total: int, best: float) -> None:
            if self._cancelled & {asked.id, -1}:
                raise SearchCancelledError
            self._answer("progress", asked.id, done=done, total=total, best=best)

        with self._faults_of(asked.id):
            record, selection = records.choice_record(asked.state, progress)
            self._answer("chosen", asked.id, **record)
            self._selection = selection

    # ---- data and reports --------------------------------------------------------------------------------------------

    def _load(self, message: Mapping[str, Any]) -> None:
        name, text = field(message, "name", str), field(message, "text", str)
        self._take(parse_table(text.encode(errors="replace"), name, self._max_bytes), message)

    def _columns(self, message: Mapping[str, Any]) -> None:
        if self._table is None:
            raise InputError("the file is no longer here; open it again")
        self._take(self._table, message)

    def _take(self, table: Table, message: Mapping[str, Any]) -> None:
        """Take a table: the columns that the message names, else y and the first other one of numbers."""
        numbers = [name for name in table.names if table.is_numeric(name)]
        x, y = (None if message.get(role) is None else field(message, role, str) for role in ("x", "y"))
        before = self._state.of_one_curve()
        y = y or (before.options.y if before.options.y in table.names else None)
        y = y or (numbers[1:] or numbers or table.names)[0]
        x = x or next((name for name in numbers if name != y), None)
        options = dataclasses.replace(before.options, data=table.source, n=None, x=x, y=y, weights=None, categorical=())
        selection = dataclasses.replace(before.selection, groups=None)
        state = one_x(dataclasses.replace(before, options=options, selection=selection, table=table, edited=False))
        built = state.built()
        self._state, self._table, self._truth, self._selection = state, table, None, None
        self._answer(
            "data", message.get("id"), data=state.data(built), settings=settings_of(state.options), truth=False
        )

    def _fitted(self, message: Mapping[str, Any]) -> None:
        self._answer("fitted", message.get("id"), **records.fitted_record(self._asked(message).state))

    def _report(self, message: Mapping[str, Any]) -> None:
        state, selection = self._asked(message).state, self._selection
        record, built, result = records.fit_record(state)
        repeats = {"Command line, the same fit": record["command"], "Python, the same fit": record["python"]}
        if not state.edited:
            repeats[PROBLEM_FILE] = problem_text(state.options, state.solver, state.selection, state.table)
        about = Reported(
            result,
            built,
            selection,
            [*built.warnings, *fit_warnings(result, built.automatic)],
            {**self._origin, "data_sha256": built.table.sha256},
            repeats,
            self._truth,
        )
        self._answer("report", message.get("id"), html=fit_report(about))
