"""A sweep over releases: what is done is not done again, what was cut off is, and a release that fails is a row."""

import dataclasses
import errno
import itertools
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from fixtures.releases import Release, releases
from reports import archive, environment, ledger, renew, results, sweep
from reports.verdict import SpecResult, judge_all

HOUSE = Path(__file__).parents[2]
NEWEST = releases()["5.23"]


@pytest.fixture
def finish(tmp_path):
    """Write the result of a full run of the newest release, changed as wanted; returns its path."""

    def finish(change=lambda made: None):
        claims = ledger.load()
        first = next(claim for claim in claims if claim.executable and claim.holds == {})
        where = environment.describe(environment.installed(), "cpu")
        where = dataclasses.replace(where, lock=environment.digest_of(NEWEST.lock))
        judged = judge_all(claims, [SpecResult("a.py::test", first.id, "claim", "passed")], whole=True)
        made = results.document(where, [], judged, seconds=1.0)
        change(made)
        results.write(made, tmp_path / "tf5.23.json")
        return tmp_path / "tf5.23.json"

    return finish


def test_what_is_done_is_not_done_again(finish, tmp_path):
    """A finished result of this lock and this suite is taken as it is, and no time passes."""
    finish()
    (row,) = sweep.sweep([NEWEST], 1, tmp_path)
    assert (row.code, row.seconds, row.counts["holds"]) == (0, 0, 1)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda made: made.pop("footer"), id="interrupted"),
        pytest.param(lambda made: made["environment"].update(lock="sha256:" + "0" * 64), id="other-lock"),
        pytest.param(lambda made: made["environment"].update(lock=None), id="no-lock"),
        pytest.param(lambda made: made["environment"]["parts"].update(common="0" * 16), id="other-suite"),
        pytest.param(lambda made: made["selection"].append("--slide 3"), id="a-part"),
    ],
)
def test_what_is_not_done_is_run(finish, tmp_path, change):
    """An interrupted run, another lock, other specs, a part of the suite: none of them is a result of this release."""
    finish(change)
    assert sweep.done([NEWEST], tmp_path) == {}


def test_cut_off_file_is_run(finish, tmp_path):
    """Half a document is no result."""
    path = finish()
    path.write_text(path.read_text()[:1000])
    assert sweep.done([NEWEST], tmp_path) == {}


LEDGER = """
[deck]
title = "a lecture"
slides = 1
parts = [{ title = "all", slides = [1, 1] }]

["sum.two"]
slide = 1
statement = "1 + 1 = 2"
holds = { transformers = ">=4.41" }
correction = "It is 3."
"""


@pytest.fixture
def house(tmp_path):
    """A house with a file of each kind."""
    for name in ("conftest.py", "suite/data/test_a.py", "fixtures/corpus.py", "suite/meta/test_b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / "suite/claims.toml").write_text(LEDGER)
    return tmp_path


def test_parts_of_a_suite(house):
    """A file of specs is a part of its own, fixtures and policy are in common; the suite's own tests do not count."""
    versions = {"transformers": "4.57.6"}
    (house / "suite/data/test_c.py").write_text("1")
    changed = {}
    for name in ("conftest.py", "suite/data/test_a.py", "fixtures/corpus.py", "suite/meta/test_b.py"):
        before = environment.parts(versions, house)
        (house / name).write_text("2")
        after = environment.parts(versions, house)
        changed[name] = environment.differing(before, after)
        assert (environment.suite(before) == environment.suite(after)) == (changed[name] == [])

    assert changed == {
        "conftest.py": ["common"],
        "suite/data/test_a.py": ["suite/data/test_a.py"],
        "fixtures/corpus.py": ["common"],
        "suite/meta/test_b.py": [],
    }


@pytest.mark.parametrize(
    ("specs", "fixture", "call", "where"),
    [
        (
            "suite/training/test_across_releases.py",
            "fixtures/folders/tf4.57/config.json",
            r"\bfolders\.[a-z]+\(",
            {"fixtures/folders/__main__.py"},
        ),
        (
            "suite/training/test_scripts.py",
            "fixtures/scripts/language_modeling.py",
            r"\bscripts(\.| import \(?)language_modeling\b",
            {"fixtures/scripts/language_modeling.py"},  # its own docstring
        ),
    ],
)
def test_what_one_file_of_specs_alone_reads_outdates_no_other(house, specs, fixture, call, where):
    """It is a part of that file; and no other file, nor a fixture, reads it."""
    for name in (specs, fixture):
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).write_text("1")
    before = environment.parts({"transformers": "4.57.6"}, house)
    (house / fixture).write_text("2")
    after = environment.parts({"transformers": "4.57.6"}, house)
    assert environment.differing(before, after) == [specs]

    sources = itertools.chain.from_iterable((HOUSE / part).rglob("*.py") for part in ("fixtures", "suite", "reports"))
    used = {path.relative_to(HOUSE).as_posix() for path in sources if re.search(call, path.read_text())}
    assert used == {specs, *where}


