"""Compiles once for all environments: `python -m reports.bytecode lend` before a run in one, `keep` afterwards.

A first run in an environment compiles 90 MB of bytecode, a fifth of its CPU; four fifths are of files that the other
environments have, too (torch, sympy, scipy, pandas). uv installs those as hard links of its cache: the very same file,
whose bytecode is as good there. It is linked as well, so that it takes no space twice. Where files are copied and not
linked none is the same, and each environment has its own bytecode.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path

# Without `environment.HOUSE`: to import that takes a tenth of a second, twice in each run.
STORE = Path(__file__).resolve().parent.parent / ".tox" / ".bytecode"


def lend(folder: Path, store: Path = STORE) -> None:
    """Link what the store has for the sources below a folder to where this Python looks for it."""
    there = {path.name for path in store.iterdir()} if store.is_dir() else set()
    for compiled, kept in _names(folder):
        if kept in there:
            _link(store / kept, compiled)


def keep(folder: Path, store: Path = STORE) -> None:
    """Link the bytecode below a folder into the store."""
    for compiled, kept in _names(folder):
        if compiled.exists():
            _link(compiled, store / kept)


def _names(folder: Path) -> Iterator[tuple[Path, str]]:
    """For each source below a folder the file that Python would compile it to, and what that is called in the store.

    The source's inode and the ns of its last change are those of one file alone: inodes are given again, but later.
    """
    for source in folder.rglob("*.py"):
        found, compiled = source.stat(), Path(cache_from_source(str(source)))
        yield compiled, f"{found.st_ino}-{found.st_mtime_ns}-{compiled.name}"


def _link(there: Path, new: Path) -> None:
    # It is there already, or the file system has no hard links or no room: the run goes on, and says so if it has to.
    with contextlib.suppress(OSError):
        new.parent.mkdir(parents=True, exist_ok=True)
        new.hardlink_to(there)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m reports.bytecode", description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("lend", "keep"), help="for the environment of this Python")
    (lend if parser.parse_args().what == "lend" else keep)(Path(sys.prefix))
