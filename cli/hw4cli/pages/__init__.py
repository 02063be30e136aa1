"""Pages in one file: styles, scripts and data are inside, and no other host is contacted.

The files beside this one are the parts. `vendor/` holds what others wrote, with its licences.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from hw4cli.json_record import plain

SELF, NOBODY = "'self'", "'none'"
SHARED_SCRIPTS = (
    "vendor/d3.min.js",
    "elements.js",
    "figure_layers.js",
    "figure_paths.js",
    "figure_reading.js",
    "figure_editing.js",
    "figure.js",
    "map.js",
)


@cache
def part(name: str) -> str:
    """The text of a file beside this one."""
    return files("hw4cli.pages").joinpath(name).read_text(encoding="utf-8")


def page(
    title: str,
    body: str,
    styles: Sequence[str],
    scripts: Sequence[str],
    data: Mapping[str, Any],
    connects: bool = False,
) -> str:
    """The HTML of a page.

    body        its HTML, in which texts are escaped
    styles, scripts    parts that come after the shared ones; scripts share one scope
    data        what scripts read as `PAGE`
    connects    whether it may open a socket to its own server; it may not contact other hosts
    """
    shared = part(SHARED_SCRIPTS[0])
    own = '"use strict";\n' + "\n".join(part(name) for name in (*SHARED_SCRIPTS[1:], *scripts))
    policy = "; ".join(
        (
            "default-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            f"script-src {_digest(shared)} {_digest(own)}",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            f"connect-src {SELF if connects else NOBODY}",
        )
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{html.escape(title)}</title>
<link rel="icon" href="data:image/svg+xml,{ICON}">
<style>{"".join(map(part, ("page.css", *styles)))}</style>
<style id="figure-style">{part("figure.css")}</style>
</head>
<body>
{body}
<script type="application/json" id="page-data">{_embedded(data)}</script>
<script>{shared}</script>
<script>{own}</script>
</body>
</html>
"""


ICON = (
    "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 14 C5 14 5 3 15 2' fill='none' "
    "stroke='%230072b2' stroke-width='2.4'/%3E%3Ccircle cx='9' cy='12' r='2.2' fill='%23d55e00'/%3E%3C/svg%3E"
)


def _digest(script: str) -> str:
    """What a policy calls the script that alone may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON that no HTML parser ends early."""
    text = json.dumps(plain(data), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
