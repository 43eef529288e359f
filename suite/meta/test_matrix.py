"""A matrix: its cells, what is done and what it will take, the engine of one machine, a CI's jobs, the simulation."""

import errno
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from fixtures import isolation
from reports import environment, results
from reports.matrix import cells, durations, export, simulate, spec
from reports.matrix.locks import Locks
from reports.matrix.node import Outcome
from suite.meta import stub

HOUSE = Path(__file__).parents[2]
FOUR = """
[axes]
transformers = ["4.30", "4.46", "4.57", "5.23"]
"""


@pytest.fixture
def matrix(tmp_path):
    """Write a matrix; returns its path."""

    def matrix(text=FOUR):
        path = tmp_path / "matrix.toml"
        path.write_text(text)
        return path

    return matrix


@pytest.fixture
def user(tmp_path):
    """The user's environment, in which uv and what it builds are stubs."""
    path = f"{stub.install(tmp_path / 'bin')}{os.pathsep}{isolation.USER['PATH']}"
    stubs = {"PATH": path, "CLAIMS_CACHE": str(tmp_path / "cache"), "STUB_RUNS": str(tmp_path / "runs")}
    return {**isolation.USER, **stubs}


@pytest.fixture
def run(user, tmp_path):
    """Run `python -m reports matrix`."""

    def run(*arguments, **variables):
        command = [
            sys.executable,
            "-m",
            "reports",
            "matrix",
            "--results",
            str(tmp_path / "results"),
            *map(str, arguments),
        ]
        return subprocess.run(
            command, cwd=HOUSE, capture_output=True, text=True, env={**user, **variables}, timeout=300
        )

    return run


def planned(path, folder=Path("nowhere")):
    return cells.resolve(spec.load(path), folder, ask=False)


def begun(tmp_path):
    """The locks of the cells that were begun."""
    return [line.split()[0] for line in (tmp_path / "runs").read_text().splitlines()]


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_cells_are_the_product_of_the_axes(matrix):
    """One cell for each combination that is not excluded; what is left out is counted, with its reason."""
    found = spec.load(
        matrix(
            """
            [axes]
            transformers = ["4.30", "5.23"]
            datasets = ["", "<3"]
            python = ["3.11", "3.12"]
            device = ["cpu", "H100"]
            [[exclude]]
            transformers = "<4.36"
            python = "3.12"
            reason = "no wheel"
            """
        )
    )

    assert len(found.combinations) == 12
    assert found.excluded == {"no wheel": 4}
    names = [at.name for at in found.combinations]
    assert {"4.30.2 py3.11 cpu", "5.23.0 datasets<3 py3.12 H100"} <= set(names)
    assert len(set(names)) == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            '[axes]\ntransformers = ["5.23"]\ncolour = ["red"]', "UnknownAxis: .*'colour' is no axis", id="axis"
        ),
        pytest.param('[axes]\ntransformers = ["9.99"]', "BadAxis: .*'9.99'", id="release"),
        pytest.param('[axes]\ntransformers = ["5.23"]\ndatasets = ["three"]', "BadAxis: .*'three'", id="requirement"),
        pytest.param('[axes]\ntransformers = "5.23"', "BadAxis: .*a list of texts", id="no-list"),
        pytest.param("[axes]\ntransformers = [", "MatrixError: .*not TOML", id="cut-off"),
        pytest.param('as_of = "soon"\n[axes]\ntransformers = ["5.23"]', "BadAxis: .*'soon'", id="as-of"),
        pytest.param('as_of = "2020-01-01"\n[axes]\ntransformers = ["5.23"]', "BadAxis: .*is of 2026", id="before"),
        pytest.param('axis = 1\n[axes]\ntransformers = ["5.23"]', "BadAxis: .*axis: no key", id="key"),
        pytest.param(FOUR + '[[exclude]]\ntransformers = ">4"\nreason = "all"', "nothing is left", id="nothing"),
        pytest.param(FOUR + '[[exclude]]\ncolour = "red"\nreason = "all"', "UnknownAxis", id="exclusion"),
    ],
)
def test_unusable_matrix_is_refused(matrix, text, message):
    """The error names the file, what is wrong in it and what would be right."""
    with pytest.raises(spec.MatrixError) as caught:
        spec.load(matrix(text))
    assert re.search(message, f"{type(caught.value).__name__}: {caught.value}")


