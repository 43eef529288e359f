"""What changes for somebody who upgrades: two recorded runs, claim by claim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from reports.ledger import Claim, Ledger
from reports.results import Result
from reports.summary import text

Kind = Literal["lost", "won", "new", "gone", "other"]

#: What each kind of change is, in words, in the order in which it is told.
KINDS: dict[Kind, str] = {
    "lost": "true before, refuted now",
    "won": "refuted before, true now",
    "new": "can be judged now and could not before",
    "gone": "could be judged before and cannot now",
    "other": "the same verdict, on other evidence",
}


@dataclass(frozen=True)
class Change:
    """One claim that differs between two runs. `before` and `after` are verdicts, or a reason not to run."""

    claim: Claim
    kind: Kind
    before: str
    after: str
    evidence: tuple[tuple[str, Any, Any], ...] = ()  # what a spec measured: its name, before, after


def changes(ledger: Ledger, before: Result, after: Result) -> list[Change]:
    """What differs, in the ledger's order within each kind. Claims that one of the runs left out are not compared."""
    found = []
    for claim in ledger:
        if claim.id in before.claims and claim.id in after.claims:
            change = _change(claim, before.claims[claim.id], after.claims[claim.id])
            if change is not None:
                found.append(change)
    return sorted(found, key=lambda change: list(KINDS).index(change.kind))


def _change(claim: Claim, before: Any, after: Any) -> Change | None:
    old, new = (it["reason"] if it["verdict"] == "not-run" else it["verdict"] for it in (before, after))
    judged = ("holds", "refuted")
    if old == new:
        evidence = tuple(_differing(before, after))
        return Change(claim, "other", old, new, evidence) if evidence and old in judged else None
    kinds: dict[tuple[bool, bool], Kind] = {(False, True): "new", (True, False): "gone", (True, True): "lost"}
    kind = kinds.get((old in judged, new in judged))
    if kind == "lost" and new == "holds":
        kind = "won"
    return Change(claim, kind, old, new) if kind else None


def _differing(before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Evidence of the specs that ran in both and measured something else: a default, a list of names."""
    earlier = {spec["id"]: spec["evidence"] for spec in before["specs"]}
    for spec in after["specs"]:
        for name, value in spec["evidence"].items():
            old = earlier.get(spec["id"], {}).get(name, value)
            if name != "exception" and old != value and not isinstance(value, float):
                yield name, old, value


def lines(before: Result, after: Result, found: list[Change]) -> Iterator[str]:
    """For a terminal of 80 columns."""
    yield f"from transformers {before.environment.release} to {after.environment.release}"
    if not found:
        yield "nothing that the lecture speaks of changes"
    for kind, title in KINDS.items():
        own = [change for change in found if change.kind == kind]
        if own:
            yield ""
            yield f"{title} ({len(own)})"
        for change in own:
            yield ""
            yield f"  {change.claim.id}  (slide {', '.join(map(str, change.claim.slides))})"
            yield from text("    says     ", change.claim.statement)
            if change.kind in ("lost", "won"):
                label = "    instead  " if change.kind == "lost" else "    before   "
                yield from text(label, change.claim.correction or "")
            elif change.kind in ("new", "gone"):
                yield from text("    then     ", change.before)
                yield from text("    now      ", change.after)
            for name, old, new in change.evidence:
                yield from text("    ", f"{name}: {old} -> {new}"[:400])


def markdown(before: Result, after: Result, found: list[Change]) -> Iterator[str]:
    """The same as Markdown."""
    yield f"## From transformers {before.environment.release} to {after.environment.release}"
    for kind, title in KINDS.items():
        own = [change for change in found if change.kind == kind]
        if own:
            yield ""
            yield f"### {title[0].upper()}{title[1:]} ({len(own)})"
            yield ""
        for change in own:
            yield f"- `{change.claim.id}`: {change.claim.statement}"
            if change.kind in ("lost", "won"):
                yield f"  {'Instead' if kind == 'lost' else 'Before'}: {change.claim.correction}"
            elif change.kind in ("new", "gone"):
                yield f"  Then: {change.before}; now: {change.after}."
            for name, old, new in change.evidence:
                yield f"  - {name}: `{old}` → `{new}`"


def document(before: Result, after: Result, found: list[Change]) -> dict[str, Any]:
    """The same for programs: JSON."""
    return {
        "from": before.environment.packages,
        "to": after.environment.packages,
        "changes": [
            {
                "claim": change.claim.id,
                "kind": change.kind,
                "before": change.before,
                "after": change.after,
                "statement": change.claim.statement,
                "correction": change.claim.correction,
                "evidence": [{"name": name, "before": old, "after": new} for name, old, new in change.evidence],
            }
            for change in found
        ],
    }
