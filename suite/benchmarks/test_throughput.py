"""What the lecture's collator and a short training run cost on this machine. A benchmark decides no verdict.

Figures go into pytest-benchmark's table and, with units, into its JSON (`--benchmark-json FILE`, `extra_info`).
"""

import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

from fixtures import checkpoints, vocabulary

LENGTH = 128  # tokens a row: the block size of slide 33
STEPS = 20


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    checkpoints.write(folder, "bert", "masked-lm", with_tokenizer=True)
    return AutoTokenizer.from_pretrained(folder)


def rows(count):
    """`count` rows as the chunked dataset gives them: lists of ids, no padding, [CLS] and [SEP] at the ends."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(104, vocabulary.WORDPIECE_SIZE, (count, LENGTH), generator=generator)
    ids[:, 0], ids[:, -1] = 101, 102
    mask = [1] + [0] * (LENGTH - 2) + [1]
    return [{"input_ids": row, "attention_mask": [1] * LENGTH, "special_tokens_mask": mask} for row in ids.tolist()]


def record(benchmark, tokens):
    """Put down tokens per second (median round), in the table's name column and in the JSON."""
    rate = tokens / benchmark.stats.stats.median
    benchmark.extra_info["tokens_per_s"] = rate
    benchmark.stats.name += f": {rate:,.0f} tokens/s"


@pytest.mark.parametrize("batch", [16, 256])
def test_collator(benchmark, tokenizer, batch):
    """Tokens per second of the masking collator, lists of ids in, tensors out; batch 16 is the slide's."""
    collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)
    features = rows(batch)

    collated = benchmark(collator, features)

    assert collated["input_ids"].shape == (batch, LENGTH)
    record(benchmark, tokens=batch * LENGTH)


def test_trainer(benchmark, tokenizer, tmp_path):
    """Tokens per second of a short training run from random parameters, batch 16, two layers of 32."""
    config = BertConfig(**checkpoints.config("bert", "masked-lm"))
    collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=STEPS,
        per_device_train_batch_size=16,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    features = rows(16 * STEPS)

    def trainer():
        return (Trainer(BertForMaskedLM(config), arguments, data_collator=collator, train_dataset=features),), {}

    result = benchmark.pedantic(Trainer.train, setup=trainer, rounds=3, warmup_rounds=1)

    assert result.global_step == STEPS
    record(benchmark, tokens=16 * STEPS * LENGTH)
    benchmark.extra_info["step_ms"] = 1000 * benchmark.stats.stats.median / STEPS
