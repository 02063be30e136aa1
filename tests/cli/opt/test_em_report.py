"""`hw4opt em --report`: the moods, how many, and their playlists in one file."""

import csv

import pytest

from report_parts import Parts, data_of

FAST = ["--restarts", 4, "--search", 0]


@pytest.fixture
def report(hw4opt, tmp_path):
    """Run em with these words and a report; its parts, what the command did, and the file's text."""

    def write(*words):
        done = hw4opt("em", *FAST, *words, "--report", "r.html", "--json", "-")
        text = (tmp_path / "r.html").read_text(encoding="utf-8")
        return Parts(text), done, text

    return write


def test_it_holds_moods_their_number_and_playlists(report):
    parts, done, text = report("--k-range", "2:4", "--top", 7)
    assert done.status == 0 and not parts.open
    lists = [f"Playlist of mood {mood}" for mood in (1, 2, 3)]
    assert parts.titles == ["Moods", "How many moods", *lists, "How they were found", "Made by"]
    assert f"{done.json['bic']:.6g}" in parts.text and done.json["data_sha256"] in parts.text and "3 ←" in parts.text
    assert all(
        f"row {row + 1}" in parts.text or f"song {row + 1}" in parts.text for row in done.json["playlists"][0]["rows"]
    )
    coef, criteria, climb = data_of(text)["charts"]
    assert [one["y"] for one in coef["series"]] == [pytest.approx(row, rel=1e-6) for row in done.json["rates"]]
    assert criteria["series"][0]["y"] == pytest.approx([*done.json["bic_by_k"].values()], rel=1e-6)
    assert climb["logarithmic"] and all(value is None or value > 0 for value in climb["series"][0]["y"])


def test_it_asks_no_other_host_and_escapes_names(report, tmp_path):
    with (tmp_path / "plays.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["title", "<b>tempo", "y"])
        writer.writerows([f"</script><img src=x onerror=alert(1)> {row}", row % 7, row % 5] for row in range(40))
    parts, done, text = report("plays.csv", "--k", 1)
    assert done.status == 0 and "</script><img" in parts.text and "<b>tempo" in parts.text and "<img src=x" not in text
    assert all(one.startswith("data:") for one in parts.references) and "connect-src 'none'" in text
    assert "How many moods" not in parts.titles


def test_an_answer_without_proof_has_its_report(hw4opt, tmp_path):
    lines = ["tempo,y,mood", *(f"{row % 7},{3 * (row % 2) + row % 5},{row // 2 % 2}" for row in range(60))]
    (tmp_path / "plays.csv").write_text("\n".join(lines) + "\n")
    words = ["--plain", "--k", 2, "--init", "mood", "--cycles", 1]
    done = hw4opt("em", "plays.csv", *words, "--report", "r.html", "--json", "-")
    parts = Parts((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert done.status == 1 and "✗" in parts.text and "Moods" in parts.titles


def test_it_overwrites_neither_input_nor_playlist(hw4opt, tmp_path):
    (tmp_path / "plays.csv").write_text("tempo,y\n1,2\n2,3\n")
    done = hw4opt("em", "plays.csv", "--k", 1, "--report", "plays.csv")
    assert done.status == 2 and "would overwrite the data" in done.err
    done = hw4opt("em", "--playlists", "lists", "--report", "lists/mood_1.csv")
    assert done.status == 2 and "lists" in done.err
