"""What this very device could do: measured, in the same run as what is compared with it."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from suite.benchmarks import kernel
from suite.benchmarks.clock import Timer
from suite.benchmarks.turns import calls_for, repeated, timed

#: Bytes that one step of AdamW moves for a parameter: reads it, its gradient and two moments, writes all but the
#: gradient, 32 bits each.
ADAMW_BYTES = 7 * 4

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Roof:
    """Matrix products by precision (floating-point operations per second) and memory traffic (bytes per second)."""

    flops: dict[str, float]
    bandwidth: float

    def rate(self, precision: str) -> float:
        """Products per second in a precision: what is slower there than in fp32 (bf16 on many CPUs) can use fp32."""
        return max(self.flops[precision], self.flops["fp32"])

    def step_seconds(self, flops: int, parameters: int, precision: str) -> float:
        """The least time of a training step: its matrix products, and then the optimizer's reading and writing.

        Activations are not counted, nor anything that is not a product: no step can be faster, none will be as fast.
        """
        return flops / self.rate(precision) + parameters * ADAMW_BYTES / self.bandwidth


def roof(device: str, timer: Timer, precisions: tuple[str, ...]) -> Roof:
    """Measure both. Products are square, of the size that is fastest; traffic is a copy that no cache holds."""
    sizes = (2048, 4096, 8192) if device == "cuda" else (512, 1024)
    rates = {name: max(_product_rate(size, DTYPES[name], device, timer) for size in sizes) for name in precisions}
    return Roof(rates, _bandwidth(device, timer))


def _product_rate(size: int, dtype: torch.dtype, device: str, timer: Timer) -> float:
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    seconds = _best(lambda: torch.mm(left, right, out=out), timer, trials=10 if device == "cuda" else 5)
    return 2 * size**3 / seconds


def _bandwidth(device: str, timer: Timer) -> float:
    count = 2**28 if device == "cuda" else 2**25
    source = torch.ones(count, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    return 2 * 4 * count / _best(lambda: target.copy_(source), timer, trials=10)


def _best(call: Callable[[], Any], timer: Timer, trials: int) -> float:
    """Seconds of a call, the best of some trials: a limit is what the machine can do when it is left alone."""
    times = calls_for(timed(call, timer))
    times = calls_for(timed(repeated(call, times), timer) / times)
    return min(timed(repeated(call, times), timer) for _ in range(trials)) / times


def collator(shape: tuple[int, int], device: str, timer: Timer) -> Callable[[], Any]:
    """The limit of a collator, to be measured beside it: the random numbers it needs, its outputs written once.

    It needs a 32-bit number for each token; new in a batch are the inputs and the labels, 64-bit integers. On the host
    the C function does that; on a GPU three of torch's own kernels or the one in Triton, whichever is faster. Raises
    kernel.NoCompiler where the host has no compiler.
    """
    if device == "cpu":
        kernel.library()
        return functools.partial(kernel.write_once, shape)
    ways = [functools.partial(_drawn_and_filled, shape, device)]
    if (gpu := kernel.gpu()) is not None:
        ways.append(functools.partial(gpu.write_once, shape))
    seconds = []
    for way in ways:
        way()
        seconds.append(_best(way, timer, trials=5))
    return ways[seconds.index(min(seconds))]


def _drawn_and_filled(shape: tuple[int, int], device: str) -> Any:
    numbers = torch.rand(shape, device=device)
    return numbers, *(torch.full(shape, -100, dtype=torch.int64, device=device) for _ in range(2))


def training_flops(model: Any, ids: torch.Tensor) -> int:
    """Floating-point operations of the matrix products of one forward and backward pass, counted by torch.

    `model` has to use eager attention: what a fused kernel computes is the same, but not always counted.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids).loss.backward()
    model.zero_grad(set_to_none=True)
    return int(counter.get_total_flops())


def bert_flops(config: Any, tokens: int, length: int) -> int:
    """The same by formula, for a BERT with a masked-LM head: three passes of two operations a weight and token.

    Three: forward, and backward for inputs and for weights. Weights: four h x h and two h x i in a layer, h x h and
    h x vocabulary in the head; and the two products of attention, length x h each. The first layer's inputs are
    embeddings, whose gradient is no product.
    """
    h, i = config.hidden_size, config.intermediate_size
    layer = 4 * h * h + 2 * h * i + 2 * length * h
    return math.floor(3 * 2 * tokens * (config.num_hidden_layers * layer + h * h + h * config.vocab_size))
