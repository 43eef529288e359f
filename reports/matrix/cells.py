"""The cells of a matrix: their keys, what is done, what they will take, and results as they come in."""

from __future__ import annotations

import contextlib
import hashlib
import json
import statistics
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports import environment, results, sweep
from reports.matrix.locks import Locks, NoLock
from reports.matrix.node import Job, Outcome
from reports.matrix.spec import Combination, Matrix, MatrixError

INDEX = "index.jsonl"

#: Seconds of a cell of which nothing like it was ever run: a full run in one process on a core of 2026 takes 90 s.
UNKNOWN = 90.0


@dataclass(frozen=True)
class Cell:
    """A combination with its lock. The key is the digest of all that its verdicts depend on, and names its result."""

    at: Combination
    key: str
    lock: str

    @property
    def name(self) -> str:
        """As its combination is called."""
        return self.at.name

    @property
    def result(self) -> str:
        """The name of its result file."""
        return f"{self.at.release.version}-{self.key}.json"

    def job(self, limit: float) -> Job:
        """What a node gets; building and running may take `limit` seconds each."""
        at = self.at
        return Job(self.key, self.name, self.lock, at.torch, at.python, at.device, at.arguments, limit)


def resolve(matrix: Matrix, folder: Path, jobs: int = 1, ask: bool = True) -> tuple[list[Cell], dict[Combination, str]]:
    """The cells of a matrix, and why the other combinations have none: no lock, or it was not asked for (`ask`).

    Locks that are not recorded are resolved, `jobs` at a time, and kept in `folder`/locks.
    """
    locks, parts = Locks(folder / "locks"), environment.partition()
    # Devices and arguments share a lock: it is asked for once.
    asked: dict[tuple[Any, ...], Combination] = {}
    for at in matrix.combinations:
        asked.setdefault((at.release, at.requirements, at.python), at)

    def lock_of(at: Combination) -> str | NoLock:
        try:
            text = locks.make(at) if ask else locks.find(at)
        except NoLock as error:
            return error
        return text if text is not None else NoLock("its lock is not resolved yet")

    with ThreadPoolExecutor(jobs) as pool:
        found = dict(zip(asked, pool.map(lock_of, asked.values()), strict=True))
    digests: dict[tuple[str, str], str] = {}
    cells, problems = [], {}
    for at in matrix.combinations:
        lock = found[at.release, at.requirements, at.python]
        if isinstance(lock, NoLock):
            problems[at] = str(lock)
            continue
        if (lock, at.torch) not in digests:
            digests[lock, at.torch] = environment.suite(parts(environment.pins(lock) | {"torch": at.torch}))
        cells.append(Cell(at, _key(at, lock, digests[lock, at.torch]), lock))
    return cells, problems


def _key(at: Combination, lock: str, suite: str) -> str:
    parts = [hashlib.sha256(lock.encode()).hexdigest(), at.torch, at.python, at.device, list(at.arguments), suite]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def verdict(claims: Mapping[str, Any], claim: str) -> str:
    """What a result says of a claim, with the reason where it says nothing."""
    table = claims.get(claim, {})
    return " ".join(str(table[word]) for word in ("verdict", "reason") if table.get(word)) or "absent"


def line(row: sweep.Row) -> str:
    """A row as it is printed: a problem in full, for it says what to do."""
    return str(row) if row.counts is not None else f"{row.minor}: {row.problem}"


