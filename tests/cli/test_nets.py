"""`hw4nets` as a person meets it: what it writes, what it refuses and how, and how it ends."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from child_processes import Child, child, command, modules_of  # noqa: E402
from hw4cli.nets import app as nets_app  # noqa: E402
from hw4cli.nets import train as train_command  # noqa: E402
from hw4cli.nets.app import COMMANDS, main  # noqa: E402
from hw4cli.nets.messages import in_options  # noqa: E402
from hw4nets.config import Config  # noqa: E402
from hw4nets.models import NETS  # noqa: E402
from hw4nets.settings import settings_of  # noqa: E402

RUN = "import sys; from hw4cli.nets.app import main; sys.exit(main(sys.argv[1:]))"
VARY = ["search", "--net", "conv", "--data", "synthetic", "--out", "s", "--vary"]
QUICK = ["train", "--net", "logistic", "--data", "synthetic", "--epochs", "2", "--threads", "1"]
HEADER = "epoch,train_loss,train_accuracy,test_accuracy,images_per_second,seconds_train,seconds_eval"
FILES = ["config.toml", "history.csv", "summary.json", "curves.png", "confusion.png", "worst.png", "last.pt", "best.pt"]
SUMMARY = [
    "net",
    "parameters",
    "seed",
    "epochs",
    "test_accuracy",
    "test_accuracy_flip",
    "train_accuracy",
    "best_epoch",
    "seconds_train",
    "seconds_eval",
    "images_per_second",
    "device",
    "pixels",
    "selected_on",
    "flops_per_image",
]
ORIGIN = {"version", "command", "seed", "platform", "data_sha256"}


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HW4NETS_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def hw4nets(capsys, tmp_path, monkeypatch) -> Callable[..., Done]:
    """Run the command line in this process, in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Done:
        capsys.readouterr()
        status = main([str(word) for word in words])
        return Done(int(status), *capsys.readouterr())

    return run


def process(*words: str, program: str = RUN, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=120, **options
    )


# ---- what commands do ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A finished run; tests change copies of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HW4NETS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.chdir(tmp_path_factory.mktemp("original"))
        assert main([*QUICK, "--out", "run", "--quiet"]) == 0
        return Path("run").resolve()


@pytest.fixture
def trained(hw4nets, original):
    shutil.copytree(original, "run")
    return Path("run")


def test_train_writes_what_the_contract_says(hw4nets, tmp_path):
    done = hw4nets(*QUICK, "--out", "run", "--json", "-")
    assert done.status == 0 and set(SUMMARY) | ORIGIN <= set(done.json) and done.json["status"] == "certified"
    assert (
        "images/s" in done.err
        and "test accuracy" in done.err
        and done.json["command"].startswith("hw4nets train --net logistic")
    )
    assert set(FILES) <= {path.name for path in (tmp_path / "run").iterdir()}
    assert (tmp_path / "run" / "history.csv").read_text().splitlines()[0] == HEADER
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["test_accuracy"] == done.json["test_accuracy"]


def test_tables_on_stdout_a_line_an_epoch_and_quiet_says_nothing(hw4nets):
    loud, quiet = hw4nets(*QUICK, "--out", "a"), hw4nets(*QUICK, "--out", "b", "--quiet")
    lines = [line.split() for line in loud.out.splitlines()]
    assert [line[0] for line in lines[:3]] == ["epoch", "1", "2"] and loud.err == ""
    assert "hw4nets plot a" in loud.out and quiet == Done(0, "", "")


def test_too_little_memory_is_a_sentence(hw4nets, monkeypatch):
    """The error is torch's own: a petabyte is refused at once."""
    monkeypatch.setattr(train_command, "run", lambda *words: torch.empty(2**50))
    done = hw4nets(*QUICK, "--out", "run", "--json", "-")
    assert done.status == 1 and "not enough memory for this; take a smaller batch_size" in done.err
    assert done.json["status"] == "uncertified" and "not enough memory" in done.json["message"]


def test_the_same_seed_gives_the_same_history(hw4nets):
    for name in ("a", "b"):
        assert hw4nets(*QUICK, "--out", name, "-q", "--augment", "flip,crop:2").status == 0
    one, other = (Path(name, "history.csv").read_text().splitlines() for name in ("a", "b"))
    assert [line.split(",")[:4] for line in one] == [line.split(",")[:4] for line in other]


