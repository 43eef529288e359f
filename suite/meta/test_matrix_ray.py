"""The matrix on real Ray, with several nodes on loopback: nodes and drivers that are killed, nodes that are unfit."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures import isolation
from suite.meta import stub

pytestmark = pytest.mark.xdist_group("ray")  # one cluster at a time on a small machine

HOUSE = Path(__file__).parents[2]
SIX = """
[axes]
transformers = ["4.26", "4.30", "4.40", "4.46", "4.57", "5.23"]
"""
# Ray says what it does on standard error; it is not what is compared.
OTHERS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": ""}


@pytest.fixture
def matrix(tmp_path):
    """Write a matrix; returns its path."""

    def matrix(text=SIX):
        path = tmp_path / "matrix.toml"
        path.write_text(text)
        return path

    return matrix


@pytest.fixture
def bare(tmp_path):
    """A PATH with all that the machine has but uv."""
    places = [Path(place) for place in isolation.USER["PATH"].split(os.pathsep) if place]
    without = [str(place) for place in places if not (place / "uv").exists()]
    folder = tmp_path / "bare"
    folder.mkdir()
    for place in places:
        if str(place) not in without and "bin" in place.parts[:3]:  # of the system, with uv in it
            for program in place.iterdir():
                if program.name != "uv" and not (folder / program.name).exists():
                    (folder / program.name).symlink_to(program)
    return os.pathsep.join([str(folder), *without])


@pytest.fixture
def user(tmp_path, bare):
    """The user's environment with the stubs, but without any uv on PATH: nodes add theirs."""
    stubs = {"CLAIMS_CACHE": str(tmp_path / "cache"), "STUB_RUNS": str(tmp_path / "runs")}
    return {**isolation.USER, **OTHERS, **stubs, "PATH": bare}


@pytest.fixture
def uv(tmp_path):
    """A folder for PATH with the stub of uv."""
    return stub.install(tmp_path / "bin")


@pytest.fixture
def command(tmp_path):
    """The command line of `python -m reports matrix` with its results in a folder."""

    def command(*arguments, results="results"):
        start = [sys.executable, "-m", "reports", "matrix", "--results", str(tmp_path / results)]
        return [*start, *map(str, arguments)]

    return command


@pytest.fixture
def run(user, command):
    """Run it."""

    def run(*arguments, results="results", **variables):
        line = command(*arguments, results=results)
        return subprocess.run(line, cwd=HOUSE, capture_output=True, text=True, env={**user, **variables}, timeout=240)

    return run


@contextmanager
def start(begin):
    """Yields the cluster's process and address. Where Ray gives up a node that starts (a busy machine): once more."""
    for _ in range(3):
        with begin() as process:
            said = "no cluster yet"
            while said and not said.startswith(("127.0.0.1:", "no cluster:")):
                said = process.stdout.readline()
            if said.startswith("127"):
                yield process, said
                return
    raise AssertionError(f"Ray did not start: {said}")


