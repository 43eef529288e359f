"""Which package, and which release of it, changed a verdict: a flip between two neighbouring minors is taken apart.

Both minors have a lock. One package at a time is exchanged between them, and the claim is judged again; then the
versions of that package between the two locked ones are bisected. The environments are in `.culprit/`, by the digest of
what is installed in them, until all flips of the two minors are done: a search that was interrupted finds them there.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.version import Version

from fixtures.releases import Release
from fixtures.releases.make import exempt
from reports import archive, environment, exclusive, ledger, results

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = environment.HOUSE / ".culprit"

#: Every run has this torch, as in tox.ini.
TORCH = "torch==2.13.0"

#: Seconds that one run of the asked claims may take: they take some, and a library may hang in an odd combination.
LIMIT = 900

JUDGED = ("holds", "refuted")


class CulpritError(RuntimeError):
    """The cause of a flip cannot be looked for; the message says why."""


class NoFlip(CulpritError):
    """The claim has the same verdict on all recorded releases that judge it."""


class NotRecorded(CulpritError):
    """Releases between two different verdicts are not recorded: the flip has no neighbours."""


class IndexUnreachable(CulpritError):
    """The package index cannot be asked."""


class Unfound(CulpritError):
    """The flip was measured, and no exchange explains it."""


class NotInstallable(RuntimeError):
    """These packages cannot be installed together."""


@dataclass(frozen=True)
class Flip:
    """A claim with different verdicts on two releases that follow each other. `tests` are the ids of its functions."""

    claim: str
    older: str
    newer: str
    before: str
    after: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.claim}: {self.before} on {self.older}, {self.after} on {self.newer}"


@dataclass(frozen=True)
class Cause:
    """What made a claim flip: the first release of a package with the later verdict, and the last with the earlier.

    `along` names packages that had to be exchanged with it, `unjudged` its versions between the two that gave no
    verdict.
    """

    flip: Flip
    package: str
    version: str
    last: str
    along: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()

    def __str__(self) -> str:
        along = f" with {', '.join(self.along)}" if self.along else ""
        unjudged = f"; nothing can be said of {', '.join(self.unjudged)}" if self.unjudged else ""
        return f"{self.package} {self.version}{along} ({self.flip.before} up to {self.last}{unjudged})"


# --- flips in recorded results ----------------------------------------------------------------------------------------


def flips(recorded: Mapping[str, results.Result], claim_id: str) -> list[Flip]:
    """The flips of a claim in results by minor, oldest first. Releases that do not judge it are passed over."""
    tables = [(minor, result.claims[claim_id]) for minor, result in recorded.items() if claim_id in result.claims]
    judged = [(minor, table) for minor, table in tables if table["verdict"] in JUDGED]
    found = []
    for (older, earlier), (newer, later) in itertools.pairwise(judged):
        if earlier["verdict"] != later["verdict"]:
            specs = {spec["id"].partition("[")[0] for spec in (*earlier["specs"], *later["specs"])}
            found.append(Flip(claim_id, older, newer, earlier["verdict"], later["verdict"], tuple(sorted(specs))))
    return found


def missing(flip: Flip, recorded: Iterable[str], listed: Iterable[str]) -> list[str]:
    """The listed minors between a flip's two that are not recorded: the flip may be on any of them."""
    between = [minor for minor in listed if Version(flip.older) < Version(minor) < Version(flip.newer)]
    return sorted(set(between) - set(recorded), key=Version)


def flips_of(
    claims: Iterable[ledger.Claim], recorded: Mapping[str, results.Result], listed: Mapping[str, Release], every: bool
) -> list[Flip]:
    """The flips of some claims between recorded neighbours.

    With `every`, each claim has to have one: else raises NoFlip, or NotRecorded, which names the releases to be run.
    """
    found = []
    for claim in claims:
        own = flips(recorded, claim.id)
        if every and not own:
            seen = sum(result.claims.get(claim.id, {}).get("verdict") in JUDGED for result in recorded.values())
            raise NoFlip(f"{claim.id} has one verdict on all {seen} recorded releases that judge it")
        for flip in own:
            gap = missing(flip, recorded, listed)
            if every and gap:
                raise NotRecorded(f"{flip}; not recorded: {', '.join(gap)}. Run them (`sweep`), and `keep` the results")
            found += [] if gap else [flip]
    return found


