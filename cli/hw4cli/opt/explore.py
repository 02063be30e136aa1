"""`hw4opt explore`: a page on this machine, whose fit follows sliders and dragged points."""

from __future__ import annotations

import dataclasses
import sys
import webbrowser
from collections.abc import Mapping
from typing import Any

import click
import numpy as np

from hw4cli.opt.build_problem import BuiltProblem, build_problem
from hw4cli.opt.components import all_components
from hw4cli.opt.exit_status import Exit, say
from hw4cli.opt.explorer.catalogue import catalogue
from hw4cli.opt.explorer.records import Truth, solved, starting_values
from hw4cli.opt.explorer.state import State, one_x, settings_of
from hw4cli.opt.explorer.window import Window
from hw4cli.opt.gamma_option import NamedGammas
from hw4cli.opt.options import MODEL_FILE, OUTPUT, PROBLEM, SOLVE, OutputOptions, ProblemOptions, SolverOptions
from hw4cli.opt.outputs import check_outputs, draw, provenance, save, write_json
from hw4cli.opt.repeat import settled_options
from hw4cli.opt.select_hyperparameters import check_selection_options
from hw4cli.opt.selection_options import SELECT, SelectionOptions
from hw4cli.opt.solve import check_solver
from hw4cli.options import bytes_of, options, take
from hw4cli.output_paths import STDOUT
from hw4cli.pages import page, part
from hw4opt import RBF, InputError
from hw4opt.design import Sum

SCRIPTS = ("form.js", "controls.js", "link.js", "pins.js", "explore.js", "changes.js", "showing.js", "tools.js")
SWITCH_SECONDS = 1e-3  # after which a thread that searches lets one that fits go on
TRUTH_POINTS = 2_001  # of the drawn true function, whose steps are steep

SERVE = (
    click.option(
        "--host", default="127.0.0.1", show_default=True, metavar="HOST", help="Address at which the page is served."
    ),
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=0,
        metavar="PORT",
        help="Port of the page. Default: a free one.",
    ),
    click.option("--browser/--no-browser", default=True, help="Open the page in a browser; default: yes."),
    click.option(
        "--max-upload",
        default="20M",
        show_default=True,
        metavar="BYTES",
        callback=bytes_of,
        help="Largest CSV that can be opened on the page, as in 20M or 1GiB.",
    ),
)


@click.command("explore")
@options(PROBLEM, SOLVE, SELECT, SERVE, MODEL_FILE, OUTPUT)
def command(host: str, port: int, browser: bool, max_upload: int, **given: Any) -> int:
    """Explore a fit on a page: drag sliders and points; curve, held-out error and proof are updated.

    DATA is a CSV with a header, or a Parquet file, with one x column, or several and a sum of curves (--additive or
    --component), of which the page shows one at a time. Without it: the step data of the assignment. The options of
    `hw4opt solve` set the initial fit (which --plot and --save write). The page is served on this machine only, to
    anyone with its address, which is the only line on stdout; Ctrl-C ends it.
    """
    selection, solver, output = take(SelectionOptions, given), take(SolverOptions, given), take(OutputOptions, given)
    problem_options = take(ProblemOptions, given)
    check_selection_options(selection)
    check_solver(solver.solver)
    check_outputs(output, problem_options.files)
    start, truth = start_state(problem_options, solver, selection)
    _write_start(start, truth, output)
    origin = provenance(output.seed, start.table.sha256)
    explorer = serve(start, truth, max_upload, origin, host, port)
    if output.json != STDOUT:
        print(explorer.url, flush=True)
    write_json(origin | {"url": explorer.url}, output.json)
    if not output.quiet:
        say("the page is served until Ctrl-C")
    if browser:
        webbrowser.open(explorer.url)
    try:
        explorer.run()
    finally:
        explorer.close()
    return Exit.CERTIFIED


def _write_start(start: State, truth: Truth | None, output: OutputOptions) -> None:
    """Write the figure and the model of the initial fit if they are requested."""
    if output.plot is None and output.save is None:
        return
    result = solved(start, start.built()).raise_for_status()
    draw(output, lambda: _figure(result, truth))
    save(result, output.save)


