"""`kernel.c` for a GPU, in Triton, which torch's builds for GPUs bring.

At the lecture's sizes a GPU needs less time for a batch than Python needs to give it its work. So one kernel does all,
launched without the checks that `torch.compile` makes at each call: on a CPU those alone take 19 us, five times as long
as drawing and filling three tensors of eight numbers.

Numbers are Triton's: Philox4x32-10 (Salmon and others, 2011), by seed and place. All tensors are of the current GPU.
"""

import torch
import triton
import triton.language as tl

#: Tokens of one program.
BLOCK = 1024


def mask(
    ids: torch.Tensor, special: torch.Tensor, seed: int, rule: tuple[int, int, int, int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of contiguous int64 `ids`, fewer than 2 ** 31; see `kernel.mask`."""
    inputs, labels = torch.empty_like(ids), torch.empty_like(ids)
    tokens = ids.numel()
    _mask[_programs(tokens)](ids, special, inputs, labels, tokens, seed, *rule, BLOCK)
    return inputs, labels


def write_once(shape: tuple[int, int], seed: int = 0, device: str = "cuda") -> tuple[torch.Tensor, torch.Tensor]:
    """The limit of a collator on a GPU; see `kernel.write_once`."""
    inputs, labels = (torch.empty(shape, dtype=torch.int64, device=device) for _ in range(2))
    tokens = inputs.numel()
    _write_once[_programs(tokens)](inputs, labels, tokens, seed, BLOCK)
    return inputs, labels


def _programs(tokens: int) -> tuple[int]:
    return (-(-tokens // BLOCK),)  # `triton.cdiv` takes 1.4 us, a third as long as binding the arguments


@triton.jit
def _drawn(seed, place):
    """32 random bits for each place, as int64."""
    return tl.randint(seed, place).to(tl.uint32, bitcast=True).to(tl.int64)


# A kernel is compiled anew for a number that 16 divides; of seeds that is one in 16.
@triton.jit(do_not_specialize=["seed"])
def _mask(ids, special, inputs, labels, tokens, seed, masked, replaced, chosen, mask_id, scale, block: tl.constexpr):
    place = tl.program_id(0) * block + tl.arange(0, block)
    there = place < tokens
    number, own = _drawn(seed, place), tl.load(ids + place, mask=there)
    draws = (number < chosen) & (tl.load(special + place, mask=there) == 0)
    word = ((number - masked) * scale) >> 32
    becomes = tl.where(number < masked, mask_id, tl.where(number < replaced, word, own))
    tl.store(inputs + place, tl.where(draws, becomes, own), mask=there)
    tl.store(labels + place, tl.where(draws, own, -100), mask=there)


@triton.jit(do_not_specialize=["seed"])
def _write_once(inputs, labels, tokens, seed, block: tl.constexpr):
    place = tl.program_id(0) * block + tl.arange(0, block)
    there = place < tokens
    tl.store(inputs + place, _drawn(seed, place), mask=there)
    tl.store(labels + place, -100, mask=there)
