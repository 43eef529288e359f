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

        def make(name, settings, role="variant", bare=False, steps=STEPS, **options):
            memory.release()
            before = torch.cuda.memory_allocated() if device == "cuda" else 0
            with contextlib.ExitStack() as own:  # one that cannot do its first steps leaves nothing on the GPU
                if bare:
                    loop = BareLoop(config, settings, tokenizer, device, steps=steps, **options)
                else:
                    loop = PacedTrainer(config, settings, tokenizer, tmp_path / name, device, steps=steps)
                    own.enter_context(loop)
                resident = None
                if device == "cuda":
                    loop()  # gradients and moments are made by the first steps
                    resident = torch.cuda.memory_allocated() - before
                stack.enter_context(own.pop_all())
            rows = settings.batch * steps
            parameters = config_parameters(config)
            return Contestant(
                name,
                loop,
                tokens=rows * settings.length,
                rows=rows,
                role=role,
                steps=steps,
                least=steps * roof.step_seconds(flops * settings.batch, parameters, settings.precision),
                wait_share=None if options.get("resident") else lambda: loop.wait_share,
                once=True,
                settle=None if bare else loop.settle,
                flops=flops * rows,
                bytes=parameters * limits.ADAMW_BYTES * steps,
                rate=roof.rate(settings.precision),
                resident=resident,
            )

        yield make
    memory.release()


def config_parameters(config):
    return sum(it.numel() for it in training.model(config, Settings(), "meta").parameters())


@pytest.fixture
def tried(run, contestant):
    """A function: a contestant as a list of one; of none where it cannot be made, and the reason is put down."""

    def make(group, name, settings, **options):
        try:
            return [contestant(name, settings, **options)]
        except Exception as error:
            run.skip(f"{group}: {name}", f"{type(error).__name__}: {error}")
            return []

    return make


def test_trainer(measure, contestant, tried, printed):
    """Trainer as printed, against a bare loop, the same on batches that are there already; other precisions of both."""
    group = f"training, {printed.batch} x {printed.length}"
    contestants = [contestant("Trainer", printed, role="subject")]
    fused = "fused" in str(contestants[0].call.trainer.args.optim).lower()
    contestants += tried(group, "bare loop", printed, bare=True, fused=fused)
    contestants += tried(group, "bare loop, batches on the device", printed, bare=True, fused=fused, resident=True)
    for precision in ("fp32", "bf16"):
        if precision != printed.precision:
            settings = replace(printed, precision=precision)
            contestants += tried(group, f"Trainer, {precision}", settings)
            contestants += tried(group, f"bare loop, {precision}", settings, bare=True, fused=fused)

    measure(group, contestants, seconds=20)


def test_workers(measure, contestant, tried, printed):
    """Trainer as printed, whose batches are collated in its own process, and in workers: what is waited for."""
    group = f"training, workers, {printed.batch} x {printed.length}"
    contestants = [contestant("0 workers", printed, role="subject")]
    for workers in (2, 4):
        settings = printed.with_options(dataloader_num_workers=workers)
        contestants += tried(group, f"{workers} workers", settings)

    measure(group, contestants, seconds=12)


def test_tuned(run, measure, contestant, tried, printed, device, request):
    """The printed settings against a tuned set, one change on top of the other."""
    compiles = device == "cuda" or request.config.option.long
    if not compiles:
        run.skip("training, tuned: compile", "slow")
    group = f"training, tuned, {printed.batch} x {printed.length}"
    (subject, settings), *steps = training.tuned(printed, device, compiles)
    contestants = [contestant(subject, settings, role="subject")]
    for name, settings in steps:
        contestants += tried(group, name, settings)

    measure(group, contestants, seconds=20)


@pytest.mark.gpu
def test_largest_batch(run, measure, contestant, printed, config, tokenizer, tmp_path):
    """The largest batch of 128 tokens a row that fits, searched with what is measured: Trainer, and a bare loop."""
    steps = 2  # the second has the optimizer's moments from the start

    def fits(batch):
        settings = replace(printed, batch=batch)
        try:
            with PacedTrainer(config, settings, tokenizer, tmp_path / "search", "cuda", steps=steps) as trainer:
                trainer()
                BareLoop(config, settings, tokenizer, "cuda", steps=steps, fused=True)()
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            return False
        finally:
            memory.release()
        return True

    batch = memory.largest(fits, start=printed.batch)
    if batch == 0:
        run.skip("training, largest batch", "out of memory")
        pytest.skip("out of memory")
    batch = batch * 15 // 16 // 8 * 8 or batch  # a margin: over many turns torch's cache of the memory breaks up
    settings = replace(printed, batch=batch)
    contestants = [
        contestant("Trainer", settings, role="subject", steps=steps),
        contestant("bare loop", settings, bare=True, steps=steps, fused=True),
    ]
    # An untimed block first: what the other left in torch's cache of the GPU's memory is in its way, and given back.
    contestants = [replace(it, settle=it.call) for it in contestants]
    measure(f"training, largest batch, {batch} x {printed.length}", contestants, seconds=20, warm_up=1)
