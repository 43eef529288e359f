"""Try all lies in two processes and print who noticed what: `python -m suite.meta.lies [--all-claims] [--lie NAME]`.

Exit codes: 0 every lie was noticed by each claim it names, and by no claim of another family; 1 one was not; 3 a lie or
the harness broke.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SHARES = 2


def main(arguments: list[str]) -> int:
    """Run the shares side by side, merge what they found, print the table; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{share}.json" for share in range(1, SHARES + 1)]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "suite.meta.lies.plugin",
            "-p",
            "no:cacheprovider",
            "--slow",
        ]
        running = [
            subprocess.Popen([*command, "--lies", str(file), "--share", f"{share}/{SHARES}", *arguments])
            for share, file in enumerate(files, start=1)
        ]
        codes = [process.wait() for process in running]
        if not all(file.exists() for file in files):
            print(f"a share of the lies broke (exit codes {codes})", file=sys.stderr)
            return 3
        found: dict[str, Any] = {}
        for file in files:
            found |= json.loads(file.read_text(encoding="utf-8"))
    print()
    return report(dict(sorted(found.items())))


def report(found: dict[str, Any]) -> int:
    """Print the table of lies, kill rate and precision; returns the exit code."""
    survived, strayed = 0, 0
    print(f"{'lie':<50}{'named':>6}{'caught':>7}{'near':>5}{'far':>5}{'s':>6}")
    for name, entry in found.items():
        families = {claim.partition(".")[0] for claim in entry["claims"]}
        caught = [claim for claim in entry["claims"] if claim in entry["noticed"]]
        others = [claim for claim in entry["noticed"] if claim not in entry["claims"]]
        far = [claim for claim in others if claim.partition(".")[0] not in families]
        survived += len(caught) < len(entry["claims"])
        strayed += bool(far)
        print(
            f"{name[:49]:<50}{len(entry['claims']):>6}{len(caught):>7}{len(others) - len(far):>5}{len(far):>5}"
            f"{entry['seconds']:>6.1f}"
        )
        for claim in sorted(set(entry["claims"]) - set(caught)):
            print(f"    not noticed by {claim}")
        for claim in sorted(far):
            print(f"    noticed by an unrelated claim: {claim}")
    print(f"{len(found)} lies: {len(found) - survived} noticed, {survived} survived; {strayed} noticed elsewhere too")
    return 1 if survived or strayed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
