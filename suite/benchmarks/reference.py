"""A masking collator that follows the rules of slide 35 near the speed of its limit: what a user could have.

It draws one 32-bit number for each token, which decides whether the token is chosen and what becomes of it; the library
draws four for every token. A small function does all in one pass: in C on the host (`kernel.c`), in Triton on a GPU
(`gpu_kernel.py`). `suite/meta/test_bench_reference.py` runs the masking claims' own specs against both, and against the
tensor expression that is used where neither can be compiled.

    loader = DataLoader(
        lm_datasets["train"].with_format("torch"),
        sampler=BatchSampler(RandomSampler(lm_datasets["train"]), batch_size, drop_last=False),
        batch_size=None,  # the sampler's batches as they are: `dataset[indices]` gives columns, not rows
        collate_fn=ReferenceCollator(tokenizer),
    )
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch

from suite.benchmarks import kernel

Row = Mapping[str, Any]

#: What is left out of the loss.
IGNORED = -100

_RANGE = 2**32


class ReferenceCollator:
    """Masks as `DataCollatorForLanguageModeling(tokenizer, mlm_probability=...)` does; arguments as there.

    It takes rows as that does (mappings of lists, arrays or tensors; shorter ones are padded) and, faster, a batch as
    one mapping of (rows, tokens) arrays or tensors, as `dataset[indices]` gives. Tensors on a GPU stay there. All
    randomness comes from torch's generators: `torch.manual_seed` and DataLoader's workers do what they do elsewhere.
    Without a C compiler (on a GPU: without Triton), or with `compiled=False`, the tensor expression is used.
    ValueError if the tokenizer has no mask token, or if the probability is none.
    """

    def __init__(self, tokenizer: Any, mlm_probability: float = 0.15, compiled: bool = True) -> None:
        if tokenizer.mask_token_id is None:
            raise ValueError("this tokenizer has no mask token to mask with")
        if not 0 <= mlm_probability <= 1:
            raise ValueError(f"mlm_probability is {mlm_probability}; it has to be between 0 and 1")
        self.tokenizer, self.mlm_probability = tokenizer, mlm_probability
        self._size, self._mask = len(tokenizer), tokenizer.mask_token_id
        self._special = torch.zeros(self._size, dtype=torch.int64)
        self._special[list(tokenizer.all_special_ids)] = 1
        self._seed = torch.empty((), dtype=torch.int64)
        masked, replaced, chosen = (round(_RANGE * mlm_probability * share) for share in (0.8, 0.9, 1.0))
        scale = _RANGE * self._size // max(replaced - masked, 1)
        self._rule = masked, replaced, chosen, self._mask, scale
        self._compiled = compiled

    def __call__(self, batch: Sequence[Row] | Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """(rows, tokens) int64 tensors by name: the columns given, less `special_tokens_mask`, and `labels`."""
        columns = _tensors(batch) if isinstance(batch, Mapping) else self._stacked(batch)
        ids, special = columns.pop("input_ids"), columns.pop("special_tokens_mask", None)
        if special is None:
            self._special = self._special.to(ids.device)
            special = self._special[ids]
        whole = _compiled(ids.device.type) if self._compiled else None
        if whole is not None:
            seed = self._seed.random_().item()
            inputs, labels = whole(ids.long().contiguous(), special.long().contiguous(), seed, self._rule)
        else:
            inputs, labels = mask_tensors(ids, special, self._size, self._mask, self.mlm_probability)
        return {"input_ids": inputs, **columns, "labels": labels}

    def _stacked(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Rows as one tensor a column, (rows, tokens), padded at the end."""
        names = [name for name in rows[0] if name != "labels"]
        lengths = {len(row["input_ids"]) for row in rows}
        if len(lengths) == 1:
            return {name: _joined([row[name] for row in rows], len(rows)) for name in names}
        padding = {"input_ids": self.tokenizer.pad_token_id, "special_tokens_mask": 1}
        return {name: _padded([row[name] for row in rows], max(lengths), padding.get(name, 0)) for name in names}


def _tensors(batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    tensor = torch.Tensor
    return {name: it if isinstance(it, tensor) else torch.as_tensor(it) for name, it in batch.items()}


def _joined(rows: Sequence[Any], count: int) -> torch.Tensor:
    """Rows of equal length as (count, tokens)."""
    if isinstance(rows[0], torch.Tensor):
        return torch.cat(list(rows)).view(count, -1)
    if isinstance(rows[0], np.ndarray):
        return torch.from_numpy(np.concatenate(rows)).view(count, -1)
    whole = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=count * len(rows[0]))
    return torch.from_numpy(whole).view(count, -1)


def _padded(rows: Sequence[Any], length: int, value: int) -> torch.Tensor:
    padded = torch.full((len(rows), length), value, dtype=torch.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = torch.as_tensor(row)
    return padded


def mask_tensors(
    ids: torch.Tensor, special: torch.Tensor, size: int, mask: int, probability: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels by whole tensors, on any device: the same rule."""
    # A 32-bit float between 0 and 1 is a multiple of 2 ** -24: 0.15 is met to 6e-8.
    number = torch.rand(ids.shape, device=ids.device)
    word = torch.randint(size, ids.shape, device=ids.device)
    chosen = (number < probability) & (special == 0)
    becomes = torch.where(number < 0.8 * probability, mask, torch.where(number < 0.9 * probability, word, ids))
    return torch.where(chosen, becomes, ids), torch.where(chosen, ids, IGNORED)


@functools.cache
def _compiled(device: str) -> Any:
    """The function that masks on "cpu" or "cuda"; None where it cannot be compiled, and on other devices."""
    if device == "cuda" and (gpu := kernel.gpu()) is not None:
        return gpu.mask
    if device == "cpu":
        with contextlib.suppress(kernel.NoCompiler):
            kernel.library()
            return kernel.mask
    return None
