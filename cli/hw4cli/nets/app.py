"""Entry point of `hw4nets`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

import click

from hw4cli.exit_status import Exit, say
from hw4cli.options import verbose_option, version_option
from hw4cli.program import CommandGroup, Commands, run

NETS_GROUPS = (
    CommandGroup(
        "Train",
        {
            "train": "Train a network; curves, checkpoints and figures in one folder.",
            "search": "Choose hyper-parameters on held-out training images.",
        },
        "hw4nets train --net fast --out fast",
    ),
    CommandGroup(
        "Use",
        {
            "evaluate": "Accuracy, confusions and worst mistakes of a trained network.",
            "predict": "Predict the classes of images with a trained network.",
            "export": "Write a trained network as an ONNX file.",
        },
        "hw4nets predict fast photo.jpg pictures/ --resize --out classes.csv",
    ),
    CommandGroup(
        "Compare and report",
        {
            "plot": "Compare runs: a table, and their curves in one figure.",
            "report": "Runs as one self-contained HTML file.",
        },
        "hw4nets report fast conv --out runs.html",
    ),
    CommandGroup(
        "Images",
        {"data": "Download, verify and show the images."},
        "hw4nets data --data official --plot images.png",
    ),
    CommandGroup(
        "The assignment",
        {"reproduce": "Part 3 of the assignment, every figure and number."},
        "hw4nets reproduce --out part3",
    ),
)
NETS_EPILOG = """\b
Exit status: 0 finished · 1 the loss diverged, an image could not be read, or a file not written
             2 wrong input or usage · 130 interrupted
Completion: eval "$(_HW4NETS_COMPLETE=bash_source hw4nets)"
            (zsh: zsh_source, fish: fish_source)"""
PROGRAM = "hw4nets"
EXTRAS = {  # package → the extra that brings it
    **dict.fromkeys(("torch", "torchvision", "matplotlib", "optuna", "tomli_w", "PIL"), "nets"),
    "tensorboard": "tensorboard",
    **dict.fromkeys(("onnx", "onnxscript", "onnxruntime"), "onnx"),
}


class NetsCommands(Commands):
    """The commands of this folder."""

    groups, package = NETS_GROUPS, "hw4cli.nets"

    def unknown(self, name: str) -> Exception:
        """The exception for a command that does not exist."""
        from hw4nets import UnknownNameError

        return UnknownNameError("command", name, self.texts)


@click.group(
    cls=NetsCommands,
    epilog=NETS_EPILOG,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@version_option(PROGRAM)
@verbose_option(PROGRAM)
def app() -> None:
    """Train, choose and evaluate the CIFAR-10 networks of the assignment.

    `hw4nets train --net fast --data synthetic --out first` runs in seconds on built-in images.
    """


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    if find_spec("torch") is None:
        say(PROGRAM, _not_installed("torch"))
        return Exit.WRONG
    return run(app, PROGRAM, words, _judge)


def _not_installed(package: str) -> str:
    return f"{package} is not installed; it comes with the extra: pip install 'hw4opt[{EXTRAS[package]}]'"


def _judge(error: Exception) -> tuple[str, Exit] | None:
    from hw4nets.errors import CheckpointError, InputError, NetsError, out_of_memory

    if out_of_memory(error):
        from hw4cli.nets.outputs import LITTLE_MEMORY

        return LITTLE_MEMORY, Exit.UNPROVEN
    if isinstance(error, NetsError):
        return str(error), Exit.WRONG if isinstance(error, InputError | CheckpointError) else Exit.UNPROVEN
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing in EXTRAS:
        return _not_installed(missing), Exit.WRONG
    return None


if __name__ == "__main__":
    sys.exit(main())
