"""Runs the suite on many releases, each in its tox environment, and does nothing twice.

A release is done when its result in `results/` is finished, full, and of the lock, the specs and the expectations of
the ledger that are there. A sweep that was interrupted goes on where it ended.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fixtures.releases import Release
from reports import environment, results
from reports.matrix.node import last_words

FOLDER = environment.HOUSE / "results"


class SweepError(RuntimeError):
    """The sweep cannot start."""


@dataclass(frozen=True)
class Row:
    """How the run on one release ended: its counts, or why there are none. `seconds` is the wall time, 0 if not run."""

    minor: str
    counts: dict[str, int] | None
    problem: str | None
    seconds: float

    @property
    def code(self) -> int:
        """As pytest's exit codes: 0 agreement, 1 drift, 3 errors or no result."""
        if self.counts is None or self.counts["error"]:
            return 3
        return 1 if self.counts["drift"] else 0

    def __str__(self) -> str:
        if self.counts is None:
            return f"{self.minor:<6} {self.problem}"[:80]
        figures = "".join(
            f"{self.counts[name]:>5} {name}" for name in ("holds", "refuted", "not-run", "error", "drift")
        )
        return f"{self.minor:<6}{figures}{self.seconds:>6.0f} s"


def done(release: Release, folder: Path = FOLDER) -> Row | None:
    """The row of a release that need not be run again, from its result; None if it has to be run."""
    try:
        result = results.read(folder / f"{release.environment}.json")
    except results.ResultError:
        return None
    where = result.environment
    if result.selection or where.lock != environment.digest_of(release.lock):
        return None
    if where.suite != environment.suite(where.packages):
        return None
    return Row(release.minor, counts(result), None, 0)


def sweep(releases: Sequence[Release], jobs: int, folder: Path = FOLDER) -> Iterator[Row]:
    """Run what is not done, `jobs` releases at a time; yield a row for each release as it ends, the done ones first.

    Raises SweepError if another sweep writes into the folder.
    """
    with alone(folder):
        left = []
        for release in releases:
            row = done(release, folder)
            if row:
                yield row
            else:
                left.append(release)
        processes: list[subprocess.Popen[bytes]] = []
        with ThreadPoolExecutor(jobs) as pool:
            rows = [pool.submit(_run, release, folder, processes) for release in left]
            try:
                for ended in as_completed(rows):
                    yield ended.result()
            finally:  # Ctrl-C: what runs is ended, and cut off; what is done stays
                pool.shutdown(wait=False, cancel_futures=True)
                for process in processes:
                    if process.poll() is None:
                        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One run at a time writes into a folder of results. Raises SweepError if another one does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".sweep").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SweepError(f"another sweep writes into {folder}; wait for it, or end it") from None
        yield


def _run(release: Release, folder: Path, processes: list[subprocess.Popen[bytes]]) -> Row:
    result, log = folder / f"{release.environment}.json", folder / f"{release.environment}.log"
    result.unlink(missing_ok=True)
    started = time.monotonic()
    # One process for each release: two would import the libraries twice. What is printed goes into the log.
    command = [sys.executable, "-m", "tox", "-q", "-e", release.environment, "--", "-n", "0", f"--results={result}"]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, cwd=environment.HOUSE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        processes.append(process)
        process.wait()
    seconds = time.monotonic() - started
    try:
        return Row(release.minor, counts(results.read(result)), None, seconds)
    except results.ResultError as error:
        problem = last_words(log.read_text(encoding="utf-8", errors="replace")) or str(error)
        return Row(release.minor, None, f"no result: {problem} (see {log.name})", seconds)


def counts(result: results.Result) -> dict[str, int]:
    """The counts of a result that its row shows."""
    return {name: int(result.footer[name]) for name in ("holds", "refuted", "not-run", "error", "drift")}
