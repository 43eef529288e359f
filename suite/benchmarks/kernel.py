"""`kernel.c`, compiled with the machine's C compiler when it is first asked for."""

import ctypes
import functools
import importlib.util
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch

SOURCE = Path(__file__).with_name("kernel.c")


class NoCompiler(RuntimeError):
    """There is no C compiler, or it does not compile the kernel."""


@functools.cache
def library() -> Any:
    """The kernel's functions, by name. Raises NoCompiler.

    It is compiled for this very processor, in a folder that is gone with the process. `CC` names the compiler.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise NoCompiler(f"no C compiler ({compiler[0]}); install one, or name it in CC")
    folder = Path(tempfile.mkdtemp(prefix="kernel-"))
    shared = folder / "kernel.so"
    command = [*compiler, "-O3", "-march=native", "-shared", "-fPIC", "-o", str(shared), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(folder)
        raise NoCompiler(f"{' '.join(command)}: {done.stderr.strip()[:500]}")
    loaded = ctypes.CDLL(str(shared))
    shutil.rmtree(folder)  # what is loaded stays
    address, integer, seed = ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint64
    loaded.mask.argtypes = [integer, *[address] * 4, seed, *[integer] * 5]
    loaded.write_once.argtypes = [integer, address, address, seed]
    loaded.mask.restype = loaded.write_once.restype = None
    return loaded


def gpu() -> Any:
    """The module `gpu_kernel`; None without Triton."""
    if importlib.util.find_spec("triton") is None:
        return None
    from suite.benchmarks import gpu_kernel

    return gpu_kernel


def mask(
    ids: torch.Tensor, special: torch.Tensor, seed: int, rule: tuple[int, int, int, int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of contiguous int64 `ids`; none is chosen that is `special`, which is of the same kind.

    `rule`: the bounds below which a token's number has it masked, replaced or chosen, the id of the mask, and the scale
    by which a number becomes another token; see `kernel.c`.
    """
    inputs, labels = torch.empty_like(ids), torch.empty_like(ids)
    addresses = ids.data_ptr(), special.data_ptr(), inputs.data_ptr(), labels.data_ptr()
    library().mask(ids.numel(), *addresses, seed, *rule)
    return inputs, labels


def write_once(shape: tuple[int, int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The limit of a collator on the host: draws 32 bits a token and writes new inputs and labels of that shape."""
    inputs, labels = torch.empty(shape, dtype=torch.int64), torch.empty(shape, dtype=torch.int64)
    library().write_once(inputs.numel(), inputs.data_ptr(), labels.data_ptr(), seed)
    return inputs, labels