def test_bad_matrix_ends_the_command(run, matrix):
    """Exit code 3 with the error's name; 4 for wrong usage."""
    done = run(matrix(FOUR + 'colour = ["red"]'))
    assert (done.returncode, done.stderr.partition(":")[0]) == (3, "UnknownAxis")
    assert run("--jobs", "0").returncode == 4
    assert run("--engine", "slurm").returncode == 4


def test_matrix_of_the_listed_minors_needs_no_index():
    """The default is all minors with their recorded locks."""
    found, problems = planned(spec.FOLDER / "releases.toml")
    assert not problems
    assert len(found) == 59
    assert {"sha256:" + hashlib.sha256(cell.lock.encode()).hexdigest() for cell in found} == {
        environment.digest_of(path) for path in environment.RELEASES.glob("tf*.txt")
    }


def test_nightly_matrix_is_thousands_of_cells():
    """All patch releases beside majors of other packages, on two Pythons and two devices."""
    found = spec.load(spec.FOLDER / "nightly.toml")
    assert len(found.combinations) > 1000
    assert len({at.release.version for at in found.combinations}) == len(spec.patches())


def test_recorded_lock_beside_is_used(matrix):
    """The newest release with an older datasets has a recorded lock; nothing is resolved for it."""
    found, problems = planned(matrix('[axes]\ntransformers = ["5.23"]\ndatasets = ["<3"]'))
    assert not problems
    assert "datasets==2." in found[0].lock


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"python": "3.12"}, id="python"),
        pytest.param({"torch": "2.12.0"}, id="torch"),
        pytest.param({"device": "H100"}, id="device"),
        pytest.param({"arguments": ("--slow",)}, id="arguments"),
    ],
)
def test_key_changes_with_what_verdicts_depend_on(matrix, change):
    """Another Python, torch, device or selection is another cell; so are another lock and another suite."""
    at = spec.load(matrix()).combinations[0]
    key = cells._key(at, "a lock", "a suite")
    assert cells._key(at, "a lock", "a suite") == key
    assert len({key, cells._key(replace(at, **change), "a lock", "a suite")}) == 2
    assert len({key, cells._key(at, "b lock", "a suite"), cells._key(at, "a lock", "b suite")}) == 3


def test_dry_run_lists_the_longest_first(run, matrix):
    """What was recorded of a release is what it will take; nothing runs, no index is asked."""
    done = run(matrix(FOUR + 'python = ["3.11", "3.12"]'), "--dry-run", "--jobs", "2", STUB_UV="must not be asked")

    assert done.returncode == 0, done.stderr
    *rows, total = done.stdout.splitlines()
    seconds = [float(row.split()[1]) for row in rows if row.split()[2] == "s"]
    assert len(seconds) == 4
    assert seconds == sorted(seconds, reverse=True)
    assert sum("its lock is not resolved yet" in row for row in rows) == 4
    assert total.startswith("8 cells, 0 done, 4 without a lock; about ")


def test_estimates_come_from_what_is_most_alike(matrix):
    """The release's own duration, then its minor's, then all releases'; else a constant."""
    found, _ = planned(matrix())
    entry = {"device": "cpu", "arguments": [], "build": 1.0}
    known = {"a": {**entry, "version": "4.57.6", "run": 10.0}, "b": {**entry, "version": "4.46.0", "run": 20.0}}
    taken = {cell.at.release.minor: seconds for cell in found for seconds in [cells.estimates(found, known)[cell.key]]}
    assert taken == {"4.57": 11.0, "4.46": 21.0, "4.30": 16.0, "5.23": 16.0}
    assert set(cells.estimates(found, {}).values()) == {cells.UNKNOWN}


# --- the engine of one machine ----------------------------------------------------------------------------------------


