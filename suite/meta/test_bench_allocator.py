"""The benchmarks' allocator: a block costs the same in each thread, whatever ran before, and its memory is seen."""

import subprocess
import sys
from pathlib import Path

import pytest

from suite.benchmarks import allocator

HOUSE = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(allocator._function("malloc_trim") is None, reason="no glibc")

#: Page faults of twenty large blocks, one after the other, in a thread.
FAULTS = """
import resource, sys, threading
from suite.benchmarks import allocator
if sys.argv[1] == "kept":
    assert allocator.keep_freed()
def blocks():
    bytearray(1 << 26)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        bytearray(1 << 26)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() >> 26)
thread = threading.Thread(target=blocks)
thread.start()
thread.join()
"""


def test_freed_memory_is_kept():
    """By default each block's pages are mapped anew, twenty times; kept, they are there already."""
    faults = {
        how: int(subprocess.run([sys.executable, "-c", FAULTS, how], cwd=HOUSE, capture_output=True, check=True).stdout)
        for how in ("default", "kept")
    }
    assert faults["default"] >= 15
    assert faults["kept"] == 0


def test_memory_that_is_used_again_is_seen():
    """A second block's peak is that of the first, although the heap had its memory."""
    code = """
from suite.benchmarks import allocator, memory
allocator.keep_freed()
print(*(memory.peak(lambda: bytearray(1 << 26), "cpu")[0] >> 20 for _ in range(2)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, check=True)
    first, second = map(int, done.stdout.split())
    assert first >= 60
    assert second >= 60
