"""How benchmarks measure: timers, turns, memory, limits, Trainer a block at a time, interruptions."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import DataCollatorForLanguageModeling

from fixtures import vocabulary
from reports.bench import document
from suite.benchmarks import axis, clock, forms, limits, machine, memory, test_collator
from suite.benchmarks import run as runs
from suite.benchmarks.turns import Turns, calls_for, interleaved, repeated, timed
from suite.meta.signals import hear_interrupts

HOUSE = Path(__file__).parents[2]


class FakeCuda:
    """A GPU's clock: an event's time is a 32-bit float of milliseconds since another."""

    def __init__(self):
        self.now, self.synchronized = 0.0, 0

    def synchronize(self):
        self.synchronized += 1

    def Event(self, enable_timing):
        assert enable_timing
        cuda = self

        class Event:
            def record(self):
                self.at = cuda.now

            def synchronize(self):
                pass

            def elapsed_time(self, later):
                return float(torch.tensor(1000 * (later.at - self.at), dtype=torch.float32))

        return Event()


def test_cuda_timer_adds_up():
    """Short blocks are timed as exactly after an hour as at the start, with a wait for all streams at each edge."""
    cuda = FakeCuda()
    timer = clock.CudaTimer(cuda)
    cuda.now += 3600
    started = timer()
    cuda.now += 25e-6

    assert timer() - started == pytest.approx(25e-6, rel=1e-4)
    assert cuda.synchronized == 3


def test_timer_by_device():
    """The host's is the one of the standard library."""
    assert clock.timer("cpu") is time.perf_counter


def test_every_contestant_runs_once_a_round():
    """In orders that chance draws: over many rounds each is first about as often."""
    order = []
    blocks = {name: lambda name=name: order.append(name) for name in "abc"}

    seconds = interleaved(blocks, 600, time.perf_counter, seed=1)

    assert {name: len(own) for name, own in seconds.items()} == {"a": 600, "b": 600, "c": 600}
    rounds = [order[at : at + 3] for at in range(0, len(order), 3)]
    assert all(sorted(it) == ["a", "b", "c"] for it in rounds)
    firsts = [sum(it[0] == name for it in rounds) for name in "abc"]
    assert min(firsts) > 150


def test_subject_of_another_harness_takes_its_turn():
    """Somebody else times the subject: the others still run once a round, before or after it, untimed work apart."""
    order = []
    turns = Turns(
        {name: lambda name=name: order.append(name) for name in "ab"},
        time.perf_counter,
        settle={"a": lambda: order.append("settle a"), "": lambda: order.append("settle")},
    )
    for _ in range(200):
        turns.before()
        order.append("subject")
    turns.finish()

    assert {name: len(own) for name, own in turns.seconds.items()} == {"a": 200, "b": 200}
    assert all(order[place - 1] == "settle a" for place, name in enumerate(order) if name == "a")
    assert all(order[place - 1] == "settle" for place, name in enumerate(order) if name == "subject")
    calls = [it for it in order if not it.startswith("settle")]
    rounds = [calls[at : at + 3] for at in range(0, len(calls), 3)]
    assert all(sorted(it) == ["a", "b", "subject"] for it in rounds)
    assert 30 < sum(it[0] == "subject" for it in rounds) < 110


@pytest.mark.parametrize(("seconds", "calls"), [(0.001, 4), (1.0, 1), (0.0, 4_000_000)])
def test_block_takes_long_enough(seconds, calls):
    """For the clock, however short a call is."""
    assert calls_for(seconds) == calls


def test_repeated_calls():
    """A block is that many calls."""
    seen = []
    timed(repeated(lambda: seen.append(1), 7), time.perf_counter)
    assert len(seen) == 7


# --- memory -----------------------------------------------------------------------------------------------------------


def test_peak_memory_is_seen():
    """50 MB that a block takes and gives back."""
    host, device = memory.peak(lambda: bytearray(os.urandom(1) * 50_000_000) and time.sleep(0.1), "cpu")

    assert device is None
    assert 0 <= host < 500_000_000


def test_memory_is_told_without_the_kernels_sums(monkeypatch):
    """Some kernels have no smaps_rollup: resident memory then."""
    monkeypatch.setattr(memory, "Path", lambda path: Path(f"{path}-missing"))

    assert memory.anonymous_bytes() > 1_000_000


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.cuda.OutOfMemoryError("no room"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    ],
)
def test_full_memory_is_told_from_other_errors(error, full):
    """Whoever says it: torch, CUDA, cuBLAS."""
    assert memory.is_out_of_memory(error) is full


