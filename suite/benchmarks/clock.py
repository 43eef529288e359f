"""Timers, by device: functions that return seconds, as pytest-benchmark's option `timer` takes them."""

import time
from collections.abc import Callable
from typing import Any

import torch

Timer = Callable[[], float]


class CudaTimer:
    """Seconds since it was made, by CUDA events; each call waits until the GPU has done all it was given.

    An event's time is a 32-bit float of milliseconds: measured from one start it would be coarse after some minutes. So
    each call measures from the call before, and the sum is kept in 64 bits. `cuda` stands in for `torch.cuda` in tests.
    """

    def __init__(self, cuda: Any = torch.cuda) -> None:
        self._cuda = cuda
        self._now = 0.0
        self._last = self._event()

    def __call__(self) -> float:
        event = self._event()
        self._now += self._last.elapsed_time(event) / 1000
        self._last = event
        return self._now

    def _event(self) -> Any:
        self._cuda.synchronize()  # all streams: an event is about its own alone
        event = self._cuda.Event(enable_timing=True)
        event.record()
        event.synchronize()
        return event


def timer(device: str) -> Timer:
    """The timer for work on "cpu" or "cuda"."""
    return CudaTimer() if device == "cuda" else time.perf_counter
