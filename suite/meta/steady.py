"""The unchanged library, judged many times: the verdicts are the same under each seed, in any order, next year.

`python -m suite.meta.steady [--seeds 20] [--folder FOLDER] [--processes 2]`; other arguments go to pytest. The runs are
one for each seed, one in random order, one in two processes, and one with the clock a year ahead (by `libfaketime`, if
it is installed). Result files stay in the folder, if it is given, and a run whose file is finished is not repeated.

Exit codes: 0 all verdicts are equal and none is drift; 1 not so; 2 wrong usage; 3 a run broke.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from reports import results
from reports.results import Result

COMMAND = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:benchmark")
AHEAD = "a year ahead"

#: Where pytest finds its settings.
HOUSE = Path(__file__).parents[2]

#: Seconds after which a run is taken to wait for ever; a whole one takes minutes.
PATIENCE = 3600


def main(arguments: Sequence[str]) -> int:
    """Run what has not been run, print what differs; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m suite.meta.steady", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="how many seeds (20)")
    parser.add_argument("--folder", type=Path, help="keep the results there, and go on from what is there")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="how many runs at a time (2)")
    options, others = parser.parse_known_args(arguments)
    if options.seeds < 1 or options.processes < 1:
        parser.error("--seeds and --processes count from 1")
    with tempfile.TemporaryDirectory(prefix="steady-") as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(options.processes) as pool:
            works = {
                name: pool.submit(_run, name, command, folder, others) for name, command in runs(options.seeds).items()
            }
            found = {name: work.result() for name, work in works.items()}
    if AHEAD not in found:
        print(f"{AHEAD:<16} not run: libfaketime is not installed")
    broken = [name for name, result in found.items() if result is None]
    whole = {name: result for name, result in found.items() if result is not None}
    different = differing(whole)
    print(*different, sep="\n", end="\n" if different else "")
    same = "differing" if different else "equal"
    print(f"{len(whole)} runs, {same} sets of verdicts" + (f"; broken: {', '.join(broken)}" if broken else ""))
    return 3 if broken else int(bool(different))


def runs(seeds: int) -> dict[str, list[str]]:
    """The command of each run by its name."""
    alone = [*COMMAND, "-n", "0"]
    commands = {f"seed {seed}": [*alone, f"--claims-seed={seed}"] for seed in range(1, seeds + 1)}
    commands["random order"] = [*alone, "-p", "randomly", "--randomly-seed=1"]
    commands["two processes"] = [*COMMAND, "-n", "2"]
    if find_spec("libfaketime"):
        # It moves the calendar, not what waits are counted on: locks would never be given. Debian's `faketime` 0.9.10
        # does so, too, but then `time.sleep` is an OSError.
        from libfaketime import get_reload_information

        _, variables = get_reload_information()
        variables = {"FAKETIME": "+1y"} | variables
        commands[AHEAD] = ["env", *(f"{name}={value}" for name, value in variables.items()), *alone]
    return commands


def differing(found: Mapping[str, Result]) -> list[str]:
    """A line for each drift, and for each verdict on a claim that is another one than in the first run."""
    lines: list[str] = []
    first: Mapping[str, str] = {}
    for name, result in found.items():
        verdicts = {claim: str(table["verdict"]) for claim, table in result.claims.items()}
        first = first or verdicts
        lines += [f"{name:<16} {claim}: drift" for claim, table in result.claims.items() if table["drift"]]
        lines += [
            f"{name:<16} {claim}: {verdicts.get(claim, 'missing')}, at first {first.get(claim, 'missing')}"
            for claim in sorted({*first, *verdicts})
            if first.get(claim) != verdicts.get(claim)
        ]
    return lines


def _run(name: str, command: Sequence[str], folder: Path, others: Sequence[str]) -> Result | None:
    """The result of a run, from its file if that is finished; None, and its last words, if it broke."""
    file = folder / f"{name.replace(' ', '-')}.json"
    started = time.perf_counter()
    with suppress(results.ResultError):
        return results.read(file)
    command = [*command, f"--results={file}", *others]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=HOUSE)
        result = results.read(file)
    except subprocess.TimeoutExpired:
        print(f"{name:<16} no end after {PATIENCE} s", file=sys.stderr, flush=True)
        return None
    except results.ResultError as error:
        print(f"{name:<16} {error}\n{done.stdout[-2000:]}{done.stderr[:2000]}", file=sys.stderr, flush=True)
        return None
    drift = result.footer["drift"]
    print(f"{name:<16} {len(result.claims)} claims, {drift} drift {time.perf_counter() - started:>7.1f} s", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
