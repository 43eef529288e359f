"""The recorded results are finished, full, of the lock that is there, and agree with the ledger."""

from pathlib import Path

import pytest

from reports import archive, environment, ledger, results

HOUSE = Path(__file__).parents[2]
RECORDED = list(archive.recorded().values())


def test_something_is_recorded():
    """There is a result to publish."""
    assert RECORDED


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_result_can_be_published(path):
    """A recorded run is full, without drift or errors, on the lock of its name, over exactly the claims there are."""
    result = results.read(path)
    lock = HOUSE / "fixtures" / "releases" / f"tf{path.stem}.txt"

    assert result.selection == ()
    assert (result.footer["drift"], result.footer["error"]) == (0, 0)
    assert result.environment.lock == environment.digest_of(lock)
    assert set(result.claims) == set(ledger.load().claims)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_ledger_and_recorded_verdicts_agree(path):
    """What the ledger says of the recorded versions is what was recorded."""
    result = results.read(path)
    packages = result.environment.packages

    disagree = [
        claim.id
        for claim in ledger.load()
        if (verdict := result.claims[claim.id]["verdict"]) in ("holds", "refuted")
        and (verdict == "holds") != claim.holds_on(packages)
    ]
    assert disagree == []
