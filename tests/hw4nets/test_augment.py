"""Augmentation against a plain loop over images; drawn for each image; pure."""

import pytest
import torch

from hw4nets.augment import Augmentation, alternating_flip, crop, cutout, flip, scaled, training_side
from hw4nets.config import Config
from hw4nets.errors import InputError


@pytest.fixture
def images():
    return torch.arange(6 * 3 * 8 * 8, dtype=torch.uint8).view(6, 3, 8, 8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_flip_mirrors_some_images_whole(images):
    many = images.repeat(20, 1, 1, 1)
    flipped = flip(many, generator())
    same = [torch.equal(a, b) for a, b in zip(flipped, many, strict=True)]
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, many, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True)) and 40 < sum(same) < 80


def test_two_epochs_of_alternating_flips_show_both_sides(images):
    first = torch.tensor([True, False, True, False, False, True])
    odd, even = alternating_flip(images, first, 1), alternating_flip(images, first, 4)
    for a, b, image, was in zip(odd, even, images, first, strict=True):
        assert torch.equal(b, image.flip(-1) if was else image) and torch.equal(a, image if was else image.flip(-1))


@pytest.mark.parametrize("pixels", [1, 3, 7])
def test_crop_is_a_window_of_the_mirrored_border(images, pixels):
    cropped = crop(images, pixels, generator())
    padded = torch.nn.functional.pad(images.float(), (pixels,) * 4, mode="reflect").to(torch.uint8)
    down, right = torch.randint(2 * pixels + 1, (2, len(images)), generator=generator())
    for n in range(len(images)):
        assert torch.equal(cropped[n], padded[n, :, down[n] : down[n] + 8, right[n] : right[n] + 8])
    assert len({(int(a), int(b)) for a, b in zip(down, right, strict=True)}) > 1


def test_cutout_clears_one_square_of_every_image(images):
    ones = torch.ones(50, 3, 32, 32)
    cut = cutout(ones, 6, generator())
    for image in cut:
        rows, columns = (image[0] == 0).nonzero(as_tuple=True)
        height, width = (int(one.max() - one.min()) + 1 for one in (rows, columns))
        assert len(rows) == height * width and max(height, width) <= 6 and torch.equal(image[0], image[2])
    assert len({tuple((image[0] == 0).nonzero()[0].tolist()) for image in cut}) > 10


@pytest.mark.parametrize(
    ("given", "sides"),
    [
        ({}, [32] * 8),
        ({"start_scale": 1.0}, [32] * 8),
        ({"start_scale": 0.6}, [20, 20, 24, 28, 32, 32, 32, 32]),
        ({"start_scale": 0.75, "full_scale": 1.0}, [24, 24, 24, 24, 28, 28, 28, 32]),
        ({"start_scale": 0.85, "full_scale": 0.25}, [28, 28, 32, 32, 32, 32, 32, 32]),
        ({"start_scale": 0.5, "full_scale": 0.01}, [16] + [32] * 7),
        ({"start_scale": 0.5}, [32]),
    ],
)
def test_the_side_grows_to_the_images_own(given, sides):
    config = Config(epochs=len(sides), **given)
    assert [training_side(32, config, epoch) for epoch in range(len(sides))] == sides


def test_a_first_side_is_a_multiple_of_four_or_the_images_own():
    assert [training_side(side, Config(epochs=4), 0) for side in (16, 17, 30, 96)] == [16, 17, 30, 96]
    assert [training_side(side, Config(epochs=4, start_scale=0.75), 0) for side in (16, 17, 30, 96)] == [12, 16, 24, 72]
    assert training_side(50, Config(epochs=4, start_scale=0.56), 0) == 28  # 0.56 · 50 in doubles is above 28


def test_scaled_images_keep_their_means_and_a_scaled_ramp_is_a_ramp():
    ramp = torch.arange(32.0).expand(2, 3, 32, 32)
    small = scaled(ramp, 16)
    assert small.shape == (2, 3, 16, 16) and torch.allclose(small[..., 1:-1], 2 * torch.arange(1.0, 15.0) + 0.5)
    assert torch.allclose(small.mean(), ramp.mean()) and scaled(ramp, 32) is ramp


def test_they_are_pure_and_seeded(images):
    kept = images.clone()
    for act in (lambda g: flip(images, g), lambda g: crop(images, 2, g), lambda g: cutout(images.float(), 3, g)):
        assert torch.equal(act(generator(1)), act(generator(1)))
        assert not torch.equal(act(generator(1)), act(generator(2)))
    assert torch.equal(images, kept)


def test_parse():
    assert Augmentation.parse("none") == Augmentation() == Augmentation.parse("")
    assert Augmentation.parse("alternating_flip, crop:2,cutout:12") == Augmentation("alternating_flip", 2, 12)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("flop", "no augmentation 'flop' (did you mean 'flip'?); there are none, flip, alternating_flip, crop, cutout"),
        ("crop", "from 1 to 31, as in crop:4"),
        ("crop:32", "from 1 to 31"),
        ("cutout:-1", "from 1 to 32"),
        ("flip,alternating_flip", "has flip twice"),
    ],
)
def test_wrong_words(words, said):
    with pytest.raises(InputError) as caught:
        Augmentation.parse(words)
    assert said in str(caught.value)
