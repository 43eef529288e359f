"""The policy on one page: the options, what every spec is given, and what an outcome means.

A spec asserts what the lecture says (marker `claim`) or what is true where that is refuted (marker `correction`). The
ledger says where a claim holds. The run fails where the two disagree (drift), and where nothing can be said (errors).

Exit codes: 0 the run agrees with the ledger; 1 drift; 2 interrupted; 3 errors; 4 wrong usage or a wrong ledger; 5
nothing was selected. Errors go before drift: a broken harness proves nothing.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from packaging.requirements import Requirement

from fixtures import isolation
from fixtures.hub import Hub
from fixtures.process import Processes
from reports import environment, ledger
from reports.recorder import Recorder, observe
from reports.verdict import CLAIM_HOLDS, Role

SPECIFICATIONS = tuple(Path(__file__).parent / "suite" / part for part in ("hub", "loading", "data", "training"))
LEDGER = pytest.StashKey[ledger.Ledger]()
CHOSEN = pytest.StashKey[frozenset[str]]()
CLAIMED = pytest.StashKey[tuple[ledger.Claim, Role]]()  # of an item: which claim it judges, and how

# No deadline (a first call compiles and imports), the same examples on every release, nothing written to the folder.
hypothesis.configuration.set_hypothesis_home_dir(Path(__file__).parent / ".hypothesis")
hypothesis.settings.register_profile("claims", deadline=None, derandomize=True, database=None, print_blob=False)
hypothesis.settings.load_profile("claims")


# --- options ----------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("claims", "executable claims")
    group.addoption("--results", type=Path, metavar="FILE", help="write the result document (JSON) to FILE")
    group.addoption("--slide", type=int, metavar="N", help="judge the claims of slide N alone")
    group.addoption("--claims", metavar="GLOB", help="judge the claims whose id matches, as 'mask.*'")
    group.addoption("--slow", action="store_true", help="also run what takes longer than a few seconds")
    group.addoption(
        "--hub",
        choices=["local", "real"],
        default="local",
        help="real: run the specs marked real_hub against the published bert-base-uncased; needs a network",
    )
    group.addoption(
        "--claims-seed", type=int, default=0, metavar="N", help="draw from another seed: no verdict changes"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.option.results is not None:
        _writable(config.option.results)
    try:
        config.stash[LEDGER] = ledger.load()
        chosen = _chosen(config, config.stash[LEDGER])
        environment.describe(environment.installed(), "cpu")  # a lock that is not what is installed is noticed first
        config.stash[ENDPOINT] = isolation.real_endpoint() if config.option.hub == "real" else None
    except (ledger.LedgerError, environment.LockError, isolation.Unreachable) as error:
        raise pytest.UsageError(f"{type(error).__name__}: {error}") from error
    config.stash[CHOSEN] = chosen
    worker = hasattr(config, "workerinput")
    if not worker:
        recorder = Recorder(config.stash[LEDGER], _selection(config), config.option.results)
        config.pluginmanager.register(recorder, "claims-recorder")
    if worker or not config.getoption("tx", None):  # xdist's controller runs no spec
        _isolate(config)


def _writable(path: Path) -> None:
    """A run of minutes whose result has nowhere to go is not begun."""
    if path.is_dir():
        raise pytest.UsageError(f"--results: {path} is a folder; name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise pytest.UsageError(f"--results: {path} cannot be written: {error.strerror}") from error


def _chosen(config: pytest.Config, claims: ledger.Ledger) -> frozenset[str]:
    chosen = frozenset(claims.claims)
    if config.option.slide is not None:
        chosen &= claims.on_slide(config.option.slide)
    if config.option.claims is not None:
        chosen &= claims.matching(config.option.claims)
    if not chosen:
        raise ledger.UnknownClaim(f"slide {config.option.slide} has no claim {config.option.claims!r}")
    return chosen


def _selection(config: pytest.Config) -> list[str]:
    """The options that leave specs out, as they were given: a result document names them."""
    given = {
        "--slide": config.option.slide,
        "--claims": config.option.claims,
        "--hub": config.stash[ENDPOINT],
        "-k": config.option.keyword,
        "-m": config.option.markexpr,
        "--lf": config.getoption("lf", False),
        "--deselect": config.option.deselect,
        "--ignore": config.option.ignore,
        "--ignore-glob": config.option.ignore_glob,
    }
    selection = [option if value is True else f"{option} {value}" for option, value in given.items() if value]
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return selection if whole else selection + list(config.args)


def _everything(config: pytest.Config) -> bool:
    """Whether all specs are collected (and perhaps deselected afterwards)."""
    left_out = (
        config.option.deselect or config.option.ignore or config.option.ignore_glob or config.getoption("lf", False)
    )
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not left_out


def _isolate(config: pytest.Config) -> None:
    home = Path(tempfile.mkdtemp(prefix="claims-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    hub = Hub()
    config.add_cleanup(hub.stop)
    endpoint = config.stash[ENDPOINT]
    variables = isolation.environment(home, endpoint or hub.url)
    isolation.enter(variables, guarded=endpoint is None)
    processes = Processes(variables)
    config.add_cleanup(processes.close)
    config.stash[HUB], config.stash[HOME], config.stash[PROCESSES] = hub, home, processes


# --- what a spec is given ---------------------------------------------------------------------------------------------

HUB = pytest.StashKey[Hub]()
ENDPOINT = pytest.StashKey[str | None]()  # of the real Hub, where that is asked
HOME = pytest.StashKey[Path]()
PROCESSES = pytest.StashKey[Processes]()
EVIDENCE = pytest.StashKey[dict[str, Any]]()


@pytest.fixture(scope="session", autouse=True)
def _empty_working_directory(request: pytest.FixtureRequest) -> Iterator[None]:
    """A folder of the user's that is called like a model id would be taken for the model."""
    folder, before = request.config.stash[HOME] / "folder", Path.cwd()
    folder.mkdir(exist_ok=True)  # a forked copy of a session finds it
    os.chdir(folder)
    yield
    os.chdir(before)


