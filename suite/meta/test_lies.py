"""Lies about the libraries: each claim has one, and a run over them fails where one survives, strays or breaks."""

import json
import os
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from reports import ledger
from reports import lies as reported
from suite.meta import lies
from suite.meta.lies import pools
from suite.meta.lies.__main__ import COMMAND

HOUSE = Path(__file__).parents[2]

#: Executable claims that no lie is told about, and why.
WITHOUT = {
    "args.block.gpu": "needs a GPU",
    "trainer.fp16": "needs a GPU",
    "trainer.fp16.parameters": "needs a GPU",
    "trainer.fp16.scaling": "needs a GPU",
    "trainer.fp16.loss": "needs a GPU",
    "heads.classifier-random.trained": "needs the optional trained checkpoint",
    "weights.all-loaded.trained": "needs the optional trained checkpoint",
    "inference.text.trained": "needs the optional trained checkpoint",
    "tokenize.ids.trained": "needs the optional trained checkpoint",
    "chunk.blocks.trained": "needs the optional trained checkpoint",
    "mask.rate.trained": "needs the optional trained checkpoint",
    "tokenize.ids.printed": "needs the published vocabulary",
}


# --- all of them ------------------------------------------------------------------------------------------------------


def test_every_claim_has_a_lie():
    """Each executable claim has to notice a lie, or stands in the list of exceptions; no exception is out of date."""
    named = {claim for lie in lies.lies().values() for claim in lie.claims}

    without = {claim.id for claim in ledger.load() if claim.executable} - named

    assert without == set(WITHOUT)


def test_lies_name_claims_that_exist():
    """What a lie names is executable, and what it may touch besides is something."""
    executable = [claim.id for claim in ledger.load() if claim.executable]

    for lie in lies.lies().values():
        assert set(lie.claims) <= set(executable), lie.name
        for glob in lie.also:
            assert any(fnmatchcase(claim, glob) for claim in executable), f"{lie.name}: {glob} matches nothing"


def test_recorded_lies_are_those_of_today():
    """`reports/lies.json` is of these lies and these claims, and nothing is wrong with any."""
    told, recorded = lies.lies(), {tried.name: tried for tried in reported.read()}

    assert {name: sorted(lie.claims) for name, lie in told.items()} == {
        name: tried.claims for name, tried in recorded.items()
    }
    assert reported.failed(ledger.load(), list(recorded.values())) == 0


def test_recorded_cross_product_is_of_the_lies_of_today():
    """`reports/lies-cross.json` has each lie, and no claim noticed one that has nothing to do with it."""
    about = {lie.name: (lie.claims, lie.also) for lie in lies.lies().values()}
    recorded = reported.read_crossed()

    assert {name for together in recorded for name in together.lies} == set(about)
    assert reported.strayed(ledger.load(), about, recorded) == 0


def test_lie_has_to_say_what_it_is():
    """A lie without a docstring or without claims is refused, and so is a second one of the same name."""

    def silent(patch):
        pass

    def trains_two_epochs_at_most(patch):
        """More than two epochs are two."""

    assert "trains_two_epochs_at_most" in lies.lies()
    with pytest.raises(lies.LieError, match="silent"):
        lies.lie("mask.rate")(silent)
    with pytest.raises(lies.LieError, match="trains_two_epochs_at_most"):
        lies.lie("mask.rate")(trains_two_epochs_at_most)
    with pytest.raises(lies.LieError, match="needs claims"):
        lies.lie()(trains_two_epochs_at_most)


# --- what a run makes of them -----------------------------------------------------------------------------------------

