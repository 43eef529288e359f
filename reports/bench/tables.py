"""Figures as text, in a terminal and in the README: what each group did, how far from its limit, and what differs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.bench import document, statistics

BEGIN = "<!-- bench: made by `python -m reports bench readme`, not by hand -->"
END = "<!-- end of bench -->"


def rate(figure: Mapping[str, Any]) -> tuple[str, float, float, float]:
    """The figure's unit, and its median, low and high in it: tokens/s where tokens are worked on, else ms."""
    seconds, tokens = figure["seconds"], figure["work"]["tokens"]
    if tokens:
        return "tokens/s", tokens / seconds["median"], tokens / seconds["high"], tokens / seconds["low"]
    return "ms", 1000 * seconds["median"], 1000 * seconds["low"], 1000 * seconds["high"]


def of_limit(figure: Mapping[str, Any]) -> float | None:
    """Which part of what the machine could do was reached; None without a limit."""
    limit = figure["limit_seconds"]
    return None if limit is None else float(limit / figure["seconds"]["median"])


def difference(versus: Mapping[str, Any] | None) -> str:
    """`1.42x the time (1.40 to 1.45)`, `no difference (0.99 to 1.01)`; empty without a comparison."""
    if versus is None:
        return ""
    if versus["low"] is None:
        return f"{number(versus['ratio'])}x the time, too few pairs ({versus['pairs']}) to say more"
    spread = f"({number(versus['low'])} to {number(versus['high'])})"
    return (
        f"no difference {spread}"
        if versus["verdict"] == "no difference"
        else f"{number(versus['ratio'])}x the time {spread}"
    )


def number(value: float) -> str:
    """Three digits, thousands with a comma."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def head(made: Mapping[str, Any]) -> Iterator[str]:
    """What was measured where, and what a reader has to know before believing it."""
    machine = made["machine"]
    where = made["device"] if made["device"] != "cpu" else f"cpu ({machine['processor']}, {machine['cores']} cores)"
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if name != "transformers")
    yield f"transformers {made['release']} on {where}; {packages}; Python {machine['python']}; {made['started'][:10]}"
    if gpu := machine["gpu"]:
        clock = {when: f"{gpu[when]['sm_clock_mhz'] or '?'} MHz" for when in ("begin", "busy", "end")}
        found = f"clocks {clock['busy']} when busy (idle: {clock['begin']}, at the end {clock['end']})"
        yield f"driver {gpu['driver'] or 'not told'}, CUDA {gpu['cuda']}, {found}"
    yield from (f"! {mark}" for mark in marks(made))


def marks(made: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a document, though it can be read."""
    if not made["complete"]:
        yield "interrupted: what is here was measured, the rest is missing"
    if made["selection"]:
        yield f"a part only: {', '.join(made['selection'])}"
    gpu = made["machine"]["gpu"]
    if gpu and any(gpu[when]["others"] for when in ("begin", "busy", "end")):
        yield "other processes were on the GPU: measure again when it is free"


def lines(made: Mapping[str, Any]) -> list[str]:
    """A document in a terminal."""
    found = list(head(made))
    if roof := made.get("roof"):
        products = ", ".join(f"{name} {value / 1e12:.3g}" for name, value in roof["flops_per_s"].items())
        found += ["", f"limits: products {products} TFLOP/s; memory {roof['bytes_per_s'] / 1e9:.3g} GB/s"]
    for group, own in document.by_group(made).items():
        found += ["", group]
        found += [_line(figure) for figure in own]
    for change in made.get("changes") or ():
        spread = f"({number(change['low'])} to {number(change['high'])})"
        found += ["", f"change: {change['group']}: {change['older']} to {change['newer']}:"]
        found += [f"  {number(change['ratio'])}x the time {spread}"]
    if made["kind"] == "axis" and made.get("changes") is None:
        found += ["", "change points: not-run, optional package missing (ruptures)"]
    for it in made.get("evidence", ()):
        found.append(evidence(it))
    if made["not_run"]:
        found += ["", "not run", *(f"  {it['name']}: {it['reason']}" for it in made["not_run"])]
    return found


def _line(figure: Mapping[str, Any]) -> str:
    unit, median, low, high = rate(figure)
    share = of_limit(figure)
    far = f"{share:>6.1%} of the limit" if share is not None and figure["role"] != "limit" else ""
    cells = [
        f"  {figure['contestant'][:34]:<34}",
        f"{number(median):>12} {unit:<9}",
        f"{f'({number(low)} to {number(high)})':<30}",
        f"{far:<21}",
        difference(figure["versus"]),
    ]
    words = " ".join(cells).rstrip()
    return f"{words}; {extra}" if (extra := "; ".join(_measured(figure))) else words


