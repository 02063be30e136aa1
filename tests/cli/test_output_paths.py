"""Which outputs may be written, and what they may not overwrite: checked before any work, in both programs."""

import os
from pathlib import Path

import click
import pytest

from hw4cli.output_paths import Files, check_files, inputs, named_files, outputs, whole_folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text("x,y\n1,2\n")
    os.link("data.csv", "hard.csv")
    Path("soft.csv").symlink_to("data.csv")
    Path("im/train/cat").mkdir(parents=True)
    Path("im/train/cat/0.png").write_text("an image")
    Path("elsewhere.png").write_text("another")
    Path("im/train/cat/1.png").symlink_to(tmp_path / "elsewhere.png")
    Path("folder").symlink_to("im")
    Path("run").mkdir()
    Path("run/last.pt").write_text("weights")


def told(written: list[Files], read: list[Files]) -> str:
    before = {path: path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}
    with pytest.raises(click.UsageError) as caught:
        check_files(written, read)
    assert before == {path: path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}
    return caught.value.format_message()


@pytest.mark.parametrize("read", ["data.csv", "./data.csv", "hard.csv", "soft.csv", "im/../data.csv"])
@pytest.mark.parametrize("written", ["data.csv", "hard.csv", "soft.csv", "folder/../data.csv"])
def test_an_output_is_compared_with_an_input_as_a_file(read, written):
    assert f"--json {written} would overwrite the data" in told(outputs({"json": written}), inputs({"the data": read}))


@pytest.mark.parametrize(
    "written", ["im/train/cat/0.png", "im/train/cat/new.png", "folder/train/cat/0.png", "elsewhere.png", "im/new"]
)
def test_a_folder_of_images_is_not_written_into(written):
    for source in ("im", "folder", "./im/"):
        said = told(outputs({"save": written}), inputs({"the data": source}, folders=True))
        assert f"--save {written} would overwrite the data" in said


def test_of_other_folders_only_what_is_meant_counts():
    run = Files("the run run", "run", named_files(["last.pt", "history.csv"]))
    assert "--save run/last.pt would overwrite the run run" in told(outputs({"save": "run/last.pt"}), [run])
    assert "would overwrite" in told(outputs({"save": "run/history.csv"}), [run])
    os.link("run/last.pt", "linked.pt")
    assert "would overwrite" in told(outputs({"save": "linked.pt"}), [run])
    check_files(outputs({"save": "run/mine.csv", "json": "-", "plot": None}), [run])


def test_outputs_are_compared_with_each_other():
    assert "--save a would overwrite --json a" in told(outputs({"json": "a", "save": "a"}), [])
    assert "--save soft.csv would overwrite --json data.csv" in told(
        outputs({"json": "data.csv", "save": "soft.csv"}), []
    )
    folder = Files("--out run", "run", named_files(["last.pt"]))
    assert "--out run would overwrite --json run/last.pt; give another folder" in told(
        [*outputs({"json": "run/last.pt"}), folder], []
    )


def test_folders_are_compared_with_what_is_read():
    def meant(name: str) -> bool:
        return name.startswith("mood_")

    Path("link.csv").symlink_to("mood_1.csv")
    Path("mood_1.csv").write_text("plays\n1\n")
    for read in ("link.csv", "mood_1.csv"):
        assert "would overwrite the data" in told([Files("--playlists .", ".", meant)], inputs({"the data": read}))
    check_files([Files("--playlists .", ".", meant)], inputs({"the data": "data.csv"}))
    for out in ("im", "im/train/new", "folder/x"):
        assert "would overwrite the data" in told([Files("--out", out, meant)], [Files("the data", "im", whole_folder)])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "the name is empty"),
        ("im", "is a folder"),
        ("no/a", "the folder no does not exist"),
        ("data.csv/a", "the folder data.csv does not exist"),
        ("new/", "the folder new does not exist"),
        ("a" * 256, "File name too long"),
        ("é" * 128, "File name too long"),
        ("loop", "Too many levels of symbolic links"),
        ("loop/a", "Too many levels of symbolic links"),
        ("a\0b", "embedded null"),
        ("/dev/null", "not a regular file"),
    ],
)
def test_a_name_that_cannot_be_written(name, said):
    Path("loop").symlink_to("loop")
    assert said in told(outputs({"save": name}), [])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "the name is empty; give a folder"),
        ("data.csv", "data.csv is a file; give a folder"),
        ("data.csv/a/b", "data.csv is not a folder"),
        ("a" * 256, "File name too long"),
        ("loop", "Too many levels of symbolic links"),
    ],
)
def test_a_folder_that_cannot_be_made(name, said):
    Path("loop").symlink_to("loop")
    assert said in told([Files(f"--out {name}", name, whole_folder)], [])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write and search anywhere")