def _figure(result: Any, truth: Truth | None) -> Any:
    from hw4opt.plotting import figure_of, plot_fit

    return figure_of(plot_fit(result, truth=truth))


def start_state(
    problem_options: ProblemOptions, solver: SolverOptions, selection: SelectionOptions
) -> tuple[State, Truth | None]:
    """The state that a page starts with, every hyper-parameter a number, and the true function where it is known."""
    for role in ("offset", "exposure"):
        if (name := getattr(problem_options, role)) is not None:
            raise InputError(f"--{role} {name}: the page shows y itself; fit counts with an {role} by hw4opt solve")
    built = build_problem(problem_options, selection.groups)
    values = starting_values(built.problem, built.free)
    if isinstance(built.problem.kernel, Sum):
        return one_x(State(_settled_sum(problem_options, built, values), solver, selection, built.table)), None
    if isinstance(problem_options.gamma, NamedGammas):
        raise InputError(f"--gamma {problem_options.gamma}: the page shows one x column and one gamma; give a number")
    gamma = values.pop("gamma", problem_options.gamma)
    named = [text.partition("=")[0].partition(":")[0] for text in problem_options.reg]
    given = [f"{text}{',' if ':' in text else ':'}weight={values[name]}" if name in values else text
             for name, text in zip(named, problem_options.reg, strict=True)]  # fmt: skip
    ridge = [] if "ridge" in named or "ridge" not in values else [f"ridge={values['ridge']}"]
    settled = dataclasses.replace(problem_options, gamma=gamma, reg=(*ridge, *given))
    return one_x(State(settled, solver, selection, built.table)), built.truth


def _settled_sum(given: ProblemOptions, built: BuiltProblem, values: Mapping[str, float]) -> ProblemOptions:
    """The options of a sum with each component and each hyper-parameter of its own spelled out."""
    settled = settled_options(given, built.problem.with_hyperparameters(values))
    common = given.kernel or RBF.name
    words = [
        dataclasses.replace(one, space=one.space or common)
        for one in all_components(given, built.columns.features.names)
    ]
    spelled = {"additive": False, "component": tuple(map(str, words)), "x": None, "kernel": None, "loss": given.loss}
    return dataclasses.replace(settled, **spelled)


def serve(
    start: State,
    truth: Truth | None,
    max_upload: int,
    origin: Mapping[str, Any],
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
) -> Any:
    """The server of the page; raises `InputError` if it cannot be started."""
    try:
        from hw4cli.opt.explorer.server import Explorer, is_loopback
    except ModuleNotFoundError as error:
        raise InputError("the page needs websockets; it comes with the extra: pip install 'hw4opt[explore]'") from error

    def connected(send: Any) -> tuple[Any, Any]:
        window = Window(start, truth, send, max_upload, origin)
        window.send_start()
        return window.receive, window.close

    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        explorer = Explorer(explore_page(start, truth, max_upload), connected, max_upload, host, port, token)
    except OSError as error:
        where = f"--host {host}" + (f" --port {port}" if port else "")
        raise InputError(f"{where}: the page cannot be served there: {error.strerror or error}") from error
    if not is_loopback(host):
        say(f"warning: --host {host} lets other machines connect; anyone with the address can use this processor")
    return explorer


def explore_page(start: State, truth: Truth | None, max_upload: int) -> str:
    """The page's HTML."""
    data: Mapping[str, Any] = {
        "settings": settings_of(start.options),
        "catalogue": catalogue(),
        "truth": None if truth is None else _truth(start, truth),
        "max_bytes": max_upload,
    }
    return page("hw4opt explore", part("explore.html"), ("explore.css",), SCRIPTS, data, connects=True)


def _truth(start: State, truth: Truth) -> dict[str, Any]:
    x = start.table.floats(str(start.options.x))
    at = np.linspace(x.min(), x.max(), TRUTH_POINTS)
    return {"x": at, "y": truth(at)}