@pytest.fixture(scope="module", autouse=True)
def _what_a_module_imports_stays() -> Iterator[None]:
    """What only some specs ask for is imported late, and is not looked through again, either: 3 % of the CPU time."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_leaves(request: pytest.FixtureRequest) -> Iterator[None]:
    """No spec may ask for anything outside this machine, not even where a library swallows the refusal."""
    isolation.attempts.clear()
    request.config.stash[HUB].escapes.clear()
    yield
    escaped = [escape.path for escape in request.config.stash[HUB].escapes]
    if tried := [*isolation.attempts, *(target for target in escaped if not isolation.is_optional(target))]:
        raise isolation.Leak(f"tried to reach {', '.join(tried)}; only the local Hub may be asked")


@pytest.fixture(autouse=True)
def _no_alarm_is_left() -> Iterator[None]:
    """A release that asks whether to run a repo's code waits 15 s for the answer; some never stop that clock (4.30 on).

    It would ring in whatever spec runs by then.
    """
    yield
    signal.alarm(0)


@pytest.fixture
def hub(request: pytest.FixtureRequest) -> Iterator[Hub]:
    """The local Hub, without repositories, and an empty client cache."""
    hub = request.config.stash[HUB]
    hub.log.settle()  # a request of the spec before, sent by a thread of its own, is not this one's
    hub.reset()
    shutil.rmtree(request.config.stash[HOME] / "hf", ignore_errors=True)
    # It is on `sys.path`: an import that misses the folder is the last that looks into it (code of repos, up to 4.27).
    (request.config.stash[HOME] / "hf" / "modules").mkdir(parents=True)
    if "huggingface_hub.hf_file_system" in sys.modules:  # it keeps listings of folders, by repo id
        sys.modules["huggingface_hub.hf_file_system"].HfFileSystem.clear_instance_cache()
    yield hub
    if hub.errors:
        raise RuntimeError(f"the local Hub broke: {hub.errors[0]}")


@pytest.fixture
def bert_base_uncased(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The lecture's model id: on the local Hub a tiny checkpoint of the same form, on the real one the published."""
    if request.config.stash[ENDPOINT] is None:
        from fixtures import checkpoints  # imports torch: too early at the top of this file

        folder = tmp_path / "published"
        checkpoints.write(folder, "bert", "pretraining", with_tokenizer=True, legacy_names=True)
        request.getfixturevalue("hub").model("bert-base-uncased", folder)
    return "bert-base-uncased"


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a reader needs to believe the verdict without running it; values have to be JSON."""
    found: dict[str, Any] = {}
    request.node.stash[EVIDENCE] = found
    return found


@pytest.fixture
def fresh_process(request: pytest.FixtureRequest) -> Processes:
    """Runs a function in a process whose environment is set before the libraries are imported."""
    return request.config.stash[PROCESSES]


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of the run (`--claims-seed`)."""
    return int(request.config.option.claims_seed)


@pytest.fixture
def seeded(seed: int) -> Iterator[None]:
    """What a spec draws from torch's global generator depends on the run's seed alone; afterwards it is as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` formats the stack for each kind of device: 2 ms
        yield


# --- which specs run, and what is expected of them --------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    claims, chosen = config.stash[LEDGER], config.stash[CHOSEN]
    versions = environment.installed()
    try:
        claimed = {item: _claim_of(item, claims) for item in items if _is_spec(item)}
        if _everything(config) and not session.testsfailed:  # a module that cannot be imported is told as that
            _complete(claims, {(claim.id, role) for claim, role in claimed.values()})
        for item, (claim, role) in claimed.items():
            item.stash[CLAIMED] = claim, role  # not in a dictionary of items: xdist changes what they are hashed by
            _expect(item, claim, role, versions)
            item.add_marker(pytest.mark.xdist_group(_group(item)))
    except ledger.LedgerError as error:
        if not hasattr(config, "workeroutput"):
            raise pytest.UsageError(f"{type(error).__name__}: {error}") from error
        # A worker that raises here is waited for in vain: it hands the message to the controller and runs nothing.
        config.workeroutput["usage"] = f"{type(error).__name__}: {error}"
        items.clear()
        return
    everywhere = config.stash[ENDPOINT] is None
    if len(chosen) < len(claims.claims) or not everywhere:
        kept = [item for item in items if item in claimed and claimed[item][0].id in chosen]
        kept = [item for item in kept if everywhere or item.get_closest_marker("real_hub")]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def _group(item: pytest.Item) -> str:
    """What is made once is not made on both of xdist's workers: a fresh process, or what a module shares."""
    if "fresh_process" in getattr(item, "fixturenames", ()):
        return "fresh process"
    return item.path.stem


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays: no garbage is looked for meanwhile, nor among it later (Trainer asks for that): 1 s."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _is_spec(item: pytest.Item) -> bool:
    return any(folder in item.path.parents for folder in SPECIFICATIONS)


