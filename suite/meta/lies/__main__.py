"""Try all lies in two processes and print who noticed what: `python -m suite.meta.lies [--lie NAME] [--cross]`.

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

from reports import archive, ledger, lies
from suite.meta.lies import LieError, pools
from suite.meta.lies import lies as known

COMMAND = ["-m", "pytest", "-q", "--no-header", "-p", "suite.meta.lies.plugin", "-p", "no:cacheprovider", "--slow"]


def main(arguments: list[str]) -> int:
    """Run the processes side by side on one list of lies, print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m suite.meta.lies", description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep what came of each lie there, and go on from what is there")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="how many lies at a time (2)")
    parser.add_argument(
        "--record", action="store_true", help="write reports/lies.json, or reports/lies-cross.json, too"
    )
    parser.add_argument("--cross", action="store_true", help="tell every lie to all unrelated claims, many at a time")
    parser.add_argument("--lie", metavar="NAME", action="append", default=[], help="this lie alone (may be repeated)")
    options, others = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lies-") as temporary:
        folder = options.folder or Path(temporary)
        for file in folder.glob("*.json"):
            if not file.read_bytes():
                file.unlink()  # taken by a run that was cut off
        # In one word: pytest looks for its settings beside an argument that is a folder.
        command = [sys.executable, *COMMAND, f"--lies={folder}", *others]
        if options.cross:
            command.append(f"--pools={_pooled(folder / 'pools', options.lie)}")
        else:
            command += [f"--lie={name}" for name in options.lie]
        running = [subprocess.Popen(command) for _ in range(options.processes)]
        codes = [process.wait() for process in running]
        if any(codes):
            print(f"trying lies was broken off (exit codes {codes})", file=sys.stderr)
            return 4 if 4 in codes else 3
        claims = ledger.load()
        files = sorted(folder.glob("*.json"))
        if options.cross:
            return _crossed(claims, files, options.record)
        found = [_read(claims, file) for file in files]
    print("\n\n" + "\n".join(lies.lines(claims, found)))
    if options.record:
        lies.write(found)
    return lies.failed(claims, found)


def _pooled(file: Path, names: list[str]) -> Path:
    """Which lies are told together: what the file says, if there is one, so that a run goes on with the same pools.

    Without names all lies are. Raises LieError if there is no lie of a name.
    """
    if not file.exists():
        told = known()
        if unknown := set(names) - set(told):
            raise LieError(f"no such lie: {', '.join(sorted(unknown))}; see suite/meta/lies/")
        file.parent.mkdir(parents=True, exist_ok=True)
        archive.write(file, json.dumps(pools.pools(ledger.load(), [told[name] for name in names or told])))
    return file


def _crossed(claims: ledger.Ledger, files: list[Path], record: bool) -> int:
    """Print what came of pools, and record it beside what is known of other lies; returns the exit code."""
    entries = [entry for file in files for entry in json.loads(file.read_text(encoding="utf-8"))]
    found = [lies.Together(**{**entry, "tried": len(entry["tried"])}) for entry in entries]
    about = {lie.name: (lie.claims, lie.also) for lie in known().values()}
    print("\n\n" + "\n".join(lies.crossed(claims, about, found)))
    if record:
        recorded = lies.read_crossed() if lies.CROSSED.exists() else []
        lies.write_crossed(lies.merged(recorded, found, about))
    return lies.strayed(claims, about, found)


def _read(claims: ledger.Ledger, file: Path) -> lies.Tried:
    entry = json.loads(file.read_text(encoding="utf-8"))
    strangers = lies.unrelated(claims, entry["claims"], entry["also"], entry["tried"]) if entry["claims"] else []
    kept = {key: entry[key] for key in ("says", "claims", "also", "noticed", "ended")}
    return lies.Tried(name=file.stem, strangers=len(strangers), **kept)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LieError as error:
        print(error, file=sys.stderr)
        sys.exit(4)
