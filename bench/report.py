"""Tables from pytest-benchmark's JSON: bench/results/<question>.md and .json, written in one piece.

    python -m bench.report runs/bench.json [MORE.json …] [--out bench/results]

A question's rows all come from one file, the newest that holds it: ratios are taken within one session, from medians.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.record import CVXPY, DIRECT  # noqa: E402
from hw4opt.running.files import write_text  # noqa: E402

BUSY = 0.5  # load average before the session, of one core, from which a table says that the machine was not quiet
OURS = ("hw4opt", "hw4nets")  # kinds that ratios are taken over
FROM = 10_000  # n from which the slope is taken
QUESTIONS = {
    "fit": (
        "One fit at n = 50",
        "Seconds of one fit of the assignment's problem 2, described anew each round: for hw4opt "
        "the whole of `fit()`, basis and "
        "certificate included.",
    ),
    "solver": (
        "The solver alone",
        "Seconds of one call on one thread, without description, basis and certificate: for hw4opt "
        "the compiled core on a row table that is ready, for the peers set-up and solve of a QP that "
        "is ready, the primal (*split*) or dual (*box*) of the same reduced problem (bench/peers.py). "
        "n = 50, and 314 measured rows at rank 167. A peer is certified where its relative gap is "
        "within 1e-6.",
    ),
    "batch": (
        "A batch of 500 problems over one design",
        "Time a problem on one thread, everything counted for hw4opt. Peers solve a sample.",
    ),
    "scaling": (
        "From n = 200 to 10⁷",
        "Seconds of one fit and peak memory, each run in a process of its own; imports are not timed.",
    ),
    "startup": (
        "Whole processes of the command line",
        "Wall time from start to exit, files cached, no thread pins in their environment.",
    ),
    "reading": (
        "Reading a CSV of 10⁶ rows and 5 columns",
        "Seconds to arrays of numbers, each run in a process of its own without its imports.",
    ),
    "lasso": (
        "l1 on more columns than rows",
        "Seconds of one fit of squared loss and l1, the weight a tenth of that from which on "
        "every coefficient is 0; for hw4opt the whole "
        "of `Problem` and `fit()`, certificate included. A peer is certified where its objective "
        "is within 1e-6 of gap_scale.",
    ),
    "estimators": (
        "The scikit-learn estimators",
        "Seconds on one core: of a fit that chooses by exact leave-one-out, beside scikit-learn's searches over grids "
        "of their own; of predictions at 10⁶ rows; and, in CPU seconds and in turns, of the estimator's "
        "fit beside `select` and `fit` called directly, which it may exceed by 5 %.",
    ),
    "poisson": (
        "Plain Poisson fits",
        "Seconds of one maximum-likelihood fit of counts with an intercept and no penalty, at "
        "each package's own defaults; for hw4opt the "
        "whole of `Problem` and `fit()`, existence and certificate included. A peer is certified "
        "where its relative gap is within 1e-6.",
    ),
    "em": (
        "Mixtures of Poisson regressions",
        "Seconds of one run of EM from the same random labels, n = 5,000, d = 10, k = 5, to a "
        "relative change of 1e-10, one thread; of one "
        "cycle over a million rows; and of a real listener's whole search. flexmix (8.0 s where "
        "the NumPy EM took 0.95 s) is not run: its "
        "targets are held against the NumPy EM by that ratio. Runs may end in different maxima: "
        "the notes have their log-likelihoods.",
    ),
    "nets": (
        "Training the networks",
        "Seconds of one epoch over 1,000 images on one thread, without evaluation and "
        "compilation, in every way that a network can run; "
        "hw4nets chooses among those that are not compiled. Beside it the tutorial's network in "
        "the tutorial's own loop.",
    ),
    "loo": (
        "Exact leave-one-out over whole grids",
        "Seconds a fit, of 5,000 (10 gammas × 10 ridges × 50 folds) or 50,000 (× 10 tv weights), one "
        "process on one core; peers solve a sample. With n in its name: seconds of all n folds of one "
        "setting, of which peers solve a sample, which is scaled.",
    ),
    "choice": (
        "Choosing every hyper-parameter",
        "Seconds of `select` by exact leave-one-out with its default search, and of the fit that is "
        "chosen, one process on all cores: measured series with ties (mcycle, 133 rows; GAGurine, 314 "
        "rows), scikit-learn's diabetes (442 rows, 10 columns, standardised), and smooth losses on 500 "
        "simulated rows. The loop over cvxpy does a few folds of the chosen setting, scaled to as many "
        "fits.",
    ),
}
FOOTNOTES = {  # by the kinds of peers that they speak of
    "*certified*: relative duality gap and violation are within the tolerance (hw4opt 1e-9, in "
    "the table of growth 1e-8; peers 1e-6). A "
    "peer's point is measured against our own dual point; only for *compiled* the solver's duals "
    "are its proof. The worst of the judged "
    "answers counts.": CVXPY,
    "*assignment*: the assignment's loop body, full Gram matrix and psd_wrap. *factored*: the "
    "same over the reduced basis, as an expert "
    "would write it; the basis is not counted. *compiled*: `fit(problem, 'cvxpy:NAME')`. "
    "*parameters*: factored, compiled once.": CVXPY,
    "*split* and *box*: the two QPs that the direct solvers get over the reduced basis "
    "(bench/peers.py). The box QP is the dual that our "
    "interior point solves, handed to the peer. Forming the QP is counted, the basis is not; "
    "*solver alone* leaves it out.": DIRECT,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Write bench/results/<question>.md and .json from pytest-benchmark's JSON."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="JSON")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sessions = sorted(
        (json.loads(path.read_text(encoding="utf-8")) for path in options.files),
        key=lambda session: session["datetime"],
    )
    newest = {
        bench["extra_info"]["question"]: session
        for session in sessions
        for bench in session["benchmarks"]
        if bench["extra_info"]
    }
    for question, session in newest.items():
        table = tabulate(question, session)
        write_text(
            options.out / f"{question}.json", json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        )
        write_text(options.out / f"{question}.md", markdown(table))
        print(f"{options.out / question}.md: {len(table['rows'])} rows, {_tally(table['targets'])}")


def tabulate(question: str, session: dict[str, Any]) -> dict[str, Any]:
    rows = [_row(bench) for bench in session["benchmarks"] if bench["extra_info"].get("question") == question]
    for row in rows:
        ours = _ours(rows, row["case"])
        row["times_ours"] = row["seconds"] / ours["seconds"] if ours and row["seconds"] and ours["seconds"] else None
    return {
        "question": question,
        "measured": session["datetime"][:16].replace("T", " ") + " UTC",
        "machine": _machine(session),
        "commit": {key: session["commit_info"].get(key) for key in ("id", "dirty")},
        "slopes": _slopes(rows),
        "targets": [_held(target, row, rows) for row in rows for target in row.pop("targets")],
        "rows": rows,
    }


def _row(bench: dict[str, Any]) -> dict[str, Any]:
    info = dict(bench["extra_info"])
    given = info.pop("seconds")
    failed = info["note"].startswith(("fails", "stopped"))
    median = None if failed else statistics.median(given) if given else bench["stats"]["median"]
    share = info["of"] / info["work"]
    spread = None if failed or given else bench["stats"]["iqr"] * share
    alone = info.pop("inside")
    return {
        **info,
        "rounds": len(given) or bench["stats"]["rounds"],
        "seconds": None if median is None else median * share,
        "interquartile_range": spread,
        "solver_alone": None if alone is None or failed else alone * share,
    }


def _ours(rows: Sequence[dict[str, Any]], case: str) -> dict[str, Any] | None:
    return next((row for row in rows if row["case"] == case and row["kind"] in OURS), None)


def _machine(session: dict[str, Any]) -> dict[str, Any]:
    info = session["machine_info"]
    return {
        "cpu": info["cpu"].get("brand_raw"),
        "cpu_count": info["cpu_count"],
        "memory_bytes": info["memory_bytes"],
        "system": f"{info['system']} {info['machine']}",
        "load_average_before": round(info["load_average"]["before"][0], 2),
        "blas": info["blas"],
        "versions": {"python": info["python_version"], **info["versions"]},
    }


def _slopes(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """By series (the case up to its n): least squares of log seconds over log n, ours, from FROM up."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["question"] == "scaling" and row["kind"] == "hw4opt" and row["n"] >= FROM and row["seconds"]:
            series.setdefault(_series(row), []).append((math.log(row["n"]), math.log(row["seconds"])))
    return {
        name: statistics.linear_regression(*zip(*points, strict=True)).slope
        for name, points in series.items()
        if len(points) > 1
    }


