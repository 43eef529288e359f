"""What is measured on every release: workloads by name, each a function that makes a call and what is done in it.

Nothing here may need more than a release and the suite's own fixtures: they run in the environment of each release.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from transformers import AutoModelForMaskedLM, AutoTokenizer, DataCollatorForLanguageModeling

from fixtures import corpus, vocabulary
from suite.benchmarks import forms, training
from suite.benchmarks.training import PacedTrainer, Settings

Made = tuple[Callable[[], Any], dict[str, int]]

#: Rows that `map` tokenises in a call.
TEXTS = 1_000


class Workloads:
    """The workloads of a device, made when they are first asked for. Use it as a context."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._stack = contextlib.ExitStack()
        self._made: dict[str, Made] = {}
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="axis-")))
        self.tokenizer = AutoTokenizer.from_pretrained(str(vocabulary.write_uncased(self._folder)))

    def __enter__(self) -> Workloads:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __getitem__(self, name: str) -> Made:
        """The call and its work: tokens, rows, steps. KeyError if there is no such workload."""
        if name not in self._made:
            self._made[name] = _WORKLOADS[name](self)
        return self._made[name]

    def collator(self, form: str, batch: int) -> Made:
        """The masking collator on rows of 128 tokens."""
        collate = DataCollatorForLanguageModeling(tokenizer=self.tokenizer, mlm=True, mlm_probability=0.15)
        rows = forms.batch(form, forms.blocks(batch, 128, vocabulary.WORDPIECE_SIZE))
        return partial(collate, rows), {"tokens": batch * 128, "rows": batch, "steps": 0}

    def trainer(self) -> Made:
        """A step of Trainer: BERT-base in fp16 on a GPU, two layers of 32 on a CPU."""
        gpu = self.device == "cuda"
        config = training.base_config() if gpu else training.tiny_config()
        settings = Settings(precision="fp16" if gpu else "fp32")
        paced = PacedTrainer(config, settings, self.tokenizer, self._folder / "trainer", self.device, steps=1)
        return self._stack.enter_context(paced), {"tokens": 16 * 128, "rows": 16, "steps": 1}

    def mapping(self) -> Made:
        """`map` with the tokenizer, one process."""
        from datasets import Dataset, disable_caching
        from datasets.utils import logging

        if hasattr(logging, "disable_progress_bar"):
            logging.disable_progress_bar()
        disable_caching()
        texts = corpus.splits(train=TEXTS)["train"][:TEXTS]
        dataset = Dataset.from_dict({"text": texts})
        tokenizer = self.tokenizer

        def tokenize(examples: Any) -> Any:
            return tokenizer(examples["text"], return_special_tokens_mask=True)

        tokens = sum(map(len, tokenizer(texts)["input_ids"]))
        return partial(dataset.map, tokenize, batched=True), {"tokens": tokens, "rows": TEXTS, "steps": 0}

    def from_config(self) -> Made:
        """A tiny model with random parameters."""
        build = partial(AutoModelForMaskedLM.from_config, training.tiny_config())
        return build, {"tokens": 0, "rows": 0, "steps": 0}


_WORKLOADS: dict[str, Callable[[Workloads], Made]] = {
    "collator, lists, 16 x 128": lambda it: it.collator("lists", 16),
    "collator, lists, 256 x 128": lambda it: it.collator("lists", 256),
    "collator, tensors, 256 x 128": lambda it: it.collator("tensors", 256),
    "Trainer, 16 x 128": Workloads.trainer,
    "map, tokenize, 1,000 rows": Workloads.mapping,
    "from_config, tiny": Workloads.from_config,
}

NAMES = tuple(_WORKLOADS)
