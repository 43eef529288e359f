"""Brings a result up to date without running all of it again: the specs of files that have changed are exchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fixtures.releases import Release
from reports import environment, results
from reports.ledger import Ledger
from reports.results import Result
from reports.verdict import SpecResult, judge_all


def outdated(
    release: Release,
    path: Path,
    parts: Callable[[Mapping[str, str]], dict[str, str]],
    follows_schema: Callable[[Any], bool],
) -> list[str] | None:
    """The files of specs that have to be run again for a release, and those that are gone; empty: its result is done.

    None if all has to be run: there is no finished, full result of this lock, or what all specs share has changed.
    `parts` is of the suite that is there (`environment.partition`), `follows_schema` as for `results.read`.
    """
    try:
        result = results.read(path, follows_schema)
    except results.ResultError:
        return None
    where = result.environment
    if result.selection or where.lock != environment.digest_of(release.lock):
        return None
    changed = environment.differing(where.parts, parts(where.packages))
    return None if environment.COMMON in changed else changed


def renewed(ledger: Ledger, old: Result, new: Result) -> dict[str, Any]:
    """The document of a full run, from an old one and a run of what has changed since (see `outdated`).

    Its environment is the new run's, its seconds are those of the old one: of the last run of all.
    """
    where = new.environment
    changed = environment.differing(old.environment.parts, where.parts)
    kept = [spec for spec in _specs(old) if spec.id.partition("::")[0] not in changed]
    judged = judge_all(ledger, [*kept, *_specs(new)], whole=True)
    return results.document(where, [], judged, old.footer["seconds"])


def _specs(result: Result) -> Iterable[SpecResult]:
    for claim, table in result.claims.items():
        yield from (SpecResult(claim=claim, **spec) for spec in table["specs"])
