"""`python -m reports bench`: show, compare, record and draw figures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from reports.bench import document, tables

README = Path(__file__).parents[2] / "README.md"


def add(commands: Any) -> None:
    """Add the command `bench` to those of `python -m reports`."""
    parser = commands.add_parser(
        "bench",
        help="figures of `tox -e bench`: show, compare, keep, plot; without more: all that is recorded",
    )
    parser.set_defaults(run=_show, figures=None)
    kinds = parser.add_subparsers(dest="what", parser_class=type(parser))
    name = "a recorded name, as cpu-5.23.0, or the path of a file of figures"

    show = kinds.add_parser("show", help="tables of recorded figures")
    show.add_argument("figures", nargs="*", type=_path, metavar="FIGURES", help=f"{name}; without: all")
    show.set_defaults(run=_show)

    two = kinds.add_parser("compare", help="two saved runs, on one device")
    two.add_argument("before", type=_path, metavar="FROM", help=name)
    two.add_argument("after", type=_path, metavar="TO", help=name)
    two.set_defaults(run=_compare)

    new = kinds.add_parser("keep", help="record files of figures in reports/results/bench/")
    new.add_argument("figures", nargs="+", type=Path, metavar="FILE")
    new.set_defaults(run=_keep)

    plot = kinds.add_parser("plot", help="draw recorded figures as SVG files")
    plot.add_argument("figures", nargs="*", type=_path, metavar="FIGURES", help=f"{name}; without: all")
    plot.add_argument("-o", "--output", type=Path, default=Path("page"), metavar="FOLDER", help="without: page/")
    plot.set_defaults(run=_plot)

    text = kinds.add_parser("readme", help="write the README's section from what is recorded")
    text.add_argument("--check", action="store_true", help="write nothing; fail if the README differs")
    text.set_defaults(run=_readme)


def _path(name: str) -> Path:
    if name.endswith(".json"):
        return Path(name)
    recorded = document.recorded()
    if name not in recorded:
        known = ", ".join(recorded) or "nothing yet"
        raise argparse.ArgumentTypeError(f"no figures of {name!r} are recorded; recorded is {known}")
    return recorded[name]


def _all(options: argparse.Namespace) -> list[Path]:
    return list(options.figures or document.recorded().values())


def _show(_: Any, options: argparse.Namespace) -> int:
    paths = _all(options)
    if not paths:
        print("no figures are recorded; `tox -e bench` measures, `python -m reports bench keep FILE` records")
    for place, path in enumerate(paths):
        if place:
            print("\n" + "-" * 80 + "\n")
        print("\n".join(tables.lines(document.read(path))))
    return 0


def _compare(_: Any, options: argparse.Namespace) -> int:
    print("\n".join(tables.compared(document.read(options.before), document.read(options.after))))
    return 0


def _keep(_: Any, options: argparse.Namespace) -> int:
    for path in document.keep(options.figures):
        made = document.read(path)
        print(f"recorded: {path.name}", file=sys.stderr)
        for mark in tables.marks(made):
            print(f"  marked: {mark}", file=sys.stderr)
    return 0


def _plot(_: Any, options: argparse.Namespace) -> int:
    try:
        from reports.bench import plots
    except ModuleNotFoundError as error:
        print(f"{error.name} is missing: pip install --group page", file=sys.stderr)
        return 3
    options.output.mkdir(parents=True, exist_ok=True)
    for path in _all(options):
        for place, plot in enumerate(plots.plots(document.read(path))):
            file = options.output / f"{path.stem}-{place}.svg"
            file.write_text(plot.svg, encoding="utf-8")
            print(f"{file}: {plot.title}", file=sys.stderr)
    return 0


def _readme(_: Any, options: argparse.Namespace) -> int:
    made = [document.read(path) for path in document.recorded().values()]
    return tables.update(README, made, options.check)
