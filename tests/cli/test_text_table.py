"""Tables on screens of any width: no number, word or column is cut, and lines fit if the words do."""

import numpy as np
import pytest

from hw4cli.text_table import TextTable

WIDTHS = (20, 40, 60, 80, 120, 200)
COMMANDS = {
    "solve": ["solve", "--gamma", "20", "--reg", "ridge=0.01", "--loss", "huber:delta=1", "--select", "kfold:5"],
    "check": [
        "check",
        "--gamma",
        "20",
        "--reg",
        "ridge=0.01",
        "--select",
        "none",
        "--solver",
        "interior",
        "--solver",
        "admm",
    ],
    "path": ["path", "--gamma", "20", "--vary", "ridge=0.01:1:4", "--select", "kfold:5"],
    "em of one": ["em", "--k", "1", "--search", "0"],
    "em": ["em", "five.csv", "--y", "plays", "--k", "5", "--restarts", "8", "--search", "0"],
    "em of several k": ["em", "--k-range", "1:2", "--restarts", "8", "--search", "0"],
}
NETS = {
    "runs": TextTable(
        "Runs",
        ("run", "net", "parameters", "epochs", "test accuracy", "pixels"),
        [["long/run", "base", "1,234,567", "80", "0.8123", "official"]],
    ),
    "summary": TextTable(
        "base",
        ("", ""),
        [("test accuracy", "81.23 % (flipped 81.50 %)"), ("seconds", "123.4 training, 5.6 evaluating")],
    ),
}


def drawn(table, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    capsys.readouterr()
    table.print(stderr=False)
    return capsys.readouterr().out.splitlines()


def words(cells):
    return [word for cell in cells for word in cell.split()]


def check(table, monkeypatch, capsys):
    """Every column is complete under its header in some block, no word is cut, and no line is needlessly long."""
    rows = [list(row) for row in table.rows]
    whole = [list(table.columns), *rows]
    longest = max(len(word) for word in words(cell for row in whole for cell in row[-1:]))
    widest = [max(len(row[column]) for row in whole) for column in range(len(table.columns))]
    for width in WIDTHS:
        lines = drawn(TextTable(table.title, table.columns, rows, table.last), width, monkeypatch, capsys)
        inside = lines[1 : len(lines) - len(list(table.last))]
        text = words(inside)
        for column in range(len(table.columns)):
            for row in whole:
                assert all(text.count(word) >= 1 for word in row[column].split()), (width, row[column])
                if column < len(table.columns) - 1:
                    assert any(row[column] in line for line in inside), (width, row[column])
        assert len(text) >= len(words(cell for row in whole for cell in row))
        needed = widest[0] + 2 + max([*widest[1:-1], min(widest[-1], max(24, longest))])
        assert max(map(len, inside)) <= max(width, needed), width


@pytest.fixture
def tables(monkeypatch):
    """The tables that commands draw."""
    found = []
    monkeypatch.setattr(
        TextTable,
        "print",
        lambda table, stderr: found.append(TextTable(table.title, table.columns, list(table.rows), list(table.last))),
    )
    yield found


@pytest.mark.parametrize("command", COMMANDS)
def test_tables_of_commands_are_whole_at_any_width(command, hw4opt, tables, tmp_path, monkeypatch, capsys):
    draw = np.random.default_rng(0)
    plays = [draw.poisson(np.exp(2 * (row % 5) + 0.3 * row / 200)) for row in range(200)]
    (tmp_path / "five.csv").write_text(
        "plays,tempo\n" + "".join(f"{one},{draw.standard_normal():.5f}\n" for one in plays)
    )
    hw4opt(*COMMANDS[command])
    monkeypatch.undo()
    assert tables
    for table in tables:
        check(table, monkeypatch, capsys)


@pytest.mark.parametrize("name", NETS)
def test_tables_of_networks_are_whole_at_any_width(name, monkeypatch, capsys):
    check(NETS[name], monkeypatch, capsys)


def test_blocks_begin_with_the_first_column(monkeypatch, capsys):
    table = TextTable(
        "moods", ("", *(f"mood {k}" for k in range(1, 6))), [["tempo", *(f"{k}.25 ± 0.0{k}" for k in range(1, 6))]]
    )
    lines = drawn(table, 40, monkeypatch, capsys)
    assert [line.split() for line in lines if "mood " in line] == [
        ["mood", "1", "mood", "2"],
        ["mood", "3", "mood", "4"],
        ["mood", "5"],
    ]
    assert [line.split()[0] for line in lines if "±" in line] == ["tempo"] * 3


def test_certified_is_one_word_on_one_line(monkeypatch, capsys):
    columns = ("ridge", "objective", "held-out error", "± one s.e.", "relative gap", "status")
    rows = [
        [f"{value:.6g}", "37.12345678", "0.512345 ← lowest", "0.12", "3.1e-12", "certified"] for value in (0.01, 0.1)
    ]
    for width in (40, 60, 80, 200):
        assert (
            sum(
                "certified" in line
                for line in drawn(TextTable("Along ridge", columns, rows), width, monkeypatch, capsys)
            )
            == 2
        )
