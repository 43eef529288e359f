"""Tries lies: `pytest -p suite.meta.lies.plugin --lies=FOLDER [--lie NAME] [--truth] [--pools FILE]`.

Everything is imported and collected once. Then, for each lie, a forked copy of this process tells it and runs the specs
of the claims that have to notice, and a sample of the others, which must not. With `--truth` other copies run the same
claims without a lie before that: what is noticed then proves nothing. With `--pools` the lies of a pool are told
together instead, to all unrelated claims that are not slow (see `pools.py`).

What came of a lie or a pool is written to FOLDER, a file each. A file is made empty when the lie is taken, so that
several processes can share the work, and replaced when it was tried; a lie whose file is there is not tried again.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing.forkserver
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from fixtures.process import Processes
from reports.lies import TRUTH, WHOLE, unrelated
from suite.meta.lies import Lie, lies

Specs = list[pytest.Item]

#: A name, and what tries it: returns what is written, and a word for the terminal.
Work = tuple[str, Callable[[], tuple[Any, str]]]

#: Seconds after which a lie that makes a spec wait for ever is given up; more where a spec is slow, or nothing is told.
PATIENCE = 120
LONG_PATIENCE = 600

#: What a slow spec counts: those of unrelated claims are not run with `--pools` either.
SLOW = 100

#: Claims drawn beside those that have to notice; of their specs as many are run as take this time (processor time, s).
SAMPLE = 12
SAMPLE_SECONDS = 0.5


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lies", "the suite is tested on its lies")
    group.addoption("--lies", type=Path, metavar="FOLDER", required=True, help="write what came of each lie there")
    group.addoption("--lie", metavar="NAME", action="append", help="try this lie alone (may be repeated)")
    group.addoption("--truth", action="store_true", help="first run the claims concerned without a lie")
    group.addoption("--pools", type=Path, metavar="FILE", help="tell the lies of each pool together, to all others")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # A folder that is given is emptied by the first who asks for a part of it: each forked copy finds it empty.
    config.option.basetemp = tempfile.mkdtemp(prefix="lies-")
    config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))
    # Under a lie property tests fail: the first example that does is enough.
    generate = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    honest = hypothesis.settings.get_profile("claims")
    hypothesis.settings.register_profile("lies", honest, phases=generate, report_multiple_bugs=False)
    hypothesis.settings.load_profile("lies")


class LyingProcesses(Processes):
    """Fresh processes in which the lies are told first."""

    def __init__(self, honest: Processes, lies: Iterable[Lie]) -> None:
        super().__init__(honest._variables)
        self._lies = [(lie.tell.__module__, lie.name) for lie in lies]

    def __call__(self, function: Callable[..., Any], *arguments: Any, env: Any = None) -> Any:
        return super().__call__(_lied_to, self._lies, function, arguments, env=env)


_told: list[pytest.MonkeyPatch] = []


def _lied_to(lies: Iterable[tuple[str, str]], function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    if not _told:
        _told.append(pytest.MonkeyPatch())
        for module, name in lies:
            getattr(importlib.import_module(module), name)(_told[0])
    return function(*arguments)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    config = session.config
    if session.testsfailed or config.option.collectonly:
        return False
    known = lies()
    if unknown := set(config.option.lie or ()) - set(known):
        raise pytest.UsageError(f"no such lie: {', '.join(sorted(unknown))}; see suite/meta/lies/")
    wanted = [known[name] for name in config.option.lie or known]
    trial = Trial(session)
    work = trial.pools(known, config.option.pools) if config.option.pools else trial.work(wanted)
    _start_server()
    trial.hub.refuse()  # its port stays ours; each copy of this process opens it again
    folder: Path = config.option.lies
    folder.mkdir(parents=True, exist_ok=True)
    for name, try_it in work:
        file = folder / f"{name}.json"
        try:
            file.open("x").close()
        except FileExistsError:
            continue
        started = time.perf_counter()
        found, outcome = try_it()
        finished = file.with_suffix(".new")
        finished.write_text(json.dumps(found), encoding="utf-8")
        finished.replace(file)
        print(f"{name:<55} {outcome:<8}{time.perf_counter() - started:>7.1f} s", flush=True)
    return True


def _outcome(found: Mapping[str, Any]) -> str:
    if found["ended"] != WHOLE:
        return str(found["ended"]).partition(" ")[0]
    if not found["claims"]:
        return "error" if found["noticed"] else "true"
    return "SURVIVED" if set(found["claims"]) - set(found["noticed"]) else "noticed"


def _start_server() -> None:
    """Start what forks the fresh processes of all copies: it imports for 5 s. What they print is for nobody."""
    shown = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    multiprocessing.forkserver.ensure_running()
    for number, before in enumerate(shown, start=1):
        os.dup2(before, number)
        os.close(before)
    os.close(nowhere)


class Trial:
    """The collected specs by claim, and how to try a lie on some of them."""

    def __init__(self, session: pytest.Session) -> None:
        self.session = session
        self.policy: Any = next(
            plugin for plugin in session.config.pluginmanager.get_plugins() if hasattr(plugin, "CLAIMED")
        )
        self.ledger = session.config.stash[self.policy.LEDGER]
        self.hub = session.config.stash[self.policy.HUB]
        self.home: Path = session.config.stash[self.policy.HOME]
        self.items: dict[str, list[pytest.Item]] = {}
        for item in session.items:
            if self.policy.CLAIMED in item.stash:
                self.items.setdefault(item.stash[self.policy.CLAIMED][0].id, []).append(item)
        costs = {claim: max(map(_costs, items)) for claim, items in self.items.items()}
        self.quick = sorted(claim for claim, cost in costs.items() if cost == 1)
        self.all_but_slow = sorted(claim for claim, cost in costs.items() if cost < SLOW)

    def work(self, wanted: list[Lie]) -> list[Work]:
        """The lies one by one; what takes longest goes first.

        With `--truth` this begins with the families of all claims concerned, without a lie.
        Raises UsageError if a lie names a claim of which nothing was collected.
        """
        for lie in wanted:
            if missing := set(lie.claims) - set(self.items):
                raise pytest.UsageError(f"{lie.name}: no specs for {', '.join(sorted(missing))}")
        work: list[Work] = []
        if self.session.config.option.truth:
            tried = {claim for lie in wanted for claim in (*lie.claims, *self._others(lie))}
            for family in sorted({claim.partition(".")[0] for claim in tried}):
                claims = sorted(claim for claim in tried if claim.partition(".")[0] == family)
                work.append((f"{TRUTH}{family}", partial(self._try_truth, claims)))
        wanted = sorted(wanted, key=lambda lie: (-sum(map(_costs, self._specs(lie.claims))), lie.name))
        return [*work, *((lie.name, partial(self._try, lie)) for lie in wanted)]

    def pools(self, known: Mapping[str, Lie], file: Path) -> list[Work]:
        """The pools of a file, a list of lists of names."""
        pools = json.loads(file.read_text(encoding="utf-8"))
        work: list[Work] = []
        for number, names in enumerate(pools, start=1):
            lies = [known[name] for name in names]
            # The same for all of them: lies of a pool are about the same parts.
            others = unrelated(self.ledger, lies[0].claims, lies[0].also, self.all_but_slow)
            work.append((f"{number:03}", partial(self._try_pool, lies, others)))
        return work

    def _try_truth(self, claims: Iterable[str]) -> tuple[dict[str, Any], str]:
        found = {"says": "Nothing but the truth.", "claims": [], "also": []}
        found |= self.run([], self._specs(claims), [], LONG_PATIENCE)
        return found, _outcome(found)

    def _try(self, lie: Lie) -> tuple[dict[str, Any], str]:
        """Tell one lie to the claims it names and to a sample of the others."""
        found: dict[str, Any] = {"says": lie.says, "claims": sorted(lie.claims), "also": sorted(lie.also)}
        items = self._specs(lie.claims)
        patience = LONG_PATIENCE if any(map(_is_slow, items)) else PATIENCE
        found |= self.run([lie], items, self._specs(self._others(lie), in_order=False), patience)
        return found, _outcome(found)

    def _try_pool(self, lies: Sequence[Lie], claims: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
        """Tell lies together to claims that have nothing to do with them; those that notice are asked of each half."""
        found = self.run(lies, self._specs(claims), [], LONG_PATIENCE)
        found["lies"] = sorted(lie.name for lie in lies)
        whole, noticed = found["ended"] == WHOLE, sorted(found["noticed"])
        if len(lies) == 1 or (whole and not noticed):
            return [found], "NOTICED" if noticed else str(found["ended"]).partition(" ")[0]
        # Where the run broke, nothing is known of any claim: all of them are asked again.
        again = noticed if whole else claims
        settled = [found | {"tried": sorted({*found["tried"]} - {*noticed}), "noticed": {}}] if whole else []
        halves = [self._try_pool(half, again)[0] for half in (lies[: len(lies) // 2], lies[len(lies) // 2 :])]
        return [*settled, *halves[0], *halves[1]], "halved"

    def _others(self, lie: Lie) -> list[str]:
        others = [claim for claim in self.quick if claim not in lie.claims]
        return random.Random(lie.name).sample(others, min(SAMPLE, len(others)))

    def _specs(self, claims: Iterable[str], in_order: bool = True) -> Specs:
        specs = [item for claim in claims for item in self.items[claim]]
        # In their order the specs of a module follow each other: what they share is made once.
        return sorted(specs, key=self.session.items.index) if in_order else specs

    def run(self, lies: Sequence[Lie], items: Specs, others: Specs, patience: int) -> dict[str, Any]:
        """Run specs in a copy of this process under the lies; what they said of it (see `reports/lies.py`).

        Of `others` as many run as take `SAMPLE_SECONDS`. After `patience` seconds the copy is ended.
        """
        for path in self.home.iterdir():  # what a lie left in a cache is not for the next
            shutil.rmtree(path, ignore_errors=True)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            with os.fdopen(writing, "w", buffering=1) as pipe:
                self._run_and_tell(lies, items, others, lambda **said: print(json.dumps(said), file=pipe))
            os._exit(0)
        os.close(writing)
        stuck = False

        def give_up(*_: object) -> None:
            nonlocal stuck
            stuck = True
            os.killpg(child, signal.SIGKILL)

        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(patience)
        said: dict[str, Any] = {}
        with os.fdopen(reading) as pipe:
            for line in pipe:
                said |= json.loads(line)
        os.waitpid(child, 0)
        signal.alarm(0)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it started and did not end
        where = f"in {said['runs']}" if "runs" in said else "before the first spec"
        return {
            "tried": said.get("tried", []),
            "noticed": said.get("noticed", {}),
            "ended": said.get("ended") or f"{'stuck' if stuck else 'died'} {where}",
        }

    def _run_and_tell(self, lies: Sequence[Lie], items: Specs, others: Specs, tell: Callable[..., None]) -> None:
        try:
            os.setsid()  # so that the processes it starts can be ended with it
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            config = self.session.config
            config.pluginmanager.unregister(name="terminalreporter")
            config.option.tbstyle = "value"  # nobody reads tracebacks; pytest parses the libraries' sources for them
            self.hub.accept()
            # The server is a child of the process that this one is a copy of: its own cannot be waited for.
            multiprocessing.forkserver._forkserver.ensure_running = lambda: None  # type: ignore[attr-defined]
            if lies:
                config.stash[self.policy.PROCESSES] = LyingProcesses(config.stash[self.policy.PROCESSES], lies)
            for lie in lies:
                lie.tell(pytest.MonkeyPatch())
            ran: set[str] = set()
            together = [*items, *others]
            for number, item in enumerate(together):
                if number == len(items):
                    begun = time.process_time()
                if number > len(items) and time.process_time() - begun > SAMPLE_SECONDS:
                    break
                tell(runs=item.nodeid)
                following = together[number + 1] if number + 1 < len(together) else None
                config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                ran.add(item.stash[self.policy.CLAIMED][0].id)
            config.stash[self.policy.PROCESSES].close()
            recorder: Any = config.pluginmanager.get_plugin("claims-recorder")
            tell(tried=sorted(ran), noticed=_noticed(recorder.specs.values()), ended=WHOLE)
        except BaseException as error:
            tell(ended=f"broke: {type(error).__name__}: {error}")


def _costs(item: Any) -> int:
    """A guess at how long a spec takes, in those that take little: it decides the order, and what is never a sample."""
    if _is_slow(item):
        return SLOW
    fixtures = item._fixtureinfo.name2fixturedefs
    if "fresh_process" in fixtures:
        return 20
    return 2 if any(definitions[-1].scope == "module" for definitions in fixtures.values()) else 1


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _noticed(specs: Any) -> dict[str, str]:
    """Claim id -> how it was noticed: by a disagreement with the ledger (drift), or else by an error."""
    noticed: dict[str, str] = {}
    for spec in specs:
        if spec.drift or spec.outcome == "error":
            noticed[spec.claim] = "drift" if spec.drift or noticed.get(spec.claim) == "drift" else "error"
    return noticed


def pytest_sessionfinish(session: pytest.Session) -> None:
    sys.stdout.flush()
