"""`hw4nets` with wrong input, a full disk, too little memory or without a package: a sentence and an exit status."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from child_processes import child, command  # noqa: E402
from hw4cli.nets import app as nets_app  # noqa: E402
from nets_command import HEADER, ORIGIN, QUICK, Done  # noqa: E402

pytest_plugins = ["nets_command"]
VARY = ["search", "--net", "conv", "--data", "synthetic", "--out", "s", "--vary"]

WRONG = [
    (["tain"], "no command 'tain' (did you mean 'train'?); there are train, search, evaluate, predict, export, plot"),
    (["train", "--out", "r"], "which network? give --net logistic, hidden, conv, base or fast"),
    (
        ["train", "--net", "cnov", "--out", "r"],
        "no network 'cnov' (did you mean 'conv'?); there are logistic, hidden, conv, base, fast",
    ),
    (["train", "--net", "conv"], "Missing option '--out'"),
    (["train", "--net", "conv", "--out", "r", "--nosuch", "3"], "No such option '--nosuch'"),
    (["train", "--net", "conv", "--out", "r", "--p", "40"], "p = 40 exceeds its input of 32×32; take p ≤ 32"),
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
    (
        ["train", "--net", "fast", "--out", "r", "--optimizer", "sgd"],
        "the learning rate 0.1 of these settings is one for muon; with --optimizer sgd give --lr",
    ),
    (
        ["train", "--net", "conv", "--out", "r", "--full-scale", "0.4"],
        "--full-scale has no effect without start_scale below 1",
    ),
    (
        ["train", "--net", "fast", "--out", "r", "--start-scale", "1", "--full-scale", "0.4"],
        "--full-scale has no effect without start_scale below 1",
    ),
    (["train", "--net", "conv", "--out", "r", "--side-lr", "0.1"], "--side-lr has no effect without optimizer muon"),
    (
        ["train", "--net", "conv", "--out", "r", "--schedule", "constant", "--final-lr", "0.1"],
        "--final-lr has no effect without schedule triangular or cosine",
    ),
    (
        ["train", "--net", "conv", "--out", "r", "--average", "none", "--average-decay", "0.9"],
        "--average-decay has no effect without average ema or lookahead",
    ),
    (["train", "--out", "r", "--resume"], "r holds no run to continue; --net NAME starts one"),
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
    (["train", "--net", "conv", "--data", "empty", "--out", "r"], "holds neither CIFAR-10"),
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
    (["evaluate", "nosuch"], "nosuch is not a run: it has no config.toml"),
    (["plot", "nosuch"], "no run nosuch"),
    (["plot", "begun"], "begun is not a run with a finished epoch: its history.csv has no row"),
    (["plot", "empty"], "empty is not a run with a finished epoch"),
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
    "error",
    [
        OSError(28, "No space left on device"),
        pytest.param(RuntimeError("PytorchStreamWriter failed\nat x"), marks=pytest.mark.slow),
    ],
    ids=repr,
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
