"""Runs the suite on many releases, each in its tox environment, and does nothing twice.

A release is done when its result in `results/` is finished, full, and of the lock, the specs and the expectations of
the ledger that are there. Where some files of specs have changed, those alone are run again. A sweep that was
interrupted goes on where it ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from fixtures.releases import Release
from reports import archive, environment, exclusive, ledger, renew, results
from reports.matrix.node import last_words

FOLDER = environment.HOUSE / "results"

#: Seconds that an interrupted run has to end what it started.
GRACE = 5

#: How many releases at a time, three for two cores: up to 4.36 a third of a run is waiting, later a tenth.
JOBS = 3 * (os.cpu_count() or 1) // 2


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
        figures = "".join(f"{self.counts[name]:>4} {name}" for name in ("holds", "refuted", "not-run"))
        faults = [name for name in ("error", "drift") if self.counts[name]] or ["drift"]
        figures += "".join(f"{self.counts[name]:>4} {name}" for name in faults)
        return f"{self.minor:<16}{figures}{self.seconds:>5.0f}s"


def jobs(text: str) -> int:
    """How many at a time, as the command line says it. ValueError unless it is one or more."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def done(releases: Sequence[Release], folder: Path = FOLDER, slow: bool = False) -> dict[Release, Row]:
    """The rows of the releases that need not be run again, from their results; `slow` as for `sweep`."""
    parts, check, rows = environment.partition(), results.schema_check(), {}
    for release in releases:
        path = folder / f"{release.environment}.json"
        if renew.outdated(release, path, parts, check, slow) == []:
            rows[release] = Row(release.minor, counts(results.read(path, check)), None, 0)
    return rows


def sweep(
    releases: Sequence[Release], jobs: int, folder: Path = FOLDER, slow: bool = False, recorded: bool = False
) -> Iterator[Row]:
    """Run what is not done, `jobs` releases at a time; yield a row for each release as it ends, the done ones first.

    With `slow` a release is done when its slow specs were run, too; where they once were, they are in every later run.
    With `recorded` a release without a result in the folder has the recorded one. Raises SweepError if another sweep
    writes into the folder, and ResultError if a recorded result cannot be used.
    """
    with alone(folder):
        if recorded:
            lay(releases, folder)
        rows = done(releases, folder, slow)
        yield from rows.values()
        left = [release for release in releases if release not in rows]
        processes: list[subprocess.Popen[bytes]] = []
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        with ThreadPoolExecutor(jobs, initializer=_in_long_turns) as pool:
            running = [pool.submit(_run, release, folder, processes, slow) for release in left]
            try:
                for ended in as_completed(running):
                    yield ended.result()
            finally:  # Ctrl-C, or a kill: what runs is ended, and cut off; what is done stays
                pool.shutdown(wait=False, cancel_futures=True)
                _end([process.pid for process in processes if process.poll() is None])
                signal.signal(signal.SIGTERM, before)


def _end(groups: Sequence[int]) -> None:
    """End process groups. They are asked first: torchrun then ends its own processes, which are in other groups."""
    deadline = time.monotonic() + GRACE
    try:
        for group in groups:
            _sent(group, signal.SIGTERM)
        while any(_sent(group, 0) for group in groups) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:  # Ctrl-C once more
        for group in groups:
            _sent(group, signal.SIGKILL)


def _sent(group: int, number: int) -> bool:
    """Whether there is somebody in the group, to whom the signal was sent (0: none is)."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # the latter on macOS, where all of them are zombies
        return False
    return True


def lay(releases: Sequence[Release], folder: Path) -> None:
    """Write the recorded results of releases into the folder, where it has none of theirs. Raises ResultError."""
    kept = archive.recorded() | archive.beside()
    for release in releases:
        path = folder / f"{release.environment}.json"
        if release.minor in kept and not path.exists():
            results.write(results.full(kept[release.minor]), path)


def alone(folder: Path) -> AbstractContextManager[None]:
    """One run at a time writes into a folder of results. Raises SweepError if another one does."""
    return exclusive.held(folder / ".sweep", SweepError(f"another sweep writes into {folder}; wait for it, or end it"))


def _in_long_turns() -> None:
    """Ask for the policy of batch work, for what this thread starts: more jobs than cores take turns less often.

    Three runs on two cores take a twelfth less CPU time with it: caches are not filled anew so often.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # where it is not allowed, it is as without
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _run(release: Release, folder: Path, processes: list[subprocess.Popen[bytes]], slow: bool) -> Row:
    result, log = folder / f"{release.environment}.json", folder / f"{release.environment}.log"
    changed = renew.outdated(release, result, environment.partition(), results.schema_check(), slow)
    slow = slow or (changed is not None and renew.slow_ran(results.read(result)))
    there = [name for name in changed or () if (environment.HOUSE / name).exists()]
    # A part of a result, until it takes its place in the whole: if this is cut off, the whole is as it was.
    made = result.with_suffix(".part") if there else result
    made.unlink(missing_ok=True)
    started = time.monotonic()
    # One process for each release: two would import the libraries twice. What is printed goes into the log.
    command = [sys.executable, "-m", "tox", "-q", "-e", release.environment, "--", "-n", "0", f"--results={made}"]
    command += [*(["--slow"] if slow else []), *there]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, cwd=environment.HOUSE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        processes.append(process)
        process.wait()
    seconds = time.monotonic() - started
    try:
        if there:
            document = renew.renewed(ledger.load(), results.read(result), results.read(made))
            results.write(document, result)
            made.unlink()
        return Row(release.minor, counts(results.read(result)), None, seconds)
    except results.ResultError as error:
        problem = last_words(log.read_text(encoding="utf-8", errors="replace")) or str(error)
        return Row(release.minor, None, f"no result: {problem} (see {log.name})", seconds)
    except OSError as error:  # a full disk, say; the result that was there is as it was
        return Row(release.minor, None, f"no result: {error.strerror}: {error.filename}", seconds)


def counts(result: results.Result) -> dict[str, int]:
    """The counts of a result that its row shows."""
    return {name: int(result.footer[name]) for name in ("holds", "refuted", "not-run", "error", "drift")}