LIES = '''
import os

from suite.meta.lies import lie


@lie("hub.kinds.text")
def changes_nothing(patch):
    """Everything is as it was."""


@lie("hub.kinds.text")
def breaks(patch):
    """Something that the library does not have is another."""
    patch.setattr("huggingface_hub.HfApi.no_such_method", None)


@lie("hub.kinds.text")
def dies(patch):
    """Nothing goes on."""
    os._exit(1)
'''


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs lies, those above among them, over the claims of one file; what came of each is kept in a folder."""
    (tmp_path / "made_up.py").write_text(LIES, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(*names, options=()):
        options = [*options, *(argument for name in names for argument in ("--lie", name))]
        command = [sys.executable, "-m", "suite.meta.lies", "--folder", str(tmp_path / "found"), "--processes", "1"]
        command += ["-p", "made_up", "suite/hub/test_finding.py", *options]
        return subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, timeout=300)

    return run


def test_survivor_fails_the_run(run):
    """A lie that nobody notices is named, and the run fails; one that broke or died is not taken for noticed."""
    done = run("searches_in_lower_case", "changes_nothing")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "changes_nothing\n    not noticed by hub.kinds.text\n" in done.stdout
    assert "1 of 2 (50.0%) lies were noticed" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80

    done = run("searches_in_lower_case", "changes_nothing", "breaks", "dies")  # goes on: the first two were tried

    assert done.returncode == 3, done.stdout + done.stderr
    assert "1 of 4 (25.0%) lies were noticed" in done.stdout
    assert "breaks\n    broke: AttributeError" in done.stdout
    assert "dies\n    died before the first spec" in done.stdout
    assert sum(line.startswith("searches_in_lower_case") for line in done.stdout.splitlines()) == 0


@pytest.mark.parametrize("options", [[], ["--cross"]], ids=["table", "cross"])
def test_unknown_lie_is_wrong_usage(run, options):
    """A lie that is not there is told, with exit code 4."""
    done = run("tells_the_truth", options=options)

    assert done.returncode == 4
    assert "no such lie: tells_the_truth" in done.stderr


# --- many at a time ---------------------------------------------------------------------------------------------------

#: A lie that claims of another part notice.
MEANWHILE = """
from suite.meta.lies import lie


@lie("hub.kinds.text")
def counts_no_rows(patch):
    \"\"\"A table has no rows, which is no matter of the Hub's pages.\"\"\"
    patch.setattr("datasets.Dataset.__len__", lambda self: 0)
