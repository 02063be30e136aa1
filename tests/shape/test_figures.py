"""The figures of `count_code.py` against those in `figures.json`, so that structure does not degrade unnoticed."""

from __future__ import annotations

import json

import pytest

from count_code import HERE, figures

GROWTH = {"lines of code": 0.02, "lines of code of hw4opt": 0.02}  # the share by which a figure may rise without notice
UPDATE = "python tests/shape/count_code.py --update"


def faults(counted: dict[str, int], recorded: dict[str, int]) -> list[str]:
    """A sentence on every figure that is not as recorded."""
    found = [f"figures.json lacks '{name}'; run {UPDATE}" for name in counted.keys() - recorded.keys()]
    found += [f"figures.json has '{name}', which is not counted; run {UPDATE}" for name in recorded.keys() - counted]
    for name in counted.keys() & recorded.keys():
        now, before = counted[name], recorded[name]
        if now > before * (1 + GROWTH.get(name, 0)):
            found.append(f"'{name}' rose from {before} to {now}")
        elif now < before and name not in GROWTH:
            found.append(f"'{name}' fell from {before} to {now}; run {UPDATE}, so that it stays there")
    return sorted(found)


def test_the_figures_are_those_recorded():
    recorded = json.loads((HERE / "figures.json").read_text(encoding="utf-8"))
    assert not faults(figures(HERE.parents[1]), recorded)


@pytest.mark.parametrize(
    ("lines", "circles", "said"),
    [
        (1000, 3, []),
        (1020, 3, []),
        (1021, 3, ["'lines of code' rose from 1000 to 1021"]),
        (900, 3, []),
        (1000, 4, ["'rooms in circles' rose from 3 to 4"]),
        (1000, 2, [f"'rooms in circles' fell from 3 to 2; run {UPDATE}, so that it stays there"]),
    ],
)
def test_a_figure_that_is_not_as_recorded_is_named(lines, circles, said):
    counted = {"lines of code": lines, "rooms in circles": circles}
    assert faults(counted, {"lines of code": 1000, "rooms in circles": 3}) == said


def test_a_figure_that_is_missing_or_unknown_is_named():
    assert faults({"a": 1}, {}) == [f"figures.json lacks 'a'; run {UPDATE}"]
    assert faults({}, {"a": 1}) == [f"figures.json has 'a', which is not counted; run {UPDATE}"]
