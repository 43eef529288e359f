"""The ledger, `suite/claims.toml`: what the lecture says, and where that holds.

The file is parsed once, into frozen records. Whatever is wrong with it raises a `LedgerError` that names the claim and
says what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PATH = Path(__file__).parent.parent / "suite" / "claims.toml"


class LedgerError(ValueError):
    """The ledger cannot be used; the message names the claim and what to do."""


class UnreadableLedger(LedgerError):
    """The file is missing or is not TOML. (A table that stands there twice is not TOML either: see DuplicateClaim.)"""


class DuplicateClaim(LedgerError):
    """An id stands there twice."""


class UnknownKey(LedgerError):
    """A table has a key that no reader looks at, or lacks one that each needs."""


class BadValue(LedgerError):
    """A key has a value of the wrong type, or one outside its vocabulary."""


class BadSpecifier(LedgerError):
    """A range is not a version specifier (PEP 440)."""


class UnknownPackage(LedgerError):
    """A flip names a package that is not among `PACKAGES`."""


class BadVersion(LedgerError):
    """The version at which a claim flipped is not one (PEP 440)."""


class BadLink(LedgerError):
    """A flip's link does not begin with https://."""


class RangeWithoutCorrection(LedgerError):
    """A claim that is refuted somewhere does not say what is true there."""


class UnknownClaim(LedgerError):
    """An id, a pattern or a slide that the ledger does not have."""


class ClaimWithoutSpec(LedgerError):
    """A claim that is to be executed has no spec, or a refuted one has no correction spec."""


class SpecWithoutClaim(LedgerError):
    """A spec names a claim that is not there, or one that the ledger says is not run."""


NOT_WRITTEN = "not written yet"

#: Why a claim was not run: the closed vocabulary of every `reason` in a result document.
REASONS = (
    NOT_WRITTEN,
    "no GPU",
    "no wheel",
    "no network",
    "package too old for the call",
    "optional package missing",
    "slow",
)

#: The packages that may have made a claim flip, the likely ones first.
PACKAGES = (
    *("transformers", "huggingface_hub", "datasets", "tokenizers", "safetensors", "accelerate", "numpy", "pyarrow"),
    *("fsspec", "hf_xet", "httpx", "requests", "urllib3", "dill", "multiprocess", "pandas", "jinja2", "pyyaml"),
)

_KEYS = {"slide", "statement", "holds", "refuted_by", "correction", "instead", "not_run", "not_executable", "flips"}
_FLIP_KEYS = {"package", "version", "with", "to", "link"}


@dataclass(frozen=True)
class Part:
    """A part of the lecture: its title and its first and last slide."""

    title: str
    first: int
    last: int


@dataclass(frozen=True)
class Flip:
    """Where a claim changed: from `version` of `package` on its verdict is `to`, which is `holds` or `refuted`.

    `along` names packages that had to be exchanged with it for that (in the file: `with`), `link` the change itself.
    """

    package: str
    version: str
    to: str
    along: tuple[str, ...] = ()
    link: str | None = None


@dataclass(frozen=True)
class Claim:
    """One sentence of the lecture.

    `holds` maps a package to the versions on which the claim holds, as ranges: of each package one must match. Empty:
    wherever it is measured; `None`: nowhere. `refuted_by` names the exceptions that refute it where it does not hold.
    """

    id: str
    slides: tuple[int, ...]
    statement: str
    holds: Mapping[str, tuple[SpecifierSet, ...]] | None
    refuted_by: tuple[str, ...] = ("AssertionError",)
    correction: str | None = None
    instead: str | None = None
    not_run: str | None = None
    not_executable: str | None = None
    flips: tuple[Flip, ...] = ()

    @property
    def executable(self) -> bool:
        """Whether specs are to be run for it."""
        return self.not_run is None and self.not_executable is None

    def holds_on(self, versions: Mapping[str, str]) -> bool:
        """Whether the ledger expects the claim to hold with these installed versions (package -> version).

        Raises UnknownKey if a range speaks of a package that is not among them.
        """
        if self.holds is None:
            return False
        for package, ranges in self.holds.items():
            if package not in versions:
                raise UnknownKey(f"{self.id}: its range speaks of {package!r}, which is not installed here")
            if not any(specifier.contains(versions[package], prereleases=True) for specifier in ranges):
                return False
        return True


