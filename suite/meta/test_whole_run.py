"""The real suite under hostile conditions: the verdicts stay the same, and the user's things are left alone."""

import os
import subprocess
import sys
from pathlib import Path

from reports import results

HOUSE = Path(__file__).parents[2]

#: What a user may have set, each to a value that would break or bend a run.
ODD = {
    "HF_HOME": "odd/relative/home",
    "HF_HUB_CACHE": "/nowhere/cache",
    "HUGGINGFACE_HUB_CACHE": "/nowhere/old-cache",
    "TRANSFORMERS_CACHE": "/nowhere/older-cache",
    "HF_DATASETS_CACHE": "/nowhere/datasets",
    "HF_TOKEN": "hf_of-the-user",
    "HF_TOKEN_PATH": "/nowhere/token",
    "HF_ENDPOINT": "http://192.0.2.1:9",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_ETAG_TIMEOUT": "0",
    "HF_HUB_DISABLE_SYMLINKS_WARNING": "maybe",
    "TRANSFORMERS_VERBOSITY": "critical",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "DATASETS_VERBOSITY": "critical",
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_USE_CPU": "0",
    "WANDB_PROJECT": "of-the-user",
    "MLFLOW_TRACKING_URI": "http://192.0.2.1:9",
    "WORLD_SIZE": "7",
    "RANK": "3",
    "LOCAL_RANK": "3",
    "http_proxy": "http://192.0.2.1:9",
    "https_proxy": "http://192.0.2.1:9",
    "XDG_CACHE_HOME": "/nowhere/xdg",
}


def test_verdicts_do_not_depend_on_user_order_or_folder(tmp_path):
    """Odd settings, a home of one's own, another working directory, random order, two processes: same verdicts."""
    home, folder, result = tmp_path / "home", tmp_path / "folder", tmp_path / "r.json"
    home.mkdir()
    folder.mkdir()
    (folder / "bert-base-uncased").mkdir()  # would shadow the id if the working directory mattered
    command = [sys.executable, "-m", "pytest", "-c", str(HOUSE / "pyproject.toml"), "--rootdir", str(HOUSE), "-n", "2"]
    command += ["-p", "no:cacheprovider", "-p", "randomly", f"--results={result}"]
    command += ["-p", "no:benchmark"]  # it makes a folder where it is started; `tox -e claims` does without it
    command += [str(HOUSE / "suite" / part) for part in ("hub", "loading", "data", "training")]

    done = subprocess.run(
        command, cwd=folder, env=os.environ | ODD | {"HOME": str(home)}, capture_output=True, text=True, timeout=600
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    assert "--randomly-seed=" in done.stdout  # its header: the order was random
    assert results.read(result).footer["drift"] == 0
    assert list(home.iterdir()) == []
    assert [path.name for path in folder.iterdir()] == ["bert-base-uncased"]
    assert not Path("/nowhere").exists()
