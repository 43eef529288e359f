"""The comparison of timings keeps its promises: equal is called equal, 5 % is noticed, steps are named."""

import math

import numpy as np
import pytest
from scipy.stats import binom, wilcoxon

from reports.bench import document
from reports.bench.statistics import ALPHA, PAIRS, changes, median, pairs_for, ratio

ruptures = pytest.importorskip("ruptures", reason="the library that detects steps; dependency group bench")

#: Experiments of each kind on synthetic timings.
EXPERIMENTS = 3_000


def steady(draw, n):
    """Timings that spread by 5 %."""
    return draw.lognormal(0, 0.05, n)


def drifting(draw, n):
    """The machine gets 30 % slower meanwhile."""
    return np.linspace(1, 1.3, n) * draw.lognormal(0, 0.04, n)


def bursty(draw, n):
    """One in ten takes up to twice as long."""
    return draw.lognormal(0, 0.03, n) * np.where(draw.random(n) < 0.1, 1 + draw.random(n), 1)


def heavy(draw, n):
    """A tail without a variance."""
    return 1 + 0.02 * draw.pareto(1.5, n)


def related(draw, n):
    """Each depends on the one before (0.7), with a spread of 5 %."""
    noise = draw.normal(0, 0.05 * math.sqrt(1 - 0.7**2), n)
    for place in range(1, n):
        noise[place] += 0.7 * noise[place - 1]
    return np.exp(noise)


def ordered(draw, n):
    """The second of a pair is 3 % faster: it finds the caches filled."""
    timings = draw.lognormal(0, 0.04, n)
    timings[1::2] *= 0.97
    return timings


KINDS = [steady, drifting, bursty, heavy, related, ordered]


def pairs(draw, kind, slowdown):
    """Two contestants in turns on one machine: its timings in the order of time, dealt out by chance in each pair."""
    time = kind(draw, 2 * PAIRS).reshape(PAIRS, 2)
    first = draw.random(PAIRS) < 0.5
    one, other = np.where(first, time[:, 0], time[:, 1]), np.where(first, time[:, 1], time[:, 0])
    return one * (1 + slowdown), other


def noticed(kind, slowdown):
    """How many of `EXPERIMENTS` are called slower, and called different."""
    draw = np.random.default_rng(7)
    verdicts = [ratio(*pairs(draw, kind, slowdown)).verdict for _ in range(EXPERIMENTS)]
    return verdicts.count("slower"), EXPERIMENTS - verdicts.count("no difference")


@pytest.mark.parametrize("kind", KINDS)
def test_equal_is_called_equal(kind):
    """A/A shows no difference in at least 99 of 100 experiments, however the timings spread, drift and depend."""
    _, different = noticed(kind, 0)

    # The promise is 1 %; the test's own level is half of that, and this count is not above it but by chance (1e-6).
    assert different <= binom.isf(1e-6, EXPERIMENTS, ALPHA)
    assert different <= 0.01 * EXPERIMENTS


@pytest.mark.parametrize("kind", KINDS)
def test_five_percent_is_noticed(kind):
    """A slowdown of 5 % is called slower in at least 95 of 100 experiments."""
    slower, _ = noticed(kind, 0.05)

    assert slower >= 0.95 * EXPERIMENTS


def test_timings_that_scatter_need_more_pairs():
    """As many as are asked for, judged by 200 of them, notice 5 % in at least 95 of 100 experiments."""
    draw = np.random.default_rng(7)
    asked = pairs_for(*draw.lognormal(0, 0.1, (2, 200)))
    slower = [ratio(1.05 * draw.lognormal(0, 0.1, asked), draw.lognormal(0, 0.1, asked)).verdict for _ in range(400)]

    assert 3 * PAIRS < asked < 5 * PAIRS
    assert slower.count("slower") >= 0.95 * len(slower)
    assert pairs_for([1.0, 2.0], [1.0, 2.0]) == PAIRS


@pytest.mark.parametrize("n", [9, 10, 12, 20, 60, 199, 250])
def test_interval_is_the_test_turned_round(n):
    """The interval holds 1 exactly where scipy's signed-rank test does not reject."""
    draw = np.random.default_rng(n)
    for _ in range(40):
        one, other = draw.lognormal(0.02, 0.05, n), draw.lognormal(0, 0.05, n)
        found = ratio(one, other)
        p = wilcoxon(np.log(one) - np.log(other), method="exact" if n < 200 else "approx").pvalue
        assert (found.low <= 1 <= found.high) == (p > ALPHA)


