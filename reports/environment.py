"""Which environment a run takes place in: read from installed metadata, without importing a library."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from reports.results import Environment

RELEASES = Path(__file__).parent.parent / "fixtures" / "releases"


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


def locked(lock: Path) -> dict[str, str]:
    """Package -> version pinned in a lock file. Raises LockError if it can't be read."""
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError as error:
        raise LockError(f"{lock}: {error.strerror}; make it with `python -m fixtures.releases`") from error
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, flags=re.MULTILINE)
    return {canonical(name): version for name, version in pins}


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
        content = path.read_bytes()
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        dated = re.search(rb"^# as of (\d{4}-\d{2}-\d{2})", content, flags=re.MULTILINE)
        as_of = dated.group(1).decode() if dated else None
    return Environment(
        release=versions.get("transformers", "none"),
        as_of=as_of,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=device,
        packages=dict(sorted(versions.items())),
        lock=digest,
    )
