"""Trainer in several processes: `torchrun --standalone --nproc-per-node N -m suite.benchmarks.processes`.

Each process trains on its own batches (gloo on CPUs, NCCL on GPUs, the same command); process 0 writes the figures:
tokens/s of all processes together, and, with `--alone FILE`, the figures of a run of one process on the same machine,
the efficiency: the throughput of N over N times that of one. A round is a block of steps, its time that of the slowest.

    python -m suite.benchmarks.processes --figures results/bench-1.json
    torchrun --standalone --nproc-per-node 2 -m suite.benchmarks.processes --alone results/bench-1.json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from fixtures import isolation
from suite.benchmarks import allocator

DEFAULT = Path(__file__).parents[2] / "results" / "bench-processes.json"

#: What torchrun tells a process, which the isolation would take for the user's settings.
LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
STEPS = 5


def main(arguments: list[str]) -> int:
    """Returns 0; 3 if the figures of one process cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m suite.benchmarks.processes", description=__doc__)
    parser.add_argument("--figures", type=Path, default=DEFAULT, metavar="FILE")
    parser.add_argument("--alone", type=Path, metavar="FILE", help="figures of one process, for the efficiency")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--rounds", type=int, default=30, metavar="N")
    options = parser.parse_args(arguments)
    launched = {
        name: value for name, value in os.environ.items() if name in LAUNCHED or name.startswith("TORCHELASTIC")
    }
    if launched and launched.get("LOCAL_WORLD_SIZE") == launched.get("WORLD_SIZE"):
        launched["MASTER_ADDR"] = "127.0.0.1"  # torchrun gives this machine's name, which may have no address
    allocator.keep_freed()
    home = Path(tempfile.mkdtemp(prefix="processes-"))
    try:
        isolation.enter(isolation.environment(home, "http://127.0.0.1:9") | {"HF_HUB_OFFLINE": "1"})
        os.environ.update(launched)
        code = _main(options, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if launched:
        # A thread of gloo that was kept waiting until Python ends aborts the process (pytorch pull request 179291).
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _main(options: Any, home: Path) -> int:
    import torch
    import torch.distributed
    from transformers import AutoTokenizer

    from fixtures import vocabulary
    from reports import archive
    from reports.bench import document
    from suite.benchmarks import training
    from suite.benchmarks.run import Run
    from suite.benchmarks.turns import timed

    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    processes, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    tokenizer = AutoTokenizer.from_pretrained(str(vocabulary.write_uncased(home)))
    gpu = device == "cuda"
    config = training.base_config() if gpu else training.tiny_config()
    settings = training.Settings(precision="fp16" if gpu else "fp32")
    if processes > 1:
        from fixtures import spelling

        settings = settings.with_options(**{spelling.backend(): "nccl" if gpu else "gloo"})
    run = Run(device)
    try:
        alone = _alone(document.read(options.alone), run) if options.alone else None
    except document.BenchError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 3
    samples = []
    with training.PacedTrainer(config, settings, tokenizer, home / "trainer", device, steps=STEPS) as paced:
        paced()
        for _ in range(options.rounds):
            slowest = torch.tensor(timed(paced, run.timer), device=device)
            if processes > 1:
                torch.distributed.all_reduce(slowest, op=torch.distributed.ReduceOp.MAX)
            samples.append(float(slowest))
    if rank == 0:
        work = {
            "tokens": processes * STEPS * settings.batch * settings.length,
            "rows": processes * STEPS * settings.batch,
            "steps": STEPS,
        }
        measured: dict[str, float] = {"processes": processes}
        if alone is not None:
            # Throughput of n processes over n times that of one: each does the same work in a round.
            measured["efficiency"] = round(alone / median(samples), 4)
        run.figures.append(document.Figure(_group(processes), "Trainer", "subject", work, samples, None, measured))
        made = run.document(complete=True) | {"selection": ["processes"]}
        options.figures.parent.mkdir(parents=True, exist_ok=True)
        archive.write(options.figures, document.text(made))
        print(json.dumps({"tokens_per_s": work["tokens"] / sorted(samples)[len(samples) // 2], **measured}))
    return 0


def _group(processes: int) -> str:
    return f"training in {processes} {'process' if processes == 1 else 'processes'}, 16 x 128 each"


def _alone(made: Any, run: Any) -> float:
    """Seconds of one process for a round, from its document. BenchError if it has none, or is of another device."""
    from reports.bench import document

    document.check_same_device(made, run.document(complete=False))
    own = [it for it in made["figures"] if it["group"] == _group(1)]
    if not own:
        raise document.BenchError("--alone has no figures of one process; run this module without torchrun first")
    return float(own[0]["seconds"]["median"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
