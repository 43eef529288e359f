"""What becomes of results: `python -m reports COMMAND`.

Exit codes: 0 done; 1 ledger and results disagree (`record`, `sweep`, `matrix`), or a flip has no cause (`culprit`); 2
interrupted; 3 a file cannot be used, or there is no result; 4 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from fixtures.releases import Release, ReleaseError, beside, releases
from reports import archive, compare, culprit, environment, ledger, lies, ranges, readme, results, summary, sweep
from reports.bench import commands as bench
from reports.bench.document import BenchError
from reports.environment import LockError
from reports.matrix import command as matrix
from reports.matrix.spec import MatrixError
from reports.verdict import from_document

README = Path(__file__).parent.parent / "README.md"


class Usage(argparse.ArgumentParser):
    """Exits with 4 on wrong usage, as pytest does."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(4, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(ledger.load(), options))
    except (
        results.ResultError,
        ledger.LedgerError,
        readme.ReadmeError,
        ranges.Contradiction,
        ReleaseError,
        LockError,
        lies.LiesError,
        sweep.SweepError,
        culprit.CulpritError,
        MatrixError,
        BenchError,
    ) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 3
    except OSError as error:  # a full disk, a folder that may not be written: files are written whole or not at all
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:  # or a kill, where a command has something to end
        print("interrupted; what is done is kept, and the same command goes on from there", file=sys.stderr)
        return 2


