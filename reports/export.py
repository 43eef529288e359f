"""The results for other programs: JSON, a record of ranges for each claim, and a JUnit file for CI systems.

The first two follow `export.schema.json` and `ranges.schema.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from packaging.version import Version

from reports.ledger import Claim
from reports.page.gather import Gathered, Run
from reports.page.history import JUDGED, Flip, flips
from reports.verdict import VERDICTS, from_document

FOLDER = Path(__file__).parent
SCHEMA = json.loads((FOLDER / "export.schema.json").read_text(encoding="utf-8"))
RANGES_SCHEMA = json.loads((FOLDER / "ranges.schema.json").read_text(encoding="utf-8"))

#: The packages by whose versions ranges are told.
PACKAGES = ("transformers", "datasets", "huggingface_hub", "tokenizers", "accelerate")


def document(gathered: Gathered) -> dict[str, Any]:
    """All verdicts with the ledger's words and the runs that they come from; evidence stands in the results."""
    return {
        "schema": 1,
        "lecture": gathered.ledger.title,
        "refused": [{"file": it.file, "reason": it.reason} for it in gathered.refused],
        "runs": [
            {
                "release": run.result.environment.release,
                "released": run.released,
                "python": run.result.environment.python,
                "device": run.result.environment.device,
                "packages": dict(run.result.environment.packages),
                "lock": run.result.environment.lock,
                "suite": run.result.environment.suite,
                "finished": run.result.footer["finished"],
                "marks": list(run.marks),
                "counts": {name: run.result.footer[name] for name in ("claims", *VERDICTS, "drift")},
            }
            for run in gathered.runs
        ],
        "claims": [_words(gathered, claim) | {"verdicts": _verdicts(gathered, claim)} for claim in gathered.ledger],
    }


def _words(gathered: Gathered, claim: Claim) -> dict[str, Any]:
    return {
        "claim": claim.id,
        "part": gathered.ledger.part_of(claim).title,
        "slides": list(claim.slides),
        "statement": claim.statement,
        "correction": claim.correction,
        "instead": claim.instead,
    }


def _verdicts(gathered: Gathered, claim: Claim) -> list[dict[str, Any]]:
    verdicts = []
    for run in gathered.runs:
        if claim.id in run.result.claims:
            table = run.claim(claim.id)
            verdicts.append(
                {"release": run.result.environment.release}
                | {key: table[key] for key in ("verdict", "reason", "drift")}
            )
    return verdicts


def ranges(gathered: Gathered) -> dict[str, Any]:
    """One record for each claim: where it began and ceased to be true, in the versions of each package.

    A package is left out where its versions do not explain the verdicts: one version has both.
    """
    return {
        "schema": 1,
        "lecture": gathered.ledger.title,
        "first": gathered.runs[0].result.environment.release,
        "last": gathered.runs[-1].result.environment.release,
        "claims": [_words(gathered, claim) | _record(gathered, claim) for claim in gathered.ledger],
    }


def _record(gathered: Gathered, claim: Claim) -> dict[str, Any]:
    judged = [run for run in gathered.runs if run.claim(claim.id)["verdict"] in JUDGED]
    verdicts = [run.claim(claim.id)["verdict"] for run in judged]
    packages = {}
    for package in PACKAGES:
        by_version: dict[str, set[str]] = {}
        for run, verdict in zip(judged, verdicts, strict=True):
            by_version.setdefault(run.result.environment.packages.get(package, ""), set()).add(verdict)
        if by_version and "" not in by_version and all(len(found) == 1 for found in by_version.values()):
            packages[package] = _stretches({version: found.pop() for version, found in by_version.items()})
    return {
        "judged": len(judged),
        "recorded": len(gathered.runs),
        "holds": verdicts.count("holds"),
        "refuted": verdicts.count("refuted"),
        "packages": packages,
        "changed": [_change(flip) for flip in flips(gathered, claim)],
    }


def _stretches(verdicts: Mapping[str, str]) -> list[dict[str, str | None]]:
    """Where it holds, in versions of one package. `introduced` null: on the oldest measured already; `removed` null: on
    the newest measured still."""
    found: list[dict[str, str | None]] = []
    ordered = sorted(verdicts, key=Version)
    for place, version in enumerate(ordered):
        if verdicts[version] != "holds":
            continue
        if found and found[-1]["removed"] is None:
            found[-1]["last"] = version
        else:
            found.append({"introduced": version if place else None, "last": version, "removed": None})
        if place + 1 < len(ordered) and verdicts[ordered[place + 1]] != "holds":
            found[-1]["removed"] = ordered[place + 1]
    return found


def _change(flip: Flip) -> dict[str, Any]:
    cause = flip.cause
    return {
        "to": flip.to,
        "before": _versions(flip.before),
        "after": _versions(flip.after),
        "released": flip.after.released,
        "cause": cause and {"package": cause.package, "version": cause.version, "link": cause.link},
    }


def _versions(run: Run) -> dict[str, str]:
    return {name: run.result.environment.packages[name] for name in PACKAGES if name in run.result.environment.packages}


def junit(gathered: Gathered) -> str:
    """A test suite for each release, a test case for each claim. As in a run, only drift is a failure.

    A refuted claim that the ledger knows passes, with its correction as output: it is a finding.
    """
    root = ElementTree.Element("testsuites", name=_xml(gathered.ledger.title))
    for run in gathered.runs:
        judged = from_document(
            gathered.ledger, {key: it for key, it in run.result.claims.items() if key in gathered.ledger.claims}
        )
        release = run.result.environment.release
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_xml(f"transformers {release}"),
            timestamp=run.result.footer["finished"].removesuffix("Z"),
            tests=str(len(judged)),
            failures=str(sum(it.drift and it.verdict != "error" for it in judged)),
            errors=str(sum(it.verdict == "error" for it in judged)),
            skipped=str(sum(it.verdict in ("not-run", "not-executable") and not it.drift for it in judged)),
        )
        for entry in judged:
            part = gathered.ledger.part_of(entry.claim).title
            seconds = sum(spec.seconds for spec in entry.specs)
            case = ElementTree.SubElement(
                suite, "testcase", classname=_xml(f"{release}.{part}"), name=_xml(entry.claim.id), time=f"{seconds:.3f}"
            )
            if entry.verdict == "error":
                ElementTree.SubElement(case, "error", message=_xml(entry.reason or "error"))
            elif entry.drift:
                words = f"{entry.verdict} here, and the ledger expected otherwise, or its correction is not true"
                ElementTree.SubElement(case, "failure", message=_xml(words)).text = _xml(entry.claim.statement)
            elif entry.verdict in ("not-run", "not-executable"):
                ElementTree.SubElement(case, "skipped", message=_xml(entry.reason or entry.verdict))
            elif entry.verdict == "refuted":
                said = f"says: {entry.claim.statement}\ninstead: {entry.claim.correction or ''}"
                ElementTree.SubElement(case, "system-out").text = _xml(said)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold, such as the escape of a terminal's colours."""
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
