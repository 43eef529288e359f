"""A benchmark run: contestants measured in turns, and the file of figures that grows with each group."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from reports import archive
from reports.bench import document, statistics
from suite.benchmarks import machine, memory
from suite.benchmarks.clock import Timer, timer
from suite.benchmarks.turns import BLOCK, Turns, calls_for, repeated, timed

#: Seconds that the rounds of one group may take together; fewer rounds than `LEAST` are never made.
SECONDS = 4.0

#: Rounds that a group has at least: below nine, no outcome could show a difference.
LEAST = 11

#: Untimed calls before anything is measured: the first compile, allocate and fill caches.
WARM_UP = 3


@dataclass(frozen=True)
class Contestant:
    """Something to measure: a call, and what is done in it.

    `limit` names the contestant of the group that is the limit of this one; `least` gives its seconds where they were
    computed. `wait_share` tells, after a call, which part of it was waiting for data. `once`: a call is long enough.
    `settle` is done before each block, untimed: workers fill their queues while others have their turn.
    `flops` and `bytes` are those of one call; `rate` is what the device can do of the former.
    """

    name: str
    call: Callable[[], Any]
    tokens: int
    rows: int
    role: str = "variant"
    steps: int = 0
    limit: str | None = None
    least: float | None = None
    wait_share: Callable[[], float] | None = None
    once: bool = False
    settle: Callable[[], Any] | None = None
    flops: int | None = None
    bytes: int | None = None
    rate: float | None = None
    resident: int | None = None


class Refused(RuntimeError):
    """A contestant cannot be measured here; the message is the reason that is put down."""


class Run:
    """The figures so far. With a `path` they are written after each group: an interruption loses one at most."""

    def __init__(self, device: str, path: Path | None = None, pairs: int = statistics.PAIRS) -> None:
        self.device, self.path, self.pairs = device, path, pairs
        self.timer: Timer = timer(device)
        self.figures: list[document.Figure] = []
        self.not_run: list[dict[str, str]] = []
        self.evidence: list[dict[str, Any]] = []
        self.selection: list[str] = []
        self.roof: Any = None
        self._started, self._clock = document.now(), time.monotonic()
        self._machine = machine.describe(device)

    def skip(self, name: str, reason: str) -> None:
        """Put down that something was not run, and why."""
        self.not_run.append({"name": name, "reason": " ".join(reason.split())[:300]})

    def document(self, complete: bool) -> dict[str, Any]:
        """All that is known, as the schema has it."""
        if self._machine["gpu"] is not None:
            self._machine["gpu"]["end"] = machine.gpu_state()
        return {
            "schema": 1,
            "kind": "run",
            "release": self._machine["packages"].get("transformers", "0"),
            "device": machine.device_name(self.device),
            "machine": self._machine,
            "started": self._started,
            "seconds": round(time.monotonic() - self._clock, 1),
            "complete": complete,
            "selection": self.selection,
            "roof": self.roof and {"flops_per_s": self.roof.flops, "bytes_per_s": self.roof.bandwidth},
            "figures": document.figures(self.figures),
            "not_run": self.not_run,
        }

    def write(self, complete: bool = False) -> None:
        """Write the file anew, if there is one."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            archive.write(self.path, document.text(self.document(complete)))

    def others_on_gpu(self) -> int:
        """How many other processes are on the GPU now; 0 without one, or where the driver does not say."""
        return (machine.others() or 0) if self.device == "cuda" else 0

    def measure(
        self,
        group: str,
        contestants: Sequence[Contestant],
        benchmark: Any,
        seconds: float = SECONDS,
        least: int = LEAST,
        warm_up: int = WARM_UP,
    ) -> None:
        """Measure a group. The first contestant is the subject: pytest-benchmark times it, in turns with the others.

        A contestant that raises while it is warmed up is put down as not run, with what it said; so is one that finds
        the GPU's memory full. Raises Refused if that is the subject. The last call of the warm-up tells its memory.
        """
        warmed = {it.name: self._warmed(group, it, warm_up) for it in contestants}
        ready = [it for it in contestants if warmed[it.name] is not None]
        if not ready or ready[0] is not contestants[0]:
            self.write()
            raise Refused(f"{group}: {contestants[0].name} cannot be measured: {self.not_run[-1]['reason']}")
        peaks = {name: last[0] for name, last in warmed.items() if last}
        took = {it.name: warmed[it.name][1] if it.once else self._seconds(it.call) for it in ready}
        calls = {it.name: 1 if it.once else calls_for(took[it.name]) for it in ready}
        blocks = {it.name: repeated(it.call, calls[it.name]) for it in ready}
        round_seconds = sum(calls[name] * seconds for name, seconds in took.items())
        rounds = min(self.pairs, max(min(least, self.pairs), int(seconds / round_seconds)))
        subject, shares = ready[0], {it.name: [] for it in ready if it.wait_share}
        if subject.wait_share:
            blocks[subject.name] = _sharing(subject, blocks[subject.name], shares)
        others = {it.name: _sharing(it, blocks[it.name], shares) for it in ready[1:]}
        settle = {"" if it is subject else it.name: it.settle for it in ready if it.settle}
        turns = Turns(others, self.timer, seed=len(self.figures), settle=settle)
        before = self.others_on_gpu()
        benchmark.pedantic(blocks[subject.name], setup=turns.before, rounds=rounds)
        turns.finish()
        if (found := max(before, self.others_on_gpu())) > 0:
            self.skip(group, f"measured while {found} other processes were on the GPU: not alone; measure again")
        if benchmark.stats is None:
            self.skip(group, "pytest-benchmark is disabled; run `python -m suite.benchmarks`")
            return
        samples = {subject.name: list(benchmark.stats.stats.data), **turns.seconds}
        # As they are recorded: the limit of one contestant and the median of another are then the same figure.
        each = {name: [document.rounded(it / calls[name]) for it in own] for name, own in samples.items()}
        made = [self._figure(group, it, each, peaks[it.name], shares.get(it.name)) for it in ready]
        self.figures += made
        self.write()
        benchmark.extra_info.update(extra_info(made[0], calls[subject.name]))
        benchmark.extra_info["figures"] = document.figures(made)

    def measure_growth(self, group: str, it: Contestant, rounds: int) -> None:
        """Measure a contestant alone, without a warm-up, its memory in the first round: what is too long for turns."""
        samples: list[float] = []

        def first() -> None:
            samples.append(timed(it.call, self.timer))

        peak = memory.peak(first, self.device)
        samples += [timed(it.call, self.timer) for _ in range(rounds - 1)]
        self.figures.append(self._figure(group, it, {it.name: samples}, peak, None))
        self.write()

    def _seconds(self, call: Callable[[], Any]) -> float:
        """About how long a call takes; a short one is made again, for it is less certain."""
        seconds = timed(call, self.timer)
        return seconds if seconds > BLOCK else timed(repeated(call, 3), self.timer) / 3

    def _warmed(self, group: str, contestant: Contestant, calls: int) -> tuple[tuple[int, int | None], float] | None:
        """Memory (see `memory.peak`) and seconds of the last call of a warm-up; None if one raises."""
        try:
            for _ in range(calls - 1):
                contestant.call()
            started = self.timer()
            peak = memory.peak(contestant.call, self.device)
            return peak, self.timer() - started
        except Exception as error:
            full = memory.is_out_of_memory(error)
            reason = "out of memory" if full else f"{type(error).__name__}: {error}"
            if full:
                memory.release()
            self.skip(f"{group}: {contestant.name}", reason)
            return None

    def _figure(
        self, group: str, it: Contestant, samples: dict[str, list[float]], peak: tuple[int, int | None], shares: Any
    ) -> document.Figure:
        measured: dict[str, float] = {"host_peak_bytes": peak[0]}
        if peak[1] is not None:
            measured["device_peak_bytes"] = peak[1]
        if it.resident is not None:
            measured["device_resident_bytes"] = it.resident
        if shares:
            measured["wait_share"] = round(median(shares), 4)
        own = median(samples[it.name])
        if it.flops is not None and it.bytes is not None:
            measured |= {"flops": it.flops, "bytes": it.bytes}
            if it.rate is not None:
                measured["mfu"] = round(it.flops / own / it.rate, 4)
        least = it.least
        if it.limit in samples:
            least = median(samples[it.limit])
        work = {"tokens": it.tokens, "rows": it.rows, "steps": it.steps}
        return document.Figure(group, it.name, it.role, work, samples[it.name], least, measured)


def _sharing(contestant: Contestant, block: Callable[[], Any], shares: dict[str, list[float]]) -> Callable[[], Any]:
    """A block that puts down which part of it was waiting."""
    if contestant.wait_share is None:
        return block
    share, own = contestant.wait_share, shares[contestant.name]

    def sharing() -> None:
        block()
        own.append(share())

    return sharing


def extra_info(figure: document.Figure, calls: int) -> dict[str, float]:
    """What goes into pytest-benchmark's JSON beside its own statistics, whose rounds are `calls` calls each."""
    own = median(figure.samples)
    info: dict[str, float] = {"calls_per_round": calls, "tokens_per_s": figure.work["tokens"] / own}
    info["samples_per_s"] = figure.work["rows"] / own
    if figure.work["steps"]:
        info["step_ms"] = 1000 * own / figure.work["steps"]
    if figure.limit_seconds:
        info["share_of_limit"] = figure.limit_seconds / own
    return info | dict(figure.measured)