@pytest.mark.slow
def test_options_reach_the_run(hw4nets):
    words = "--net base --data synthetic --epochs 1 --filters 3,4 --sizes 3,3 --units 9,8"
    words += " --batch-norm --dropout 0.1 --activation gelu --whiten no --batch-size 500"
    words += " --memory-format contiguous --precision float32"
    assert (
        hw4nets("train", *words.split(), "--out", "run", "--lr", "0.03", "--seed", "5", "--no-nesterov", "-q").status
        == 0
    )
    text = Path("run/config.toml").read_text()
    for line in (
        "batch_norm = true",
        "dropout = 0.1",
        'activation = "gelu"',
        "lr = 0.03",
        "seed = 5",
        "nesterov = false",
    ):
        assert line in text
    assert hw4nets("train", "--config", "run/config.toml", "--data", "synthetic", "--out", "again", "-q").status == 0
    assert Path("again/config.toml").read_text() == text


def test_train_saves_weights_and_curves_where_asked(hw4nets):
    done = hw4nets(*QUICK, "--out", "run", "--plot", "c.pdf", "--save", "w.pt", "-q")
    assert done.status == 0 and Path("c.pdf").read_bytes().startswith(b"%PDF")
    assert torch.load("w.pt", weights_only=True)["1.weight"].shape == (10, 3072)


def test_resume_overwrite_and_refusal(hw4nets, trained):
    before = (trained / "summary.json").read_bytes()
    refused = hw4nets(*QUICK, "--out", "run")
    assert refused.status == 2 and "--resume" in refused.err and "--overwrite" in refused.err
    assert hw4nets("train", "--out", "run", "--resume", "-q").status == 0
    assert (trained / "summary.json").read_bytes() == before
    other = hw4nets("train", "--out", "run", "--resume", "--lr", "7", "-q")
    assert other.status == 2 and "other settings (lr" in other.err
    assert hw4nets("train", "--out", "run", "--resume", "--net", "conv").status == 2
    assert hw4nets(*QUICK, "--out", "run", "--overwrite", "--epochs", "1", "-q").status == 0
    assert len((trained / "history.csv").read_text().splitlines()) == 2


def test_evaluate_tells_accuracies_and_confusions(hw4nets, trained):
    done = hw4nets("evaluate", "run", "--json", "-", "-q", "--plot", "c.png", "--save", "p.csv")
    summary = json.loads((trained / "summary.json").read_text())
    assert done.status == 0 and set(done.json) >= ORIGIN
    assert all(done.json[name] == summary[name] for name in ("test_accuracy", "test_accuracy_flip", "pixels"))
    assert sum(map(sum, done.json["confusion"])) == 500 and len(Path("p.csv").read_text().splitlines()) == 501
    assert "confusion.png" in hw4nets("evaluate", "run", "--checkpoint", "best").out
    (trained / "last.pt").write_bytes(b"damaged")
    damaged = hw4nets("evaluate", "run")
    assert damaged.status == 2 and "is damaged" in damaged.err and damaged.out == ""


@pytest.mark.parametrize("where", ["evaluate.load_model", "progress.load", "evaluate.evaluate"])
def test_evaluate_tells_too_little_memory_in_the_json_once(hw4nets, trained, monkeypatch, where):
    monkeypatch.setattr(f"hw4cli.nets.{where}", lambda *words: (_ for _ in ()).throw(MemoryError()))
    done = hw4nets("evaluate", "run", "--json", "-")
    assert done.status == 1 and done.json["status"] == "uncertified" and "not enough memory" in done.json["message"]


def test_plot_compares_runs(hw4nets, trained):
    assert hw4nets(*QUICK, "--out", "other", "--lr", "0.2", "-q").status == 0
    done = hw4nets("plot", "run", "other", "--plot", "runs.png", "--save", "runs.csv", "--json", "-")
    assert [line.split(",")[:2] for line in Path("runs.csv").read_text().splitlines()[1:]] == [
        [run, n] for run in ("run", "other") for n in "12"
    ]
    assert (
        done.status == 0
        and set(done.json["runs"]) == {"run", "other"}
        and Path("runs.png").exists()
        and "other" in done.err
    )
    assert {(one["pixels"], one["selected_on"]) for one in done.json["runs"].values()} == {("synthetic", "test")}
    told = hw4nets("plot", "run").out
    assert "--plot runs.png" in told and "synthetic" in told


