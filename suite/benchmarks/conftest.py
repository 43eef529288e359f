"""Options and fixtures of the benchmarks. A benchmark decides no verdict: nothing here knows the ledger.

`python -m suite.benchmarks` runs them without the rest of the suite's policy (and the packages that needs), which is
how a GPU machine without `datasets` can measure; in a plain `pytest suite/benchmarks` both are there.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures import isolation
from fixtures.hub import Hub
from suite.benchmarks import allocator

# torch is imported late: the environment in which it computes is set first. This comes before any thread has a heap.
allocator.keep_freed()

RUN = pytest.StashKey[Any]()
HUB = pytest.StashKey[Hub]()
HOME = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("benchmarks", "what the pipeline costs")
    group.addoption("--figures", type=Path, metavar="FILE", help="write the figures (JSON) to FILE, as they come")
    group.addoption("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: the GPU, if there is one")
    group.addoption("--pairs", type=int, default=80, metavar="N", help="rounds of a group at most (80)")
    group.addoption("--group-seconds", type=float, default=None, metavar="S", help="time for the rounds of a group (4)")
    group.addoption("--long", action="store_true", help="also what takes minutes: 1,000,000 rows, compiling on a CPU")


def pytest_configure(config: pytest.Config) -> None:
    policy: Any = next((it for it in config.pluginmanager.get_plugins() if hasattr(it, "CLAIMED")), None)
    if policy is not None:  # the suite's own conftest.py has isolated this process
        config.stash[HUB], config.stash[HOME] = config.stash[policy.HUB], config.stash[policy.HOME]
        return
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    hub = Hub()
    config.add_cleanup(hub.stop)
    isolation.enter(isolation.environment(home, hub.url))
    config.stash[HUB], config.stash[HOME] = hub, home


def pytest_sessionstart(session: pytest.Session) -> None:
    import torch

    config = session.config
    device = config.option.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise pytest.UsageError("--device cuda: torch sees no GPU here; without the option the CPU is measured")
    from suite.benchmarks.run import Run

    config.stash[RUN] = Run(device, config.option.figures, config.option.pairs)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a GPU, what needs it comes first: a run that is cut off has that."""
    if config.stash[RUN].device == "cuda":
        items.sort(key=_comes_later)


def _comes_later(item: pytest.Item) -> bool:
    return "device" not in getattr(item, "fixturenames", ()) and not item.get_closest_marker("gpu")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Some of what is selected is not run, for a reason. A part names its benchmarks: it replaces those on record."""
    config, run = session.config, session.config.stash[RUN]
    items = [item for item in session.items if Path(__file__).parent in item.path.parents]
    for item in items:
        item.add_marker(pytest.mark.benchmark(timer=run.timer))
        if reason := _not_run(item, run.device):
            run.skip(item.name, reason)
            item.add_marker(pytest.mark.skip(reason=reason))
    if config.option.keyword or any("::" in it or it.endswith(".py") for it in map(str, config.args)):
        run.selection = [item.name for item in items]


def _not_run(item: pytest.Item, device: str) -> str | None:
    """The reasons of the suite's closed list."""
    if item.get_closest_marker("slow") and not item.config.option.long:
        return "slow"
    if item.get_closest_marker("gpu") and device == "cpu":
        return "no GPU"
    for mark in item.iter_markers("needs"):
        if any(importlib.util.find_spec(name) is None for name in mark.args):
            return "optional package missing"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """An interrupted run, by Ctrl-C or `-x`, is marked; what it measured is in the file already."""
    run = session.config.stash.get(RUN, None)
    if run is not None and not session.config.option.collectonly:
        run.write(complete=exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not session.shouldstop)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    report = yield
    if report.failed and item.config.stash.get(RUN, None) is not None:
        item.config.stash[RUN].skip(item.name, f"failed: {call.excinfo.exconly() if call.excinfo else report.when}")
    return report


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    from suite.benchmarks import machine

    machine_info |= machine.describe(config.stash[RUN].device)


@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest) -> Any:
    """The run, whose device, timer and file all benchmarks share."""
    return request.config.stash[RUN]


@pytest.fixture
def device(run: Any) -> str:
    """ "cpu" or "cuda"."""
    return str(run.device)


@pytest.fixture
def measure(run: Any, benchmark: Any, request: pytest.FixtureRequest) -> Any:
    """`measure(group, contestants)`: see `Run.measure`."""
    seconds = request.config.option.group_seconds

    def measured(group: str, contestants: Any, **options: Any) -> None:
        from suite.benchmarks.run import Refused

        if seconds is not None:
            options["seconds"] = seconds
        try:
            run.measure(group, contestants, benchmark, **options)
        except Refused as refused:
            pytest.skip(str(refused))

    return measured


@pytest.fixture(scope="session")
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """The tokenizer of an uncased BERT with the suite's vocabulary."""
    from transformers import AutoTokenizer

    from fixtures import vocabulary

    folder = Path(tempfile.mkdtemp(prefix="tokenizer-", dir=request.config.stash[HOME]))
    return AutoTokenizer.from_pretrained(vocabulary.write_uncased(folder))


@pytest.fixture
def home(request: pytest.FixtureRequest) -> Path:
    """The throw-away home, with the client's cache in `hf`."""
    return request.config.stash[HOME]


@pytest.fixture
def local_hub(request: pytest.FixtureRequest) -> Hub:
    """The local Hub, without repositories."""
    hub = request.config.stash[HUB]
    hub.reset()
    return hub
