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

    `wrong` are the releases of transformers on which the ledger is wrong. `ranges` are the shortest ranges that agree
    with all results, each a package with its specifier: which package it is, results cannot tell. Empty:
    everywhere; None: nowhere.
    """

    claim: Claim
    wrong: tuple[str, ...]
    ranges: tuple[tuple[str, str], ...] | None


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


def _shortest(claim_id: str, measured: Sequence[tuple[Result, bool]]) -> tuple[tuple[str, str], ...] | None:
    if not any(holds for _, holds in measured):
        return None
    found = {}
    for package in PACKAGES:
        by_version: dict[str, set[bool]] = {}
        for result, holds in measured:
            by_version.setdefault(minor(result.environment.packages[package]), set()).add(holds)
        if all(len(verdicts) == 1 for verdicts in by_version.values()):
            found[package] = specifier({version: verdicts.pop() for version, verdicts in by_version.items()})
    if not found:
        raise Contradiction(
            f"{claim_id}: on one version of each of {', '.join(PACKAGES)} it was measured to hold and not to hold"
        )
    shortest = min((text.count(",") for text in found.values() if text), default=0)
    return tuple((package, text) for package, text in found.items() if text and text.count(",") == shortest)


def minor(version: str) -> str:
    """`4.57.6` -> `4.57`."""
    return ".".join(map(str, Version(version).release[:2]))


def specifier(holds: Mapping[str, bool]) -> str | None:
    """The range of versions on which something holds; `holds` maps each measured minor version (`4.57`) to whether.

    The empty string: on all of them; None: on none. Versions between two that agree are taken to agree with them, those
    after the newest and before the oldest to agree with it: a range says no more about them than the next result will.
    """
    versions = sorted(holds, key=Version)
    runs = [(value, list(group)) for value, group in groupby(versions, key=holds.__getitem__)]
    if not any(holds.values()):
        return None
    first = 0 if runs[0][0] else 1
    last = len(runs) - 1 if runs[-1][0] else len(runs) - 2
    parts = [f">={runs[first][1][0]}"] if first else []
    parts += [f"<{runs[last + 1][1][0]}"] if last < len(runs) - 1 else []
    holes = [version for value, group in runs[first:last] if not value for version in group]
    return ",".join(parts + [f"!={version}.*" for version in holes])
