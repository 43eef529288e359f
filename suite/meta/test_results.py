"""A result document is valid and finished, or it is refused with the reason."""

import json

import pytest

from reports import results
from reports.environment import describe, installed
from reports.ledger import Claim
from reports.verdict import Judged, SpecResult, judge

CLAIM = Claim("mask.rate", (35,), "15 % of the tokens are chosen.", {})


def spec(outcome="passed", **changes):
    return SpecResult("suite/data/test_masking.py::test", "mask.rate", changes.pop("role", "claim"), outcome, **changes)


@pytest.fixture
def made():
    judged = [judge(CLAIM, [spec(evidence={"chosen": 1500})])]
    return results.document(describe(installed(), "cpu"), [], judged, seconds=1.25)


def test_written_document_is_read_back(made, tmp_path):
    """What was written is what is read, footer and evidence included."""
    results.write(made, tmp_path / "new" / "r.json")

    result = results.read(tmp_path / "new" / "r.json")

    assert result.footer["claims"] == result.footer["holds"] == 1
    assert result.claims["mask.rate"]["specs"][0]["evidence"] == {"chosen": 1500}
    assert result.environment.release == installed()["transformers"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["r.json"]


def test_interrupted_run_is_refused(made, tmp_path):
    """Without a footer nobody knows what is missing."""
    del made["footer"]
    results.write(made, tmp_path / "r.json")

    with pytest.raises(results.MissingFooter, match=r"r\.json: no footer"):
        results.read(tmp_path / "r.json")


def test_cut_off_file_is_refused(made, tmp_path):
    """Half a file is said to be cut off."""
    results.write(made, tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    (tmp_path / "r.json").write_text(text[: len(text) // 2])

    with pytest.raises(results.UnreadableResult, match="cut off"):
        results.read(tmp_path / "r.json")


def test_missing_file_is_refused(tmp_path):
    """A file that is not there is named."""
    with pytest.raises(results.UnreadableResult, match=r"r\.json"):
        results.read(tmp_path / "r.json")


def test_another_schema_is_refused(made, tmp_path):
    """A document of another version, or with an unknown verdict, is not guessed at."""
    for key, value in (("schema", 2), ("claims", {"mask.rate": {"verdict": "maybe"}})):
        (tmp_path / "r.json").write_text(json.dumps(made | {key: value}))
        with pytest.raises(results.OtherSchema, match=key):
            results.read(tmp_path / "r.json")


def test_edited_document_is_refused(made, tmp_path):
    """A verdict changed by hand no longer fits the footer."""
    made["claims"]["mask.rate"]["verdict"] = "refuted"
    results.write(made, tmp_path / "r.json")

    with pytest.raises(results.WrongFooter, match="holds"):
        results.read(tmp_path / "r.json")


def test_invalid_document_is_not_written(made, tmp_path):
    """A mistake of the harness shows where it was made, and leaves no file."""
    made["claims"]["mask.rate"]["verdict"] = "maybe"

    with pytest.raises(results.jsonschema.ValidationError):
        results.write(made, tmp_path / "r.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("specs", "verdict"),
    [
        pytest.param([spec()], "holds", id="passed"),
        pytest.param([spec(), spec("refuted")], "refuted", id="one-refutes"),
        pytest.param([spec(), spec("not-run", reason="no GPU")], "not-run", id="one-not-run"),
        pytest.param([spec("refuted"), spec("not-run", reason="slow")], "refuted", id="refuted-before-not-run"),
        pytest.param([spec(), spec("error")], "error", id="one-broke"),
        pytest.param([spec(), spec("refuted", role="correction", drift=True)], "holds", id="correction-says-nothing"),
    ],
)
def test_verdict_rests_on_all_specs(specs, verdict):
    """A claim holds when all of its specs passed; one refutation refutes; an error says nothing."""
    judged = judge(CLAIM, specs)

    assert judged.verdict == verdict
    assert isinstance(judged, Judged)
    assert judged.drift == any(entry.drift for entry in specs)
