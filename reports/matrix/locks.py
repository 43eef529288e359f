"""The lock of a combination: a recorded one, one that was resolved before, or one that uv resolves as of the day."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from fixtures.releases import Release, ReleaseError, beside, releases
from fixtures.releases.make import COMPANIONS, PYTHON, TORCH_NEEDS, pins
from reports import archive
from reports.matrix.spec import Combination


class NoLock(RuntimeError):
    """The packages of a combination cannot be resolved: the cell cannot exist, or the index cannot be asked."""


class Locks:
    """The locks that are there. Resolved ones are kept in `folder`, by the digest of what was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = releases()
        rows = [*listed.values(), *beside(listed).values()]
        self._recorded = {_question(row, tuple(filter(None, [row.beside])), PYTHON): row.lock for row in rows}

    def find(self, cell: Combination) -> str | None:
        """The text of the lock, if nobody has to be asked for it."""
        question = _question(cell.release, cell.requirements, cell.python)
        path = self._recorded.get(question) or self._path(question)
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def make(self, cell: Combination) -> str:
        """The text of the lock, resolved if it is not there. Raises NoLock."""
        text = self.find(cell)
        if text is None:
            release, question = cell.release, _question(cell.release, cell.requirements, cell.python)
            try:
                made = pins(release, cell.requirements, cell.python)
            except ReleaseError as error:
                raise NoLock(_reason(str(error))) from None
            held = f" and with {', '.join(cell.requirements)}" if cell.requirements else ""
            header = [
                f"# transformers {release.version} (published {release.released}) with the packages of its time{held}.",
                f"# as of {release.as_of}; made by `python -m reports matrix` for Python {cell.python}, not by hand.",
            ]
            text = "\n".join([*header, made])
            self.folder.mkdir(parents=True, exist_ok=True)
            archive.write(self._path(question), text)
        return text

    def _path(self, question: str) -> Path:
        return self.folder / f"{hashlib.sha256(question.encode()).hexdigest()[:16]}.txt"


def _question(release: Release, requirements: tuple[str, ...], python: str) -> str:
    newer = sorted(release.newer)
    return repr((release.version, release.as_of, newer, requirements, python, COMPANIONS, sorted(TORCH_NEEDS.items())))


def _reason(said: str) -> str:
    """What uv said, in a line: what conflicts, or that the index did not answer."""
    text = " ".join(said.split())
    conflict = re.search(r"No solution found when resolving dependencies[^:]*: *(?:╰─▶)? *(.*)", text)
    return f"cannot exist: {conflict.group(1)[:300]}" if conflict else f"no lock: {text[:300]}"
