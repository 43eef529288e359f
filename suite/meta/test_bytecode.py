"""Bytecode that one environment has compiled is lent to those that have the very same source, and to no others."""

import os
import subprocess
import sys

import pytest

from reports import bytecode
from reports.environment import HOUSE


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def environment(tmp_path, name, *, of=None, text="ANSWER = 41\n"):
    """A folder with one module: a hard link of another one's, as uv makes it, or a file of its own."""
    source = tmp_path / name / "package" / "module.py"
    source.parent.mkdir(parents=True)
    if of is None:
        source.write_text(text)
    else:
        os.link(of / "package" / "module.py", source)
    return tmp_path / name


def answer(folder):
    """What a fresh Python imports from there; it writes bytecode where it finds none that is good."""
    command = [sys.executable, "-c", "from package.module import ANSWER; print(ANSWER)"]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return int(subprocess.run(command, cwd=folder, env=variables, check=True, capture_output=True).stdout)


def compiled(folder):
    return [path.stat().st_ino for path in folder.rglob("*.pyc")]


def test_the_same_source_is_compiled_once(tmp_path, store):
    first = environment(tmp_path, "first")
    assert answer(first) == 41
    bytecode.keep(first, store)
    second = environment(tmp_path, "second", of=first)
    bytecode.lend(second, store)
    lent = compiled(second)
    assert lent == compiled(first) != []
    assert answer(second) == 41
    assert compiled(second) == lent, "Python has taken what was lent: it has not written its own"


def test_another_source_of_the_same_size_and_second_is_not_the_same(tmp_path, store):
    """By those two Python itself tells whether bytecode is good: lent by them, it would give the other's answer."""
    first = environment(tmp_path, "first")
    source = first / "package" / "module.py"
    os.utime(source, (1_700_000_000, 1_700_000_000))
    assert answer(first) == 41
    bytecode.keep(first, store)
    other = environment(tmp_path, "other", text="ANSWER = 42\n")
    os.utime(other / "package" / "module.py", (1_700_000_000, 1_700_000_000))
    bytecode.lend(other, store)
    assert compiled(other) == []
    assert answer(other) == 42


def test_a_source_that_has_changed_since_is_compiled_anew(tmp_path, store):
    first = environment(tmp_path, "first")
    assert answer(first) == 41
    bytecode.keep(first, store)
    (first / "package" / "module.py").write_text("ANSWER = 1 + 41\n")
    bytecode.lend(first, store)
    assert answer(first) == 42


def test_what_is_there_stays(tmp_path, store):
    first = environment(tmp_path, "first")
    second = environment(tmp_path, "second", of=first)
    for folder in (first, second):
        answer(folder)
        bytecode.keep(folder, store)
    own = compiled(second)
    assert len(list(store.iterdir())) == 1
    bytecode.lend(second, store)
    assert compiled(second) == own != compiled(first)


def test_nothing_is_lent_before_anything_is_kept(tmp_path, store):
    first = environment(tmp_path, "first")
    bytecode.lend(first, store)
    assert compiled(first) == []
    assert not store.exists()


def test_without_hard_links_a_run_goes_on(tmp_path, store, monkeypatch):
    def refuse(there, new):
        raise PermissionError(1, "Operation not permitted", str(new))

    first = environment(tmp_path, "first")
    answer(first)
    monkeypatch.setattr(os, "link", refuse)
    bytecode.keep(first, store)
    assert list(store.iterdir()) == []


def test_without_a_place_to_write_a_run_goes_on(tmp_path, store):
    first = environment(tmp_path, "first")
    answer(first)
    bytecode.keep(first, store)
    second = environment(tmp_path, "second", of=first)
    (second / "package" / "__pycache__").write_text("no folder can be made here")
    bytecode.lend(second, store)
    (tmp_path / "file").touch()
    bytecode.keep(first, tmp_path / "file" / "store")
    assert compiled(second) == []


def test_a_word_that_is_none_of_the_two():
    command = [sys.executable, "-m", "reports.bytecode", "borrow"]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True)
    assert done.returncode == 2
    assert "borrow" in done.stderr.splitlines()[-1], done.stderr
