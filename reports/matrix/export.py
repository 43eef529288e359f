"""The matrix for a CI: one job a cell, each of which runs `python -m reports matrix FILE --cell KEY`.

A job of the CI resolves the same lock as of the same day, so its cell has the same key; if the index or the checkout is
another one there is no such cell, and the job says so. The last job collects with the same command.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import yaml  # type: ignore[import-untyped]

from reports.matrix.cells import Cell
from reports.matrix.spec import MatrixError

#: Jobs of one matrix, and bytes of a workflow: https://docs.github.com/en/actions/reference/limits
GITHUB_JOBS, GITHUB_BYTES = 256, 500_000

#: Jobs of one `parallel:matrix`: https://docs.gitlab.com/ci/yaml/#parallelmatrix
GITLAB_JOBS = 200

#: What a job needs beside uv, which builds the cell's environment: the group `cell` of pyproject.toml.
INSTALL = "python -m pip install --quiet --group cell"

FOLDER = "results/matrix"


def github(cells: Sequence[Cell], file: str) -> str:
    """A workflow of GitHub Actions. Cells beyond what one matrix may have go into another one of the same workflow.

    Cells on a GPU ask for a runner that has its kind as a label. Raises MatrixError if the workflow is too long.
    """
    jobs: dict[str, Any] = {}
    for number, part in enumerate(_parts(cells, GITHUB_JOBS), 1):
        rows = [{"key": cell.key, "name": cell.name, "runner": _runner(cell)} for cell in part]
        jobs[f"cells-{number}"] = {
            "name": "${{ matrix.name }}",
            "runs-on": "${{ matrix.runner }}",
            "strategy": {"fail-fast": False, "matrix": {"include": rows}},
            "steps": [
                *_SETUP,
                {"run": _one(file, "${{ matrix.key }}")},
                {
                    "uses": "actions/upload-artifact@v4",
                    "if": "always()",
                    "with": {"name": "cell-${{ matrix.key }}", "path": f"{FOLDER}/*.json"},
                },
            ],
        }
    collect = {
        "needs": list(jobs),
        "if": "always()",
        "runs-on": "ubuntu-latest",
        "steps": [
            *_SETUP,
            {
                "uses": "actions/download-artifact@v4",
                "with": {"pattern": "cell-*", "path": FOLDER, "merge-multiple": True},
            },
            {"run": _all(file)},
        ],
    }
    text = _text({"name": "matrix", "on": {"workflow_dispatch": None}, "jobs": jobs | {"collect": collect}})
    if len(text.encode()) > GITHUB_BYTES:
        raise MatrixError(
            f"{len(cells)} cells make a workflow of {len(text.encode()):,} bytes; GitHub takes {GITHUB_BYTES:,}: "
            "exclude some, export parts (--cell), or use --engine ray"
        )
    return text


def gitlab(cells: Sequence[Cell], file: str) -> str:
    """A pipeline of GitLab, as a child pipeline or by itself. Cells beyond what one matrix may have go into another.

    Cells on a GPU ask for a runner that has its kind as a tag.
    """
    made: dict[str, Any] = {"stages": ["cells", "collect"], "default": {"image": "python:3.11"}}
    kinds: dict[str, list[Cell]] = {}
    for cell in cells:
        kinds.setdefault(cell.at.device, []).append(cell)
    for device, own in kinds.items():
        for number, part in enumerate(_parts(own, GITLAB_JOBS), 1):
            made[f"cells {device} {number}"] = {
                "stage": "cells",
                "script": [*_SCRIPT, _one(file, '"$CELL"')],
                "parallel": {"matrix": [{"CELL": [cell.key for cell in part]}]},
                "artifacts": {"when": "always", "paths": [f"{FOLDER}/*.json"]},
            } | ({} if device == "cpu" else {"tags": [device]})
    # A stage and no `needs`: that may name 50 jobs at most.
    made["collect"] = {"stage": "collect", "when": "always", "script": [*_SCRIPT, _all(file)]}
    return _text(made)


_SETUP: list[dict[str, Any]] = [
    {"uses": "actions/checkout@v4"},
    {"uses": "actions/setup-python@v5", "with": {"python-version": "3.11"}},
    {"run": INSTALL},
]
_SCRIPT = [INSTALL]


def _runner(cell: Cell) -> Any:
    return "ubuntu-latest" if cell.at.device == "cpu" else ["self-hosted", cell.at.device]


def _one(file: str, key: str) -> str:
    return f"python -m reports matrix {shlex.quote(file)} --jobs 1 --cell {key}"


def _all(file: str) -> str:
    return f"python -m reports matrix {shlex.quote(file)} --collect"


def _parts(cells: Sequence[Cell], size: int) -> list[Sequence[Cell]]:
    return [cells[start : start + size] for start in range(0, len(cells), size)]


def _text(made: Any) -> str:
    text: str = yaml.safe_dump(made, sort_keys=False, width=10_000)
    return "# Made by `python -m reports matrix FILE --export`, not by hand.\n" + text