def test_each_cell_runs_once(run, matrix, tmp_path):
    """All results are there; a second run does nothing, and says so at once."""
    done = run(matrix(), "--jobs", "2")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].split()[-1] == "4/4"
    assert len(begun(tmp_path)) == len(set(begun(tmp_path))) == 4
    assert len(list((tmp_path / "results").glob("*.json"))) == 4
    again = run(matrix(), "--jobs", "2")
    assert again.returncode == 0
    assert again.stdout.count("1 holds") == 4
    assert len(begun(tmp_path)) == 4
    (tmp_path / "results" / cells.INDEX).unlink()  # then each document is read
    assert run(matrix(), "--jobs", "2").returncode == 0
    assert len(begun(tmp_path)) == 4


def test_cell_that_cannot_exist_is_named(run, matrix, tmp_path):
    """The index has no such combination: the rest goes on, and the exit code says that something is missing."""
    no = "No solution found when resolving dependencies: Because tokenizers==0.13.3 has no wheels with a matching tag"
    run(matrix(), "--jobs", "2")  # with locks that are recorded, resolving is not needed

    done = run(matrix(FOUR + 'python = ["3.11", "3.13"]'), STUB_UV=no)

    assert done.returncode == 3
    assert done.stdout.count("cannot exist: Because tokenizers==0.13.3 has no wheels") == 4
    assert done.stdout.count("1 holds") == 4


def test_cell_without_an_end(run, matrix, tmp_path):
    """It is ended after the limit, and named; another run of the matrix does it again."""
    done = run(matrix('[axes]\ntransformers = ["5.23"]'), "--limit", "1", STUB_SECONDS="60")
    assert done.returncode == 3
    assert "5.23.0 py3.11 cpu: no result: no end within 1 s" in done.stdout
    assert run(matrix('[axes]\ntransformers = ["5.23"]')).returncode == 0


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("error: failed to write: No space left on device (os error 28)", "disk full on"),
        ("error: No interpreter found for Python 3.11", "no Python 3.11 on"),
        ("error: Failed to fetch: `https://example.org/simple/`", "Failed to fetch"),
    ],
)
def test_environment_that_cannot_be_built(run, matrix, said, told):
    """What uv says about a node is told with what to do."""
    done = run(matrix('[axes]\ntransformers = ["5.23"]'), STUB_UV=said)
    assert done.returncode == 3
    assert told in done.stdout


def test_machine_without_uv(run, matrix, tmp_path):
    """Each cell says what to install."""
    done = run(matrix(), PATH=str(tmp_path))
    assert done.returncode == 3
    assert done.stdout.count("node without uv") == 4
    assert "pip install uv" in done.stdout


def test_disk_of_results_that_fills(matrix, tmp_path, monkeypatch, run):
    """The cell is named and not recorded, nothing half is left, and the next one is accepted."""
    assert run(matrix(), "--jobs", "2").returncode == 0
    found, _ = planned(matrix())
    documents = {cell.key: (tmp_path / "results" / cell.result).read_bytes() for cell in found}
    folder = tmp_path / "other"
    folder.mkdir()
    known, whole = cells.Results(folder), Path.write_bytes

    def full(path, data):
        whole(path, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    row = known.accept(found[0], Outcome(found[0].key, documents[found[0].key]))
    monkeypatch.undo()
    assert (row.code, row.problem) == (3, f"no result: {folder}: No space left on device")
    assert list(folder.iterdir()) == []
    assert known.accept(found[1], Outcome(found[1].key, documents[found[1].key])).code == 0


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda made: made.pop("footer"), id="interrupted"),
        pytest.param(lambda made: made["environment"].update(lock="sha256:" + "0" * 64), id="lock"),
        pytest.param(lambda made: made["environment"]["parts"].update(common="0" * 16), id="suite"),
        pytest.param(lambda made: made["environment"].update(python="3.1.11"), id="python"),
        pytest.param(lambda made: made["environment"].update(device="NVIDIA H100"), id="device"),
        pytest.param(lambda made: made["environment"]["packages"].update(torch="2.12.0"), id="torch"),
        pytest.param(lambda made: made["selection"].append("--slide 3"), id="a-part"),
    ],
)
def test_result_of_something_else_is_not_accepted(run, matrix, tmp_path, change):
    """A cell's result is a finished one of its lock, suite, Python, torch and device; else the cell is run again."""
    path = matrix('[axes]\ntransformers = ["5.23"]')
    assert run(path).returncode == 0
    (cell,), _ = planned(path)
    file = tmp_path / "results" / cell.result
    made = json.loads(file.read_text())
    change(made)
    file.write_text(json.dumps(made))
    assert cells.Results(tmp_path / "results").done(cell) is None
    row = cells.Results(tmp_path / "results").accept(cell, Outcome(cell.key, file.read_bytes()))
    assert row.code == 3


