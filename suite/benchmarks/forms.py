"""Rows as `datasets` serves them, in each of its forms, without `datasets`."""

from typing import Any

import numpy as np
import torch

#: Ids of [CLS] and [SEP], and the first that is no special token, in `bert-base-uncased` and in the suite's vocabulary.
CLS, SEP, FIRST = 101, 102, 104

#: `lists` is what `datasets` gives, `arrays` and `tensors` are its `with_format("numpy")` and `("torch")`, `columns`
#: is what `dataset[indices]` gives in the last of them; `unmarked` are lists without `special_tokens_mask`: Trainer
#: drops that column.
FORMS = ("lists", "unmarked", "arrays", "tensors", "columns")


def blocks(count: int, length: int, vocabulary: int, seed: int = 0) -> torch.Tensor:
    """(count, length) random ids from [CLS] to [SEP], no padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(FIRST, vocabulary, (count, length), generator=generator)
    ids[:, 0], ids[:, -1] = CLS, SEP
    return ids


def batch(form: str, ids: torch.Tensor, device: str = "cpu") -> Any:
    """The batch of `ids`, (rows, tokens), in one of `FORMS`; tensors and columns on `device`. KeyError otherwise."""
    special = torch.zeros_like(ids)
    special[:, 0] = special[:, -1] = 1
    columns = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "special_tokens_mask": special}
    if form == "columns":
        return {name: column.to(device) for name, column in columns.items()}
    if form == "unmarked":
        del columns["special_tokens_mask"]
    convert = {
        "lists": lambda row: row.tolist(),
        "unmarked": lambda row: row.tolist(),
        "arrays": lambda row: row.numpy().copy(),
        "tensors": lambda row: row.clone().to(device),
    }[form]
    return [{name: convert(column[row]) for name, column in columns.items()} for row in range(len(ids))]


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """A dataset that serves the same rows over and over: long enough that no epoch ends while it is measured."""

    #: Rows of an epoch.
    LENGTH = 200_000

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self.LENGTH

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rows[index % len(self._rows)]


def is_columns(batch: Any) -> bool:
    """Whether a batch is one mapping of columns."""
    return isinstance(batch, dict) and np.ndim(next(iter(batch.values()))) == 2
