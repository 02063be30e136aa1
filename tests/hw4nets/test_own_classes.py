"""Images of classes of one's own: folders, val/, Kaggle's table of labels, other sizes; and what goes on with them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from hw4nets.assignment import reproduce
from hw4nets.config import Config
from hw4nets.data import Data, fingerprint, hold_out, load
from hw4nets.errors import InputError
from hw4nets.evaluation import evaluate
from hw4nets.image_set import ImageSet
from hw4nets.models import NETS, Conv, Logistic, build
from hw4nets.network import flops_per_image, parameter_count
from hw4nets.plotting import plot_confusion, plot_images, plot_worst
from hw4nets.prediction import predict
from hw4nets.recipes import Recipe, read_recipe
from hw4nets.runs import CONFIG, open_run, run
from hw4nets.training import train

NAMES = ("a cat", "dög", "eel")
SMALL = {
    "logistic": {},
    "hidden": {"M": 5},
    "conv": {"M": 4, "N": 5},
    "base": {"padding": (2, 2)},
    "fast": {"widths": (8, 8, 8), "depths": (1, 1, 1)},
}


def write(folder, count, side=16, names=NAMES, seed=0):
    """Images of one bright channel a class, `count` of each; gives their pixels by file."""
    draw = np.random.default_rng(seed)
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = draw.integers(0, 100, (side, side, 3), np.uint8)
            pixels[:, :, label % 3] += 100
            Image.fromarray(pixels).save(folder / name / f"{number:03d}.png")


@pytest.fixture
def own(tmp_path):
    write(tmp_path / "own" / "train", 12)
    write(tmp_path / "own" / "test", 4, seed=1)
    return tmp_path / "own"


def test_class_folders_of_any_names_are_read_once(own, monkeypatch):
    data = load(str(own))
    assert data.classes == NAMES and data.side == 16 and data.validation is None and data.notes == ()
    assert data.train.pixels.shape == (36, 3, 16, 16) and np.bincount(data.test.labels).tolist() == [4, 4, 4]
    assert np.array_equal(data.train.labels, data.train.pixels.mean(axis=(2, 3)).argmax(axis=1))
    monkeypatch.setattr("hw4nets.data.read", lambda *words: pytest.fail("decoded again"))
    again = load(str(own))
    assert (again.sha256, again.classes, again.pixels) == (data.sha256, NAMES, f"other: {data.sha256[:12]}")
    assert fingerprint(data.train, data.test, None, (*NAMES[:2], "owl")) != data.sha256


def test_val_stands_for_test_or_is_the_validation_split(own):
    (own / "test").rename(own / "val")
    data = load(str(own))
    assert data.notes == ("there is no test/: val/ is used in its place",) and len(data.test.labels) == 12
    write(own / "test", 3, seed=2)
    for _ in ("decoded", "from the cache"):
        both = load(str(own))
        assert both.notes == () and both.validation is not None and len(both.test.labels) == 9
        assert np.array_equal(both.validation.pixels, data.test.pixels) and both.sha256 != data.sha256
    held = hold_out(both, seed=0)
    assert np.array_equal(held.test.pixels, both.validation.pixels) and len(held.train.labels) == 36
    history = train(build(Logistic(image_side=16, class_count=3), 0), both, Config(epochs=1, select="validation"))
    assert history.rows[0].validation_accuracy in np.arange(13) / 12


@pytest.fixture
def kaggle(tmp_path):
    """60 images with the names that Kaggle gives them, and some without labels."""
    folder = tmp_path / "kaggle"
    for name in ("train", "test"):
        (folder / name).mkdir(parents=True)
    rows = ["id,label"]
    for number in range(1, 61):
        label = number % 2
        Image.new("RGB", (32, 32), (number, 200 * label, 0)).save(folder / "train" / f"{number}.png")
        rows.append(f"{number},{('frog', 'cat')[label]}")
    Image.new("RGB", (32, 32)).save(folder / "test" / "1.png")
    (folder / "trainLabels.csv").write_text("\r\n".join(rows) + "\r\n")
    return folder


def test_kaggles_table_of_labels_is_read(kaggle):
    data = load(str(kaggle))
    assert data.classes == ("cat", "frog") and (len(data.train.labels), len(data.test.labels)) == (54, 6)
    assert data.notes == ("Kaggle's test images have no labels: 6 of the training images are used in their place",)
    for part in (data.train, data.test):
        assert np.array_equal(part.labels == 0, part.pixels[:, 1, 0, 0] == 200)
    numbers = np.concatenate([part.pixels[:, 0, 0, 0] for part in (data.train, data.test)])
    assert sorted(numbers) == list(range(1, 61)) and load(str(kaggle)).notes == data.notes


def table(text):
    return lambda folder: (folder / "trainLabels.csv").write_bytes(text)


SPOILED_TABLES = {
    "names images that train/ lacks: 1, 7 first": lambda folder: (folder / "train" / "7.png").unlink(),
    "lacks a unique label for each image: 1, 99 first": lambda folder: Image.new("RGB", (32, 32)).save(
        folder / "train" / "99.png"
    ),
    "lacks a unique label for each image: 1, 5 first": lambda folder: Image.new("RGB", (32, 32)).save(
        folder / "train" / "5.jpg"
    ),
    "its header is not id,label": table(b"name,class\n1,cat\n"),
    "its rows are not distinct identifiers": table(b"id,label\n1,cat\n1,frog\n"),
    "not enough values": table(b"id,label\n1\n"),
    "cannot be read": table(b"\xff\xfe\0"),
    "image folders and images with trainLabels.csv": lambda folder: write(folder / "train", 1, 32),
}


@pytest.mark.parametrize("said", SPOILED_TABLES)
def test_a_spoiled_table_of_labels_is_a_sentence(kaggle, said):
    SPOILED_TABLES[said](kaggle)
    with pytest.raises(InputError) as caught:
        load(str(kaggle))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def remove(folder):
    for path in folder.glob("*/*"):
        path.unlink()


SPOILED_FOLDERS = {
    "is 15×15; images of classes are squares of 16 to 96 pixels a side": lambda own: Image.new("RGB", (15, 15)).save(
        own / "train" / NAMES[0] / "000.png"
    ),
    "is 20×16; images of classes are squares": lambda own: Image.new("RGB", (20, 16)).save(
        own / "train" / NAMES[0] / "000.png"
    ),
    "is 32×32; 16×16 is wanted": lambda own: Image.new("RGB", (32, 32)).save(own / "test" / NAMES[2] / "001.png"),
    "neither test/ nor val/": lambda own: remove(own / "test"),
    "test/ lacks images of owl": lambda own: write(own / "train", 1, names=("owl",)),
    "'eels' (did you mean 'eel'?)": lambda own: (own / "train" / "eel").rename(own / "train" / "eels"),
    "images of 1,003 classes; give 2 to 1,000": lambda own: write(own / "train", 1, names=map(str, range(1000))),
}


@pytest.mark.parametrize("said", SPOILED_FOLDERS)
def test_what_no_network_could_learn_is_a_sentence(own, cache, said):
    SPOILED_FOLDERS[said](own)
    with pytest.raises(InputError) as caught:
        load(str(own))
    assert said in str(caught.value) and "\n" not in str(caught.value) and not list(cache.iterdir())


def images_of(side, classes, count=None):
    draw = np.random.default_rng(0)
    labels = np.arange(count or 2 * classes) % classes
    part = ImageSet(draw.integers(0, 256, (len(labels), 3, side, side), np.uint8), labels)
    return Data(part, part, "other", "0" * 64, "made", tuple(map(str, range(classes))))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(
    ("side", "classes"),
    [
        (16, 2),
        pytest.param(96, 3, marks=pytest.mark.slow),
        pytest.param(16, 1000, marks=pytest.mark.slow),
    ],
)
def test_every_network_takes_every_size_and_number_of_classes(name, side, classes):
    data = images_of(side, classes)
    model = build(NETS[name](**SMALL[name], image_side=side, class_count=classes), 0)
    assert model(torch.zeros(2, 3, side, side)).shape == (2, classes)
    history = train(model, data, Config(epochs=1, batch_size=len(data.train.labels), precision="float32"))
    assert 0 <= history.test_accuracy <= 1 and evaluate(model, data).probabilities.shape == (2 * classes, classes)


def test_counts_are_those_of_the_formula():
    model = build(Logistic(image_side=20, class_count=7), 0)
    assert parameter_count(model) == 7 * 1200 + 7 and flops_per_image(model, 20) == 2 * 7 * 1200
    assert Conv(image_side=64, p=40, N=5).side() == 5  # ⌊(65 - 40) / 5⌋


def test_a_network_of_other_images_is_refused():
    data = images_of(16, 3)
    for shape, said in ((Logistic(), "image_side=16"), (Logistic(image_side=16), "class_count=3")):
        for act in (lambda model: train(model, data, Config(epochs=1)), lambda model: evaluate(model, data)):
            with pytest.raises(InputError, match=f"build it with {said}"):
                act(build(shape, 0))
    for side in (15, 97, "32", True):
        with pytest.raises(InputError, match="image_side is"):
            Logistic(image_side=side)
    with pytest.raises(InputError, match="class_count is 1001; it must be a whole number from 2 to 1000"):
        Logistic(class_count=1001)


def test_shifts_and_squares_fit_the_images():
    config = Config(augment="crop:16")
    with pytest.raises(InputError, match="give a whole number of pixels from 1 to 15"):
        train(build(Logistic(image_side=16, class_count=3), 0), images_of(16, 3), config)
    with pytest.raises(InputError, match="from 1 to 15"):
        Recipe(Logistic(image_side=16), config)
    assert Recipe(Logistic(image_side=64), replace(config, augment="crop:63,cutout:64"))


def test_a_run_remembers_names_and_size_and_predicts_by_them(own, tmp_path):
    data = load(str(own))
    recipe = Recipe(Logistic(), Config(epochs=20, batch_size=12, lr=0.01, threads=1)).of_images(16, 3)
    with pytest.raises(InputError, match=r"for 10 classes of 32×32, and own has 3 of 16×16"):
        open_run(tmp_path / "no", Recipe(Logistic(), recipe.config), data)
    assert not (tmp_path / "no").exists()
    folder = open_run(tmp_path / "run", recipe, data)
    summary = run(folder, recipe, data).summary
    assert read_recipe(folder / CONFIG) == recipe and (summary["image_side"], summary["classes"]) == (16, 3)
    assert json.loads((folder / "summary.json").read_text())["test_accuracy"] == 1.0
    found = predict(folder, [own / "test"])
    assert found.classes == NAMES
    assert [found.ranked(row)[0][0] for row in range(12)] == [name for name in NAMES for _ in range(4)]
    with pytest.raises(InputError, match="networks have 10 classes of 32×32 pixels, and own has 3 of 16×16"):
        reproduce(tmp_path / "part3", data, {})


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 60, 1000])
def test_figures_of_many_classes(classes):
    data = images_of(16, classes)
    found = evaluate(build(Logistic(image_side=16, class_count=classes), 0), data)
    for figure in (plot_confusion(found, data.classes, "t"), plot_worst(found, data, "t"), plot_images(data)):
        figure.canvas.draw()
        assert max(figure.get_size_inches()) < 80
