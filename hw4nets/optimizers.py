"""Parameter groups, the optimizers SGD, AdamW and Muon, schedules of the learning rate, and averages of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hw4nets.config import Config
from hw4nets.errors import InputError

NORM_LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d)
AVERAGE_INTERVAL_STEPS = 5  # steps between two updates of an average
WARMUP_START_FACTOR = 0.2  # factor of the learning rate at the first step of a warm-up
NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan 2024: fast; singular values end in about 0.7 … 1.2

# ---- parameter groups and optimizers ---------------------------------------------------------------------------------


def make_optimizer(model: nn.Module, config: Config, precision: torch.dtype = torch.float32) -> torch.optim.Optimizer:
    """SGD, AdamW or Muon over the groups of `parameter_groups`; each group keeps its own full rate in `initial_lr`.

    precision   of the network's matrix products: Muon's are done in bfloat16 where those are
    """
    check_together(model, config)
    groups = parameter_groups(model, config)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=(config.momentum, 0.999))
    if config.optimizer == "muon":
        return Muon(groups, lr=config.lr, momentum=config.momentum, half=precision is torch.bfloat16)
    return torch.optim.SGD(
        groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov and config.momentum > 0
    )


def check_together(model: nn.Module, config: Config) -> None:
    """Raise `InputError` if network and settings do not fit: Muon without filters, normalisation of one image."""
    if config.optimizer == "muon" and not any(
        weight.ndim == 4 and weight.requires_grad for weight in model.parameters()
    ):
        raise InputError("optimizer muon is for trained filters, and this network has none; take sgd or adamw")
    if config.batch_size == 1 and any(isinstance(layer, NORM_LAYERS) for layer in model.modules()):
        raise InputError("batch normalisation needs a batch of two images or more; batch_size is 1")


def parameter_groups(model: nn.Module, config: Config) -> list[dict[str, Any]]:
    """Filters, other weights, offsets, offsets of normalisation: weight decay on weights only.

    The last group's rate is `norm_bias_lr` times the others'.

    With Muon only filters (4-D) are orthogonalised; all else is updated by SGD at `side_lr`.
    """
    norm_offsets = {id(layer.bias) for layer in model.modules() if isinstance(layer, NORM_LAYERS)}
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    side = config.side_lr if config.optimizer == "muon" else config.lr
    filters = [weight for weight in trained if weight.ndim == 4]
    weights = [weight for weight in trained if weight.ndim in (2, 3)]
    offsets = [weight for weight in trained if weight.ndim < 2 and id(weight) not in norm_offsets]
    norms = [weight for weight in trained if id(weight) in norm_offsets]
    groups = [
        {
            "params": filters,
            "lr": config.lr,
            "weight_decay": config.weight_decay,
            "orthogonal": config.optimizer == "muon",
        },
        {"params": weights, "lr": side, "weight_decay": config.weight_decay, "orthogonal": False},
        {"params": offsets, "lr": side, "weight_decay": 0.0, "orthogonal": False},
        {"params": norms, "lr": side * config.norm_bias_lr, "weight_decay": 0.0, "orthogonal": False},
    ]
    return [group | {"initial_lr": group["lr"]} for group in groups if group["params"]]


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose step on filters is replaced by the nearest orthogonal matrix; SGD elsewhere.

    g ← m g + ∇;  filters as matrices (out, in·p²) keep norm sqrt(out) and move by -lr · orthogonal(∇ + m g), other
    weights by -lr (∇ + m g).
    half    whether the orthogonal matrix is found in bfloat16
    (Jordan 2024. torch's own Muon takes 2-D weights only and always works in bfloat16, slow on CPUs without it.)
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, momentum: float, half: bool = False) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "orthogonal": False})
        self.products = torch.bfloat16 if half else torch.float32

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step from the current gradients, or those of `closure`; returns its loss, None without it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)
        return loss

    def _move(self, weight: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> None:
        if not group["orthogonal"]:
            gradient = gradient.add(weight, alpha=group["weight_decay"])
        if "momentum_buffer" not in self.state[weight]:
            self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        buffer = self.state[weight]["momentum_buffer"]
        buffer.mul_(group["momentum"]).add_(gradient)
        step = gradient.add(buffer, alpha=group["momentum"])
        if group["orthogonal"]:
            weight.mul_(math.sqrt(len(weight)) / weight.norm())
            step = orthogonal(step.reshape(len(step), -1), self.products).view(step.shape)
        weight.add_(step, alpha=-group["lr"])


def orthogonal(matrix: Tensor, products: torch.dtype = torch.float32, steps: int = 5) -> Tensor:
    """Approximately U Vᵀ of matrix = U S Vᵀ (m, n), by Newton-Schulz: X ← P X with P = a I + b XXᵀ + c (XXᵀ)².

    All P are polynomials of the first XXᵀ and commute with it, so that XXᵀ ← P XXᵀ P needs no X: of the products with
    the longer side two are left, XXᵀ at the start and (P₅ ⋯ P₁) X at the end.

    products   the precision of X and of the last product; the others are done in float32 or better, for a rounded XXᵀ
               has eigenvalues below 0, which grow
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    x = matrix.to(products)
    x = x / (x.norm() + 1e-7)
    wide = x.T if len(x) > x.shape[1] else x
    rows = wide.to(torch.promote_types(products, torch.float32))
    gram = rows @ rows.T
    whole = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    for _ in range(steps):
        step = b * gram + c * gram @ gram
        step.diagonal().add_(a)
        gram, whole = step @ gram @ step, step @ whole
    wide = whole.to(products) @ wide
    return (wide.T if len(x) > x.shape[1] else wide).to(matrix.dtype)


