"""How often the comparison itself is wrong, on real timings: `python -m suite.benchmarks.evidence`.

A/A is the same against itself; A/B has a seeded slowdown of 5 %: it does 21 calls where the other does 20. The
workloads are real: the library's collator, and its tokenizer. How many pairs an experiment has follows from how far
timings scatter on this machine now: 80 where that is 5 %. Writes results/bench-evidence.json; about ten minutes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fixtures import isolation
from reports import archive
from reports.bench import document, statistics
from suite.benchmarks import allocator

DEFAULT = Path(__file__).parents[2] / "results" / "bench-evidence.json"

#: Calls of the faster and of the slower block: 5 % apart.
CALLS = 20, 21


#: Pairs of equal blocks by which the scatter is judged.
TRIAL = 200


def experiments(
    call: Callable[[], Any], slowdown: bool, pairs: int, count: int, seconds: float, timer: Any
) -> list[statistics.Ratio]:
    """As many experiments of so many pairs as fit into the time, `count` at most."""
    from suite.benchmarks.turns import interleaved, repeated

    fewer, more = CALLS
    blocks = {"A": repeated(call, fewer), "B": repeated(call, more if slowdown else fewer)}
    found: list[statistics.Ratio] = []
    started = time.monotonic()
    while len(found) < count and time.monotonic() - started < seconds:
        timings = interleaved(blocks, pairs, timer, seed=len(found))
        found.append(statistics.ratio(timings["B"], timings["A"]))
    return found


def main(arguments: list[str]) -> int:
    """Returns 0 if both promises were kept, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m suite.benchmarks.evidence", description=__doc__)
    parser.add_argument("--figures", type=Path, default=DEFAULT, metavar="FILE")
    parser.add_argument("--experiments", type=int, default=500, metavar="N", help="of each kind at most (500)")
    parser.add_argument("--seconds", type=float, default=150, help="for each kind (150)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args(arguments)
    allocator.keep_freed()
    home = Path(tempfile.mkdtemp(prefix="evidence-"))
    try:
        isolation.enter(isolation.environment(home, "http://127.0.0.1:9") | {"HF_HUB_OFFLINE": "1"})
        return _main(options)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _main(options: Any) -> int:
    from suite.benchmarks.run import Run
    from suite.benchmarks.turns import interleaved, repeated
    from suite.benchmarks.workloads import Workloads

    run = Run(options.device)
    kept = True
    with Workloads(options.device) as workloads:
        collate, _ = workloads.collator("tensors", 2)
        tokenize = partial(workloads.tokenizer, "the of and in to a was is for on as with by that")
        for name, call in (("collator", collate), ("tokenizer", tokenize)):
            for _ in range(200):
                call()
            block = repeated(call, CALLS[0])
            trial = interleaved({"A": block, "B": block}, TRIAL, run.timer)
            pairs = statistics.pairs_for(trial["A"], trial["B"])
            for slowdown in (False, True):
                found = experiments(call, slowdown, pairs, options.experiments, options.seconds, run.timer)
                wrong = sum(it.verdict != "no difference" for it in found)
                run.evidence.append(
                    {
                        "name": f"{'5 % slower' if slowdown else 'A/A'}, {name}",
                        "slowdown": 0.05 if slowdown else 0.0,
                        "pairs": pairs,
                        "experiments": len(found),
                        "differences": sum(it.verdict == "slower" for it in found) if slowdown else wrong,
                        "ratios": [float(f"{it.estimate:.4g}") for it in found],
                    }
                )
                share = run.evidence[-1]["differences"] / len(found)
                kept &= share >= 0.95 if slowdown else share <= 0.01
                print(
                    f"{run.evidence[-1]['name']}: {run.evidence[-1]['differences']} of {len(found)} differ", flush=True
                )
                made = run.document(complete=False) | {"kind": "evidence", "evidence": run.evidence}
                options.figures.parent.mkdir(parents=True, exist_ok=True)
                archive.write(options.figures, document.text(made))
    archive.write(options.figures, document.text(made | {"complete": True}))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
