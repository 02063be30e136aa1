"""Files that `hw4nets` reads, damaged at random and on purpose, and random words: a sentence and an exit status.

A few seeds of each kind run always; with the marker `full` many do. Every draw is seeded.
"""

import hashlib
import json
import shutil
import sqlite3
import struct
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cifar_files import WRITERS, pack  # noqa: E402
from hw4cli.nets.app import app, main  # noqa: E402
from hw4nets.checkpoint import VERSION, checksum  # noqa: E402
from hw4nets.image_set import ImageSet  # noqa: E402
from light_runs import lighten  # noqa: E402

SEEDS = [
    0,
    pytest.param(1, marks=pytest.mark.slow),
    *(pytest.param(seed, marks=pytest.mark.full) for seed in range(2, 40)),
]
QUICK = ["--net", "logistic", "--data", "synthetic", "--epochs", "1", "--threads", "1", "-q"]
SEARCH = ["search", *QUICK, "--trials", "2", "--out", "study"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, a study, images of every form, and a file of settings; each test changes a copy."""
    patch = pytest.MonkeyPatch()
    patch.setenv("HW4NETS_CACHE", str(tmp_path_factory.mktemp("cache")))
    folder = tmp_path_factory.mktemp("made")
    patch.chdir(folder)
    lighten(patch)
    assert main(["train", *QUICK, "--out", "run"]) == 0 and main(SEARCH) == 0
    draw = np.random.default_rng(0)
    parts = tuple(ImageSet(draw.integers(0, 256, (n, 3, 32, 32), np.uint8), np.arange(n) % 10) for n in (20, 10))
    for form, write in WRITERS.items():
        (folder / form).mkdir()
        write(folder / form, parts)
        for ending in (".tar.gz", ".tar.xz", ".zip"):
            pack(folder / form, folder / f"{form}{ending}")
    shutil.copy("run/config.toml", "settings.toml")
    patch.undo()
    return folder


@pytest.fixture
def world(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    monkeypatch.setenv("HW4NETS_CACHE", str(tmp_path / "cache"))
    lighten(monkeypatch)
    return tmp_path / "w"


def contents(paths) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}


@pytest.fixture
def tried(capsys):
    """Run a command line; check what must hold of every one; give its status and what it said."""

    def run(words, read=()):
        before = contents(map(Path, read))
        capsys.readouterr()
        status = main([*map(str, words)])
        done = capsys.readouterr()
        assert status in (0, 1, 2), words
        assert "Traceback" not in done.err and "should not happen" not in done.err, (words, done.err)
        assert contents(map(Path, read)) == before, words
        assert status != 2 or (done.out == "" and done.err.splitlines()[-1].startswith("hw4nets: ")), (words, done)
        assert all(len(line) < 1_100 for line in done.err.splitlines())
        return status, done.err

    return run


def spoil(content: bytes, draw: np.random.Generator) -> bytes:
    """Bytes changed, cut out, doubled, or cut off."""
    spoiled = bytearray(content)
    for _ in range(draw.integers(1, 6)):
        place = int(draw.integers(max(1, len(spoiled))))
        length = int(draw.choice([1, 1, 2, 4, 30]))
        kind = draw.integers(5)
        if kind == 0:
            del spoiled[place : place + length]
        elif kind == 1:
            spoiled[place:place] = spoiled[place : place + length]
        elif kind == 2:
            spoiled[place : place + length] = draw.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f", b"\x80\0"])
        else:
            spoiled[place : place + 1] = draw.bytes(1)
    return bytes(spoiled[: draw.integers(len(spoiled))] if draw.random() < 0.15 else spoiled)


def odd(draw: np.random.Generator):
    """A value of an unexpected type."""
    values = [
        None,
        True,
        -1,
        0,
        10**400,
        1.5,
        float("nan"),
        float("inf"),
        "",
        "x" * 3_000,
        "\x1b[0m",
        [],
        {},
        [[]],
        {"a": 1},
        [1, "b"],
    ]
    values += [
        torch.zeros(0),
        torch.full((3, 2), float("nan")),
        torch.tensor(7),
        torch.zeros(3, dtype=torch.int64),
        torch.zeros(2).to_sparse(),
    ]
    return values[draw.integers(len(values))]


def replaced(value, draw: np.random.Generator, depth: int = 0):
    """A nested value with one entry replaced or removed."""
    if isinstance(value, dict | list) and value and (depth == 0 or draw.random() < 0.7):
        names = list(value) if isinstance(value, dict) else list(range(len(value)))
        name = names[draw.integers(len(names))]
        if draw.random() < 0.15:
            return (
                {k: v for k, v in value.items() if k != name}
                if isinstance(value, dict)
                else [v for k, v in enumerate(value) if k != name]
            )
        changed = value.copy()
        changed[name] = replaced(value[name], draw, depth + 1)
        return changed
    return odd(draw)


# ---- checkpoints, runs and settings ----------------------------------------------------------------------------------


def save(state) -> None:
    torch.save({"version": VERSION, "state": state, "sha256": checksum(state)}, "run/last.pt")


@pytest.mark.parametrize("seed", SEEDS)
def test_checkpoints(world, tried, seed):
    draw = np.random.default_rng(seed)
    whole = torch.load("run/last.pt", weights_only=True)
    content = Path("run/last.pt").read_bytes()
    for _ in range(4):
        try:
            save(replaced(whole["state"], draw))
        except (TypeError, RuntimeError, NotImplementedError, ValueError):
            continue  # what cannot be told by a checksum or written
        tried(["evaluate", "run", "-q"], ["run/last.pt"])
        tried(["train", "--out", "run", "--resume", "-q", "--epochs", "1"])
        Path("run/last.pt").write_bytes(spoil(content, draw))
        tried(["evaluate", "run", "-q"], ["run/last.pt"])
    torch.save(replaced(whole, draw), "run/last.pt")
    tried(["evaluate", "run", "-q"], ["run/last.pt"])


@pytest.mark.parametrize("change", ["param_groups", "history", "weights", "network", "threads", "generators"])
def test_a_checkpoint_with_a_right_checksum_and_another_content(world, tried, change):
    state = torch.load("run/last.pt", weights_only=True)["state"]
    if change == "param_groups":
        state["optimizer"]["param_groups"][0]["lr"] = "fast"
    elif change == "history":
        state["history"][0]["train_loss"] = "low"
    else:
        state[change] = torch.zeros(3, 2) if change != "generators" else [torch.zeros(3)]
    save(state)
    Path("run/before.pt").unlink(missing_ok=True)
    status, said = tried(["train", "--out", "run", "--resume", "-q"])
    assert status == 2 and "checkpoint" in said


@pytest.mark.parametrize("seed", SEEDS)
def test_files_of_a_run(world, tried, seed):
    draw = np.random.default_rng(seed)
    for name in ("config.toml", "history.csv", "summary.json"):
        path = Path("run", name)
        content = path.read_bytes()
        for _ in range(3):
            path.write_bytes(spoil(content, draw))
            tried(["plot", "run", "--plot", "a.png", "-q"], [path])
            tried(["evaluate", "run", "-q"], [path])
            tried(
                [
                    "train",
                    "--config",
                    path,
                    "--out",
                    "new",
                    "--overwrite",
                    "-q",
                    "--data",
                    "synthetic",
                    "--epochs",
                    "1",
                ],
                [path],
            )
        path.write_bytes(content)


TOML = {
    "brackets": "x = " + "[" * 20_000,
    "tables": "net = {a = " * 20_000,
    "digits": 'net = "conv"\n[train]\nepochs = ' + "9" * 5_000,
    "hexadecimal digits": 'net = "conv"\n[train]\nepochs = 0x' + "f" * 5_000,
    "a network of digits": "net = 0x" + "f" * 5_000,
    "a list": 'net = "conv"\n[train]\nlr = [1, 2]',
    "nan": 'net = "conv"\n[train]\nlr = nan',
    "a date": 'net = "conv"\n[train]\nlr = 1979-05-27',
    "data": 'net = "logistic"\ndata = 5',
    "data of digits": 'net = "logistic"\ndata = 0x' + "f" * 5_000,
    "no UTF-8": b"net = '\xff'",
    "a zero byte": 'net = "logistic"\ndata = "a\\u0000b"',
    "a long name": 'net = "logistic"\ndata = "' + "a" * 5_000 + '"',
    "a long key": "a" * 100_000 + ' = 1\nnet = "conv"',
    "escapes": 'net = "\\u001b[31m"',
}


@pytest.mark.parametrize("kind", TOML)
def test_settings(world, tried, kind):
    content = TOML[kind]
    Path("c.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    for command in ("train", "search"):
        status, said = tried([command, "--config", "c.toml", "--out", "new", "-q"], ["c.toml"])
        assert status == 2 and "\x1b" not in said and not Path("new").exists()
    shutil.copy("c.toml", "run/config.toml")
    assert tried(["evaluate", "run", "-q"])[0] == 2


def test_settings_that_are_no_file(world, tried):
    for name in ("/dev/zero", ".", "settings.toml/x", "a" * 300):
        assert tried(["train", "--config", name, "--out", "new", "-q"])[0] == 2


# ---- studies ---------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("default")  # optuna warns of values that a study should not have
@pytest.mark.parametrize("seed", SEEDS)
def test_studies(world, tried, seed):
    draw = np.random.default_rng(seed)
    content = Path("study/study.sqlite").read_bytes()
    for _ in range(2):
        Path("study/study.sqlite").write_bytes(spoil(content, draw))
        tried([*SEARCH, "--resume"])
        Path("study/study.sqlite").write_bytes(content)
        with sqlite3.connect("study/study.sqlite") as base:
            tables = [name for (name,) in base.execute("select name from sqlite_master where type = 'table'")]
            table = tables[draw.integers(len(tables))]
            columns = [row[1] for row in base.execute(f"pragma table_info({table})")]
            value = [None, -1, 10**15, "", "x", "[1,", '{"name": 3}', float("inf"), b"\xff"][draw.integers(9)]
            try:
                base.execute(f"update {table} set {columns[draw.integers(len(columns))]} = ?", (value,))
            except sqlite3.IntegrityError:
                base.execute(f"delete from {table}")
        base.close()
        tried([*SEARCH, "--resume"])


@pytest.mark.parametrize(
    "change",
    [
        "update version_info set schema_version = 99",
        "update version_info set library_version = '99.0.0'",
        "update alembic_version set version_num = 'v99'",
        "drop table trial_params",
        "update trial_params set distribution_json = '{}'",
        "update trial_params set param_value = 1e9",
        "update trial_values set value = 7",
        "update trial_user_attributes set value_json = '['",
        "update studies set study_name = 'other'",
        "update study_directions set direction = 'MINIMIZE'",
        "update trials set state = 'NEW'",
    ],
)
def test_a_study_of_another_version_or_content(world, tried, change):
    with sqlite3.connect("study/study.sqlite") as base:
        base.execute(change)
    base.close()
    status, said = tried([*SEARCH, "--resume"])
    assert status in (0, 2) and (status == 0 or "study" in said)


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        (["p=40"], "p with 40: p = 40 exceeds its input of 32×32"),
        (["p=3|40"], "p with 40"),
        (["p=3:40"], "p with 40"),
        (["N=33|14"], "N with 33"),
        (["M=0|4"], "M is 0"),
        (["augment=flip|flop"], "augment with flop: no augmentation 'flop'"),
        (["optimizer=muon|sgd"], "optimizer with muon"),
    ],
)
def test_a_value_that_the_network_refuses_makes_no_study(world, tried, vary, said):
    net = ["--net", "hidden"] if vary[0].startswith("optimizer") else ["--net", "conv"]
    words = [word for one in vary for word in ("--vary", one)]
    status, told = tried(["search", *net, "--data", "synthetic", "--out", "new", *words, "-q"])
    assert status == 2 and said in told and not Path("new").exists()


# ---- images ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("form", WRITERS)
def test_images_and_batches(world, tried, form, seed):
    draw = np.random.default_rng(seed)
    files = sorted(path for path in Path(form).rglob("*") if path.is_file())
    for _ in range(6):
        path = files[draw.integers(len(files))]
        content = path.read_bytes()
        path.write_bytes(spoil(content, draw))
        tried(["data", "--data", form, "-q"], files)
        path.write_bytes(content)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("form", WRITERS)
def test_archives(world, tried, form, seed):
    draw = np.random.default_rng(seed)
    for path in sorted(Path().glob(f"{form}.*")):
        content = path.read_bytes()
        for _ in range(3):
            path.write_bytes(spoil(content, draw))
            tried(["data", "--data", path, "-q"], [path])


def test_cache_entries(world, tried, tmp_path):
    draw = np.random.default_rng(0)
    assert tried(["data", "--data", "binary", "-q"])[0] == 0
    entry = next((tmp_path / "cache").iterdir())
    content = entry.read_bytes()
    for _ in range(20):
        entry.write_bytes(spoil(content, draw))
        assert tried(["data", "--data", "binary", "-q"])[0] == 0


# ---- words -----------------------------------------------------------------------------------------------------------

WORDS = [
    "",
    "-",
    "--",
    "0",
    "-1",
    "1e999",
    "nan",
    "9" * 300,
    "9" * 5_000,
    "1_000",
    "١",
    "a,b",
    "1,2,3",
    ":",
    "=",
    "lr=1:2:3",
    "x\x1b[0m",
]
WORDS += [
    "a\0b",
    "run",
    "nosuch",
    "/dev/null",
    "/dev/zero",
    "study",
    "binary",
    "settings.toml",
    "é" * 300,
    "\udcff",
    "flip,crop:" + "9" * 400,
]
FAST = ["--epochs", "1", "--batch-size", "500", "--threads", "1"]


@pytest.mark.parametrize("seed", SEEDS)
def test_option_words(world, tried, seed):
    draw = np.random.default_rng(seed)
    read = [path for path in Path().rglob("*") if path.is_file()]
    for _ in range(12):
        # export needs an extra; reproduce, the last one, takes hours where it accepts everything
        names = [name for name in app.texts if name != "export"]
        name = names[draw.integers(len(names) - 1)]
        module = __import__(f"hw4cli.nets.{name}", fromlist=["command"])
        known = [
            option.opts[-1]
            for option in module.command.params
            if option.opts[0].startswith("--") and option.name not in ("help", "version")
        ]
        base = {
            "train": ["--net", "conv", "--M", "2", "--data", "synthetic", "--out", "new", *FAST],
            "search": ["--net", "logistic", "--data", "synthetic", "--out", "new", "--trials", "1", *FAST],
            "evaluate": ["run"],
            "predict": ["run", "images"],
            "plot": ["run"],
            "report": ["run"],
            "data": ["--data", "synthetic"],
        }[name]
        option, word = known[draw.integers(len(known))], WORDS[draw.integers(len(WORDS))]
        if option == "--open":
            continue  # a browser
        if option in ("--epochs", "--trials", "--M", "--compile") and word.strip("-").replace("_", "").isdigit():
            continue  # a right number of hours
        start = time.monotonic()
        own = (
            word if option in ("--json", "--plot", "--save", "--out") else ""
        )  # what is no input of the command may be written
        tried([name, *base, option, word, "-q"], [path for path in read if str(path) != own])
        shutil.rmtree("new", ignore_errors=True)
        assert time.monotonic() - start < 60, (name, option, word)


@pytest.mark.parametrize("word", ["9" * 30, "9" * 5_000])
def test_numbers_of_any_length(world, tried, word):
    for option in ("--epochs", "--batch-size", "--seed", "--threads", "--M", "--p", "--N", "--device", "--augment"):
        value = {"--device": f"cuda:{word}", "--augment": f"crop:{word}"}.get(option, word)
        status, _ = tried(["train", "--net", "conv", "--data", "synthetic", "--out", "new", option, value, "-q"])
        assert status == 2, option
    for words in (
        ["search", "--trials", word],
        ["search", "--vary", f"M={word}"],
        ["search", "--vary", f"lr=1:{word}"],
    ):
        assert tried([*words, "--net", "conv", "--data", "synthetic", "--out", "new"])[0] == 2
    for option in ("--epochs", "--own-epochs", "--seed", "--threads"):
        assert tried(["reproduce", "--data", "synthetic", "--out", "new", option, word])[0] == 2
    assert tried(["train", "--net", "base", "--filters", f"{word},2", "--data", "synthetic", "--out", "new"])[0] == 2
    assert not Path("new").exists()


def test_the_seeded_changes_change_something():
    draw = np.random.default_rng(0)
    content = struct.pack("<100I", *range(100))
    assert len({spoil(content, draw) for _ in range(20)} - {content}) > 15
    assert (
        len(
            {
                json.dumps(replaced({"a": [1, 2], "b": {"c": 3}}, np.random.default_rng(n)), default=str)
                for n in range(20)
            }
        )
        > 10
    )
