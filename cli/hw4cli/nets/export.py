"""`hw4nets export`: a trained network as an ONNX file."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from hw4cli.exit_status import Exit
from hw4cli.nets.options import CHECKPOINT, REPORTING, SEED, Writing, options, take
from hw4cli.nets.outputs import check_outputs, recorded, show, write_json
from hw4cli.output_paths import Files
from hw4nets.export import INPUT_NAME, OUTPUT_NAME, export

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@click.command("export")
@click.argument("run", metavar="RUN")
@click.option("--out", required=True, metavar="ONNX", help="The file to write.")
@CHECKPOINT
@options(SEED, REPORTING)
def command(run: str, out: str, checkpoint: str, seed: int, **given: Any) -> int:
    """Write a trained network as an ONNX file, from pixels (uint8, n × 3 × side × side) to probabilities.

    It is written only if onnxruntime gives the same probabilities as the network.
    """
    for package in PACKAGES:
        import_module(package)
    writing = take(Writing, given)
    check_outputs(writing, {}, Files(f"--out {out}", out), runs=[run])
    with recorded(writing, seed):
        found = export(run, out, checkpoint)
    message = "onnxruntime gives the network's probabilities"
    record = {"status": "certified", "message": message, "out": out, "largest_difference": found.difference}
    write_json(writing, seed, None, record | {"classes": found.classes, "image_side": found.side})
    rows = [
        ("input", f"{INPUT_NAME}, uint8, n × 3 × {found.side} × {found.side}"),
        ("output", f"{OUTPUT_NAME}, float32, n × {len(found.classes)}"),
        ("largest difference", f"{found.difference:.2g} from the network, in onnxruntime, on random images"),
    ]
    show(writing, f"{run} as {out}", ("", ""), rows)
    return Exit.CERTIFIED
