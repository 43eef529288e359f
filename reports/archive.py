"""Recorded results: those of runs, without what changes from run to run, and with equal evidence kept once.

A recorded document follows the schema of a run's document. Its specs leave out durations and what is as usual, and name
their evidence by a key of `evidence.jsonl` in the same folder: most of it is the same on dozens of releases. Temporary
folders, ports and addresses in memory stand there as `<tmp>`, `<port>`, `<address>`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.version import Version

FOLDER = Path(__file__).parent / "results"
BESIDE = FOLDER / "beside"
EVIDENCE = "evidence.jsonl"

#: What a spec is if its recorded table does not say otherwise.
USUAL = {"role": "claim", "outcome": "passed", "seconds": 0.0, "reason": None, "drift": False, "evidence": {}}

#: What differs between two runs in which nothing else does, and what a recorded text says in its place.
_CHANGING = (
    (re.compile(r"[^\s'\"`(]*/pytest-of-[^/\s]+/pytest-\d+(/popen-gw\d+)?"), "<tmp>"),
    (re.compile(r"[^\s'\"`(]*/claims-[a-z0-9_]{8}"), "<home>"),
    (re.compile(r"[^\s'\"`(]*/tmp[a-z0-9_]{8}\b"), "<tmp>"),
    (re.compile(r"[^\s'\"`(]*/site-packages"), "<site-packages>"),
    (re.compile(r"[^\s'\"`(]*/bin/python[\d.]*\b"), "<python>"),
    (re.compile(r"(127\.0\.0\.1|localhost):\d+"), r"\1:<port>"),
    (re.compile(r"\b0x[0-9a-f]{6,}"), "<address>"),
)


class MissingEvidence(ValueError):
    """A recorded result names evidence that is not in the archive."""


def recorded(folder: Path = FOLDER) -> dict[str, Path]:
    """The recorded results by release (`4.57`), oldest first."""
    return {path.stem: path for path in sorted(folder.glob("*.json"), key=lambda path: Version(path.stem))}


def beside() -> dict[str, Path]:
    """The recorded results of the newest release beside other majors (`newest-datasets3`)."""
    return {path.stem: path for path in sorted(BESIDE.glob("*.json"))}


def keep(documents: Mapping[str, Mapping[str, Any]], folder: Path = FOLDER) -> None:
    """Record the documents of full runs, by release, in place of earlier ones of these releases.

    Evidence goes first: a reader who comes between two files finds all that a document names. What no document names
    any more is dropped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = _evidence(folder)
    compact = {release: _compact(document, store) for release, document in documents.items()}
    write(folder / EVIDENCE, _lines(store))
    for release, document in compact.items():
        write(folder / f"{release}.json", _text(document))
    texts = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.json"))
    write(folder / EVIDENCE, _lines({key: value for key, value in store.items() if f'"{key}"' in texts}))


def expand(made: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A document as a run writes it, from a recorded one in `folder`. Raises MissingEvidence."""
    claims: dict[str, Any] = {}
    store: Mapping[str, Any] | None = None
    for claim_id, claim in made["claims"].items():
        specs = [USUAL | spec for spec in claim["specs"]]
        for spec in specs:
            if isinstance(spec["evidence"], str):
                store = _kept(folder) if store is None else store
                if spec["evidence"] not in store:
                    raise MissingEvidence(f"{claim_id}: evidence {spec['evidence']} is not in {folder / EVIDENCE}")
                spec["evidence"] = store[spec["evidence"]]
        claims[claim_id] = dict(claim) | {"specs": specs}
    return dict(made) | {"claims": claims}


def _compact(document: Mapping[str, Any], store: dict[str, Any]) -> dict[str, Any]:
    claims = {}
    for claim_id, claim in document["claims"].items():
        specs = []
        for spec in claim["specs"]:
            short = {key: value for key, value in spec.items() if key != "seconds" and USUAL.get(key, ...) != value}
            if "evidence" in short:
                text = json.dumps(_lasting(short["evidence"]), sort_keys=True, ensure_ascii=False)
                short["evidence"] = hashlib.sha256(text.encode()).hexdigest()[:12]
                store[short["evidence"]] = json.loads(text)
            specs.append(short)
        claims[claim_id] = dict(claim) | {"specs": specs}
    return dict(document) | {"claims": claims}


def _lasting(value: Any) -> Any:
    """A JSON value in whose texts nothing differs from run to run."""
    if isinstance(value, str):
        for changing, name in _CHANGING:
            value = changing.sub(name, value)
        return value
    if isinstance(value, Mapping):
        return {_lasting(key): _lasting(content) for key, content in value.items()}
    return [_lasting(content) for content in value] if isinstance(value, list) else value


def _text(document: Mapping[str, Any]) -> str:
    """One line a claim, so that two releases can be compared as text."""
    head = json.dumps({key: value for key, value in document.items() if key not in ("claims", "footer")}, indent=1)
    claims = [f"  {json.dumps(claim_id)}: {_line(claim)}" for claim_id, claim in document["claims"].items()]
    return (
        head[: head.rindex("\n}")]
        + ',\n "claims": {\n'
        + ",\n".join(claims)
        + f'\n }},\n "footer": {_line(document["footer"])}\n}}\n'
    )


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _lines(store: Mapping[str, Any]) -> str:
    return "".join(f"{_line([key, store[key]])}\n" for key in sorted(store))


def _evidence(folder: Path) -> dict[str, Any]:
    path = folder / EVIDENCE
    lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    return dict(map(json.loads, lines))


def _kept(folder: Path) -> Mapping[str, Any]:
    """The evidence in a folder, parsed once for all results that name it, and anew when the file has changed."""
    path = folder / EVIDENCE
    stat = path.stat() if path.exists() else None
    return _parsed(folder, (stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat else None)


@functools.lru_cache(maxsize=1)
def _parsed(folder: Path, _state: tuple[int, int, int] | None) -> Mapping[str, Any]:
    return _evidence(folder)


def write(path: Path, text: str) -> None:
    """Write a file in one step: a reader sees the old one or the new one, never half of it.

    Raises OSError with the file's name: a full disk, a folder that may not be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)
