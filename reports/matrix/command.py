"""`python -m reports matrix`: plan, list, run, collect and export the cells of a matrix, or simulate many of them."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reports import environment, results, sweep
from reports.ledger import Ledger
from reports.matrix import cells, cluster, durations, local, spec
from reports.matrix.cells import Cell, Results
from reports.matrix.node import Outcome

DEFAULT = spec.FOLDER / "releases.toml"
FOLDER = environment.HOUSE / "results" / "matrix"

#: Seconds that building an environment, or running a cell, may take: a slow full run takes a tenth of it.
LIMIT = 1800.0


def add(commands: Any) -> None:
    """Add the command to those of `python -m reports`."""
    parser = commands.add_parser("matrix", help="run the suite on a matrix of releases, packages, Pythons and devices")
    parser.add_argument(
        "file", nargs="?", type=Path, default=DEFAULT, metavar="FILE", help="without: the listed minors"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="list the cells, longest first, with what they will take")
    what.add_argument("--collect", action="store_true", help="run nothing: say what is there, as from jobs of a CI")
    what.add_argument("--export", choices=["github", "gitlab"], help="print the matrix for a CI, one job a cell")
    what.add_argument("--simulate", action="store_true", help="print a table: 10,000 such cells on 1 to 1,000 nodes")
    what.add_argument("--keep-durations", action="store_true", help="record what cells took, for estimates elsewhere")
    what.add_argument("--find-patches", action="store_true", help="ask the index for patch releases, and list them")
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help="processes here, or Ray")
    parser.add_argument("--address", metavar="HOST:PORT", help="of a Ray cluster; without: RAY_ADDRESS, or a local one")
    parser.add_argument(
        "--jobs", type=sweep.jobs, default=os.cpu_count() or 1, metavar="N", help="cells at a time, on this machine"
    )
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS", help="for building, and for a run")
    parser.add_argument("--results", type=Path, default=FOLDER, metavar="FOLDER", help="without: results/matrix")
    parser.add_argument("--cell", action="append", default=[], metavar="KEY", help="this cell alone; may be repeated")
    parser.add_argument(
        "--against", type=Path, metavar="FOLDER", help="with --collect: where verdicts are not as there"
    )
    parser.set_defaults(run=run)


def run(_: Ledger, options: argparse.Namespace) -> int:
    """Do what was asked for; returns the exit code. Raises MatrixError."""
    if (options.address and options.engine != "ray") or (options.against and not options.collect):
        said = "--address goes with --engine ray, --against with --collect"
        print(f"matrix: {said}", file=sys.stderr)
        return 4
    if options.find_patches:
        return durations.find_patches()
    if options.keep_durations:
        return durations.keep(Results(options.results).entries.values())
    if options.simulate:
        return _simulate()
    matrix = spec.load(options.file)
    found, problems = cells.resolve(matrix, options.results, options.jobs, ask=not options.dry_run)
    if options.cell:
        found, problems = cells.chosen(found, options.cell), {}
    known = Results(options.results, options.engine)
    taken = cells.estimates(found, durations.read() | known.entries)
    found.sort(key=lambda cell: -taken[cell.key])
    if options.export:
        return _export(options, found, problems)
    if options.dry_run:
        return _list(found, problems, known, taken, matrix, options.jobs)
    for reason, count in matrix.excluded.items():
        print(f"excluded: {count} combinations: {reason}")
    broken = [sweep.Row(at.name, None, f"no result: {problem}", 0) for at, problem in problems.items()]
    if options.collect:
        return _collect(found, broken, known, options)
    with sweep.alone(options.results):
        return _run(found, broken, known, options)


def _run(found: Sequence[Cell], broken: Sequence[sweep.Row], known: Results, options: argparse.Namespace) -> int:
    there = {cell.key: known.done(cell) for cell in found}
    rows = [row for row in there.values() if row]
    left = [cell for cell in found if not there[cell.key]]
    count, codes = len(found) + len(broken), []
    started, spent = time.monotonic(), 0.0
    ends: list[float] = []
    for row in (*rows, *broken):
        codes.append(row.code)
        print(f"{cells.line(row)}  {len(codes)}/{count}", flush=True)
    for cell, outcome in _outcomes(left, options):
        row = known.accept(cell, outcome)
        codes.append(row.code)
        spent += outcome.build + outcome.run
        ends.append(wall := time.monotonic() - started)
        more = wall / (len(codes) - len(rows) - len(broken)) * (count - len(codes))
        place = f" on {outcome.node}" if options.engine == "ray" and outcome.node else ""
        print(
            f"{cells.line(row)}{place}  {len(codes)}/{count}" + (f", {more / 60:.0f} min left" if more else ""),
            flush=True,
        )
    if left:
        wall = time.monotonic() - started
        print(f"{len(left)} cells ran: {spent:.1f} s of cells in {wall:.1f} s of wall time", file=sys.stderr)
        if not options.address:
            workers = min(options.jobs, len(left))
            # When no cell waits any more, each one that ends leaves a worker idle: not the engine's doing.
            idle = sum(wall - end for end in ends[-workers:])
            busy = wall * workers - idle
            print(
                f"{spent / busy:.1%} of {workers} workers' time while cells waited, {(busy - spent) / len(left):.2f} s "
                f"beside a cell; {idle:.0f} s idle at the end",
                file=sys.stderr,
            )
    return max(codes, default=0)


def _outcomes(left: Sequence[Cell], options: argparse.Namespace) -> Iterator[tuple[Cell, Outcome]]:
    by_key = {cell.key: cell for cell in left}
    jobs = [cell.job(options.limit) for cell in left]
    if not jobs:
        return
    if options.engine == "ray":
        outcomes: Iterator[Outcome] = cluster.run(jobs, options.jobs, options.address)
    else:
        outcomes = local.run(jobs, options.jobs)
    for outcome in outcomes:
        yield by_key[outcome.key], outcome


def _collect(found: Sequence[Cell], broken: Sequence[sweep.Row], known: Results, options: argparse.Namespace) -> int:
    if not options.results.is_dir():
        raise spec.MatrixError(f"{options.results}: no such folder; run the matrix, or download what a CI kept")
    rows = [known.done(cell) or sweep.Row(cell.name, None, "no result: run it", 0) for cell in found]
    for row in (*rows, *broken):
        print(cells.line(row))
    codes = [row.code for row in (*rows, *broken)]
    if options.against:
        codes.append(_differences(found, options))
    return max(codes, default=0)


def _differences(found: Iterable[Cell], options: argparse.Namespace) -> int:
    """Compare the verdicts of each cell with those in another folder; 1 if any differs or a cell is not there."""
    same, other, check = 0, 0, results.schema_check()
    for cell in found:
        try:
            here, there = (
                results.read(folder / cell.result, check).claims for folder in (options.results, options.against)
            )
        except results.ResultError as error:
            print(f"{cell.name}: {error}")
            other += 1
            continue
        differing = [claim for claim in {*here, *there} if cells.verdict(here, claim) != cells.verdict(there, claim)]
        same, other = same + (not differing), other + bool(differing)
        for claim in sorted(differing):
            print(f"{cell.name}: {claim}: {cells.verdict(here, claim)}, there {cells.verdict(there, claim)}")
    print(f"{same} cells with the same verdicts as in {options.against}, {other} without", file=sys.stderr)
    return 1 if other else 0


def _list(
    found: Sequence[Cell],
    problems: dict[spec.Combination, str],
    known: Results,
    taken: dict[str, float],
    matrix: spec.Matrix,
    jobs: int,
) -> int:
    left = []
    for cell in found:
        done = known.done(cell) is not None
        left += [] if done else [taken[cell.key]]
        print(f"{cell.key}  {'done' if done else f'{taken[cell.key]:.0f} s':>6}  {cell.name}")
    for at, problem in problems.items():
        print(f"{'-':<12}  {'':>6}  {at.name}: {problem}")
    for reason, count in matrix.excluded.items():
        print(f"excluded: {count} combinations: {reason}")
    waiting = [cells.UNKNOWN if not left else sum(left) / len(left)] * len(problems)
    seconds = sum(left) + sum(waiting)
    hours = f"{seconds / 3600:.1f} hours of one core"
    print(
        f"{len(found) + len(problems)} cells, {len(found) - len(left)} done, {len(problems)} without a lock; "
        f"about {hours}, {max(seconds / jobs, *left, 0.0) / 60:.0f} min with --jobs {jobs}"
    )
    return 0


def _export(options: argparse.Namespace, found: Sequence[Cell], problems: dict[spec.Combination, str]) -> int:
    try:
        from reports.matrix import export  # needs a package that runs do not need
    except ModuleNotFoundError as error:
        raise spec.MatrixError(f"{error.name} is missing: pip install --group matrix") from None
    for at, problem in problems.items():
        print(f"left out: {at.name}: {problem}", file=sys.stderr)
    file = options.file.resolve()
    inside = file.relative_to(environment.HOUSE) if file.is_relative_to(environment.HOUSE) else options.file
    print((export.github if options.export == "github" else export.gitlab)(found, inside.as_posix()), end="")
    return 3 if problems else 0


def _simulate() -> int:
    try:
        from reports.matrix import simulate  # needs a package that runs do not need
    except ModuleNotFoundError as error:
        raise spec.MatrixError(f"{error.name} is missing: pip install --group matrix") from None
    print(simulate.table(durations.read().values()))
    return 0
