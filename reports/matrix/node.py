"""What a node does with one cell: it builds the environment from the lock, runs pytest, and hands back the document.

Both engines call `run`, and nothing else here is theirs. This module needs the standard library and `uv` alone, so that
a node of a cluster needs no package of this project.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

HOUSE = Path(__file__).parents[2]
READY = "ready"

#: Variables of whoever starts the engine that would change what a cell measures or where it is installed.
_FOREIGN = ("CLAIMS_LOCK", "PYTEST_ADDOPTS", "PYTHONDONTWRITEBYTECODE", "PYTHONBREAKPOINT", "PYTHONPATH", "VIRTUAL_ENV")

Started = Callable[["subprocess.Popen[str]"], None]


class CellProblem(RuntimeError):
    """The cell has no result: its packages do not install, it does not end, it writes none. No fault of the node."""


class NodeProblem(RuntimeError):
    """No cell can be run on this node, and may well be on another one."""


@dataclass(frozen=True)
class Job:
    """A cell as a node gets it. `lock` is the lock's text, `limit` the seconds that building or running may take."""

    key: str
    name: str
    lock: str
    torch: str
    python: str
    device: str
    arguments: tuple[str, ...]
    limit: float


@dataclass(frozen=True)
class Outcome:
    """What a node hands back: the result document, or the problem; `unfit` if the problem is the node's.

    `build` and `run` are seconds of wall time, `log` is the end of what was printed.
    """

    key: str
    document: bytes | None
    problem: str | None = None
    unfit: bool = False
    build: float = 0.0
    run: float = 0.0
    node: str = ""
    log: str = ""


def cache() -> Path:
    """Where this node keeps environments: `CLAIMS_CACHE`, or a folder beside uv's own cache, for hard links."""
    if "CLAIMS_CACHE" in os.environ:
        return Path(os.environ["CLAIMS_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "executable-claims"


def run(job: Job, started: Started = lambda process: None) -> Outcome:
    """Run a cell here. Never raises: a problem is an outcome. `started` is told of each process, to end it early."""
    begun, built, log = time.monotonic(), None, ""
    document = problem = None
    unfit = False
    try:
        with tempfile.TemporaryDirectory(prefix="cell-") as folder:
            place = build(job, started)
            built = time.monotonic()
            document, log = _judge(job, place, Path(folder), started)
    except CellProblem as error:
        problem, _, log = str(error).partition("\n")
    except NodeProblem as error:
        problem, unfit = str(error), True
    except OSError as error:
        problem, unfit = (
            f"{error.filename or 'this node'}: {error.strerror}",
            error.errno in (errno.ENOSPC, errno.EDQUOT),
        )
    ended = time.monotonic()
    return Outcome(
        key=job.key,
        document=document,
        problem=problem,
        unfit=unfit,
        build=(built or ended) - begun,
        run=ended - built if built else 0.0,
        node=platform.node(),
        log=log,
    )


def build(job: Job, started: Started = lambda process: None) -> Path:
    """The environment of a cell's lock, Python and torch, made once a node; others wait for who makes it.

    Raises CellProblem if it cannot exist, NodeProblem if it cannot be made on this node.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise NodeProblem(f"node without uv ({platform.node()}): install uv (pip install uv) where PATH finds it")
    project = HOUSE / "pyproject.toml"
    parts = (job.lock, job.torch, job.python, project.read_text(encoding="utf-8"))
    place = cache() / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not (place / READY).exists():
            shutil.rmtree(place, ignore_errors=True)
            lock = place / "lock.txt"
            python = f"--python={place / 'bin' / 'python'}"
            try:
                _uv(job, started, uv, "venv", "--quiet", f"--python={job.python}", str(place))
                lock.write_text(job.lock, encoding="utf-8")
                install = (uv, "pip", "install", "--quiet", python)
                _uv(job, started, *install, f"torch=={job.torch}", f"--requirements={lock}")
                # The tools take the versions that go with what is locked, as in tox.ini.
                _uv(job, started, *install, f"--group={project}:suite", f"--constraints={lock}")
                (place / READY).touch()  # last: what was interrupted is made anew
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
    return place


def _uv(job: Job, started: Started, *command: str) -> None:
    code, said = _process(command, dict(os.environ), job.limit, started)
    if code == 0:
        return
    text = " ".join(said.split())
    if "No space left on device" in text or "Disk quota exceeded" in text:
        raise NodeProblem(f"disk full on {platform.node()}: make room in {cache()} and in uv's cache")
    if "No interpreter found" in text or "No download found" in text:
        raise CellProblem(f"no Python {job.python} on {platform.node()}: install it there (uv python install)\n{said}")
    if "No solution found" in text and "network" not in text:
        raise CellProblem(f"cannot be installed: {text.partition('No solution found')[2][:300]}\n{said}")
    raise CellProblem(f"uv {command[1]} failed on {platform.node()}: {last_words(said)[:300]}\n{said}")


def _judge(job: Job, place: Path, folder: Path, started: Started) -> tuple[bytes, str]:
    out = folder / "result.json"
    command = (str(place / "bin" / "python"), "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider")
    variables = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    variables["CLAIMS_LOCK"] = str(place / "lock.txt")
    if job.device == "cpu":
        variables["CUDA_VISIBLE_DEVICES"] = ""
    code, said = _process((*command, f"--results={out}", *job.arguments), variables, job.limit, started)
    try:
        return out.read_bytes(), said[-20_000:]
    except FileNotFoundError:
        raise CellProblem(f"no result (pytest ended with {code}): {last_words(said)[:300]}\n{said[-20_000:]}") from None


def last_words(said: str) -> str:
    """The line of a log that says most: the last one with an error in it, else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "")


def _process(command: tuple[str, ...], variables: Mapping[str, str], limit: float, started: Started) -> tuple[int, str]:
    # The child dies with its parent: of a worker that was killed, or a driver, nothing goes on in the background.
    if setpriv := shutil.which("setpriv"):
        command = (setpriv, "--pdeathsig", "KILL", "--", *command)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            command,
            cwd=HOUSE,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        started(process)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            raise CellProblem(f"no end within {limit:.0f} s") from None
        finally:
            end(process)
        output.seek(0)
        return process.returncode, output.read()


def end(process: subprocess.Popen[str]) -> None:
    """End a process, and all that it started, at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