def test_data_shows_images(hw4nets):
    done = hw4nets("data", "--data", "synthetic", "--plot", "grid.png", "--save", "a.npz", "--json", "-", "-q")
    assert done.status == 0 and done.json["pixels"] == "synthetic" and done.json["train"] == [200] * 10
    assert Path("grid.png").exists() and Path("a.npz").exists()
    assert "airplane" in hw4nets("data", "--data", "synthetic").out


@pytest.mark.slow
def test_search_then_train(hw4nets):
    words = [
        "search",
        "--net",
        "conv",
        "--M",
        "4",
        "--data",
        "synthetic",
        "--epochs",
        "1",
        "--trials",
        "2",
        "--out",
        "s",
        "--threads",
        "1",
    ]
    words += ["--vary", "lr=0.001:0.5", "--vary", "N=7|14", "--vary", "batch-norm"]
    words += ["--whiten", "no", "--batch-size", "500", "--memory-format", "contiguous", "--precision", "float32"]
    done = hw4nets(*words, "--json", "-", "--plot", "s.png", "--save", "b.toml")
    assert (
        done.status == 0 and len(done.json["trials"]) == 2 and done.json["selected_on"] == "test"
    )  # the preset's own settings were
    assert set(done.json["trials"][0]["values"]) == {"lr", "N", "batch_norm"} and Path("s.png").exists()
    assert (
        "hw4nets train --config s/best.toml --epochs 16 --out RUN" in " ".join(done.err.split())
        and "on held-out training images, pixels synthetic" in done.err
    )
    assert hw4nets(*words).status == 2
    assert len(hw4nets(*words, "--resume", "--trials", "3", "--json", "-", "-q").json["trials"]) == 3
    assert "For a figure" not in done.err
    told = " ".join(hw4nets(*words, "--resume").out.split())
    assert "For a figure: hw4nets search" in told and told.count("--resume") == 1 and told.endswith("--plot search.png")
    words[words.index("s")] = "t"
    told = " ".join(hw4nets(*words).out.split())
    assert told.count("--resume --plot search.png") == 1  # the command again would meet the search that it has done
    assert (
        hw4nets("train", "--config", "s/best.toml", "--out", "run", "--epochs", "1", "-q").status == 0
    )  # on the images of the search
    assert json.loads(Path("run/summary.json").read_text())["selected_on"] == "test"
    assert Path("b.toml").exists()


def test_reproduce_writes_its_report(hw4nets, monkeypatch):
    from hw4cli.nets import reproduce as module

    heard = {}

    def pretend(folder, data, changes, own_epochs, watch, say):
        heard.update(changes, folder=folder, own_epochs=own_epochs)
        one = {"summary": {"test_accuracy": 0.5, "train_accuracy": 0.6}}
        return {"parts": {"3a": {"net": "logistic", "tuned": one, "assignment": one}}}

    monkeypatch.setattr(module, "reproduce", pretend)
    done = hw4nets(
        "reproduce", "--data", "synthetic", "--out", "r", "--epochs", "2", "--own-epochs", "1", "--json", "-"
    )
    expected = {"seed": 0, "threads": 0, "device": "auto", "epochs": 2, "folder": Path("r"), "own_epochs": 1}
    assert done.status == 0 and heard == expected
    assert (
        done.json["message"] == "report in r/report.md"
        and "50.00 %" in done.err
        and "architectures, pixels synthetic" in done.err
    )