def test_driver_that_is_killed_goes_on_where_it_was(user, run, matrix, tmp_path):
    """What was recorded stays, no process of a cell is left, and each cell is there once."""
    command = [sys.executable, "-m", "reports", "matrix", "--results", str(tmp_path / "results"), str(matrix())]
    slow = {**user, "STUB_SECONDS": "1"}
    with subprocess.Popen([*command, "--jobs", "1"], cwd=HOUSE, env=slow, stdout=subprocess.DEVNULL) as driver:
        until(lambda: len(list((tmp_path / "results").glob("*.json"))) == 1 and len(begun(tmp_path)) == 2)
        driver.send_signal(signal.SIGKILL)
    last = int((tmp_path / "runs").read_text().split()[-1])
    until(lambda: not alive(last))

    done = run(matrix(), "--jobs", "2")

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "results").glob("*.json"))) == 4
    assert len(begun(tmp_path)) == 5  # one was cut off


def alive(process):
    """Whether a process runs (one that waits to be buried does not)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except FileNotFoundError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def test_two_runs_at_once(user, run, matrix, tmp_path):
    """The second is refused while the first runs."""
    command = [sys.executable, "-m", "reports", "matrix", "--results", str(tmp_path / "results"), str(matrix())]
    slow = {**user, "STUB_SECONDS": "60"}
    with subprocess.Popen(command, cwd=HOUSE, env=slow, stdout=subprocess.DEVNULL) as first:
        until(lambda: begun(tmp_path))
        done = run(matrix())
        first.kill()
    assert done.returncode == 3
    assert "writes into" in done.stderr


# --- real environments ------------------------------------------------------------------------------------------------


def test_cells_in_environments_of_their_locks(tmp_path, matrix):
    """uv builds what two recorded locks pin, and pytest judges a slide there; without an index this says so."""
    if shutil.which("uv", path=isolation.USER["PATH"]) is None:
        pytest.fail("uv is not installed: pip install uv")
    path = matrix('[axes]\ntransformers = ["4.57", "5.23"]\narguments = ["suite/hub/test_finding.py"]')
    command = [
        sys.executable,
        "-m",
        "reports",
        "matrix",
        "--jobs",
        "2",
        "--results",
        str(tmp_path / "results"),
        str(path),
    ]
    user = {**isolation.USER, "CLAIMS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, env=user, timeout=300)

    if "Failed to fetch" in done.stdout:
        pytest.skip("no package index can be asked")
    assert done.returncode == 0, done.stdout + done.stderr
    found, _ = planned(path)
    for cell in found:
        result = results.read(tmp_path / "results" / cell.result)
        assert result.environment.packages["transformers"] == cell.at.release.version
        assert result.footer["error"] == 0


def test_lock_of_a_patch_release(tmp_path, matrix):
    """A release that is not listed is resolved as of its day, once; what has no wheel cannot exist."""
    environment_before = dict(os.environ)
    os.environ.clear()
    os.environ.update(isolation.USER)
    try:
        path = matrix(
            """
            [axes]
            transformers = ["4.57.1"]
            python = ["3.11", "3.6"]
            """
        )
        found, problems = cells.resolve(spec.load(path), tmp_path, jobs=2)
        if any("no lock" in problem for problem in problems.values()):
            pytest.skip("no package index can be asked")
    finally:
        os.environ.clear()
        os.environ.update(environment_before)
    (cell,) = found
    assert "\n# as of 2025-10-28;" in cell.lock
    assert environment.pins(cell.lock)["transformers"] == "4.57.1"
    assert [problem.partition(":")[0] for problem in problems.values()] == ["cannot exist"]
    assert Locks(tmp_path / "locks").find(cell.at) == cell.lock


# --- a CI -------------------------------------------------------------------------------------------------------------


def test_jobs_of_a_ci_are_the_cells(run, matrix, tmp_path):
    """Each job's own command runs its cell, and the command that collects finds all of them."""
    path = matrix()
    done = run(path, "--export", "github")
    assert done.returncode == 0, done.stderr
    jobs = yaml.safe_load(done.stdout)["jobs"]
    rows = jobs["cells-1"]["strategy"]["matrix"]["include"]
    assert {row["key"] for row in rows} == {cell.key for cell in planned(path)[0]}
    (one,) = [step["run"] for step in jobs["cells-1"]["steps"] if "--cell" in step.get("run", "")]

    before = run(path, "--collect")
    assert before.returncode == 3
    for row in rows:
        arguments = shlex.split(one.replace("${{ matrix.key }}", row["key"]))
        assert arguments[:4] == ["python", "-m", "reports", "matrix"]
        assert run(*arguments[4:]).returncode == 0

    collect = shlex.split(jobs["collect"]["steps"][-1]["run"])
    assert run(*collect[4:]).stdout.count("1 holds") == 4
    assert jobs["collect"]["needs"] == ["cells-1"]


