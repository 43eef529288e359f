"""The exact tests keep their word: how rarely they raise a false alarm, and what they notice."""

import ast
import math
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

import fixtures.normal
from fixtures.statistics import ALPHA, BUDGET, TOKENS, assert_binomial, binomial_bounds, power, sign_flip_p

SUITE = Path(__file__).parent.parent

# The smallest number of tokens chosen from a draw, and of random ones where the draw has a quarter of the tokens, all
# of them chosen.
CHOSEN = binomial_bounds(TOKENS, 0.15)[0]
RANDOM_OF_ALL = binomial_bounds(TOKENS // 4, 0.1)[0]


def tail(n, p, counts):
    """The exact probability of the counts, in rational numbers."""
    return sum(math.comb(n, k) * Fraction(p) ** k * (1 - Fraction(p)) ** (n - k) for k in counts)


@pytest.mark.parametrize("n", [1, 2, 40, 200])
@pytest.mark.parametrize("p", [0.0, 2**-10, 0.15, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("alpha", [ALPHA, 0.01])
def test_bounds_are_exact(n, p, alpha):
    """Each tail beyond the bounds has at most half of alpha, and the bounds are the tightest that do."""
    least, most = binomial_bounds(n, p, alpha)

    half = Fraction(alpha) / 2
    assert tail(n, p, range(least)) <= half
    assert tail(n, p, range(most + 1, n + 1)) <= half
    assert least == n or tail(n, p, range(least + 1)) > half
    assert most == 0 or tail(n, p, range(most, n + 1)) > half


def test_power_is_exact():
    """The power is the probability of the counts beyond the bounds."""
    least, most = binomial_bounds(200, 0.15)

    beyond = tail(200, 0.3, range(least)) + tail(200, 0.3, range(most + 1, 201))

    assert power(200, 0.15, 0.3) == pytest.approx(float(beyond), rel=1e-9)


@pytest.mark.parametrize("n", [1, 40, TOKENS])
def test_no_difference_is_no_alarm(n):
    """Where nothing is wrong, the alarm is raised with a probability of at most ALPHA."""
    assert power(n, 0.15, 0.15) <= ALPHA


@pytest.mark.parametrize(
    ("n", "p", "q"),
    [
        pytest.param(TOKENS, 0.15, 0.14, id="14 % of the tokens chosen"),
        pytest.param(TOKENS, 0.15, 0.16, id="16 % of the tokens chosen"),
        pytest.param(TOKENS, 0.15, 0.145, id="14.5 % of the tokens chosen"),
        pytest.param(TOKENS, 0.15, 0.155, id="15.5 % of the tokens chosen"),
        pytest.param(CHOSEN, 0.8, 0.78, id="78/11/11: mask"),
        pytest.param(CHOSEN, 0.1, 0.11, id="78/11/11 and 79/11/10: random or kept"),
        pytest.param(CHOSEN, 0.8, 0.79, id="79/11/10: mask"),
        pytest.param(CHOSEN, 0.1, 0.12, id="80/12/8: random"),
        pytest.param(CHOSEN, 0.1, 0.08, id="80/12/8: kept"),
        pytest.param(CHOSEN, 0.8, 1.0, id="100/0/0: mask"),
        pytest.param(RANDOM_OF_ALL, 0.5, 1.0, id="replacements from half of the vocabulary"),
        pytest.param(RANDOM_OF_ALL, 0.5, 0.53, id="replacements from a vocabulary with a bend"),
        pytest.param(RANDOM_OF_ALL, 4 / 4_998, 0.0, id="replacements without special tokens"),
        pytest.param(TOKENS // 3, 0.15**2, 0.15 * 0.17, id="neighbours chosen together a little more often"),
    ],
)
def test_what_is_noticed(n, p, q):
    """A share of q instead of p is noticed with a probability of 0.999 or more."""
    assert power(n, p, q) >= 0.999


def test_message_reads_alone():
    """The message has the count, the share, what it should be and how sure that is."""
    message = r"^chosen tokens: 1,400 of 10,000 \(14\.0000%\), but should be 2,\d+ to 2,\d+ \(25\.0000%; .* 1e-08\)$"
    with pytest.raises(AssertionError, match=message):
        assert_binomial(1_400, 10_000, probability=0.25, what="chosen tokens")


def test_no_events_are_no_test():
    """A test without events is refused: it could not fail."""
    with pytest.raises(ValueError, match="nothing to test"):
        assert_binomial(0, 0, probability=0.5, what="tokens")


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0, 2.0, 3.0], 1 / 8),  # only the signs seen have a sum of 6
        ([1.0, 2.0, -3.0], 5 / 8),  # a sum of 0, which is symmetric: the two zero sums and the three above
        ([-1.0, -2.0, -3.0], 1.0),
        ([0.0, 0.0], 1.0),
        ([0.1] * 12, 1 / 4096),
    ],
)
def test_sign_flips_are_counted(differences, p):
    """The p-value is the share of the sign patterns whose sum is as large as the one seen."""
    assert sign_flip_p(differences) == p