@dataclass(frozen=True)
class Ledger:
    """All claims, in the lecture's order, and the deck they belong to."""

    title: str
    slides: int
    parts: tuple[Part, ...]
    claims: Mapping[str, Claim]

    def __iter__(self) -> Iterator[Claim]:
        return iter(self.claims.values())

    def __getitem__(self, claim_id: str) -> Claim:
        try:
            return self.claims[claim_id]
        except KeyError:
            raise UnknownClaim(f"{claim_id!r} is not in the ledger; its ids stand in suite/claims.toml") from None

    def part_of(self, claim: Claim) -> Part:
        """The part of the lecture that a claim's last slide belongs to (an overview slide may announce it earlier)."""
        return next(part for part in self.parts if part.first <= claim.slides[-1] <= part.last)

    def matching(self, pattern: str) -> frozenset[str]:
        """Ids that match a glob pattern. Raises UnknownClaim if there is none."""
        ids = frozenset(claim_id for claim_id in self.claims if fnmatchcase(claim_id, pattern))
        if not ids:
            raise UnknownClaim(f"no claim matches {pattern!r}; ids look like {', '.join(list(self.claims)[:3])}")
        return ids

    def on_slide(self, slide: int) -> frozenset[str]:
        """Ids of a slide's claims. Raises UnknownClaim for a slide that is not there or that claims nothing."""
        if not 1 <= slide <= self.slides:
            raise UnknownClaim(f"there is no slide {slide}: the deck has slides 1 to {self.slides}")
        ids = frozenset(claim.id for claim in self if slide in claim.slides)
        if not ids:
            others = sorted({number for claim in self for number in claim.slides})
            raise UnknownClaim(f"slide {slide} claims nothing; these do: {', '.join(map(str, others))}")
        return ids