@pytest.mark.parametrize("mode", [0o500, 0o600, 0o000])
def test_a_folder_without_permission(mode):
    Path("closed").mkdir()
    Path("closed").chmod(mode)
    assert "ermission denied" in told(outputs({"save": "closed/a"}), [])


def test_longest_names_are_written(hw4opt):
    for length in (243, 250, 255):
        name = "a" * (length - 5) + ".json"
        done = hw4opt("solve", "--gamma", 3, "--reg", "ridge=1", "--select", "none", "--save", name, "-q")
        assert done.status == 0 and len(name) == length and Path(name).exists(), done
    name = "é" * 125 + ".json"
    assert (
        hw4opt("solve", "--gamma", 3, "--reg", "ridge=1", "--select", "none", "--json", name, "-q").status == 0
        and Path(name).exists()
    )
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


NETS = [
    ["train", "--config", "c.toml", "--json", "c.toml"],
    ["train", "--config", "c.toml", "--plot", "c.png"],
    ["train", "--config", "run/config.toml", "--overwrite"],
    ["train", "--config", "c.toml", "--data", "im", "--out", "im/train/cat"],
    ["train", "--config", "c.toml", "--data", "im", "--json", "im/train/cat/0.png"],
    ["train", "--config", "c.toml", "--save", "run/summary.json"],
    ["train", "--config", "d.toml", "--json", "im/train/cat/0.png"],
    ["train", "--resume", "--json", "run/config.toml"],
    ["train", "--resume", "--config", "c.toml", "--json", "c.toml"],
    ["train", "--resume", "--json", "im/train/cat/0.png"],
    ["search", "--config", "c.toml", "--json", "c.toml"],
    ["search", "--config", "c.toml", "--save", "run/best.toml"],
    ["search", "--config", "run/best.toml"],
    ["search", "--config", "d.toml", "--save", "im/train/cat/0.png"],
    ["evaluate", "run", "--save", "run/last.pt"],
    ["evaluate", "run", "--json", "run/history.csv"],
    ["evaluate", "run", "--save", "im/train/cat/0.png"],
    ["evaluate", "run", "--data", "im", "--save", "im/train/cat/2.png"],
    ["plot", "run", "--save", "run/history.csv"],
    ["plot", "run", "--plot", "run/curves.png"],
    ["data", "--data", "im", "--json", "im/train/cat/0.png"],
    ["data", "--data", "im", "--save", "elsewhere.png"],
    ["data", "--data", "c.png", "--plot", "c.png"],
    ["reproduce", "--data", "im", "--json", "run/report.md"],
    ["reproduce", "--data", "im", "--json", "im/train/cat/0.png"],
    ["reproduce", "--data", "im", "--save", "run/runs/3a_logistic_tuned/last.pt"],
]


@pytest.mark.parametrize("words", NETS, ids=" ".join)
def test_hw4nets_leaves_its_inputs_alone(words, capsys):
    pytest.importorskip("torch")
    from hw4cli.nets.app import main

    Path("c.toml").write_text('net = "logistic"\ndata = "synthetic"\n')
    Path("d.toml").write_text('net = "logistic"\ndata = "im"\n')
    os.link("c.toml", "c.png")
    for name in ("config.toml", "best.toml"):
        Path("run", name).write_text('net = "logistic"\ndata = "im"\ndata_sha256 = "0"\n')
    Path("run/runs/3a_logistic_tuned").mkdir(parents=True)
    Path("run/history.csv").write_text("epoch\n")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    out = [] if words[0] in ("evaluate", "plot", "data") or "--out" in words else ["--out", "run"]
    assert main([*words, *out]) == 2
    done = capsys.readouterr()
    assert done.out == "" and "would overwrite" in done.err and done.err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", ["train", "search", "reproduce"])
