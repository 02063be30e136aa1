"""A fault in batches, image folders or archives is one sentence, and nothing is cached."""

import pickle

import pytest
from PIL import Image

from cifar_files import write_binary, write_images, write_pickle
from hw4nets.data import load
from hw4nets.errors import InputError
from hw4nets.image_set import ImageSet


def spoil_missing_batch(folder, parts):
    write_binary(folder, parts)
    (folder / "data_batch_3.bin").unlink()


def spoil_cut_batch(folder, parts):
    write_binary(folder, parts)
    path = folder / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])


def spoil_label(folder, parts):
    write_binary(folder, parts)
    content = bytearray((folder / "test_batch.bin").read_bytes())
    content[0] = 77
    (folder / "test_batch.bin").write_bytes(content)


def spoil_pickle(folder, parts):
    write_pickle(folder, parts)
    path = folder / "data_batch_1"
    path.write_bytes(path.read_bytes()[:-100])


def spoil_missing_class(folder, parts):
    write_images(folder, parts)
    for path in (folder / "train" / "ship").iterdir():
        path.unlink()


def spoil_binary_class(folder, parts):
    train, test = parts
    write_binary(folder, (train, ImageSet(test.pixels[:9], test.labels[:9])))


def spoil_unknown_class(folder, parts):
    write_images(folder, parts)
    (folder / "train" / "ship").rename(folder / "train" / "shipp")


def spoil_cut_image(folder, parts):
    write_images(folder, parts, "jpg")
    path = folder / "test" / "cat" / "0003.jpg"
    path.write_bytes(path.read_bytes()[:300])


def spoil_no_image(folder, parts):
    write_images(folder, parts)
    (folder / "train" / "cat" / "0003.png").write_text("no image")


def spoil_size(folder, parts):
    write_images(folder, parts)
    Image.new("RGB", (33, 32)).save(folder / "train" / "cat" / "0003.png")


def spoil_both(folder, parts):
    write_images(folder, parts)
    write_binary(folder, parts)


def spoil_twice(folder, parts):
    for name in ("a", "b"):
        (folder / name).mkdir()
        write_binary(folder / name, parts)


def spoil_nothing(folder, parts):
    (folder / "notes.txt").write_text("hello")


class Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


def spoil_program(folder, parts):
    write_pickle(folder, parts)
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}))


WRONG = [
    (spoil_missing_batch, "lacks data_batch_3.bin"),
    (spoil_cut_batch, "data_batch_2.bin has"),
    (spoil_label, "holds the label 77"),
    (spoil_pickle, "data_batch_1 is not a batch of CIFAR-10, or is damaged"),
    (spoil_missing_class, "train/ lacks images of ship"),
    (spoil_binary_class, "the test batches hold no image of truck"),
    (spoil_unknown_class, "'shipp' (did you mean 'ship'?)"),
    (spoil_cut_image, "test/cat/0003.jpg is not an image that can be decoded, or is cut short"),
    (spoil_no_image, "train/cat/0003.png is not an image"),
    (spoil_size, "train/cat/0003.png is 33×32"),
    (spoil_both, "official batches and image folders"),
    (spoil_twice, "holds data_batch_1.bin twice"),
    (spoil_nothing, "holds neither CIFAR-10"),
    (spoil_program, "builtins.print, which no batch needs"),
]


@pytest.mark.parametrize(("spoil", "said"), WRONG, ids=[spoil.__name__[6:] for spoil, _ in WRONG])
def test_wrong_images_are_a_sentence_and_nothing_is_cached(tmp_path, parts, cache, capsys, spoil, said):
    spoil(tmp_path, parts)
    with pytest.raises(InputError) as caught:
        load(str(tmp_path))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert list(cache.iterdir()) == [] and capsys.readouterr().out == ""
