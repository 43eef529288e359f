"""A short training run (slides 37 to 41) from random parameters: Trainer, a bare loop of the same, and settings.

BERT-base on a GPU, two layers of 32 on a CPU. All of a group run in turns, a block of steps at a time.
"""

import contextlib
from dataclasses import replace

import pytest
import torch

from suite.benchmarks import forms, limits, memory, training
from suite.benchmarks.run import Contestant
from suite.benchmarks.training import BareLoop, PacedTrainer, Settings

STEPS = 5


@pytest.fixture(scope="module")
def config(run):
    return training.base_config() if run.device == "cuda" else training.tiny_config()


@pytest.fixture(scope="module")
def printed(run):
    """The lecture's settings; half precision needs a GPU."""
    if run.device == "cpu":
        run.skip("training in fp16", "no GPU")
    return Settings(precision="fp16" if run.device == "cuda" else "fp32")


@pytest.fixture(scope="module")
def roof(run):
    precisions = ("fp32", "fp16", "bf16") if run.device == "cuda" else ("fp32", "bf16")
    run.roof = limits.roof(run.device, run.timer, precisions)
    return run.roof


@pytest.fixture(scope="module")
def flops(config, run):
    """Of the matrix products of one row of 128 tokens."""
    model = training.model(config, Settings(attention="eager"), run.device)
    ids = forms.blocks(4, 128, config.vocab_size).to(run.device)
    counted = limits.training_flops(model, ids) // 4
    del model
    memory.release()
    return counted


@pytest.fixture
def contestant(config, tokenizer, tmp_path, device, roof, flops):
    """A function that makes a contestant: a Trainer, or with `bare` a bare loop of the same. `close` ends them all."""
    with contextlib.ExitStack() as stack:

        def make(name, settings, role="variant", bare=False, **options):
            memory.release()
            before = torch.cuda.memory_allocated() if device == "cuda" else 0
            if bare:
                loop = BareLoop(config, settings, tokenizer, device, steps=STEPS, **options)
            else:
                loop = PacedTrainer(config, settings, tokenizer, tmp_path / name, device, steps=STEPS)
                stack.enter_context(loop)
            resident = None
            if device == "cuda":
                loop()  # gradients and moments are made by the first steps
                resident = torch.cuda.memory_allocated() - before
            rows = settings.batch * STEPS
            parameters = config_parameters(config)
            return Contestant(
                name,
                loop,
                tokens=rows * settings.length,
                rows=rows,
                role=role,
                steps=STEPS,
                least=STEPS * roof.step_seconds(flops * settings.batch, parameters, settings.precision),
                wait_share=None if options.get("resident") else lambda: loop.wait_share,
                once=True,
                settle=None if bare else loop.settle,
                flops=flops * rows,
                bytes=parameters * limits.ADAMW_BYTES * STEPS,
                rate=roof.rate(settings.precision),
                resident=resident,
            )

        yield make
    memory.release()


def config_parameters(config):
    with torch.device("meta"):
        return sum(it.numel() for it in training.model(config, Settings(), "meta").parameters())


def test_trainer(measure, contestant, printed):
    """Trainer as printed, against a bare loop, the same on batches that are there already, and other precisions."""
    contestants = [contestant("Trainer", printed, role="subject")]
    fused = "fused" in str(contestants[0].call.trainer.args.optim).lower()
    contestants += [
        contestant("bare loop", printed, bare=True, fused=fused),
        contestant("bare loop, batches on the device", printed, bare=True, fused=fused, resident=True),
    ]
    for precision in ("fp32", "bf16"):
        if precision != printed.precision:
            contestants.append(contestant(f"Trainer, {precision}", replace(printed, precision=precision)))

    measure(f"training, {printed.batch} x {printed.length}", contestants, seconds=20)


def test_tuned(run, measure, contestant, printed, device, request):
    """The printed settings against a tuned set, one change on top of the other."""
    compiles = device == "cuda" or request.config.option.long
    if not compiles:
        run.skip("training, tuned: compile", "slow")
    steps = training.tuned(printed, device, compiles)
    contestants = []
    for place, (name, settings) in enumerate(steps):
        try:
            contestants.append(contestant(name, settings, role="variant" if place else "subject"))
        except (ValueError, ImportError, RuntimeError) as error:
            run.skip(f"training, tuned: {name}", f"{type(error).__name__}: {error}")

    measure(f"training, tuned, {printed.batch} x {printed.length}", contestants, seconds=20)


@pytest.mark.gpu
def test_largest_batch(run, measure, contestant, printed, config, tokenizer):
    """The largest batch of 128 tokens a row that fits, searched: Trainer, and a bare loop of the same."""

    def fits(batch):
        loop = None
        try:
            loop = BareLoop(config, replace(printed, batch=batch), tokenizer, "cuda", steps=2)
            loop()
        except torch.cuda.OutOfMemoryError:
            return False
        finally:
            del loop
            memory.release()
        return True

    batch = memory.largest(fits, start=printed.batch)
    batch = batch * 7 // 8 // 8 * 8 or batch  # two models are there when both are measured
    for _ in range(3):
        if batch < 8:
            break
        try:
            settings = replace(printed, batch=batch)
            contestants = [contestant("Trainer", settings, role="subject")]
            contestants.append(contestant("bare loop", settings, bare=True, fused=True))
        except torch.cuda.OutOfMemoryError:
            memory.release()
            batch = batch * 7 // 8 // 8 * 8
            continue
        measure(f"training, largest batch, {batch} x {printed.length}", contestants, seconds=30)
        return
    run.skip("training, largest batch", "out of memory")
    pytest.skip("out of memory")
