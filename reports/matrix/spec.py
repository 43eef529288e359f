"""A matrix as it is written down: a small TOML file with axes, exclusions and the as-of rule.

as_of = "settled"               # two weeks after the release; or days after it, 30; or a day, "2026-11-20"

[axes]
transformers = ["minors"]       # all listed; or "patches", all patch releases; "4.57", the newest patch; "4.57.3"
datasets = ["", "<3"]           # any package of the ledger: "" is what resolves as of the day
python = ["3.11"]
torch = ["2.13.0"]
device = ["cpu"]                # or a GPU as Ray names its kind, "H100"
arguments = [""]                # for pytest: "--slow -m slow", "--slide 33"

[[exclude]]                     # a combination is left out if all that is named here is true of it
transformers = "<4.36"
python = "3.12"
reason = "tokenizers < 0.15 has no wheel for Python 3.12"
"""

from __future__ import annotations

import csv
import datetime
import itertools
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from fixtures.releases import Release, releases
from fixtures.releases.make import PYTHON, SETTLED
from reports import environment, ledger

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = environment.HOUSE / "fixtures" / "matrix"
PATCHES = FOLDER / "patches.csv"

#: Axes that are a requirement on a package, beside transformers.
REQUIREMENTS = tuple(package for package in ledger.PACKAGES if package != "transformers")

#: The other axes and the value that they have if a matrix does not name them. torch: as in tox.ini.
USUAL = {"python": PYTHON, "torch": "2.13.0", "device": "cpu", "arguments": ""}


class MatrixError(ValueError):
    """The matrix, or what it needs to be run, cannot be used; the message says where and why."""


class UnknownAxis(MatrixError):
    """The matrix has an axis, or excludes by one, that there is not."""


class BadAxis(MatrixError):
    """A value of an axis, of an exclusion or of the as-of rule is none."""


@dataclass(frozen=True)
class Combination:
    """One value of each axis. `requirements` hold packages back: ("datasets<3",)."""

    release: Release
    requirements: tuple[str, ...]
    python: str
    torch: str
    device: str
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a reader calls it: the release, then what is not usual."""
        parts = [self.release.version, *self.requirements, f"py{self.python}"]
        parts += [f"torch{self.torch}"] if self.torch != USUAL["torch"] else []
        return " ".join([*parts, self.device, *self.arguments])


@dataclass(frozen=True)
class Matrix:
    """The combinations of a matrix, and how many were left out for which reason."""

    path: Path
    combinations: tuple[Combination, ...]
    excluded: Mapping[str, int]


def load(path: Path) -> Matrix:
    """Read a matrix. Raises MatrixError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MatrixError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise MatrixError(f"{path}: not TOML ({error})") from error
    if unknown := set(document) - {"as_of", "axes", "exclude"}:
        raise BadAxis(f"{path}: {', '.join(sorted(unknown))}: no key of a matrix; those are as_of, axes, exclude")
    axes = _axes(path, document.get("axes", {}))
    exclusions = [_exclusion(path, table) for table in document.get("exclude", [])]
    rule = document.get("as_of", "settled")
    listed, today = releases(), datetime.datetime.now(tz=datetime.timezone.utc).date()
    chosen = [
        _as_of(path, rule, release, today) for text in axes["transformers"] for release in _released(path, text, listed)
    ]
    found: dict[Combination, None] = {}
    excluded: dict[str, int] = {}
    held = [package for package in REQUIREMENTS if package in axes]
    others = (*held, *USUAL)
    for release in chosen:
        for values in itertools.product(*(axes[axis] for axis in others)):
            point = dict(zip(others, values, strict=True))
            reason = next((why for table, why in exclusions if _matches(table, release, point)), None)
            if reason is not None:
                excluded[reason] = excluded.get(reason, 0) + 1
                continue
            requirements = tuple(f"{package}{point[package]}" for package in held if point[package])
            arguments = tuple(shlex.split(point["arguments"]))
            found[Combination(release, requirements, point["python"], point["torch"], point["device"], arguments)] = (
                None
            )
    if not found:
        raise BadAxis(f"{path}: nothing is left of the matrix; all {sum(excluded.values())} combinations are excluded")
    return Matrix(path, tuple(found), excluded)


