"""Layers and blocks, settings shared by several networks, and sizes of outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hw4nets.errors import InputError
from hw4nets.settings import Range, setting

WIDTH_LIMITS = (1, 1_000_000)  # of filters and of hidden units
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}
MONOTONE_ACTIVATIONS = ("relu", "sigmoid")
POOLS: dict[str, Callable[[int], nn.Module]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
WHITENING_CHOICES = ("no", "start", "fixed")
WHITENING_BATCH_SIZE = 250  # images whose patches are in memory at a time
VARIANCE_OFFSET = 5e-4  # added to a patch's variance before taking the root, in squared units of normalised pixels


# ---- settings that several networks share ----------------------------------------------------------------------------


def activation_setting() -> str:
    """Field `activation`."""
    return setting("relu", "Nonlinearity.", choices=tuple(ACTIVATIONS), search=tuple(ACTIVATIONS))


def pool_setting() -> str:
    """Field `pool`."""
    return setting("max", "Pooling.", choices=tuple(POOLS), search=tuple(POOLS))


def batch_norm_setting() -> bool:
    """Field `batch_norm`."""
    return setting(False, "Batch normalisation after each linear map but the last.", search=(False, True))


def dropout_setting() -> float:
    """Field `dropout`."""
    text = "Probability that an input of a fully connected layer is dropped."
    return setting(0.0, text, limits=(0, 0.95), search=Range(0.0, 0.5))


def whiten_setting(default: str) -> str:
    """Field `whiten`."""
    text = (
        "Initialise the first filters to whiten image patches: no; start (then train them); fixed (train only biases)."
    )
    return setting(default, text, choices=WHITENING_CHOICES)


# ---- blocks ----------------------------------------------------------------------------------------------------------


def convolution_block(
    convolution: nn.Conv2d, pool_width: int, pool: str, activation: str, batch_norm: bool
) -> list[nn.Module]:
    """A convolution with its normalisation, activation and pool.

    The pool comes first if the result is the same, because less remains to normalise and to activate:
    max(σ(x)) = σ(max(x)) for a monotone σ (not gelu, which decreases below -0.75). With batch normalisation the
    function differs, and the pool comes first as well.
    """
    pooling = POOLS[pool](pool_width)
    activated: list[nn.Module] = [nn.BatchNorm2d(convolution.out_channels)] if batch_norm else []
    activated.append(ACTIVATIONS[activation]())
    pool_first = pool == "max" and activation in MONOTONE_ACTIVATIONS
    return [convolution, pooling, *activated] if pool_first else [convolution, *activated, pooling]


def fully_connected(
    inputs: int, units: Sequence[int], outputs: int, activation: str, batch_norm: bool, dropout: float
) -> list[nn.Module]:
    """Fully connected layers with `units` hidden ones, then `outputs`; no dropout before the first hidden one."""
    layers: list[nn.Module] = []
    for count in units:
        layers += dropout_layers(dropout) if layers else []
        layers.append(nn.Linear(inputs, count))
        layers += [nn.BatchNorm1d(count)] if batch_norm else []
        layers.append(ACTIVATIONS[activation]())
        inputs = count
    return [*layers, *dropout_layers(dropout), nn.Linear(inputs, outputs)]


def dropout_layers(chance: float) -> list[nn.Module]:
    """One dropout layer; none for probability 0."""
    return [nn.Dropout(chance)] if chance else []


class Scale(nn.Module):
    """x ↦ factor · x: scales outputs to suit the loss at the start."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """factor · x, of the shape of x."""
        return x * self.factor


def norm_without_weight(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with an offset and without a factor, which a following ReLU does not need.  (Page 2019.)"""
    norm = nn.BatchNorm2d(channels, momentum=0.4)  # few epochs: running statistics must adapt quickly
    norm.weight.requires_grad_(False)
    return norm


