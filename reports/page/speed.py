"""Throughput by release: figures recorded in `reports/bench/`, and their plots as SVG.

A file of that folder follows `bench.schema.json`: one release on one device.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
from packaging.version import InvalidVersion, Version

from reports.page.gather import Refused

FOLDER = Path(__file__).parents[1] / "bench"
SCHEMA = json.loads((Path(__file__).parent / "bench.schema.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Figure:
    """One measured rate: median, and the quartiles around it, all in `unit`; `limit` is the measured bound."""

    release: str
    device: str
    name: str
    unit: str
    median: float
    low: float
    high: float
    limit: float | None


@dataclass(frozen=True)
class Plot:
    """The figures of one benchmark on one device, oldest release first, with their plot."""

    name: str
    device: str
    unit: str
    figures: tuple[Figure, ...]
    svg: str


def read(folder: Path = FOLDER) -> tuple[list[Figure], list[Refused]]:
    """All recorded figures, and the files that cannot be used."""
    figures: list[Figure] = []
    refused = []
    for path in sorted(folder.glob("*.json")):
        try:
            made = json.loads(path.read_text(encoding="utf-8"))
            jsonschema.validate(made, SCHEMA)
            Version(made["release"])
        except (OSError, ValueError, jsonschema.ValidationError, InvalidVersion) as error:
            refused.append(Refused(path.name, str(error).partition("\n")[0]))
            continue
        for figure in made["figures"]:
            figures.append(Figure(made["release"], made["device"], **{"limit": None} | figure))
    return figures, refused


def plots(figures: Sequence[Figure]) -> list[Plot]:
    """One for each device and benchmark; the CPU's first."""
    groups: dict[tuple[bool, str, str, str], list[Figure]] = {}
    for figure in figures:
        groups.setdefault((figure.device != "cpu", figure.device, figure.name, figure.unit), []).append(figure)
    return list(_plots(groups))


def _plots(groups: dict[tuple[bool, str, str, str], list[Figure]]) -> Iterator[Plot]:
    for number, ((_, device, name, unit), own) in enumerate(sorted(groups.items())):
        ordered = tuple(sorted(own, key=lambda figure: Version(figure.release)))
        yield Plot(name, device, unit, ordered, _svg(ordered, unit, prefix=f"plot{number}-"))


def _svg(figures: Sequence[Figure], unit: str, prefix: str) -> str:
    """Median with quartiles, and the limit as a dashed line, in the colours of the page's style: dark in dark mode."""
    import matplotlib  # takes most of a second, and there may be nothing to plot
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    ink, rate, bound = "#010101", "#020202", "#030303"
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "page",
        "font.size": 11,
        "font.family": "sans-serif",
    }
    with matplotlib.rc_context(style):
        canvas = Canvas(figsize=(9, 3.2), layout="constrained")
        FigureCanvasSVG(canvas)
        axes = canvas.add_subplot()
        places = range(len(figures))
        medians = [figure.median for figure in figures]
        spread = [[it.median - it.low for it in figures], [it.high - it.median for it in figures]]
        axes.errorbar(places, medians, yerr=spread, fmt="o-", color=rate, ecolor=rate, capsize=3, markersize=4)
        limits = [(place, it.limit) for place, it in zip(places, figures, strict=True) if it.limit is not None]
        if limits:
            axes.plot([place for place, _ in limits], [limit for _, limit in limits], "--_", color=bound)
        step = max(1, len(figures) // 8)
        axes.set_xticks(list(places)[::step], [figure.release for figure in figures][::step])
        axes.set_ylim(bottom=0)
        axes.set_ylabel(unit)
        axes.tick_params(colors=ink)
        axes.yaxis.label.set_color(ink)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(ink)
        canvas.patch.set_alpha(0)
        axes.patch.set_alpha(0)
        text = io.StringIO()
        canvas.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{prefix}", svg)  # several plots stand in one document
    for colour, variable in ((ink, "--ink"), (rate, "--holds"), (bound, "--refuted")):
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