def test_reproduce_tells_what_diverged_draws_saves_and_starts_anew(hw4nets, monkeypatch, trained):
    from hw4cli.nets import reproduce as module

    Path("r/runs").mkdir(parents=True)
    trained.rename("r/runs/one")
    good = {"summary": {"test_accuracy": 0.5, "train_accuracy": 0.6}, "folder": "one"}
    parts = {
        "3a": {"net": "logistic", "tuned": good, "assignment": {"diverged": "the loss stopped", "folder": "other"}}
    }
    cleared = []
    monkeypatch.setattr(module, "reproduce", lambda *words: {"parts": parts})
    monkeypatch.setattr(module, "start_over", cleared.append)
    words = [
        "reproduce",
        "--data",
        "synthetic",
        "--out",
        "r",
        "--overwrite",
        "--plot",
        "all.png",
        "--save",
        "all.json",
        "--json",
        "-",
    ]
    done = hw4nets(*words)
    assert (
        done.status == 1
        and done.json["status"] == "inaccurate"
        and "3a assignment: the loss stopped" in done.json["message"]
    )
    assert "hw4nets: 3a assignment: the loss stopped" in done.err and cleared == [Path("r")]
    assert Path("all.png").exists() and json.loads(Path("all.json").read_text())["parts"] == parts


def test_sentences_of_the_library_name_options():
    said = in_options("a smaller `lr`, `overwrite=True`, `device='cpu'`, another `folder`, `batch_size` or `M`; `a b`")
    assert said == "a smaller --lr, --overwrite, --device cpu, another --out, --batch-size or --M; `a b`"


# ---- what is wrong ---------------------------------------------------------------------------------------------------

