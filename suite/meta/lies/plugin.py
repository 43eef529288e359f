"""Tries lies: `pytest -p suite.meta.lies.plugin --lies OUT.json [--lie NAME] [--share 1/2] [--all-claims]`.

Everything is imported and collected once. Then, for each lie, a forked copy of this process tells it and runs the specs
of the claims that have to notice, and a sample of the others, which must not.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.process import Processes
from suite.meta.lies import Lie, lies

#: Seconds after which a lie that makes a spec wait for ever counts as noticed by being stuck.
PATIENCE = 120

#: Claims tried beside those that have to notice: none of another family may.
SAMPLE = 12


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lies", "the suite is tested on its lies")
    group.addoption("--lies", type=Path, metavar="FILE", required=True, help="write what noticed which lie (JSON)")
    group.addoption("--lie", metavar="NAME", action="append", help="try this lie alone (may be repeated)")
    group.addoption("--share", default="1/1", metavar="I/N", help="try every N-th lie, beginning with the I-th")
    group.addoption("--all-claims", action="store_true", help="run every claim against every lie")


class LyingProcesses(Processes):
    """Fresh processes in which the lie is told first."""

    def __init__(self, honest: Processes, name: str) -> None:
        super().__init__(honest._variables)
        self._name = name

    def __call__(self, function: Callable[..., Any], *arguments: Any, env: Any = None) -> Any:
        return super().__call__(_lied_to, self._name, function, arguments, env=env)


_told: list[pytest.MonkeyPatch] = []


def _lied_to(name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    if not _told:
        _told.append(pytest.MonkeyPatch())
        lies()[name].tell(_told[0])
    return function(*arguments)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    config = session.config
    if session.testsfailed or config.option.collectonly:
        return False
    known = lies()
    wanted = config.option.lie or list(known)
    if unknown := set(wanted) - set(known):
        raise pytest.UsageError(f"no such lie: {', '.join(sorted(unknown))}; see suite/meta/lies/")
    share, shares = map(int, config.option.share.split("/"))
    policy = next(plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "CLAIMED"))
    hub = config.stash[policy.HUB]
    hub.refuse()  # its port stays ours; each copy of this process opens it again
    found = {}
    for name in wanted[share - 1 :: shares]:
        lie = known[name]
        items = list(_concerned(session, lie, policy, config.option.all_claims))
        started = time.perf_counter()
        noticed = _try(session, lie, items, policy)
        found[name] = {
            "says": lie.says,
            "claims": sorted(lie.claims),
            "tried": len({item.stash[policy.CLAIMED][0].id for item in items}),
            "noticed": noticed,
            "seconds": round(time.perf_counter() - started, 2),
        }
        silent = sorted(set(lie.claims) - set(noticed))
        print(f"\n{name}: {'SURVIVED ' + ', '.join(silent) if silent else 'noticed'}", end="", flush=True)
    config.option.lies.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return True


def _concerned(session: pytest.Session, lie: Lie, policy: Any, everything: bool) -> Iterator[pytest.Item]:
    claim_of = {item: item.stash[policy.CLAIMED][0].id for item in session.items if policy.CLAIMED in item.stash}
    ids = sorted(set(claim_of.values()))
    if missing := set(lie.claims) - set(ids):
        raise pytest.UsageError(f"{lie.name}: no specs for {', '.join(sorted(missing))}")
    others = [claim for claim in ids if claim not in lie.claims]
    sample = others if everything else random.Random(lie.name).sample(others, min(SAMPLE, len(others)))
    wanted = {*lie.claims, *sample}
    return (item for item in session.items if claim_of.get(item) in wanted)


def _try(session: pytest.Session, lie: Lie, items: list[pytest.Item], policy: Any) -> dict[str, str]:
    """Run items in a copy of this process under the lie; claim id -> how it was noticed (drift or error)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            os.setsid()  # so that the processes it starts can be ended with it
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            found = _told_and_run(session, lie, items, policy)
        except BaseException as error:
            found = {"": f"the lie broke: {type(error).__name__}: {error}"}
        with os.fdopen(writing, "w") as pipe:
            json.dump(found, pipe)
        os._exit(0)
    os.close(writing)
    stuck = False

    def give_up(*_: object) -> None:
        nonlocal stuck
        stuck = True
        os.killpg(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    signal.alarm(0)
    if stuck or not answer:
        return dict.fromkeys(lie.claims, "stuck" if stuck else "died")
    noticed: dict[str, str] = json.loads(answer)
    if "" in noticed:
        raise pytest.UsageError(f"{lie.name}: {noticed['']}")
    return noticed


def _told_and_run(session: pytest.Session, lie: Lie, items: list[pytest.Item], policy: Any) -> dict[str, str]:
    config = session.config
    config.stash[policy.HUB].accept()
    config.stash[policy.PROCESSES] = LyingProcesses(config.stash[policy.PROCESSES], lie.name)
    lie.tell(pytest.MonkeyPatch())
    for item, following in zip(items, [*items[1:], None], strict=True):
        config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    config.stash[policy.PROCESSES].close()
    recorder: Any = config.pluginmanager.get_plugin("claims-recorder")
    noticed: dict[str, str] = {}
    for spec in recorder.specs.values():
        if spec.drift or spec.outcome == "error":
            how = "drift" if spec.drift else "error"
            noticed[spec.claim] = "drift" if noticed.get(spec.claim) == "drift" else how
    return noticed


def pytest_sessionfinish(session: pytest.Session) -> None:
    sys.stdout.flush()