def _series(row: dict[str, Any]) -> str:
    return row["case"].partition(", n = ")[0]


def _held(target: dict[str, Any], row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The target beside what was measured; `met` None where there is nothing to compare."""
    what, against = target["what"], None
    if what == "times_faster":
        peers = [
            peer
            for peer in rows
            if peer["case"] == row["case"] and peer["kind"] in target["than"] and peer["certified"]
        ]
        best = min((peer for peer in peers if peer["seconds"]), key=lambda peer: peer["seconds"], default=None)
        measured = None if best is None or not row["seconds"] else best["seconds"] / row["seconds"]
        against = None if best is None else best["who"]
    elif what == "slope":
        measured = _slopes(rows).get(_series(row))
    else:
        measured = row[what]
    low, high = target["at_least"], target["at_most"]
    met = None if measured is None else (low is None or measured >= low) and (high is None or measured <= high)
    return {"case": row["case"], **target, "of": row["of"], "measured": measured, "against": against, "met": met}


def markdown(table: dict[str, Any]) -> str:
    """The table as a page."""
    heading, seconds = QUESTIONS.get(table["question"], (table["question"], ""))
    lines = [f"# {heading}", "", seconds, "", *_conditions(table), ""]
    if table["targets"]:
        lines += [
            "## Targets",
            "",
            "| case | asked | measured | |",
            "|---|---|---|---|",
            *map(_target_line, table["targets"]),
            "",
        ]
    for case in dict.fromkeys(row["case"] for row in table["rows"]):
        rows = [row for row in table["rows"] if row["case"] == case]
        lines += [f"## {case}", "", *_case_lines(rows), ""]
    kinds = {row["kind"] for row in table["rows"]}
    return "\n".join([*lines, *(f"{note}\n" for note, of in FOOTNOTES.items() if kinds & set(of))])


def _conditions(table: dict[str, Any]) -> list[str]:
    machine = table["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    memory = f", {machine['memory_bytes'] / 2**30:.0f} GiB" if machine["memory_bytes"] else ""
    commit = f"{(table['commit']['id'] or 'unknown')[:10]}{' with changes' if table['commit']['dirty'] else ''}"
    busy = machine["load_average_before"] > BUSY
    return [
        f"Measured {table['measured']} at commit {commit} on {machine['cpu']}, "
        f"{machine['cpu_count']} CPUs{memory}, {machine['system']}; "
        f"BLAS on one thread. {versions}.",
        f"**The machine was not quiet** (load average {machine['load_average_before']} before the "
        "start): read these as sizes."
        if busy
        else f"Load average before the start: {machine['load_average_before']}.",
    ]


def _target_line(target: dict[str, Any]) -> str:
    what, each = target["what"], " each" if target["of"] == 1 else ""
    bound = target["at_most"] if target["at_least"] is None else target["at_least"]
    asked = f"{'≥' if target['at_most'] is None else '≤'} {_say(what, bound)}"
    if what == "times_faster":
        asked += f" faster than the fastest certified of {', '.join(target['than'])}"
    elif what == "seconds":
        asked += each if target["of"] == 1 else f" for {target['of']:,}"
    else:
        asked = f"{what.replace('_', ' ')} {asked}"
    measured = _say(what, target["measured"]) + (f" ({target['against']})" if target["against"] else "")
    return f"| {target['case']} | {'aim: ' if target['aim'] else ''}{asked} | {measured} | {_verdict(target, bound)} |"


def _verdict(target: dict[str, Any], bound: float) -> str:
    if target["met"] is None:
        return "nothing to compare"
    if target["met"]:
        return "met"
    short = target["measured"] / bound if target["at_least"] is None else bound / max(target["measured"], 1e-300)
    return f"**missed** by {_times(short)}" if not target["aim"] else f"not reached, by {_times(short)}"


def _say(what: str, value: float | None) -> str:
    if value is None:
        return "–"
    match what:
        case "seconds":
            return _seconds(value)
        case "relative_gap":
            return f"{value:.2e}"
        case "peak_bytes":
            return f"{value / 1e9:.2g} GB"
        case "times_faster":
            return _times(value)
    return f"{value:.3g}"


def _times(value: float) -> str:
    return f"{value:,.0f}×" if value >= 100 else f"{value:.3g}×"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value >= 1:
        return f"{value:,.3g} s" if value < 1000 else f"{value:,.0f} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"


def _case_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One table; columns that none of its rows fills are left out."""
    ours = next((row["kind"] for row in rows if row["kind"] in OURS), OURS[0])
    columns = {
        "who": lambda row: row["who"],
        "rounds": lambda row: "" if row["seconds"] is None else str(row["rounds"]),
        "median": lambda row: _seconds(row["seconds"]),
        f"× {ours}": lambda row: "" if row["times_ours"] is None or row["kind"] in OURS else _times(row["times_ours"]),
        "relative gap": lambda row: "" if row["relative_gap"] is None else f"{row['relative_gap']:.1e}",
        "certified": lambda row: {None: "", True: "yes", False: "no"}[row["certified"]],
        "solver alone": lambda row: "" if row["solver_alone"] is None else _seconds(row["solver_alone"]),
        "peak memory": lambda row: "" if row["peak_bytes"] is None else _say("peak_bytes", row["peak_bytes"]),
        "note": lambda row: row["note"].replace("|", "/"),
    }
    ordered = sorted(rows, key=lambda row: (row["kind"] not in OURS, row["seconds"] is None, row["seconds"] or 0))
    cells = {name: [act(row) for row in ordered] for name, act in columns.items()}
    kept = [name for name, values in cells.items() if any(values)]
    lines = ["| " + " | ".join(kept) + " |", "|" + "---|" * len(kept)]
    return lines + ["| " + " | ".join(cells[name][i] for name in kept) + " |" for i in range(len(ordered))]


def _tally(targets: Sequence[dict[str, Any]]) -> str:
    asked = [target for target in targets if not target["aim"]]
    return f"{sum(target['met'] is True for target in asked)} of {len(asked)} targets met"


if __name__ == "__main__":
    main()
