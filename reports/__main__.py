"""What becomes of results: `python -m reports COMMAND`.

Exit codes: 0 done; 3 a result or the ledger cannot be used; 4 wrong usage (as pytest's).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reports import ledger, readme, results, summary
from reports.verdict import from_document

README = Path(__file__).parent.parent / "README.md"


class Usage(argparse.ArgumentParser):
    """Exits with 4 on wrong usage, as pytest does."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(4, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = Usage(prog="python -m reports", description="What becomes of results.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Usage)
    show = commands.add_parser("show", help="print the summary of a recorded run")
    show.add_argument("file", type=Path, help="a result document, as reports/results/5.23.json")
    table = commands.add_parser("readme", help="write the README's table from a recorded run")
    table.add_argument("file", type=Path, help="a result document, as reports/results/5.23.json")
    table.add_argument("--check", action="store_true", help="write nothing; fail if the README differs")
    options = parser.parse_args(arguments)
    try:
        result = results.read(options.file)
        claims = ledger.load()
        if options.command == "show":
            print("\n".join(summary.lines(claims, from_document(claims, result.claims))))
            return 0
        return readme.update(README, readme.table(claims, result), check=options.check)
    except (results.ResultError, ledger.LedgerError, readme.ReadmeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
