"""Figures as SVG: throughput with its spread, roofline, waterfall of a training step, release axis.

Colours are variables of the page's style, so that they follow its dark mode; a file of its own has them set at the top.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.bench import document, tables

#: Rates further apart than this are drawn on a logarithmic scale.
WIDE = 30

#: Inches: the width of a plot, what stands left of it beside labels, below it, and a letter of a label.
WIDTH, LEFT, BELOW, LETTER = 9.0, 0.3, 0.6, 0.085

INK, RATE, BOUND = "#010101", "#020202", "#030303"
_VARIABLES = {INK: "--ink", RATE: "--holds", BOUND: "--refuted"}


@dataclass(frozen=True)
class Plot:
    """A drawing, with the figures that it shows as a table: column names, rows of text."""

    title: str
    kind: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    svg: str


def plots(made: Mapping[str, Any], prefix: str = "") -> list[Plot]:
    """All plots of a document, in the order in which a reader wants them. `prefix` keeps ids apart in one page."""
    return [
        Plot(title, kind, columns, rows, _svg(draw, height, f"{prefix}{place}-"))
        for place, (title, kind, columns, rows, draw, height) in enumerate(_plots(made))
    ]


_Drawn = tuple[str, str, tuple[str, ...], tuple[tuple[str, ...], ...], Callable[[Any], None], float]


def _plots(made: Mapping[str, Any]) -> Iterator[_Drawn]:
    points = [it for it in made["figures"] if "flops" in it["measured"]]
    if points and made.get("roof"):
        yield _roofline(made["roof"], points)
    groups = document.by_group(made)
    for group, own in groups.items():
        if any(it["contestant"] == "bare loop, batches on the device" for it in own):
            yield _waterfall(group, own)
    if made["kind"] == "axis":
        yield from (_axis(group, own) for group, own in groups.items())
        return
    families: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for group, own in groups.items():
        families.setdefault((_SIZE.sub("", group), tables.rate(own[0])[0]), []).extend(own)
    for (family, _), together in families.items():
        several = len({it["group"] for it in together}) > 1
        yield _throughput(family if several else together[0]["group"], together, several)


#: The end of a group's name that says how much: groups that differ in it alone are one plot.
_SIZE = re.compile(r", ([\d,]+ (?:x \d+|rows))$")


def _throughput(title: str, own: Sequence[Mapping[str, Any]], several: bool) -> _Drawn:
    rates = [tables.rate(it) for it in own]
    names = [
        f"{size[1]}: {it['contestant']}" if several and (size := _SIZE.search(it["group"])) else it["contestant"]
        for it in own
    ]
    unit = rates[0][0]

    def draw(axes: Any) -> None:
        places = range(len(own))
        medians = [rate[1] for rate in rates]
        spread = [[median - low for _, median, low, _ in rates], [high - median for _, median, _, high in rates]]
        if max(medians) > WIDE * min(medians):  # the short bars could not be seen
            axes.errorbar(medians, places, xerr=spread, fmt="o", color=RATE, ecolor=INK, capsize=3)
            axes.set_xscale("log")
        else:
            axes.barh(places, medians, color=RATE, height=0.5)
            axes.errorbar(medians, places, xerr=spread, fmt="none", ecolor=INK, capsize=3)
            axes.set_xlim(left=0)
        axes.set_yticks(list(places), names)
        axes.invert_yaxis()
        axes.set_xlabel(unit)

    rows = tuple(
        (
            name,
            tables.number(median),
            f"{tables.number(low)} to {tables.number(high)}",
            "not measured" if (share := tables.of_limit(it)) is None else f"{share:.1%}",
            tables.difference(it["versus"]),
        )
        for name, it, (_, median, low, high) in zip(names, own, rates, strict=True)
    )
    return (
        title,
        "throughput",
        ("contestant", unit, "interval", "of its limit", f"beside the first{' of its size' if several else ''}"),
        rows,
        draw,
        1 + 0.3 * len(own),
    )


def _axis(group: str, own: Sequence[Mapping[str, Any]]) -> _Drawn:
    names = [it["contestant"] for it in own]
    ratios = [it["versus"] or {"ratio": 1.0, "low": 1.0, "high": 1.0} for it in own]

    def draw(axes: Any) -> None:
        places = range(len(own))
        middle = [it["ratio"] for it in ratios]
        low = [it["ratio"] - (it["low"] or it["ratio"]) for it in ratios]
        high = [(it["high"] or it["ratio"]) - it["ratio"] for it in ratios]
        axes.axhline(1, color=BOUND, linestyle="--", linewidth=1)
        axes.errorbar(places, middle, yerr=[low, high], fmt="o-", color=RATE, ecolor=RATE, capsize=3, markersize=4)
        step = max(1, len(own) // 9)
        axes.set_xticks(list(places)[::step], names[::step])
        axes.set_ylim(bottom=0)
        axes.set_ylabel("time over the newest")

    rows = tuple(
        (name, tables.number(1000 * it["seconds"]["median"]), tables.difference(it["versus"]) or "the newest")
        for name, it in zip(names, own, strict=True)
    )
    return group, "release axis", ("release", "ms", "beside the newest"), rows, draw, 3.2


def _roofline(roof: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> _Drawn:
    def draw(axes: Any) -> None:
        intensities = [it["measured"]["flops"] / it["measured"]["bytes"] for it in points]
        span = [min(intensities) / 10, max(intensities) * 10]
        for name, flops in roof["flops_per_s"].items():
            knee = flops / roof["bytes_per_s"]
            xs = sorted({*span, min(max(knee, span[0]), span[1])})
            axes.plot(xs, [min(flops, x * roof["bytes_per_s"]) for x in xs], "--", color=BOUND, linewidth=1)
            axes.annotate(name, (xs[-1], min(flops, xs[-1] * roof["bytes_per_s"])), color=INK, ha="right", va="bottom")
        achieved = [it["measured"]["flops"] / it["seconds"]["median"] for it in points]
        axes.plot(intensities, achieved, "o", color=RATE)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("operations a byte that the optimizer moves")
        axes.set_ylabel("operations/s")

    rows = tuple(
        (
            f"{it['group']}: {it['contestant']}",
            f"{it['measured']['flops'] / it['measured']['bytes']:.3g}",
            f"{it['measured']['flops'] / it['seconds']['median'] / 1e12:.3g}",
            f"{it['measured'].get('mfu', 0):.1%}",
        )
        for it in points
    )
    return "Roofline of the training steps", "roofline", ("step", "operations/byte", "TFLOP/s", "MFU"), rows, draw, 3.6


def _waterfall(group: str, own: Sequence[Mapping[str, Any]]) -> _Drawn:
    """Where the time of Trainer's step goes: differences of medians that were measured in turns."""
    step = {it["contestant"]: it["seconds"]["median"] / it["work"]["steps"] * 1000 for it in own}
    resident = next(it for it in own if it["contestant"] == "bare loop, batches on the device")
    least = (resident["limit_seconds"] or 0) / resident["work"]["steps"] * 1000
    levels = [
        ("limit: products and optimizer", least),
        ("the rest of the computation", step[resident["contestant"]]),
        ("the data side", step["bare loop"]),
        ("Trainer itself", step["Trainer"]),
    ]
    parts, before = [], 0.0
    for name, level in levels:
        parts.append((name, before, level - before))
        before = level

    def draw(axes: Any) -> None:
        for place, (_, start, width) in enumerate(parts):
            axes.barh(place, width, left=start, color=BOUND if place == 0 else RATE, height=0.5)
        axes.set_yticks(range(len(parts)), [name for name, _, _ in parts])
        axes.invert_yaxis()
        axes.set_xlabel("ms of a step")

    rows = tuple((name, tables.number(width)) for name, _, width in parts)
    return f"A step of {group}", "waterfall", ("part", "ms"), rows, draw, 2.6