def known(flip: Flip, claim: ledger.Claim, listed: Mapping[str, Release]) -> ledger.Flip | None:
    """The cause of the flip that the ledger names: a release between the two locked ones. None if it names none."""
    locks = [environment.locked(listed[minor].lock) for minor in (flip.older, flip.newer)]
    for entry in claim.flips:
        ends = sorted(Version(lock[entry.package]) for lock in locks if entry.package in lock)
        if entry.to == flip.after and ends and ends[0] <= Version(entry.version) <= ends[-1]:
            return entry
    return None


def causes(
    found: Sequence[Flip], listed: Mapping[str, Release], jobs: int = 1
) -> Iterator[tuple[Flip, Cause | Unfound]]:
    """The cause of each flip, or why there is none, as it is found, `jobs` pairs of releases at a time.

    Flips of one pair share runs.
    """
    pairs: dict[tuple[str, str], list[Flip]] = {}
    for flip in found:
        pairs.setdefault((flip.older, flip.newer), []).append(flip)

    def search(own: Sequence[Flip]) -> list[tuple[Flip, Cause | Unfound]]:
        pair = Pair(listed[own[0].older], listed[own[0].newer], own)
        made: list[tuple[Flip, Cause | Unfound]] = []
        for flip in own:
            try:
                made.append((flip, find(flip, pair)))
            except Unfound as error:
                made.append((flip, error))
        pair.clear()
        return made

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for ended in as_completed([pool.submit(search, own) for own in pairs.values()]):
                yield from ended.result()
        finally:  # an error, or Ctrl-C: what has begun ends
            pool.shutdown(cancel_futures=True)


# --- two neighbours, and mixtures of them -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """What a mixture of two locks did: a verdict by claim, or the problem in a few words.

    `conflicts` are requirements of installed packages that are not met, beyond those of the two locks themselves.
    """

    label: str
    verdicts: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    conflicts: tuple[str, ...] = ()

    def verdict(self, claim: str) -> str | None:
        """`holds`, `refuted`, or None where neither can be said."""
        verdict = self.verdicts.get(claim)
        return verdict if verdict in JUDGED else None

    def row(self, claim: str) -> str:
        """The label, the verdict or why there is none; below it what the mixture leaves unmet."""
        said = self.verdict(claim) or self.verdicts.get(claim) or self.problem or "no verdict"
        unmet = f"\n    although {self.conflicts[0]}" if self.conflicts else ""
        return f"  {self.label:<40}  {said}{unmet}"


class Pair:
    """Two neighbouring releases and the mixtures of their packages, each made and judged once for all `flips`."""

    def __init__(self, older: Release, newer: Release, flips: Sequence[Flip] = (), folder: Path = FOLDER) -> None:
        self.releases = {"older": older, "newer": newer}
        self.older, self.newer = environment.locked(older.lock), environment.locked(newer.lock)
        self.flips, self.folder = flips, folder / f"{older.minor}-{newer.minor}"
        self._trials: dict[tuple[tuple[str, str], ...], Trial] = {}
        self._usual: set[str] = set()

    def differing(self) -> list[str]:
        """The packages that the locks pin differently, the likely ones first."""
        found = sorted(name for name in {*self.older, *self.newer} if self.older.get(name) != self.newer.get(name))
        likely = list(ledger.PACKAGES)
        return sorted(found, key=lambda name: likely.index(name) if name in likely else len(likely))

    def trial(self, side: str, changes: Mapping[str, str | None]) -> Trial:
        """Judge the flips' claims on one side's lock with other versions of some packages (None: without it).

        Raises IndexUnreachable.
        """
        own = self.older if side == "older" else self.newer
        pins = {name: version for name, version in (own | dict(changes)).items() if version is not None}
        key = tuple(sorted(pins.items()))
        if key not in self._trials:
            shown = [f"{name} {version}" if version else f"no {name}" for name, version in changes.items()]
            with_ = f" with {', '.join(shown[:3])}{', ...' if len(shown) > 3 else ''}" if shown else " as locked"
            self._trials[key] = self._judge(self.releases[side].minor + with_, pins, changes)
        return self._trials[key]

    def exchange(self, packages: Iterable[str], side: str) -> Trial:
        """Judge on one side's lock with packages of the other side's."""
        other = self.newer if side == "older" else self.older
        return self.trial(side, {name: other.get(name) for name in packages})

    def clear(self) -> None:
        """Remove the environments: each has some 90 MB of bytecode of its own."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _judge(self, label: str, pins: Mapping[str, str], changes: Mapping[str, str | None]) -> Trial:
        others = {**self.newer, **self.older, **pins}  # what a package asks for and `pins` lack comes from a lock, too
        try:
            place = build(pins, others, self.folder)
            built = json.loads((place / READY).read_text(encoding="utf-8"))
            if gone := [name for name in changes if name not in pins and name in built["packages"]]:
                raise NotInstallable(f"{', '.join(gone)} comes back: another package asks for it")
        except NotInstallable as error:
            return Trial(label, problem=f"cannot be installed: {error}")
        if not changes:
            self._usual |= set(built["conflicts"])
        conflicts = tuple(line for line in built["conflicts"] if line not in self._usual)
        verdicts, problem = judge(place, self.flips)
        return Trial(label, verdicts, problem, conflicts)