@contextmanager
def cluster(user, *nodes, **variables):
    """A cluster with these nodes; yields its address and what kills a node."""
    line = [sys.executable, str(HOUSE / "suite" / "meta" / "ray_cluster.py"), *map(str, nodes)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with start(lambda: subprocess.Popen(line, env={**user, **variables}, text=True, **pipes)) as (process, said):

        def kill(number):
            process.stdin.write(f"kill {number}\n")
            process.stdin.flush()
            while process.stdout.readline() != "killed\n":
                pass

        try:
            yield said.strip(), kill
        finally:
            process.stdin.close()


def begun(tmp_path):
    """The processes of the cells that were begun, with their locks."""
    lines = (tmp_path / "runs").read_text().splitlines() if (tmp_path / "runs").exists() else []
    return [tuple(line.split()) for line in lines]


def recorded(tmp_path, results="results"):
    return sorted(path.name for path in (tmp_path / results).glob("*.json"))


def until(condition, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def alive(process):
    """Whether a process runs (one that waits to be buried does not)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_local_cluster_gives_what_the_local_engine_gives(run, uv, matrix, tmp_path):
    """Where there is no cluster one is started: each cell is there once, with the verdicts of the other engine."""
    path = f"{uv}{os.pathsep}{isolation.USER['PATH']}"
    local = run(matrix(), "--jobs", "2", results="local", PATH=path)
    assert local.returncode == 0, local.stdout + local.stderr

    done = run(matrix(), "--engine", "ray", "--jobs", "2", PATH=path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert recorded(tmp_path) == recorded(tmp_path, "local")
    assert len(begun(tmp_path)) == 12
    same = run(matrix(), "--collect", "--against", tmp_path / "local")
    assert same.returncode == 0
    assert "6 cells with the same verdicts" in same.stderr


def test_node_that_is_killed(user, uv, matrix, command, tmp_path):
    """What ran there runs elsewhere, its processes end, and each cell is recorded once."""
    with cluster(user, uv, uv, STUB_SECONDS="2") as (address, kill):
        line = command(matrix(), "--engine", "ray", "--address", address)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(line, cwd=HOUSE, env=user, **pipes) as driver:
            until(lambda: len(begun(tmp_path)) >= 2)
            before = begun(tmp_path)
            kill(1)
            said = driver.communicate(timeout=120)[0]

    assert driver.returncode == 0, said
    assert len(recorded(tmp_path)) == 6
    assert len(begun(tmp_path)) == 7, said  # one ran again
    assert len({lock for lock, _ in begun(tmp_path)}) == 6
    assert not any(alive(process) for _, process in before)
    assert said.count("1 holds") == 6


def test_driver_that_is_killed(user, uv, matrix, command, run, tmp_path):
    """On a cluster that goes on: what was recorded stays, what ran is ended, and the next driver does the rest."""
    with cluster(user, uv, uv, STUB_SECONDS="2") as (address, _):
        line = command(matrix(), "--engine", "ray", "--address", address)
        with subprocess.Popen(
            line, cwd=HOUSE, env=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as driver:
            until(lambda: len(recorded(tmp_path)) >= 2)
            driver.send_signal(signal.SIGKILL)
        there = recorded(tmp_path)
        times = {name: (tmp_path / "results" / name).stat().st_mtime_ns for name in there}

        done = run(matrix(), "--engine", "ray", "--address", address)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(recorded(tmp_path)) == 6
    assert done.stdout.count("1 holds") == 6
    assert {name: (tmp_path / "results" / name).stat().st_mtime_ns for name in there} == times
    again = len(begun(tmp_path)) - 6
    assert again <= 2  # what ran when it was killed


def test_unfit_nodes_and_kinds_of_gpu(user, uv, matrix, run, tmp_path):
    """Cells go to nodes with uv, and to the kind of GPU they ask for; what no node can take is named, the rest runs."""
    three = '[axes]\ntransformers = ["4.30", "4.57", "5.23"]\ndevice = ["cpu", "H100", "B200"]'
    with cluster(user, tmp_path, f"{uv}=H100", STUB_SECONDS="0.2") as (address, kill):
        done = run(matrix(three), "--engine", "ray", "--address", address)
        assert done.returncode == 3
        assert done.stdout.count("1 holds") == 6, done.stdout + done.stderr
        assert done.stdout.count("no result: no node with a B200") == 3
        assert len(recorded(tmp_path)) == 6
        kill(1)
        done = run(matrix(three), "--engine", "ray", "--address", address, results="none")
    assert done.returncode == 3
    on_cpu = [line for line in done.stdout.splitlines() if " cpu: " in line]
    assert ["node without uv" in line for line in on_cpu] == [True] * 3, done.stdout + done.stderr
    assert "pip install uv" in done.stdout
    assert done.stdout.count("no node with a H100") == 3


def test_cluster_that_cannot_be_reached(run, matrix):
    """It is said within seconds, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    started = time.monotonic()
    done = run(matrix(), "--engine", "ray", "--address", f"127.0.0.1:{port}")
    assert done.returncode == 3
    assert f"NoCluster: no cluster answers at 127.0.0.1:{port}" in done.stderr
    assert time.monotonic() - started < 30


def test_without_ray(run, matrix, tmp_path):
    """What is to be installed is said."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "ray.py").write_text("raise ModuleNotFoundError(\"No module named 'ray'\", name='ray')")
    done = run(matrix(), "--engine", "ray", PYTHONPATH=str(tmp_path / "hidden"))
    assert done.returncode == 3
    assert "NoRay: Ray is not installed: pip install ray, or pip install --group matrix" in done.stderr