@pytest.mark.parametrize("room", [7, 16, 100, 1000, 4096])
def test_largest_batch_is_searched(room):
    """At most a 16th (or 8) below what fits, never above it, and 0 if not even the first does."""
    tried = []

    def fits(batch):
        tried.append(batch)
        return batch <= room

    found = memory.largest(fits, start=16)

    assert found <= room
    assert found == 0 if room < 16 else found >= room - max(8, room // 16) - 8
    assert len(tried) < 20


@pytest.mark.parametrize(
    ("running", "initialised", "others"),
    [({10, 20}, True, 1), ({10}, True, 0), ({99}, True, 0), ({99}, False, 1), (set(), True, 0)],
)
def test_others_on_the_gpu_are_counted(running, initialised, others):
    """Also where the driver knows this process, number 10, by another number, as in a container."""
    assert machine.count_others(running, own=10, initialised=initialised) == others


@pytest.mark.parametrize(
    ("said", "clocks"), [("1980, 2619, 41, [N/A]", (1980, 2619, 41, None)), (None, (None,) * 4), ("", (None,) * 4)]
)
def test_gpu_state_is_asked_for_once(monkeypatch, said, clocks):
    """One call of nvidia-smi for all; what it does not know is null."""
    asked = []
    monkeypatch.setattr(machine, "_nvidia_smi", lambda query: asked.append(query) or said)
    monkeypatch.setattr(machine, "others", lambda: 0)

    seen = machine.gpu_state()

    assert len(asked) == 1
    assert tuple(seen[key] for key in ("sm_clock_mhz", "memory_clock_mhz", "temperature_c", "power_w")) == clocks


def test_state_is_read_while_the_device_is_busy():
    """Work has begun before it is asked, goes on meanwhile, and ends afterwards."""
    done = []
    multiply = machine.products("cpu", size=64)

    def work():
        multiply()
        done.append(None)

    def ask():
        before = len(done)
        time.sleep(0.1)
        return {"before": before, "meanwhile": len(done) - before}

    found = machine.while_busy(work, ask, seconds=0.1)
    after = len(done)
    time.sleep(0.05)

    assert found["before"] > 0
    assert found["meanwhile"] > 0
    assert len(done) == after


@pytest.mark.parametrize("breaks", ["work", "ask"])
def test_what_breaks_while_the_device_is_busy_is_told(breaks):
    """And nothing goes on."""

    def fail():
        raise RuntimeError("no room")

    work, ask = (fail, dict) if breaks == "work" else (lambda: None, fail)
    with pytest.raises(RuntimeError, match="no room"):
        machine.while_busy(work, ask, seconds=0.01)


def test_what_needs_the_gpu_comes_first():
    """Of a run on a GPU that is cut off; else files keep their order."""
    from suite.benchmarks import conftest

    class Item(SimpleNamespace):
        def get_closest_marker(self, name):
            return name if self.gpu else None

    items = [
        Item(name="host", gpu=False, fixturenames=["measure"]),
        Item(name="training", gpu=False, fixturenames=["measure", "device"]),
        Item(name="copied", gpu=True, fixturenames=[]),
    ]
    orders = {}
    for device in ("cuda", "cpu"):
        found = list(items)
        conftest.pytest_collection_modifyitems(
            SimpleNamespace(stash={conftest.RUN: SimpleNamespace(device=device)}), found
        )
        orders[device] = [it.name for it in found]

    assert orders == {"cuda": ["training", "copied", "host"], "cpu": ["host", "training", "copied"]}


# --- a group ----------------------------------------------------------------------------------------------------------


class Harness:
    """As much of pytest-benchmark's fixture as a group uses."""

    def __init__(self):
        self.extra_info, self.stats = {}, None

    def pedantic(self, target, setup, rounds):
        data = []
        for _ in range(rounds):
            setup()
            data.append(timed(target, time.perf_counter))
        self.stats = SimpleNamespace(stats=SimpleNamespace(data=data))


def works():
    return sum(range(2_000))


def test_group_is_measured(tmp_path):
    """Subject, reference and limit in turns; the file is there at once, marked as unfinished."""
    run = runs.Run("cpu", tmp_path / "f.json", pairs=10)
    contestants = [
        runs.Contestant("library", lambda: works() + works(), 100, 10, role="subject", limit="limit"),
        runs.Contestant("reference", works, 100, 10, role="reference", limit="limit"),
        runs.Contestant("limit", works, 100, 10, role="limit", limit="limit"),
    ]
    harness = Harness()

    run.measure("group", contestants, harness, seconds=0.1)

    made = document.read(tmp_path / "f.json")
    assert made["complete"] is False
    assert [it["contestant"] for it in made["figures"]] == ["library", "reference", "limit"]
    assert made["figures"][0]["limit_seconds"] == made["figures"][2]["seconds"]["median"]
    assert {"tokens_per_s", "samples_per_s", "share_of_limit", "host_peak_bytes"} < set(harness.extra_info)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (RuntimeError("indices should be\non the device"), "RuntimeError: indices should be on the device"),
    ],
)
def test_contestant_that_cannot_is_put_down(error, reason):
    """With its reason, and the others are measured; if it is the subject, nothing is, and that is said."""

    def fails():
        raise error

    run = runs.Run("cpu", pairs=3)
    run.measure(
        "group",
        [runs.Contestant("a", works, 1, 1, role="subject"), runs.Contestant("b", fails, 1, 1)],
        Harness(),
        seconds=0.01,
    )

    assert [it.contestant for it in run.figures] == ["a"]
    assert run.not_run == [{"name": "group: b", "reason": reason}]
    with pytest.raises(runs.Refused, match="group: b cannot be measured"):
        run.measure("group", [runs.Contestant("b", fails, 1, 1, role="subject")], Harness())


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(vocabulary.write_uncased(tmp_path_factory.mktemp("uncased")))