"""


def test_lies_that_change_different_things_are_told_together():
    """Lies that change the same thing, or are about other parts, are in different pools; each is in one."""
    names = ["searches_in_lower_case", "lists_the_first_page", "chooses_padding", "labels_padding"]
    told = lies.lies()

    found = pools.pools(ledger.load(), [told[name] for name in names])

    assert sorted(name for pool in found for name in pool) == sorted(names)
    assert found[0] == names[:2]
    assert all(set(pool) <= set(names[2:]) for pool in found[1:])


def test_pool_is_halved_until_the_lie_is_alone(tmp_path):
    """A claim that notices a pool is asked of each half, down to the lie that it noticed; no other claim is."""
    (tmp_path / "meanwhile.py").write_text(MEANWHILE, encoding="utf-8")
    harmless = ["searches_in_lower_case", "lists_the_first_page", "author_is_a_prefix"]
    (tmp_path / "pools").write_text(json.dumps([[*harmless, "counts_no_rows"]]))
    command = [sys.executable, *COMMAND, "-p", "meanwhile", f"--lies={tmp_path / 'found'}"]
    command += [f"--pools={tmp_path / 'pools'}", "suite/hub/test_finding.py", "suite/data/test_chunking.py"]
    done = subprocess.run(command, cwd=HOUSE, env=os.environ | {"PYTHONPATH": str(tmp_path)}, timeout=300)

    assert done.returncode == 0
    (file,) = (tmp_path / "found").glob("*.json")
    found = {tuple(entry["lies"]): entry for entry in json.loads(file.read_text())}
    together = tuple(sorted([*harmless, "counts_no_rows"]))
    alone = ("counts_no_rows",)
    assert set(found) == {
        together,
        ("lists_the_first_page", "searches_in_lower_case"),
        ("author_is_a_prefix", "counts_no_rows"),
        ("author_is_a_prefix",),
        alone,
    }
    assert {names for names, entry in found.items() if entry["noticed"]} == {alone}
    noticed = set(found[alone]["noticed"])
    assert "chunk.blocks" in noticed
    assert found[together]["tried"]
    assert not noticed & set(found[together]["tried"])
    assert all(noticed >= set(entry["tried"]) for names, entry in found.items() if names != together)
    assert all(entry["ended"] == reported.WHOLE for entry in found.values())


# --- what is reported -------------------------------------------------------------------------------------------------


def tried(name, claims, noticed, also=(), ended=reported.WHOLE):
    return reported.Tried(name, "Something.", claims, list(also), dict.fromkeys(noticed, "drift"), 1, ended)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (tried("noticed", ["mask.rate"], ["mask.rate"]), 0),
        (tried("survived", ["mask.rate"], []), 1),
        (tried("half", ["mask.rate", "mask.dynamic"], ["mask.rate"]), 1),
        (tried("near", ["mask.rate"], ["mask.rate", "chunk.blocks"]), 0),
        (tried("strayed", ["mask.rate"], ["mask.rate", "hub.kinds"]), 1),
        (tried("allowed", ["mask.rate"], ["mask.rate", "hub.kinds"], also=["hub.*"]), 0),
        (tried("stuck", ["mask.rate"], ["mask.rate"], ended="stuck in a spec"), 3),
        (tried(f"{reported.TRUTH}mask", [], []), 0),
        (tried(f"{reported.TRUTH}mask", [], ["mask.rate"]), 3),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_exit_code_says_what_came_of_it(found, code):
    """0 noticed by all that are named and by no claim of another part; 1 not so; 3 nothing can be said."""
    assert reported.failed(ledger.load(), [found]) == code


def test_what_was_found_is_recorded(tmp_path):
    """What is written is read again, and printed with kill rate and precision; another file is refused."""
    found = [
        tried("noticed", ["mask.rate"], ["mask.rate"]),
        tried("strayed", ["mask.rate"], ["mask.rate", "hub.kinds"]),
    ]

    reported.write(found, tmp_path / "lies.json")

    assert reported.read(tmp_path / "lies.json") == found
    printed = "\n".join(reported.lines(ledger.load(), found))
    assert "strayed\n    noticed by an unrelated claim: hub.kinds" in printed
    assert "kill rate  2 of 2 (100.0%)" in printed
    assert "precision  2 of 3 (66.7%)" in printed
    (tmp_path / "other.json").write_text(json.dumps({"a": {}}))
    with pytest.raises(reported.LiesError, match=r"other\.json"):
        reported.read(tmp_path / "other.json")


def test_what_is_told_again_replaces_what_was_recorded():
    """A lie that was told anew leaves the pools that it was in; a lie that is gone does, too; the others stay."""
    pool = reported.Together(["a", "b", "gone"], 300, {}, reported.WHOLE)
    strayed = reported.Together(["b"], 1, {"hub.kinds": "drift"}, reported.WHOLE)
    again = reported.Together(["b"], 300, {}, reported.WHOLE)

    merged = reported.merged([pool, strayed], [again], known=["a", "b"])

    assert merged == [reported.Together(["a"], 300, {}, reported.WHOLE), again]


def test_cross_product_is_recorded(tmp_path):
    """What came of pools is written and read again; what an unrelated claim noticed, and a broken run, make it fail."""
    whole = reported.Together(["a", "b"], 300, {}, reported.WHOLE)
    strayed = reported.Together(["b"], 1, {"hub.kinds": "drift"}, reported.WHOLE)
    stuck = reported.Together(["d"], 0, {}, "stuck in a spec")
    claims = ledger.load()
    about = {"b": (["mask.rate"], [])}
    known = {"b": (["mask.rate"], ["hub.*"])}

    reported.write_crossed([whole, strayed], tmp_path / "lies-cross.json")

    assert reported.read_crossed(tmp_path / "lies-cross.json") == [whole, strayed]
    codes = [reported.strayed(claims, about, found) for found in ([whole], [whole, strayed], [whole, stuck])]
    assert codes == [0, 1, 3]
    assert reported.strayed(claims, known, [whole, strayed]) == 0
    printed = "\n".join(reported.crossed(claims, about, [whole, strayed, stuck]))
    assert "b\n    noticed by an unrelated claim: hub.kinds" in printed
    assert "d\n    stuck in a spec" in printed
    assert "cross product  3 lies" in printed
    assert "601 pairs in 3 runs" in printed
    assert "1 of them noticed, 1 by claims" in printed
    assert "1 of them noticed, 0 by claims" in reported.crossed(claims, known, [whole, strayed])[-1]
    with pytest.raises(reported.LiesError, match="there is no lie 'b'"):
        reported.strayed(claims, {}, [strayed])
    (tmp_path / "other.json").write_text(json.dumps([{"a": 1}]))
    with pytest.raises(reported.LiesError, match=r"other\.json"):
        reported.read_crossed(tmp_path / "other.json")
