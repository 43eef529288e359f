"""One HTML file of a template, a style and a script, with all data in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jinja2
import jsonschema
from markupsafe import Markup

from reports import archive, export, ledger, results
from reports.page import data, speed
from reports.page.gather import Gathered, gather

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "page" / "index.html"

#: Seconds between two looks at the files.
INTERVAL = 0.5


def run(paths: Sequence[Path], form: str, output: Path | None, watch: bool) -> int:
    """Build once, or on and on: `python -m reports build`. Returns the exit code."""
    if not watch:
        _once(paths, form, output)
        return 0
    seen: object = None
    try:
        while True:
            state = _state(paths)
            if state != seen:
                seen = state
                try:
                    _once(paths, form, output)
                except (ledger.LedgerError, results.ResultError) as error:  # half a word is written: the next will do
                    print(f"{type(error).__name__}: {error}", file=sys.stderr)
            time.sleep(INTERVAL)
    except KeyboardInterrupt:
        return 0


def _once(paths: Sequence[Path], form: str, output: Path | None) -> None:
    started = time.monotonic()
    # Drawing figures takes as long as reading results: a second process does it meanwhile.
    with ProcessPoolExecutor(1) as beside:
        figures = beside.submit(speed.read, speed.FOLDER) if form == "html" else None
        gathered = gather(ledger.load(), paths or archive.FOLDER.glob("*.json"))
        text = html(gathered, figures.result) if figures else made(gathered, form)
    if output is None and form == "html":
        output = PAGE
    if output is None:
        print(text, end="")
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        archive.write(output, text)
        size, seconds = len(text.encode()) / 1e6, time.monotonic() - started
        words = f"{len(gathered.runs)} results, {len(gathered.refused)} refused, {size:.1f} MB, {seconds:.1f} s"
        print(f"{output}: {words}", file=sys.stderr)
    for it in gathered.refused:
        print(f"refused: {it.file}: {it.reason}", file=sys.stderr)


def made(gathered: Gathered, form: str) -> str:
    """The text of a format for programs: json, ranges or junit."""
    if form == "junit":
        return export.junit(gathered)
    document, schema = {
        "json": (export.document, export.SCHEMA),
        "ranges": (export.ranges, export.RANGES_SCHEMA),
    }[form]
    found = document(gathered)
    jsonschema.validate(found, schema)
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _state(paths: Sequence[Path]) -> list[tuple[Path, int]]:
    """The files that a build reads, with the times of their last changes."""
    folders = {path.parent for path in paths} or {archive.FOLDER, speed.FOLDER}
    files = [ledger.PATH, *FOLDER.glob("page.*"), *(file for folder in folders for file in folder.glob("*.json*"))]
    return sorted((file, file.stat().st_mtime_ns) for file in files if file.exists())


def html(gathered: Gathered, figures: Callable[[], speed.Read] = lambda: ([], [])) -> str:
    """The page, with the figures that `figures()` returns, which is called when they are needed.

    It loads nothing and sends nothing: its own policy (CSP) forbids that, and any script but this one.
    """
    style, code = (Markup((FOLDER / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = prose
    filled = data.template(gathered)
    records, unusable = figures()
    filled["refused"] = (*filled["refused"], *unusable)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        filled | {"data": island(filled["data"])},
        records=[(record, [(plot, Markup(plot.svg)) for plot in record.plots]) for record in records],
        stands_open=speed.OPEN,
        style=style,
        script=code,
        digest=digest,
    )


def prose(text: str) -> Markup:
    """Text with `code` between backticks set as code; all of it escaped."""
    pieces = re.split(r"`([^`]+)`", text)
    return Markup("").join(Markup("<code>{}</code>").format(it) if place % 2 else it for place, it in enumerate(pieces))


def island(value: Any) -> Markup:
    """JSON to stand in a `<script>` element: no `<` and no `&`, so that no text of a claim or a message can end it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
