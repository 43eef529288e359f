"""The result document: one JSON file per run, checked against `results.schema.json` when written and when read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jsonschema

from reports import archive
from reports.verdict import VERDICTS, Judged

SCHEMA = json.loads((Path(__file__).parent / "results.schema.json").read_text(encoding="utf-8"))


class ResultError(ValueError):
    """A result document cannot be used; the message names the file and what is wrong."""


class UnreadableResult(ResultError):
    """The file is missing, cut off, or not JSON."""


class OtherSchema(ResultError):
    """The document does not follow this version's schema."""


class MissingFooter(ResultError):
    """The run was interrupted: its document has no footer."""


class WrongFooter(ResultError):
    """The footer's counts are not those of the claims above it."""


@dataclass(frozen=True)
class Environment:
    """Where a run took place: releases, device, the lock file its packages came from (if from one), the suite.

    `suite` is the digest of the specs and of all that they share, `parts` has one for each file of specs.
    """

    release: str
    as_of: str | None
    python: str
    platform: str
    device: str
    packages: Mapping[str, str]
    lock: str | None
    suite: str
    parts: Mapping[str, str]


@dataclass(frozen=True)
class Result:
    """A finished run, as read from its document. `claims` maps an id to its table in the document."""

    environment: Environment
    selection: tuple[str, ...]
    claims: Mapping[str, Mapping[str, Any]]
    footer: Mapping[str, Any]


def counts(verdicts: Sequence[tuple[str, bool]]) -> dict[str, int]:
    """The footer's counts, from each claim's (verdict, drift)."""
    counted = Counter(verdict for verdict, _ in verdicts)
    return (
        {"claims": len(verdicts)}
        | {verdict: counted[verdict] for verdict in VERDICTS}
        | {"drift": sum(drift for _, drift in verdicts)}
    )


def document(
    environment: Environment, selection: Sequence[str], judged: Sequence[Judged], seconds: float | None
) -> dict[str, Any]:
    """The document of a run. `seconds` is its wall time, or None if it did not finish: then it has no footer."""
    claims = {}
    for entry in judged:
        specs = [{key: value for key, value in asdict(spec).items() if key != "claim"} for spec in entry.specs]
        claims[entry.claim.id] = {
            "verdict": entry.verdict,
            "reason": entry.reason,
            "drift": entry.drift,
            "specs": specs,
        }
    made = {"schema": 1, "environment": asdict(environment), "selection": list(selection), "claims": claims}
    if seconds is not None:
        made["footer"] = counts([(entry.verdict, entry.drift) for entry in judged]) | {
            "seconds": round(seconds, 1),
            "finished": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    return made


def write(made: Mapping[str, Any], path: Path) -> None:
    """Write a document in one step: a reader sees the old file or the new one, never half of it."""
    jsonschema.validate(made, SCHEMA)
    path.parent.mkdir(parents=True, exist_ok=True)
    archive.write(path, json.dumps(made, indent=1, ensure_ascii=False) + "\n")


def read(path: Path, follows_schema: Callable[[Any], bool] = lambda made: False) -> Result:
    """Read the document of a finished run. Raises the ResultError that says why it can't be used.

    Who reads dozens of documents may give a faster check of the schema; what it does not pass is checked as usual.
    """
    made = full(path, follows_schema)
    return Result(
        environment=Environment(**made["environment"]),
        selection=tuple(made["selection"]),
        claims=made["claims"],
        footer=made["footer"],
    )


def full(path: Path, follows_schema: Callable[[Any], bool] = lambda made: False) -> dict[str, Any]:
    """The document of a finished run as the run wrote it, also from a recorded one; arguments and errors of `read`."""
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableResult(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UnreadableResult(f"{path}: cut off, or not JSON ({error}); run it again") from error
    try:
        if not follows_schema(made):
            jsonschema.validate(made, SCHEMA)
    except jsonschema.ValidationError as error:
        raise OtherSchema(f"{path}: {error.json_path}: {error.message[:200]}") from error
    if "footer" not in made:
        raise MissingFooter(f"{path}: no footer, the run was interrupted; run it again")
    counted = counts([(claim["verdict"], claim["drift"]) for claim in made["claims"].values()])
    if wrong := {key: made["footer"][key] for key in counted if made["footer"][key] != counted[key]}:
        raise WrongFooter(f"{path}: the footer says {wrong}, its claims say {counted}; the file was edited")
    try:
        return archive.expand(made, path.parent)
    except (archive.MissingEvidence, ValueError) as error:
        raise UnreadableResult(f"{path}: {error}; record it again") from error


def schema_check() -> Callable[[Any], bool]:
    """Whether a document follows the schema, in a tenth of the time that `jsonschema` takes: for `read`."""
    import fastjsonschema  # runs do without this package

    text = json.loads(json.dumps(SCHEMA))
    del text["$schema"]  # it knows drafts up to 7; the keywords that the schema uses mean the same in both
    validate = fastjsonschema.compile(text, use_default=False, use_formats=False)

    def check(made: Any) -> bool:
        try:
            validate(made)
        except fastjsonschema.JsonSchemaValueException:
            return False
        return True

    return check
