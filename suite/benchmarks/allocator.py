"""How the C library hands out memory while something is measured. Imports no library: it comes before their threads.

By default glibc takes large tensors from the kernel at each step and gives them back, unless a hole that an earlier
object has left is large enough; threads have no such holes at all. Mapping the pages anew takes half of a small
training step on a CPU, so that figures told what had run before in the process, and in which thread.
"""

import ctypes
import os
from typing import Any

#: Parameters of `mallopt`, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_freed() -> bool:
    """From now on, all threads share one heap, and what is freed stays in it. Whether the C library can do that."""
    settings = {M_ARENA_MAX: 1, M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1}
    mallopt = _function("mallopt")
    return mallopt is not None and all(mallopt(name, value) for name, value in settings.items())


def give_back() -> None:
    """Give the kernel what is free in the heap: who looks at a block's memory does not miss what it uses again."""
    if (trim := _function("malloc_trim")) is not None:
        trim(0)


def _function(name: str) -> Any:
    """A function of glibc; None in other C libraries."""
    return getattr(ctypes.CDLL(None), name, None) if os.name == "posix" else None