# ---- schedules -------------------------------------------------------------------------------------------------------


def factor(config: Config, step: int, total: int) -> float:
    """The factor of the learning rate at `step` of `total`, in 0 … 1: a warm-up, then constant, linear or cosine decay.

    triangular   1 at the end of the warm-up, `final_lr` after the last step, linear in between
    """
    rise = config.warmup * total
    if step < rise:
        return WARMUP_START_FACTOR + (1 - WARMUP_START_FACTOR) * step / rise
    done = (step - rise) / max(total - rise, 1)
    if config.schedule == "constant":
        return 1.0
    left = 1 - done if config.schedule == "triangular" else (1 + math.cos(math.pi * done)) / 2
    return config.final_lr + (1 - config.final_lr) * left


def why_no_more_epochs(config: Config) -> str:
    """Why a run cannot continue beyond its number of epochs, "" if it can: its steps depend on that number.

    A continued run equals one of more epochs from the start, except for one more update of an average `ema`.
    """
    fixed = {
        f"the schedule {config.schedule}": config.schedule != "constant",
        "a warm-up": config.warmup > 0,
        "lookahead": config.average == "lookahead",
        "start_scale": config.start_scale < 1,
    }
    if not (names := [name for name, holds in fixed.items() if holds]):
        return ""
    return f"with {' and '.join(names)} the steps depend on the number of epochs; `init` starts a run with its weights"


def scale_rates(optimizer: torch.optim.Optimizer, times: float) -> None:
    """Set every group's learning rate to its full rate × `times`."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * times


# ---- averages --------------------------------------------------------------------------------------------------------


class Averaging:
    """An average a of a network's weights and running statistics w, updated the t-th time after step 5 t.

    none        no average
    ema         a ← d a + (1-d) w with d = min(decay, (1+t)/(10+t)): the averages are tested, the weights trained
    lookahead   a ← d a + (1-d) w, then w ← a, with d rising to `decay` as (step/total)³; at the last step w ← a
                (Zhang 2019; Jordan 2024)
    """

    def __init__(self, model: nn.Module, kind: str, decay: float) -> None:
        self.kind, self.decay = kind, decay
        self.tensors = _floats(model)
        self.average = [tensor.clone() for tensor in self.tensors] if kind != "none" else []

    @torch.no_grad()
    def step(self, step: int, total: int) -> None:
        """Update after training step `step` = 1 … total."""
        if self.kind == "none" or (step % AVERAGE_INTERVAL_STEPS and step != total):
            return
        if self.kind == "ema":
            keep = min(self.decay, (1 + step / AVERAGE_INTERVAL_STEPS) / (10 + step / AVERAGE_INTERVAL_STEPS))
            self._follow(1 - keep)
            return
        if step < total:
            self._follow(1 - self.decay * (step / total) ** 3)
        _copy(self.average, self.tensors)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the network has the weights to be tested."""
        if self.kind != "ema":
            yield
            return
        trained = [tensor.clone() for tensor in self.tensors]
        _copy(self.average, self.tensors)
        try:
            yield
        finally:
            _copy(trained, self.tensors)

    def adopt(self) -> None:
        """Replace the network's weights permanently by those tested."""
        if self.kind == "ema":
            _copy(self.average, self.tensors)

    def _follow(self, part: float) -> None:
        for average, tensor in zip(self.average, self.tensors, strict=True):
            average.lerp_(tensor, part)

    def state_dict(self) -> dict[str, Any]:
        """The entries for a checkpoint."""
        return {"average": list(self.average)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the entries of a checkpoint."""
        _copy(state["average"], self.average)


@torch.no_grad()
def _copy(source: Iterable[Tensor], target: Iterable[Tensor]) -> None:
    for tensor, destination in zip(source, target, strict=True):
        destination.copy_(tensor)


def _floats(model: nn.Module) -> list[Tensor]:
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