READY = "ready.json"


def build(pins: Mapping[str, str], others: Mapping[str, str], folder: Path = FOLDER) -> Path:
    """The environment with exactly these versions, the test tools and what the pins need beside (`others`, pinned).

    What packages ask of each other is not obeyed: `ready.json` in it has the installed packages and what is not met.
    Raises NotInstallable, IndexUnreachable.
    """
    wanted, overrides = (
        "".join(f"{name}=={versions[name]}\n" for name in sorted(versions)) for versions in (pins, others)
    )
    project = environment.HOUSE / "pyproject.toml"
    place = (
        folder / hashlib.sha256("\0".join((wanted, overrides, project.read_text("utf-8"))).encode()).hexdigest()[:16]
    )
    if (place / READY).exists():
        return place
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    _uv("venv", "--quiet", "--python=3.11", str(place))
    (place / "pins.txt").write_text(wanted, encoding="utf-8")
    (place / "overrides.txt").write_text(overrides, encoding="utf-8")
    python = f"--python={place / 'bin' / 'python'}"
    install = ("pip", "install", "--quiet", python, "--only-binary=:all:")
    _uv(*install, TORCH, f"--requirements={place / 'pins.txt'}", f"--overrides={place / 'overrides.txt'}")
    # The tools take the versions that go with what is there, as in tox.ini: what they ask for is obeyed.
    _uv(*install, f"--group={project}:suite", f"--constraints={place / 'overrides.txt'}")
    packages = json.loads(_uv("pip", "list", "--quiet", python, "--format=json"))
    check = subprocess.run(["uv", "pip", "check", python], capture_output=True, text=True)
    unmet = [line for line in check.stderr.splitlines() if line.startswith("The package ")]
    built = {
        "packages": {environment.canonical(package["name"]): package["version"] for package in packages},
        "conflicts": [line.removeprefix("The package ").replace("`", "") for line in unmet],
    }
    archive.write(place / READY, json.dumps(built, indent=1))  # last: what was interrupted is made anew
    return place


def judge(place: Path, flips: Sequence[Flip]) -> tuple[dict[str, str], str]:
    """The verdicts on the flips' claims in an environment, and what is wrong there if one has no verdict.

    A module of specs that cannot be imported there (a library refuses another one) leaves its claims without a verdict.
    Raises CulpritError if the suite lacks a spec that a result names.
    """
    tests = {test for flip in flips for test in flip.tests}
    code, said, verdicts = _pytest(place, tests, flips)
    problem = next(
        (line for line in said[::-1] if line.startswith("E ") and "Error" in line), (said or ["silence"])[-1]
    )
    if code == 4:  # pytest runs nothing if it does not find one of the named specs
        broken = {line.partition("found no collectors for ")[2].partition("::")[0] for line in said} - {""}
        broken = {str(Path(path).relative_to(environment.HOUSE)) for path in broken}
        if not broken:
            raise CulpritError(f"{problem}: the results are of another suite, or the ledger is broken")
        left = {test for test in tests if test.partition("::")[0] not in broken}
        if left:
            _, _, verdicts = _pytest(place, left, flips)
            half = {flip.claim for flip in flips if not left.issuperset(flip.tests)}
            verdicts = {claim: verdict for claim, verdict in verdicts.items() if claim not in half}
    return verdicts, problem.removeprefix("E ").partition(" (/")[0].strip()[:120]


