"""One release at work: `python -m suite.benchmarks.worker DEVICE`, asked for a block at a time by `axis.py`.

A line of JSON on standard input names a workload and a number of calls; the answer is a line with the seconds they
took, or with an error. What the libraries print goes to standard error.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from fixtures import isolation
from suite.benchmarks import allocator


def main(device: str) -> None:
    """Answer until there is nothing more to read."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    allocator.keep_freed()
    home = Path(tempfile.mkdtemp(prefix="worker-"))
    try:
        # Nothing is downloaded, and nobody would be there.
        isolation.enter(isolation.environment(home, "http://127.0.0.1:9") | {"HF_HUB_OFFLINE": "1"})
        _serve(device, answers)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _serve(device: str, answers: Any) -> None:
    from suite.benchmarks import machine
    from suite.benchmarks.clock import timer
    from suite.benchmarks.turns import repeated, timed
    from suite.benchmarks.workloads import Workloads

    clock = timer(device)
    with Workloads(device) as workloads:
        hello = {"packages": machine.versions(), "device": machine.device_name(device)}
        print(json.dumps(hello), file=answers)
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                call, work = workloads[asked["workload"]]
                seconds = timed(repeated(call, asked["calls"]), clock)
                answer = {"seconds": seconds, "work": work}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main(sys.argv[1])
