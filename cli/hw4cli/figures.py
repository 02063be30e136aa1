"""Writing figures: with text as text in SVG and PDF, and with the user's matplotlib style."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

# TrueType (42) in PDF, and in SVG text elements in place of outlines: both can be searched, copied and edited
WRITTEN = {"savefig.dpi": 150, "svg.fonttype": "none", "pdf.fonttype": 42}


def read_style(path: str) -> dict[Any, Any]:
    """The parameters in a matplotlib style file; raises `click.UsageError` for one that is not."""
    import matplotlib

    faults: list[str] = []
    collector = logging.Handler()
    collector.emit = lambda record: faults.append(record.getMessage())
    log = logging.getLogger("matplotlib")
    passed_on, log.propagate = log.propagate, False
    log.addHandler(collector)
    try:
        with open(path, encoding="utf-8"):
            pass
        style = dict(matplotlib.rc_params_from_file(path, use_default_template=False))
    except UnicodeDecodeError as error:
        raise click.UsageError(f"--style {path} is not a matplotlib style: byte {error.start} is not UTF-8") from error
    except OSError as error:
        raise click.UsageError(f"cannot read --style {path}: {error.strerror or error}") from error
    finally:
        log.removeHandler(collector)
        log.propagate = passed_on
    if faults:
        raise click.UsageError(f"--style {path} is not a matplotlib style: {' '.join(faults[0].split())}")
    return style


@contextmanager
def styled(style: Mapping[Any, Any]) -> Iterator[None]:
    """matplotlib's parameters while a figure is made and written."""
    from matplotlib import rc_context

    parameters: dict[Any, Any] = {**WRITTEN, **style}
    with rc_context(parameters):
        yield


def check_style(style: str | None, plot: str | None) -> None:
    """Raise `click.UsageError` for an invalid style, or a style without a figure."""
    if style is not None:
        if plot is None:
            raise click.UsageError(f"--style {style} is for the figure of --plot; give --plot, too, or drop it")
        read_style(style)
