"""The policy of conftest.py, tried on miniature suites: what a run prints, records and exits with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from suite.meta.signals import hear_interrupts

HOUSE = Path(__file__).parents[2]
DRIFT, INTERRUPTED, ERROR, USAGE, NOTHING = 1, 2, 3, 4, 5

LEDGER = """
[deck]
title = "a lecture"
slides = 5
parts = [{ title = "1 all", slides = [1, 5] }]

["sum.two"]
slide = 1
statement = "One and one is two."

["sum.three"]
slide = [2, 3]
statement = "One and one is three."
holds = "never"
correction = "One and one is two."
instead = "1 + 1"

["sum.later"]
slide = 3
statement = "Sums can be long."
not_run = "not written yet"

["sum.picture"]
slide = 4
statement = "The picture shows a sum."
not_executable = "a picture"
"""

SPECS = '''
import pytest

@pytest.mark.claim("sum.two")
def test_two(evidence):
    """One and one is two."""
    evidence["sum"] = 1 + 1
    assert 1 + 1 == 2

@pytest.mark.claim("sum.three")
def test_three():
    """One and one is three."""
    assert 1 + 1 == 3

@pytest.mark.correction("sum.three")
def test_still_two():
    """One and one is two."""
    assert 1 + 1 == 2
'''


class Suite:
    """A suite in a folder of its own, under the real conftest.py and the real reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("conftest.py", "pyproject.toml", "fixtures", "reports"):
            (folder / name).symlink_to(HOUSE / name)
        for part in ("hub", "loading", "data", "training"):
            (folder / "suite" / part).mkdir(parents=True)
        self.ledger(LEDGER)
        self.specs(SPECS)

    def ledger(self, text: str) -> None:
        (self.folder / "suite" / "claims.toml").write_text(text, encoding="utf-8")

    def specs(self, text: str) -> None:
        (self.folder / "suite" / "data" / "test_sums.py").write_text(text, encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pytest", "-o", "cache_dir=.cache", "--results", "r.json", *arguments]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=os.environ | {"COLUMNS": "80"} | variables,
            capture_output=True,
            text=True,
            timeout=120,
        )
        done.stdout += done.stderr
        return done

    @property
    def result(self) -> dict:
        return json.loads((self.folder / "r.json").read_text())


@pytest.fixture
def suite(tmp_path):
    return Suite(tmp_path)


@pytest.mark.parametrize("parallel", [(), ("-n", "2")], ids=["one-process", "two-processes"])
def test_agreement_is_recorded_and_told(suite, parallel):
    """A run that agrees with the ledger exits with 0, writes the document and prints refutations with corrections."""
    done = suite.run(*parallel)

    assert done.returncode == 0, done.stdout
    claims = suite.result["claims"]
    assert {claim: entry["verdict"] for claim, entry in claims.items()} == {
        "sum.two": "holds",
        "sum.three": "refuted",
        "sum.later": "not-run",
        "sum.picture": "not-executable",
    }
    assert claims["sum.two"]["specs"][0]["evidence"] == {"sum": 2}
    assert claims["sum.three"]["specs"][1]["evidence"]["exception"]["type"] == "AssertionError"
    assert claims["sum.two"]["specs"][0]["id"] == "suite/data/test_sums.py::test_two"
    footer = suite.result["footer"]
    assert (footer["claims"], footer["holds"], footer["refuted"], footer["drift"]) == (4, 1, 1, 0)
    assert "sum.three  (slide 2, 3)" in done.stdout
    assert "instead  One and one is two." in done.stdout
    assert "write\n      1 + 1" in done.stdout


def test_output_fits_eighty_columns(suite):
    """No line of the summary is wider than a terminal of 80 columns."""
    suite.ledger(LEDGER.replace("is three.", "is three" + ", as everybody knows" * 20 + "."))

    done = suite.run("-q")

    summary = done.stdout[done.stdout.index("the lecture on") :]
    assert max(map(len, summary.splitlines())) <= 80


def test_claim_that_stops_holding_is_drift(suite):
    """A claim refuted against the ledger: exit code 1, and the claim is named."""
    suite.specs(SPECS.replace("assert 1 + 1 == 2", "assert 1 + 1 == 4, 'one and one is not four'", 1))

    done = suite.run()

    assert done.returncode == DRIFT, done.stdout
    assert suite.result["claims"]["sum.two"]["verdict"] == "refuted"
    assert suite.result["footer"]["drift"] == 1
    assert "sum.two: refuted here, the ledger says it holds" in done.stdout
    assert "one and one is not four" in done.stdout


