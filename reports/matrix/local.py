"""The engine of one machine: a pool of the standard library, each of whose threads waits for the process of a cell."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from reports.matrix import node
from reports.matrix.node import Job, Outcome


def run(jobs: Sequence[Job], workers: int) -> Iterator[Outcome]:
    """Run cells, `workers` at a time, in this order; yield each as it ends."""
    processes: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(workers) as pool:
        running = [pool.submit(node.run, job, processes.append) for job in jobs]
        try:
            for ended in as_completed(running):
                yield ended.result()
        finally:  # Ctrl-C: what runs is ended, and cut off; what is done stays
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                node.end(process)