def dirac(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with its first filters set to the identity on each input channel, so that signals and gradients
    pass."""
    nn.init.dirac_(layer.weight.data[: layer.in_channels])
    return layer


# ---- whitening -------------------------------------------------------------------------------------------------------


class WhitenedConv2d(nn.Conv2d):
    """A convolution whose filters are the principal directions of image patches, each once with either sign.

    Filter = ± e_j / sqrt(λ_j + 5e-4), where λ_j, e_j are the largest eigenvalues and eigenvectors of the patches'
    covariance. For `size`² × 3 inputs there are 2·3·size² such filters; with `fixed` no more are possible, else the
    others keep their random weights.   (Page 2019; Jordan 2024.)
    """

    def __init__(self, filters: int, size: int, stride: int = 1, padding: int = 0, fixed: bool = True) -> None:
        super().__init__(3, filters, size, stride, padding)
        self.weight.requires_grad_(not fixed)

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Set the filters from normalised images (n, 3, side, side)."""
        size = self.kernel_size[0]
        values, vectors = torch.linalg.eigh(_patch_covariance(images, size))
        scaled = (vectors / (values.clamp(min=0) + VARIANCE_OFFSET).sqrt()).T.flip(0)  # the largest eigenvalue first
        filters = torch.stack([scaled, -scaled], dim=1).reshape(-1, 3, size, size)[: self.out_channels]
        self.weight[: len(filters)] = filters.to(self.weight)


def _patch_covariance(images: Tensor, size: int) -> Tensor:
    """PᵀP / rows of P, whose rows are the patches of all images; summed over batches, as P is large."""
    total = torch.zeros(3 * size**2, 3 * size**2, dtype=torch.float64, device=images.device)
    for batch in images.split(WHITENING_BATCH_SIZE):
        windows = batch.unfold(2, size, 1).unfold(3, size, 1).permute(0, 2, 3, 1, 4, 5)
        patches = windows.reshape(-1, 3 * size**2).double()
        total += patches.T @ patches
    return total / (len(images) * (images.shape[2] - size + 1) * (images.shape[3] - size + 1))


def first_convolution(filters: int, size: int, whiten: str, padding: int = 0, stride: int = 1) -> nn.Conv2d:
    """The first convolution, whitening or not."""
    if whiten == "no":
        return nn.Conv2d(3, filters, size, stride, padding)
    return WhitenedConv2d(filters, size, stride, padding, fixed=whiten == "fixed")


# ---- sizes -----------------------------------------------------------------------------------------------------------


def check_whitening(filters: int, size: int, whiten: str) -> None:
    """Raise `InputError` for more fixed whitening filters than there are."""
    most = 2 * 3 * size**2
    if whiten == "fixed" and filters > most:
        raise InputError(
            f"whitening patches of {size}×{size} gives at most {most} filters, not {filters}; "
            "take fewer, or whiten start"
        )


def check_length(name: str, values: Sequence[int], count: int) -> None:
    """Raise `InputError` for a setting with more or fewer numbers than `count`."""
    if len(values) != count:
        raise InputError(f"{name} has {len(values)} numbers ({','.join(map(str, values))}); it must have {count}")


def convolved(size: int, filters: int, padding: int = 0, stride: int = 1, what: str = "p") -> int:
    """Side of a convolution's output for `size`×`size`: ⌊(size + 2 padding - filters) / stride⌋ + 1."""
    if filters > size + 2 * padding:
        limit = size + 2 * padding
        raise InputError(f"{what} = {filters} exceeds its input of {size}×{size}; take {what} ≤ {limit}")
    return (size + 2 * padding - filters) // stride + 1


def pooled(size: int, pool: int, what: str = "N") -> int:
    """Side of a pool's output for `size`×`size`: ⌊size / pool⌋."""
    if pool > size:
        raise InputError(f"a pool of {what} = {pool} leaves nothing of {size}×{size}; take {what} ≤ {size}")
    return size // pool
