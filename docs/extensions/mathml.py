"""Formulas as MathML, which browsers draw by themselves: no script, and no other host."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(_mathml(node))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="formula">{_mathml(node, display="block")}</div>')
    raise nodes.SkipNode


def _mathml(node: nodes.Element, **form: str) -> str:
    written = convert(node.astext().strip(), **form)
    if "\\" in written:
        raise ValueError(f"a command of this formula is not known: {node.astext()}")
    return written


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