class Results:
    """The folder of a matrix: one document a cell, and an index of what was accepted.

    The index has a line for each document with its size and time of writing: as long as they are the same the document
    is not read again, which would take minutes for ten thousand. It also has what each cell took, on which engine, and
    the digest of its verdicts.
    """

    def __init__(self, folder: Path, engine: str = "") -> None:
        self.folder, self._engine = folder, engine
        self._parts = environment.partition()
        try:
            self._check = results.schema_check()
        except ModuleNotFoundError as error:
            raise MatrixError(f"{error.name} is missing: pip install --group matrix") from None
        self.entries: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (folder / INDEX).read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):  # a line that was cut off: its document is read again
                    entry = json.loads(line)
                    self.entries[entry["key"]] = entry

    def done(self, cell: Cell) -> sweep.Row | None:
        """The row of a cell that need not be run again; None if it has to be run."""
        path = self.folder / cell.result
        try:
            stat = path.stat()
        except OSError:
            return None
        entry = self.entries.get(cell.key)
        if entry and entry["stat"] == [stat.st_mtime_ns, stat.st_size]:
            return sweep.Row(cell.name, entry["counts"], None, 0)
        try:
            result = self._read(cell, path)
        except results.ResultError:
            return None
        self._enter(cell, path, result, 0.0, result.footer["seconds"])
        return sweep.Row(cell.name, sweep.counts(result), None, 0)

    def accept(self, cell: Cell, outcome: Outcome) -> sweep.Row:
        """Write what a node handed back, whole or not at all, if it is a finished result of this cell; else say why."""
        seconds = outcome.build + outcome.run
        if outcome.document is None:
            return self._problem(cell, outcome, outcome.problem or "no result")
        partial = self.folder / f".{cell.result}.partial"
        try:
            partial.write_bytes(outcome.document)
            result = self._read(cell, partial)
            partial.replace(self.folder / cell.result)
            self._enter(cell, self.folder / cell.result, result, outcome.build, outcome.run)
        except results.ResultError as error:
            return self._problem(cell, outcome, str(error).removeprefix(f"{partial}: "))
        except OSError as error:  # the disk is full: what is recorded stays, and the next run does this cell again
            return sweep.Row(cell.name, None, f"no result: {self.folder}: {error.strerror}", seconds)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        (self.folder / cell.result).with_suffix(".log").unlink(missing_ok=True)
        return sweep.Row(cell.name, sweep.counts(result), None, seconds)

    def _problem(self, cell: Cell, outcome: Outcome, problem: str) -> sweep.Row:
        if outcome.log:
            with contextlib.suppress(OSError):
                (self.folder / cell.result).with_suffix(".log").write_text(outcome.log, encoding="utf-8")
        return sweep.Row(cell.name, None, f"no result: {problem}", outcome.build + outcome.run)

    def _read(self, cell: Cell, path: Path) -> results.Result:
        """The result of a cell. Raises ResultError if it is not one of this lock, Python, torch, device and suite."""
        result = results.read(path, self._check)
        where, at = result.environment, cell.at
        lock = "sha256:" + hashlib.sha256(cell.lock.encode()).hexdigest()
        torch = where.packages.get("torch", "none")
        wrong = {
            "lock": where.lock != lock,
            f"Python {where.python}": where.python.split(".")[: at.python.count(".") + 1] != at.python.split("."),
            f"torch {torch}": torch.partition("+")[0] != at.torch.partition("+")[0],
            f"device {where.device}": (where.device == "cpu") if at.device != "cpu" else (where.device != "cpu"),
            f"{where.device} for {at.device}": at.device != "cpu" and at.device.lower() not in where.device.lower(),
            "suite": where.parts != self._parts(where.packages),
            "selection": bool(result.selection) and not at.arguments,
        }
        if any(wrong.values()):
            others = ", ".join(what for what, is_wrong in wrong.items() if is_wrong)
            raise results.ResultError(f"{path}: not a result of {cell.name}: other {others}")
        return result

    def _enter(self, cell: Cell, path: Path, result: results.Result, build: float, run: float) -> None:
        stat = path.stat()
        verdicts = json.dumps([[claim, verdict(result.claims, claim)] for claim in sorted(result.claims)])
        entry = {
            "key": cell.key,
            "version": cell.at.release.version,
            "device": cell.at.device,
            "arguments": list(cell.at.arguments),
            "engine": self._engine,
            "verdicts": hashlib.sha256(verdicts.encode()).hexdigest()[:12],
            "stat": [stat.st_mtime_ns, stat.st_size],
            "counts": sweep.counts(result),
            "build": round(build, 2),
            "run": round(run, 2),
        }
        self.entries[cell.key] = entry
        with (self.folder / INDEX).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def estimates(cells: Iterable[Cell], known: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Seconds that each cell will take, by key, from what earlier ones took (an index's entries).

    The median of those that are alike: of the same release, device and arguments; of its minor; of any release.
    """
    taken: dict[tuple[Any, ...], list[float]] = {}
    for entry in known.values():
        for alike in _alike(entry["version"], entry["device"], entry["arguments"]):
            taken.setdefault(alike, []).append(entry["build"] + entry["run"])
    medians = {alike: statistics.median(seconds) for alike, seconds in taken.items()}

    def estimate(at: Combination) -> float:
        alike = _alike(at.release.version, at.device, at.arguments)
        return next((medians[kind] for kind in alike if kind in medians), UNKNOWN)

    return {cell.key: estimate(cell.at) for cell in cells}


def _alike(version: str, device: str, arguments: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    options = tuple(arguments)
    yield version, device, options
    yield ".".join(version.split(".")[:2]), device, options
    yield device, options
    yield options


def chosen(cells: Iterable[Cell], keys: Iterable[str]) -> list[Cell]:
    """The cells with these keys. Raises MatrixError if there is none with one of them."""
    by_key = {cell.key: cell for cell in cells}
    if unknown := [key for key in keys if key not in by_key]:
        raise MatrixError(
            f"no cell {', '.join(unknown)}: the lock or the suite is another one than when it was planned"
        )
    return [by_key[key] for key in keys]
