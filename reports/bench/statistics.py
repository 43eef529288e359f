"""Whether two timings differ: paired, rank-based, and exact where the order within each pair was drawn by chance.

Two contestants run in turns, in an order that is drawn anew for each pair. If they are the same program, each pair
could as well have come out the other way round, whatever the machine does meanwhile: drift, bursts of other work, or
timings that depend on the ones before. That is all that Wilcoxon's signed-rank test asks for. The interval of a ratio
is that test turned round: the ratios it does not reject.

numpy is imported where it computes: who only reads recorded figures does without. Tests compare this with scipy, and
show how often it is wrong (`suite/meta/test_bench_statistics.py`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, stdev
from statistics import median as middle
from typing import Any

#: How often equal contestants may be called different: half of the 1 % that is promised.
ALPHA = 0.005

#: A ratio closer to 1 than this is called no difference however sure it is: it matters to nobody.
SMALLEST = 0.01

#: Pairs from which on 5 % is noticed in 95 of 100 comparisons, on timings that spread by 5 % (standard deviation).
PAIRS = 80

#: That spread, of the ratio within a pair: two timings make it.
_SPREAD = 0.05 * math.sqrt(2)

#: From this many pairs on, the null distribution is taken as normal: beyond it the error is below 1e-4.
_NORMAL = 200

#: The confidence of the interval around a median.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """Time of one contestant over that of another: estimate, interval at 1 - `ALPHA`, number of pairs."""

    estimate: float
    low: float
    high: float
    pairs: int

    @property
    def verdict(self) -> str:
        """`slower`, `faster`, `no difference`, or `too few pairs` where no outcome could have shown one."""
        if self.high == math.inf:
            return "too few pairs"
        if abs(self.estimate - 1) < SMALLEST or self.low <= 1 <= self.high:
            return "no difference"
        return "slower" if self.estimate > 1 else "faster"


@dataclass(frozen=True)
class Median:
    """A median with its interval at `CONFIDENCE`, in the unit of the samples."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Change:
    """A step on the release axis: the time of `newer` over that of `older`, the release before it."""

    older: str
    newer: str
    ratio: Ratio


def ratio(own: Sequence[float], other: Sequence[float]) -> Ratio:
    """`own` over `other`, both of positive times, paired by place. ValueError unless both have as many, at least one.

    The estimate is the Hodges-Lehmann one: the median of the averages of any two log-ratios.
    """
    import numpy as np

    if len(own) != len(other) or len(own) == 0:
        raise ValueError(f"{len(own)} and {len(other)} timings are no pairs")
    logs = np.log(np.asarray(own, dtype=float)) - np.log(np.asarray(other, dtype=float))
    n = len(logs)
    first, second = np.triu_indices(n)
    averages = np.sort((logs[first] + logs[second]) / 2)
    rank = _rank(n)
    low, high = (averages[rank], averages[-1 - rank]) if rank is not None else (-math.inf, math.inf)
    return Ratio(math.exp(float(np.median(averages))), math.exp(low), math.exp(high), n)


def pairs_for(own: Sequence[float], other: Sequence[float]) -> int:
    """From how many pairs on 5 % is noticed in 95 of 100 comparisons, judged by these timings: at least `PAIRS`.

    The number grows with the square of the spread of the log-ratios.
    """
    spread = stdev(math.log(a / b) for a, b in zip(own, other, strict=True))
    return max(PAIRS, math.ceil(PAIRS * (spread / _SPREAD) ** 2))


def median(samples: Sequence[float]) -> Median:
    """The median and the order statistics around it that hold the true one with `CONFIDENCE` (a sign test, turned
    round; it takes the samples for independent). ValueError without samples.

    With fewer than six samples no order statistic is sure enough: the interval is then the range.
    """
    if len(samples) == 0:
        raise ValueError("no samples, no median")
    ordered = sorted(map(float, samples))
    n, below, place = len(ordered), 0.0, 0
    while place < n // 2 and below + math.comb(n, place) / 2**n <= (1 - CONFIDENCE) / 2:
        below += math.comb(n, place) / 2**n
        place += 1
    place = max(place - 1, 0)
    return Median(middle(ordered), ordered[place], ordered[n - 1 - place])


@functools.cache
def _rank(n: int) -> int | None:
    """How many of the smallest averages lie outside the interval: the `ALPHA` / 2 quantile of the signed-rank sum.

    None if even the most extreme outcome is more likely than that, which is so below nine pairs.
    """
    import numpy as np

    if n > _NORMAL:
        spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return int(n * (n + 1) / 4 - _deviations() * spread)
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1.0
    for number in range(1, n + 1):  # each rank is either on the positive side or not
        ways[number:] = ways[number:] + ways[:-number]
        ways /= 2
    most = int(np.searchsorted(np.cumsum(ways), ALPHA / 2, side="right"))
    return most - 1 if most > 0 else None


def _deviations() -> float:
    """The standard normal distribution's quantile of 1 - `ALPHA` / 2."""
    return NormalDist().inv_cdf(1 - ALPHA / 2)


def changes(series: Mapping[str, Sequence[float]]) -> list[Change]:
    """The steps along releases, oldest first: `series` maps a release to its times, those of one place being one round.

    `ruptures` (PELT on the mean of the log times) proposes places; one is named if the two releases beside it differ
    by `ratio`'s verdict. Raises ModuleNotFoundError without ruptures, ValueError if rounds differ in number.
    """
    import numpy as np
    import ruptures

    names = list(series)
    rounds = {len(own) for own in series.values()}
    if len(rounds) > 1:
        raise ValueError(f"releases have {sorted(rounds)} rounds; each round measures all of them")
    if len(names) < 2:
        return []
    logs = np.log(np.asarray([series[name] for name in names], dtype=float))
    # What all releases have in common in a round is the machine's: leave it out.
    centred = logs - np.median(logs, axis=0)
    levels = np.median(centred, axis=1)
    found: Any = ruptures.Pelt(model="l2", min_size=1, jump=1).fit(levels.reshape(-1, 1))
    places = found.predict(pen=_penalty(centred, len(names)))[:-1]  # the last is the end of the series
    named = [Change(names[at - 1], names[at], ratio(series[names[at]], series[names[at - 1]])) for at in places]
    return [change for change in named if change.ratio.verdict in ("slower", "faster")]


def _penalty(centred: Any, releases: int) -> float:
    """By how much a step has to lessen the sum of squares: by more than noise does, and than a step of 2 x `SMALLEST`.

    A step of height h that cuts off one release lessens it by about h ** 2; noise of variance v by about 2 v log n, the
    usual penalty for a change of mean. The variance of a median of r rounds is 1.57 v / r.
    """
    import numpy as np

    deviation = 1.4826 * np.median(np.abs(centred - np.median(centred, axis=1, keepdims=True)))
    noise = 1.57 * float(deviation) ** 2 / centred.shape[1]
    return float(max((2 * SMALLEST) ** 2 / 2, 2 * noise * math.log(max(releases, 2))))