def _svg(draw: Callable[[Any], None], height: float, prefix: str) -> str:
    import matplotlib  # takes most of a second, and there may be nothing to plot
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import EngFormatter

    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "page", "font.size": 11, "font.family": "sans-serif"}
    with matplotlib.rc_context(style):
        canvas = Canvas(figsize=(WIDTH, height))
        FigureCanvasSVG(canvas)
        axes = canvas.add_subplot()
        draw(axes)
        # A layout that fits itself draws everything twice.
        label = max((len(it.get_text()) for it in axes.get_yticklabels()), default=0) or 8
        left = (LEFT + LETTER * label + (0.3 if axes.get_ylabel() else 0.0)) / WIDTH
        canvas.subplots_adjust(left=left, right=1 - 0.2 / WIDTH, bottom=BELOW / height, top=1 - 0.15 / height)
        axes.minorticks_off()
        for axis in (axes.xaxis, axes.yaxis):
            if (
                axis.get_scale() == "log"
            ):  # 10 k and not a power of ten, which is typeset: that takes longer than the plot
                axis.set_major_formatter(EngFormatter())
        axes.tick_params(colors=INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(INK)
        canvas.patch.set_alpha(0)
        axes.patch.set_alpha(0)
        text = io.StringIO()
        canvas.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>plot{prefix}", svg)  # several plots stand in one document
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable}, {'#b00' if colour == BOUND else '#333'})")
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