def load(path: Path = PATH) -> Ledger:
    """Read a ledger. Raises the LedgerError that says what is wrong with it."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableLedger(f"{path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        if "Cannot declare" in str(error):
            raise DuplicateClaim(f"{path}: a table stands there twice: {error}") from error
        raise UnreadableLedger(f"{path}: {error}") from error
    deck = _deck(tables.pop("deck", {}))
    claims = {claim_id: _claim(claim_id, table, deck) for claim_id, table in tables.items()}
    return Ledger(deck.title, deck.slides, deck.parts, claims)


def _deck(table: Mapping[str, Any]) -> Ledger:
    try:
        parts = tuple(Part(part["title"], *part["slides"]) for part in table["parts"])
        return Ledger(table["title"], table["slides"], parts, {})
    except (KeyError, TypeError) as error:
        raise BadValue(f"[deck] needs title, slides and parts = [{{title, slides = [first, last]}}]: {error}") from None


def _claim(claim_id: str, table: object, deck: Ledger) -> Claim:
    if not isinstance(table, dict):
        raise BadValue(f"{claim_id}: not a table")
    if unknown := set(table) - _KEYS:
        if any(isinstance(table[key], dict) for key in unknown):
            raise BadValue(f'{claim_id}: an id with a dot has to stand in quotes: ["{claim_id}.{min(unknown)}"]')
        raise UnknownKey(f"{claim_id}: unknown key {', '.join(sorted(unknown))}; known are {', '.join(sorted(_KEYS))}")
    if missing := {"slide", "statement"} - set(table):
        raise UnknownKey(f"{claim_id}: lacks {', '.join(sorted(missing))}")
    for key in ("statement", "correction", "instead", "not_run", "not_executable"):
        if key in table and not (isinstance(table[key], str) and table[key].strip()):
            raise BadValue(f"{claim_id}: {key} has to be a text")

    slides = table["slide"] if isinstance(table["slide"], list) else [table["slide"]]
    if not slides or not all(isinstance(slide, int) and 1 <= slide <= deck.slides for slide in slides):
        raise BadValue(f"{claim_id}: slide has to be a number from 1 to {deck.slides}, or a list of them")
    if not any(part.first <= slides[-1] <= part.last for part in deck.parts):
        raise BadValue(f"{claim_id}: slide {slides[-1]} belongs to no part of the deck")

    refuted_by = table.get("refuted_by", "AssertionError")
    refuted_by = tuple(refuted_by) if isinstance(refuted_by, list) else (refuted_by,)
    if not refuted_by or not all(isinstance(name, str) and name for name in refuted_by):
        raise BadValue(f"{claim_id}: refuted_by has to name an exception, or several in a list")

    if "not_run" in table and table["not_run"] not in REASONS:
        raise BadValue(f"{claim_id}: not_run = {table['not_run']!r} is no reason; reasons are {', '.join(REASONS)}")
    if "not_run" in table and "not_executable" in table:
        raise BadValue(f"{claim_id}: not_run and not_executable exclude each other")
    holds = _holds(claim_id, table.get("holds", {}))
    if holds != {} and "correction" not in table:
        raise RangeWithoutCorrection(f"{claim_id}: it does not hold everywhere; add a correction: what is true there")
    return Claim(
        id=claim_id,
        slides=tuple(slides),
        statement=table["statement"],
        holds=holds,
        refuted_by=refuted_by,
        correction=table.get("correction"),
        instead=table.get("instead"),
        not_run=table.get("not_run"),
        not_executable=table.get("not_executable"),
        flips=_flips(claim_id, table.get("flips", [])),
    )


def _holds(claim_id: str, value: object) -> Mapping[str, tuple[SpecifierSet, ...]] | None:
    if value == "never":
        return None
    if not isinstance(value, dict):
        raise BadValue(f'{claim_id}: holds has to be "never" or a table like {{ transformers = ">=4.41" }}')
    ranges = {}
    for package, texts in value.items():
        try:
            ranges[package] = tuple(SpecifierSet(text) for text in (texts if isinstance(texts, list) else [texts]))
        except (InvalidSpecifier, TypeError, AttributeError):
            raise BadSpecifier(
                f"{claim_id}: {package} = {texts!r} is not a version specifier like '>=4.41,<5', nor a list of them"
            ) from None
        if not ranges[package]:
            raise BadSpecifier(
                f'{claim_id}: {package} = [] is no range; a claim that holds nowhere has holds = "never"'
            )
    return ranges


def _flips(claim_id: str, value: object) -> tuple[Flip, ...]:
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise BadValue(f"{claim_id}: flips has to be a list of tables like {{ package, version, to }}")
    flips = []
    for table in value:
        if wrong := (set(table) - _FLIP_KEYS) | ({"package", "version", "to"} - set(table)):
            raise UnknownKey(
                f"{claim_id}: a flip has package, version, to, may have with, link; wrong: {', '.join(sorted(wrong))}"
            )
        along, link = table.get("with", []), table.get("link")
        for package in (table["package"], *(along if isinstance(along, list) else [along])):
            if package not in PACKAGES:
                raise UnknownPackage(
                    f"{claim_id}: {package!r} is no package of a flip; those are {', '.join(PACKAGES)}"
                )
        try:
            Version(table["version"])
        except (InvalidVersion, TypeError):
            raise BadVersion(f"{claim_id}: {table['version']!r} is not a version like '4.46.0'") from None
        if table["to"] not in ("holds", "refuted"):
            raise BadValue(f"{claim_id}: a flip is to 'holds' or to 'refuted', not to {table['to']!r}")
        if link is not None and not (isinstance(link, str) and link.startswith("https://")):
            raise BadLink(f"{claim_id}: link = {link!r} does not begin with https://")
        flips.append(Flip(table["package"], table["version"], table["to"], tuple(along), link))
    return tuple(flips)
