"""The page's view of recorded figures: what `reports.bench` reads and draws, and what cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reports.bench import document, plots, tables
from reports.page.gather import Refused

FOLDER = document.FOLDER

#: Groups that stand open on the page; the others are a click away.
OPEN = ("roofline", "waterfall", "release axis")


@dataclass(frozen=True)
class Record:
    """One recorded file: what was measured where, marks, plots; `evidence` and `not_run` as lines of text."""

    name: str
    head: tuple[str, ...]
    marks: tuple[str, ...]
    plots: tuple[plots.Plot, ...]
    evidence: tuple[str, ...]
    changes: tuple[str, ...]
    not_run: tuple[tuple[str, str], ...]


Read = tuple[list[Record], list[Refused]]


def read(folder: Path = FOLDER) -> Read:
    """All records, the CPU's first, and the files that cannot be used."""
    made, refused = [], []
    for path in document.recorded(folder).values():
        try:
            made.append((path.stem, document.read(path)))
        except document.BenchError as error:
            refused.append(Refused(path.name, str(error).removeprefix(f"{path}: ").partition("\n")[0]))
    made.sort(key=lambda it: (it[1]["device"] != "cpu", it[0]))
    records = [
        Record(
            name,
            tuple(line for line in tables.head(it) if not line.startswith("! ")),
            tuple(tables.marks(it)),
            tuple(plots.plots(it, f"{place}-")),
            tuple(tables.evidence(own) for own in it.get("evidence", ())),
            tuple(
                f"{own['group']}: {tables.number(own['ratio'])}x the time from {own['older']} to {own['newer']}"
                for own in it.get("changes") or ()
            ),
            tuple((own["name"], own["reason"]) for own in it["not_run"]),
        )
        for place, (name, it) in enumerate(made)
    ]
    return records, refused
