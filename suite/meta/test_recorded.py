"""The recorded results are those of all listed releases, finished, full, of the locks that are there, and agree with
the ledger."""

from functools import cache

import pytest
from packaging.version import Version

from fixtures.releases import beside, releases
from reports import archive, culprit, environment, ledger, results
from reports.ranges import minor

LISTED = releases() | beside(releases())
RECORDED = archive.recorded() | archive.beside()


@cache
def read(name):
    return results.read(RECORDED[name])


def test_each_listed_release_is_recorded():
    """Those beside other majors, too; and nothing else is."""
    assert set(RECORDED) == set(LISTED)


def test_results_are_of_one_suite():
    """What has changed since they were recorded has changed for all of them: no release was run with other specs."""
    current = environment.partition()
    own = {name: read(name).environment for name in RECORDED}
    changed = {name: environment.differing(it.parts, current(it.packages)) for name, it in own.items()}
    parts = set().union(*changed.values())
    mixed = [part for part in parts if not all(part in found for found in changed.values())]
    assert mixed == []


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


def test_flips_and_causes_are_the_same():
    """Each recorded flip has its cause in the ledger, and each cause there is that of a recorded flip."""
    recorded, listed = {name: read(name) for name in archive.recorded()}, releases()
    without, idle = [], []
    for claim in ledger.load():
        own = culprit.flips(recorded, claim.id)
        causes = [culprit.known(flip, claim, listed) for flip in own]
        without += [str(flip) for flip, cause in zip(own, causes, strict=True) if cause is None]
        idle += [f"{claim.id}: {cause}" for cause in claim.flips if cause not in causes]
    assert (without, idle) == ([], [])


def test_ranges_end_where_something_was_measured():
    """A range begins and ends at a release on which its claim was judged, or at the one that is its measured cause."""
    loose = []
    for claim in (claim for claim in ledger.load() if claim.executable and claim.holds):
        judged = [read(name) for name in RECORDED if read(name).claims[claim.id]["verdict"] in ("holds", "refuted")]
        for package, ranges in claim.holds.items():
            versions = [result.environment.packages[package] for result in judged]
            known = {Version(version) for version in (*versions, *map(minor, versions))}
            known |= {Version(flip.version) for flip in claim.flips if flip.package == package}
            bounds = [bound for specifiers in ranges for bound in specifiers]
            loose += [
                f"{claim.id}: {package}{bound}" for bound in bounds if judged and Version(bound.version) not in known
            ]
    assert loose == []
