"""The releases under test: the list, the locks, the environments, and the command that makes them."""

import datetime
import os
import re
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from fixtures import isolation
from fixtures.releases import LIST, OLDEST, Release, ReleaseError, as_csv, beside, make, releases
from reports.environment import locked

HOUSE = Path(__file__).parents[2]
LISTED = list(releases().values())
BESIDE = list(beside(releases()).values())


@pytest.fixture
def newest(monkeypatch):
    """The newest release of the user's package index; where none can be asked this says so."""
    for name in os.environ.keys() - isolation.USER.keys():
        monkeypatch.delenv(name)
    for name, value in isolation.USER.items():
        monkeypatch.setenv(name, value)
    try:
        return next(make.published())
    except ReleaseError as error:
        pytest.skip(f"no package index can be asked: {error}")


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A list of two releases in a folder of its own, to which the command writes."""
    monkeypatch.setattr("fixtures.releases.FOLDER", tmp_path)
    monkeypatch.setattr(make, "LIST", tmp_path / "releases.csv")
    known = {minor: release for minor, release in releases().items() if minor in (LISTED[0].minor, LISTED[-1].minor)}
    (tmp_path / "releases.csv").write_text(as_csv(known), encoding="utf-8")
    monkeypatch.setattr(make, "releases", lambda: releases(tmp_path / "releases.csv"))
    (tmp_path / "beside.csv").write_text("name,requirement,reason\nnewest-old,datasets<3,\n", encoding="utf-8")
    monkeypatch.setattr(make, "beside", lambda listed: beside(listed, tmp_path / "beside.csv"))
    return tmp_path


def minors(text):
    """What tox makes of a range of environments, `tf4.{23-25}`."""
    for major, first, last in re.findall(r"tf(\d+)\.\{(\d+)-(\d+)\}", text):
        yield from (f"{major}.{minor}" for minor in range(int(first), int(last) + 1))


# --- the list and the locks -------------------------------------------------------------------------------------------


def test_list_is_in_order():
    """Each minor once, from the oldest that runs, with its newest patch; a date is a day, and none is in the future."""
    numbers = [tuple(int(number) for number in release.minor.split(".")) for release in LISTED]

    assert numbers == sorted(set(numbers))
    assert LISTED[0].minor == OLDEST
    for release in LISTED:
        assert release.version.startswith(f"{release.minor}.")
        released, as_of = map(datetime.date.fromisoformat, (release.released, release.as_of))
        assert released < as_of <= released + make.SETTLED


def test_list_is_written_as_it_was_read():
    """The command that changes nothing does not change the list."""
    assert as_csv(releases()) == LIST.read_text(encoding="utf-8")


def test_exceptions_are_needed_and_have_a_reason():
    """A package is exempt from the date only for a later day, and the list says why."""
    for release in LISTED:
        assert bool(release.newer) == bool(release.reason)
        for _, day in release.newer:
            assert release.as_of < str(datetime.date.fromisoformat(day))


def test_each_release_has_a_lock_and_an_environment():
    """The list, the lock files and tox.ini name the same releases."""
    tox = (HOUSE / "tox.ini").read_text(encoding="utf-8")
    listed = [release.minor for release in LISTED]
    header = re.search(r"^\[testenv:(tf.*)\]", tox, flags=re.MULTILINE)[1]

    locks = {path.stem for path in LIST.parent.glob("*.txt")}
    assert locks == {release.environment for release in (*LISTED, *BESIDE)}
    assert listed == list(minors(header))
    assert re.search(r"newest-\{(.*?)\}", header)[1].split(",") == [row.minor.removeprefix("newest-") for row in BESIDE]
    assert listed == list(minors(re.search(r"^ +releases = (.*)", tox, flags=re.MULTILINE)[1]))
    anchors = re.search(r"^ +anchors = (.*)", tox, flags=re.MULTILINE)[1].replace("tf", "").split(", ")
    assert {listed[0], listed[-1]} <= set(anchors) <= set(listed)


@pytest.mark.parametrize("release", LISTED + BESIDE, ids=lambda release: release.minor)
def test_lock_pins_all_but_torch(release):
    """A lock is of its release and date; each line has hashes; torch and what its GPU builds bring are not in it."""
    text = release.lock.read_text(encoding="utf-8")
    pins = locked(release.lock)

    assert pins["transformers"] == release.version
    assert {"datasets", "huggingface_hub", "tokenizers", "accelerate", "numpy"} <= set(pins)
    assert f"\n# as of {release.as_of};" in text
    lines = [line for line in text.replace("\\\n", "").splitlines() if not line.startswith("#")]
    assert len(lines) == len(pins)
    assert all(re.search(r"==\S+ +--hash=sha256:[0-9a-f]{64}", line) for line in lines)
    assert not [name for name in pins if name.startswith(("torch", "nvidia", "cuda", "triton"))]


@pytest.mark.parametrize("release", BESIDE, ids=lambda release: release.minor)
def test_lock_beside_has_what_it_is_named_for(release):
    """The package that a lock is about is held to the versions that were asked for."""
    requirement = Requirement(release.beside)

    assert requirement.specifier.contains(locked(release.lock)[requirement.name])
    assert not requirement.specifier.contains(locked(LISTED[-1].lock)[requirement.name])


def test_no_companion_is_older_than_before():
    """The newest that there is as of a date: from one release to the next none goes back by a major version."""
    for package in ("datasets", "huggingface_hub", "accelerate", "tokenizers", "numpy", "pyarrow"):
        majors = [int(locked(release.lock)[package].split(".")[0]) for release in LISTED]
        assert majors == sorted(majors), package


# --- against the index ------------------------------------------------------------------------------------------------


#: Of a day two weeks ago the index has all uploads; a release is locked with what came in its first two weeks.
SETTLED = datetime.date.today() - make.SETTLED


def is_settled(day):
    return datetime.date.fromisoformat(day) <= SETTLED


def test_no_release_is_missing(newest):
    """The list has each minor that is two weeks old (else: `python -m fixtures.releases`); a younger one is told."""
    found = {release.minor: is_settled(release.released) for release in make.published()}
    listed = {release.minor for release in LISTED}

    assert newest.minor in found
    if young := [minor for minor, settled in found.items() if not settled and minor not in listed]:
        warnings.warn(f"not listed, and not two weeks old: {', '.join(young)}", stacklevel=1)
    assert {minor for minor, settled in found.items() if settled} - listed == set()


@pytest.mark.parametrize(
    "release",
    [LISTED[0], [release for release in LISTED if is_settled(release.as_of)][-1]],
    ids=lambda release: release.minor,
)
def test_lock_made_anew_is_the_same(newest, release):
    """What is resolved as of a date does not change with time."""
    assert make.lock(release) == release.lock.read_text(encoding="utf-8")


def test_release_that_does_not_exist_cannot_be_locked(newest):
    """uv says that there is no such version."""
    with pytest.raises(ReleaseError, match=r"4\.99 as of (.|\n)*4\.99\.0"):
        make.lock(replace(LISTED[-1], minor="4.99", version="4.99.0"))


# --- the command ------------------------------------------------------------------------------------------------------


def test_new_minor_and_new_patch_are_listed():
    """What was found goes into its place; a release whose newest patch is the listed one keeps its date and reason."""
    old = Release("4.57", "4.57.0", "2025-10-03", "2025-10-17", (("numpy", "2025-10-20"),), "a reason")
    kept = Release("5.0", "5.0.0", "2026-01-26", "2026-02-09", (("numpy", "2026-02-20"),), "a reason")
    patch = Release("4.57", "4.57.6", "2026-01-16", "2026-01-30")
    minor = Release("4.60", "4.60.0", "2026-01-20", "2026-02-03")

    listed = make.brought_up_to_date(
        {"4.57": old, "5.0": kept}, {"5.0": replace(kept, as_of="2026-02-01", newer=()), "4.60": minor, "4.57": patch}
    )

    assert list(listed.items()) == [("4.57", patch), ("4.60", minor), ("5.0", kept)]


def test_command_writes_what_changed(house, monkeypatch, capsys):
    """A first run makes the locks, a second changes no file, a new release adds its own."""
    monkeypatch.setattr(make, "published", lambda: iter(()))
    monkeypatch.setattr(make, "lock", lambda release: f"lock of {release.version}\n")

    assert make.main([]) == 0
    first = {path: path.stat().st_mtime_ns for path in house.iterdir()}
    assert make.main([]) == 0
    assert {path: path.stat().st_mtime_ns for path in house.iterdir()} == first
    assert capsys.readouterr().out.count("written") == 3

    monkeypatch.setattr(make, "published", lambda: iter([Release("9.9", "9.9.1", "2030-01-01", "2030-01-15")]))
    assert make.main([]) == 0
    assert "9.9,9.9.1,2030-01-01,2030-01-15,," in (house / "releases.csv").read_text(encoding="utf-8")
    assert (house / "tf9.9.txt").read_text(encoding="utf-8") == "lock of 9.9.1\n"
    assert (house / "newest-old.txt").read_text(encoding="utf-8") == "lock of 9.9.1\n"


def test_nothing_is_written_where_something_cannot_be_made(house, monkeypatch, capsys):
    """One release that cannot be resolved: the command says which, and all files stay as they are."""
    before = {path: path.read_bytes() for path in house.iterdir()}
    monkeypatch.setattr(make, "published", lambda: iter([Release("9.9", "9.9.1", "2030-01-01", "2030-01-15")]))

    def lock(release):
        if release.minor == LISTED[-1].minor:
            raise ReleaseError(f"{release.minor}: no such package")
        return "made\n"

    monkeypatch.setattr(make, "lock", lock)

    assert make.main([]) == 3
    assert f"{LISTED[-1].minor}: no such package\nNothing was changed." in capsys.readouterr().err
    assert {path: path.read_bytes() for path in house.iterdir()} == before


def test_unknown_release_is_wrong_usage(capsys):
    """A release that is not in the list: exit code 4, which there are, and why there are no older ones."""
    assert make.main(["4.22"]) == 4
    message = capsys.readouterr().err
    assert f"not in releases.csv: 4.22. Listed are {OLDEST}, " in message
    assert "not-run, no wheel" in message


def test_index_that_cannot_be_reached():
    """The command says what it could not reach, exits with 3 and changes nothing."""
    before = {path: path.read_bytes() for path in LIST.parent.glob("*.*")}
    nowhere = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0", "UV_NO_CACHE": "1"}

    done = subprocess.run(
        [sys.executable, "-m", "fixtures.releases"],
        cwd=HOUSE,
        env=os.environ | nowhere,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 3
    assert "http://127.0.0.1:9/simple/transformers/" in done.stderr
    assert "Nothing was changed." in done.stderr
    assert {path: path.read_bytes() for path in LIST.parent.glob("*.*")} == before


def test_uv_that_is_not_installed(house, monkeypatch, capsys):
    """The command says how to get it."""
    monkeypatch.setenv("PATH", "")

    assert make.main([]) == 3
    assert "uv is not installed" in capsys.readouterr().err


def test_index_without_upload_times_dates_nothing(monkeypatch):
    """Some indexes do not say when a file was uploaded; a release cannot be dated with them."""
    pylock = '[[packages]]\nname = "transformers"\nversion = "5.0.0"\nwheels = [{ url = "https://host/a.whl" }]\n'
    monkeypatch.setattr(make, "_uv", lambda *arguments: pylock)

    with pytest.raises(ReleaseError, match="does not say when"):
        next(make.published())


def test_list_that_cannot_be_read(tmp_path):
    """The error names the file."""
    (tmp_path / "releases.csv").write_text("minor,version\n5.0,5.0.0\n", encoding="utf-8")

    with pytest.raises(ReleaseError, match=r"releases\.csv: not a list of releases \(KeyError: 'released'\)"):
        releases(tmp_path / "releases.csv")
    with pytest.raises(ReleaseError, match="missing"):
        releases(tmp_path / "missing.csv")


def test_lock_edited_by_hand_is_not_installed(tmp_path):
    """A hash that is not the package's: uv installs nothing and names the package."""
    with zipfile.ZipFile(tmp_path / "edited-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("edited-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: edited\nVersion: 1.0\n")
        wheel.writestr("edited-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("edited-1.0.dist-info/RECORD", "")
    (tmp_path / "edited.txt").write_text(f"edited==1.0 \\\n    --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    command = ["uv", "pip", "install", "--no-index", f"--find-links={tmp_path}", f"--target={tmp_path / 'target'}"]

    done = subprocess.run([*command, "-r", tmp_path / "edited.txt"], capture_output=True, text=True)

    assert done.returncode != 0
    assert "Hash mismatch for `edited==1.0`" in done.stderr
    assert not (tmp_path / "target" / "edited-1.0.dist-info").exists()
