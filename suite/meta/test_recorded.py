"""The recorded results are those of all listed releases, finished, full, of the locks that are there, and agree with
the ledger."""

from functools import cache

import pytest

from fixtures.releases import beside, releases
from reports import archive, environment, ledger, results

LISTED = releases() | beside(releases())
RECORDED = archive.recorded() | archive.beside()


@cache
def read(name):
    return results.read(RECORDED[name])


def test_only_listed_releases_are_recorded():
    """The newest one at least."""
    assert set(RECORDED) <= set(LISTED)
    assert list(releases())[-1] in RECORDED


def test_archive_is_small():
    """A clone does not pay for four years: all results take less than 20 MB."""
    assert sum(path.stat().st_size for path in archive.FOLDER.rglob("*") if path.is_file()) < 20e6


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_result_can_be_published(name):
    """A recorded run is full, without drift or errors, on the lock of its name, over exactly the claims there are."""
    result = read(name)

    assert result.selection == ()
    assert (result.footer["drift"], result.footer["error"]) == (0, 0)
    assert result.environment.lock == environment.digest_of(LISTED[name].lock)
    assert set(result.claims) == set(ledger.load().claims)


@pytest.mark.parametrize("name", RECORDED)
def test_ledger_and_recorded_verdicts_agree(name):
    """What the ledger says of the recorded versions is what was recorded."""
    result = read(name)
    packages = result.environment.packages

    disagree = [
        claim.id
        for claim in ledger.load()
        if (verdict := result.claims[claim.id]["verdict"]) in ("holds", "refuted")
        and (verdict == "holds") != claim.holds_on(packages)
    ]
    assert disagree == []