def _pytest(place: Path, tests: Iterable[str], flips: Sequence[Flip]) -> tuple[int, list[str], dict[str, str]]:
    """Run specs in an environment: the exit code, the lines that were printed, verdicts by claim."""
    only = ["--claims", flips[0].claim] if len({flip.claim for flip in flips}) == 1 else []
    variables = {name: value for name, value in os.environ.items() if name not in ("CLAIMS_LOCK", "PYTEST_ADDOPTS")}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [str(place / "bin" / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--slow"]
        try:
            done = subprocess.run(
                [*command, f"--results={out}", *only, *sorted(tests)],
                cwd=environment.HOUSE,
                env=variables,
                capture_output=True,
                text=True,
                timeout=LIMIT,
            )
        except subprocess.TimeoutExpired:
            return 2, [f"no end within {LIMIT} s"], {}
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        try:
            claims = results.read(out).claims
        except results.ResultError:
            return done.returncode, said, {}
    return done.returncode, said, {claim: str(table["verdict"]) for claim, table in claims.items()}


def between(package: str, low: str, high: str, day: str) -> list[str]:
    """The versions of a package on the index from `low` to `high`, both included, published before a day; ascending.

    Releases that were withdrawn (yanked) are left out, but for the two ends.

    Raises IndexUnreachable.
    """
    versions = [high]
    while versions[-1] != low:
        requirement = f"{package}>={low},<{versions[-1]}"
        try:
            lock = _uv(
                *("pip", "compile", "-", "--quiet", "--no-header", "--no-deps", "--format=pylock.toml"),
                *("--python-version=3.11", "--only-binary=:all:", f"--exclude-newer={day}T00:00:00Z"),
                text=requirement,
            )
        except NotInstallable:  # the lower one was withdrawn since, or is younger
            return [low, *versions[::-1]]
        versions.append(tomllib.loads(lock)["packages"][0]["version"])
    return versions[::-1]


def _uv(*arguments: str, text: str = "") -> str:
    try:
        return subprocess.run(["uv", *arguments], input=text, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise CulpritError("uv is not installed: pip install uv") from None
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())
        if "No solution found" in said and "network" not in said:
            raise NotInstallable(said.partition("No solution found when resolving dependencies: ")[2][:200]) from None
        raise IndexUnreachable(f"uv {' '.join(arguments[:2])}: {said[:500]}") from None


# --- the search -------------------------------------------------------------------------------------------------------


def find(flip: Flip, pair: Pair, tell: Callable[[str], Any] = print) -> Cause:
    """The cause of a flip. Raises Unfound if no exchange explains it; IndexUnreachable."""
    return _Search(flip, pair, tell).cause()


class _Search:
    def __init__(self, flip: Flip, pair: Pair, tell: Callable[[str], Any]) -> None:
        self.flip, self.pair, self._tell = flip, pair, tell
        self._told: set[str] = set()
        self._stuck: list[str] = []

    def cause(self) -> Cause:
        for side, recorded in (("older", self.flip.before), ("newer", self.flip.after)):
            found = self._verdict(self.pair.trial(side, {}))
            if found != recorded:
                minor = self.pair.releases[side].minor
                raise Unfound(f"{self.flip.claim}: recorded is {recorded} on {minor}, measured {found or 'no verdict'}")
        group = self._alone() or self._together()
        if not group:
            raise Unfound(f"{self.flip}: no package that differs between the two explains it")
        return self._first_release(group)

    def _alone(self) -> list[str]:
        """The package that makes the difference alone: the likely ones one by one, then the rest by halves.

        Those that give no verdict apart (one refuses the other) are tried with each other as soon as there are two.
        """
        names = self.pair.differing()
        rest = [name for name in names if name not in ledger.PACKAGES]
        for group in [*([name] for name in names if name in ledger.PACKAGES), *([rest] if rest else [])]:
            stuck = len(self._stuck)
            if self._moves(group):
                return self._halved(group)
            if len(self._stuck) > max(stuck, 1) and self._moves(self._stuck):
                return self._fewest(self._stuck)
        return []

    def _halved(self, group: list[str]) -> list[str]:
        while len(group) > 1:
            halves = group[: len(group) // 2], group[len(group) // 2 :]
            moving = next((half for half in halves if self._moves(half)), None)
            if moving is None:
                break
            group = moving
        return group

    def _together(self) -> list[str]:
        """The packages that make the difference with each other alone, if any: neither may be left out."""
        needed = [
            name
            for name in self.pair.differing()
            if name in ledger.PACKAGES
            and (name in self._stuck or self._verdict(self.pair.exchange([name], "newer")) == self.flip.before)
        ]
        return self._fewest(needed) if len(needed) > 1 and self._moves(needed) else []

    def _fewest(self, needed: list[str]) -> list[str]:
        for name in needed[::-1]:
            fewer = [other for other in needed if other != name]
            if fewer and self._moves(fewer):
                needed = fewer
        return needed

    def _moves(self, group: list[str]) -> bool:
        """Whether the verdict goes with these packages: put into the older lock, or out of the newer one.

        One way is enough where everything installed fits together; else both have to say so.
        """
        forward = self.pair.exchange(group, "older")
        there = self._verdict(forward)
        if there and not forward.conflicts:
            return there == self.flip.after
        backward = self.pair.exchange(group, "newer")
        back = self._verdict(backward)
        if back and not backward.conflicts:
            return back == self.flip.before
        if not there and not back:
            self._stuck += group if len(group) == 1 and group[0] not in self._stuck else []
        return there == self.flip.after and back == self.flip.before

    def _first_release(self, group: list[str]) -> Cause:
        name, *along = group
        old, new = self.pair.older.get(name), self.pair.newer.get(name)
        if old is None or new is None:
            if new is None:
                raise Unfound(f"{self.flip}: {name} {old} is no longer installed, and that does it")
            return Cause(self.flip, name, new, "none", tuple(along))
        day = max(
            {environment.canonical(package): day for package, day in exempt(release).items()}.get(name, release.as_of)
            for release in self.pair.releases.values()
        )
        low_version, high_version = sorted((old, new), key=Version)
        versions = between(name, low_version, high_version, day)
        if versions[0] != old:
            versions.reverse()
        low, high, silent = 0, len(versions) - 1, set[int]()
        while left := [place for place in range(low + 1, high) if place not in silent]:
            middle = left[len(left) // 2]
            verdict = self._with(name, versions[middle], along)
            if verdict is None:
                silent.add(middle)
            elif verdict == self.flip.before:
                low = middle
            else:
                high = middle
        unjudged = tuple(versions[place] for place in range(low + 1, high))
        return Cause(self.flip, name, versions[high], versions[low], tuple(along), unjudged)

    def _with(self, name: str, version: str, along: Sequence[str]) -> str | None:
        """The verdict with a version between the two: on the side where it fits, if on one."""
        beside = {other: self.pair.newer.get(other) for other in along}
        trials = []
        for side, changes in (("older", beside), ("older", {}), ("newer", {})):
            trial = self.pair.trial(side, {**changes, name: version})
            verdict = self._verdict(trial)
            if verdict and not trial.conflicts:
                return verdict
            trials.append(verdict)
        return next((verdict for verdict in trials if verdict), None)

    def _verdict(self, trial: Trial) -> str | None:
        if trial.label not in self._told:
            self._told.add(trial.label)
            self._tell(trial.row(self.flip.claim))
        return trial.verdict(self.flip.claim)


def alone(folder: Path = FOLDER) -> AbstractContextManager[None]:
    """One search at a time makes environments in the folder. Raises CulpritError if another one does."""
    return exclusive.held(folder / ".lock", CulpritError(f"another search works in {folder}; wait for it, or end it"))


# --- into the ledger --------------------------------------------------------------------------------------------------


def record(cause: Cause, link: str | None = None, path: Path = ledger.PATH) -> None:
    """Write a cause into its claim's row, at the row's end; all else in the file stays as it is, byte by byte.

    A cause that stands there already is replaced, and keeps its link. Raises LedgerError if the row would be refused;
    then nothing is written.
    """
    import tomlkit  # nothing else needs it

    before = ledger.load(path)[cause.flip.claim].flips
    new = ledger.Flip(cause.package, cause.version, cause.flip.after, cause.along, link)
    same = [entry for entry in before if (entry.package, entry.version, entry.to) == (new.package, new.version, new.to)]
    if same and link is None:
        new = ledger.Flip(cause.package, cause.version, cause.flip.after, cause.along, same[0].link)
    entries = [_entry(entry) for entry in (*(entry for entry in before if entry not in same), new)]
    several = "\n" + "".join(f"    {entry},\n" for entry in entries)
    text = f"flips = [{entries[0] if len(entries) == 1 else several}]\n"
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    document[cause.flip.claim]["flips"] = tomlkit.parse(text)["flips"]
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_text(tomlkit.dumps(document), encoding="utf-8")
        ledger.load(trial)
    archive.write(path, tomlkit.dumps(document))


def _entry(flip: ledger.Flip) -> str:
    values = {
        "package": flip.package,
        "version": flip.version,
        "with": list(flip.along),
        "to": flip.to,
        "link": flip.link,
    }
    pairs = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value]
    return f"{{ {', '.join(pairs)} }}"
