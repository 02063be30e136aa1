"""Recipes as TOML, presets, and names of settings."""

import pytest

from hw4nets.config import Config
from hw4nets.errors import InputError
from hw4nets.models import NETS, Conv, Net
from hw4nets.recipes import preset, preset_names, preset_nets, read_recipe
from hw4nets.settings import settings_of


def test_a_recipe_goes_through_toml(tmp_path):
    for name in preset_names():
        for net in preset_nets(name):
            recipe = preset(name, net)
            (tmp_path / "r.toml").write_text(recipe.toml(data="synthetic"))
            assert read_recipe(tmp_path / "r.toml") == recipe


def test_the_default_preset_knows_every_network_and_the_assignments_its_own():
    assert set(preset_nets("tuned")) == set(NETS) and preset_nets("assignment") == [
        "logistic",
        "hidden",
        "conv",
        "base",
    ]
    conv = preset("assignment", "conv")
    assert (conv.config.lr, conv.config.momentum, conv.config.batch_size) == (0.001, 0.05, 4)
    assert conv.shape == Conv(M=1000, p=5, N=14) and conv.config.selected_on == "test"
    with pytest.raises(InputError, match="preset 'assignment' has no fast; it has logistic, hidden, conv, base"):
        preset("assignment", "fast")
    with pytest.raises(InputError, match="no preset 'tunned' \\(did you mean 'tuned'"):
        preset("tunned", "conv")


def test_names_of_options_are_of_a_network_or_of_training():
    """`changed` and the command line take both by name alone."""
    training = {item.name for item in settings_of(Config)}
    for net in NETS.values():
        assert issubclass(net, Net) and not training & {item.name for item in settings_of(net)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("net = ", "cannot be read as TOML"),
        ("[train]\nlr = 1.0", "does not name a network"),
        ('net = "cnov"', "no network 'cnov'"),
        ('net = "conv"\nshape = 3', r"\[shape\] is not a table"),
        ('net = "conv"\n[shape]\nq = 1', "no option of conv 'q'"),
        ('net = "conv"\nlr = 0.3', r"has lr; it belongs into \[shape\] or \[train\]; known are net"),
        (
            'net = "conv"\n[training]\nlr = 0.3',
            r"has training; known are net, .*, note, image_side, classes, \[shape\] and \[train\]",
        ),
        ('net = "conv"\n[train]\nlearning = 1', "no option of training 'learning'"),
        ('net = "conv"\n[train]\nlr = "x"', "lr is 'x'; it must be a number"),
        ('net = "conv"\n[train]\nlr = -1', "lr is -1; it must be a number from"),
    ],
)
def test_wrong_toml_is_a_sentence(tmp_path, text, said):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(InputError, match=said):
        read_recipe(tmp_path / "r.toml")
