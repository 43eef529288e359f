"""Which package, and which release of it, made a claim flip: the search, on made-up verdicts; and what it writes."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures.releases import releases
from reports import culprit, ledger

HOUSE = Path(__file__).parents[2]
LISTED = releases()
CLAIM = "args.accepted.fp16"
FLIP = culprit.Flip(CLAIM, "4.45", "4.46", "holds", "refuted", ("suite/training/test_arguments.py::test_fp16",))
VERSIONS = {
    "transformers": ["4.45.2", "4.46.0", "4.46.1", "4.46.2", "4.46.3"],
    "tokenizers": ["0.20.1", "0.20.2", "0.20.3"],
    "regex": ["2024.9.11", "2024.11.6"],
}


class Imagined(culprit.Pair):
    """4.45 and 4.46 with their true locks and verdicts that a rule gives: `rule(pins)` -> (verdict, conflicts)."""

    def __init__(self, rule):
        super().__init__(LISTED["4.45"], LISTED["4.46"])
        self.rule, self.made = rule, []

    def _judge(self, label, pins, changes):
        self.made.append(label)
        verdict, *conflicts = self.rule(pins)
        return culprit.Trial(label, {CLAIM: verdict}, conflicts=tuple(conflicts))


@pytest.fixture
def search(monkeypatch):
    """Look for the cause under a rule; returns it, and the rows that were told."""
    monkeypatch.setattr(culprit, "between", lambda package, low, high, day: VERSIONS[package])

    def search(rule, flip=FLIP):
        rows = []
        return culprit.find(flip, Imagined(rule), rows.append), rows

    return search


# --- flips in recorded results ----------------------------------------------------------------------------------------


def results_of(**verdicts):
    """Results by minor (`v4_45="holds"`), of one claim with one spec."""
    table = {"specs": [{"id": "suite/a.py::test_a[x]"}]}
    return {
        minor[1:].replace("_", "."): SimpleNamespace(claims={CLAIM: {**table, "verdict": verdict}})
        for minor, verdict in verdicts.items()
    }


def test_flips_are_changes_between_judged_releases():
    """A release that judges nothing is passed over; a spec's function is asked, whatever its cases are elsewhere."""
    recorded = results_of(v4_44="holds", v4_45="holds", v4_46="error", v4_47="refuted", v4_48="not-run", v4_49="holds")

    found = culprit.flips(recorded, CLAIM)

    assert [(flip.older, flip.newer, flip.before, flip.after) for flip in found] == [
        ("4.45", "4.47", "holds", "refuted"),
        ("4.47", "4.49", "refuted", "holds"),
    ]
    assert found[0].tests == ("suite/a.py::test_a",)


def test_claim_that_never_flips_is_refused():
    """There is nothing to look for, and the message says on how many releases."""
    claim = ledger.load()[CLAIM]
    with pytest.raises(culprit.NoFlip, match=r"args\.accepted\.fp16 has one verdict on all 2 recorded"):
        culprit.flips_of([claim], results_of(v4_45="holds", v4_46="holds"), LISTED, every=True)


def test_flip_without_recorded_neighbours_is_refused():
    """It is told which releases are to be run; with all flips asked for, such a one is left out."""
    claim, recorded = ledger.load()[CLAIM], results_of(v4_45="holds", v4_48="refuted")
    with pytest.raises(culprit.NotRecorded, match=r"not recorded: 4\.46, 4\.47"):
        culprit.flips_of([claim], recorded, LISTED, every=True)
    assert culprit.flips_of([claim], recorded, LISTED, every=False) == []


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (ledger.Flip("transformers", "4.46.1", "refuted"), True),
        (ledger.Flip("transformers", "4.46.1", "holds"), False),
        (ledger.Flip("transformers", "4.44.0", "refuted"), False),
        (ledger.Flip("transformers", "4.47.0", "refuted"), False),
        (ledger.Flip("hf_xet", "1.0.0", "refuted"), False),
    ],
)
def test_known_cause_lies_between_the_locked_versions(entry, expected):
    """A cause of another flip of the claim is none of this one."""
    claim = ledger.Claim(CLAIM, (38,), "words", {}, flips=(entry,))
    assert culprit.known(FLIP, claim, LISTED) == (entry if expected else None)


# --- the search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS["transformers"][1:])
def test_release_is_found(search, version):
    """A package that does it alone is found, and the first of its releases that does."""
    place = VERSIONS["transformers"].index(version)
    refuting = VERSIONS["transformers"][place:]

    cause, _ = search(lambda pins: ["refuted" if pins["transformers"] in refuting else "holds"])

    assert (cause.package, cause.version, cause.last) == ("transformers", version, VERSIONS["transformers"][place - 1])
    assert (cause.along, cause.unjudged) == ((), ())


