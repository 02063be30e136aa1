"""Recorded command lines and their results, which a refactoring must not change.

`commands.txt` holds a command line each; `answers.json` what it gave: exit status and JSON. `python
tests/cli/recorded/answers.py` records anew, which a change of what users get has to do, and say why. Sentences, times,
versions, gaps and counts of steps are not compared.
"""

import csv
import io
import json
import math
import shlex
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
PLACES = {"seconds", "platform", "version", "command", "out"}  # not kept: when, where and into what
LOOSE = {  # not compared: sentences, proofs, and counts of steps
    "message", "notes", "warnings", "work", "iterations", "cycles",
    "gap", "relative_gap", "dual_objective", "gap_scale", "gap_rounding", "truncation", "stationarity", "violation",
    "largest_drop", "prediction_error_bound", "largest_fold_gap", "trace", "starts", "largest_difference",
    "fitted_difference", "agrees_with", "shape_points", "points", "cells", "evaluations", "margin",
}  # fmt: skip
CLOSE = 1e-9  # relative: objectives, scores, and whatever else is one number
ARRAYS = 1e-6  # of an array's spread
# as exact as the fitted values, whose error is the root of the gap's
FITTED_NUMBERS = (".intercept", ".r_squared", ".effective_degrees_of_freedom")

MANY_ANSWERS = (  # what some words leave open
    (  # falling curves through rising data, with a free level: constant at any median, held by any of many dual vectors
        {"--constraint", "decreasing", "--intercept"},
        {"fitted", "intercept", "dual_coef", "residuals", "r_squared", "effective_degrees_of_freedom"},
    ),
    # rows at points 1e-3 apart: rounding decides which of them a curve that lies between rests on
    ({"increasing:everywhere"}, {"effective_degrees_of_freedom"}),
)


def unique(line, record):
    """The answer without what another solver may give otherwise, as there is more than one optimum, and without rows of
    ECOS where it is not installed: later Pythons than 3.12 have no wheel."""
    rows = (record["json"] or {}).get("rows")
    if isinstance(rows, list) and not find_spec("ecos"):
        rows = [row for row in rows if row.get("solver") != "cvxpy:ECOS"]
        record = record | {"json": record["json"] | {"rows": rows}}
    given = set(shlex.split(line))
    keys = set().union(*(keys for words, keys in MANY_ANSWERS if words <= given))
    if not keys or not record["json"]:
        return record
    return record | {"json": {key: None if key in keys else one for key, one in record["json"].items()}}


def commands():
    """The recorded command lines, comments left out."""
    lines = (HERE / "commands.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def answer(line):
    """{"exit": status, "json": record or None} of a command line run in this process, in a copy of nothing but its data
    folder."""
    from hw4cli.opt.app import main

    with (
        TemporaryDirectory() as folder,
        chdir(HERE / "data"),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        out = Path(folder) / "answer.json"
        words = [word.replace("OUT", folder) for word in shlex.split(line)]
        asked = [] if {"--help", "--version"} & set(words) else ["--json", str(out), "--quiet"]
        status = main([*words, *asked])
        record = json.loads(out.read_text(encoding="utf-8")) if out.exists() else None
        written = {path.name: columns(path) for path in sorted(Path(folder).glob("*.csv"))}
    return {"exit": int(status), "json": record} | ({"written": written} if written else {})


def columns(path):
    """The columns of a CSV file of numbers."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def rounded(value):
    """Numbers to 12 digits: enough to compare, and short; what is not compared is None, but for the gap, which bounds
    what is."""
    if isinstance(value, dict):
        return {
            key: None if key in LOOSE and key != "gap" else rounded(one)
            for key, one in value.items()
            if key not in PLACES
        }
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def differences(expected, found, slack=0.0, where=""):
    """What differs, in sentences. `slack`: what both gaps allow an objective beyond CLOSE."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if set(expected) != set(found):
            return [f"{where}: keys {sorted(set(expected) ^ set(found))}"]
        if isinstance(expected.get("gap"), float) and isinstance(found.get("gap"), float):
            slack = expected["gap"] + found["gap"]
        same = (key for key in expected if key not in LOOSE)
        return [fault for key in same for fault in differences(expected[key], found[key], slack, f"{where}.{key}")]
    if _numbers(expected) and _numbers(found) and len(expected) == len(found):
        spread = max(expected) - min(expected) or max(map(abs, expected)) or 1.0
        apart = max(abs(a - b) for a, b in zip(expected, found, strict=True))
        return [] if apart <= ARRAYS * spread + slack else [f"{where}: {apart / spread:.1e} of the spread"]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [fault for i, (one, other) in pairs for fault in differences(one, other, slack, f"{where}[{i}]")]
    if _number(expected) and _number(found):
        close = ARRAYS if where.endswith(FITTED_NUMBERS) else CLOSE
        allowed = close * max(1.0, abs(expected)) + slack
        return (
            []
            if math.isclose(expected, found, rel_tol=0, abs_tol=allowed)
            else [f"{where}: {found!r} for {expected!r}"]
        )
    return [] if expected == found else [f"{where}: {found!r} for {expected!r}"]


def _number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(value):
    return isinstance(value, list) and len(value) > 0 and all(map(_number, value))


def recorded():
    """The answers by command line."""
    return json.loads((HERE / "answers.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    found = {line: rounded(answer(line)) for line in commands()}
    lines = ",\n".join(f"{json.dumps(line)}: {json.dumps(one)}" for line, one in found.items())
    (HERE / "answers.json").write_text("{\n" + lines + "\n}\n", encoding="utf-8")