def _measured(figure: Mapping[str, Any]) -> Iterator[str]:
    measured, steps = figure["measured"], figure["work"]["steps"]
    if steps:
        yield f"step {number(1000 * figure['seconds']['median'] / steps)} ms"
    if "wait_share" in measured:
        yield f"waits {measured['wait_share']:.1%}"
    if "mfu" in measured:
        yield f"MFU {measured['mfu']:.1%}"
    if measured.get("host_peak_bytes", 0) > 1e6:
        yield f"host +{measured['host_peak_bytes'] / 1e6:,.0f} MB"
    if "device_resident_bytes" in measured:
        both = measured["device_resident_bytes"] + measured.get("device_peak_bytes", 0)
        yield f"GPU {both / 1e9:.2f} GB"
    if "efficiency" in measured:
        yield f"{measured['processes']} processes, efficiency {measured['efficiency']:.0%}"


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Two saved runs, figure by figure. Raises MixedDevices.

    They were not measured in turns, so the intervals of both medians have to lie apart before a difference is named;
    even then it may be the machine's: the release axis measures in turns.
    """
    document.check_same_device(before, after)
    found = [f"from {line}" if place == 0 else line for place, line in enumerate(head(before))]
    found += [f"to   {line}" if place == 0 else line for place, line in enumerate(head(after))]
    found += ["not measured in turns: a difference may be the machine's", ""]
    old = {(it["group"], it["contestant"]): it for it in before["figures"]}
    new = {(it["group"], it["contestant"]): it for it in after["figures"]}
    for key in [key for key in old if key in new]:
        one, other = old[key]["seconds"], new[key]["seconds"]
        ratio = other["median"] / one["median"]
        apart = other["low"] > one["high"] or other["high"] < one["low"]
        close = not apart or abs(ratio - 1) < statistics.SMALLEST
        verdict = "no difference" if close else f"{number(ratio)}x the time"
        found.append(f"{', '.join(key):<72} {verdict}")
    for word, one, other in (("only in the first", old, new), ("only in the second", new, old)):
        if missing := [", ".join(key) for key in one if key not in other]:
            found += ["", word, *(f"  {name}" for name in missing)]
    return found


def markdown(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """The README's section: for each record what it is, and its most telling groups."""
    found: list[str] = []
    for made in documents:
        found += ["", *_markdown(made)] if found else _markdown(made)
    return found or ["No figures are recorded yet."]


_TOLD = (
    "collator, lists, 16 x 128",
    "collator, columns, 256 x 128",
    "training",
    "loader, lists, 16",
    "loader and copy, lists, 16",
    "collator and copy, lists, 16 x 128",
    "map,",
    "loading",
)


def _markdown(made: Mapping[str, Any]) -> list[str]:
    found = [f"**{made['kind']}**: {' '.join(head(made))}.".replace("..", "."), ""]
    if made["kind"] == "evidence":
        for it in made["evidence"]:
            found.append(f"- {evidence(it)}")
        return found
    if made["kind"] == "axis":
        return [*found, *_markdown_axis(made)]
    found += [
        "| what | contestant | median | interval | of its limit | time beside the first | also measured |",
        "|---|---|---:|---|---:|---|---|",
    ]
    for group, own in document.by_group(made).items():
        if not group.startswith(_TOLD):
            continue
        for place, figure in enumerate(own):
            unit, median, low, high = rate(figure)
            share = of_limit(figure)
            cells = (
                group if place == 0 else "",
                figure["contestant"],
                f"{number(median)} {unit}",
                f"{number(low)} to {number(high)}",
                "" if share is None or figure["role"] == "limit" else f"{share:.1%}",
                difference(figure["versus"]),
                "; ".join(_measured(figure)),
            )
            found.append(f"| {' | '.join(cells)} |")
    if reasons := _reasons(made):
        found += ["", f"Not run: {reasons}."]
    return found


def _markdown_axis(made: Mapping[str, Any]) -> Iterator[str]:
    """A row a workload, a column a release."""
    groups = document.by_group(made)
    releases = list(dict.fromkeys(it["contestant"] for own in groups.values() for it in own))
    yield "Time over that of the newest, and the newest's median; `=` is no difference."
    yield ""
    yield f"| what | {' | '.join(releases)} |"
    yield f"|---|{'---:|' * len(releases)}"
    for group, own in groups.items():
        cells = {it["contestant"]: _axis_cell(it) for it in own}
        yield f"| {group} | {' | '.join(cells.get(release, 'not run') for release in releases)} |"
    if made.get("changes"):
        yield ""
    for change in made.get("changes") or ():
        yield f"- {change['group']}: {number(change['ratio'])}x the time from {change['older']} to {change['newer']}."


def _axis_cell(figure: Mapping[str, Any]) -> str:
    versus = figure["versus"]
    if versus is None:
        return f"{number(1000 * figure['seconds']['median'])} ms"
    return "=" if versus["verdict"] == "no difference" else f"{versus['ratio']:.2f}"


def evidence(it: Mapping[str, Any]) -> str:
    """What came of the experiments of one kind."""
    return f"{it['name']}: {it['differences']} of {it['experiments']} experiments of {it['pairs']} pairs differ"


def _reasons(made: Mapping[str, Any]) -> str:
    """What was not run, and why; the cases of one benchmark are named once, with their number."""
    cases = Counter((it["name"].partition("[")[0], it["reason"]) for it in made["not_run"])
    return "; ".join(
        f"{name} ({f'{count} cases, ' if count > 1 else ''}{reason})" for (name, reason), count in cases.items()
    )


def update(path: Path, documents: Sequence[Mapping[str, Any]], check: bool) -> int:
    """Put the section between the README's markers; with `check` only compare. Returns the exit code."""
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        print(f"{path.name} needs each of the two markers once: {BEGIN} and {END}", file=sys.stderr)
        return 3
    first, rest = text.split(BEGIN)
    new = f"{first}{BEGIN}\n" + "\n".join(markdown(documents)) + f"\n{END}{rest.split(END)[1]}"
    if new != text and check:
        print(f"{path.name} shows other figures; make them anew: python -m reports bench readme", file=sys.stderr)
        return 1
    if new != text:
        path.write_text(new, encoding="utf-8")
    print(f"{path.name}: {'unchanged' if new == text else 'written'}", file=sys.stderr)
    return 0