def test_unlikely_package_is_found(search):
    """The packages that nobody suspects are exchanged at once, and then by halves."""
    cause, rows = search(lambda pins: ["refuted" if pins["regex"] == "2024.11.6" else "holds"])

    assert (cause.package, cause.version) == ("regex", "2024.11.6")
    assert len(rows) < len(Imagined(None).differing())


def test_release_that_gives_no_verdict_is_named(search):
    """Where a version between says nothing, the cause may be that one, too."""

    def rule(pins):
        verdicts = {"4.45.2": "holds", "4.46.0": "error", "4.46.1": "error"}
        return [verdicts.get(pins["transformers"], "refuted")]

    cause, _ = search(rule)

    assert (cause.last, cause.version, cause.unjudged) == ("4.45.2", "4.46.2", ("4.46.0", "4.46.1"))
    assert "nothing can be said of 4.46.0, 4.46.1" in str(cause)


def test_exchange_that_fits_one_way_alone(search):
    """A package that cannot be put into the older release is taken out of the newer one."""

    def rule(pins):
        if pins["transformers"] != "4.45.2" and pins["tokenizers"] == "0.20.1":
            return ["error"]
        return ["refuted" if pins["transformers"] != "4.45.2" else "holds"]

    cause, rows = search(rule)

    assert (cause.package, cause.version, cause.along) == ("transformers", "4.46.0", ())
    assert any("4.45 with transformers 4.46.3" in row and row.endswith("error") for row in rows)
    assert any("4.46 with transformers 4.45.2" in row and row.endswith("holds") for row in rows)


def test_packages_that_cannot_be_told_apart(search):
    """Two packages that run only with each other are named together, and no third one with them."""

    def rule(pins):
        new = pins["transformers"] != "4.45.2"
        if new != (pins["tokenizers"] == "0.20.3"):
            return ["error"]
        return ["refuted" if new else "holds"]

    cause, _ = search(rule)

    assert (cause.package, cause.version, cause.along) == ("transformers", "4.46.0", ("tokenizers",))


def test_packages_that_need_each_other(search):
    """Neither does it alone, both do."""
    cause, _ = search(
        lambda pins: ["refuted" if (pins["transformers"], pins["tokenizers"]) == ("4.46.3", "0.20.3") else "holds"]
    )

    assert (cause.package, cause.version, cause.along) == ("transformers", "4.46.3", ("tokenizers",))


def test_exchange_against_what_a_package_asks_for_has_to_agree_both_ways(search):
    """A mixture that leaves a requirement unmet may refute for that alone: then it explains nothing."""

    def rule(pins):
        if pins["transformers"] == "4.46.3" and pins["tokenizers"] == "0.20.1":
            return "refuted", "transformers requires tokenizers>=0.20.3, but 0.20.1 is installed"
        return ["refuted" if pins["tokenizers"] == "0.20.3" else "holds"]

    cause, rows = search(rule)

    assert cause.package == "tokenizers"
    assert any(
        row.endswith("\n    although transformers requires tokenizers>=0.20.3, but 0.20.1 is installed") for row in rows
    )


def test_verdict_that_is_not_measured_again_has_no_cause(search):
    """Recorded results that are not those of the locks explain nothing."""
    with pytest.raises(culprit.Unfound, match=r"recorded is refuted on 4\.46, measured holds"):
        search(lambda pins: ["holds"])


def test_flip_that_no_exchange_explains(search):
    """Three packages of which any two are too few, one of them unsuspected: it is said that none was found."""

    def rule(pins):
        new = pins["transformers"] == "4.46.3" and pins["regex"] == "2024.11.6"
        return ["refuted" if new else "holds"]

    with pytest.raises(culprit.Unfound, match="no package that differs between the two explains it"):
        search(rule)


def test_each_mixture_is_judged_once():
    """Flips of one pair of releases share what was measured."""
    pair = Imagined(lambda pins: ["holds"])
    for _ in range(2):
        pair.trial("older", {})
        pair.trial("older", {"transformers": "4.45.2"})  # the same packages
        pair.exchange(["transformers"], "older")
    assert pair.made == ["4.45 as locked", "4.45 with transformers 4.46.3"]


