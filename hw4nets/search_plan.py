"""The plan of a search of hyper-parameters, its space, trials and results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hw4nets.config import Config
from hw4nets.errors import InputError, UnknownNameError
from hw4nets.recipes import Recipe
from hw4nets.settings import Range, settings_of

Domain = Range | tuple[Any, ...]  # of one option: an interval, or the values themselves
Space = Mapping[str, Domain]
SAMPLERS = ("tpe", "random")
TRIAL_ENDINGS = ("finished", "pruned", "impossible", "diverged")


@dataclass(frozen=True)
class Plan:
    """A seeded search of `space` around a recipe, of `trials` in total, including those of an earlier call."""

    recipe: Recipe
    space: Space
    trials: int = 30
    sampler: str = "tpe"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise UnknownNameError("sampler", self.sampler, SAMPLERS)
        if self.trials < 1:
            raise InputError(f"trials is {self.trials}; it must be 1 or more")

    @property
    def judged_on(self) -> str:
        """The images that trials are compared on: validation, or test on request."""
        return "test" if self.recipe.config.select == "test" else "validation"


@dataclass(frozen=True)
class Trial:
    """The values of one trial, and how it ended.

    accuracy   on the images of `Plan.judged_on` at the last epoch, or the last one before it was pruned; None if the
               trial could not run
    epochs     number of epochs trained
    ended      one of TRIAL_ENDINGS
    """

    number: int
    values: Mapping[str, Any]
    accuracy: float | None
    epochs: int
    ended: str


@dataclass(frozen=True)
class Findings:
    """All trials, the best finished one as a recipe, and the importance of each option.

    importances    sum to 1, from the difference between the values of the best tenth and those of all
                   (PED-ANOVA: Watanabe, Bansal and Hutter 2023)
    """

    trials: tuple[Trial, ...]
    best: Recipe
    accuracy: float
    importances: Mapping[str, float]


def default_space(recipe: Recipe) -> dict[str, Domain]:
    """Every option of training and network with a range or choices, which include the recipe's own value."""
    own = recipe.options
    items = [*settings_of(Config), *settings_of(type(recipe.shape))]
    domains = {item.name: item.metadata["search"] for item in items}
    return {name: _including(domain, own[name]) for name, domain in domains.items() if domain is not None}


def _including(domain: Domain, value: Any) -> Domain:
    if isinstance(domain, Range):
        return domain
    # for a network with one value per group, the choices with as many groups
    choices = tuple(choice for choice in domain if not isinstance(value, list) or len(choice) == len(value))
    return choices if contains(choices, value) else (*choices, value)


def contains(domain: Domain, value: Any) -> bool:
    """Whether the value can be drawn."""
    if isinstance(domain, Range):
        return domain.low <= value <= domain.high
    return json.dumps(value) in [json.dumps(choice) for choice in domain]
