"""Entry point of `hw4opt`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import MappingProxyType

import click

from hw4cli.exit_status import Exit
from hw4cli.opt.options import version
from hw4cli.program import CommandGroup, Commands, run
from hw4cli.translate import translate

OPT_GROUPS = (
    CommandGroup(
        "Fit",
        {
            "solve": "Fit a penalised or shape-constrained regression, and prove it.",
            "check": "Solve one problem with every solver and compare.",
            "predict": "Predict with a saved model.",
            "path": "Fits and held-out errors along one hyper-parameter.",
        },
        "hw4opt solve dose.csv --x dose --y response --loss huber --plot fit.png",
    ),
    CommandGroup(
        "Inspect and report",
        {
            "explore": "An interactive page: drag points and sliders, see the fit.",
            "report": "A fit as one self-contained HTML file.",
        },
        "hw4opt report dose.csv --x dose --y response --out report.html",
    ),
    CommandGroup(
        "Counts from a mixture",
        {"em": "A listener's moods from play counts, and a playlist for each."},
        "hw4opt em songs.csv --y plays --x tempo,mood --k 2 --playlists lists",
    ),
    CommandGroup(
        "The assignment",
        {"reproduce": "Part 2 of the assignment, every figure and number."},
        "hw4opt reproduce --out part2",
    ),
)
OPT_EPILOG = """\b
Exit status: 0 certified · 1 an answer without proof, or solvers that disagree
             2 wrong input or usage · 130 interrupted
Messages count rows from 1, without the header; the JSON counts from 0.
Completion: eval "$(_HW4OPT_COMPLETE=bash_source hw4opt)"
            (zsh: zsh_source, fish: fish_source)"""


class OptCommands(Commands):
    """The commands of this folder."""

    groups, package = OPT_GROUPS, "hw4cli.opt"
    modules = MappingProxyType({"report": "report_command"})

    def unknown(self, name: str) -> Exception:
        """The exception for a name that is not a command."""
        from hw4opt import UnknownNameError

        return UnknownNameError("command", name, self.texts)


@click.group(
    cls=OptCommands, epilog=OPT_EPILOG, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]}
)
@version
def app() -> None:
    """Penalised and shape-constrained regression, with several solvers and a proof of every answer.

    `hw4opt solve --loss huber --reg tv` runs on built-in data.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run(app, "hw4opt", arguments, _classify)


def _classify(error: Exception) -> tuple[str, Exit] | None:
    from hw4opt import Hw4Error, NotCertifiedError

    if isinstance(error, Hw4Error):
        return translate(str(error), getattr(error, "row", None)), Exit.UNPROVEN if isinstance(
            error, NotCertifiedError
        ) else Exit.WRONG
    return None


if __name__ == "__main__":
    sys.exit(main())