def patches(path: Path = PATCHES) -> dict[str, str]:
    """All patch releases that run, oldest first, with the day each was published. Raises MatrixError."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["version"]: row["released"] for row in csv.DictReader(file, strict=True)}
    except (OSError, csv.Error, KeyError) as error:
        raise MatrixError(f"{path}: not a list of releases ({type(error).__name__}: {error})") from error


def _axes(path: Path, tables: Any) -> dict[str, Sequence[str]]:
    if not isinstance(tables, dict) or "transformers" not in tables:
        raise BadAxis(f"{path}: [axes] needs transformers")
    axes: dict[str, Sequence[str]] = {axis: [value] for axis, value in USUAL.items()}
    for axis, values in tables.items():
        _known(path, axis)
        if not (isinstance(values, list) and values and all(isinstance(value, str) for value in values)):
            raise BadAxis(f"{path}: {axis} = {values!r}: an axis is a list of texts that is not empty")
        for value in values:
            _check(path, axis, value)
        axes[axis] = values
    return axes


def _known(path: Path, axis: str) -> None:
    known = ("transformers", *USUAL, *REQUIREMENTS)
    if axis not in known:
        raise UnknownAxis(f"{path}: {axis!r} is no axis; those are {', '.join(known)}")


def _check(path: Path, axis: str, value: str) -> None:
    try:
        if axis in REQUIREMENTS:
            SpecifierSet(value)
        elif axis in ("python", "torch"):
            Version(value)
        elif axis == "arguments":
            shlex.split(value)
    except (InvalidSpecifier, InvalidVersion, ValueError) as error:
        raise BadAxis(f"{path}: {axis} = {value!r}: {error}") from None


def _exclusion(path: Path, table: Any) -> tuple[dict[str, Any], str]:
    if not isinstance(table, dict) or not table.get("reason") or len(table) < 2:
        raise BadAxis(f"{path}: an exclusion names values of axes, and the reason")
    for axis, value in table.items():
        if axis != "reason":
            _known(path, axis)
        if axis == "transformers":
            try:
                SpecifierSet(value)
            except (InvalidSpecifier, TypeError, AttributeError):
                raise BadAxis(f"{path}: exclude transformers = {value!r}: a specifier, as '<4.36'") from None
    return {axis: value for axis, value in table.items() if axis != "reason"}, str(table["reason"])


def _matches(table: Mapping[str, Any], release: Release, point: Mapping[str, str]) -> bool:
    for axis, value in table.items():
        if axis == "transformers":
            if release.version not in SpecifierSet(value):
                return False
        elif point.get(axis, "") not in (value if isinstance(value, list) else [value]):
            return False
    return True


def _released(path: Path, text: str, listed: Mapping[str, Release]) -> Iterator[Release]:
    """The releases that a value of the axis transformers names. A patch has the exceptions of its minor."""
    published = patches()
    if text == "minors":
        yield from listed.values()
    elif text in listed:
        yield listed[text]
    elif text == "patches" or text in published:
        for version in published if text == "patches" else [text]:
            minor = ".".join(version.split(".")[:2])
            row = listed.get(minor)
            if row is not None and row.version == version:
                yield row
            else:
                newer, reason = (row.newer, row.reason) if row else ((), "")
                settled = datetime.date.fromisoformat(published[version]) + SETTLED
                yield Release(minor, version, published[version], str(settled), newer, reason)
    else:
        oldest, newest = next(iter(published)), next(reversed(published))
        raise BadAxis(
            f"{path}: transformers = {text!r}: neither 'minors', 'patches', a listed minor nor a release from {oldest} "
            f"to {newest} (python -m reports matrix --find-patches looks for new ones)"
        )


def _as_of(path: Path, rule: Any, release: Release, today: datetime.date) -> Release:
    """The release with the day that the rule gives it; today at the latest."""
    if rule == "settled":
        day = datetime.date.fromisoformat(release.as_of)
    elif isinstance(rule, int) and not isinstance(rule, bool) and rule >= 0:
        day = datetime.date.fromisoformat(release.released) + datetime.timedelta(days=rule)
    else:
        try:
            day = datetime.date.fromisoformat(rule)
        except (TypeError, ValueError):
            raise BadAxis(f"{path}: as_of = {rule!r}: 'settled', days after the release, or a day") from None
    day = min(day, today)
    if str(day) < release.released:
        raise BadAxis(f"{path}: as_of = {rule!r}: {release.version} is of {release.released}")
    return (
        release
        if str(day) == release.as_of
        else Release(release.minor, release.version, release.released, str(day), release.newer, release.reason)
    )
