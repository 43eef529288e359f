"""Try all lies in two processes and print who noticed what: `python -m suite.meta.lies [--lie NAME] [--all-claims]`.

Other arguments go to pytest: the spec files that are concerned make it quick to try a single lie.

Exit codes: 0 every lie was noticed by each claim it names, and by no unrelated one; 1 one was not; 3 a lie or the
harness broke; 4 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from reports import ledger, lies

COMMAND = ["-m", "pytest", "-q", "--no-header", "-p", "suite.meta.lies.plugin", "-p", "no:cacheprovider", "--slow"]


def main(arguments: list[str]) -> int:
    """Run the processes side by side on one list of lies, print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m suite.meta.lies", description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep what came of each lie there, and go on from what is there")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="how many lies at a time (2)")
    parser.add_argument("--record", action="store_true", help=f"write reports/{lies.PATH.name}, too")
    options, others = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lies-") as temporary:
        folder = options.folder or Path(temporary)
        for file in folder.glob("*.json"):
            if not file.read_bytes():
                file.unlink()  # taken by a run that was cut off
        # In one word: pytest looks for its settings beside an argument that is a folder.
        command = [sys.executable, *COMMAND, f"--lies={folder}", *others]
        running = [subprocess.Popen(command) for _ in range(options.processes)]
        codes = [process.wait() for process in running]
        if any(codes):
            print(f"trying lies was broken off (exit codes {codes})", file=sys.stderr)
            return 4 if 4 in codes else 3
        claims = ledger.load()
        found = [_read(claims, file) for file in sorted(folder.glob("*.json"))]
    print("\n\n" + "\n".join(lies.lines(claims, found)))
    if options.record:
        lies.write(found)
    return lies.failed(claims, found)


def _read(claims: ledger.Ledger, file: Path) -> lies.Tried:
    entry = json.loads(file.read_text(encoding="utf-8"))
    strangers = lies.unrelated(claims, entry["claims"], entry["also"], entry["tried"]) if entry["claims"] else []
    kept = {key: entry[key] for key in ("says", "claims", "also", "noticed", "ended")}
    return lies.Tried(name=file.stem, strangers=len(strangers), **kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