def test_jobs_of_gitlab(run, matrix):
    """The same cells in the same command; a stage follows in which they are collected."""
    path = matrix()
    made = yaml.safe_load(run(path, "--export", "gitlab").stdout)
    job = made["cells cpu 1"]
    assert job["parallel"]["matrix"][0]["CELL"] == [cell.key for cell in sorted_cells(path)]
    assert job["script"][-1] == f'python -m reports matrix {path} --jobs 1 --cell "$CELL"'
    assert made["stages"] == ["cells", "collect"]


def sorted_cells(path):
    found, _ = planned(path)
    taken = cells.estimates(found, durations.read())
    return sorted(found, key=lambda cell: -taken[cell.key])


@pytest.fixture
def many(matrix):
    """As many cells as wanted, of one lock."""

    def many(count, device="cpu"):
        (cell,), _ = planned(matrix('[axes]\ntransformers = ["5.23"]'))
        return [replace(cell, key=f"{number:012x}", at=replace(cell.at, device=device)) for number in range(count)]

    return many


def test_more_jobs_than_a_ci_takes_at_once(many):
    """They are divided among matrices, each of which has what is allowed at most; each cell is in one."""
    jobs = yaml.safe_load(export.github(many(600), "m.toml"))["jobs"]
    parts = [jobs[name]["strategy"]["matrix"]["include"] for name in jobs if name != "collect"]
    assert [len(part) for part in parts] == [256, 256, 88]
    assert len({row["key"] for part in parts for row in part}) == 600
    made = yaml.safe_load(export.gitlab(many(250) + many(3, "H100"), "m.toml"))
    sizes = {name: len(made[name]["parallel"]["matrix"][0]["CELL"]) for name in made if name.startswith("cells")}
    assert sizes == {"cells cpu 1": 200, "cells cpu 2": 50, "cells H100 1": 3}
    assert made["cells H100 1"]["tags"] == ["H100"]


def test_more_cells_than_a_workflow_holds(many):
    """GitHub would not start it: the error says what to do."""
    with pytest.raises(spec.MatrixError, match="use --engine ray"):
        export.github(many(10_000), "m.toml")


def test_key_of_another_plan(run, matrix):
    """A job whose cell is not in the plan any more says why."""
    done = run(matrix(), "--cell", "0" * 12)
    assert done.returncode == 3
    assert "no cell 000000000000: the lock or the suite is another one" in done.stderr


