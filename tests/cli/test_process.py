"""The command as a process: what it imports, Ctrl-C, pipes, completion, help, and the bar on a terminal."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hw4cli.opt.app import app, main
from hw4cli.progress import Bar

RUN = "import sys; from hw4cli.opt.app import main; status = main(sys.argv[1:])"
HEAVY = {"cvxpy", "matplotlib", "pandas", "pyarrow", "scipy", "sklearn", "torch"}
UNUSED_BY_A_FIT = HEAVY | {"numpy.ma", "importlib.metadata"}  # the last two take 20 ms
GIVEN = ["--loss", "huber", "--gamma", "54", "--reg", "ridge=0.1", "--reg", "tv=0.3", "--select", "none"]


def process(*words: str, program: str = f"{RUN}; sys.exit(status)", **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=120, **options
    )


@pytest.mark.parametrize(
    ("words", "light"),
    [
        (["--help"], HEAVY | {"numpy", "rich", "hw4opt"}),
        (["solve", *GIVEN], UNUSED_BY_A_FIT),
        (["solve", *GIVEN, "--json", "-", "--quiet"], UNUSED_BY_A_FIT | {"rich"}),
        (["solve", "--help"], HEAVY),
        (["path", "--gamma", "54", "--vary", "ridge=0.1:1:2", "--select", "none"], HEAVY),
    ],
)
def test_no_heavy_library_is_imported(words, light):
    done = process(*words, program=f"{RUN}; print('MODULES', *sys.modules)")
    modules = set(done.stdout.rpartition("MODULES ")[2].split())
    assert done.returncode == 0 and "hw4cli" in modules and not modules & light


def test_ctrl_c_is_130_and_leaves_no_file(start, tmp_path):
    """SIGINT arrives during the search: the child prints a byte when it begins."""
    code = "import hw4cli.opt.solve as s; choose = s.choose; "
    code += "s.choose = lambda *words, **more: print(flush=True) or choose(*words, **more); "
    words = ["solve", "--n", "3000", "--loss", "huber", "--reg", "tv", "--select", "loo"]
    running = start(f"{code}{RUN}; sys.exit(status)", *words, "--plot", "fit.png", "--save", "m.json", cwd=tmp_path)
    assert running.stdout.read(1) == b"\n"
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130 and b"Traceback" not in err and b"interrupted" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
@pytest.mark.parametrize("later", [0.0, 0.1])
def test_ctrl_c_is_for_the_parent_of_workers(later, start, children, wait_for):
    """A terminal sends SIGINT to the whole process group, while workers import modules."""
    code = "from hw4opt.running.processes import Workers\nwith Workers(2) as workers:\n"
    running = start(code + "    list(workers.spread(eval, ['__import__(\"time\").sleep(60)'] * 2))")
    wait_for(lambda: len(children(running.pid)) >= 2)
    workers = children(running.pid)
    time.sleep(later)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGINT
    assert err.count(b"Traceback") == 1 and err.endswith(b"KeyboardInterrupt\n")
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is another thing there")
def test_ctrl_c_has_nothing_left_to_strike_once_the_answer_is_out():
    program = (
        f"{RUN.replace('sys.argv[1:]', '')}; import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    assert process("--version", program=program).stdout.splitlines()[-1] == "True"


@pytest.mark.skipif(os.name != "posix", reason="it needs a shell")
@pytest.mark.parametrize(("closed", "other"), [(">&-", "stderr"), ("2>&-", "stdout")])
def test_a_closed_stream_is_as_good_as_a_silent_one(closed, other):
    program = f"{RUN.replace('sys.argv[1:]', '')}; sys.exit(status)"
    done = subprocess.run(
        f"exec {sys.executable} -c '{program}' solve {' '.join(GIVEN)} --json - {closed}",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "Error" not in done.stdout + done.stderr
    if other == "stdout":
        assert json.loads(done.stdout)["status"] == "certified"


def test_a_closed_pipe_is_no_traceback(start):
    words = ["solve", *GIVEN, "--json", "-", "--quiet"]
    running = start(f"{RUN}; sys.exit(status)", *words, bufsize=0)
    running.stdout.close()  # before anything is written: the first write fails
    assert running.wait(60) == 1 and running.stderr.read() == b""


def test_every_command_has_help_and_a_version(hw4opt):
    from hw4opt import __version__

    for words in ([], *([name] for name in app.texts)):
        done = hw4opt(*words, "--help")
        assert done.status == 0 and done.err == "" and "Usage: hw4opt" in done.out
        assert hw4opt(*words, "--version").out == f"hw4opt {__version__}\n"
    for option in ["--json", "--quiet", "--seed", "--plot", "--save", "-v", "--version", "--help"]:
        assert all(option in hw4opt(name, "--help").out for name in app.texts)


def test_solve_has_every_option_of_the_contract(hw4opt):
    text = hw4opt("solve", "--help").out
    options = """--x --y --weights --design --intercept --no-intercept --kernel --gamma --loss --reg --constraint
        --solver --tol --max-iterations --select --search --grid --one-se --folds --groups --search-seed --workers
        --metric --scale --n --no-arrays"""
    assert not [option for option in options.split() if option not in text]


@pytest.mark.parametrize(
    ("words", "number", "found"),
    [
        ("hw4opt s", 1, "solve"),
        ("hw4opt solve --loss hu", 3, "huber"),
        ("hw4opt solve --reg t", 3, "trend"),
        ("hw4opt solve --kernel mat", 3, "matern52"),
        ("hw4opt solve --solver ad", 3, "admm"),
    ],
)
def test_the_shell_completes(capsys, monkeypatch, words, number, found):
    for name, value in (("_HW4OPT_COMPLETE", "bash_complete"), ("COMP_WORDS", words), ("COMP_CWORD", str(number))):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main([])
    assert found in capsys.readouterr().out


@pytest.mark.slow
def test_verbose_shows_where_an_unexpected_error_came_from(hw4opt, monkeypatch):
    program = f"import hw4cli.opt.solve as s; s.fit = lambda *a, **b: 1 / 0; {RUN}; sys.exit(status)"
    done = process("solve", *GIVEN, "-v", program=program)
    assert done.returncode == 1 and "Traceback" in done.stderr and "ZeroDivisionError" in done.stderr
    assert "Traceback" not in process("solve", *GIVEN, program=program).stderr


@pytest.mark.slow
def test_no_color_is_respected():
    env = {**os.environ, "FORCE_COLOR": "1"}
    assert "\x1b[" in process("solve", *GIVEN, env=env).stdout
    assert "\x1b[3" not in process("solve", *GIVEN, env={**env, "NO_COLOR": "1"}).stdout


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_waits_and_is_drawn_only_on_a_terminal(wait_for):
    for stream, quiet, delay, drawn in (
        (Terminal(), False, 0.01, True),
        (Terminal(), False, 60, False),
        (Terminal(), True, 0.01, False),
        (io.StringIO(), False, 0.01, False),
    ):
        with Bar("choosing", quiet, stream, delay) as bar:
            bar.update(1, 2, 3.5)
            if drawn:
                wait_for(lambda: "choosing · best 3.5" in stream.getvalue())  # noqa: B023
            else:
                time.sleep(0.2)  # rich is imported by now
        assert ("choosing" in stream.getvalue()) == drawn


@pytest.mark.parametrize("terminal", [False, True])
def test_what_is_printed_beside_the_bar_reaches_a_pipe(monkeypatch, wait_for, terminal):
    stream, out = Terminal(), Terminal() if terminal else io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    with Bar("choosing", stream=stream, delay=0.01):
        wait_for(lambda: "choosing" in stream.getvalue())
        print("a line of the table")
    assert ("a line of the table" in out.getvalue()) != terminal
    assert ("a line of the table" in stream.getvalue()) == terminal


def test_the_bar_leaves_with_an_error(wait_for):
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), Bar("solving", stream=stream, delay=0.01):
        wait_for(lambda: "solving" in stream.getvalue())
        raise KeyboardInterrupt
    assert "solving" in stream.getvalue()


def test_the_json_holds_the_seed_and_the_hash_of_the_data(hw4opt):
    one, other = (hw4opt("solve", *GIVEN, "--seed", seed, "--json", "-", "-q").json for seed in (0, 1))
    assert (one["seed"], other["seed"]) == (0, 1) and one["data_sha256"] != other["data_sha256"]
    assert (
        one["command"]
        == "hw4opt solve --loss huber --gamma 54 --reg ridge=0.1 --reg tv=0.3 --select none --seed 0 --json - -q"
    )
    assert json.dumps(one, allow_nan=False)