def test_result_is_of_the_specs_that_were_run(monkeypatch):
    """A file of specs that is edited while they run is described as it was before."""
    versions = environment.installed() | {"transformers": "0.0.1"}
    before = environment.describe(versions, "cpu")
    monkeypatch.setattr(environment, "parts", lambda versions: {"common": "edited"})
    assert environment.describe(versions, "cpu") == before
    assert environment.describe(environment.installed() | {"transformers": "0.0.2"}, "cpu").parts != before.parts


@pytest.mark.parametrize(
    ("old", "new", "others"),
    [
        pytest.param("It is 3.", "It is three.", [], id="words"),
        pytest.param(">=4.41", ">=4.40", ["4.40.2"], id="range"),
        pytest.param('holds = { transformers = ">=4.41" }', "", ["4.40.2"], id="no-range"),
        pytest.param("slide = 1\n", 'slide = 1\nrefuted_by = "TypeError"\n', ["4.40.2", "4.57.6"], id="refuted-by"),
        pytest.param("sum.two", "sum.three", ["4.40.2", "4.57.6"], id="claim"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_ledger_makes_another_part_where_it_expects_something_else(house, old, new, others, named):
    """A range changes the suite of the releases that it is changed for, and there what names the claim."""
    (house / "suite/data/test_a.py").write_text('claim("sum.two")' if named else 'claim(f"sum.{number}")')
    before = {version: environment.parts({"transformers": version}, house) for version in ("4.40.2", "4.57.6")}

    (house / "suite/claims.toml").write_text(LEDGER.replace(old, new))

    after = {version: environment.parts({"transformers": version}, house) for version in before}
    assert [version for version in before if before[version] != after[version]] == others
    parts = {"suite/data/test_a.py"} if named else {"common"}
    if old == "sum.two":
        parts.add("common")  # the new name is in no file
    assert all(set(environment.differing(before[version], after[version])) == parts for version in others)


def older(part):
    """A change of a document: its specs of this part were others."""
    return lambda made: made["environment"]["parts"].update({part: "0" * 16})


def test_changed_file_alone_is_run_again(finish, tmp_path):
    """Where only a file of specs is another, that is what is to be run; where what they share is, all of them."""
    path = finish(older("suite/data/test_masking.py"))
    assert sweep.done([NEWEST], tmp_path) == {}
    suite = environment.partition(), results.schema_check()
    assert renew.outdated(NEWEST, path, *suite) == ["suite/data/test_masking.py"]
    assert renew.outdated(NEWEST, finish(older("common")), *suite) is None
    assert renew.outdated(NEWEST, finish(older("suite/data/test_gone.py")), *suite) == ["suite/data/test_gone.py"]


def test_slow_specs_that_were_not_run_are_asked_for(finish):
    """With `slow` the files are run again whose slow specs were not run; one that has them is done either way."""
    made = {}

    def leave_out(document):
        claim = next(claim for claim in document["claims"].values() if claim["specs"])
        claim["specs"][0] |= {"outcome": "not-run", "reason": "slow"}
        made["file"] = claim["specs"][0]["id"].partition("::")[0]

    suite = environment.partition(), results.schema_check()
    path = finish()
    assert renew.slow_ran(results.read(path))
    assert renew.outdated(NEWEST, path, *suite, slow=True) == []
    path = finish(leave_out)
    assert not renew.slow_ran(results.read(path))
    assert renew.outdated(NEWEST, path, *suite, slow=False) == []
    assert renew.outdated(NEWEST, path, *suite, slow=True) == [made["file"]]


def test_result_is_renewed(tmp_path):
    """Specs of changed files are exchanged, those of files that are gone go, and the claims are judged anew."""
    claims = ledger.load()
    one, two = (claim.id for claim in itertools.islice((it for it in claims if it.executable), 2))
    where = environment.describe(environment.installed(), "cpu")
    a, b, gone = "suite/data/test_masking.py", "suite/data/test_chunking.py", "suite/data/test_gone.py"
    before = dataclasses.replace(where, parts={**where.parts, a: "0" * 16, gone: "0" * 16})

    def result(name, where, selection, specs):
        judged = judge_all(claims, [SpecResult(*spec) for spec in specs], whole=not selection)
        results.write(results.document(where, selection, judged, seconds=len(name)), tmp_path / name)
        return results.read(tmp_path / name)

    old = [(f"{a}::test_x", one, "claim", "passed"), (f"{b}::test_y", one, "claim", "passed")]
    old += [(f"{a}::test_z", two, "claim", "passed"), (f"{gone}::test", two, "claim", "error")]
    new = [(f"{a}::test_x", one, "claim", "refuted"), (f"{a}::test_new", two, "claim", "passed")]
    whole = result("whole", before, [], old)
    made = renew.renewed(claims, whole, result("part", where, [a], new))

    assert {spec["id"] for claim in (one, two) for spec in made["claims"][claim]["specs"]} == {
        *(f"{a}::{test}" for test in ("test_x", "test_new")),
        f"{b}::test_y",
    }
    assert [made["claims"][claim]["verdict"] for claim in (one, two)] == ["refuted", "holds"]
    assert made["environment"]["parts"] == where.parts
    assert made["selection"] == []
    assert made["footer"]["claims"] == whole.footer["claims"]
    assert made["footer"]["seconds"] == whole.footer["seconds"]


def test_release_that_cannot_be_built_is_a_row(tmp_path):
    """The others go on; the row says why, and where the log is."""
    unknown = Release("9.99", "9.99.0", "2099-01-01", "2099-01-01")
    (row,) = sweep.sweep([unknown], 1, tmp_path)
    assert row.counts is None
    assert row.code == 3
    assert str(row).startswith("9.99   no result: ")
    assert len(str(row)) <= 80
    assert (tmp_path / "tf9.99.log").exists()


def test_disk_that_fills_is_a_row(finish, tmp_path, monkeypatch):
    """Where a part of a result is exchanged: the result that was there stays, and the others go on."""
    path = finish(older("suite/data/test_masking.py"))
    before = path.read_bytes()
    run = f"""
        import shutil, sys
        (made,) = (word.partition("=")[2] for word in sys.argv if word.startswith("--results="))
        shutil.copy({str(path)!r}, made)
    """
    (tmp_path / "tox.py").write_text(textwrap.dedent(run))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def full(document, path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(results, "write", full)
    (row,) = sweep.sweep([NEWEST], 1, tmp_path)
    assert (row.code, row.problem) == (3, f"no result: No space left on device: {path}")
    assert path.read_bytes() == before


def test_recorded_results_are_a_beginning(tmp_path):
    """In an empty folder a sweep goes on from what is recorded, evidence included; a result that is there stays."""
    wanted = {minor: archive.recorded()[minor] for minor in ("4.57", "5.23")}
    (tmp_path / "tf5.23.json").write_text("mine")
    sweep.lay([releases()[minor] for minor in wanted], tmp_path)
    assert (tmp_path / "tf5.23.json").read_text() == "mine"
    assert results.read(tmp_path / "tf4.57.json") == results.read(wanted["4.57"])
    assert not (tmp_path / archive.EVIDENCE).exists()


def test_two_sweeps_at_once(tmp_path):
    """The second is refused while the first runs, and nothing is lost."""
    code = f"""
        from pathlib import Path
        from reports import sweep
        with sweep.alone(Path({str(tmp_path)!r})):
            print("ready", flush=True)
            input()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HOUSE) as first:
        assert first.stdout.readline() == "ready\n"
        with pytest.raises(sweep.SweepError, match="another sweep writes into"):
            list(sweep.sweep([], 1, tmp_path))
        first.communicate("\n")
    assert list(sweep.sweep([], 1, tmp_path)) == []


def test_counts_fit_a_terminal():
    """A row has 80 columns at most, with its end as the command prints it where nothing went wrong."""
    counts = dict.fromkeys(("holds", "refuted", "not-run"), 565) | {"error": 0, "drift": 0}
    row = sweep.Row("newest-datasets4", counts, None, 1234.5)
    assert str(row).endswith("   0 drift 1234s")
    assert len(f"{row} 63/63, 99 min") <= 80
    row = sweep.Row("newest-datasets4", counts | {"error": 12, "drift": 565}, None, 1234.5)
    assert "  12 error 565 drift " in str(row)
    assert len(str(row)) <= 80
    assert row.code == 3


def test_unknown_release_is_wrong_usage():
    """It is named, with the range of those that are listed."""
    done = subprocess.run([sys.executable, "-m", "reports", "sweep", "1.0"], cwd=HOUSE, capture_output=True, text=True)
    assert done.returncode == 4
    assert "sweep: no release 1.0; listed are 4.23 to 5." in done.stderr


#: A run with a child in a group of its own, which it ends when it is asked, as torchrun does, and a deaf one.
RUN = """
    import pathlib, signal, subprocess, sys, time
    own = subprocess.Popen(["sleep", "60"], start_new_session=True)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    deaf = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    deaf.stdout.readline()
    def end(*_):
        own.kill()
        sys.exit(own.wait())
    signal.signal(signal.SIGTERM, end)
    pathlib.Path("begun.part").write_text(f"{own.pid} {deaf.pid}")
    pathlib.Path("begun.part").rename("begun")
    time.sleep(60)
"""


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_interrupted_sweep_ends_what_runs(tmp_path, how):
    """When the sweep is left, no process of it goes on; exit code 2, and no traceback."""
    (tmp_path / "tox.py").write_text(textwrap.dedent(RUN))
    code = f"""
        import functools, os, signal, sys, threading, time
        from pathlib import Path
        sys.path.insert(0, {str(tmp_path)!r})
        os.environ["PYTHONPATH"] = {str(tmp_path)!r}
        from reports import __main__, environment, sweep
        environment.HOUSE = Path({str(tmp_path)!r})
        sweep.sweep = functools.partial(sweep.sweep, folder=environment.HOUSE / "results")
        sweep.GRACE = 1
        def interrupt():
            while not Path({str(tmp_path / "begun")!r}).exists():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.{how})
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=interrupt).start()
        sys.exit(__main__.main(["sweep", "5.23"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=HOUSE, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (
        2,
        "interrupted; what is done is kept, and the same command goes on from there\n",
    )
    for pid in map(int, (tmp_path / "begun").read_text().split()):
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