def test_folder_against_another(run, matrix, tmp_path):
    """Verdicts that are not the same are told, with the cell and the claim."""
    path = matrix()
    assert run(path, "--jobs", "2").returncode == 0
    shutil.copytree(tmp_path / "results", tmp_path / "there")
    same = run(path, "--collect", "--against", tmp_path / "there")
    assert (same.returncode, "4 cells with the same verdicts" in same.stderr) == (0, True)
    file = next((tmp_path / "there").glob("5.23.0-*.json"))
    made = json.loads(file.read_text())
    claim = next(claim for claim, table in made["claims"].items() if table["verdict"] == "holds")
    made["claims"][claim]["verdict"] = "refuted"
    made["footer"]["holds"] -= 1
    made["footer"]["refuted"] += 1
    file.write_text(json.dumps(made))
    other = run(path, "--collect", "--against", tmp_path / "there")
    assert other.returncode == 1
    assert f"5.23.0 py3.11 cpu: {claim}: holds, there refuted" in other.stdout


# --- the simulation ---------------------------------------------------------------------------------------------------

DURATIONS = [("4.23.1", 3.0, 90.0), ("5.23.0", 3.0, 60.0)]


def test_simulation_repeats():
    """The seed decides everything."""
    world = simulate.World(nodes=10, warm=False, loss=0.5)
    one, two = (simulate.simulate(world, DURATIONS, 500) for _ in range(2))
    assert one.results == two.results


@pytest.mark.parametrize("loss", [0.0, 5.0])
@pytest.mark.parametrize("warm", [True, False])
def test_simulated_cells_count_once(warm, loss):
    """However many nodes are lost, each cell has one result; cells that ran again cost node hours."""
    run = simulate.simulate(simulate.World(nodes=20, warm=warm, loss=loss), DURATIONS, 1000)
    assert len(run.results) == 1000
    assert bool(run.again) == bool(loss)
    assert 0 < run.efficiency(simulate.World()) < 1


def test_simulation_of_one_slot_is_arithmetic():
    """One node with one slot takes the sum of all cells."""
    world = simulate.World(slots=1)
    run = simulate.simulate(world, [("5.23.0", 3.0, 60.0)], 100)
    assert run.wall == pytest.approx(100 * (63.0 + world.engine) + world.collect, abs=0.1)
    assert run.efficiency(world) == pytest.approx(60 / (63.0 + world.engine), abs=0.001)


def test_a_driver_is_the_bottleneck_of_many_nodes():
    """With more cells ending than it can take, the wall time is the driver's."""
    world = simulate.World(nodes=1000, collect=1.0)
    run = simulate.simulate(world, DURATIONS, 2000)
    assert run.wall >= 2000
    assert run.busy == pytest.approx(2000)


def test_table_is_that_of_the_recorded_durations():
    """README.md of the matrix has what `--simulate` prints now."""
    text = (HOUSE / "reports" / "matrix" / "README.md").read_text(encoding="utf-8")
    assert simulate.table(durations.read().values()) in text


# --- what is recorded -------------------------------------------------------------------------------------------------


def test_durations_of_an_engine_are_exchanged(monkeypatch, tmp_path):
    """Those of the other engine stay; parts of the suite are not recorded."""
    path = tmp_path / "durations.csv"
    path.write_text(",".join(durations.COLUMNS) + "\n5.0.0,cpu,ray,abc,1.0,2.0\n5.0.0,cpu,local,abc,3.0,4.0\n")
    monkeypatch.setattr(durations, "PATH", path)
    entry = dict(zip(durations.COLUMNS, ("4.57.6", "cpu", "local", "def", 5.0, 6.0), strict=True))

    durations.keep([entry | {"arguments": []}, entry | {"version": "5.1.0", "arguments": ["--slide", "33"]}])

    assert path.read_text().splitlines()[1:] == ["4.57.6,cpu,local,def,5.0,6.0", "5.0.0,cpu,ray,abc,1.0,2.0"]
    with pytest.raises(spec.MatrixError, match="no cell of a full run"):
        durations.keep([])


def test_both_engines_were_recorded_with_equal_verdicts():
    """On the same releases."""
    verdicts = {"local": {}, "ray": {}}
    for row in durations.read().values():
        verdicts[row["engine"]][row["version"], row["device"]] = row["verdicts"]
    assert verdicts["local"]
    assert verdicts["local"] == verdicts["ray"]
