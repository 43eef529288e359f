"""What the page shows: rows, slides and counts for the template, and the data for its script."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import dedent
from typing import Any

from reports.compare import KINDS
from reports.ledger import Claim
from reports.page.gather import Gathered, Run
from reports.page.history import Flip, flips, since, stretches
from reports.results import counts
from reports.verdict import VERDICTS

#: Packages whose versions a reader asks for; a result's document names all of them.
PACKAGES = ("transformers", "datasets", "huggingface_hub", "tokenizers", "accelerate", "torch", "numpy")

#: What a verdict means and what it does not: the page's legend.
MEANING = {
    "holds": "Each check of the sentence passed on this release, as the sentence stands.",
    "refuted": "A check failed in the way that the ledger declares; what is true instead was checked, too.",
    "not-run": "It was not judged here, for the reason that is given. It says nothing about the sentence.",
    "not-executable": "No program can check it, such as a picture of a web page.",
    "error": "The harness broke or something undeclared was raised: nothing is known.",
    "absent": "This result has no word about it: the sentence was added to the ledger later.",
}

SIGNS = {"holds": "✓", "refuted": "✗", "not-run": "·", "not-executable": "∅", "error": "!", "absent": "?"}

#: Longest text of a measured value, in characters; a comparison in the terminal shows 400 of old and new together.
LONGEST = 1500


def template(gathered: Gathered) -> dict[str, Any]:
    """What the template fills in."""
    newest = gathered.runs[-1]
    found = {claim.id: list(flips(gathered, claim)) for claim in gathered.ledger}
    entries = [_entry(gathered, claim, found[claim.id]) for claim in gathered.ledger]
    return {
        "title": gathered.ledger.title,
        "newest": newest,
        "where": newest.result.environment,
        "recorded": newest.result.footer["finished"][:10],
        "runs": gathered.runs,
        "refused": gathered.refused,
        "marked": _marked(gathered.runs),
        "verdicts": VERDICTS,
        "meaning": MEANING,
        "signs": SIGNS,
        "parts": _parts(gathered, entries),
        "total": counts([(entry["verdict"], entry["drift"]) for entry in entries if entry["verdict"] != "absent"]),
        "claims": len(entries),
        "flipped": sum(bool(it) for it in found.values()),
        "slides": _slides(gathered, entries),
        "data": script(gathered, found),
    }


def _marked(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The marks, each with the releases that it is true of."""
    marked: dict[str, list[str]] = {}
    for run in runs:
        for mark in run.marks:
            marked.setdefault(mark, []).append(run.minor)
    return marked


def _entry(gathered: Gathered, claim: Claim, found: list[Flip]) -> dict[str, Any]:
    """A claim with its verdict on the newest release, and its row in the matrix."""
    newest = gathered.runs[-1].claim(claim.id)
    cells, first = [], 1
    for verdict, length in stretches(run.claim(claim.id)["verdict"] for run in gathered.runs):
        names = [gathered.runs[first - 1].minor, gathered.runs[first + length - 2].minor]
        cells.append({"verdict": verdict, "first": first, "length": length, "words": " to ".join(dict.fromkeys(names))})
        first += length
    return {
        "claim": claim,
        "sentence": claim.id.count(".") == 1,
        "verdict": newest["verdict"],
        "reason": newest["reason"],
        "drift": newest["drift"],
        "since": since(found, newest["verdict"]),
        "flips": bool(found),
        "cells": cells,
        "instead": code(claim),
    }


def code(claim: Claim) -> str:
    """The spelling that works, ready to be copied; empty if the ledger has none."""
    return dedent(claim.instead).strip("\n") if claim.instead else ""


