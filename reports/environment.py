"""Which environment a run takes place in: read from installed metadata, without importing a library."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from reports import ledger
from reports.results import Environment

HOUSE = Path(__file__).parent.parent
RELEASES = HOUSE / "fixtures" / "releases"

#: What a verdict depends on beside the installed packages and the ledger, as glob patterns below the house.
_SUITE = (
    "conftest.py",
    *(f"suite/{part}/**/*.py" for part in ("hub", "loading", "data", "training")),
    "fixtures/*.py",
    "fixtures/hub/**/*.py",
    "fixtures/scripts/**/*.*",
    "fixtures/folders/**/*.*",
    *(f"reports/{name}.py" for name in ("ledger", "recorder", "verdict")),
)


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


def suite(versions: Mapping[str, str], house: Path = HOUSE) -> str:
    """The digest of specs, fixtures and policy, and of what the ledger expects with these versions.

    Two runs of one digest on one lock give the same verdicts. The ledger's words and what it says of other versions do
    not count: a range that is set right for one release leaves the results of the others as they are. Raises
    LedgerError if the ledger cannot be used.
    """
    return suites(house)(versions)


def suites(house: Path = HOUSE) -> Callable[[Mapping[str, str]], str]:
    """As `suite`, for many environments: reads the files once and returns what makes the digest of versions."""
    content = hashlib.sha256()
    files = {path for pattern in _SUITE for path in house.glob(pattern) if path.is_file()}
    for path in sorted(path for path in files if path.suffix != ".pyc"):
        content.update(f"{path.relative_to(house).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    claims = ledger.load(house / "suite" / "claims.toml")

    def digest_with(versions: Mapping[str, str]) -> str:
        digest = content.copy()
        for claim in claims:
            expected = (claim.holds_on(versions), claim.refuted_by) if claim.executable else None
            digest.update(repr((claim.id, expected, claim.not_run, claim.not_executable)).encode())
        return f"sha256:{digest.hexdigest()}"

    return digest_with


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


def describe(versions: Mapping[str, str], device: str) -> Environment:
    """This environment. The variable `CLAIMS_LOCK` names the lock file it was built from, if it was.

    Raises LockError if the lock pins something else than what is installed: the result would name the wrong lock.
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
    return Environment(
        release=versions.get("transformers", "none"),
        as_of=as_of,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=device,
        packages=dict(sorted(versions.items())),
        lock=digest,
        suite=suite(versions),
    )
