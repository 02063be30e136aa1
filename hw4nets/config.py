"""`Config`: how a network is trained, as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass

from hw4nets.settings import Range, Settings, setting

SELECT_CHOICES = ("none", "validation", "test")  # from the most to the least independent test accuracy
PRECISION_CHOICES = ("auto", "float32", "bfloat16", "float16", "float64")
POSITIVE_LIMITS = (1e-12, 1e6)


@dataclass(frozen=True)
class Config(Settings):
    """Everything that determines a training run besides the network, the images and the machine."""

    epochs: int = setting(10, "Passes over the training images.", limits=(1, 100_000))
    batch_size: int = setting(
        128, "Images of a step; an incomplete last batch is dropped.", limits=(1, 50_000), search=(64, 128, 256, 512)
    )
    seed: int = setting(0, "Seed of weights, order and augmentation.", limits=(0, 2**63 - 1))

    init: str = setting(
        "", "Run whose weights are used at the start; layers of other shapes are initialised.", metavar="RUN"
    )

    optimizer: str = setting("sgd", "Method; muon is for networks with convolutions.", choices=("sgd", "adamw", "muon"))
    lr: float = setting(
        0.05,
        "Highest learning rate; with muon that of the filters.",
        limits=POSITIVE_LIMITS,
        search=Range(1e-3, 1.0, log=True),
    )
    momentum: float = setting(0.9, "Momentum; for adamw its first beta.", limits=(0, 0.9999), search=Range(0.5, 0.97))
    nesterov: bool = setting(True, "Nesterov momentum; muon always uses it.")
    weight_decay: float = setting(
        5e-4,
        "Weight decay; not of biases, nor of the filters of muon.",
        limits=(0, 10),
        search=Range(1e-5, 1e-2, log=True),
    )
    norm_bias_lr: float = setting(
        1.0, "Factor of the learning rate for biases of normalisation.", limits=POSITIVE_LIMITS
    )
    side_lr: float = setting(0.05, "With muon: learning rate of all but the filters.", limits=POSITIVE_LIMITS)
    schedule: str = setting(
        "triangular", "Course of the learning rate after the warm-up.", choices=("constant", "triangular", "cosine")
    )
    warmup: float = setting(0.2, "Fraction of the run in which the learning rate rises.", limits=(0, 0.95))
    final_lr: float = setting(0.0, "Last learning rate, as a fraction of the highest; not for constant.", limits=(0, 1))

    label_smoothing: float = setting(
        0.0, "Fraction of a label that is spread over all classes.", limits=(0, 0.9), search=Range(0.0, 0.2)
    )
    augment: str = setting("none", "Comma-separated: flip | alternating_flip, crop:PIXELS, cutout:PIXELS; or none.")
    start_scale: float = setting(
        1.0, "Side of the first epochs' images, which are scaled down, as a fraction of their own.", limits=(0.1, 1)
    )
    full_scale: float = setting(
        0.5, "Fraction of the run after which images have their own side, not that of start_scale.", limits=(0.01, 1)
    )
    average: str = setting("none", "Average of the weights over steps.", choices=("none", "ema", "lookahead"))
    average_decay: float = setting(0.99, "Decay of that average; larger is slower.", limits=(0, 0.999999))
    input_scale: str = setting(
        "standard", "Inputs less mean over deviation of each channel, or less ½ over ½.", choices=("standard", "half")
    )

    select: str = setting(
        "none", "Images that choose the best epoch: none, validation (5,000 held out) or test.", choices=SELECT_CHOICES
    )
    chosen_on: str = setting("none", "Images on which these settings were chosen.", choices=SELECT_CHOICES)

    device: str = setting("auto", "auto, cpu, cuda or cuda:NUMBER.")
    threads: int = setting(0, "CPU threads; 0: the choice of torch.", limits=(0, 4096))
    precision: str = setting(
        "auto",
        "Precision of matrix products (float64: of everything); auto: half on CUDA, measured on a CPU.",
        choices=PRECISION_CHOICES,
    )
    memory_format: str = setting(
        "auto",
        "Memory format of convolutions; auto: measured on a CPU.",
        choices=("auto", "contiguous", "channels_last"),
    )
    compile: bool = setting(False, "Use torch.compile; needs a C++ compiler.")

    @property
    def selected_on(self) -> str:
        """The images on which epoch or settings were chosen, the weaker of the two, as in every report."""
        return weaker_selection(self.select, self.chosen_on)

    @property
    def without_effect(self) -> dict[str, str]:
        """Settings that change nothing beside the others, by name, each with what it would need."""
        uses = {
            "side_lr": (self.optimizer == "muon", "optimizer muon"),
            "final_lr": (self.schedule != "constant", "schedule triangular or cosine"),
            "full_scale": (self.start_scale < 1, "start_scale below 1"),
            "average_decay": (self.average != "none", "average ema or lookahead"),
        }
        return {name: needed for name, (used, needed) in uses.items() if not used}


def weaker_selection(first: str, second: str) -> str:
    """The weaker of two `SELECT_CHOICES`: the one with the less independent test accuracy."""
    return max(first, second, key=SELECT_CHOICES.index)
