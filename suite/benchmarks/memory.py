"""Peak memory of a block, apart from its timing: who looks at the memory disturbs the clock."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import torch

from suite.benchmarks import allocator

#: Seconds between two looks.
INTERVAL = 0.01


def anonymous_bytes() -> int:
    """Memory of this process and its children that is no file's: what `datasets` maps from disk does not count.

    A page that several of them share, as after a fork, counts once. Where /proc does not tell: all resident memory.
    """
    own = psutil.Process()
    try:
        children = own.children(recursive=True)
    except psutil.Error:  # one of them ended meanwhile
        children = []
    return sum(_anonymous(process) for process in (own, *children))


def _anonymous(process: psutil.Process) -> int:
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
    except OSError:  # it ended, or the kernel has no such file
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it ended
        return 0


@contextlib.contextmanager
def watched() -> Iterator[Callable[[], int]]:
    """A function that returns by how many bytes anonymous memory rose at most above what it was before."""
    allocator.give_back()
    before = peak = anonymous_bytes()
    stop = threading.Event()

    def look() -> None:
        nonlocal peak
        while not stop.wait(INTERVAL):
            peak = max(peak, anonymous_bytes())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield lambda: max(peak, anonymous_bytes()) - before
    finally:
        stop.set()
        watcher.join()


def peak(block: Callable[[], Any], device: str) -> tuple[int, int | None]:
    """Bytes that `block` takes at most above what was there before, on the host and on the GPU (None without)."""
    before = 0
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    with watched() as risen:
        block()
        host = risen()
    return host, torch.cuda.max_memory_allocated() - before if device == "cuda" else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the GPU's memory is full: torch's, CUDA's, or that of a library such as cuBLAS."""
    said = str(error).lower()
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in said or "alloc_failed" in said


def largest(fits: Callable[[int], bool], start: int, step: int = 8, most: int = 65_536) -> int:
    """The largest batch that fits: doubled from `start` until one does not, then halved in to a 16th.

    Returns a multiple of `step` (of `start` below it), or 0 if not even `start` fits.
    """
    if not fits(start):
        return 0
    good, bad = start, start * 2
    while bad <= most and fits(bad):
        good, bad = bad, bad * 2
    while bad - good > max(step, good // 16):
        middle = (good + bad) // 2 // step * step
        if middle <= good:
            break
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def release() -> None:
    """Give back what Python and torch keep for later."""
    import gc

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
