"""What cells took, recorded: `durations.csv`, for estimates and for the simulation. And the list of patch releases."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fixtures.releases.make import published
from reports import archive
from reports.matrix import spec

PATH = Path(__file__).parent / "durations.csv"

#: A row says what a cell took, in seconds, on which engine, and the digest of its verdicts: engines have to agree.
COLUMNS = ("version", "device", "engine", "verdicts", "build", "run")


def read() -> dict[str, Mapping[str, Any]]:
    """The recorded durations, in seconds, by the row's number: as the entries of an index. Raises MatrixError."""
    try:
        with PATH.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        return {
            f"recorded {number}": {
                **{name: row[name] for name in ("version", "device", "engine", "verdicts")},
                "arguments": [],
                "build": float(row["build"]),
                "run": float(row["run"]),
            }
            for number, row in enumerate(rows)
        }
    except (OSError, csv.Error, KeyError, ValueError) as error:
        raise spec.MatrixError(f"{PATH}: not a list of durations ({type(error).__name__}: {error})") from error


def keep(entries: Iterable[Mapping[str, Any]]) -> int:
    """Record what the full runs in an index took, in place of those of the same engine; returns the exit code."""
    new = [tuple(entry[name] for name in COLUMNS) for entry in entries if not entry["arguments"]]
    if not new:
        raise spec.MatrixError("no cell of a full run is in the results: nothing is recorded")
    engines = {row[2] for row in new}
    old = [tuple(entry[name] for name in COLUMNS) for entry in read().values() if entry["engine"] not in engines]
    rows = sorted((*old, *new), key=lambda row: (_numbers(row[0]), row))
    archive.write(PATH, _text(COLUMNS, rows))
    print(f"{len(new)} durations are recorded; make the table of README.md anew (--simulate)", file=sys.stderr)
    return 0


def find_patches() -> int:
    """Ask the index for all patch releases and list them; returns the exit code. Raises ReleaseError."""
    found = sorted(published(patches=True), key=lambda row: _numbers(row.version))
    archive.write(spec.PATCHES, _text(("version", "released"), [(row.version, row.released) for row in found]))
    print(f"{len(found)} patch releases are listed", file=sys.stderr)
    return 0


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _text(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
