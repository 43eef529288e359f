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
    slow: bool = False,
) -> list[str] | None:
    """The files of specs that have to be run again for a release, and those that are gone; empty: its result is done.

    None if all has to be run: there is no finished, full result of this lock, or what all specs share has changed.
    With `slow` files whose slow specs were not run are among them.
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
    if environment.COMMON in changed:
        return None
    return sorted({*changed, *_left_out(result)}) if slow else changed


def slow_ran(result: Result) -> bool:
    """Whether it is the result of a run with `--slow`."""
    return not _left_out(result)


def _left_out(result: Result) -> set[str]:
    """The files whose slow specs were not run."""
    return {_file(spec) for spec in _specs(result) if spec.reason == "slow"}


def renewed(ledger: Ledger, old: Result, new: Result) -> dict[str, Any]:
    """The document of a full run, from an old one and a run of what has changed since (see `outdated`).

    Its environment is the new run's, its seconds are those of the old one: of the last run of all.
    """
    where = new.environment
    exchanged = {*environment.differing(old.environment.parts, where.parts), *map(_file, _specs(new))}
    kept = [spec for spec in _specs(old) if _file(spec) not in exchanged]
    judged = judge_all(ledger, [*kept, *_specs(new)], whole=True)
    return results.document(where, [], judged, old.footer["seconds"])


def _specs(result: Result) -> Iterable[SpecResult]:
    for claim, table in result.claims.items():
        yield from (SpecResult(claim=claim, **spec) for spec in table["specs"])


def _file(spec: SpecResult) -> str:
    return spec.id.partition("::")[0]
