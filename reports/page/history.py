"""Since when what is so: a claim's verdicts over the releases, and where they flip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TypeVar

from packaging.version import Version

from reports.ledger import Claim
from reports.ledger import Flip as Cause
from reports.page.gather import Gathered, Run

JUDGED = ("holds", "refuted")

T = TypeVar("T")


@dataclass(frozen=True)
class Flip:
    """A claim's verdict is `to` on the run `after` and was the other one on `before`, the last run that judged it.

    `cause` is what the ledger knows of it: package, exact version, link; None where nothing is known.
    """

    to: str
    before: Run
    after: Run
    cause: Cause | None = None


def flips(gathered: Gathered, claim: Claim) -> Iterator[Flip]:
    """Where it flipped, oldest first. Runs that did not judge it are passed over."""
    judged = [run for run in gathered.runs if run.claim(claim.id)["verdict"] in JUDGED]
    for before, after in pairwise(judged):
        to = after.claim(claim.id)["verdict"]
        if before.claim(claim.id)["verdict"] != to:
            yield Flip(to, before, after, _cause(claim, to, before, after))


def _cause(claim: Claim, to: str, before: Run, after: Run) -> Cause | None:
    for known in claim.flips:
        old, new = (run.result.environment.packages.get(known.package) for run in (before, after))
        if known.to == to and old and new and Version(old) < Version(known.version) <= Version(new):
            return known
    return None


def stretches(values: Iterable[T]) -> list[tuple[T, int]]:
    """Equal neighbours as one: `aab` -> `[(a, 2), (b, 1)]`."""
    return [(value, len(list(group))) for value, group in groupby(values)]


def since(found: Sequence[Flip], verdict: str) -> str:
    """In words, since when a claim has the verdict that it has on the newest run; empty if it always had it."""
    if not found or found[-1].to != verdict:
        return ""
    flip = found[-1]
    release = flip.after.result.environment.release
    day = f", published {flip.after.released}" if flip.after.released else ""
    word = "false" if flip.to == "refuted" else "true"
    cause = f" (it came with {flip.cause.package} {flip.cause.version})" if flip.cause else ""
    return f"{word} since {release}{day}{cause}; not so on {flip.before.result.environment.release}"
