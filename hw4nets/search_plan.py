"""The plan of a search of hyper-parameters, its space, trials and findings."""

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
    """A search of `space` around a recipe, with `trials` in all (those of an earlier call counted), seeded."""

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
        """On which images trials are compared: validation, or test where that is asked for."""
        return "test" if self.recipe.config.select == "test" else "validation"


@dataclass(frozen=True)
class Trial:
    """The values of one trial, and how it ended.

    accuracy   on the images of `Plan.judged_on` at the last epoch, or the last seen where it was pruned; None where
               the trial could not run
    epochs     how many it was trained for
    ended      one of TRIAL_ENDINGS
    """

    number: int
    values: Mapping[str, Any]
    accuracy: float | None
    epochs: int
    ended: str


@dataclass(frozen=True)
class Findings:
    """All trials, the best finished one as a recipe, and what decides whether a trial is among the best.

    importances    parts of 1, by how the values of the best tenth differ from those of all
                   (PED-ANOVA: Watanabe, Bansal and Hutter 2023)
    """

    trials: tuple[Trial, ...]
    best: Recipe
    accuracy: float
    importances: Mapping[str, float]


def default_space(recipe: Recipe) -> dict[str, Domain]:
    """Every option of training and network that has a domain; the recipe's own value is among the choices."""
    own = recipe.options
    items = [*settings_of(Config), *settings_of(type(recipe.shape))]
    domains = {item.name: item.metadata["search"] for item in items}
    return {name: _including(domain, own[name]) for name, domain in domains.items() if domain is not None}


def _including(domain: Domain, value: Any) -> Domain:
    if isinstance(domain, Range):
        return domain
    # of a network with a setting for each group, the choices for as many groups
    choices = tuple(choice for choice in domain if not isinstance(value, list) or len(choice) == len(value))
    return choices if contains(choices, value) else (*choices, value)


def contains(domain: Domain, value: Any) -> bool:
    """Whether the value is one that can be drawn."""
    if isinstance(domain, Range):
        return domain.low <= value <= domain.high
    return json.dumps(value) in [json.dumps(choice) for choice in domain]
