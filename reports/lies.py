"""What came of lies about the libraries: which claims noticed them (`suite/meta/lies/` tells them).

`reports/lies.json` holds what a run over all lies found (`python -m suite.meta.lies --record`), `lies-cross.json` what
all unrelated claims said of them (`--cross --record`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from reports import archive
from reports.ledger import Ledger

PATH = Path(__file__).parent / "lies.json"
CROSSED = Path(__file__).parent / "lies-cross.json"

#: How a lie ended that all its specs were run under; otherwise a text says what stuck, died or broke.
WHOLE = "whole"

#: The names of runs in which no lie was told begin with this; a family follows.
TRUTH = "truth-"


#: The claims that each lie names, and patterns for others that may notice it, by the name of the lie.
About = Mapping[str, tuple[Sequence[str], Sequence[str]]]


class LiesError(ValueError):
    """What was found about lies cannot be used."""


@dataclass(frozen=True)
class Tried:
    """A lie and what came of it.

    `claims` have to notice it, claims that match one of the patterns in `also` may. `noticed` says of those that
    noticed how (drift or error). `strangers` is the number of unrelated claims whose specs ran under it, too.
    """

    name: str
    says: str
    claims: Sequence[str]
    also: Sequence[str]
    noticed: Mapping[str, str]
    strangers: int
    ended: str

    @property
    def told(self) -> bool:
        """Whether it is a lie, and not a run without one."""
        return not self.name.startswith(TRUTH)

    @property
    def silent(self) -> list[str]:
        """Claims that should have noticed and did not."""
        return sorted(set(self.claims) - set(self.noticed))

    def strays(self, ledger: Ledger) -> list[str]:
        """Claims that noticed and have nothing to do with it."""
        return unrelated(ledger, self.claims, self.also, self.noticed)


@dataclass(frozen=True)
class Together:
    """Lies that were told at the same time to claims that have nothing to do with any of them, and are not slow.

    `tried` is the number of those claims, `noticed` says of those that noticed how; `ended` as for `Tried`. What
    noticed lies told together is not among their claims, but among those of each half of them.
    """

    lies: Sequence[str]
    tried: int
    noticed: Mapping[str, str]
    ended: str

    def strays(self, ledger: Ledger, about: About) -> list[str]:
        """Claims that noticed a lie and have nothing to do with it. Raises LiesError if `about` lacks it."""
        if not self.noticed:
            return []
        try:
            named, also = about[self.lies[0]]  # what is noticed was told alone
        except KeyError as error:
            raise LiesError(
                f"{CROSSED.name}: there is no lie {error}; tell all again: python -m suite.meta.lies --cross --record"
            ) from error
        return unrelated(ledger, named, also, self.noticed)


def unrelated(ledger: Ledger, named: Iterable[str], also: Iterable[str], claims: Iterable[str]) -> list[str]:
    """Those of some claims that have nothing to do with a lie, which names claims and says what it may touch also.

    A claim has to do with it if it is of the same part of the lecture as one that the lie names, or if it matches one
    of the patterns in `also`. The parts are the ledger's: the Hub, a model, training data, training.
    """
    parts = {ledger.part_of(ledger[claim]) for claim in named}
    others = sorted(claim for claim in claims if ledger.part_of(ledger[claim]) not in parts)
    return [claim for claim in others if not any(fnmatchcase(claim, glob) for glob in also)]


def read(path: Path = PATH) -> list[Tried]:
    """What was recorded. Raises LiesError if the file is missing or something else."""
    try:
        return [Tried(name, **entry) for name, entry in json.loads(path.read_text(encoding="utf-8")).items()]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise LiesError(f"{path}: not what `python -m suite.meta.lies --record` writes: {error}") from error


def read_crossed(path: Path = CROSSED) -> list[Together]:
    """What was recorded of the cross product. Raises LiesError if the file is missing or something else."""
    try:
        return [Together(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise LiesError(f"{path}: not what `python -m suite.meta.lies --cross --record` writes: {error}") from error


def merged(recorded: Iterable[Together], found: Sequence[Together], known: Iterable[str]) -> list[Together]:
    """What is recorded, of lies that are still known, with what was found of some of them in the place of what was."""
    kept = set(known) - {name for together in found for name in together.lies}
    others = (replace(together, lies=[name for name in together.lies if name in kept]) for together in recorded)
    return [*(together for together in others if together.lies), *found]


def write_crossed(found: Iterable[Together], path: Path = CROSSED) -> None:
    """Record what came of lies that were told together."""
    archive.write(path, json.dumps([asdict(together) for together in found], indent=1) + "\n")


def write(found: Iterable[Tried], path: Path = PATH) -> None:
    """Record what was found about lies, in the order of their names."""
    entries: dict[str, Any] = {}
    for tried in sorted((tried for tried in found if tried.told), key=lambda tried: tried.name):
        entry = asdict(tried)
        entries[entry.pop("name")] = entry
    archive.write(path, json.dumps(entries, indent=1, ensure_ascii=False) + "\n")


def lines(ledger: Ledger, found: Sequence[Tried]) -> list[str]:
    """The summary, at most 80 columns wide: what is wrong with each lie, a table by family, kill rate, precision."""
    told = [tried for tried in found if tried.told]
    printed = []
    for tried in found:
        wrong = [f"not noticed by {claim}" for claim in tried.silent] if tried.ended == WHOLE else [tried.ended]
        if tried.told:
            wrong += [f"noticed by an unrelated claim: {claim}" for claim in tried.strays(ledger)]
        else:
            wrong += [f"noticed without a lie: {claim}" for claim in sorted(tried.noticed)]
        if wrong:
            printed += [tried.name, *(f"    {text}" for text in wrong)]
    printed += ["", f"{'family':<12}{'lies':>8}{'killed':>8}{'claims':>8}{'covered':>9}{'strays':>8}"]
    families: dict[str, list[Tried]] = {}
    for tried in told:
        for family in dict.fromkeys(map(_family, tried.claims)):
            families.setdefault(family, []).append(tried)
    executable = [claim.id for claim in ledger if claim.executable]
    rows = [*((family, families[family]) for family in dict.fromkeys(map(_family, executable)) if family in families)]
    for family, lies in [*rows, ("all", told)]:
        own = [claim for claim in executable if family in (_family(claim), "all")]
        covered = {claim for tried in lies for claim in tried.claims} & set(own)
        killed = sum(tried.ended == WHOLE and not tried.silent for tried in lies)
        strays = sum(len(tried.strays(ledger)) for tried in lies)
        printed.append(f"{family:<12}{len(lies):>8}{killed:>8}{len(own):>8}{len(covered):>9}{strays:>8}")
    killed = sum(tried.ended == WHOLE and not tried.silent for tried in told)
    noticed = sum(len(tried.noticed) for tried in told)
    strays = sum(len(tried.strays(ledger)) for tried in told)
    printed += [
        "",
        f"kill rate  {_share(killed, len(told))} lies were noticed by every claim they name",
        f"precision  {_share(noticed - strays, noticed)} claims that noticed one have to do with it;",
        f"           {sum(tried.strangers for tried in told):,} times an unrelated claim was tried",
    ]
    return printed


def crossed(ledger: Ledger, about: About, found: Sequence[Together]) -> list[str]:
    """The summary of the cross product, at most 80 columns wide: what is wrong, and how often nothing was."""
    printed = []
    for together in found:
        wrong = [] if together.ended == WHOLE else [together.ended]
        wrong += [f"noticed by an unrelated claim: {claim}" for claim in together.strays(ledger, about)]
        if wrong:
            printed += [", ".join(together.lies), *(f"    {text}" for text in wrong)]
    lies = {name for together in found for name in together.lies}
    pairs = sum(len(together.lies) * together.tried for together in found)
    noticed = sum(len(together.noticed) for together in found)
    strays = sum(len(together.strays(ledger, about)) for together in found)
    printed += [
        f"cross product  {len(lies):,} lies, each told to the claims of all other parts",
        f"               but the slow: {pairs:,} pairs in {len(found):,} runs,",
        f"               {noticed:,} of them noticed, {strays:,} by claims that have nothing to do with it",
    ]
    return printed


def strayed(ledger: Ledger, about: About, found: Sequence[Together]) -> int:
    """The exit code, as `failed`: 1 an unrelated claim noticed something, 3 a run was not whole."""
    if any(together.ended != WHOLE for together in found):
        return 3
    return int(any(together.strays(ledger, about) for together in found))


def failed(ledger: Ledger, found: Sequence[Tried]) -> int:
    """The exit code: 0 all as it should be; 1 a lie survived or strayed; 3 the harness or a lie broke."""
    if any(tried.ended != WHOLE or (not tried.told and tried.noticed) for tried in found):
        return 3
    return int(any(tried.silent or tried.strays(ledger) for tried in found if tried.told))


def _family(claim: str) -> str:
    return claim.partition(".")[0]


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.1%})" if whole else "0 of 0"
