"""Recorded results say what the runs said, and keep equal evidence once."""

import json

import pytest

from reports import archive, results
from reports.environment import describe, installed
from reports.ledger import Claim
from reports.verdict import SpecResult, judge

CLAIM = Claim("mask.rate", (35,), "15 % of the tokens are chosen.", {})


def document(evidence):
    """A finished run of three specs, two of which measured the same."""
    specs = [
        SpecResult("a.py::test_one", CLAIM.id, "claim", "passed", 1.5, evidence=evidence),
        SpecResult("a.py::test_two", CLAIM.id, "claim", "passed", 0.5, evidence=evidence),
        SpecResult("a.py::test_three", CLAIM.id, "correction", "not-run", reason="the claim holds here"),
    ]
    return results.document(describe(installed(), "cpu"), [], [judge(CLAIM, specs)], seconds=2.0)


def lines(folder):
    return (folder / archive.EVIDENCE).read_text(encoding="utf-8").splitlines()


def test_recorded_result_says_what_the_run_said(tmp_path):
    """But for durations a recorded document reads as the run's own."""
    made = document({"chosen": [1, "字"]})
    archive.keep({"5.23": made}, tmp_path)

    read = results.read(tmp_path / "5.23.json")

    for spec in made["claims"]["mask.rate"]["specs"]:
        spec["seconds"] = 0.0
    assert read.claims == made["claims"]
    assert read.footer == made["footer"]


def test_equal_evidence_is_kept_once(tmp_path):
    """Two specs on two releases that measured the same share one line."""
    archive.keep({"5.22": document({"chosen": 3}), "5.23": document({"chosen": 3})}, tmp_path)
    assert len(lines(tmp_path)) == 1
    archive.keep({"5.23": document({"chosen": 4})}, tmp_path)
    assert len(lines(tmp_path)) == 2


def test_evidence_that_nothing_names_is_dropped(tmp_path):
    """When a release is recorded anew, its old evidence goes."""
    archive.keep({"5.23": document({"chosen": 3})}, tmp_path)
    archive.keep({"5.23": document({"chosen": 4})}, tmp_path)
    assert [json.loads(line)[1] for line in lines(tmp_path)] == [{"chosen": 4}]


def test_same_result_gives_the_same_bytes(tmp_path):
    """Recorded twice, nothing changes."""
    made = document({"b": 1, "a": 2})
    archive.keep({"5.23": made}, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    archive.keep({"5.23": json.loads(json.dumps(made))}, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_missing_evidence_is_an_error(tmp_path):
    """A document without its evidence is refused, with the claim and the file."""
    archive.keep({"5.23": document({"chosen": 3})}, tmp_path)
    (tmp_path / archive.EVIDENCE).unlink()
    with pytest.raises(results.UnreadableResult, match=r"5\.23\.json: mask\.rate: evidence .* record it again"):
        results.read(tmp_path / "5.23.json")


def test_one_line_a_claim(tmp_path):
    """Two recorded releases can be compared as text."""
    archive.keep({"5.23": document({"chosen": 3})}, tmp_path)
    text = (tmp_path / "5.23.json").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if "mask.rate" in line] == [
        line for line in text.splitlines() if "test_three" in line
    ]


def test_what_differs_from_run_to_run_is_not_kept(tmp_path):
    """Folders, ports and addresses of a run are named, not quoted: two runs that found the same are recorded alike."""
    seen = "It looks like '/tmp/pytest-of-{user}/pytest-{n}/popen-gw{n}/test_a_0/model/config.json' is not valid."
    asked = "http://127.0.0.1:3{n}577/tiny/bert in /var/tmp/claims-a{n}b_cdef/hf/hub, <object at 0x7f94cb835{n}b0>"
    began = "CompletedProcess(args=['/home/{user}/claims/.tox/tf5.{n}/bin/python', '-m', 'torch.distributed.run'])"
    runs = [
        {"errors": [text.format(user=user, n=n) for text in (seen, asked, began)]}
        for user, n in (("ann", 1), ("bob", 2))
    ]

    archive.keep({"5.22": document(runs[0]), "5.23": document(runs[1])}, tmp_path)

    (line,) = lines(tmp_path)
    assert json.loads(line)[1]["errors"] == [
        "It looks like '<tmp>/test_a_0/model/config.json' is not valid.",
        "http://127.0.0.1:<port>/tiny/bert in <home>/hf/hub, <object at <address>>",
        "CompletedProcess(args=['<python>', '-m', 'torch.distributed.run'])",
    ]
