"""The commands of `hw4nets`: what they do and write."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")


from hw4cli.nets import train as train_command  # noqa: E402
from hw4nets import plotting  # noqa: E402
from nets_command import HEADER, ORIGIN, QUICK, Done  # noqa: E402

pytest_plugins = ["nets_command"]
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


def test_train_writes_what_the_contract_says(hw4nets, tmp_path, monkeypatch):
    for name in ("plot_curves", "plot_confusion", "plot_worst"):  # the real ones
        monkeypatch.setattr(f"hw4nets.runs.{name}", getattr(plotting, name))
    done = hw4nets(*QUICK, "--out", "run", "--json", "-")
    assert done.status == 0 and set(SUMMARY) | ORIGIN <= set(done.json) and done.json["status"] == "certified"
    assert (
        "images/s" in done.err
        and "test accuracy" in done.err
        and done.json["command"].startswith("hw4nets train --net logistic")
    )
    assert set(FILES) <= {path.name for path in (tmp_path / "run").iterdir()}
    assert all((tmp_path / "run" / name).stat().st_size > 10_000 for name in FILES if name.endswith(".png"))
    assert (tmp_path / "run" / "history.csv").read_text().splitlines()[0] == HEADER
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["test_accuracy"] == done.json["test_accuracy"]


def test_tables_on_stdout_a_line_an_epoch_and_quiet_says_nothing(hw4nets):
    loud, quiet = hw4nets(*QUICK, "--out", "a"), hw4nets(*QUICK, "--out", "b", "--quiet")
    lines = [line.split() for line in loud.out.splitlines()]
    assert [line[0] for line in lines[:3]] == ["epoch", "1", "2"] and loud.err == ""
    assert "hw4nets plot a" in loud.out and quiet == Done(0, "", "")


def test_too_little_memory_is_a_sentence(hw4nets, monkeypatch):
    """The error comes from torch, which refuses a petabyte immediately."""
    monkeypatch.setattr(train_command, "run", lambda *words: torch.empty(2**50))
    done = hw4nets(*QUICK, "--out", "run", "--json", "-")
    assert done.status == 1 and "not enough memory for this; take a smaller batch_size" in done.err
    assert done.json["status"] == "uncertified" and "not enough memory" in done.json["message"]


@pytest.mark.slow
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


def test_a_run_goes_on_to_no_more_epochs_where_its_schedule_ends(hw4nets, trained):
    refused = hw4nets("train", "--out", "run", "--resume", "--epochs", "3", "-q")
    assert (
        refused.status == 2 and "(epochs 2, not 3): with the schedule triangular and a warm-up the steps" in refused.err
    )
    assert "--init starts a run with its weights" in refused.err


@pytest.mark.slow
def test_a_run_that_goes_on_is_one_of_more_epochs(hw4nets):
    constant = [*QUICK, "--schedule", "constant", "--warmup", "0", "--average", "none", "-q", "--out"]
    assert hw4nets(*constant, "long", "--epochs", "4").status == hw4nets(*constant, "short").status == 0
    assert hw4nets("train", "--out", "short", "--resume", "--epochs", "4", "-q").status == 0
    one, other = (Path(name, "history.csv").read_text().splitlines() for name in ("long", "short"))
    assert [line.split(",")[:4] for line in one] == [line.split(",")[:4] for line in other] and len(one) == 5
    assert json.loads(Path("short/summary.json").read_text())["epochs"] == 4
    assert hw4nets("train", "--out", "short", "--resume", "--epochs", "3", "-q").status == 2


def test_a_run_starts_with_the_weights_of_another(hw4nets, trained):
    done = hw4nets(
        *QUICK, "--init", "run", "--out", "more", "--epochs", "1", "--lr", "1e-6", "--warmup", "0", "--json", "-"
    )
    before = json.loads((trained / "summary.json").read_text())["test_accuracy"]
    assert done.status == 0 and done.json["test_accuracy"] == pytest.approx(before, abs=0.02)
    assert f'init = "{trained.resolve()}"' in Path("more/config.toml").read_text()
    for words, said in (
        (["--init", "nosuch", "--out", "new"], "--init"),
        (["--init", "run", "--out", "run", "--overwrite"], "--out run would overwrite --init"),
    ):
        refused = hw4nets(*QUICK, *words)
        assert refused.status == 2 and said in refused.err and not Path("new").exists()
    assert (trained / "last.pt").exists()


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
    text = "search --net conv --M 4 --data synthetic --epochs 1 --trials 2 --out s --threads 1"
    text += " --vary lr=0.001:0.5 --vary N=7|14 --vary batch-norm"
    text += " --whiten no --batch-size 500 --memory-format contiguous --precision float32"
    words = text.split()
    done = hw4nets(*words, "--json", "-", "--plot", "s.png", "--save", "b.toml")
    assert done.status == 0 and len(done.json["trials"]) == 2
    assert done.json["selected_on"] == "test"  # the preset's own settings were
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
    training = "train --config s/best.toml --out run --epochs 1 -q"
    assert hw4nets(*training.split()).status == 0  # on the images of the search
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


def test_figures_take_a_style_and_keep_text_as_text(hw4nets, trained):
    Path("mine.mplstyle").write_text("axes.facecolor: fdf6e3\n")
    assert hw4nets("plot", "run", "--plot", "plain.svg", "-q").status == 0
    assert hw4nets("plot", "run", "--plot", "own.svg", "--style", "mine.mplstyle", "-q").status == 0
    plain, own = Path("plain.svg").read_text(), Path("own.svg").read_text()
    assert "#fdf6e3" in own and "#fdf6e3" not in plain and ">epoch</text>" in own
    done = hw4nets("plot", "run", "--style", "mine.mplstyle")
    assert done.status == 2 and "is for the figure of --plot" in done.err
    Path("bad.mplstyle").write_text("axes.colour: red\n")
    done = hw4nets("plot", "run", "--plot", "f.svg", "--style", "bad.mplstyle")
    assert done.status == 2 and "is not a matplotlib style" in done.err and done.err.count("\n") == 1
