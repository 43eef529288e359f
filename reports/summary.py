"""A run in words: counts by lecture part, refuted claims with what is true instead, drift. Fits 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import dedent, indent, wrap

from reports.ledger import Ledger
from reports.results import counts
from reports.verdict import Judged

WIDTH = 80

_COLUMNS = ("claims", "holds", "refuted", "not-run", "not-executable", "error", "drift")
_HEADINGS = ("claims", "holds", "refuted", "not run", "no code", "error", "drift")


def lines(ledger: Ledger, judged: Sequence[Judged]) -> Iterator[str]:
    """The summary, line by line, none longer than 80 columns."""
    yield from table(ledger, judged)
    yield from _reasons(judged)
    yield from _refuted(judged)
    yield from _disagreements(judged)


def table(ledger: Ledger, judged: Sequence[Judged]) -> Iterator[str]:
    """Counts by lecture part, with the total below."""
    yield f"{'part':<20}" + "".join(f"{heading:>8}" for heading in _HEADINGS)
    for part in ledger.parts:
        own = [entry for entry in judged if ledger.part_of(entry.claim) is part]
        if own:
            yield _row(part.title, own)
    yield _row("all", judged)


def _row(title: str, judged: Sequence[Judged]) -> str:
    counted = counts([(entry.verdict, entry.drift) for entry in judged])
    return f"{title:<20}" + "".join(f"{counted[column] or '·':>8}" for column in _COLUMNS)


def _reasons(judged: Sequence[Judged]) -> Iterator[str]:
    reasons = Counter(entry.reason for entry in judged if entry.verdict == "not-run")
    if reasons:
        yield ""
        yield from text(
            "not run: ", ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items(), key=str))
        )


def _refuted(judged: Sequence[Judged]) -> Iterator[str]:
    refuted = [entry for entry in judged if entry.verdict == "refuted"]
    if refuted:
        yield ""
        yield f"refuted ({len(refuted)}), and what is true instead"
    for entry in refuted:
        claim = entry.claim
        yield ""
        yield f"  {claim.id}  (slide {', '.join(map(str, claim.slides))})"
        yield from text("    says     ", claim.statement)
        yield from text("    instead  ", claim.correction or "(no correction is written for this release)")
        if claim.instead:
            yield "    write"  # code is not wrapped: it is there to be copied
            yield from indent(dedent(claim.instead).strip("\n"), "      ").splitlines()


def _disagreements(judged: Sequence[Judged]) -> Iterator[str]:
    if drifted := [entry for entry in judged if entry.drift]:
        yield ""
        yield f"drift ({len(drifted)}): the run and the ledger disagree"
    for entry in drifted:
        for spec in entry.specs:
            if spec.drift and spec.role == "correction":
                yield from text(f"  {entry.claim.id}: ", "its correction is not true here")
            elif spec.drift and spec.outcome == "passed":
                yield from text(f"  {entry.claim.id}: ", "holds here, the ledger says it is refuted")
            elif spec.drift:
                yield from text(f"  {entry.claim.id}: ", "refuted here, the ledger says it holds")
            else:
                continue
            yield from text("    ", spec.id)
            if message := spec.evidence.get("exception", {}).get("message"):
                yield from text("    ", message.partition("\n")[0])
    if broken := [entry for entry in judged if entry.verdict == "error"]:
        yield ""
        yield f"errors ({len(broken)}): nothing can be said of these claims"
        for entry in broken:
            for spec in entry.specs:
                if spec.outcome == "error":
                    yield from text(f"  {entry.claim.id}: ", spec.reason or "")
                    yield from text("    ", spec.id)


def text(label: str, words: str) -> list[str]:
    """Words after a label, wrapped to 80 columns; further lines are indented below the first word."""
    return wrap(
        " ".join(words.split()),
        WIDTH,
        initial_indent=label,
        subsequent_indent=" " * min(len(label), 13),
        break_on_hyphens=False,
    ) or [label]
