"""`hw4nets predict`: a row per image, and a message for files that cannot be read."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from hw4nets.data import load  # noqa: E402
from hw4nets.image_set import CLASSES  # noqa: E402
from nets_command import ORIGIN  # noqa: E402

pytest_plugins = ["nets_command"]
COLUMNS = ["file", "class", "probability", "second", "second_probability"]


@pytest.fixture
def pictures(trained):
    """The first ten test images of the run as PNG files, two of them in a folder below."""
    Path("pictures/more").mkdir(parents=True)
    for place, pixels in enumerate(load("synthetic").test.pixels[:10]):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(f"pictures/{'more/' if place > 7 else ''}{place}.png")
    return Path("pictures")


def rows(path):
    return list(csv.DictReader(Path(path).read_text().splitlines()))


def test_a_row_an_image_as_evaluate_has_it(hw4nets, pictures):
    assert hw4nets("evaluate", "run", "--save", "e.csv", "-q").status == 0
    done = hw4nets("predict", "run", pictures, "--out", "p.csv", "--json", "-")
    assert done.status == 0 and set(done.json) >= ORIGIN and done.json["images"] == 10
    found, known = rows("p.csv"), rows("e.csv")[:10]
    assert list(found[0]) == COLUMNS
    assert [row["file"] for row in found] == [
        *(f"pictures/{place}.png" for place in range(8)),
        "pictures/more/8.png",
        "pictures/more/9.png",
    ]
    for row, truth in zip(found, known, strict=True):
        shares = sorted(((float(truth[name]), name) for name in CLASSES), reverse=True)
        assert (row["class"], row["second"]) == (shares[0][1], shares[1][1])
        assert float(row["probability"]) == pytest.approx(shares[0][0], rel=1e-4)
        assert float(row["second_probability"]) == pytest.approx(shares[1][0], rel=1e-4)
    assert [one["class"] for one in done.json["predictions"]] == [row["class"] for row in found]
    assert "pictures/0.png" in done.err and "For a figure: hw4nets predict" in done.err


def test_files_and_archives_and_a_figure(hw4nets, pictures):
    with zipfile.ZipFile("packed.zip", "w") as file:
        for name in ("0.png", "more/8.png"):
            file.write(pictures / name, name)
        file.writestr("__MACOSX/._0.png", b"no image")
        file.writestr("notes.txt", b"no image")
    done = hw4nets("predict", "run", "packed.zip", pictures / "0.png", "--out", "p.csv", "--plot", "p.png")
    assert done.status == 0 and Path("p.png").exists() and "For a figure" not in done.out
    found = rows("p.csv")
    assert [row["file"] for row in found] == ["packed.zip/0.png", "packed.zip/more/8.png", "pictures/0.png"]
    assert [found[0][name] for name in COLUMNS[1:]] == [found[2][name] for name in COLUMNS[1:]]


def test_an_image_and_its_mirror_image_have_the_same_mean(hw4nets, pictures):
    Image.open(pictures / "3.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save("mirror.png")
    plain = hw4nets("predict", "run", "mirror.png", pictures / "3.png", "--json", "-", "-q").json["predictions"]
    done = hw4nets("predict", "run", "mirror.png", pictures / "3.png", "--flip", "--json", "-")
    mean = done.json["predictions"]
    assert plain[0]["probability"] != plain[1]["probability"] and "mirror image" in done.err
    assert mean[0]["class"] == mean[1]["class"]
    assert mean[0]["probability"] == pytest.approx(mean[1]["probability"], rel=1e-5)


def test_what_cannot_be_read_is_an_empty_row_a_warning_and_exit_1(hw4nets, pictures):
    (pictures / "1.png").write_bytes(b"no image")
    (pictures / "2.gif").write_bytes(b"GIF89a")
    (pictures / "4.jpg").symlink_to("nowhere.jpg")
    (pictures / "notes.txt").write_text("left out")
    done = hw4nets("predict", "run", pictures, "--out", "p.csv", "--save", "all.csv", "--json", "-", "-q")
    empty = [row["file"] for row in rows("p.csv") if not any(row[name] for name in COLUMNS[1:])]
    assert done.status == 1 and empty == ["pictures/1.png", "pictures/2.gif", "pictures/4.jpg"]
    assert [row["airplane"] == "" for row in rows("all.csv")] == [row["class"] == "" for row in rows("p.csv")]
    assert sum(float(rows("all.csv")[0][name]) for name in CLASSES) == pytest.approx(1, abs=1e-4)
    assert len(rows("p.csv")) == 12 and done.json["status"] == "uncertified"
    assert [one["file"] for one in done.json["unreadable"]] == empty and done.json["predictions"][1]["class"] is None
    assert "warning: pictures/1.png is not an image that can be decoded" in done.err
    assert "warning: images that could not be read: 3 of 12" in done.err and "a broken link" in done.err


def test_other_sizes_are_refused_or_scaled_and_said(hw4nets, trained):
    draw = np.random.default_rng(0)
    middle = draw.integers(0, 256, (32, 32, 3), np.uint8)
    large = np.zeros((64, 96, 3), np.uint8)  # landscape: the square in its middle is the one that counts
    large[:, 16:80] = middle.repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(middle).save("small.png")
    Image.fromarray(large).save("large.png")
    refused = hw4nets("predict", "run", "large.png", "--out", "p.csv")
    assert refused.status == 2 and "large.png is 96×64; 32×32 is wanted; give --resize" in refused.err
    assert not Path("p.csv").exists() and refused.out == ""
    done = hw4nets("predict", "run", "large.png", "small.png", "--resize", "--json", "-")
    assert done.status == 0 and done.json["resized"] == 1 and "central square scaled to 32×32: 1 of 2" in done.err
    scaled, own = done.json["predictions"]
    assert scaled["class"] == own["class"]


def test_a_photograph_is_turned_as_the_camera_was_held(hw4nets, trained):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = 255
    upright, turned = Image.fromarray(pixels), Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    upright.save("a.jpg", quality=100)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned.save("b.jpg", quality=100, exif=exif)
    turned.save("c.jpg", quality=100)
    one, same, other = hw4nets("predict", "run", "a.jpg", "b.jpg", "c.jpg", "--resize", "--json", "-", "-q").json[
        "predictions"
    ]
    assert one["probability"] == pytest.approx(same["probability"], rel=1e-3) and one["class"] == same["class"]
    assert (one["class"], one["probability"]) != (other["class"], pytest.approx(other["probability"], rel=1e-3))


WRONG = [
    (["predict", "run"], "Missing argument 'IMAGES…'"),
    (["predict", "nosuch", "a.png"], "nosuch is not a run: it has no config.toml"),
    (["predict", "run", "nosuch.png"], "no image 'nosuch.png': give files, folders or archives that exist"),
    (["predict", "run", "empty"], "empty holds no image: wanted files that end in .png, .jpg, .jpeg"),
    (["predict", "run", "half.zip"], "half.zip cannot be read to its end"),
    (["predict", "run", "a.png", "--out", "a.png"], "--out a.png would overwrite the images a.png"),
    (["predict", "run", "a.png", "--out", "run/last.pt"], "--out run/last.pt would overwrite the run run"),
    (["predict", "run", "a.png", "--out", "no/p.csv"], "the folder no does not exist"),
    (["predict", "run", "a\0b.png"], "holds a zero byte"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[said for _, said in WRONG])
def test_bad_input_is_one_sentence_and_exit_2(hw4nets, trained, words, said):
    Image.new("RGB", (32, 32)).save("a.png")
    Path("empty").mkdir()
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as file:
        file.write("a.png")
    Path("half.zip").write_bytes(whole.getvalue()[:60])
    done = hw4nets(*words)
    assert done.status == 2 and done.out == "" and said in done.err and done.err.count("\n") == 1, done
