"""Shapes and counts from the assignment's formulas; every option has its effect; impossible sizes are named."""

import math

import pytest
import torch
from torch import nn

from hw4nets import layers
from hw4nets.data import normalize
from hw4nets.errors import InputError, UnknownNameError
from hw4nets.layers import WhitenedConv2d
from hw4nets.models import (
    NETS,
    Base,
    Conv,
    Fast,
    Hidden,
    Logistic,
    build,
    flops_per_image,
    net,
    parameter_count,
    whiten,
)
from hw4nets.settings import Range, settings_of

SMALL = {"hidden": {"M": 7}, "conv": {"M": 6}, "fast": {"widths": (4, 6, 8)}}  # others: their defaults


def x(count=2):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_logistic_is_its_formula():
    model = build(Logistic(), 0)
    assert parameter_count(model) == 10 * 3072 + 10 and flops_per_image(model) == 2 * 10 * 3072
    weight, bias = model.parameters()
    assert torch.allclose(model(x()), x().reshape(2, 3072) @ weight.T + bias, atol=1e-5)


@pytest.mark.parametrize("M", [1, 100, 1000])
def test_hidden_is_its_formula(M):
    model = build(Hidden(M=M), 0)
    assert parameter_count(model) == 3072 * M + M + 10 * M + 10 and flops_per_image(model) == 2 * (3072 * M + 10 * M)
    W1, b1, W2, b2 = model.parameters()
    assert torch.allclose(model(x()), (x().reshape(2, 3072) @ W1.T + b1).clamp(min=0) @ W2.T + b2, atol=1e-5)


@pytest.mark.parametrize(("M", "p", "N"), [(100, 5, 14), (1000, 5, 14), (8, 4, 7), (5, 32, 1), (3, 1, 32), (9, 6, 5)])
def test_conv_has_the_shapes_of_its_formula(M, p, N):
    model = build(Conv(M=M, p=p, N=N), 0)
    side = math.floor((33 - p) / N)
    shapes = [tuple(one.shape) for one in model.parameters()]
    assert shapes == [(M, 3, p, p), (M,), (10, M * side**2), (10,)]
    assert flops_per_image(model) == 2 * (M * 3 * p**2 * (33 - p) ** 2 + 10 * M * side**2)
    W1, b1, W2, b2 = model.parameters()
    convolved = nn.functional.conv2d(x(), W1, b1)
    assert convolved.shape == (2, M, 33 - p, 33 - p)
    expected = nn.functional.max_pool2d(convolved.relu(), N).reshape(2, -1) @ W2.T + b2
    assert torch.allclose(model(x()), expected, atol=1e-4)