def test_flops_by_counter_and_by_formula():
    """torch's counter and the textbook's formula agree on a BERT."""
    from suite.benchmarks import training

    config = training.tiny_config()
    model = training.model(config, training.Settings(attention="eager"), "cpu")

    counted = limits.training_flops(model, forms.blocks(2, 64, config.vocab_size))

    assert counted == pytest.approx(limits.bert_flops(config, tokens=128, length=64), rel=0.01)


def test_step_limit_is_products_and_optimizer():
    """One after the other."""
    roof = limits.Roof({"fp16": 1e12, "bf16": 1e9, "fp32": 1e11}, 1e9)

    assert roof.step_seconds(flops=10**12, parameters=10**6, precision="fp16") == pytest.approx(1 + 0.028)
    assert roof.rate("bf16") == roof.rate("fp32") == 1e11


def test_paced_trainer_stands_still_between_blocks(tokenizer, tmp_path):
    """The loop is Trainer's own: after each block as many steps are done as were asked for, and no more."""
    from suite.benchmarks import training

    with training.PacedTrainer(
        training.tiny_config(), training.Settings(batch=2, length=16), tokenizer, tmp_path, "cpu", 3
    ) as paced:
        steps = []
        for _ in range(3):
            paced()
            time.sleep(0.05)
            steps.append(paced.trainer.state.global_step)
            assert 0 <= paced.wait_share <= 1

    assert steps == [3, 6, 9]


def test_paced_trainer_that_has_ended_is_told(tokenizer, tmp_path, monkeypatch):
    """It is an error, and no waiting for ever."""
    from suite.benchmarks import training

    monkeypatch.setattr(forms.Rows, "LENGTH", 4)
    with training.PacedTrainer(
        training.tiny_config(), training.Settings(batch=2, length=16), tokenizer, tmp_path, "cpu", 3
    ) as paced:
        paced()
        paced._thread.join(timeout=60)
        with pytest.raises(RuntimeError, match="has done all its steps"):
            paced()


def test_models_of_one_config_keep_their_attention_kernel():
    """Each has its own, whatever is made after it, and the config is as it was."""
    from suite.benchmarks import training

    config = training.tiny_config()
    settings = [training.Settings(attention=name) for name in ("eager", "sdpa", "eager")]
    models = [training.model(config, own, "cpu") for own in settings]

    assert [it.config._attn_implementation for it in models] == ["eager", "sdpa", "eager"]
    assert config._attn_implementation == training.tiny_config()._attn_implementation


def test_paced_trainers_keep_their_precision(tokenizer, tmp_path):
    """Several stand in one process, where Accelerate's state is one for all."""
    from suite.benchmarks import training

    settings = training.Settings(batch=2, length=16)
    with (
        training.PacedTrainer(
            training.tiny_config(), replace(settings, precision="bf16"), tokenizer, tmp_path / "bf16", "cpu", 1
        ) as half,
        training.PacedTrainer(training.tiny_config(), settings, tokenizer, tmp_path / "fp32", "cpu", 1) as full,
    ):
        half()
        full()
        seen = [it.trainer.accelerator.mixed_precision for it in (half, full)]

    assert seen == ["bf16", "no"]


