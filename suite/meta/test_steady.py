"""The runs that have to have equal verdicts: they are made, told apart, and gone on with."""

import json

import pytest

from reports import results
from suite.meta import steady


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of a seed and the other runs of one small file of specs."""
    folder = tmp_path_factory.mktemp("steady")
    assert steady.main(["--seeds=1", f"--folder={folder}", "suite/data/test_chunking.py"]) == 0
    return folder


def test_seed_order_processes_and_year_change_no_verdict(folder):
    """Each run leaves its result; a year ahead is among them where the clock can be moved."""
    names = {path.stem for path in folder.glob("*.json")}

    assert names - {"a-year-ahead"} == {"seed-1", "random-order", "two-processes"}
    assert ("a-year-ahead" in names) == (steady.AHEAD in steady.runs(1))
    assert all("chunk.blocks" in results.read(path).claims for path in folder.glob("*.json"))


def test_clock_is_a_year_ahead(folder):
    """The run is told a later date than the others: its result says so."""
    if steady.AHEAD not in steady.runs(1):
        pytest.skip("libfaketime is not installed")

    years = {
        name: int(results.read(folder / f"{name}.json").footer["finished"][:4]) for name in ("seed-1", "a-year-ahead")
    }

    assert years["a-year-ahead"] == years["seed-1"] + 1


def test_another_verdict_is_named_and_a_finished_run_is_not_repeated(folder, tmp_path, capsys):
    """An edited result is taken as it is, and its verdict told from the others; what is gone is run again."""
    for path in folder.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for evidence in folder.glob("*.gz"):
        (tmp_path / evidence.name).write_bytes(evidence.read_bytes())
    made = json.loads((tmp_path / "two-processes.json").read_text())
    made["claims"]["chunk.blocks"]["verdict"] = "refuted"
    made["footer"]["holds"] -= 1
    made["footer"]["refuted"] += 1
    (tmp_path / "two-processes.json").write_text(json.dumps(made))
    (tmp_path / "random-order.json").unlink()

    code = steady.main(["--seeds=1", f"--folder={tmp_path}", "suite/data/test_chunking.py"])

    said = capsys.readouterr().out
    assert code == 1
    assert "two processes    chunk.blocks: refuted, at first holds" in said
    assert said.count("0 drift") == 1  # the run that was gone


def test_broken_run_is_no_agreement(tmp_path, capsys):
    """A run without a result is named, and the exit code is that of an error."""
    assert steady.main(["--seeds=1", f"--folder={tmp_path}", "suite/no_such_file.py"]) == 3

    assert "broken: seed 1, random order, two processes" in capsys.readouterr().out


@pytest.mark.parametrize("argument", ["--seeds=0", "--processes=0", "--seeds=many"])
def test_wrong_numbers_are_usage(argument):
    """argparse's own code of wrong usage is not taken for a verdict."""
    with pytest.raises(SystemExit) as error:
        steady.main([argument])

    assert error.value.code == 2