WRONG = [
    (["tain"], "no command 'tain' (did you mean 'train'?); there are train, search, evaluate, plot, data, reproduce"),
    (["train", "--out", "r"], "which network? give --net logistic, hidden, conv, base or fast"),
    (
        ["train", "--net", "cnov", "--out", "r"],
        "no network 'cnov' (did you mean 'conv'?); there are logistic, hidden, conv, base, fast",
    ),
    (["train", "--net", "conv"], "Missing option '--out'"),
    (["train", "--net", "conv", "--out", "r", "--nosuch", "3"], "No such option '--nosuch'"),
    (["train", "--net", "conv", "--out", "r", "--p", "40"], "p = 40 exceeds the 32×32 it slides over; take p ≤ 32"),
    (
        ["train", "--net", "conv", "--out", "r", "--p", "5", "--N", "30"],
        "a pool of N = 30 leaves nothing of 28×28; take N ≤ 28",
    ),
    (["train", "--net", "conv", "--out", "r", "--M", "x"], "Invalid value for '--M': 'x' is not a valid int"),
    (["train", "--net", "conv", "--out", "r", "--filters", "3,4"], "no option of conv 'filters'; there are M, p, N"),
    (["train", "--net", "logistic", "--out", "r", "--M", "3"], "logistic has no options; leave M out"),
    (
        ["train", "--net", "base", "--out", "r", "--filters", "a,b"],
        "--filters 'a,b': give whole numbers with commas, as in 6,16",
    ),
    (
        ["train", "--net", "conv", "--out", "r", "--optimizer", "sgdd"],
        "no optimizer 'sgdd' (did you mean 'sgd'?); there are sgd, adamw, muon",
    ),
    (["train", "--net", "conv", "--out", "r", "--lr", "-1"], "lr is -1.0; it must be a number from"),
    (["train", "--net", "conv", "--out", "r", "--epochs", "0"], "epochs is 0; it must be a whole number from 1"),
    (["train", "--net", "conv", "--out", "r", "--augment", "flop"], "no augmentation 'flop'"),
    (["train", "--net", "conv", "--out", "r", "--augment", "flip:3"], "augment 'flip:3': flip takes no number"),
    (["train", "--net", "hidden", "--out", "r", "--optimizer", "muon"], "this network has none; take sgd or adamw"),
    (
        ["train", "--net", "hidden", "--out", "r", "--batch-norm", "--batch-size", "1"],
        "needs a batch of two images or more; batch_size is 1",
    ),
    (
        ["train", "--net", "conv", "--M", "9", "--whiten", "fixed", "--out", "r", "--optimizer", "muon"],
        "this network has none",
    ),
    (["train", "--net", "conv", "--out", "r", "--preset", "best"], "no preset 'best'"),
    (["train", "--net", "fast", "--out", "r", "--preset", "assignment"], "preset 'assignment' has no fast"),
    (["train", "--net", "conv", "--out", "r", "--config", "no.toml"], "no file no.toml"),
    (["train", "--net", "conv", "--out", "r", "--config", "c.toml"], "c.toml is for logistic; leave --net out"),
    (["train", "--config", "c.toml", "--preset", "tuned", "--out", "r"], "--config and --preset both give settings"),
    (["train", "--net", "conv", "--out", "r", "--resume", "--overwrite"], "give one of them"),
    (
        ["train", "--net", "conv", "--data", "nosuch", "--out", "r"],
        "no data 'nosuch': give official, synthetic, or the path",
    ),
    (["train", "--net", "conv", "--data", "empty", "--out", "r"], "holds no CIFAR-10"),
    (["train", "--net", "conv", "--data", "synthetic", "--out", "c.toml"], "c.toml is a file; give a folder"),
    (["train", "--net", "conv", "--data", "synthetic", "--out", "r", "--device", "gpu"], "no device 'gpu'"),
    (
        ["train", "--net", "conv", "--data", "synthetic", "--out", "r", "--json", "no/x.json"],
        "the folder no does not exist",
    ),
    (
        ["train", "--net", "conv", "--data", "synthetic", "--out", "r", "--plot", "x.gif"],
        "a figure's name ends in .png",
    ),
    (
        ["train", "--net", "conv", "--data", "synthetic", "--out", "r", "--plot", "x.png", "--save", "x.png"],
        "would overwrite --plot x.png",
    ),
    (
        ["train", "--net", "conv", "--out", "r", "--p", "2", "--M", "30", "--whiten", "fixed"],
        "2×2 gives at most 24 filters, not 30",
    ),
    (
        ["train", "--net", "conv", "--out", "r", "--device", "cpu", "--precision", "float16"],
        "precision float16 needs CUDA",
    ),
    (["evaluate", "nosuch"], "nosuch is no run: it has no config.toml"),
    (["plot", "nosuch"], "no run nosuch"),
    (["plot", "begun"], "begun is no run with an epoch finished: its history.csv has no row"),
    (["plot", "empty"], "empty is no run with an epoch finished"),
    ([*VARY, "q"], "no option of conv to vary 'q'"),
    ([*VARY, "select=none|test"], "no option of conv to vary 'select'"),
    ([*VARY, "activation=foo|relu"], "--vary activation=foo|relu: no activation 'foo'"),
    ([*VARY, "lr=-1:1"], "--vary lr=-1:1: lr is -1.0; it must be"),
    ([*VARY, "batch-norm=0:1"], "give batch_norm=LOW:HIGH with LOW < HIGH, or"),
    ([*VARY, "filters=8:16", "--net", "base"], "or values as in filters=A|B"),
    ([*VARY, "lr=3:1"], "give lr=LOW:HIGH with LOW < HIGH"),
    ([*VARY, "average"], "average has no range of its own"),
    (
        ["search", "--net", "conv", "--data", "synthetic", "--out", "s", "--sampler", "x"],
        "no sampler 'x'; there are tpe, random",
    ),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_bad_input_is_one_sentence_exit_2_and_nothing_written(hw4nets, tmp_path, words, said):
    (tmp_path / "c.toml").write_text('net = "logistic"\n')
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "history.csv").write_text(f"{HEADER}\n")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    done = hw4nets(*words)
    assert done.status == 2 and done.out == "" and said in done.err, done
    assert done.err.startswith("hw4nets: ") and done.err.count("\n") == 1 and "should not happen" not in done.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_cuda_that_is_absent_is_told_before_anything_is_made(hw4nets, tmp_path):
    done = hw4nets(*QUICK, "--out", "run", "--device", "cuda")
    assert done.status == 2 and "finds no CUDA device; take --device cpu" in done.err and list(tmp_path.iterdir()) == []


def test_a_loss_that_diverges_is_exit_1_with_step_and_rate(hw4nets):
    words = "--net hidden --M 20 --data synthetic --epochs 3 --lr 1e6 --schedule constant --warmup 0"
    words += " --batch-size 100 --threads 1"
    done = hw4nets("train", *words.split(), "--out", "run", "--json", "-", "-q")
    assert done.status == 1 and done.json["status"] == "inaccurate" and done.json["lr"] == 1e6 and done.json["step"] > 0
    assert "the loss stopped being finite at step" in done.err and "take a smaller --lr" in done.err


