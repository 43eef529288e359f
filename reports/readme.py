"""The README's table of verdicts: Markdown between two markers, made from a recorded run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fixtures.releases import Release, releases
from reports import culprit
from reports.ledger import Claim, Ledger
from reports.results import Result, counts
from reports.verdict import Judged, from_document

BEGIN = "<!-- table: made by `python -m reports readme`, not by hand -->"
END = "<!-- end of table -->"

_COLUMNS = ("claims", "holds", "refuted", "not-run", "not-executable")


class ReadmeError(ValueError):
    """The README has no place for the table, or another table than the result says."""


def table(ledger: Ledger, result: Result, recorded: Mapping[str, Result]) -> str:
    """The Markdown: which run it is, counts by lecture part, the refuted claims with what is true instead, the flips.

    `recorded` are the results by minor release, oldest first, between which claims flip.
    """
    return "\n".join([*_lines(ledger, result), *_flips(ledger, recorded)])


def _lines(ledger: Ledger, result: Result) -> Iterator[str]:
    where = result.environment
    datasets, day = where.packages.get("datasets", "missing"), result.footer["finished"][:10]
    yield f"transformers {where.release}, datasets {datasets}, Python {where.python}, {where.device}; recorded {day}."
    yield ""
    judged = from_document(ledger, result.claims)
    yield f"| part | {' | '.join(_COLUMNS)} |"
    yield f"|---|{'---:|' * len(_COLUMNS)}"
    for part in ledger.parts:
        yield _row(part.title, [entry for entry in judged if ledger.part_of(entry.claim) is part])
    yield _row("all", judged)
    yield ""
    refuted = [entry for entry in judged if entry.verdict == "refuted"]
    sentences = [entry for entry in refuted if entry.claim.id.count(".") == 1]
    yield f"Refuted are {len(sentences)} of the lecture's own sentences, below, and {len(refuted) - len(sentences)} of"
    yield "their parts: what a sentence implies at some edge. `python -m reports show RUN` prints them all."
    yield ""
    yield "| refuted | slide | the lecture says | what is true instead |"
    yield "|---|---|---|---|"
    for claim in (entry.claim for entry in sentences):
        cells = (f"`{claim.id}`", ", ".join(map(str, claim.slides)), claim.statement, claim.correction or "")
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _flips(ledger: Ledger, recorded: Mapping[str, Result]) -> Iterator[str]:
    if len(recorded) < 2:
        return
    listed, minors = releases(), list(recorded)
    flips = {claim.id: culprit.flips(recorded, claim.id) for claim in ledger}
    found = {claim_id: own for claim_id, own in flips.items() if own}
    sentences = [claim for claim in ledger if claim.id in found and claim.id.count(".") == 1]
    yield ""
    yield f"Between {minors[0]} and {minors[-1]} ({len(minors)} releases) the verdict changes for {len(found)} claims,"
    yield f"{len(sentences)} of them the lecture's own sentences:"
    yield ""
    yield "| claim | slide | the lecture says | verdicts |"
    yield "|---|---|---|---|"
    for claim in sentences:
        cells = (
            f"`{claim.id}`",
            ", ".join(map(str, claim.slides)),
            claim.statement,
            _history(claim, found[claim.id], listed),
        )
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _history(claim: Claim, found: Sequence[culprit.Flip], listed: Mapping[str, Release]) -> str:
    """`holds; refuted from 4.46 on (transformers 4.46.0)`."""
    told = [found[0].before]
    for flip in found:
        cause = culprit.known(flip, claim, listed)
        told.append(f"{flip.after} from {flip.newer} on" + (f" ({cause.package} {cause.version})" if cause else ""))
    return "; ".join(told)


def _row(title: str, judged: list[Judged]) -> str:
    counted = counts([(entry.verdict, entry.drift) for entry in judged])
    return f"| {title} | {' | '.join(str(counted[column]) for column in _COLUMNS)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def update(path: Path, made: str, check: bool) -> int:
    """Put the table between the README's markers; with `check` only compare. Returns the exit code.

    Raises ReadmeError if a marker is missing, or if `check` finds another table there.
    """
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ReadmeError(f"{path.name} needs each of the two markers once: {BEGIN} and {END}")
    head, rest = text.split(BEGIN)
    new = f"{head}{BEGIN}\n{made}\n{END}{rest.split(END)[1]}"
    if new == text:
        print(f"{path.name}: unchanged", file=sys.stderr)
    elif check:
        raise ReadmeError(f"{path.name} shows another run; make its table anew: python -m reports readme FILE")
    else:
        path.write_text(new, encoding="utf-8")
        print(f"{path.name}: written", file=sys.stderr)
    return 0
