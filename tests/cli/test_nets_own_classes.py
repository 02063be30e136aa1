"""`hw4nets` on images of classes of one's own, from the command line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

pytest_plugins = ["nets_command"]
ONE = ["--epochs", "1", "--batch-size", "9", "--threads", "1", "-q"]


@pytest.fixture
def own(hw4nets):
    """Two classes of 20×20, val/ in the place of test/."""
    draw = np.random.default_rng(0)
    for place, name in enumerate(["train/left", "train/right", "val/left", "val/right"]):
        folder = Path("own", name)
        folder.mkdir(parents=True)
        for number in range(9):
            pixels = draw.integers(0, 90, (20, 20, 3), np.uint8)
            pixels[:, 10 * (place % 2) :][:, :10] += 120
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return Path("own")


@pytest.mark.slow
def test_train_evaluate_predict(hw4nets, own):
    words = ["train", "--net", "conv", "--M", "4", "--p", "18", "--N", "3", "--whiten", "no", "--data", "own"]
    done = hw4nets(*words, "--out", "run", *ONE)
    assert done.status == 0 and "warning: there is no test/: val/ is used in its place" in done.err
    assert 'classes = [\n    "left",\n    "right",\n]' in Path("run/config.toml").read_text()
    assert 'chosen_on = "none"' in Path("run/config.toml").read_text()  # the preset was chosen on other images
    found = hw4nets("evaluate", "run", "--json", "-", "-q").json
    assert found["classes"] == ["left", "right"] and np.sum(found["confusion"]) == 18
    assert hw4nets("train", "--out", "run", "--resume", "-q").status == 0
    told = hw4nets("predict", "run", own / "val", "--json", "-", "-q").json
    assert told["classes"] == ["left", "right"] and sum(told["counts"]) == 18
    other = hw4nets("evaluate", "run", "--data", "synthetic")
    assert other.status == 2 and "for 2 classes of 20×20, and synthetic has 10 of 32×32" in other.err
    (own / "train" / "right").rename(own / "train" / "wrong")
    (own / "val" / "right").rename(own / "val" / "wrong")
    renamed = hw4nets("evaluate", "run")
    assert renamed.status == 2 and "classes of other names: right, wrong; give other --data" in renamed.err
    new = hw4nets("train", "--config", "run/config.toml", "--data", "synthetic", "--out", "new", "--init", "run", *ONE)
    assert new.status == 0 and "are initialised: Linear" in new.err


def test_what_is_tied_to_the_assignments_images_says_so(hw4nets, own):
    done = hw4nets("data", "--data", "own", "--json", "-")
    assert done.json["train"] == [9, 9] and done.json["image_side"] == 20 and "2 classes from" in done.err
    refused = hw4nets("reproduce", "--data", "own", "--out", "part3")
    assert refused.status == 2 and "the assignment's networks have 10 classes of 32×32 pixels" in refused.err
    for size, said in (("40", "exceeds its input of 20×20"), ("97", "exceeds its input of 96×96")):
        words = ["--net", "conv", "--p", size, "--N", "1", "--data", "own", *ONE]
        for command in (["train", "--out", "new"], ["search", "--out", "new", "--trials", "1"]):
            refused = hw4nets(*command, *words)
            assert refused.status == 2 and said in refused.err and not Path("new").exists()
    varied = ["search", "--net", "conv", "--data", "own", "--vary", "N=1|19", "--vary", "p=3|40", "--out", "new", *ONE]
    refused = hw4nets(*varied)
    assert refused.status == 2 and "--vary" in refused.err and not Path("new").exists()
