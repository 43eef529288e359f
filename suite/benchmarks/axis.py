"""The release axis: did an upgrade make it slower? `python -m suite.benchmarks.axis [--python PATH ...]`.

One process for each release, which has imported once; they are asked for a block at a time, in an order that is drawn
anew for each round, all within one session. What is compared are times of one round, each over that of the newest.
`tox -m bench-anchors` does that on the anchor releases. With `--python` (repeated) it takes what is installed there, on
the GPU if there is one: `--device cpu` leaves it alone. Figures go to results/bench-axis.json as they come.

Exit codes: 0 done; 2 interrupted, what is there is kept and marked; 3 a release does not work; 4 wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.version import Version

from reports import archive
from reports.bench import document
from suite.benchmarks.turns import calls_for

HOUSE = Path(__file__).parents[2]
DEFAULT = HOUSE / "results" / "bench-axis.json"
ROUNDS = 30

#: A block of a release takes about this many times `turns.BLOCK` seconds.
BLOCKS = 8


class WorkerError(RuntimeError):
    """The process of a release ended, or does not start."""


class Worker:
    """The process of one release."""

    def __init__(self, python: Path, device: str) -> None:
        self._python = python
        # A file, not a pipe: nobody reads while it works, and a full pipe would stop it for ever.
        self._says = tempfile.TemporaryFile()  # noqa: SIM115 (`close` does)
        self._process = subprocess.Popen(
            [str(python), "-m", "suite.benchmarks.worker", device],
            cwd=HOUSE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._says,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        )

    def hello(self) -> None:
        """Wait until it has imported. Raises WorkerError."""
        said = self._read()
        self.packages, self.device = said["packages"], said["device"]
        self.release = self.packages["transformers"]

    def ask(self, workload: str, calls: int) -> dict[str, Any]:
        """Seconds of so many calls, and the work of each; or an error. Raises WorkerError."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended: `_read` says so
            print(json.dumps({"workload": workload, "calls": calls}), file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._says.seek(0)
            said = self._says.read().decode(errors="replace").strip().splitlines() or ["it says nothing"]
            raise WorkerError(f"{self._python}: the process ended: {said[-1][:300]}")
        return dict(json.loads(line))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._says.close()


def measure(pythons: Sequence[Path], device: str, rounds: int, workloads: Sequence[str], path: Path) -> dict[str, Any]:
    """Measure all workloads on all releases and write the document, anew after each workload. Raises WorkerError."""
    started, clock = document.now(), time.monotonic()
    where = _where(device)
    workers = [Worker(python, device) for python in pythons]
    made: dict[str, Any] = {}
    found: list[document.Figure] = []
    not_run: list[dict[str, str]] = []

    def write(complete: bool) -> None:
        made.update(figures=document.figures(found), not_run=not_run, complete=complete)
        made["seconds"] = round(time.monotonic() - clock, 1)
        made["changes"] = document.changes(made)
        path.parent.mkdir(parents=True, exist_ok=True)
        archive.write(path, document.text(made))

    try:
        for worker in workers:
            worker.hello()
        workers.sort(key=lambda worker: Version(worker.release))
        newest = workers[-1]
        if len({worker.release for worker in workers}) < len(workers):
            raise WorkerError(f"a release is there twice: {', '.join(worker.release for worker in workers)}")
        if len({worker.device for worker in workers}) > 1:
            raise document.MixedDevices(f"the releases see different devices: {[it.device for it in workers]}")
        made.update(_head(newest, where, started))
        for workload in workloads:
            samples, work = _rounds(workers, workload, rounds, not_run)
            for release, seconds in samples.items():
                role = "subject" if release == newest.release else "variant"
                found.append(document.Figure(workload, release, role, work, seconds))
            write(complete=False)
            print(f"{workload}: {len(samples)} releases, {time.monotonic() - clock:.0f} s", file=sys.stderr, flush=True)
        write(complete=True)
    finally:
        for worker in workers:
            worker.close()
    return made


def _where(device: str) -> dict[str, Any]:
    """The machine, to be asked for before there are workers: on a GPU they would be other processes."""
    from suite.benchmarks import machine

    return machine.describe(device)


def _head(newest: Worker, where: dict[str, Any], started: str) -> dict[str, Any]:
    where["packages"] = newest.packages
    where["threads"] = 1  # what isolation sets in the workers
    return {
        "schema": 1,
        "kind": "axis",
        "release": newest.release,
        "device": newest.device,
        "machine": where,
        "started": started,
        "selection": [],
    }


def _rounds(
    workers: Sequence[Worker], workload: str, rounds: int, not_run: list[dict[str, str]]
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of a call by release, oldest first, and the work of a call. A release that cannot is put down."""
    able, each, work = [], [], {"tokens": 0, "rows": 0, "steps": 0}
    for worker in workers:
        for _ in range(2):  # the first makes and warms up
            said = worker.ask(workload, 1)
        if "error" in said:
            not_run.append({"name": f"{workload}: {worker.release}", "reason": said["error"][:300]})
            continue
        able.append(worker)
        each.append(worker.ask(workload, 3)["seconds"] / 3)
        work = said["work"]
    if not able:
        return {}, work
    calls = BLOCKS * calls_for(sorted(each)[len(each) // 2] * BLOCKS)
    samples: dict[str, list[float]] = {worker.release: [] for worker in able}
    draw = random.Random(workload)
    for _ in range(rounds):
        for worker in draw.sample(able, len(able)):
            said = worker.ask(workload, calls)
            if "error" in said:
                raise WorkerError(f"{workload} on {worker.release}: {said['error']}")
            samples[worker.release].append(said["seconds"] / calls)
    return samples, work


def anchors() -> list[Path]:
    """The interpreters of the anchor releases' tox environments, which are built if need be. Raises WorkerError."""
    tox = [sys.executable, "-m", "tox", "-q"]
    said = subprocess.run(
        [*tox, "config", "-m", "anchors", "-k", "env_python"], cwd=HOUSE, capture_output=True, text=True
    )
    pythons = [
        Path(line.partition("=")[2].strip()) for line in said.stdout.splitlines() if line.startswith("env_python")
    ]
    if said.returncode or not pythons:
        raise WorkerError(f"tox does not tell the anchor environments: {said.stderr.strip()[-300:]}")
    if subprocess.run([*tox, "run", "-m", "anchors", "--notest"], cwd=HOUSE, stdout=sys.stderr).returncode:
        raise WorkerError("tox could not build the anchor environments; see above")
    return pythons


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    from suite.benchmarks.workloads import NAMES

    parser = argparse.ArgumentParser(prog="python -m suite.benchmarks.axis", description=__doc__)
    parser.add_argument("--python", type=Path, action="append", metavar="PATH", help="an interpreter (repeated)")
    parser.add_argument("--anchors", action="store_true", help="the anchor releases, in tox environments")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"without: {ROUNDS}")
    parser.add_argument("--workload", action="append", choices=NAMES, help="this one alone (repeated)")
    parser.add_argument("--figures", type=Path, default=DEFAULT, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.anchors == bool(options.python):
        parser.error("give --anchors, or interpreters by --python")
    device = options.device
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        pythons = anchors() if options.anchors else options.python
        made = measure(pythons, device, options.rounds, options.workload or NAMES, options.figures)
    except (WorkerError, document.BenchError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print(f"interrupted; what was measured is in {options.figures}, marked", file=sys.stderr)
        return 2
    from reports.bench import tables

    print("\n".join(tables.lines(made)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
