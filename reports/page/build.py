"""One HTML file of a template, a style and a script, with all data in it."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from reports.page import data, speed
from reports.page.gather import Gathered

FOLDER = Path(__file__).parent


def html(gathered: Gathered, bench: Path = speed.FOLDER) -> str:
    """The page. It loads nothing and sends nothing: its own policy (CSP) forbids that, and any script but this one."""
    style, code = (Markup((FOLDER / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filled = data.template(gathered)
    figures, unusable = speed.read(bench)
    filled["refused"] = (*filled["refused"], *unusable)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        filled | {"data": island(filled["data"])},
        plots=[(plot, Markup(plot.svg)) for plot in speed.plots(figures)],
        style=style,
        script=code,
        digest=digest,
    )


def island(value: Any) -> Markup:
    """JSON to stand in a `<script>` element: no `<` and no `&`, so that no text of a claim or a message can end it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