def test_few_pairs_say_nothing():
    """Below nine pairs no outcome is rare enough."""
    found = ratio([2.0] * 8, [1.0] * 8)

    assert found.verdict == "too few pairs"
    assert found.estimate == pytest.approx(2)
    assert ratio([2.0] * 9, [1.0] * 9).verdict == "slower"


def test_what_matters_to_nobody_is_no_difference():
    """0.5 % is sure, and called no difference all the same."""
    other = np.random.default_rng(0).lognormal(0, 0.0001, 60)

    assert ratio(other * 1.005, other).verdict == "no difference"
    assert ratio(other * 0.97, other).verdict == "faster"


@pytest.mark.parametrize(("one", "other"), [([], []), ([1.0], [1.0, 2.0])])
def test_no_pairs_are_refused(one, other):
    """With both numbers."""
    with pytest.raises(ValueError, match="are no pairs"):
        ratio(one, other)


@pytest.mark.parametrize("n", [6, 11, 60])
def test_median_interval_is_exact(n):
    """The interval holds the true median in at least 95 %: the tails of the sign test, and not one place wider."""
    found = median([float(it) for it in range(n)])
    place = int(found.low)

    assert found.high == n - 1 - place
    assert 2 * binom.cdf(place - 1 if place else -1, n, 0.5) <= 0.05
    assert 2 * binom.cdf(place, n, 0.5) <= 0.05 or place == 0
    assert 2 * binom.cdf(place + 1, n, 0.5) > 0.05


# --- steps ------------------------------------------------------------------------------------------------------------


def series(levels, seed=0, rounds=30, spread=0.05):
    """Timings of releases 1, 2, ...; what a round has in common is the machine's."""
    draw = np.random.default_rng(seed)
    machine = draw.lognormal(0, 0.1, rounds)
    return {str(name): level * machine * draw.lognormal(0, spread, rounds) for name, level in enumerate(levels, 1)}


@pytest.mark.parametrize(
    ("levels", "named"),
    [
        ([1.0] * 9, []),
        ([1.0] * 5 + [1.2] * 4, [("5", "6")]),
        ([1.2] + [1.0] * 8, [("1", "2")]),
        ([1.0] * 8 + [0.9], [("8", "9")]),
        ([1.0] * 3 + [1.3] * 3 + [1.1] * 3, [("3", "4"), ("6", "7")]),
        ([1.0] * 30 + [1.1] * 29, [("30", "31")]),
    ],
)
def test_steps_are_named(levels, named):
    """Between the releases where they are, on 20 draws; a level line has none."""
    for seed in range(20):
        found = changes(series(levels, seed))
        assert [(it.older, it.newer) for it in found] == named, seed
        for it in found:
            expected = levels[int(it.newer) - 1] / levels[int(it.older) - 1]
            assert it.ratio.low <= expected * 1.02
            assert it.ratio.high >= expected * 0.98


def test_level_line_rarely_has_a_step():
    """On nine releases without a change, at most 1 in 100 sessions names one."""
    assert sum(bool(changes(series([1.0] * 9, seed))) for seed in range(300)) <= 3


def test_rounds_have_to_be_whole():
    """A release with fewer rounds than others cannot be compared by round."""
    with pytest.raises(ValueError, match=r"\[1, 2\] rounds"):
        changes({"1": [1.0, 1.0], "2": [1.0]})


# --- on real timings --------------------------------------------------------------------------------------------------


def evidence():
    return [(path.stem, it) for path in document.recorded().values() for it in document.read(path).get("evidence", ())]


def test_recorded_evidence_keeps_the_promises():
    """`python -m suite.benchmarks.evidence` was run on real timings, and what it recorded says the same."""
    found = evidence()
    if not found:
        pytest.skip("not recorded yet: python -m suite.benchmarks.evidence")
    assert {it["slowdown"] > 0 for _, it in found} == {True, False}
    for name, it in found:
        share = it["differences"] / it["experiments"]
        assert it["experiments"] >= 100, name
        assert share >= 0.95 if it["slowdown"] else share <= 0.01, (name, it["name"])
