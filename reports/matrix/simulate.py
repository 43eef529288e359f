"""What a matrix of 10,000 cells would take on 1 to 1,000 nodes: recorded durations, replayed by a simulation.

Simulated are what cells wait for: a slot of a node, the first download of a release's packages on it, the mirror that
all nodes share, and the driver, which takes one result after the other. A lost node takes its running cells and its
cache with it; they run again elsewhere, and another node comes in its place. Every number is in `World`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import simpy

from reports.matrix.spec import MatrixError

Events = Generator[simpy.Event, Any, None]

CELLS = 10_000
NODES = (1, 10, 100, 1_000)
LOSSES = (0.0, 0.1)
SEED = 0


@dataclass(frozen=True)
class World:
    """The numbers of a simulation; seconds and megabytes. Those of the engine were measured, the others are assumed."""

    nodes: int = 1
    warm: bool = True
    #: Nodes lost in an hour, as a share of those that run. Spot machines lose up to 0.1 in a bad hour.
    loss: float = 0.0
    #: Cells at a time on a node: one a core, as recorded on two cores.
    slots: int = 2
    #: A first environment on a node: torch, pyarrow and what all releases share. Wheels for CPU.
    base: float = 400.0
    #: What a release has that those before it on the node had not.
    release: float = 60.0
    #: A node's line, and the mirror's: 1 and 10 Gbit/s.
    line: float = 125.0
    mirror: float = 1250.0
    #: Until a lost node is noticed (Ray asks every 3 s, and gives it up after five silences) and another one is up.
    noticed: float = 15.0
    replaced: float = 120.0
    #: The driver's work on one result: to take it, check it against the schema, and write it. Measured: 0.04.
    collect: float = 0.04
    #: Of a cell beside building and running: to start it, and to hand over 0.5 MB. Measured: 0.02.
    engine: float = 0.02


@dataclass
class Run:
    """What happened: seconds of wall time, of cells that counted, of cells that were lost, and of the driver."""

    wall: float = 0.0
    useful: float = 0.0
    again: int = 0
    busy: float = 0.0
    hours: float = 0.0
    results: dict[int, float] = field(default_factory=dict)

    def efficiency(self, world: World) -> float:
        """The share of all slots' time in which a cell ran that counted, without what it built or downloaded."""
        return self.useful / (self.hours * 3600 * world.slots)


def simulate(world: World, durations: Sequence[tuple[str, float, float]], cells: int = CELLS, seed: int = SEED) -> Run:
    """Run `cells` cells, whose (release, build, run) are drawn from the recorded ones, longest first.

    A warm node has all packages in its cache. Every cell is counted once, however often it ran.
    """
    chance = random.Random(seed)
    drawn = sorted((chance.choice(durations) for _ in range(cells)), key=lambda cell: -(cell[1] + cell[2]))
    environment, run = simpy.Environment(), Run()
    driver = simpy.Resource(environment, capacity=1)
    mirror = simpy.Resource(environment, capacity=int(world.mirror / world.line))
    waiting, over = list(range(cells))[::-1], environment.event()

    def fetch(cached: set[str], release: str) -> Events:
        if world.warm or release in cached:
            return
        size = world.release + (0.0 if cached else world.base)
        cached.add(release)  # the second cell of a release waits a little less than it would: uv locks its cache
        with mirror.request() as turn:
            yield turn
            yield environment.timeout(size / world.line)

    def slot(cached: set[str], current: dict[int, int], number: int) -> Events:
        while waiting:
            current[number] = cell = waiting.pop()
            release, build, seconds = drawn[cell]
            yield from fetch(cached, release)
            yield environment.timeout(world.engine + build + seconds)
            del current[number]
            environment.process(collect(cell, seconds))

    def collect(cell: int, seconds: float) -> Events:
        with driver.request() as turn:
            yield turn
            yield environment.timeout(world.collect)
        run.busy += world.collect
        run.useful += seconds
        run.results[cell] = environment.now
        if len(run.results) == cells:
            over.succeed()

    def node() -> Events:
        while not over.triggered:
            begun = environment.now
            current: dict[int, int] = {}
            cached: set[str] = set()
            slots = [environment.process(guarded(cached, current, number)) for number in range(world.slots)]
            lives = chance.expovariate(world.loss / 3600) if world.loss else math.inf
            ended = environment.all_of(slots)
            yield ended | over | (environment.timeout(lives) if lives < math.inf else environment.event())
            if not ended.triggered and not over.triggered:  # lost
                for process in slots:
                    if process.is_alive:
                        process.interrupt()
                lost = list(current.values())
                run.again += len(lost)
                run.hours += (environment.now - begun) / 3600
                yield environment.timeout(world.noticed)
                waiting.extend(lost)
                wake()
                yield environment.timeout(world.replaced - world.noticed)
                continue
            if ended.triggered and not over.triggered:  # nothing waits; a node that is lost may bring work back
                yield over | woken[0]
            run.hours += (environment.now - begun) / 3600

    woken = [environment.event()]

    def wake() -> None:
        woken[0].succeed()
        woken[0] = environment.event()

    def guarded(cached: set[str], current: dict[int, int], number: int) -> Events:
        try:
            yield from slot(cached, current, number)
        except simpy.Interrupt:
            return

    for _ in range(world.nodes):
        environment.process(node())
    environment.run(over)
    environment.run(environment.now + 1e-9)  # the nodes notice that it is over
    run.wall = environment.now
    return run


def worlds() -> Iterable[World]:
    """Those of the table."""
    for nodes in NODES:
        for warm in (True, False):
            for loss in LOSSES:
                yield replace(World(), nodes=nodes, warm=warm, loss=loss)


def table(entries: Iterable[Mapping[str, Any]]) -> str:
    """The table of all worlds, as Markdown, from recorded durations. Raises MatrixError if there are none."""
    durations = [(entry["version"], entry["build"], entry["run"]) for entry in entries if entry["device"] == "cpu"]
    if not durations:
        raise MatrixError("no durations are recorded: run a matrix, then --keep-durations")
    mean = sum(build + run for _, build, run in durations) / len(durations)
    lines = [
        f"{CELLS:,} cells of {mean:.0f} s on average, drawn from {len(durations)} recorded ones.",
        "",
        "| nodes | cache | lost/h | wall time | node hours | efficiency | cells run again | driver busy |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for world in worlds():
        run = simulate(world, durations)
        lines.append(
            f"| {world.nodes:,} | {'warm' if world.warm else 'cold'} | {world.loss:.0%} | {_time(run.wall)} "
            f"| {run.hours:,.0f} | {run.efficiency(world):.0%} | {run.again:,} | {run.busy / run.wall:.0%} |"
        )
    return "\n".join(lines)


def _time(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    if hours >= 48:
        return f"{hours / 24:.1f} d"
    return f"{hours} h {rest // 60:02} min" if hours else f"{rest // 60} min {rest % 60:02} s"