# --- the budget -------------------------------------------------------------------------------------------------------

STATISTICAL = ("assert_binomial", "assert_normal")
REPEATS = (
    *(ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
    *(ast.FunctionDef, ast.Lambda),
)


def assertions(source):
    """Test name -> how many statistical assertions one run of it makes; ValueError where that cannot be told.

    A property makes them once per example, whose number has to be written out. A call in a loop, in an inner function
    or outside a test is refused.
    """
    found = {}
    for function in ast.parse(source).body:
        calls = _calls(function)
        if not calls:
            continue
        if not (isinstance(function, ast.FunctionDef) and function.name.startswith("test_")):
            raise ValueError(f"line {function.lineno}: a statistical assertion outside a test")
        if any(_calls(node) for node in ast.walk(function) if isinstance(node, REPEATS) and node is not function):
            raise ValueError(f"line {function.lineno}: a statistical assertion in a loop or in an inner function")
        decorators = {_name(decorator): decorator for decorator in function.decorator_list}
        if "given" in decorators and "settings" not in decorators:
            raise ValueError(f"line {function.lineno}: a property needs @settings(max_examples=...)")
        found[function.name] = calls * (_examples(decorators["settings"]) if "given" in decorators else 1)
    return found


def _calls(node):
    return sum(isinstance(part, ast.Call) and _name(part) in STATISTICAL for part in ast.walk(node))


def _name(node):
    called = node.func if isinstance(node, ast.Call) else node
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def _examples(settings):
    return next(keyword.value.value for keyword in settings.keywords if keyword.arg == "max_examples")


def test_budget_is_kept():
    """All statistical assertions of the suite together raise a false alarm in at most one run of a million."""
    # Collected, since some tests have a case for each of what the release exports.
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    listed = subprocess.run(command, cwd=SUITE.parent, capture_output=True, text=True, timeout=300, check=True).stdout
    cases = Counter(re.findall(r"^(suite/[\w/]+\.py)::(\w+)", listed, re.MULTILINE))

    spent = {}
    for path in {path for path, _ in cases}:
        for name, each in assertions((SUITE.parent / path).read_text(encoding="utf-8")).items():
            spent[f"{path}::{name}"] = each * cases[path, name]

    assert all(spent.values()), "a test was not collected"
    assert fixtures.normal.ALPHA == ALPHA
    assert 0 < sum(spent.values()) * ALPHA <= BUDGET, spent


def test_assertions_and_examples_are_counted():
    """Each call counts, and each example of a property."""
    source = """
@pytest.mark.parametrize("x", [1, 2, 3])
def test_cases(x):
    assert_binomial(x, 3, probability=0.5, what="x")
    statistics.assert_normal(x, scale=0.5, what="x")

@given(st.floats())
@settings(max_examples=20)
def test_property(x):
    assert_binomial(x, 3, probability=0.5, what="x")

def test_other():
    assert True
"""
    assert assertions(source) == {"test_cases": 2, "test_property": 20}


@pytest.mark.parametrize(
    "source",
    [
        "def helper():\n    assert_binomial(1, 2)",
        "def test_x():\n    for n in range(9):\n        assert_binomial(1, n)",
        "def test_x():\n    [assert_binomial(1, n) for n in range(9)]",
        "def test_x():\n    def inner():\n        assert_binomial(1, 2)",
        "@given(x)\ndef test_x(x):\n    assert_binomial(1, x)",
    ],
    ids=["helper", "loop", "comprehension", "inner function", "property"],
)
def test_what_cannot_be_counted_is_refused(source):
    """An assertion that may run any number of times is not let in."""
    with pytest.raises(ValueError, match=r"^line \d"):
        assertions(source)
