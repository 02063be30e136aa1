"""Export of a trained network to ONNX (an extra), checked with onnxruntime."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from hw4nets.data import load  # noqa: E402
from hw4nets.models import NETS  # noqa: E402
from nets_command import ORIGIN  # noqa: E402

pytest_plugins = ["nets_command"]
SMALL = {
    "logistic": [],
    "hidden": ["--M", "5", "--dropout", "0.2"],
    "conv": ["--M", "6", "--N", "7", "--whiten", "start"],
    "base": ["--filters", "4,6", "--units", "9,8", "--batch-norm"],
    "fast": ["--widths", "8,8,8", "--depths", "1,1,1"],
}


def runtime():
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package, reason=f"{package} is not installed: the extra `onnx` brings it")
    return pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the extra `onnx` brings it")


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_onnxruntime_gives_what_predict_gives(hw4nets, name):
    onnxruntime = runtime()
    words = ["--data", "synthetic", "--epochs", "1", "--batch-size", "100", "--threads", "1", "-q"]
    assert hw4nets("train", "--net", name, *SMALL[name], *words, "--out", "run").status == 0
    done = hw4nets("export", "run", "--out", "net.onnx", "--json", "-")
    assert done.status == 0 and set(done.json) >= ORIGIN and done.json["largest_difference"] < 1e-5
    assert "pixels, uint8" in done.err and [path.name for path in Path().glob("net*")] == ["net.onnx"]
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    pixels = load("synthetic").test.pixels[:5]
    for number, one in enumerate(pixels):
        Image.fromarray(one.transpose(1, 2, 0)).save(f"{number}.png")
    files = [f"{number}.png" for number in range(5)]
    assert hw4nets("predict", "run", *files, "--save", "p.csv", "--device", "cpu", "-q").status == 0
    known = [[float(cell) for cell in line.split(",")[1:]] for line in Path("p.csv").read_text().splitlines()[1:]]
    (found,) = session.run(None, {"pixels": pixels})
    # half precision, where the run was trained in it
    tolerance = 1e-4 if json.loads(Path("run/summary.json").read_text())["precision"] == "float32" else 0.03
    assert np.abs(found - known).max() < tolerance and np.allclose(found.sum(axis=1), 1, atol=1e-5)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"])[0] == "airplane" and about["net"] == name


@pytest.mark.slow
def test_a_file_that_gives_other_probabilities_is_not_written(hw4nets, trained, monkeypatch):
    runtime()
    monkeypatch.setattr("hw4nets.export.MAX_PROBABILITY_DIFFERENCE", -1.0)
    Path("net.onnx").write_text("of before")
    done = hw4nets("export", "run", "--out", "net.onnx", "--json", "-", "-q")
    assert done.status == 1 and "probabilities differ by" in done.err and done.json["status"] == "uncertified"
    assert Path("net.onnx").read_text() == "of before"


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_a_package_the_extra_is_named(hw4nets, trained, monkeypatch, package):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        monkeypatch.setitem(__import__("sys").modules, name, json if name != package else None)
    done = hw4nets("export", "run", "--out", "net.onnx")
    assert done.status == 2 and done.out == "" and not Path("net.onnx").exists()
    assert done.err == f"hw4nets: {package} is not installed; it comes with the extra: pip install 'hw4opt[onnx]'\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuch", "--out", "a.onnx"], "nosuch is not a run"),
        (["run", "--out", "run/last.pt"], "would overwrite the run run"),
        (["run", "--out", "no/a.onnx"], "the folder no does not exist"),
        (["run"], "Missing option '--out'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(hw4nets, trained, words, said):
    runtime()
    done = hw4nets("export", *words)
    assert done.status == 2 and said in done.err and done.err.count("\n") == 1 and done.out == ""