def _parser() -> Usage:
    parser = Usage(prog="python -m reports", description="What becomes of results.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Usage)
    run = "a recorded release, as 5.23, or the path of a result document"

    show = commands.add_parser("show", help="print the summary of a recorded run")
    show.add_argument("result", type=_path, metavar="RUN", help=run)
    show.set_defaults(run=_show)

    table = commands.add_parser("readme", help="write the README's table from a recorded run")
    table.add_argument("result", type=_path, metavar="RUN", help=run)
    table.add_argument("--check", action="store_true", help="write nothing; fail if the README differs")
    table.set_defaults(run=_readme)

    upgrade = commands.add_parser("compare", help="what changes for somebody who upgrades")
    upgrade.add_argument("before", type=_path, metavar="FROM", help=run)
    upgrade.add_argument("after", type=_path, metavar="TO", help=run)
    upgrade.add_argument("--format", choices=["text", "markdown", "json"], default="text")
    upgrade.set_defaults(run=_compare)

    told = commands.add_parser("lies", help="which claims noticed which lie, as recorded; `tox -e lies` tells them")
    told.set_defaults(run=_lies)

    run_all = commands.add_parser("sweep", help="run the suite on releases, each in its tox environment; resumes")
    run_all.add_argument("minor", nargs="*", metavar="MINOR", help="as 4.57; without: all that are listed")
    run_all.add_argument(
        "--jobs",
        type=sweep.jobs,
        default=sweep.JOBS,
        metavar="N",
        help=f"releases at a time; without: three for two cores, {sweep.JOBS} here",
    )
    run_all.add_argument("--slow", action="store_true", help="with the slow specs: four minutes more for each release")
    run_all.add_argument("--recorded", action="store_true", help="begin with what is recorded, where results/ has none")
    run_all.set_defaults(run=_sweep)

    matrix.add(commands)

    new = commands.add_parser("keep", help="record results of full runs, as results/5.23.json, in reports/results/")
    new.add_argument("result", type=Path, nargs="+", metavar="FILE")
    new.set_defaults(run=_keep)

    page = commands.add_parser("build", help="the page of all recorded runs, or the same for other programs")
    page.add_argument("result", type=_path, nargs="*", metavar="RUN", help=f"{run}; without: all that are recorded")
    page.add_argument("--format", choices=["html", "json", "ranges", "junit"], default="html")
    page.add_argument("-o", "--output", type=Path, metavar="FILE", help="without: page/index.html, or standard output")
    page.add_argument("--watch", action="store_true", help="build anew whenever ledger, results or page change")
    page.set_defaults(run=_build)

    record = commands.add_parser("record", help="propose ranges for the ledger where recorded runs contradict it")
    record.add_argument("result", type=_path, nargs="*", metavar="RUN", help=f"{run}; without: all that are recorded")
    record.set_defaults(run=_record)

    cause = commands.add_parser("culprit", help="which package, and which release of it, made a claim flip")
    cause.add_argument("claim", nargs="*", metavar="CLAIM", help="an id of the ledger")
    cause.add_argument("--all", action="store_true", help="each recorded flip that has no cause in the ledger yet")
    cause.add_argument("--record", action="store_true", help="write each cause into the ledger as it is found")
    cause.add_argument(
        "--jobs", type=sweep.jobs, default=os.cpu_count() or 1, metavar="N", help="pairs of releases at a time"
    )
    cause.add_argument("--link", metavar="URL", help="with --record and one claim: where the change can be read")
    cause.add_argument(
        "--results",
        type=Path,
        default=archive.FOLDER,
        metavar="FOLDER",
        help="of full runs; without: the recorded ones",
    )
    cause.set_defaults(run=_culprit)

    bench.add(commands)
    return parser


def _path(name: str) -> Path:
    if name.endswith(".json"):
        return Path(name)
    recorded = archive.recorded() | archive.beside()
    if name not in recorded:
        raise argparse.ArgumentTypeError(f"no run of {name!r} is recorded; recorded are {', '.join(recorded)}")
    return recorded[name]


def _show(claims: ledger.Ledger, options: argparse.Namespace) -> int:
    judged = from_document(claims, results.read(options.result).claims)
    print("\n".join(summary.lines(claims, judged)))
    return 0


def _readme(claims: ledger.Ledger, options: argparse.Namespace) -> int:
    recorded = {minor: results.read(path) for minor, path in archive.recorded().items()}
    made = readme.table(claims, results.read(options.result), recorded)
    return readme.update(README, made, check=options.check)


def _compare(claims: ledger.Ledger, options: argparse.Namespace) -> int:
    before, after = results.read(options.before), results.read(options.after)
    found = compare.changes(claims, before, after)
    if options.format == "json":
        print(json.dumps(compare.document(before, after, found), indent=1, ensure_ascii=False))
    else:
        print("\n".join((compare.markdown if options.format == "markdown" else compare.lines)(before, after, found)))
    return 0


def _lies(claims: ledger.Ledger, _: argparse.Namespace) -> int:
    found = lies.read()
    print("\n".join(lies.lines(claims, found)))
    if not lies.CROSSED.exists():  # a run of more than an hour, done once
        return lies.failed(claims, found)
    crossed = lies.read_crossed()
    about = {tried.name: (tried.claims, tried.also) for tried in found}
    print("", *lies.crossed(claims, about, crossed), sep="\n")
    return max(lies.failed(claims, found), lies.strayed(claims, about, crossed))


def _keep(_: ledger.Ledger, options: argparse.Namespace) -> int:
    rows = {environment.digest_of(release.lock): release for release in _listed().values()}
    documents: dict[Path, dict[str, Any]] = {archive.FOLDER: {}, archive.BESIDE: {}}
    for path in options.result:
        result = results.read(path)
        if result.selection:
            raise results.ResultError(f"{path}: a part of the suite ({', '.join(result.selection)}); run all of it")
        release = rows.get(result.environment.lock or "")
        if release is None:
            raise results.ResultError(f"{path}: its lock is none of those in fixtures/releases; run it with tox")
        folder = archive.BESIDE if release.beside else archive.FOLDER
        documents[folder][release.minor] = json.loads(path.read_text(encoding="utf-8"))
    for folder, made in documents.items():
        if made:
            archive.keep(made, folder)
    print(f"recorded: {', '.join(name for made in documents.values() for name in made)}", file=sys.stderr)
    return 0


def _listed() -> dict[str, Release]:
    listed = releases()
    return listed | beside(listed)


def _sweep(_: ledger.Ledger, options: argparse.Namespace) -> int:
    listed = _listed()
    if unknown := [minor for minor in options.minor if minor not in listed]:
        minors, others = list(releases()), [name for name, release in listed.items() if release.beside]
        listed_are = f"{minors[0]} to {minors[-1]}, {', '.join(others)}"
        print(f"sweep: no release {', '.join(unknown)}; listed are {listed_are}", file=sys.stderr)
        return 4
    wanted = [listed[minor] for minor in options.minor or listed]
    print(
        f"{len(wanted)} releases, {options.jobs} at a time; at the ends of the lines: how many are done, time left",
        flush=True,
    )
    started, codes, ran = time.monotonic(), [], 0
    for row in sweep.sweep(wanted, options.jobs, slow=options.slow, recorded=options.recorded):
        codes.append(row.code)
        ran += row.seconds > 0
        left = (time.monotonic() - started) / ran * (len(wanted) - len(codes)) if ran else 0
        print(f"{row} {len(codes)}/{len(wanted)}" + (f", {left / 60:.0f} min" if left else ""), flush=True)
    return max(codes, default=0)


def _record(claims: ledger.Ledger, options: argparse.Namespace) -> int:
    recorded = [results.read(path) for path in options.result or (archive.recorded() | archive.beside()).values()]
    proposals = ranges.propose(claims, recorded)
    for proposal in proposals:
        print(f"[{json.dumps(proposal.claim.id)}]  # the ledger is wrong on {', '.join(proposal.wrong)}")
        for package, texts in proposal.ranges or ():
            print(f"holds = {{ {package} = {json.dumps(texts[0] if len(texts) == 1 else texts)} }}")
        if not proposal.ranges:
            print('holds = "never"' if proposal.ranges is None else "# it holds wherever it was measured: no range")
    print(f"{len(recorded)} results, {len(proposals)} claims on which the ledger disagrees with them", file=sys.stderr)
    return 1 if proposals else 0


def _build(_: ledger.Ledger, options: argparse.Namespace) -> int:
    try:
        from reports.page import build  # needs packages that runs do not need
    except ModuleNotFoundError as error:
        print(f"{error.name} is missing: `tox -e report`, or pip install --group page", file=sys.stderr)
        return 3
    return build.run(options.result, options.format, options.output, options.watch)


def _culprit(claims: ledger.Ledger, options: argparse.Namespace) -> int:
    if bool(options.claim) == options.all or (options.link and not (options.record and len(options.claim) == 1)):
        print("culprit: name claims, or give --all; --link goes with --record and one claim", file=sys.stderr)
        return 4
    try:
        asked = [claims[claim_id] for claim_id in options.claim] or list(claims)
    except ledger.UnknownClaim as error:
        print(f"culprit: {error}", file=sys.stderr)
        return 4
    recorded = {minor: results.read(path) for minor, path in archive.recorded(options.results).items()}
    listed = releases()
    found = culprit.flips_of(asked, recorded, listed, every=not options.all)
    if options.all:
        found = [flip for flip in found if not culprit.known(flip, claims[flip.claim], listed)]
    unfound = 0
    with culprit.alone():
        for flip, cause in culprit.causes(found, listed, options.jobs):
            print(f"{flip}\n  {cause}\n", flush=True)
            if isinstance(cause, culprit.Cause):
                if options.record:
                    culprit.record(cause, options.link)
            else:
                unfound += 1
    print(f"{len(found)} flips, {unfound} without a cause", file=sys.stderr)
    return 1 if unfound else 0


if __name__ == "__main__":
    sys.exit(main())
