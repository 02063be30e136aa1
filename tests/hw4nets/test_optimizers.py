"""Steps against their formulas written out, schedules at their corners, averages against plain sums."""

import copy
import math

import pytest
import torch
from torch import nn

from hw4nets.config import Config
from hw4nets.models import Base, Fast, build
from hw4nets.optimizers import (
    AVERAGE_INTERVAL_STEPS,
    WARMUP_START_FACTOR,
    Averaging,
    factor,
    make_optimizer,
    orthogonal,
    parameter_groups,
    scale_rates,
)


@pytest.fixture
def model():
    return build(Base(batch_norm=True), 0)


def backward(model, seed=0):
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    model.zero_grad()
    nn.functional.cross_entropy(model(x), torch.arange(8)).backward()


def test_groups_hold_every_trained_weight_once_and_offsets_do_not_decay():
    model = build(Fast(widths=(4, 4, 4)), 0)
    groups = parameter_groups(model, Config(lr=0.1, norm_bias_lr=64, weight_decay=0.01))
    held = [id(one) for group in groups for one in group["params"]]
    assert sorted(held) == sorted(id(one) for one in model.parameters() if one.requires_grad)
    for group in groups:
        assert (group["weight_decay"] > 0) == all(one.ndim > 1 for one in group["params"])
    assert groups[-1]["lr"] == pytest.approx(6.4) and len(groups[-1]["params"]) == 6


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_is_its_formula(model, nesterov):
    config = Config(lr=0.1, momentum=0.7, nesterov=nesterov, weight_decay=0.03)
    optimizer = make_optimizer(model, config)
    expected = {one: one.detach().clone() for one in model.parameters()}
    moving = {one: torch.zeros_like(one) for one in expected}
    for seed in range(3):
        backward(model, seed)
        for weight in expected:
            gradient = weight.grad + (0.03 * weight.detach() if weight.ndim > 1 else 0)
            moving[weight] = 0.7 * moving[weight] + gradient
            expected[weight] = expected[weight] - 0.1 * (
                gradient + 0.7 * moving[weight] if nesterov else moving[weight]
            )
        optimizer.step()
        assert all(torch.allclose(weight, expected[weight], atol=1e-6) for weight in expected)


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (16, 16)])
def test_orthogonal_keeps_the_directions_and_evens_the_sizes(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, sizes, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = orthogonal(matrix)
    ours = torch.diag(left.T @ turned @ right.T)
    assert turned.shape == shape and turned.dtype == torch.float32
    assert torch.allclose(left.T @ turned @ right.T, torch.diag(ours), atol=1e-4)
    assert ours.min() > 0.3 and ours.max() < 1.3 and sizes.max() / sizes.min() > 1.5


@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_orthogonal_of_nearly_low_rank_is_bounded(rank, precision):
    generator = torch.Generator().manual_seed(rank)
    left, right, noise = (torch.randn(shape, generator=generator) for shape in [(48, rank), (rank, 216), (48, 216)])
    sizes = torch.linalg.svdvals(orthogonal(left @ right + 1e-3 * noise, precision))
    assert sizes.max() < 1.4 and sizes[rank - 1] > 0.5


def test_muon_works_in_the_precision_of_the_network(model):
    """Weights are never rounded; Newton-Schulz multiplies the rounding of small singular values by up to 3.4 a step."""
    config, steps = Config(optimizer="muon", lr=0.02, side_lr=0.1), {}
    for precision in (torch.float32, torch.bfloat16, torch.float16):
        net = copy.deepcopy(model)
        before = net[0].weight.detach() * math.sqrt(len(net[0].weight)) / net[0].weight.detach().norm()
        optimizer = make_optimizer(net, config, precision)
        backward(net)
        optimizer.step()
        assert net[0].weight.dtype == torch.float32
        steps[precision] = (net[0].weight.detach() - before) / 0.02
    assert torch.equal(steps[torch.float16], steps[torch.float32]) and not torch.equal(
        steps[torch.bfloat16], steps[torch.float32]
    )
    assert (steps[torch.bfloat16] - steps[torch.float32]).norm() < 0.1 * steps[torch.float32].norm()


def test_muon_moves_filters_by_an_orthogonal_step_and_the_rest_by_sgd(model):
    config = Config(optimizer="muon", lr=0.02, side_lr=0.1, momentum=0.6, weight_decay=0.0)
    optimizer = make_optimizer(model, config)
    backward(model)
    filters, matrix = model[0].weight, model[9].weight
    before = [one.detach().clone() for one in (filters, matrix)]
    optimizer.step()
    scaled = before[0] * math.sqrt(len(filters)) / before[0].norm()
    step = orthogonal((filters.grad * 1.6).reshape(len(filters), -1)).view_as(filters)
    assert torch.allclose(filters, scaled - 0.02 * step, atol=1e-5)
    assert torch.allclose(matrix, before[1] - 0.1 * 1.6 * matrix.grad, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_a_step_of_every_optimizer_takes_a_closure(model, name):
    """It gives the loss, and the step is that from the closure's gradients."""
    config, stepped = Config(optimizer=name, lr=0.003, side_lr=0.01), copy.deepcopy(model)
    optimizer, expected = make_optimizer(model, config), make_optimizer(stepped, config)
    backward(stepped)
    expected.step()

    def closure():
        backward(model)
        return 1.5

    assert optimizer.step(closure) == 1.5
    for weight, other in zip(model.parameters(), stepped.parameters(), strict=True):
        assert torch.equal(weight, other)


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_every_optimizer_lowers_the_loss_and_goes_on_from_its_state(model, name):
    config = Config(optimizer=name, lr=0.003, side_lr=0.01)
    x, y = torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 10

    def steps(net, optimizer, count):
        losses = []
        for _ in range(count):
            loss = nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    optimizer = make_optimizer(model, config)
    first = steps(model, optimizer, 12)
    other = build(Base(batch_norm=True), 1)
    resumed = make_optimizer(other, config)
    other.load_state_dict(model.state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # loading shares tensors
    assert first[-1] < first[0]
    assert steps(model, optimizer, 3) == steps(other, resumed, 3)


def test_schedules_at_their_corners():
    triangular = Config(schedule="triangular", warmup=0.25, final_lr=0.1)
    values = [factor(triangular, step, 100) for step in range(100)]
    assert values[0] == WARMUP_START_FACTOR and values[25] == 1 == max(values)
    assert values[-1] == pytest.approx(0.1 + 0.9 / 75) and values[75] == pytest.approx(0.1 + 0.9 * 25 / 75)
    assert values[:26] == sorted(values[:26]) and values[25:] == sorted(values[25:], reverse=True)
    cosine = Config(schedule="cosine", warmup=0.0, final_lr=0.0)
    assert factor(cosine, 0, 100) == 1 and factor(cosine, 50, 100) == pytest.approx(0.5)
    constant = Config(schedule="constant", warmup=0.0)
    assert {factor(constant, step, 100) for step in range(100)} == {1.0}


def test_the_rate_of_every_group_follows_the_schedule(model):
    optimizer = make_optimizer(model, Config(lr=0.2, norm_bias_lr=3))
    scale_rates(optimizer, 0.5)
    assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx([0.1, 0.3])


def weights_of(model):
    return torch.cat([one.reshape(-1) for one in model.state_dict().values() if one.is_floating_point()])


def moved(model, step):
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(step)


def test_an_exponential_average_is_tested_and_the_weights_are_trained():
    model = nn.Linear(2, 2)
    averaging = Averaging(model, "ema", 0.5)
    expected = weights_of(model).clone()
    for step in range(1, 21):
        moved(model, step)
        averaging.step(step, 100)
        if step % AVERAGE_INTERVAL_STEPS == 0:
            keep = min(0.5, (1 + step / AVERAGE_INTERVAL_STEPS) / (10 + step / AVERAGE_INTERVAL_STEPS))
            expected = keep * expected + (1 - keep) * step
    with averaging.applied():
        assert torch.allclose(weights_of(model), expected)
    assert torch.equal(weights_of(model), torch.full((6,), 20.0))
    averaging.adopt()
    assert torch.allclose(weights_of(model), expected)


def test_lookahead_pulls_the_weights_back_and_ends_on_the_average():
    model = nn.Linear(2, 2)
    averaging = Averaging(model, "lookahead", 0.8)
    slow = weights_of(model).clone()
    for step in range(1, 21):
        moved(model, step)
        averaging.step(step, 20)
        if step == 20:
            assert torch.allclose(weights_of(model), slow)
        elif step % AVERAGE_INTERVAL_STEPS == 0:
            keep = 0.8 * (step / 20) ** 3
            slow = keep * slow + (1 - keep) * step
            assert torch.allclose(weights_of(model), slow)


def test_no_average_changes_nothing():
    model = nn.Linear(2, 2)
    averaging = Averaging(model, "none", 0.5)
    before = weights_of(model).clone()
    averaging.step(5, 5)
    with averaging.applied():
        assert torch.equal(weights_of(model), before)