def test_a_full_disk_is_exit_1_and_a_sentence(hw4nets, monkeypatch):
    monkeypatch.setattr(torch, "save", lambda *words: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    done = hw4nets(*QUICK, "--out", "run", "-q", "--json", "-")
    assert done.status == 1 and "last.pt: No space left on device" in done.err and done.err.count("\n") == 1
    assert (
        done.json["status"] == "uncertified"
        and "No space left on device" in done.json["message"]
        and set(done.json) >= ORIGIN
    )


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed\nat x")], ids=repr
)
def test_a_disk_that_is_full_for_save_is_exit_1_and_a_sentence(hw4nets, monkeypatch, error):
    save = torch.save

    def full(content, file):
        if isinstance(content, dict) and "1.weight" in content:
            raise error
        save(content, file)

    monkeypatch.setattr(torch, "save", full)
    done = hw4nets(*QUICK, "--out", "run", "--save", "w.pt", "--json", "r.json", "-q")
    assert (
        done.status == 1 and "cannot write w.pt" in done.err and done.err.count("\n") == 1 and not Path("w.pt").exists()
    )
    assert json.loads(Path("r.json").read_text())["status"] == "uncertified"


def test_figures_that_cannot_be_written_are_told_in_the_json(hw4nets, trained, monkeypatch):
    from matplotlib.figure import Figure

    monkeypatch.setattr(
        Figure, "savefig", lambda *words, **options: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    for words in (["evaluate", "run"], ["plot", "run"], ["data", "--data", "synthetic"]):
        done = hw4nets(*words, "--plot", "a.png", "--json", "-", "-q")
        assert (
            done.status == 1 and "a.png: No space left on device" in done.err and done.json["status"] == "uncertified"
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "name"), [(QUICK, "tomli_w"), (QUICK, "matplotlib"), (["search", *QUICK[1:]], "optuna")]
)
def test_without_another_package_of_the_extra_it_is_named(tmp_path, words, name):
    with child(command, [*words, "--out", "r"], name, folder=tmp_path) as running:
        assert running.status() == 2 and running.stdout.read_text() == ""
        said = running.stderr.read_text()
    assert said == f"hw4nets: {name} is not installed; it comes with the extra: pip install 'hw4opt[nets]'\n"
    assert list(tmp_path.iterdir()) == []


def test_without_torch_the_extra_is_named(hw4nets, monkeypatch):
    monkeypatch.setattr(nets_app, "find_spec", lambda name: None)
    for words in ([], ["--help"], QUICK):
        assert hw4nets(*words) == Done(
            2, "", "hw4nets: torch is not installed; it comes with the extra: pip install 'hw4opt[nets]'\n"
        )


# ---- as a process ----------------------------------------------------------------------------------------------------


def test_help_and_version_of_every_command(hw4nets):
    for words in ([], *([name] for name in COMMANDS)):
        done = hw4nets(*words, "--help")
        assert done.status == 0 and done.err == "" and "Usage: hw4nets" in done.out
        assert hw4nets(*words, "--version").out.startswith("hw4nets 0.")
        for option in ("--json", "--quiet", "--seed", "--plot", "--save") if words else ():
            assert option in done.out


def test_every_setting_is_an_option_of_train(hw4nets):
    text = hw4nets("train", "--help").out
    for record in (Config, *NETS.values()):
        for item in settings_of(record):
            assert (f"--{item.name}" if item.name.isupper() else f"--{item.name.replace('_', '-')}") in text
    assert {item.name for item in fields(Config)} == {item.name for item in settings_of(Config)}


def test_help_needs_no_torch_library():
    program = f"{RUN.replace('sys.exit(main(sys.argv[1:]))', 'main(sys.argv[1:])')}; print('MODULES', *sys.modules)"
    done = process("--help", program=program)
    modules = {name.partition(".")[0] for name in done.stdout.rpartition("MODULES ")[2].split()}
    assert not modules & {"torch", "torchvision", "numpy", "matplotlib", "optuna", "rich", "hw4opt", "hw4nets"}


