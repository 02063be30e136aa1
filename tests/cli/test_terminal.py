"""Streams, signals and environments: encodings, a full disk, control characters, early Ctrl-C, notebook shells."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from hw4cli.texts import MAX_CHARACTERS, one_line, printable

GIVEN = ["--gamma", "20", "--reg", "ridge=0.01", "--select", "none"]
SLOW = pytest.mark.slow
PROGRAMS = ["hw4opt", *(["hw4nets"] if find_spec("torch") else [])]
NETS = pytest.mark.skipif("hw4nets" not in PROGRAMS, reason="torch is not installed")


def code_of(program: str) -> str:
    return f"import sys; from hw4cli.start import {program}; sys.exit({program}())"


def command(program: str, *words: str | bytes, **options) -> subprocess.CompletedProcess[bytes]:
    call = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 120} | options
    return subprocess.run([sys.executable, "-c", code_of(program), *words], **call)


def test_the_entry_points_are_these():
    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text()
    assert 'hw4opt = "hw4cli.start:hw4opt"' in text and 'hw4nets = "hw4cli.start:hw4nets"' in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_tables_fit_any_encoding(program, encoding, tmp_path, monkeypatch):
    monkeypatch.setenv("HW4NETS_CACHE", str(tmp_path))
    main = import_module(f"hw4cli.{program.removeprefix('hw4')}.app").main
    shown = ["solve", *GIVEN] if program == "hw4opt" else ["data", "--data", "synthetic"]
    for words in (["--help"], [shown[0], "--help"], shown, ["nosuch ← ≥"]):
        streams = {name: io.TextIOWrapper(io.BytesIO(), encoding) for name in ("stdout", "stderr")}
        for name, stream in streams.items():
            monkeypatch.setattr(sys, name, stream)
        status = main(words)
        out, err = (stream.buffer.getvalue() for stream in streams.values())
        assert status == (2 if words == ["nosuch ← ≥"] else 0), err
        assert bool(out) == (status == 0) and b"should not happen" not in err
        assert status == 0 or rb"nosuch \u2190 \u2265" in err


@pytest.mark.parametrize("words", [["solve", "--help"], ["solve", *GIVEN], ["nosuch ← ≥"]])
def test_a_process_fits_its_encoding(words):
    done = command("hw4opt", *words, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == (2 if words == ["nosuch ← ≥"] else 0), done.stderr
    assert b"Traceback" not in done.stderr and b"should not happen" not in done.stderr


def test_an_argument_that_is_no_utf_8_is_refused_before_any_work(tmp_path):
    for program, words in (
        ("hw4opt", [b"solve", b"--json"]),
        ("hw4nets", [b"data", b"--data", b"synthetic", b"--json"]),
    )[: len(PROGRAMS)]:
        done = command(program, *words, b"caf\xe9.json", cwd=tmp_path)
        assert done.returncode == 2 and done.stdout == b"" and rb"the word 'caf\xe9.json' is not UTF-8" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "words", [["--help"], ["solve", *GIVEN], ["solve", *GIVEN, "-q", "--json", "-"], ["--version"]]
)
def test_a_full_stdout_is_exit_1_and_a_sentence(words):
    with Path("/dev/full").open("w") as full:
        done = command("hw4opt", *words, stdout=full)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1 and b"No space left on device" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.slow
def test_a_full_stderr_changes_no_status():
    with Path("/dev/full").open("w") as full:
        assert command("hw4opt", "solve", "--nosuch", stderr=full).returncode == 2
        done = command("hw4opt", "solve", *GIVEN, "--json", "-", stderr=full)  # the table goes there
    assert done.returncode in (0, 1) and json.loads(done.stdout)["status"] == "certified"


def test_control_characters_reach_no_terminal(hw4opt, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    name = "\x1b]0;title\x07\x1b[31mred\x9b"
    (tmp_path / "d.csv").write_text(f"{name},y\n" + "".join(f"{i},{i % 3}\n" for i in range(20)))
    calls = [
        ["solve", "d.csv", *GIVEN],
        ["solve", name],
        ["solve", "d.csv", "--y", name + "x"],
        ["solve", "--loss", name],
        [name],
    ]
    for words in calls:
        done = hw4opt(*words)
        assert done.out + done.err and not {"\x1b", "\x07", "\x9b"} & set(done.out + done.err)


def test_printable_and_one_line():
    assert printable("a ← b\nc") == "a ← b\nc"
    assert printable("\x1b[0m\t\u202e\udcff\x9b") == "\\x1b[0m\\t\\u202e\\udcff\\x9b"
    assert one_line("a\n b\r\n c") == "a b c"
    long = one_line("x" * 3_000_000 + " give a number")
    assert len(long) <= MAX_CHARACTERS + 3 and long.endswith("give a number")
    assert len(one_line("\x1b" * 3_000)) <= MAX_CHARACTERS + 3


def test_a_long_word_is_no_long_sentence(hw4opt):
    for words in (["--loss", "h" * 100_000], ["--x", "é" * 100_000], ["x" * 100_000], ["--y", "a," * 50_000]):
        done = hw4opt("solve", *words)
        assert done.status == 2 and done.err.count("\n") == 1 and len(done.err) < MAX_CHARACTERS + 50


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is another thing there")
@pytest.mark.parametrize("program", ["hw4opt", pytest.param("hw4nets", marks=[SLOW, NETS])])
def test_ctrl_c_while_the_program_is_imported(program, start):
    """SIGINT right after the first line of the program: a child prints a byte there."""
    code = f"import sys, hw4cli.start as s; print(flush=True, end='.'); sys.exit(s.{program}())"
    words = ["solve", *GIVEN] if program == "hw4opt" else ["data", "--data", "synthetic"]
    for delay in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3):
        running = start(code, *words)
        assert running.stdout.read(1) == b"."
        time.sleep(delay + 0.01)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
        assert b"Traceback" not in err and running.returncode in (130, 0), err
        assert running.returncode == 0 or err == f"{program}: interrupted\n".encode()


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is another thing there")
def test_an_ignored_ctrl_c_stays_ignored(start):
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); " + code_of("hw4opt")
    running = start(code, "solve", *GIVEN)
    assert running.stdout.read(1) == b"\n"
    for _ in range(5):
        time.sleep(0.05)
        running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=60)[1] == b"" and running.returncode == 0


def test_interrupted_is_one_line(start, wait_for, tmp_path):
    running = start(code_of("hw4opt"), "reproduce", "--out", "r", cwd=tmp_path)
    wait_for(lambda: list(tmp_path.iterdir()))  # the temporary folder of its files
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=60)[1] == b"hw4opt: interrupted\n" and running.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_is_not_lost_in_an_import(start, tmp_path):
    """Some extension modules drop exceptions in their initialisation: so does the module `drops`."""
    (tmp_path / "drops.py").write_text(
        "import time\nprint('.', flush=True)\ntry:\n    time.sleep(0.3)\nexcept BaseException:\n    pass\n"
    )
    code = "import sys, time; sys.path.insert(0, '.'); import hw4opt.assignment as assignment\n"
    code += "def reproduce(*given):\n    import drops\n    time.sleep(60)\nassignment.reproduce = reproduce\n"
    running = start(code + code_of("hw4opt"), "reproduce", "--out", "r", cwd=tmp_path)
    assert running.stdout.read(1) == b"."
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=30)[1] == b"hw4opt: interrupted\n" and running.returncode == 130
    assert not list(tmp_path.glob(".hw4opt-*"))


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline_that_is_not_there.backend_inline", pytest.param("nosuch", marks=SLOW)]
)
@pytest.mark.parametrize("program", ["hw4opt", pytest.param("hw4nets", marks=[SLOW, NETS])])
def test_figures_need_no_backend_and_no_home(program, backend, tmp_path):
    """matplotlib's warning about its cache folder is not shown to users."""
    env = {**os.environ, "MPLBACKEND": backend, "HW4NETS_CACHE": str(tmp_path / "cache"), "HOME": os.devnull}
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        env.pop(name, None)
    words = ["solve", *GIVEN] if program == "hw4opt" else ["data", "--data", "synthetic"]
    done = command(program, *words, "--plot", "a.png", "-q", cwd=tmp_path, env=env)
    assert done.returncode == 0 and done.stderr == b"" and (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG"), (
        done.stderr
    )


@pytest.mark.parametrize("digits", [30, 300, 5_000])
def test_numbers_of_any_length_are_a_sentence(hw4opt, digits):
    many = "9" * digits
    settled = ["solve", *GIVEN]
    for words in (
        *([*settled, option, many] for option in ("--n", "--seed", "--max-iterations")),
        *(
            ["solve", option, value]
            for option, value in (("--select", f"kfold:{many}"), ("--search", f"random:{many}"))
        ),
        *(["solve", option, many] for option in ("--workers", "--search-seed")),
        ["solve", "--grid", f"gamma=1:2:{many}"],
        ["path", "--vary", f"ridge=1:2:{many}"],
        *(["em", option, many] for option in ("--k", "--cycles", "--restarts", "--search", "--top", "--seed")),
        ["em", "--k-range", f"1:{many}"],
        ["reproduce", "--out", "r", "--draws", many],
    ):
        done = hw4opt(*words)
        assert done.status == 2 and done.out == "" and done.err.count("\n") == 1, done
        assert "should not happen" not in done.err and len(done.err) < MAX_CHARACTERS + 50