def test_an_empty_folder_name_is_no_name(command, capsys):
    pytest.importorskip("torch")
    from hw4cli.nets.app import main

    before = sorted(Path().iterdir())
    assert (
        main([command, *(["--net", "logistic"] if command != "reproduce" else []), "--data", "synthetic", "--out", ""])
        == 2
    )
    assert "--out: the name is empty; give a folder" in capsys.readouterr().err and sorted(Path().iterdir()) == before


def test_a_full_disk_is_exit_1_and_names_the_file(hw4opt, monkeypatch):
    """No playlist is left half-written, and none of an earlier call is lost."""
    Path("s.csv").write_text("plays,tempo\n" + "".join(f"{i % 4 + 1},{i / 7}\n" for i in range(30)))
    Path("p").mkdir()
    Path("p/mood_2.csv").write_text("of an earlier call")
    writes = []

    def full(*words):
        writes.append(words)
        if len(writes) > 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("hw4opt.mixture.playlists._write", full)
    done = hw4opt("em", "s.csv", "--y", "plays", "--k", 2, "--ridge", 1, "--playlists", "p", "-q")
    assert done.status == 1 and "No space left on device (p/mood_2.csv)" in done.err.splitlines()[-1], done
    assert (
        sorted(path.name for path in Path("p").iterdir()) == ["mood_2.csv"]
        and Path("p/mood_2.csv").read_text() == "of an earlier call"
    )


def test_em_leaves_its_data_alone(hw4opt):
    rows = "plays,tempo\n" + "".join(f"{i % 4 + 1},{i / 7}\n" for i in range(30))
    for name, words in {
        "mood_1.csv": ["s.csv"],
        "mood_2.csv": ["s.csv"],
        "other.csv": ["other.csv", "--catalogue", "s.csv"],
    }.items():
        Path("s.csv").unlink(missing_ok=True)
        Path(name).write_text(rows)
        target = name if name.startswith("mood") else "mood_1.csv"
        Path("s.csv").symlink_to(target)
        done = hw4opt("em", *words, "--y", "plays", "--k", 2, "--playlists", ".", "-q")
        assert done.status == 2 and "would overwrite the" in done.err and Path(name).read_text() == rows
        assert done.out == "" and done.err.count("\n") == 1


def test_predict_and_solve_leave_their_inputs_alone(hw4opt):
    Path("d.csv").write_text("x,y\n" + "".join(f"{i},{i % 3}\n" for i in range(20)))
    words = ["--gamma", 3, "--reg", "ridge=1", "--select", "none", "-q"]
    assert hw4opt("solve", "d.csv", *words, "--save", "m.json").status == 0
    os.link("m.json", "m2.json")
    before = Path("m.json").read_bytes(), Path("d.csv").read_bytes()
    for call in (
        ["predict", "m.json", "d.csv", "--out", "m2.json"],
        ["predict", "m.json", "d.csv", "--out", "p.csv", "--save", "m2.json"],
        ["predict", "m.json", "d.csv", "--out", "./d.csv"],
        ["predict", "m.json", "d.csv", "--out", ""],
        ["solve", "d.csv", *words, "--json", "./d.csv"],
        ["solve", "d.csv", *words, "--json", ""],
        ["path", "d.csv", "--vary", "ridge=1:2:2", "--gamma", 3, "--select", "none", "--json", "d.csv"],
        ["check", "d.csv", *words, "--json", "d.csv"],
    ):
        done = hw4opt(*call)
        assert done.status == 2 and done.out == "" and done.err.count("\n") == 1, done
        assert ("would overwrite" in done.err) == ("" not in call)
    assert (Path("m.json").read_bytes(), Path("d.csv").read_bytes()) == before
