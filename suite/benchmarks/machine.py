"""The machine that figures were taken on, and who else was on its GPU."""

import os
import platform
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("transformers", "torch", "datasets", "tokenizers", "accelerate", "numpy", "triton", "pytest-benchmark")


def device_name(device: str) -> str:
    """`cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(0) if device == "cuda" else "cpu"


def describe(device: str) -> dict[str, Any]:
    """The table `machine` of a document; see the schema."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": versions(),
        "gpu": _gpu() if device == "cuda" else None,
    }


def versions() -> dict[str, str]:
    """Versions of the installed packages that matter."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpu() -> dict[str, Any]:
    seen = gpu_state()
    return {
        "driver": _query("driver_version")[0],
        "cuda": torch.version.cuda,
        "memory_bytes": torch.cuda.get_device_properties(0).total_memory,
        "begin": seen,
        "busy": while_busy(products("cuda"), gpu_state),
        "end": seen,
    }


def while_busy(work: Callable[[], object], ask: Callable[[], dict[str, Any]], seconds: float = 1.0) -> dict[str, Any]:
    """What `ask()` returns while a thread calls `work()` again and again, and has for some seconds.

    An idle GPU lowers its clocks; the power that it tells is the mean of a second. What either raises is raised.
    """
    enough = threading.Event()

    def go_on() -> None:
        while not enough.is_set():
            work()

    with ThreadPoolExecutor(max_workers=1) as pool:
        working = pool.submit(go_on)
        try:
            time.sleep(seconds)
            found = ask()
        finally:
            enough.set()
        working.result()
    return found


def products(device: str, size: int = 4096) -> Callable[[], object]:
    """A function that keeps a device busy for some ms with matrix products in half precision, and waits for them."""
    left, right = torch.rand(2, size, size, device=device, dtype=torch.float16)

    def multiply() -> None:
        for _ in range(20):
            torch.mm(left, right)
        if device == "cuda":
            torch.cuda.synchronize()

    return multiply


def gpu_state() -> dict[str, Any]:
    """Clocks, temperature, power, and how many other processes are on the GPU (None: the driver does not say)."""
    numbers = _query("clocks.sm", "clocks.mem", "temperature.gpu", "power.draw")
    sm, mem, temperature, power = [float(it) if it and it.replace(".", "").isdigit() else None for it in numbers]
    return {
        "sm_clock_mhz": None if sm is None else int(sm),
        "memory_clock_mhz": None if mem is None else int(mem),
        "temperature_c": None if temperature is None else int(temperature),
        "power_w": power,
        "others": others(),
    }


def others() -> int | None:
    """How many other processes compute on the GPU, as the driver lists them; None if it cannot be asked.

    In a container the driver may list processes by numbers of the outside. So one is left out as this one if this one
    is not found by its number.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
        running = {process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}
    except Exception:  # no such package, no driver, no right to ask
        listed = _nvidia_smi("--query-compute-apps=pid")
        if listed is None:
            return None
        running = {int(line) for line in listed.splitlines() if line.strip().isdigit()}
    return count_others(running, os.getpid(), torch.cuda.is_initialized())


def count_others(running: set[int], own: int, initialised: bool) -> int:
    """The number of `running` that are not this process, `own`, which is on the GPU if it is `initialised`."""
    if own in running:
        return len(running) - 1
    return max(0, len(running) - (1 if initialised else 0))


def _query(*names: str) -> list[str | None]:
    """What the driver says to each name, in one go: it takes a tenth of a second to ask."""
    said = _nvidia_smi(f"--query-gpu={','.join(names)}")
    found = [it.strip() for it in said.splitlines()[0].split(",")] if said else []
    return list(found) if len(found) == len(names) else [None] * len(names)


def _nvidia_smi(query: str) -> str | None:
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits", "--id=0"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