@pytest.mark.slow
def test_training_imports_neither_the_other_half_nor_the_search(tmp_path):
    with child(modules_of, ["train", "--help"], folder=tmp_path) as running:
        assert running.status() == 0
        modules = running.stdout.read_text().rpartition("MODULES ")[2].split()
    assert "hw4nets.training" in modules
    assert not {name.partition(".")[0] for name in modules} & {"hw4opt", "cvxpy", "optuna", "torchvision", "sklearn"}


def wait_until(there: Callable[[], bool], running: Child) -> None:
    while not there():
        assert running.process.is_alive(), running.stderr.read_text()
        time.sleep(0.002)


@pytest.mark.slow
def test_kill_9_then_resume_gives_the_history_of_a_run_that_nothing_stopped(tmp_path):
    """The command is killed as soon as it has begun, has its settings, its first checkpoint, and some epochs."""
    words, run = [*QUICK[:5], "--epochs", "12", "--threads", "1", "-q", "--out"], tmp_path / "run"
    begun: list[Callable[[], bool]] = [
        run.exists,
        (run / "config.toml").exists,
        (run / "last.pt").exists,
        lambda: (run / "history.csv").exists() and len((run / "history.csv").read_text().splitlines()) > 4,
    ]
    for there in begun:
        with child(command, [*words, "run", "--resume"], folder=tmp_path) as running:
            wait_until(there, running)
            running.kill()
    for name in ("run", "whole"):
        with child(command, [*words, name, *(["--resume"] if name == "run" else [])], folder=tmp_path) as running:
            assert running.status() == 0
    histories = [
        list(csv.DictReader((tmp_path / name / "history.csv").read_text().splitlines())) for name in ("whole", "run")
    ]
    timeless = [[{name: row[name] for name in row if "second" not in name} for row in rows] for rows in histories]
    assert timeless[0] == timeless[1] and len(timeless[0]) == 12
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(
        path.name for path in (tmp_path / "whole").iterdir()
    )


@pytest.mark.slow
def test_ctrl_c_is_130_and_the_run_goes_on(tmp_path):
    def epochs(running: Child) -> list[str]:
        lines = running.stdout.read_text().splitlines() if running.stdout.exists() else []
        return [line.split()[0] for line in lines]

    words = [*QUICK[:5], "--epochs", "2000", "--threads", "1", "--out", "run"]
    with child(command, words, folder=tmp_path) as running:
        wait_until(lambda: "3" in epochs(running), running)
        os.kill(running.process.pid or 0, signal.SIGINT)
        assert running.status() == 130
        said = running.stderr.read_text()
    assert "Traceback" not in said and "hw4nets train --out run --resume goes on" in said
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) >= 4
    with child(command, ["train", "--out", "run", "--resume"], folder=tmp_path) as again:
        wait_until(lambda: len(epochs(again)) > 1, again)
        first = epochs(again)[:2]
        again.kill()
    assert first[0] == "epoch" and int(first[1]) >= 4


@pytest.mark.parametrize(("words", "number", "found"), [
    ("hw4nets s", 1, "search"), ("hw4nets train --net lo", 3, "logistic"), ("hw4nets train --schedule c", 3, "cosine"),
])  # fmt: skip
def test_the_shell_completes(capsys, monkeypatch, words, number, found):
    for name, value in (("_HW4NETS_COMPLETE", "bash_complete"), ("COMP_WORDS", words), ("COMP_CWORD", str(number))):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main([])
    assert found in capsys.readouterr().out


def test_no_color_is_respected(hw4nets, monkeypatch):
    words = ["data", "--data", "synthetic"]
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[3" in hw4nets(*words).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in hw4nets(*words).out


@pytest.mark.slow
def test_a_whole_run_takes_seconds(hw4nets):
    start = time.monotonic()
    done = hw4nets(
        "train", "--net", "fast", "--widths", "8,16,16", "--data", "synthetic", "--epochs", "2", "--out", "run"
    )
    assert done.status == 0 and time.monotonic() - start < 60
    assert json.loads(Path("run/summary.json").read_text())["test_accuracy"] > 0.3
