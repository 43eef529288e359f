"""`python -m reports`: what each command does with good and with bad input."""

import subprocess
import sys
from pathlib import Path

import pytest

from reports import ledger, readme, results
from reports.environment import describe, installed
from reports.verdict import SpecResult, judge_all

HOUSE = Path(__file__).parents[2]


@pytest.fixture
def recorded(tmp_path):
    """A finished run of one spec each for the first two executable claims, one of them refuted."""
    claims = ledger.load()
    first = next(claim for claim in claims if claim.executable and claim.holds == {})
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

    readme.update(file, readme.table(claims, results.read(path)), check=False)

    text = file.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "stale table" not in text
    assert f"| `{refuted.id}` |" in text
    assert readme.update(file, readme.table(claims, results.read(path)), check=True) == 0


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
