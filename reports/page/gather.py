"""The recorded results that a page or an export is made of, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from fixtures.releases import Release, releases
from reports import environment, results
from reports.ledger import Ledger, LedgerError
from reports.ranges import minor
from reports.results import Result

#: What a claim's table is where a result says nothing about it.
ABSENT: Mapping[str, Any] = {"verdict": "absent", "reason": None, "drift": False, "specs": ()}


class NothingRecorded(results.ResultError):
    """There is no result that can be used."""


@dataclass(frozen=True)
class Refused:
    """A file that is left out, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Run:
    """A result with the day on which its release was published (None: the release is not listed).

    `marks` say what a reader has to know before believing it: made by another suite, of another lock.
    """

    minor: str
    released: str | None
    result: Result
    marks: tuple[str, ...]

    def claim(self, claim_id: str) -> Mapping[str, Any]:
        """The claim's table of verdict, reason, drift and specs; `ABSENT` if the run did not judge it."""
        return self.result.claims.get(claim_id, ABSENT)


@dataclass(frozen=True)
class Gathered:
    """The ledger, the runs that can be used (oldest release first, one a release), and the files that cannot."""

    ledger: Ledger
    runs: tuple[Run, ...]
    refused: tuple[Refused, ...]


def gather(ledger: Ledger, paths: Iterable[Path]) -> Gathered:
    """Read results. Raises NothingRecorded if none of them can be used; it says why."""
    check, parts, listed = results.schema_check(), environment.partition(), releases()
    runs: dict[str, Run] = {}
    refused = []
    for path in paths:
        try:
            run = _run(ledger, results.read(path, check), parts, listed)
            if run.minor in runs:
                raise results.ResultError(f"{path}: another result of {run.minor} is there already")
        except (results.ResultError, InvalidVersion) as error:
            reason = str(error).removeprefix(f"{path}: ")
            refused.append(Refused(path.name, f"{type(error).__name__}: {reason}"))
        else:
            runs[run.minor] = run
    if not runs:
        why = "; ".join(f"{it.file}: {it.reason}" for it in refused) or "run `tox -e sweep`, then `reports keep`"
        raise NothingRecorded(f"no result can be used: {why}")
    ordered = sorted(runs.values(), key=lambda run: Version(run.result.environment.release))
    return Gathered(ledger, tuple(ordered), tuple(refused))


def _run(ledger: Ledger, result: Result, parts: Any, listed: Mapping[str, Release]) -> Run:
    if result.selection:
        raise results.ResultError(f"a part of the suite only ({', '.join(result.selection)})")
    where = result.environment
    name = minor(where.release)
    marks = []
    try:
        if changed := environment.differing(where.parts, parts(where.packages)):
            marks.append(
                f"made by another state of the suite; changed since, or what is expected: {', '.join(changed)}"
            )
    except LedgerError as error:
        marks.append(f"the ledger cannot be compared with it: {error}")
    if where.lock is None:
        marks.append("not made from a lock")
    elif name not in listed:
        marks.append(f"{name} is not among the listed releases")
    elif where.lock != environment.digest_of(listed[name].lock):
        marks.append("made from another lock than the one that is there now")
    if unknown := [claim_id for claim_id in result.claims if claim_id not in ledger.claims]:
        marks.append(f"{len(unknown)} of its claims are no longer in the ledger: {', '.join(unknown[:3])}")
    if missing := [claim.id for claim in ledger if claim.id not in result.claims]:
        marks.append(
            f"it says nothing about {len(missing)} of the {len(ledger.claims)} claims: {', '.join(missing[:3])}"
        )
    return Run(name, listed[name].released if name in listed else None, result, tuple(marks))
