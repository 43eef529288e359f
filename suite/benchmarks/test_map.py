"""The `map` stages of slides 32 and 33, as printed: tokenising and chunking, with 1, 2 and 4 processes, and growth."""

import gc
from functools import partial
from itertools import chain

import pytest

from fixtures import corpus
from suite.benchmarks.run import Contestant

pytestmark = pytest.mark.needs("datasets")

ROWS = 4_000
GROWTH = (1_000, 10_000, 100_000)

block_size = 128


def group_texts(examples):
    concatenated_examples = {k: list(chain(*examples[k])) for k in examples}
    total_length = len(concatenated_examples[next(iter(examples))])
    if total_length >= block_size:
        total_length = (total_length // block_size) * block_size
    return {
        k: [t[i : i + block_size] for i in range(0, total_length, block_size)] for k, t in concatenated_examples.items()
    }


def tokenize_function(examples, tokenizer):
    return tokenizer(examples["text"], return_special_tokens_mask=True)


@pytest.fixture
def on_disk(tmp_path):
    """A function: that many rows of text, mapped from disk as `load_dataset` gives them."""
    import datasets

    datasets.disable_progress_bars()

    def make(rows, words=None):
        texts = words or corpus.splits(train=min(rows, 8_000))["train"]
        path = str(tmp_path / f"rows-{rows}")
        dataset = datasets.Dataset.from_dict({"text": [texts[row % len(texts)] for row in range(rows)]})
        dataset.save_to_disk(path)
        del dataset
        return datasets.load_from_disk(path)

    yield make
    datasets.enable_progress_bars()


def mapped(dataset, function, processes, tokenizer=None):
    """Anew each time: nothing that was cached is used. One process is none beside this one."""
    import datasets

    datasets.disable_caching()
    try:
        return dataset.map(
            function,
            batched=True,
            num_proc=processes if processes > 1 else None,
            remove_columns=["text"] if tokenizer else None,
            fn_kwargs={"tokenizer": tokenizer} if tokenizer else None,
        )
    finally:
        datasets.enable_caching()


def tokenized_and_chunked(raw, tokenizer):
    """Both stages, in one process."""
    return mapped(mapped(raw, tokenize_function, 1, tokenizer), group_texts, 1)


@pytest.mark.parametrize("stage", ["tokenize", "chunk"])
def test_map(measure, tokenizer, on_disk, tmp_path, stage):
    """Rows and tokens a second with 1, 2 and 4 processes; 4 is the slides'."""
    raw = on_disk(ROWS)
    tokenized = mapped(raw, tokenize_function, 1, tokenizer)
    tokens = sum(map(len, tokenized["input_ids"]))
    if stage == "chunk":
        tokenized.save_to_disk(str(tmp_path / "tokenized"))
    source = raw if stage == "tokenize" else type(raw).load_from_disk(str(tmp_path / "tokenized"))
    arguments = (source, tokenize_function) if stage == "tokenize" else (source, group_texts)
    text = tokenizer if stage == "tokenize" else None
    contestants = [
        Contestant(
            "1 process" if processes == 1 else f"{processes} processes",
            partial(mapped, *arguments, processes, text),
            tokens=tokens,
            rows=ROWS,
            role="subject" if processes == 4 else "variant",
            once=True,
        )
        for processes in (4, 1, 2)
    ]

    measure(f"map, {stage}, {ROWS:,} rows", contestants, seconds=12, least=9, warm_up=1)


SENTENCE = "the of and in to a was is"


def test_garbage(measure, tokenizer, on_disk):
    """Short rows, tokenised and chunked in one process: with Python's collector as it is, and without what is imported.

    Each row becomes lists, and when there are many new ones Python looks for garbage among all objects there are.
    """
    rows = 20_000
    both = partial(tokenized_and_chunked, on_disk(rows, [SENTENCE]), tokenizer)

    def frozen():
        gc.freeze()
        try:
            both()
        finally:
            gc.unfreeze()

    work = {"tokens": rows * len(tokenizer(SENTENCE)["input_ids"]), "rows": rows, "once": True}
    contestants = [
        Contestant("1 process", both, role="subject", **work),
        Contestant("1 process, gc.freeze() before", frozen, **work),
    ]
    measure(f"map, garbage, {rows:,} short rows", contestants, seconds=20, warm_up=1)


@pytest.mark.parametrize(
    "rows", [*GROWTH, pytest.param(1_000_000, marks=pytest.mark.slow)], ids=lambda rows: f"{rows}-rows"
)
def test_growth(run, measure, tokenizer, on_disk, rows):
    """Tokenising and chunking more and more rows of one short sentence, in one process: time and memory by size.

    Peak memory is what `map` adds to what is there, files that it maps left out.
    """
    both = partial(tokenized_and_chunked, on_disk(rows, [SENTENCE]), tokenizer)
    tokens = rows * len(tokenizer(SENTENCE)["input_ids"])

    contestant = Contestant("tokenize and chunk", both, tokens, rows, role="subject", once=True)
    run.measure_growth(f"map, growth, {rows:,} rows", contestant, rounds=1 if rows >= 100_000 else 3)