def test_expected_exception_that_does_not_come_is_drift(suite):
    """Where nothing is raised under `pytest.raises`, the claim is refuted as by an assertion."""
    suite.specs(SPECS.replace("    assert 1 + 1 == 2", "    with pytest.raises(KeyError):\n        1 + 1", 1))

    done = suite.run()

    assert done.returncode == DRIFT, done.stdout
    assert "sum.two: refuted here, the ledger says it holds" in done.stdout


def test_claim_that_starts_holding_is_drift(suite):
    """A claim that holds against the ledger: exit code 1 as well."""
    suite.specs(SPECS.replace("1 + 1 == 3", "1 + 2 == 3"))

    done = suite.run()

    assert done.returncode == DRIFT, done.stdout
    assert suite.result["claims"]["sum.three"]["verdict"] == "holds"
    assert "sum.three: holds here, the ledger says it is refuted" in done.stdout


def test_correction_that_is_not_true_is_drift(suite):
    """The correction has to pass where the claim is refuted."""
    head, tail = SPECS.rsplit("1 + 1 == 2", 1)
    suite.specs(head + "1 + 1 == 5" + tail)

    done = suite.run()

    assert done.returncode == DRIFT, done.stdout
    assert suite.result["claims"]["sum.three"]["verdict"] == "refuted"
    assert "sum.three: its correction is not true here" in done.stdout


def test_correction_does_not_run_where_the_claim_holds(suite):
    """Where there is nothing to correct, its spec is not run, and says so."""
    suite.ledger(LEDGER.replace('"never"', '{ pytest = ">=8" }'))
    suite.specs(SPECS.replace("1 + 1 == 3", "1 + 2 == 3"))

    done = suite.run()

    assert done.returncode == 0, done.stdout
    specs = {spec["role"]: spec for spec in suite.result["claims"]["sum.three"]["specs"]}
    assert (specs["correction"]["outcome"], specs["correction"]["reason"]) == ("not-run", "the claim holds here")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("raise KeyError('x')", id="other-exception"),
        pytest.param("pytest.skip('tired')", id="skip-without-reason"),
    ],
)
def test_everything_undeclared_is_an_error(suite, body):
    """Another exception than the declared one, or a skip outside the vocabulary, is the harness's: exit code 3."""
    suite.specs(SPECS.replace("assert 1 + 1 == 2", body, 1))

    done = suite.run()

    assert done.returncode == ERROR, done.stdout
    assert suite.result["claims"]["sum.two"]["verdict"] == "error"
    assert "errors (1)" in done.stdout


def test_undeclared_exception_does_not_refute(suite):
    """A refuted claim whose spec breaks in another way than declared is an error, not a refutation."""
    suite.specs(SPECS.replace("assert 1 + 1 == 3", "int('three')"))

    assert suite.run().returncode == ERROR
    suite.ledger(LEDGER.replace('holds = "never"', 'holds = "never"\nrefuted_by = ["TypeError", "ValueError"]'))
    assert suite.run().returncode == 0
    # The package that another release raises through may be missing here.
    suite.ledger(LEDGER.replace('holds = "never"', 'holds = "never"\nrefuted_by = ["old_http.Broken", "ValueError"]'))
    assert suite.run().returncode == 0


@pytest.mark.parametrize("when", ["setup", "teardown"])
def test_broken_fixture_is_an_error(suite, when):
    """A fixture that fails says nothing about the claim, also not about a refuted one."""
    fixture = "raise AssertionError" if when == "setup" else "yield; raise AssertionError"
    suite.specs(SPECS.replace("test_three()", "test_three(broken)") + f"\n@pytest.fixture\ndef broken(): {fixture}\n")

    done = suite.run()

    assert done.returncode == ERROR, done.stdout
    assert suite.result["claims"]["sum.three"]["verdict"] == "error"


def test_module_that_cannot_be_imported_is_an_error(suite):
    """A suite that cannot be collected has no result: exit code 3 and no footer."""
    suite.specs("import nothing_of_that_name\n" + SPECS)

    done = suite.run()

    assert done.returncode == ERROR, done.stdout
    assert "footer" not in suite.result