def test_copying_to_the_device_is_no_waiting_for_data(tokenizer, tmp_path, monkeypatch):
    """Accelerate's loader copies, and waits there for a GPU that is at work."""
    import accelerate.data_loader

    from suite.benchmarks import training

    copy = accelerate.data_loader.send_to_device
    slow = []

    def copied(*arguments, **options):
        slow.append(time.sleep(0.2))
        return copy(*arguments, **options)

    monkeypatch.setattr(accelerate.data_loader, "send_to_device", copied)
    with training.PacedTrainer(
        training.tiny_config(), training.Settings(batch=2, length=16), tokenizer, tmp_path, "cpu", 3
    ) as paced:
        paced()
        paced()
        share = paced.wait_share

    assert len(slow) >= 6
    assert 0 < share < 0.3


def test_paced_trainer_hands_on_what_is_raised(tokenizer, tmp_path):
    """An error in Trainer's thread is the block's; afterwards nothing keeps the step's frames."""
    from suite.benchmarks import training

    paced = training.PacedTrainer(
        training.tiny_config(), training.Settings(batch=2, length=16), tokenizer, tmp_path, "cpu", 1
    )
    with paced:
        paced.trainer.data_collator = None
        with pytest.raises(TypeError):
            paced()

    assert paced._error is None


@pytest.mark.parametrize("resident", [False, True])
def test_bare_loop_trains(tokenizer, resident):
    """The parameters change, also on batches that stay on the device."""
    from suite.benchmarks import training

    loop = training.BareLoop(
        training.tiny_config(),
        training.Settings(precision="bf16", batch=2, length=16),
        tokenizer,
        "cpu",
        2,
        resident=resident,
    )
    before = [it.detach().clone() for it in loop._model.parameters()]

    loop()

    assert loop._optimizer.defaults["fused"] is None  # torch's choice, which `False` would narrow
    assert any(not torch.equal(one, other) for one, other in zip(before, loop._model.parameters(), strict=True))


@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")  # without a GPU nothing is pinned
@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_epoch_has_each_tensor_on_the_device(tokenizer, monkeypatch, workers, pinned):
    """Every batch of a loader goes to the device, each tensor of it, in every epoch."""
    collate = DataCollatorForLanguageModeling(tokenizer=tokenizer)
    dataset = forms.batch("lists", forms.blocks(32, 16, len(tokenizer)))
    loaders = {"library": test_collator.loader(dataset, 8, collate, workers, pinned)}
    (contestant,) = test_collator.of_an_epoch(loaders, 16, 16, partial(test_collator.copy, device="meta"))
    moved = []
    original = torch.Tensor.to

    def noted(tensor, *device, **how):
        moved.append((tuple(tensor.shape), device, how))
        return original(tensor, *device, **how)

    monkeypatch.setattr(torch.Tensor, "to", noted)
    contestant.call()
    contestant.call()

    copies = [it for it in moved if it[1] == ("meta",)]
    # Two epochs of four batches of ids, attention mask and labels.
    assert copies == 24 * [((8, 16), ("meta",), {"non_blocking": True})]
    assert (contestant.role, contestant.tokens) == ("subject", 64 * 16 * 16)


def test_tuned_settings_stand_on_each_other():
    """Each keeps what those before it changed."""
    from suite.benchmarks import training

    names, settings = zip(*training.tuned(training.Settings(), "cpu", compiles=True), strict=True)

    assert names[0] == "as printed"
    assert settings[0] == training.Settings()
    last = settings[-1]
    assert last.attention == "sdpa"
    assert last.reference
    assert last.marked
    assert last.options["torch_compile"]
    assert last.options["dataloader_num_workers"] == 2


# --- whole runs -------------------------------------------------------------------------------------------------------


def bench(*arguments, figures):
    command = [sys.executable, "-m", "suite.benchmarks", "-q", "--device", "cpu", f"--figures={figures}", *arguments]
    # pytest-benchmark measures nothing where it believes to be a worker of xdist, as the process of this test may be.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=HOUSE, env=variables, preexec_fn=hear_interrupts, **output)