def _parts(gathered: Gathered, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    parts = []
    for part in gathered.ledger.parts:
        own = [entry for entry in entries if gathered.ledger.part_of(entry["claim"]) is part]
        judged = [entry for entry in own if entry["verdict"] != "absent"]
        parts.append(
            {
                "title": part.title,
                "first": part.first,
                "last": part.last,
                "entries": own,
                "counts": counts([(entry["verdict"], entry["drift"]) for entry in judged]),
            }
        )
    return parts


def _slides(gathered: Gathered, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each slide that claims something: what to change on it, what stays, what nobody judged."""
    slides = []
    for number in range(1, gathered.ledger.slides + 1):
        own = [entry for entry in entries if number in entry["claim"].slides]
        if own:
            by_verdict = Counter(entry["verdict"] for entry in own)
            change = [entry for entry in own if entry["verdict"] == "refuted"]
            slides.append(
                {
                    "number": number,
                    "count": len(own),
                    "change": sorted(change, key=lambda entry: not entry["sentence"]),
                    "stays": [entry for entry in own if entry["verdict"] == "holds"],
                    "unknown": [entry for entry in own if entry["verdict"] not in ("holds", "refuted")],
                    "holds": by_verdict["holds"],
                }
            )
    return slides


def script(gathered: Gathered, found: Mapping[str, Sequence[Flip]]) -> dict[str, Any]:
    """The data for the page's script. Equal things stand once: most of a claim is the same on dozens of releases."""
    index = {run.minor: number for number, run in enumerate(gathered.runs)}
    store = _Store()
    parts = list(gathered.ledger.parts)
    return {
        "kinds": KINDS,
        "signs": SIGNS,
        "meaning": MEANING,
        "parts": [part.title for part in parts],
        "releases": [_release(gathered, run) for run in gathered.runs],
        "claims": [
            {
                "id": claim.id,
                "part": parts.index(gathered.ledger.part_of(claim)),
                "slides": claim.slides,
                "says": claim.statement,
                "correction": claim.correction or "",
                "instead": code(claim),
                "holds": _range(claim),
                "verdicts": _verdicts(gathered, claim),
                "specs": _specs(gathered, claim, store),
                "flips": [_flip(flip, index) for flip in found[claim.id]],
            }
            for claim in gathered.ledger
        ],
        "values": store.values,
        "evidence": store.evidence,
    }


def _release(gathered: Gathered, run: Run) -> dict[str, Any]:
    where = run.result.environment
    judged = [run.claim(claim.id) for claim in gathered.ledger if claim.id in run.result.claims]
    return {
        "minor": run.minor,
        "version": where.release,
        "released": run.released,
        "as_of": where.as_of,
        "python": where.python,
        "device": where.device,
        "platform": where.platform,
        "finished": run.result.footer["finished"][:10],
        "packages": [[name, where.packages[name]] for name in PACKAGES if name in where.packages],
        "marks": run.marks,
        "counts": counts([(entry["verdict"], entry["drift"]) for entry in judged]),
    }


def _range(claim: Claim) -> str:
    """What the ledger says of where it holds."""
    if not claim.executable:
        return ""
    if claim.holds is None:
        return "nowhere"
    ranges = [f"{package} {' or '.join(map(str, specifiers))}" for package, specifiers in claim.holds.items()]
    return ", ".join(ranges) or "wherever it is measured"


def _verdicts(gathered: Gathered, claim: Claim) -> list[list[Any]]:
    own = [run.claim(claim.id) for run in gathered.runs]
    return [[*key, length] for key, length in stretches((it["verdict"], it["reason"], it["drift"]) for it in own)]


def _flip(flip: Flip, index: Mapping[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {"to": flip.to, "before": index[flip.before.minor], "after": index[flip.after.minor]}
    if flip.cause is not None:
        made["cause"] = {
            "package": flip.cause.package,
            "version": flip.cause.version,
            "with": flip.cause.along,
            "link": flip.cause.link,
        }
    return made


def _specs(gathered: Gathered, claim: Claim, store: _Store) -> list[list[Any]]:
    """`[id, role, [[outcome, reason, evidence, releases], ...]]` of each spec; null where a run does not have it."""
    per_run = [{spec["id"]: spec for spec in run.claim(claim.id)["specs"]} for run in gathered.runs]
    names = sorted({name for specs in per_run for name in specs})  # the order of a result's document
    made = []
    for name in names:
        role = next(specs[name]["role"] for specs in reversed(per_run) if name in specs)
        told = [
            (spec["outcome"], spec["reason"], store.put(spec["evidence"])) if (spec := specs.get(name)) else None
            for specs in per_run
        ]
        made.append([name, role, [[*(key or [None]), length] for key, length in stretches(told)]])
    return made


class _Store:
    """Measured values and sets of them, each once."""

    def __init__(self) -> None:
        self.values: list[list[Any]] = []
        self.evidence: list[list[int]] = []
        self._places: dict[Any, int] = {}
        self._seen: dict[int, tuple[Any, int]] = {}

    def put(self, evidence: Mapping[str, Any]) -> int:
        """The place of a spec's evidence in `evidence`: a list of places in `values`."""
        if id(evidence) in self._seen:  # results share what they read from the archive
            return self._seen[id(evidence)][1]
        key = tuple(self._value(name, value) for name, value in evidence.items())
        place = self._place(("evidence", key), self.evidence, list(key))
        self._seen[id(evidence)] = (evidence, place)
        return place

    def _value(self, name: str, value: Any) -> int:
        if name == "exception" and isinstance(value, dict):  # not compared between releases
            text = re.sub(r"0x[0-9a-f]{6,}", "0x…", f"{value.get('type')}: {value.get('message')}")
            exact = text = re.sub(r"/claims-\w+/", "/claims-…/", text)
        else:
            exact, text = json.dumps(value, sort_keys=True), str(value)
        short = text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text):,} characters)"
        # A float is shown and, as in `reports compare`, never told as a change.
        return self._place((name, exact), self.values, [name, short, *([1] if isinstance(value, float) else [])])

    def _place(self, key: Any, where: list[Any], made: list[Any]) -> int:
        if key not in self._places:
            self._places[key] = len(where)
            where.append(made)
        return self._places[key]
