"""The value of --gamma: a number, one per column or component, or each."""

from __future__ import annotations

from dataclasses import dataclass

import click

EACH = "each"


@dataclass(frozen=True)
class NamedGammas:
    """One gamma per column, or component of a sum: NAME=G,… as given; none for `each`, where all are chosen."""

    given: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        return ",".join(f"{name}={repr(gamma).removesuffix('.0')}" for name, gamma in self.given) or EACH


def gamma_of(
    context: click.Context, parameter: click.Parameter, text: str | float | None
) -> float | NamedGammas | None:
    """Parse a number, NAME=G,… or each."""
    from hw4opt.errors import shortened

    if not isinstance(text, str):
        return text
    if text.strip() == EACH:
        return NamedGammas()
    pairs = [part.strip().rpartition("=") for part in text.split(",")]
    try:
        if len(pairs) == 1 and not pairs[0][1]:
            return float(text)
        given = tuple((name.strip(), float(gamma)) for name, _, gamma in pairs)
    except ValueError:
        given = (("", 0.0),)
    twice = next((name for place, (name, _) in enumerate(given) if name in dict(given[:place])), None)
    if twice:
        raise click.BadParameter(f"{shortened(text)!r}: {twice!r} is given twice")
    if not all(name for name, _ in given):
        raise click.BadParameter(
            f"{shortened(text)!r}: give a number, one per column or component, as dose=20,age=0.1, or each"
        )
    return NamedGammas(given)
