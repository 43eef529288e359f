"""Where a claim holds, as version specifiers that follow from recorded results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from packaging.version import Version

from reports.ledger import Claim, Ledger
from reports.results import Result

#: The packages whose versions may explain a verdict, in the order in which they are asked.
PACKAGES = ("transformers", "datasets", "huggingface_hub")


class Contradiction(ValueError):
    """The versions of no single package tell the results about a claim apart."""


@dataclass(frozen=True)
class Proposal:
    """What recorded results say about a claim whose range in the ledger they contradict.

    `wrong` are the releases of transformers on which the ledger is wrong. `ranges` are the shortest that agree with
    all results, each a package with its specifiers: which package it is, results cannot tell. Empty: everywhere;
    None: nowhere.
    """

    claim: Claim
    wrong: tuple[str, ...]
    ranges: tuple[tuple[str, tuple[str, ...]], ...] | None


def propose(ledger: Ledger, recorded: Sequence[Result]) -> list[Proposal]:
    """The claims about which ledger and results disagree, in the ledger's order.

    Raises Contradiction if no package's versions tell the results apart.
    """
    proposals = []
    for claim in ledger:
        measured = _measured(claim, recorded)
        wrong = [
            result.environment.release
            for result, holds in measured
            if claim.holds_on(result.environment.packages) != holds
        ]
        if wrong:
            proposals.append(Proposal(claim, tuple(sorted(wrong, key=Version)), _shortest(claim.id, measured)))
    return proposals


def _measured(claim: Claim, recorded: Sequence[Result]) -> list[tuple[Result, bool]]:
    """The results that say whether the claim holds."""
    verdicts = [(result, result.claims.get(claim.id, {}).get("verdict")) for result in recorded]
    return [(result, verdict == "holds") for result, verdict in verdicts if verdict in ("holds", "refuted")]


def _shortest(claim_id: str, measured: Sequence[tuple[Result, bool]]) -> tuple[tuple[str, tuple[str, ...]], ...] | None:
    if not any(holds for _, holds in measured):
        return None
    found = {}
    for package in PACKAGES:
        by_version: dict[str, set[bool]] = {}
        for result, holds in measured:
            by_version.setdefault(minor(result.environment.packages[package]), set()).add(holds)
        if all(len(verdicts) == 1 for verdicts in by_version.values()):
            found[package] = specifiers({version: verdicts.pop() for version, verdicts in by_version.items()})
    if not found:
        raise Contradiction(
            f"{claim_id}: on one version of each of {', '.join(PACKAGES)} it was measured to hold and not to hold"
        )
    bounds = {package: sum(text.count(",") + 1 for text in texts if text) for package, texts in found.items()}
    fewest = min(filter(None, bounds.values()), default=0)
    return tuple((package, texts) for package, texts in found.items() if fewest and bounds[package] == fewest)


def minor(version: str) -> str:
    """`4.57.6` -> `4.57`."""
    return ".".join(map(str, Version(version).release[:2]))


def specifiers(holds: Mapping[str, bool]) -> tuple[str, ...]:
    """The ranges of versions on which something holds; `holds` maps each measured minor version (`4.57`) to whether.

    None at all: it holds nowhere; one empty text: everywhere. Versions between two that agree are taken to agree with
    them, those after the newest and before the oldest to agree with it: a range says no more about them than the next
    result will.
    """
    versions = sorted(holds, key=Version)
    runs = [(value, list(group)) for value, group in groupby(versions, key=holds.__getitem__)]
    begins = [""] + [f">={run[0]}" for _, run in runs[1:]]
    ends = [f"<{run[0]}" for _, run in runs[1:]] + [""]
    return tuple(
        ",".join(filter(None, bounds)) for (value, _), *bounds in zip(runs, begins, ends, strict=True) if value
    )
