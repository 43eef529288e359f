"""Files of benchmark figures: made by a run, checked and recorded in `reports/results/bench/`, read by everything else.

A run writes the whole file anew after each benchmark, with `complete: false` until it ends: what was measured before an
interruption is kept, and marked.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from reports import archive
from reports.bench import statistics

FOLDER = archive.FOLDER / "bench"

#: Significant digits of a recorded sample: the clock's own error is above the rest.
DIGITS = 5


class BenchError(ValueError):
    """A file of figures cannot be used; the message names the file, what is wrong, and what to do."""


class MixedDevices(BenchError):
    """Figures of two devices were to be compared or put together."""


@dataclass
class Figure:
    """The samples of one contestant, with what was done in the time of each. Seconds, bytes; see the schema."""

    group: str
    contestant: str
    role: str
    work: Mapping[str, int]
    samples: Sequence[float]
    limit_seconds: float | None = None
    measured: Mapping[str, float] = field(default_factory=dict)


def now() -> str:
    """The time, UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def figures(found: Sequence[Figure]) -> list[dict[str, Any]]:
    """The figures' tables. In each group all are compared with its subject, if it has one."""
    subjects = {it.group: it for it in found if it.role == "subject"}
    made = []
    for it in found:
        samples = [rounded(sample) for sample in it.samples]
        subject = subjects.get(it.group)
        versus = None
        if subject is not None and subject is not it and len(subject.samples) == len(samples):
            versus = _versus(subject.contestant, statistics.ratio(it.samples, subject.samples))
        made.append(
            {
                "group": it.group,
                "contestant": it.contestant,
                "role": it.role,
                "work": dict(it.work),
                "seconds": {
                    **{key: rounded(value) for key, value in asdict(statistics.median(samples)).items()},
                    "samples": samples,
                },
                "limit_seconds": None if it.limit_seconds is None else rounded(it.limit_seconds),
                "versus": versus,
                "measured": dict(it.measured),
            }
        )
    return made


def _versus(name: str, ratio: statistics.Ratio) -> dict[str, Any]:
    sure = math.isfinite(ratio.high)
    return {
        "contestant": name,
        "ratio": rounded(ratio.estimate),
        "low": rounded(ratio.low) if sure else None,
        "high": rounded(ratio.high) if sure else None,
        "pairs": ratio.pairs,
        "verdict": ratio.verdict,
    }


def rounded(value: float) -> float:
    """A figure with `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def changes(made: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The steps of an axis, group by group; None without ruptures."""
    try:
        import ruptures  # noqa: F401
    except ModuleNotFoundError:
        return None
    found = []
    for group, own in by_group(made).items():
        series = {it["contestant"]: it["seconds"]["samples"] for it in own}
        for change in statistics.changes(series):
            ratio = change.ratio
            found.append(
                {
                    "group": group,
                    "older": change.older,
                    "newer": change.newer,
                    **{name: rounded(getattr(ratio, key)) for name, key in _RATIO},
                }
            )
    return found


_RATIO = (("ratio", "estimate"), ("low", "low"), ("high", "high"))


def by_group(made: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """A document's figures by group, both in the order of the file."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for figure in made["figures"]:
        groups.setdefault(figure["group"], []).append(figure)
    return groups


@functools.cache
def schema() -> Any:
    """The schema of such files."""
    return json.loads((Path(__file__).parent / "bench.schema.json").read_text(encoding="utf-8"))


def read(path: Path) -> dict[str, Any]:
    """A document that follows the schema. Raises BenchError."""
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}; `tox -e bench` writes such a file") from error
    except ValueError as error:
        raise BenchError(f"{path}: cut off, or not JSON ({error}); measure again") from error
    _check(path, made)
    return dict(made)


def _check(path: Path, made: Any) -> None:
    """Raises BenchError if a document does not follow the schema; without jsonschema nobody looks."""
    try:
        import jsonschema
    except ModuleNotFoundError:  # a machine that only measures reads what it wrote itself
        return
    try:
        jsonschema.validate(made, schema())
    except jsonschema.ValidationError as error:
        where = f"{error.json_path}: {error.message[:200]}"
        raise BenchError(f"{path}: not a file of figures as of now ({where}); measure again") from error


def recorded(folder: Path = FOLDER) -> dict[str, Path]:
    """The recorded files by name (`cpu-5.23.0`)."""
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def name_of(made: Mapping[str, Any]) -> str:
    """What a document is recorded as: `cpu-5.23.0`, `nvidia-h100-80gb-hbm3-axis`."""
    device = re.sub(r"[^a-z0-9]+", "-", made["device"].lower()).strip("-")
    return f"{device}-{made['release'] if made['kind'] == 'run' else made['kind']}"


def check_same_device(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Raises MixedDevices unless both were measured on the same GPU model, or on the same processor."""
    if _device(one) != _device(other):
        raise MixedDevices(
            f"{_device(one)} and {_device(other)} are different devices; figures of one say nothing about the other"
        )


def _device(made: Mapping[str, Any]) -> str:
    machine = made["machine"]
    return f"cpu ({machine['processor']}, {machine['cores']} cores)" if made["device"] == "cpu" else made["device"]


def keep(paths: Iterable[Path], folder: Path = FOLDER) -> list[Path]:
    """Record documents; what is recorded under the same name keeps the groups that were not measured again.

    Raises BenchError if a file cannot be used, MixedDevices if the recorded one is of another machine.
    """
    documents = [read(path) for path in paths]
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for made in documents:
        path = folder / f"{name_of(made)}.json"
        if path.exists() and made["kind"] == "run" and made["selection"]:
            made = _merged(read(path), made)
        if made["kind"] == "axis" and made.get("changes") is None:
            made["changes"] = changes(made)
        archive.write(path, text(made))
        written.append(path)
    return written


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A part that was measured later, put into a whole."""
    check_same_device(old, new)
    groups = {figure["group"] for figure in new["figures"]}
    names = {entry["name"] for entry in new["not_run"]} | groups | set(new["selection"])
    return {
        **old,
        "started": max(old["started"], new["started"]),
        "roof": new.get("roof") or old.get("roof"),
        "complete": old["complete"] and new["complete"],
        "figures": [figure for figure in old["figures"] if figure["group"] not in groups] + new["figures"],
        "not_run": [entry for entry in old["not_run"] if entry["name"] not in names] + new["not_run"],
    }


def text(made: Mapping[str, Any]) -> str:
    """One line a figure."""
    lists = [key for key in ("figures", "changes", "evidence", "not_run") if made.get(key)]
    head = json.dumps({key: value for key, value in made.items() if key not in lists}, indent=1)
    parts = [
        f' "{key}": [\n' + ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in made[key]) + "\n ]"
        for key in lists
    ]
    return head[: head.rindex("\n}")] + "".join(f",\n{part}" for part in parts) + "\n}\n"
