"""Recorded command lines give the same results: keys, status, choices, exit status, objectives, scores, arrays."""

import pytest

from recorded.answers import answer, commands, differences, recorded, rounded, unique

pytest.importorskip("qpsolvers", reason="one of them is solved by PIQP")
COUNT, EACH = 200, 20
LINES = commands()


def test_all_of_them_are_recorded():
    assert len(LINES) >= COUNT and list(recorded()) == LINES


@pytest.mark.parametrize("first", range(0, len(LINES), EACH))
def test_command_lines_answer_as_recorded(first):
    known, faults = recorded(), []
    for line in LINES[first : first + EACH]:
        both = (unique(line, one) for one in (known[line], rounded(answer(line))))
        faults += [f"{line}: {fault}" for fault in differences(*both)]
    assert not faults, "\n".join(faults)