def test_dead_worker_is_an_error(suite):
    """A process that dies under a spec is reported, and the run has no footer."""
    suite.specs(SPECS.replace("assert 1 + 1 == 2", "import os; os._exit(9)", 1))

    done = suite.run("-n", "2")

    assert done.returncode == ERROR, done.stdout
    assert "footer" not in suite.result


@pytest.mark.parametrize("stop", [("-x",), ("-x", "-n", "2")], ids=["one-process", "two-processes"])
def test_stopped_run_has_no_footer(suite, stop):
    """After -x the document has what was judged so far, and no footer."""
    many = '@pytest.mark.parametrize("number", range(50))\ndef test_two(number, evidence)'
    suite.specs(SPECS.replace("def test_two(evidence)", many).replace("assert 1 + 1 == 2", "assert 1 + 1 == 4", 1))

    suite.run(*stop)

    assert "footer" not in suite.result
    assert suite.result["claims"]["sum.two"]["verdict"] == "refuted"
    assert len(suite.result["claims"]["sum.two"]["specs"]) < 50


def test_interrupted_run_has_no_footer(suite):
    """Ctrl-C ends with exit code 2 and a document without a footer."""
    suite.specs(
        SPECS.replace("assert 1 + 1 == 3", "import pathlib, time; pathlib.Path('here').touch(); time.sleep(60)")
    )
    process = subprocess.Popen(
        suite.command(),
        cwd=suite.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=hear_interrupts,
    )
    deadline = time.monotonic() + 60
    while not (suite.folder / "here").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == INTERRUPTED, output
    assert "footer" not in suite.result
    assert suite.result["claims"]["sum.two"]["verdict"] == "holds"


@pytest.mark.parametrize(
    ("options", "judged"),
    [
        pytest.param(("--slide", "1"), {"sum.two"}, id="slide"),
        pytest.param(("--slide", "2"), {"sum.three"}, id="second-slide"),
        pytest.param(("--claims", "*.t*"), {"sum.two", "sum.three"}, id="glob"),
        pytest.param(("-k", "two"), {"sum.two"}, id="keyword"),
        pytest.param(("--claims", "sum.three", "-n", "2"), {"sum.three"}, id="two-processes"),
    ],
)
def test_selection_is_judged_and_named(suite, options, judged):
    """A part of the suite gives a document that says which part."""
    done = suite.run(*options)

    assert done.returncode == 0, done.stdout
    assert set(suite.result["claims"]) == judged
    assert suite.result["selection"] == [" ".join(options[:2])]
    assert suite.result["footer"]["claims"] == len(judged)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(("--slide", "6"), "there is no slide 6: the deck has slides 1 to 5", id="slide-past-the-end"),
        pytest.param(("--slide", "5"), "slide 5 claims nothing", id="slide-without-claims"),
        pytest.param(("--claims", "mul.*"), "no claim matches 'mul.*'", id="no-match"),
        pytest.param(("--slide", "1", "--claims", "sum.three"), "slide 1 has no claim 'sum.three'", id="nothing-left"),
        pytest.param(("--slide", "1", "--claims", "sum.three", "-n", "2"), "slide 1 has no claim", id="two-processes"),
        pytest.param(("--results=",), ". is a folder; name a file in it", id="result-without-name"),
        pytest.param(("--results", "suite"), "suite is a folder; name a file in it", id="result-is-a-folder"),
        pytest.param(
            ("--results", "suite/claims.toml/r.json", "-n", "2"), "cannot be written: ", id="result-below-a-file"
        ),
    ],
)
def test_wrong_usage_is_told(suite, options, message):
    """What cannot be selected or written is an error of usage before anything runs: exit code 4, no document."""
    done = suite.run(*options)

    assert done.returncode == USAGE, done.stdout
    assert message in done.stdout
    assert not (suite.folder / "r.json").exists()