def _claim_of(item: pytest.Item, claims: ledger.Ledger) -> tuple[ledger.Claim, Role]:
    marks = [mark for mark in item.iter_markers() if mark.name in ("claim", "correction")]
    if len(marks) != 1 or len(marks[0].args) != 1:
        raise ledger.SpecWithoutClaim(f"{item.nodeid}: needs one marker, claim(id) or correction(id); has {len(marks)}")
    role: Role = "claim" if marks[0].name == "claim" else "correction"
    try:
        claim = claims[marks[0].args[0]]
    except ledger.UnknownClaim as error:
        raise ledger.SpecWithoutClaim(f"{item.nodeid}: {error}") from None
    if not claim.executable:
        raise ledger.SpecWithoutClaim(
            f"{item.nodeid}: the ledger has {claim.id} as {claim.not_run or 'not executable'}"
        )
    return claim, role


def _complete(claims: ledger.Ledger, specs: set[tuple[str, Role]]) -> None:
    without = [claim.id for claim in claims if claim.executable and (claim.id, "claim") not in specs]
    if without:
        raise ledger.ClaimWithoutSpec(f"{', '.join(without)}: no spec; write one, or say in the ledger why not")
    ranged = [claim.id for claim in claims if claim.executable and claim.holds != {}]
    if without := [claim_id for claim_id in ranged if (claim_id, "correction") not in specs]:
        raise ledger.ClaimWithoutSpec(f"{', '.join(without)}: refuted somewhere, but no spec proves its correction")


def _expect(item: pytest.Item, claim: ledger.Claim, role: Role, versions: Mapping[str, str]) -> None:
    holds = claim.holds_on(versions)
    if role == "claim" and not holds:
        found = (_exception(name, claim) for name in claim.refuted_by)
        raises = _assertions(tuple(kind for kind in found if kind is not None))
        item.add_marker(pytest.mark.xfail(raises=raises, strict=True, reason=claim.correction or ""))
    if reason := _not_run(item, role == "correction" and holds, versions):
        item.add_marker(pytest.mark.skip(reason=reason))


def _not_run(item: pytest.Item, needless: bool, versions: Mapping[str, str]) -> str | None:
    if needless:
        return CLAIM_HOLDS
    if item.get_closest_marker("slow") and not item.config.option.slow:
        return "slow"
    if item.get_closest_marker("gpu") and environment.device() == "cpu":
        return "no GPU"
    for requirement in (Requirement(text) for mark in item.iter_markers("needs") for text in mark.args):
        version = versions.get(environment.canonical(requirement.name))
        if version is None:
            return "optional package missing"
        if not requirement.specifier.contains(version, prereleases=True):
            return "package too old for the call"
    return None


def _exception(name: str, claim: ledger.Claim) -> type[BaseException] | None:
    """The exception of that name; None where its package is not installed: releases talk through other libraries."""
    module, _, attribute = name.rpartition(".")
    if module and importlib.util.find_spec(module.partition(".")[0]) is None:
        return None
    try:
        found = getattr(importlib.import_module(module) if module else builtins, attribute)
    except (ImportError, AttributeError):
        raise ledger.BadValue(f"{claim.id}: refuted_by = {name!r} is no exception here") from None
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise ledger.BadValue(f"{claim.id}: refuted_by = {name!r} is no exception")
    return found


def _assertions(kinds: tuple[type[BaseException], ...]) -> tuple[type[BaseException], ...]:
    """With AssertionError go pytest's own: a `pytest.raises` under which nothing was raised is an assertion, too."""
    return (*kinds, pytest.fail.Exception) if AssertionError in kinds else kinds


# --- what an outcome means --------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hand what a spec did to the recorder, as a user property: those survive the way from an xdist worker."""
    refuted = item.get_closest_marker("xfail")
    style = item.config.option.tbstyle
    if refuted and call.excinfo and call.excinfo.errisinstance(refuted.kwargs["raises"]):
        # Nobody reads this traceback, and to format it pytest parses the library's sources: 0.3 s for each refutation.
        item.config.option.tbstyle = "value"
    try:
        report = yield
    finally:
        item.config.option.tbstyle = style
    if CLAIMED in item.stash:
        claim, role = item.stash[CLAIMED]
        spec = observe(report, call, claim, role, item.stash.get(EVIDENCE, {}))
        if spec is not None:
            report.user_properties.append(("spec", asdict(spec)))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell xdist's controller, which imports no library, what device the specs ran on."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["device"] = environment.device()