def test_run_writes_figures_and_reasons(tmp_path):
    """One command: figures by the schema, pytest-benchmark's JSON with units, and not-run with reasons."""
    own = tmp_path / "benchmark.json"
    process = bench(
        "--pairs=2",
        "--group-seconds=0.01",
        "-k",
        "alone and columns-16-128 or copied",
        f"--benchmark-json={own}",
        figures=tmp_path / "f.json",
    )
    out, _ = process.communicate(timeout=600)

    assert process.returncode == 0, out
    made = document.read(tmp_path / "f.json")
    assert made["complete"]
    assert [it["contestant"] for it in made["figures"]] == ["library", "reference", "limit"]
    assert {"name": "test_copied_to_the_device[lists-16]", "reason": "no GPU"} in made["not_run"]
    info = json.loads(own.read_text())["benchmarks"][0]["extra_info"]
    assert info["tokens_per_s"] == pytest.approx(128 * info["samples_per_s"])
    assert len(info["figures"]) == 3


def test_interrupted_run_is_kept_and_marked(tmp_path):
    """Ctrl-C, or a kill: what was measured is in the file, marked."""
    figures = tmp_path / "f.json"
    process = bench("--pairs=2", "--group-seconds=0.01", "-k", "alone", figures=figures)
    deadline = time.monotonic() + 500
    while not figures.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(random.choice([signal.SIGINT, signal.SIGKILL]))
    out, _ = process.communicate(timeout=120)

    assert figures.exists(), out
    made = document.read(figures)
    assert made["complete"] is False
    assert made["figures"]


def test_axis_of_an_environment(tmp_path):
    """A release in a process of its own, asked for a block at a time."""
    figures = tmp_path / "axis.json"

    made = axis.measure([Path(sys.executable)], "cpu", 2, ["collator, tensors, 256 x 128"], figures)

    assert document.read(figures) == made
    assert made["kind"] == "axis"
    assert made["complete"]
    assert made["not_run"] == []
    assert [it["contestant"] for it in made["figures"]] == [made["release"]]
    assert len(made["figures"][0]["seconds"]["samples"]) == 2


class Release:
    """A worker of `axis` without a process: a call takes so many seconds."""

    def __init__(self, release, seconds):
        self.release, self.seconds = release, seconds

    def ask(self, workload, calls):
        if self.seconds is None:
            return {"error": "ImportError: no such name"}
        return {"seconds": self.seconds * calls, "work": {"tokens": 1, "rows": 1, "steps": 0}}


def test_release_that_cannot_is_put_down():
    """The others are measured, each once a round, with the same number of calls."""
    not_run = []

    samples, work = axis._rounds([Release("1", 0.001), Release("2", None), Release("3", 0.002)], "w", 5, not_run)

    assert samples == {"1": [pytest.approx(0.001)] * 5, "3": [pytest.approx(0.002)] * 5}
    assert work["tokens"] == 1
    assert not_run == [{"name": "w: 2", "reason": "ImportError: no such name"}]


def test_axis_looks_at_the_gpu_before_its_own_processes_are_there(tmp_path, monkeypatch):
    """They would be counted as others."""
    order = []

    def worker(python, device):
        order.append("worker")
        raise axis.WorkerError("enough")

    monkeypatch.setattr(axis, "Worker", worker)
    monkeypatch.setattr(machine, "describe", lambda device: order.append("machine") or {})

    with pytest.raises(axis.WorkerError, match="enough"):
        axis.measure([Path(sys.executable)], "cuda", 1, [], tmp_path / "axis.json")
    assert order == ["machine", "worker"]


def test_release_that_does_not_start_is_told(tmp_path):
    """With the interpreter and the last thing it said."""
    with pytest.raises(axis.WorkerError, match=r"false: the process ended"):
        axis.measure([Path("/bin/false")], "cpu", 1, [], tmp_path / "axis.json")


def test_two_processes_under_torchrun(tmp_path):
    """gloo on CPUs: one figure for both processes, with their number and efficiency."""
    alone, both = tmp_path / "one.json", tmp_path / "two.json"
    options = ["-m", "suite.benchmarks.processes", "--device", "cpu", "--rounds", "2"]
    subprocess.run([sys.executable, *options, "--figures", str(alone)], cwd=HOUSE, check=True, timeout=600)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

    done = subprocess.run(
        [*launcher, *options, "--figures", str(both), "--alone", str(alone)],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        timeout=600,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    (figure,) = document.read(both)["figures"]
    assert figure["measured"]["processes"] == 2
    assert figure["measured"]["efficiency"] > 0
    assert figure["work"]["tokens"] == 2 * document.read(alone)["figures"][0]["work"]["tokens"]
    _, record = document.keep([alone, both], tmp_path / "bench")
    assert [it["measured"]["processes"] for it in document.read(record)["figures"]] == [1, 2]
