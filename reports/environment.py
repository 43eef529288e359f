"""Which environment a run takes place in: read from installed metadata, without importing a library."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from reports import ledger
from reports.results import Environment

HOUSE = Path(__file__).parent.parent
RELEASES = HOUSE / "fixtures" / "releases"

#: The specs, as glob patterns below the house.
_SPECS = tuple(f"suite/{part}/**/*.py" for part in ("hub", "loading", "data", "training"))

#: What else a verdict depends on, beside the installed packages and the ledger.
_COMMON = (
    "conftest.py",
    "fixtures/*.py",
    "fixtures/hub/**/*.py",
    "fixtures/scripts/**/*.*",
    *(f"reports/{name}.py" for name in ("ledger", "recorder", "verdict")),
)

#: What one file of specs alone depends on, and nobody else imports.
_OWN = {
    "suite/training/test_across_releases.py": ("fixtures/folders/**/*.*",),
    "suite/training/test_scripts.py": ("fixtures/scripts/language_modeling.py",),
}


class LockError(ValueError):
    """The lock file that a run was told it came from is missing, or is not what is installed."""


def device() -> str:
    """The GPU that torch uses here, by name, or "cpu". Looks only if torch is imported: importing it takes seconds."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name(0) if torch is not None and torch.cuda.is_available() else "cpu"


def canonical(package: str) -> str:
    """A distribution's name as it is written in the ledger and in results: `huggingface_hub`."""
    return re.sub(r"[-_.]+", "_", package).lower()


@functools.cache
def installed() -> dict[str, str]:
    """Versions of all installed distributions, by canonical name with underscores (`huggingface_hub`)."""
    return {
        canonical(distribution.metadata["Name"]): distribution.version
        for distribution in metadata.distributions()
        if distribution.metadata["Name"]
    }


#: The name among the parts of a suite of what all specs share.
COMMON = "common"


def suite(parts: Mapping[str, str]) -> str:
    """The digest of a suite, from those of its parts: specs, fixtures, policy, and what the ledger expects.

    Two runs of one digest on one lock give the same verdicts.
    """
    return f"sha256:{hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()}"


def parts(versions: Mapping[str, str], house: Path = HOUSE) -> dict[str, str]:
    """The digests of a suite's parts: of each spec file, with the fixtures that are its own and what the ledger expects
    of the claims that it names on these versions; under `COMMON` of what all specs share, and of the claims that no
    file names in full.

    The ledger's words and what it says of other versions do not count: a range that is set right for one release leaves
    the results of the others as they are. Raises LedgerError if the ledger cannot be used.
    """
    return partition(house)(versions)


def partition(house: Path = HOUSE) -> Callable[[Mapping[str, str]], dict[str, str]]:
    """As `parts`, for many environments: reads the files once and returns what makes the digests of versions."""
    claims = {claim.id: claim for claim in ledger.load(house / "suite" / "claims.toml")}
    specs = dict(_files(house, _SPECS))
    named = {name: sorted(claims.keys() & set(_TEXT.findall(text.decode()))) for name, text in specs.items()}
    unnamed = sorted(claims.keys() - set(itertools.chain(*named.values())))
    own = {name: _files(house, patterns) for name, patterns in _OWN.items()}
    hashed = {name: hashlib.sha256(text + _joined(own.get(name, []))) for name, text in specs.items()}
    owned = list(itertools.chain(*own.values()))
    hashed[COMMON] = hashlib.sha256(_joined([file for file in _files(house, _COMMON) if file not in owned]))

    def digests(versions: Mapping[str, str]) -> dict[str, str]:
        def digest(name: str, ids: Sequence[str]) -> str:
            found = hashed[name].copy()
            for claim in map(claims.__getitem__, ids):
                expected = (claim.holds_on(versions), claim.refuted_by) if claim.executable else None
                found.update(repr((claim.id, expected, claim.not_run, claim.not_executable)).encode())
            return found.hexdigest()[:16]

        return {COMMON: digest(COMMON, unnamed)} | {name: digest(name, named[name]) for name in specs}

    return digests


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The parts of two suites that are not the same."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


_TEXT = re.compile(r'"([^"\s]+)"')


def _joined(files: Sequence[tuple[str, bytes]]) -> bytes:
    return b"".join(f"{name}\0".encode() + text + b"\0" for name, text in files)


def _files(house: Path, patterns: Sequence[str]) -> list[tuple[str, bytes]]:
    found = {path for pattern in patterns for path in house.glob(pattern) if path.is_file() and path.suffix != ".pyc"}
    return sorted((path.relative_to(house).as_posix(), path.read_bytes()) for path in found)


def digest_of(lock: Path) -> str:
    """The digest by which a result names its lock file. Raises LockError if it can't be read."""
    return "sha256:" + hashlib.sha256(_content(lock)).hexdigest()


def _content(lock: Path) -> bytes:
    try:
        return lock.read_bytes()
    except OSError as error:
        raise LockError(f"{lock}: {error.strerror}; make it with `python -m fixtures.releases`") from error


def locked(lock: Path) -> dict[str, str]:
    """Package -> version pinned in a lock file. Raises LockError if it can't be read."""
    return pins(_content(lock).decode())


def pins(lock: str) -> dict[str, str]:
    """Package -> version pinned in the text of a lock."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, flags=re.MULTILINE)
    return {canonical(name): version for name, version in found}


@functools.cache
def _parts_at_first(versions: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return parts(dict(versions))


def describe(versions: Mapping[str, str], device: str) -> Environment:
    """This environment. The variable `CLAIMS_LOCK` names the lock file it was built from, if it was.

    The suite is described as it was when this process first asked, before a spec ran: one that is edited meanwhile is
    not the one that was run. Raises LockError if the lock pins something else than what is installed: the result would
    name the wrong lock.
    """
    lock = os.environ.get("CLAIMS_LOCK")
    digest = as_of = None
    if lock:
        path = RELEASES / lock
        wrong = [
            f"{package} {versions.get(package, 'missing')} (locked: {version})"
            for package, version in locked(path).items()
            if versions.get(package) != version
        ]
        if wrong:
            raise LockError(f"{lock} is not what is installed: {', '.join(wrong)}; build the environment anew")
        digest = digest_of(path)
        dated = re.search(rb"^# as of (\d{4}-\d{2}-\d{2})", _content(path), flags=re.MULTILINE)
        as_of = dated.group(1).decode() if dated else None
    own = _parts_at_first(tuple(sorted(versions.items())))
    return Environment(
        release=versions.get("transformers", "none"),
        as_of=as_of,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=device,
        packages=dict(sorted(versions.items())),
        lock=digest,
        suite=suite(own),
        parts=own,
    )