def test_pairs_are_searched_side_by_side(monkeypatch, tmp_path):
    """Each flip comes back once, with its cause or why there is none; what was installed for it is removed."""
    others = [
        culprit.Flip(CLAIM, older, newer, "holds", "refuted", ()) for older, newer in (("5.1", "5.2"), ("4.44", "4.45"))
    ]
    made = []

    def find(flip, pair):
        (pair.folder / "environment").mkdir(parents=True)
        made.append(pair.folder)
        if flip is FLIP:
            raise culprit.Unfound("nothing explains it")
        return culprit.Cause(flip, "transformers", "5.2.0", "5.1.0")

    class Here(culprit.Pair):
        def __init__(self, older, newer, flips):
            super().__init__(older, newer, flips, tmp_path)

    monkeypatch.setattr(culprit, "find", find)
    monkeypatch.setattr(culprit, "Pair", Here)

    found = dict(culprit.causes([FLIP, *others], LISTED, jobs=2))

    assert {flip: type(cause) for flip, cause in found.items()} == {
        FLIP: culprit.Unfound,
        others[0]: culprit.Cause,
        others[1]: culprit.Cause,
    }
    assert len(set(made)) == 3
    assert list(tmp_path.iterdir()) == []


def test_two_searches_at_once(tmp_path):
    """The second is refused while the first makes environments."""
    with culprit.alone(tmp_path), pytest.raises(culprit.CulpritError, match="another search"), culprit.alone(tmp_path):
        pass


def test_index_that_cannot_be_reached(tmp_path, monkeypatch):
    """It is told, and is not taken for a package that cannot be installed."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
    with pytest.raises(culprit.IndexUnreachable, match="uv pip"):
        culprit.between("transformers", "4.45.2", "4.46.3", "2024-12-02")


# --- the ledger -------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path):
    """A copy of the lecture's ledger without causes of this claim."""
    path = tmp_path / "claims.toml"
    text = ledger.PATH.read_text(encoding="utf-8")
    path.write_text(re.sub(rf'(?ms)(^\["{CLAIM}"\]$.*?)^flips = .*?\]\n(?=\n)', r"\1", text), encoding="utf-8")
    assert ledger.load(path)[CLAIM].flips == ()
    return path


def test_cause_is_the_last_line_of_its_row(copy):
    """One line more, at the end of the row; all else stays as it was."""
    before = copy.read_text().splitlines()

    culprit.record(culprit.Cause(FLIP, "transformers", "4.46.0", "4.45.2", ("tokenizers",)), path=copy)

    after = copy.read_text().splitlines()
    line = 'flips = [{ package = "transformers", version = "4.46.0", with = ["tokenizers"], to = "refuted" }]'
    place = after.index(line)
    assert after[:place] + after[place + 1 :] == before
    assert after[place + 1 :][:1] == [""]
    assert [row for row in after[:place] if row.startswith('["')][-1] == f'["{CLAIM}"]'
    assert ledger.load(copy)[CLAIM].flips == (ledger.Flip("transformers", "4.46.0", "refuted", ("tokenizers",)),)


def test_second_cause_stands_beside_the_first(copy):
    """A claim may flip twice; a cause that is found again keeps its link."""
    cause = culprit.Cause(FLIP, "transformers", "4.46.0", "4.45.2")
    culprit.record(cause, "https://example.org/1", path=copy)
    culprit.record(culprit.Cause(FLIP, "tokenizers", "0.20.2", "0.20.1"), path=copy)
    culprit.record(cause, path=copy)

    assert [(flip.package, flip.link) for flip in ledger.load(copy)[CLAIM].flips] == [
        ("tokenizers", None),
        ("transformers", "https://example.org/1"),
    ]


@pytest.mark.parametrize(
    ("package", "link", "error"),
    [("regex", None, ledger.UnknownPackage), ("transformers", "http://example.org", ledger.BadLink)],
)
def test_what_the_ledger_refuses_is_not_written(copy, package, link, error):
    """The file is left as it was."""
    before = copy.read_text()
    with pytest.raises(error, match=CLAIM):
        culprit.record(culprit.Cause(FLIP, package, "4.46.0", "4.45.2"), link, path=copy)
    assert copy.read_text() == before


def test_packages_of_flips_are_locked_ones():
    """No name in the list is misspelt: each stands in some lock."""
    locked = {name for release in LISTED.values() for name in culprit.environment.locked(release.lock)}
    assert set(ledger.PACKAGES) <= locked


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 4, "name claims, or give --all"),
        (("--all", CLAIM), 4, "name claims, or give --all"),
        ((CLAIM, "--link", "https://example.org"), 4, "--link goes with --record"),
        (("--all", "--jobs", "0"), 4, "invalid jobs value"),
        (("no.such.claim",), 4, "culprit: 'no.such.claim' is not in the ledger"),
        (("data.package-name",), 3, "NoFlip: data.package-name has one verdict"),
    ],
)
def test_command_with_bad_input(arguments, code, message):
    """Each has its exit code and its words."""
    done = subprocess.run(
        [sys.executable, "-m", "reports", "culprit", *arguments], cwd=HOUSE, capture_output=True, text=True
    )
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
