"""Tries lies: `pytest -p suite.meta.lies.plugin --lies=FOLDER [--lie NAME] [--truth] [--all-claims]`.

Everything is imported and collected once. Then, for each lie, a forked copy of this process tells it and runs the specs
of the claims that have to notice, and a sample of the others, which must not. With `--truth` other copies run the same
claims without a lie before that: what is noticed then proves nothing.

What came of a lie is written to FOLDER, a file each. A file is made empty when the lie is taken, so that several
processes can share the work, and replaced when the lie was tried; a lie whose file is there is not tried again.
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
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from fixtures.process import Processes
from reports import results
from reports.lies import TRUTH, WHOLE
from suite.meta.lies import Lie, lies

#: Seconds after which a lie that makes a spec wait for ever is given up.
PATIENCE = 120

#: Claims tried beside those that have to notice: of those whose specs took less than QUICK seconds when recorded, and
#: need neither a fresh process nor what a module makes once. Specs marked slow count as taking SLOW seconds.
SAMPLE = 12
QUICK = 0.1
SLOW = 10.0

#: A recorded run: it says which claims take long.
RECORDED = Path(__file__).parents[3] / "reports" / "results" / "5.23.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lies", "the suite is tested on its lies")
    group.addoption("--lies", type=Path, metavar="FOLDER", required=True, help="write what came of each lie there")
    group.addoption("--lie", metavar="NAME", action="append", help="try this lie alone (may be repeated)")
    group.addoption("--truth", action="store_true", help="first run the claims concerned without a lie")
    group.addoption("--all-claims", action="store_true", help="run every claim against every lie")


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
    """Fresh processes in which the lie is told first."""

    def __init__(self, honest: Processes, lie: Lie) -> None:
        super().__init__(honest._variables)
        self._lie = lie.tell.__module__, lie.name

    def __call__(self, function: Callable[..., Any], *arguments: Any, env: Any = None) -> Any:
        return super().__call__(_lied_to, *self._lie, function, arguments, env=env)


_told: list[pytest.MonkeyPatch] = []


def _lied_to(module: str, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    if not _told:
        _told.append(pytest.MonkeyPatch())
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
    trial.check(wanted)
    _start_server()
    trial.hub.refuse()  # its port stays ours; each copy of this process opens it again
    folder: Path = config.option.lies
    folder.mkdir(parents=True, exist_ok=True)
    for name, lie, items in trial.work(wanted):
        file = folder / f"{name}.json"
        try:
            file.open("x").close()
        except FileExistsError:
            continue
        started = time.perf_counter()
        found = trial.run(lie, items)
        finished = file.with_suffix(".new")
        finished.write_text(json.dumps(found), encoding="utf-8")
        finished.replace(file)
        seconds = time.perf_counter() - started
        print(f"{name:<55} {_outcome(found):<8}{seconds:>7.1f} s", flush=True)
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
        self.hub = session.config.stash[self.policy.HUB]
        self.home: Path = session.config.stash[self.policy.HOME]
        self.items: dict[str, list[pytest.Item]] = {}
        for item in session.items:
            if self.policy.CLAIMED in item.stash:
                self.items.setdefault(item.stash[self.policy.CLAIMED][0].id, []).append(item)
        recorded = results.read(RECORDED).claims
        self.seconds = {}
        for claim, items in self.items.items():
            seconds = [spec["seconds"] for spec in recorded[claim]["specs"]] if claim in recorded else [SLOW]
            slow = [SLOW for item in items if item.get_closest_marker("slow")]
            self.seconds[claim] = sum(seconds) + sum(slow)
        self.quick = sorted(
            claim
            for claim, items in self.items.items()
            if self.seconds[claim] < QUICK and not any(map(_needs_much, items))
        )

    def check(self, wanted: list[Lie]) -> None:
        """Raises UsageError if a lie names a claim of which nothing was collected."""
        for lie in wanted:
            if missing := set(lie.claims) - set(self.items):
                raise pytest.UsageError(f"{lie.name}: no specs for {', '.join(sorted(missing))}")

    def work(self, wanted: list[Lie]) -> list[tuple[str, Lie | None, list[pytest.Item]]]:
        """(name, lie, specs): first each family without a lie, then the lies; what takes longest goes first."""
        chosen = {lie.name: self._concerned(lie) for lie in wanted}
        families: dict[str, set[str]] = {}
        for claim in set().union(*chosen.values()) if self.session.config.option.truth else ():
            families.setdefault(claim.partition(".")[0], set()).add(claim)
        told = sorted(wanted, key=lambda lie: (-self._takes(lie.claims), lie.name))
        truths = sorted(families, key=lambda family: (-self._takes(families[family]), family))
        return [(f"{TRUTH}{family}", None, self._specs(families[family])) for family in truths] + [
            (lie.name, lie, self._specs(chosen[lie.name])) for lie in told
        ]

    def _takes(self, claims: Any) -> float:
        return sum(self.seconds[claim] for claim in claims)

    def _concerned(self, lie: Lie) -> set[str]:
        if self.session.config.option.all_claims:
            return set(self.items)
        others = [claim for claim in self.quick if claim not in lie.claims]
        return {*lie.claims, *random.Random(lie.name).sample(others, min(SAMPLE, len(others)))}

    def _specs(self, claims: set[str]) -> list[pytest.Item]:
        kept = {item for claim in claims for item in self.items[claim]}
        return [item for item in self.session.items if item in kept]

    def run(self, lie: Lie | None, items: list[pytest.Item]) -> dict[str, Any]:
        """Run specs in a copy of this process under the lie; what a result file holds (see `reports/lies.py`)."""
        for path in self.home.iterdir():  # what a lie left in a cache is not for the next
            shutil.rmtree(path, ignore_errors=True)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            with os.fdopen(writing, "w", buffering=1) as pipe:
                self._run_and_tell(lie, items, lambda **said: print(json.dumps(said), file=pipe))
            os._exit(0)
        os.close(writing)
        stuck = False

        def give_up(*_: object) -> None:
            nonlocal stuck
            stuck = True
            os.killpg(child, signal.SIGKILL)

        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(PATIENCE if lie else 5 * PATIENCE)
        said: dict[str, Any] = {}
        with os.fdopen(reading) as pipe:
            for line in pipe:
                said |= json.loads(line)
        os.waitpid(child, 0)
        signal.alarm(0)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it started and did not end
        where = said.get("runs", "before the first spec")
        return {
            "says": lie.says if lie else "Nothing but the truth.",
            "claims": sorted(lie.claims) if lie else [],
            "also": sorted(lie.also) if lie else [],
            "tried": sorted({item.stash[self.policy.CLAIMED][0].id for item in items}),
            "noticed": said.get("noticed", {}),
            "ended": said.get("ended") or f"{'stuck' if stuck else 'died'} in {where}",
        }

    def _run_and_tell(self, lie: Lie | None, items: list[pytest.Item], tell: Callable[..., None]) -> None:
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
            if lie:
                config.stash[self.policy.PROCESSES] = LyingProcesses(config.stash[self.policy.PROCESSES], lie)
                lie.tell(pytest.MonkeyPatch())
            for item, following in zip(items, [*items[1:], None], strict=True):
                tell(runs=item.nodeid)
                config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            config.stash[self.policy.PROCESSES].close()
            recorder: Any = config.pluginmanager.get_plugin("claims-recorder")
            tell(noticed=_noticed(recorder.specs.values()), ended=WHOLE)
        except BaseException as error:
            tell(ended=f"broke: {type(error).__name__}: {error}")


def _needs_much(item: Any) -> bool:
    definitions = item._fixtureinfo.name2fixturedefs
    return "fresh_process" in definitions or any(fixtures[-1].scope == "module" for fixtures in definitions.values())


def _noticed(specs: Any) -> dict[str, str]:
    """Claim id -> how it was noticed: by a disagreement with the ledger (drift), or else by an error."""
    noticed: dict[str, str] = {}
    for spec in specs:
        if spec.drift or spec.outcome == "error":
            noticed[spec.claim] = "drift" if spec.drift or noticed.get(spec.claim) == "drift" else "error"
    return noticed


def pytest_sessionfinish(session: pytest.Session) -> None:
    sys.stdout.flush()
