"""`python -m reports`: what each command does with good and with bad input."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reports import ledger, ranges, readme, results
from reports.environment import describe, installed
from reports.verdict import SpecResult, judge_all

HOUSE = Path(__file__).parents[2]


@pytest.fixture
def recorded(tmp_path):
    """A finished run of one spec each for the first two executable claims, one of them refuted."""
    claims = ledger.load()
    first = next(claim for claim in claims if claim.executable and claim.holds == {} and claim.id.count(".") == 1)
    second = next(claim for claim in claims if claim.executable and claim.holds is None and claim.id.count(".") == 1)
    specs = [
        SpecResult("a.py::test", first.id, "claim", "passed"),
        SpecResult("b.py::test", second.id, "claim", "refuted"),
    ]
    made = results.document(describe(installed(), "cpu"), [], judge_all(claims, specs, whole=True), seconds=1.0)
    results.write(made, tmp_path / "r.json")
    return tmp_path / "r.json", first, second


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "reports", *arguments], cwd=HOUSE, capture_output=True, text=True)


def test_show_prints_the_summary(recorded):
    """A recorded run is printed as after the run itself."""
    path, _, refuted = recorded

    done = run("show", str(path))

    assert done.returncode == 0
    assert f"  {refuted.id}  (slide" in done.stdout


def test_unusable_results_are_refused(tmp_path):
    """A missing or interrupted result is an error with its name, exit code 3."""
    done = run("show", str(tmp_path / "nowhere.json"))

    assert done.returncode == 3
    assert done.stderr.startswith("UnreadableResult: ")


def test_disk_that_is_full(tmp_path):
    """What cannot be written whole is not written: an error with the name, and the old file stays."""
    page = tmp_path / "page.html"
    page.write_text("old")
    limited = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    command = f"{limited}runpy.run_module('reports', run_name='__main__')"

    done = subprocess.run(
        [sys.executable, "-c", command, "build", "--format", "json", "-o", str(page)],
        cwd=HOUSE,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr.splitlines()[-1]) == (3, f"{page}: File too large")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("arguments", [(), ("build-castle",), ("show",), ("show", "a.json", "b.json")])
def test_wrong_usage_has_its_own_exit_code(arguments):
    """Wrong arguments exit with 4, as with pytest."""
    assert run(*arguments).returncode == 4


def test_readme_table_is_made_from_the_run(recorded, tmp_path):
    """The table says which run it is, counts by part, and gives the correction of what is refuted."""
    path, _, refuted = recorded
    claims = ledger.load()
    file = tmp_path / "README.md"
    file.write_text(f"before\n{readme.BEGIN}\nstale table\n{readme.END}\nafter\n")

    readme.update(file, readme.table(claims, results.read(path), {}), check=False)

    text = file.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "stale table" not in text
    assert f"| `{refuted.id}` |" in text
    assert readme.update(file, readme.table(claims, results.read(path), {}), check=True) == 0


def test_readme_tells_what_flipped_since_when(two_runs):
    """Each sentence with another verdict is there, with the release from which on it has it."""
    before, after, first, second = two_runs
    made = readme.table(ledger.load(), results.read(after), {"4.23": results.read(before), "5.23": results.read(after)})

    flips = made.partition("(2 releases) the verdict changes for 1 claims")[2]
    assert f"| `{first.id}` |" in flips
    assert "| holds; refuted from 5.23 on |" in flips
    assert second.id not in flips


def test_readme_that_differs_is_noticed(tmp_path):
    """With `check` nothing is written, and another table is an error."""
    file = tmp_path / "README.md"
    file.write_text(f"{readme.BEGIN}\nstale table\n{readme.END}\n")

    with pytest.raises(readme.ReadmeError, match="make its table anew"):
        readme.update(file, "new", check=True)
    assert "stale table" in file.read_text()


def test_readme_without_markers_is_refused(tmp_path):
    """A README without a place for the table is left as it is."""
    (tmp_path / "README.md").write_text("nothing here")

    with pytest.raises(readme.ReadmeError, match="markers"):
        readme.update(tmp_path / "README.md", "new", check=False)


def test_table_cells_stay_cells():
    """Text of a claim cannot break the table or become HTML."""
    assert readme._cell("a | b\n<img src=x>") == "a \\| b &lt;img src=x>"


# --- compare and record -----------------------------------------------------------------------------------------------


@pytest.fixture
def two_runs(recorded, tmp_path):
    """Runs of two releases: a claim that held is refuted on the later one, another was measured otherwise."""
    path, first, second = recorded
    before = json.loads(path.read_text())
    before["claims"][second.id]["specs"][0]["evidence"] = {"default": 5}
    after = json.loads(json.dumps(before))
    before["environment"]["packages"]["transformers"] = before["environment"]["release"] = "4.23.1"
    after["claims"][first.id]["verdict"] = "refuted"
    after["claims"][second.id]["specs"][0]["evidence"] = {"default": 8}
    after["footer"]["holds"] -= 1
    after["footer"]["refuted"] += 1
    results.write(before, tmp_path / "before.json")
    results.write(after, tmp_path / "after.json")
    return tmp_path / "before.json", tmp_path / "after.json", first, second


def test_compare_tells_flips_and_other_evidence(two_runs):
    """What was true and is refuted comes first; what was measured otherwise under the same verdict is told, too."""
    before, after, first, second = two_runs

    done = run("compare", str(before), str(after))

    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert max(map(len, text.splitlines())) <= 80
    told = [text.index(words) for words in ("refuted now (1)", f"  {first.id} ", "the same verdict", f"  {second.id} ")]
    assert told == sorted(told)
    assert "default: 5 -> 8" in text


def test_compare_in_the_other_direction(two_runs):
    """From the later to the earlier run the same claim is won."""
    before, after, first, _ = two_runs

    made = json.loads(run("compare", str(after), str(before), "--format", "json").stdout)

    assert [change["kind"] for change in made["changes"]] == ["won", "other"]
    assert made["changes"][0]["claim"] == first.id


def test_compare_as_markdown(two_runs):
    """A list per kind of change."""
    before, after, first, _ = two_runs
    text = run("compare", str(before), str(after), "--format", "markdown").stdout
    assert "### True before, refuted now (1)" in text
    assert f"- `{first.id}`: " in text


def test_compare_with_itself(recorded):
    """Nothing changes, and that is said."""
    done = run("compare", str(recorded[0]), str(recorded[0]))
    assert "nothing that the lecture speaks of changes" in done.stdout


def test_release_that_is_not_recorded():
    """It is wrong usage, and the message says which are recorded."""
    done = run("compare", "1.0", "5.23")
    assert done.returncode == 4
    assert "recorded are" in done.stderr
    assert "5.23" in done.stderr


def test_record_proposes_a_range(two_runs):
    """Where the ledger contradicts a result, a range that agrees with all results is proposed; exit code 1."""
    before, after, first, _ = two_runs

    done = run("record", str(before), str(after))

    assert done.returncode == 1
    assert f'["{first.id}"]  # the ledger is wrong on {installed()["transformers"]}' in done.stdout
    assert 'holds = { transformers = "<5.23" }' in done.stdout


def test_record_of_a_claim_that_holds_wherever_it_was_measured(two_runs):
    """A claim that the ledger refutes and every result confirms needs no range; it is not proposed as never true."""
    before, after, _, second = two_runs
    for path in (before, after):
        made = json.loads(path.read_text())
        made["claims"][second.id]["verdict"] = "holds"
        made["footer"]["holds"] += 1
        made["footer"]["refuted"] -= 1
        results.write(made, path)

    lines = run("record", str(before), str(after)).stdout.splitlines()

    (place,) = [number for number, line in enumerate(lines) if line.startswith(f'["{second.id}"]')]
    assert lines[place + 1] == "# it holds wherever it was measured: no range"


def test_ledger_agrees_with_what_is_recorded():
    """No recorded verdict contradicts a range of the ledger."""
    done = run("record")
    assert done.returncode == 0, done.stdout


def test_two_results_of_one_environment_that_disagree(two_runs, tmp_path):
    """No range can agree with both: the error names the claim."""
    before, after, first, _ = two_runs
    other = json.loads(before.read_text())
    other["environment"] = json.loads(after.read_text())["environment"]
    results.write(other, tmp_path / "other.json")

    done = run("record", str(after), str(tmp_path / "other.json"))

    assert done.returncode == 3
    assert f"Contradiction: {first.id}: on one version of each of transformers, datasets" in done.stderr


def test_record_on_one_release_beside_two_others(two_runs, tmp_path):
    """What another package's version tells apart on one release of transformers is a range of that package."""
    before, after, first, _ = two_runs
    other = json.loads(before.read_text())
    other["environment"] = json.loads(after.read_text())["environment"]
    other["environment"]["packages"]["datasets"] = "2.21.0"
    results.write(other, tmp_path / "other.json")

    done = run("record", str(after), str(tmp_path / "other.json"))

    proposed = done.stdout.partition(f'["{first.id}"]')[2].splitlines()[1]
    assert proposed == f'holds = {{ datasets = "<{ranges.minor(installed()["datasets"])}" }}'


def test_result_of_a_foreign_lock_is_not_recorded(two_runs):
    """Only runs of a listed release are; the error says how to make one."""
    done = run("keep", str(two_runs[0]))

    assert done.returncode == 3
    assert "its lock is none of those in fixtures/releases; run it with tox" in done.stderr


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        ("+++", ("",)),
        ("---", ()),
        ("-++", (">=4.9",)),
        ("+--", ("<4.9",)),
        ("-+-", (">=4.9,<4.10",)),
        ("+-+", ("<4.9", ">=4.10")),
    ],
)
def test_specifiers(holds, expected):
    """The ranges that agree with three minor versions, which are ordered as versions and not as text."""
    measured = dict(zip(("4.8", "4.9", "4.10"), (sign == "+" for sign in holds), strict=True))
    assert ranges.specifiers(measured) == expected