@pytest.mark.parametrize(
    ("ledger", "specs", "message"),
    [
        pytest.param(LEDGER + "['a.b']\nslide = 1", SPECS, "UnknownKey: a.b: lacks statement", id="ledger"),
        pytest.param(
            LEDGER.replace("sum.two", "sum.2"), SPECS, "SpecWithoutClaim: suite/data/test_sums.py::test_two", id="spec"
        ),
        pytest.param(
            LEDGER, SPECS.replace('"sum.two"', '"sum.later"'), "the ledger has sum.later as not written", id="not-run"
        ),
        pytest.param(LEDGER.replace("not_run", "#"), SPECS, "ClaimWithoutSpec: sum.later: no spec", id="no-spec"),
        pytest.param(
            LEDGER, SPECS.replace("correction(", "claim("), "ClaimWithoutSpec: sum.three: refuted", id="no-correction"
        ),
        pytest.param(LEDGER, SPECS + "\ndef test_stray(): pass\n", "test_stray: needs one marker", id="no-marker"),
        pytest.param(
            LEDGER.replace('holds = "never"', 'holds = "never"\nrefuted_by = "TypoError"'),
            SPECS,
            "refuted_by = 'TypoError' is no exception",
            id="exception",
        ),
    ],
)
@pytest.mark.parametrize("parallel", [(), ("-n", "2")], ids=["one-process", "two-processes"])
def test_ledger_and_specs_have_to_fit(suite, ledger, specs, message, parallel):
    """A wrong ledger, a spec without a claim, a claim without a spec: named, exit code 4."""
    suite.ledger(ledger)
    suite.specs(specs)

    done = suite.run(*parallel)

    assert message in done.stdout
    assert done.returncode == USAGE, done.stdout


def test_last_failed_runs_again(suite):
    """`--lf` runs what drifted, as anywhere."""
    suite.specs(SPECS.replace("assert 1 + 1 == 2", "assert 1 + 1 == 4", 1))
    suite.run()

    done = suite.run("--lf")

    assert done.returncode == DRIFT, done.stdout
    assert set(suite.result["claims"]) == {"sum.two"}


def test_markers_say_why_a_spec_was_not_run(suite):
    """Slow, no GPU, package too old, package missing: not-run with that reason, never a pass."""
    markers = ["slow", "gpu", "needs('pytest>=999')", "needs('no-such-package')"]
    reasons = ["slow", "no GPU", "package too old for the call", "optional package missing"]
    for marker, reason in zip(markers, reasons, strict=True):
        suite.specs(SPECS.replace("@", f"@pytest.mark.{marker}\n@", 1))
        done = suite.run()
        assert done.returncode == 0, done.stdout
        assert suite.result["claims"]["sum.two"]["verdict"] == "not-run"
        assert suite.result["claims"]["sum.two"]["reason"] == reason
        assert f"1 {reason}" in " ".join(done.stdout.split())


def test_slow_specs_run_on_demand(suite):
    """`--slow` runs them."""
    suite.specs(SPECS.replace("@", "@pytest.mark.slow\n@", 1))

    suite.run("--slow")

    assert suite.result["claims"]["sum.two"]["verdict"] == "holds"


def test_lock_that_is_not_installed_is_refused(suite):
    """A result names the lock it was built from; another environment must not use that name."""
    assert "nowhere.txt" in suite.run(CLAIMS_LOCK="nowhere.txt").stdout
    (suite.folder / "other.txt").write_text("pytest==1.0 \\\n    --hash=sha256:0\n")

    done = suite.run(CLAIMS_LOCK=str(suite.folder / "other.txt"))

    assert done.returncode == USAGE
    assert "(locked: 1.0); build the environment anew" in done.stdout


def test_real_hub_is_asked_where_one_wants_it(suite, hub):
    """With `--hub real` only the specs that allow it run, against the endpoint of the user."""
    hub.model("bert-base-uncased", {"config.json": '{"model_type": "bert"}'})
    asks = """import os, urllib.request
    urllib.request.urlopen(os.environ["HF_ENDPOINT"] + "/api/models/bert-base-uncased")"""
    suite.specs(SPECS.replace("@", "@pytest.mark.real_hub\n@", 1).replace("assert 1 + 1 == 2", asks, 1))

    done = suite.run("--hub", "real", HF_ENDPOINT=hub.url)

    assert done.returncode == 0, done.stdout
    assert set(suite.result["claims"]) == {"sum.two"}
    assert suite.result["selection"] == [f"--hub {hub.url}"]
    assert [request.path for request in hub.log] == ["/api/models/bert-base-uncased"] * 2


def test_real_hub_that_does_not_answer_is_told(suite):
    """Without a network `--hub real` is an error of usage, never a pass."""
    done = suite.run("--hub", "real", HF_ENDPOINT="http://127.0.0.1:9")

    assert done.returncode == USAGE
    assert "--hub real: http://127.0.0.1:9 does not answer" in done.stdout
