"""Compiles once for all environments: `python -m reports.bytecode lend` before a run in one, `keep` afterwards.

A first run in an environment compiles 90 MB of bytecode, a fifth of its CPU; four fifths are of files that the other
environments have, too (torch, sympy, scipy, pandas). uv installs those as hard links of its cache: the very same file,
whose bytecode is as good there. It is linked as well, so that it takes no space twice. Where files are copied and not
linked none is the same, and each environment has its own bytecode.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Without `environment.HOUSE`: to import that takes a tenth of a second, twice in each run.
STORE = Path(__file__).resolve().parent.parent / ".tox" / ".bytecode"


def lend(folder: Path, store: Path = STORE) -> None:
    """Link what the store has for the sources below a folder to where this Python looks for it."""
    for compiled, kept in _names(folder):
        there = f"{store}/{kept}"
        if not os.path.exists(compiled) and os.path.exists(there):
            _link(there, compiled)


def keep(folder: Path, store: Path = STORE) -> None:
    """Link the bytecode below a folder into the store."""
    for compiled, kept in _names(folder):
        new = f"{store}/{kept}"
        if not os.path.exists(new) and os.path.exists(compiled):
            _link(compiled, new)


def _names(folder: Path) -> Iterator[tuple[str, str]]:
    """For each source below a folder the file that Python would compile it to, and what that is called in the store.

    The source's inode and the ns of its last change are those of one file alone: inodes are given again, but later.
    """
    for where, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".py"):
                found = os.stat(f"{where}/{name}")
                compiled = f"{name.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
                yield f"{where}/__pycache__/{compiled}", f"{found.st_ino}-{found.st_mtime_ns}-{compiled}"


def _link(there: str, new: str) -> None:
    # The file system has no hard links or no room, or another run made it meanwhile: this run goes on.
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(new), exist_ok=True)
        os.link(there, new)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m reports.bytecode", description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("lend", "keep"), help="for the environment of this Python")
    (lend if parser.parse_args().what == "lend" else keep)(Path(sys.prefix))
