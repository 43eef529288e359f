"""Turns what pytest saw into spec results, verdicts, an exit code and a result document."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from reports import environment, results, summary
from reports.ledger import REASONS, Claim, Ledger
from reports.verdict import CLAIM_HOLDS, Judged, Role, SpecResult, judge_all

#: Exit codes beside pytest's own (0 agreement, 2 interrupted, 4 usage, 5 nothing selected).
DRIFT, ERROR = pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERNAL_ERROR


def observe(
    report: pytest.TestReport, call: pytest.CallInfo[None], claim: Claim, role: Role, found: dict[str, Any]
) -> SpecResult | None:
    """What one phase of a spec says; None if it says nothing yet (a setup that went well).

    `found` is the evidence that the spec put down. Whatever is neither a pass, a declared refutation nor a declared
    reason not to run is an error: of the harness, until somebody has looked.
    """
    evidence = dict(found)
    if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        evidence["exception"] = {"type": call.excinfo.typename, "message": str(call.excinfo.value)[:1000]}

    def result(outcome: Any, reason: str | None = None, drift: bool = False) -> SpecResult:
        seconds = round(report.duration, 3)
        # xdist appends the group in which it ran a spec; the spec is the same without it
        group = report.nodeid.rfind("@")
        spec = report.nodeid[:group] if group > report.nodeid.rfind("]") else report.nodeid
        return SpecResult(spec, claim.id, role, outcome, seconds, reason, drift, evidence)

    if report.when != "call" and report.passed:
        return None
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        known = reason in (*REASONS, CLAIM_HOLDS)
        return result("not-run", reason) if known else result("error", f"skipped for no known reason: {reason}")
    if report.when != "call":
        return result("error", f"{report.when} failed")
    if report.skipped:
        return result("refuted")
    if report.passed:
        return result("passed")
    if call.excinfo is None:  # a strict xfail that passed
        return result("passed", drift=True)
    expected = claim.refuted_by if role == "claim" else ("AssertionError",)
    if any(_name(kind) in expected for kind in call.excinfo.type.__mro__):
        return result("refuted", drift=True)
    return result("error", f"{call.excinfo.typename}, where {' or '.join(expected)} would refute it")


def _name(kind: type) -> str:
    if kind is pytest.fail.Exception:  # as where nothing was raised under `pytest.raises`
        return "AssertionError"
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


class Recorder:
    """A pytest plugin, registered where results come together: in the only process, or in xdist's controller."""

    def __init__(self, ledger: Ledger, selection: list[str], path: Path | None) -> None:
        self.ledger = ledger
        self.selection = selection
        self.path = path
        self.specs: dict[str, SpecResult] = {}
        self.broken: list[str] = []
        self.deselected = 0
        self.device = "cpu"
        self.usage: str | None = None  # what a worker found wrong with the ledger or the specs
        self.started = time.perf_counter()

    def judged(self) -> list[Judged]:
        """The verdicts so far. Claims that are not executed are listed in a full run only."""
        return judge_all(self.ledger, self.specs.values(), whole=not self.selection)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.deselected += len(items)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(f"{report.nodeid} cannot be collected")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        spec: Any = next((value for key, value in report.user_properties if key == "spec"), None)
        if spec is not None:
            self.specs[spec["id"]] = SpecResult(**spec)
        elif report.failed:  # a test of the suite itself, or a worker that died under a spec
            self.broken.append(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", {})
        self.device = output.get("device", self.device)
        self.usage = output.get("usage", self.usage)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.device = environment.device() if self.device == "cpu" else self.device
        judged = self.judged()
        ended = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        ended = ended and not (session.shouldfail or session.shouldstop) and not self.broken
        if self.usage:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif self.broken or any(entry.verdict == "error" for entry in judged):
            session.exitstatus = ERROR
        elif any(entry.drift for entry in judged) and session.exitstatus != pytest.ExitCode.INTERRUPTED:
            session.exitstatus = DRIFT
        unused = session.exitstatus == pytest.ExitCode.USAGE_ERROR or session.config.option.collectonly
        if self.path is not None and not unused:
            where = environment.describe(environment.installed(), self.device)
            seconds = time.perf_counter() - self.started if ended else None
            results.write(results.document(where, self.selection, judged, seconds), self.path)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.usage:
            terminalreporter.write_line(f"ERROR: {self.usage}", red=True)
        if not self.specs:
            return
        judged = self.judged()
        versions = environment.installed()
        packages = ", ".join(f"{name} {versions.get(name, 'missing')}" for name in ("transformers", "datasets"))
        terminalreporter.write_sep("=", f"the lecture on {packages}")
        for line in summary.lines(self.ledger, judged):
            terminalreporter.write_line(line)
