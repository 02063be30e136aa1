"""Images without labels, read in batches, and a run's predictions for them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw4nets import prediction
from hw4nets.config import Config
from hw4nets.errors import InputError
from hw4nets.evaluation import evaluate
from hw4nets.models import Logistic
from hw4nets.prediction import predict
from hw4nets.recipes import Recipe
from hw4nets.runs import open_run, run

RECIPE = Recipe(Logistic(), Config(epochs=1, batch_size=50, threads=1, precision="float32"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small):
    """A run, and its first eleven test images as files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HW4NETS_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("predicted")
        outcome = run(open_run(folder / "run", RECIPE, small), RECIPE, small)
    for place, pixels in enumerate(small.test.pixels[:11]):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / f"{place:02d}.png")
    return folder, evaluate(outcome.model, small).probabilities[:11]


@pytest.mark.parametrize("at_once", [1, 4, 512])
def test_batches_of_any_size_give_the_same(folder, monkeypatch, at_once):
    place, known = folder
    monkeypatch.setattr(prediction, "IMAGES_AT_ONCE", at_once)
    steps = []
    found = predict(place / "run", sorted(place.glob("*.png")), progress=steps.append)
    assert np.allclose(found.probabilities, known, atol=1e-6) and found.probabilities.dtype == np.float32
    assert steps == [*range(at_once, 11, at_once), 11] and found.readable.tolist() == list(range(11))
    assert found.ranked(3)[0] == (found.classes[known[3].argmax()], pytest.approx(known[3].max(), rel=1e-5))


def test_rows_keep_their_place_beside_damage(folder, tmp_path):
    place, known = folder
    (tmp_path / "bad.png").write_bytes(b"")
    found = predict(place / "run", [place / "00.png", tmp_path / "bad.png", place / "01.png"])
    assert list(found.unreadable) == [1] and np.isnan(found.probabilities[1]).all()
    assert np.allclose(found.probabilities[[0, 2]], known[:2], atol=1e-6) and list(found.first_pixels) == [0, 2]
    assert np.isnan(predict(place / "run", [tmp_path / "bad.png"]).probabilities).all()


def test_names_that_are_no_utf_8_are_escaped(folder, tmp_path):
    place, _ = folder
    odd = tmp_path / "a\udcff.png"
    try:
        odd.write_bytes((place / "00.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such names")
    assert predict(place / "run", [odd]).files[0].endswith(r"a\xff.png")


def test_nothing_given_is_a_sentence(folder):
    with pytest.raises(InputError, match="no image is given"):
        predict(folder[0] / "run", [])
    with pytest.raises(InputError, match="is not a run"):
        predict(folder[0], [Path("a.png")])
