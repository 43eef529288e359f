"""A stand-in for uv and for the environments it builds, so that a cell takes a second and not a minute.

`install` puts a `uv` into a folder for PATH. The environments that it "builds" have a `python` that runs this file: it
judges nothing, and writes a finished result of the lock, as pytest would. Variables steer it:

    STUB_RUNS    a file that gets a line for each cell that was begun: lock, process
    STUB_SECONDS how long a cell takes
    STUB_UV      what `uv` says before it fails, if it fails
"""

import os
import sys
import time
from pathlib import Path

HOUSE = Path(__file__).parents[2]

UV = """#!/bin/sh
if [ -n "$STUB_UV" ]; then echo "$STUB_UV" >&2; exit 2; fi
if [ "$1" = venv ]; then
    for last; do
        case "$last" in --python=*) asked="${{last#--python=}}" ;; esac
    done
    mkdir -p "$last/bin"
    printf '#!/bin/sh\\nSTUB_PYTHON=%s exec "{python}" "{stub}" "$@"\\n' "$asked" > "$last/bin/python"
    chmod +x "$last/bin/python"
fi
"""


def install(folder: Path) -> Path:
    """Make a folder for PATH with this `uv` in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "uv").write_text(UV.format(python=sys.executable, stub=__file__))
    (folder / "uv").chmod(0o755)
    return folder


def main() -> None:
    """Be a run of pytest."""
    sys.path.insert(0, str(HOUSE))
    from reports import environment, ledger, results
    from reports.results import Environment
    from reports.verdict import SpecResult, judge_all

    lock = Path(os.environ["CLAIMS_LOCK"])
    digest = environment.digest_of(lock)
    with Path(os.environ["STUB_RUNS"]).open("a") as runs:
        runs.write(f"{digest} {os.getpid()}\n")
    time.sleep(float(os.environ.get("STUB_SECONDS", "0")))
    arguments = [argument for argument in sys.argv[1:] if argument.startswith("--results=")]
    device = "cpu" if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", None) else "NVIDIA H100 of a stub"
    packages = environment.locked(lock) | {"torch": "2.13.0"}
    parts = environment.parts(packages)
    where = Environment(
        packages["transformers"],
        None,
        f"{os.environ['STUB_PYTHON']}.0",  # the one that was asked for, whichever this is
        "a stub",
        device,
        packages,
        digest,
        environment.suite(parts),
        parts,
    )
    claims = ledger.load()
    first = next(claim for claim in claims if claim.executable and claim.holds == {})
    judged = judge_all(claims, [SpecResult("a.py::test", first.id, "claim", "passed")], whole=True)
    results.write(results.document(where, [], judged, 1.0), Path(arguments[0].removeprefix("--results=")))


if __name__ == "__main__":
    main()
