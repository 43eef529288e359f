"""Trainings in processes of their own, as the specs of slide 42 start them: one that hangs leaves nothing behind."""

import os
import subprocess
import sys
import time

import pytest

from suite.training import test_scripts

HANGS = """
import os, pathlib, time

pathlib.Path(f"{os.getpid()}.pid").touch()
time.sleep(600)
"""


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "train.py"],
        ["bash", "-c", 'torchrun --standalone --nproc_per_node 2 train.py "$@"', "bash"],
    ],
    ids=["python", "bash"],
)
def test_training_that_takes_too_long_is_ended_with_its_processes(tmp_path, monkeypatch, command):
    """torchrun's own processes are in other groups than torchrun: it has to be asked, not killed."""
    (tmp_path / "train.py").write_text(HANGS, encoding="utf-8")

    def communicate(process, timeout):
        """The time is up as soon as both processes train."""
        while len(list(tmp_path.glob("*.pid"))) < 2 and process.poll() is None:
            time.sleep(0.05)
        raise subprocess.TimeoutExpired(process.args, timeout)

    monkeypatch.setattr(subprocess.Popen, "communicate", communicate)
    with pytest.raises(subprocess.TimeoutExpired):
        test_scripts.finished(command, tmp_path)

    started = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert len(started) == 2
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
