"""The engine of many machines: Ray. It queues cells, places them, and runs those of a lost node elsewhere.

Here is only what is ours: what a cell asks for, which nodes turned out to be unfit, and what becomes of cells that no
node can take. Cells in Ray's hands are bounded, so that an unfit node cannot swallow the matrix.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from reports.matrix import node
from reports.matrix.node import HOUSE, Job, Outcome
from reports.matrix.spec import MatrixError

#: Of the project, what no cell reads. What git ignores Ray leaves out itself; git may be told of folders elsewhere.
EXCLUDES = [".git", ".tox", ".venv", ".culprit", "results", "page", "reports/results", "suite/meta"]

#: Runs of a cell whose nodes were lost, after the first.
RETRIES = 3

#: Seconds after which it is looked whether there still is a node for what waits.
LOOK = 5.0

#: Seconds that a cluster may take to answer at all. Ray itself tries for minutes, and ends the process then.
ANSWER = 5.0

#: Bytes of object store of a local cluster: results are 0.5 MB and collected at once. Ray's least is 75 MiB.
STORE = 200 * 2**20


class NoRay(MatrixError):
    """Ray is not installed."""


class NoCluster(MatrixError):
    """The cluster cannot be reached."""


def run(jobs: Sequence[Job], workers: int, address: str | None = None) -> Iterator[Outcome]:
    """Run cells on a Ray cluster, in this order; yield each as it ends.

    `address` is of a running cluster; without one (nor `RAY_ADDRESS`) a local one of `workers` CPUs is started, and
    ended. Raises NoRay, NoCluster.
    """
    ray = _connect(workers, address or os.environ.get("RAY_ADDRESS"))
    try:
        yield from _Driver(ray, jobs).outcomes()
    finally:
        ray.shutdown()


def _connect(workers: int, address: str | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=ANSWER).close()
        except (OSError, ValueError) as error:
            raise NoCluster(f"no cluster answers at {address} ({error}); start one (ray start --head)") from None
    else:
        host = "127.0.0.1"
    if host in ("127.0.0.1", "localhost"):
        # Else Ray takes the machine's outer address for its own: nothing there listens, and nothing of ours should.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise NoRay("Ray is not installed: pip install ray, or pip install --group matrix") from None
    options: dict[str, Any] = {
        "logging_level": "ERROR",
        "log_to_driver": False,
        "runtime_env": {"working_dir": str(HOUSE), "excludes": EXCLUDES},
    }
    if not address:
        options |= {"num_cpus": workers, "object_store_memory": STORE, "include_dashboard": False}
    try:
        ray.init(address=address or "local", **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise NoCluster(f"{address or 'a local cluster'}: {str(error).strip().splitlines()[0]}") from error
    return ray


class _Driver:
    """The cells of one run: those that wait, those in Ray's hands, and the nodes that are unfit, with the reason."""

    def __init__(self, ray: Any, jobs: Sequence[Job]) -> None:
        self.ray = ray
        self.waiting = deque(jobs)
        self.running: dict[Any, Job] = {}
        self.unfit: dict[str, str] = {}

        def cell(job: Job) -> tuple[str, Outcome]:
            return ray.get_runtime_context().get_node_id(), node.run(job)

        self.cell = ray.remote(num_cpus=1, max_retries=RETRIES)(cell)

    def outcomes(self) -> Iterator[Outcome]:
        """Each cell's, once, as it ends."""
        while self.waiting or self.running:
            yield from self._submit()
            if not self.running:
                continue
            ended, _ = self.ray.wait(list(self.running), num_returns=1, timeout=LOOK)
            for task in ended:
                yield from self._ended(task)
            if not ended:
                yield from self._stranded()

    def _submit(self) -> Iterator[Outcome]:
        slots = sum(int(alive["Resources"].get("CPU", 0)) for alive in self._alive())
        while self.waiting and len(self.running) < 2 * slots + 1:
            job = self.waiting.popleft()
            if self._places(job):
                self._start(job)
            else:
                yield self._nowhere(job)

    def _start(self, job: Job) -> None:
        options: dict[str, Any] = {"name": job.name}
        if job.device != "cpu":
            # Ray gives a node with a GPU this resource itself; elsewhere `ray start --resources` does.
            options |= {"num_gpus": 1, "resources": {_kind(job): 0.001}}
        if self.unfit:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(self.unfit)})"}
        self.running[self.cell.options(**options).remote(job)] = job

    def _ended(self, task: Any) -> Iterator[Outcome]:
        job = self.running.pop(task)
        try:
            place, outcome = self.ray.get(task)
        except self.ray.exceptions.RayError as error:
            yield Outcome(
                job.key, None, f"lost with {RETRIES + 1} nodes or workers: {str(error).strip().splitlines()[0]}"
            )
            return
        if outcome.unfit:
            self.unfit[place] = outcome.problem or ""
            if self._places(job):
                self._start(job)
                return
        yield outcome

    def _stranded(self) -> Iterator[Outcome]:
        """What waits in Ray for a node that is gone would wait for ever."""
        for task, job in list(self.running.items()):
            if not self._places(job):
                with contextlib.suppress(self.ray.exceptions.RayError):
                    self.ray.cancel(task, force=True)
                del self.running[task]
                yield self._nowhere(job)

    def _alive(self) -> list[dict[str, Any]]:
        return [found for found in self.ray.nodes() if found["Alive"] and found["NodeID"] not in self.unfit]

    def _places(self, job: Job) -> bool:
        nodes = self._alive()
        return bool(nodes) if job.device == "cpu" else any(_kind(job) in found["Resources"] for found in nodes)

    def _nowhere(self, job: Job) -> Outcome:
        kind = "no node is left" if job.device == "cpu" else f"no node with a {job.device}"
        unfit = f"; unfit: {'; '.join(sorted(set(self.unfit.values())))}" if self.unfit else ""
        return Outcome(job.key, None, kind + unfit, unfit=True)


def _kind(job: Job) -> str:
    return f"accelerator_type:{job.device}"
