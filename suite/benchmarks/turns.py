"""Contestants that run in turns, in an order drawn anew for each round: what `reports.bench.statistics` asks for."""

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from suite.benchmarks.clock import Timer

Block = Callable[[], Any]

#: Seconds that a block of calls takes at least: beside them, reading the clock and being interrupted are small.
BLOCK = 0.004


def interleaved(blocks: Mapping[str, Block], rounds: int, timer: Timer, seed: int = 0) -> dict[str, list[float]]:
    """Seconds of each block, by name; place i of every list is round i."""
    draw, seconds = random.Random(seed), {name: [] for name in blocks}
    for _ in range(rounds):
        for name in draw.sample(list(blocks), len(blocks)):
            seconds[name].append(timed(blocks[name], timer))
    return seconds


class Turns:
    """The same, where somebody else (pytest-benchmark) times one of the contestants, the subject.

    Give `before` as what has to be done before each round of the subject, and call `finish` after the last: others run
    there whose turn comes after the subject's. `settle` has what a contestant does before its turn, untimed; the
    subject's is under the name "".
    """

    def __init__(
        self, others: Mapping[str, Block], timer: Timer, seed: int = 0, settle: Mapping[str, Block] | None = None
    ) -> None:
        self.seconds: dict[str, list[float]] = {name: [] for name in others}
        self._others, self._timer, self._draw = others, timer, random.Random(seed)
        self._settle = settle or {}
        self._after: list[str] = []

    def before(self) -> None:
        """Run those whose turn is between the subject's last and its next."""
        self.finish()
        order = self._draw.sample([*self._others, ""], len(self._others) + 1)
        place = order.index("")
        self._run(order[:place])
        self._after = order[place + 1 :]
        self._settled("")

    def finish(self) -> None:
        """Run those whose turn in this round is after the subject's."""
        self._run(self._after)
        self._after = []

    def _run(self, names: list[str]) -> None:
        for name in names:
            self._settled(name)
            self.seconds[name].append(timed(self._others[name], self._timer))

    def _settled(self, name: str) -> None:
        if name in self._settle:
            self._settle[name]()


def timed(block: Block, timer: Timer) -> float:
    """Seconds that one call of `block` takes."""
    started = timer()
    block()
    return timer() - started


def repeated(call: Block, times: int) -> Block:
    """A block of that many calls."""

    def block() -> None:
        for _ in range(times):
            call()

    return call if times == 1 else block


def calls_for(seconds: float) -> int:
    """How many calls of that many seconds make a block."""
    return max(1, math.ceil(BLOCK / max(seconds, 1e-9)))