def test_base_is_the_tutorials_by_default():
    model = build(Base(), 0)
    shapes = [tuple(one.shape) for one in model.parameters() if one.ndim > 1]
    assert shapes == [(6, 3, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]
    assert parameter_count(model) == 62_006


def test_base_has_every_shape_settable():
    shape = Base(filters=(10, 12), sizes=(3, 4), padding=(1, 2), pools=(2, 3), units=(20, 15))
    assert shape.side() == (16 + 2 * 2 - 4 + 1) // 3
    shapes = [tuple(one.shape) for one in build(shape, 0).parameters() if one.ndim > 1]
    assert shapes == [(10, 3, 3, 3), (12, 10, 4, 4), (20, 12 * 5 * 5), (15, 20), (10, 15)]


def test_fast_has_its_shape_settable():
    model = build(Fast(widths=(5, 7), depths=(1, 3), pools=(1, 4), stem_filters=9, stem_size=4, stem_stride=2), 0)
    shapes = [tuple(one.weight.shape) for one in model.modules() if isinstance(one, nn.Conv2d)]
    assert shapes == [(9, 3, 4, 4), (5, 9, 3, 3), (7, 5, 3, 3), (7, 7, 3, 3), (7, 7, 3, 3)]
    assert model(x()).shape == (2, 10)


@pytest.mark.parametrize("name", NETS)
def test_gradients_flow_to_every_weight_that_is_trained(name):
    model = build(net(name, SMALL.get(name, {})), 0)
    nn.functional.cross_entropy(model(x(16)), torch.arange(16) % 10).backward()
    for label, weight in model.named_parameters():
        assert (weight.grad is None) != weight.requires_grad, label
        assert weight.grad is None or float(weight.grad.abs().max()) > 0, label


OPTIONS = [
    ("hidden", {"activation": "sigmoid"}, nn.Sigmoid),
    ("hidden", {"activation": "gelu"}, nn.GELU),
    ("hidden", {"batch_norm": True}, nn.BatchNorm1d),
    ("hidden", {"dropout": 0.5}, nn.Dropout),
    ("conv", {"activation": "sigmoid"}, nn.Sigmoid),
    ("conv", {"pool": "average"}, nn.AvgPool2d),
    ("conv", {"batch_norm": True}, nn.BatchNorm2d),
    ("conv", {"dropout": 0.5}, nn.Dropout),
    ("conv", {"whiten": "fixed"}, WhitenedConv2d),
    ("base", {"activation": "gelu"}, nn.GELU),
    ("base", {"pool": "average"}, nn.AvgPool2d),
    ("base", {"batch_norm": True}, nn.BatchNorm2d),
    ("base", {"dropout": 0.5}, nn.Dropout),
    ("base", {"whiten": "start"}, WhitenedConv2d),
    ("fast", {"activation": "gelu"}, nn.GELU),
    ("fast", {"pool": "average"}, nn.AvgPool2d),
    ("fast", {"dropout": 0.5}, nn.Dropout),
]


@pytest.mark.parametrize(("name", "option", "layer"), OPTIONS)
def test_an_option_brings_its_layer_and_changes_the_output(name, option, layer):
    plain, changed = (build(net(name, SMALL.get(name, {}) | more), 0) for more in ({}, option))
    assert any(isinstance(one, layer) for one in changed) and not any(isinstance(one, layer) for one in plain)
    whiten(changed, x(50))
    torch.manual_seed(0)
    assert not torch.equal(plain(x()), changed(x()))


def other_value(item):
    """A value of a setting that is not its default: another choice, or one of those that are searched."""
    if item.metadata["choices"]:
        return next(choice for choice in item.metadata["choices"] if choice != item.default)
    if isinstance(where := item.metadata["search"], Range):
        return where.low if where.low != item.default else where.high
    return next(value for value in where if value != item.default)


CHOSEN = [
    (name, item)
    for name in NETS
    for item in settings_of(NETS[name])
    if item.metadata["choices"] or item.metadata["search"]
]


@pytest.mark.parametrize(("name", "item"), CHOSEN, ids=[f"{name}-{item.name}" for name, item in CHOSEN])
def test_every_option_that_can_be_chosen_or_searched_changes_the_output(name, item):
    small = {one: value for one, value in SMALL.get(name, {}).items() if one != item.name}
    plain, changed = (build(net(name, small | more), 0) for more in ({}, {item.name: other_value(item)}))
    whiten(plain, x(50))
    whiten(changed, x(50))
    torch.manual_seed(0)
    assert not torch.equal(plain(x()), changed(x()))


def test_whitened_filters_whiten_patches(small):
    model = build(Fast(stem_filters=24, widths=(4,), depths=(1,), pools=(2,)), 0)
    images = normalize(torch.from_numpy(small.train.pixels))
    whiten(model, images)
    layer = model[0]
    assert (
        isinstance(layer, WhitenedConv2d)
        and not layer.weight.requires_grad
        and layer.bias is not None
        and layer.bias.requires_grad
    )
    out = nn.functional.conv2d(images, layer.weight).permute(1, 0, 2, 3).reshape(24, -1).double()
    covariance = out @ out.T / out.shape[1]
    assert torch.allclose(covariance[::2, ::2], torch.eye(12, dtype=torch.double), atol=0.02)
    assert torch.allclose(layer.weight[::2], -layer.weight[1::2])


def test_whitening_a_few_images_at_a_time_is_whitening_them_together(small, monkeypatch):
    images = normalize(torch.from_numpy(small.train.pixels))
    whole, parts = (build(Conv(M=20, whiten="fixed"), 0) for _ in range(2))
    whiten(whole, images)
    monkeypatch.setattr(layers, "WHITENING_BATCH_SIZE", 7)
    whiten(parts, images)
    assert torch.allclose(whole[0].weight, parts[0].weight, atol=1e-6)


def test_a_whitening_start_keeps_drawn_filters_beyond_those_there_are(small):
    model = build(Conv(M=20, p=1, N=14, whiten="start"), 0)
    drawn = model[0].weight[6:].clone()
    whiten(model, normalize(torch.from_numpy(small.train.pixels)))
    assert torch.equal(model[0].weight[6:], drawn) and model[0].weight.requires_grad
    with pytest.raises(InputError, match="1×1 gives at most 6 filters, not 20"):
        build(Conv(M=20, p=1, N=14, whiten="fixed"), 0)


def test_the_seed_draws_the_weights_and_leaves_torchs_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = build(Logistic(), 0), build(Logistic(), 0), build(Logistic(), 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one[1].weight, same[1].weight) and not torch.equal(one[1].weight, other[1].weight)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("cnov", {}, "no network 'cnov' (did you mean 'conv'?); there are logistic, hidden, conv, base, fast"),
        ("conv", {"q": 3}, "no option of conv 'q'; there are M, p, N, activation, pool, batch_norm, dropout, whiten"),
        ("logistic", {"M": 3}, "logistic has no options; leave M out"),
        ("conv", {"p": 33}, "p = 33 exceeds its input of 32×32; take p ≤ 32"),
        ("conv", {"p": 5, "N": 29}, "a pool of N = 29 leaves nothing of 28×28; take N ≤ 28"),
        ("conv", {"M": 0}, "M is 0; it must be a whole number from 1"),
        ("conv", {"M": 2.5}, "M is 2.5; it must be a whole number"),
        ("conv", {"activation": "relo"}, "no activation 'relo' (did you mean 'relu'?); there are relu, sigmoid, gelu"),
        ("conv", {"batch_norm": 1}, "batch_norm is 1; give true or false"),
        ("conv", {"dropout": 1.0}, "dropout is 1.0; it must be a number from 0 to 0.95"),
        ("base", {"filters": (6,)}, "filters has 1 numbers (6); it must have 2"),
        ("base", {"filters": 6}, "filters is 6; give whole numbers, as in 6,16"),
        ("base", {"sizes": (5, 20)}, "sizes = 20 exceeds its input of 14×14"),
        ("base", {"pools": (2, 11)}, "a pool of pools = 11 leaves nothing of 10×10"),
        ("fast", {"widths": (8, 8)}, "depths has 3 numbers (2,2,2); it must have 2"),
        ("fast", {"pools": (4, 4, 4)}, "leaves nothing of 1×1"),
    ],
)
def test_what_cannot_be_is_named(name, given, said):
    with pytest.raises((InputError, UnknownNameError)) as caught:
        net(name, given)
    assert said in str(caught.value)
