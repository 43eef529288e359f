"""What the outcomes of a claim's specs say about the claim.

A spec's outcome is `passed`, `refuted` (it raised what the ledger declares as refuting the claim), `not-run`, `error`.
Drift is a disagreement of the run with the ledger: a claim that holds here and should not, or the other way round, or a
correction that is not true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from reports.ledger import Claim, Ledger

Outcome = Literal["passed", "refuted", "not-run", "error"]
Verdict = Literal["holds", "refuted", "not-run", "not-executable", "error"]
Role = Literal["claim", "correction"]

#: Why a correction's spec does not run where there is nothing to correct.
CLAIM_HOLDS = "the claim holds here"

VERDICTS: tuple[Verdict, ...] = ("holds", "refuted", "not-run", "not-executable", "error")


@dataclass(frozen=True)
class SpecResult:
    """What one spec (one case of it) did. `seconds` is its call's wall time; `reason` says why it was not run."""

    id: str
    claim: str
    role: Role
    outcome: Outcome
    seconds: float = 0.0
    reason: str | None = None
    drift: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict and the specs it rests on."""

    claim: Claim
    verdict: Verdict
    reason: str | None
    specs: tuple[SpecResult, ...]

    @property
    def drift(self) -> bool:
        """Whether the run and the ledger disagree about it."""
        return any(spec.drift for spec in self.specs)


def judge(claim: Claim, specs: Iterable[SpecResult]) -> Judged:
    """The verdict on one claim.

    It holds when all of its specs passed. One error makes the verdict an error: nothing can be said. One refuting spec
    refutes it. One spec that was not run leaves it not-run, for that spec's reason.
    """
    specs = tuple(specs)
    if claim.not_executable:
        return Judged(claim, "not-executable", claim.not_executable, specs)
    if claim.not_run:
        return Judged(claim, "not-run", claim.not_run, specs)
    own = [spec for spec in specs if spec.role == "claim"]
    if any(spec.outcome == "error" for spec in specs):
        return Judged(claim, "error", "a spec broke", specs)
    if any(spec.outcome == "refuted" for spec in own):
        return Judged(claim, "refuted", None, specs)
    if skipped := [spec for spec in own if spec.outcome == "not-run"]:
        return Judged(claim, "not-run", skipped[0].reason, specs)
    return Judged(claim, "holds", None, specs)


def judge_all(ledger: Ledger, specs: Iterable[SpecResult], whole: bool) -> list[Judged]:
    """The verdicts on all claims that have results, in the ledger's order.

    In a `whole` run also on those that are not executed: a part of the suite says nothing about them.
    """
    by_claim: dict[str, list[SpecResult]] = {}
    for spec in specs:
        by_claim.setdefault(spec.claim, []).append(spec)
    judged = []
    for claim in ledger:
        own = sorted(by_claim.get(claim.id, []), key=lambda spec: spec.id)
        ran = any(spec.role == "claim" or spec.outcome == "error" or spec.drift for spec in own)
        if ran or (whole and not claim.executable):
            judged.append(judge(claim, own))
    return judged


def from_document(ledger: Ledger, claims: Mapping[str, Mapping[str, Any]]) -> list[Judged]:
    """The verdicts of a result document, in the ledger's order. Raises UnknownClaim for one the ledger lacks."""
    for claim_id in claims:
        ledger[claim_id]
    return [
        Judged(
            claim,
            claims[claim.id]["verdict"],
            claims[claim.id]["reason"],
            tuple(SpecResult(claim=claim.id, **spec) for spec in claims[claim.id]["specs"]),
        )
        for claim in ledger
        if claim.id in claims
    ]
