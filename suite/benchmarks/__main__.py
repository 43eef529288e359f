"""What the lecture's pipeline costs on this machine: `python -m suite.benchmarks [pytest's options]`.

Takes the GPU if there is one, else the CPU (`--device cpu` for the CPU all the same), needs no network, and no
`datasets`: what cannot run is put down with its reason. Figures go to results/bench.json (`--figures FILE`) as they
come; `python -m reports bench keep results/bench.json` records them. `--long` adds growth to 1,000,000 rows and
compilation on a CPU, `-k collator` measures a part, `--pairs 11 --group-seconds 1` is a quick look.

The GPU part has not been run on a GPU yet.
"""

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
DEFAULT = FOLDER.parents[1] / "results" / "bench.json"


def main(arguments: list[str]) -> int:
    """pytest on this folder, without the conftest.py above it. Returns pytest's exit code."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    figures = [] if any(it.startswith("--figures") for it in arguments) else [f"--figures={DEFAULT}"]
    paths = [] if any(".py" in it for it in arguments) else [str(FOLDER)]
    # Without the suite's own options: pytest-benchmark measures nothing where it is told of several processes.
    options = ["-oaddopts=--import-mode=importlib", "-pno:xdist", "-pno:randomly", "-pno:cacheprovider"]
    options += [f"--rootdir={FOLDER.parents[1]}", f"--confcutdir={FOLDER}"]
    columns = "--benchmark-columns=median,iqr,rounds"
    return int(pytest.main([*options, columns, *figures, *arguments, *paths]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
