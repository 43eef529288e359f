"""Slide 33: the tokens of all sentences are joined and cut into blocks (`group_texts`)."""

# The function stands here as the slide prints it; the linter would write some of its lines differently.
# ruff: noqa: RET504, RUF015, SIM118

import inspect
import random
import textwrap
from itertools import accumulate, chain, pairwise

import pytest
from datasets import Dataset, DatasetDict, load_from_disk
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from fixtures import corpus, vocabulary

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=30)
BLOCK_SIZES = st.integers(1, 24)
BATCH_SIZES = st.integers(1, 30)

# 4,400 sentences: 1,100 for each of the 4 processes, which is a full `map` batch of 1,000 and one of 100.
SENTENCES = random.Random(33).choices(range(2, 41), k=4_400)


def slide_33(block_size=128):
    """The function of slide 33 for any block size: tokens per block."""

    def group_texts(examples):
        concatenated_examples = {k: list(chain(*examples[k])) for k in examples.keys()}
        total_length = len(concatenated_examples[list(examples.keys())[0]])
        if total_length >= block_size:
            total_length = (total_length // block_size) * block_size

        result = {
            k: [t[i : i + block_size] for i in range(0, total_length, block_size)]
            for k, t in concatenated_examples.items()
        }
        return result

    return group_texts


def numbered(lengths):
    """Sentences of these lengths (tokens). The tokens are counted through, so that a lost or moved one is seen."""
    ends = accumulate(lengths)
    return Dataset.from_dict(
        {"input_ids": [list(range(end - length, end)) for end, length in zip(ends, lengths, strict=True)]}
    )


def batches(lengths, batch_size=1_000, num_proc=1):
    """Tokens in each batch that `map` makes of sentences of these lengths, in order.

    Each process gets a run of neighbouring rows, the first ones a row more where it does not come out even, and cuts it
    into batches of `batch_size` rows.
    """
    share, extra = divmod(len(lengths), num_proc)
    starts = [share * rank + min(rank, extra) for rank in range(num_proc + 1)]
    return [
        sum(lengths[row : min(row + batch_size, end)])
        for start, end in pairwise(starts)
        for row in range(start, end, batch_size)
    ]


def tails(lengths, block_size, **cut):
    """Tokens lost in each batch: what is left over after whole blocks; none where there is no whole block."""
    return [total % block_size if total >= block_size else 0 for total in batches(lengths, **cut)]


def ids(table):
    """The blocks of a table: a list of lists of ids."""
    return table[:]["input_ids"]


@pytest.fixture(scope="module")
def lm_datasets():
    """The two calls of slides 32 and 33 on numbered sentences, in 4 processes as printed."""
    block_size = 128
    group_texts = slide_33(block_size)
    tokenized_datasets = DatasetDict({"train": numbered(SENTENCES)})
    lm_datasets = tokenized_datasets.map(
        group_texts,
        batched=True,
        num_proc=4,
    )
    return lm_datasets


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """An uncased BERT tokenizer with a small vocabulary."""
    return AutoTokenizer.from_pretrained(vocabulary.write_uncased(tmp_path_factory.mktemp("uncased")))


@pytest.fixture(scope="module")
def dataset():
    """A table of text lines with the columns that slide 31 shows: the text and where it is from."""
    records = corpus.splits(train=200, validation=0, test=0)["train"]
    return Dataset.from_dict({"text": records, "source": corpus.sources(records)})


# --- one long string --------------------------------------------------------------------------------------------------


@pytest.mark.claim("chunk.concatenates")
def test_all_sentences_become_one_string(lm_datasets, evidence):
    """Laid end to end, the blocks are the beginning of the one long string of all tokens."""
    # Slide 33 says that all tokenised sentences are joined directly into a long string. It says no more than that.
    joined = list(chain(*ids(lm_datasets["train"])))
    gaps = sum(after != before + 1 for before, after in pairwise(joined))
    evidence |= {"sentences": len(SENTENCES), "tokens": sum(SENTENCES), "places where tokens are missing": gaps}
    assert joined == list(range(len(joined)))


@pytest.mark.correction("chunk.concatenates")
def test_one_string_per_batch_and_process(lm_datasets, evidence):
    """Each process makes a string of each 1,000 rows that it was given; blocks start anew with each string."""
    totals = batches(SENTENCES, num_proc=4)
    expected = [
        list(range(block, block + 128))
        for total, end in zip(totals, accumulate(totals), strict=True)
        for block in range(end - total, end - 127, 128)
    ]
    evidence |= {"strings": len(totals), "tokens in each": totals}
    assert ids(lm_datasets["train"]) == expected


@pytest.mark.correction("chunk.concatenates")
def test_one_batch_makes_one_string():
    """With `batch_size=None` and one process, all sentences of a split do become one string."""
    group_texts = slide_33()
    tokenized_datasets = DatasetDict({"train": numbered(SENTENCES)})
    lm_datasets = tokenized_datasets.map(
        group_texts,
        batched=True,
        batch_size=None,
    )
    joined = list(chain(*ids(lm_datasets["train"])))
    assert joined == list(range(sum(SENTENCES) // 128 * 128))


@pytest.mark.claim("chunk.concatenates.one-batch")
@given(lengths=LENGTHS, block_size=BLOCK_SIZES)
@example(lengths=[0, 0], block_size=8)
@example(lengths=[8], block_size=8)
@settings(max_examples=15)
def test_a_batch_becomes_one_string(lengths, block_size):
    """The blocks of one batch, laid end to end, are the beginning of its string of tokens."""
    lm_dataset = numbered(lengths).map(slide_33(block_size), batched=True, batch_size=len(lengths))
    joined = list(chain(*ids(lm_dataset)))
    assert joined == list(range(len(joined)))
    assert sum(lengths) - len(joined) < block_size


@pytest.mark.claim("chunk.concatenates.order")
@given(lengths=LENGTHS, block_size=BLOCK_SIZES, batch_size=BATCH_SIZES)
@settings(max_examples=15)
def test_order_is_kept_between_batches(lengths, block_size, batch_size):
    """No token comes before one that preceded it, and none comes twice, whatever the batch size."""
    lm_dataset = numbered(lengths).map(slide_33(block_size), batched=True, batch_size=batch_size)
    joined = list(chain(*ids(lm_dataset)))
    assert joined == sorted(set(joined))


@pytest.mark.claim("chunk.concatenates.order")
def test_order_is_kept_between_processes(lm_datasets):
    """The blocks of four processes stand in the order of their sentences."""
    joined = list(chain(*ids(lm_datasets["train"])))
    assert joined == sorted(set(joined))


@pytest.mark.claim("chunk.concatenates.special-tokens")
def test_sentences_keep_their_ends(tokenizer, dataset, evidence):
    """The string is sentence after sentence with nothing between: each [CLS] and [SEP] stays where it was."""
    tokenized = dataset.map(lambda rows: tokenizer(rows["text"]), batched=True, remove_columns=["text", "source"])
    blocks = ids(tokenized.map(slide_33(), batched=True))
    string = list(chain(*(tokenizer(text)["input_ids"] for text in dataset["text"])))
    evidence |= {
        "blocks": len(blocks),
        "blocks that start with [CLS]": sum(block[0] == 101 for block in blocks),
        "[CLS] in the blocks": sum(block.count(101) for block in blocks),
    }
    assert list(chain(*blocks)) == string[: len(string) // 128 * 128]


@pytest.fixture(scope="module")
def few_blocks():
    """What the call of slide 33 makes of three sentences of 50 tokens."""
    return ids(numbered([50, 50, 50]).map(slide_33(), batched=True, num_proc=4))


@pytest.mark.claim("chunk.concatenates.few-rows")
def test_few_sentences_become_one_string(few_blocks, evidence):
    """Three sentences of 50 tokens make one block of 128."""
    evidence["tokens per block"] = [len(block) for block in few_blocks]
    assert few_blocks == [list(range(128))]


@pytest.mark.correction("chunk.concatenates.few-rows")
def test_few_sentences_are_not_joined(few_blocks):
    """With no more rows than processes each row has a process of its own, and nothing is joined."""
    assert few_blocks == ids(numbered([50, 50, 50]))


@pytest.mark.correction("chunk.concatenates.few-rows")
def test_one_process_joins_few_sentences():
    """One process with one batch joins them."""
    group_texts = slide_33()
    tokenized_datasets = DatasetDict({"train": numbered([50, 50, 50])})
    lm_datasets = tokenized_datasets.map(
        group_texts,
        batched=True,
        batch_size=None,
    )
    assert ids(lm_datasets["train"]) == [list(range(128))]


# --- blocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.claim("chunk.blocks")
def test_printed_call_makes_whole_blocks(lm_datasets, evidence):
    """All blocks that the printed call makes have 128 tokens."""
    blocks = ids(lm_datasets["train"])
    evidence |= {"blocks": len(blocks), "lengths": sorted({len(block) for block in blocks})}
    assert {len(block) for block in blocks} == {128}


@pytest.mark.claim("chunk.blocks")
@given(lengths=LENGTHS, block_size=BLOCK_SIZES)
@example(lengths=[7, 1], block_size=8)
@settings(max_examples=15)
def test_any_block_size(lengths, block_size):
    """A string of one block or more is cut into blocks of the given size, as many as go into it."""
    lengths = [block_size, *lengths]
    lm_dataset = numbered(lengths).map(slide_33(block_size), batched=True)
    assert [len(block) for block in ids(lm_dataset)] == [block_size] * (sum(lengths) // block_size)


@pytest.mark.claim("chunk.blocks.snippet-runs")
def test_printed_function_runs():
    """The printed lines run as they stand, after the ones that the slides before them print."""
    namespace = {"block_size": 128}
    exec(textwrap.dedent(inspect.getsource(slide_33())), namespace)
    # In this process: a worker would find whatever else is imported here.
    namespace["group_texts"]({"input_ids": [[101, 102], [101, 102]]})


@pytest.mark.correction("chunk.blocks.snippet-runs")
def test_function_runs_with_its_import():
    """`chain` has to be imported first."""
    from itertools import chain

    namespace = {"block_size": 128, "chain": chain}
    exec(textwrap.dedent(inspect.getsource(slide_33())), namespace)
    assert namespace["group_texts"]({"input_ids": [[101, 102]] * 64}) == {"input_ids": [[101, 102] * 64]}


SHORT = [
    pytest.param([5, 5], 1_000, id="one-short-batch"),
    pytest.param([100, 60, 60, 7], 3, id="short-last-batch"),
    pytest.param([127, 1, 128, 129], 1, id="row-by-row"),
]


@pytest.mark.claim("chunk.blocks.short-batch")
@pytest.mark.parametrize(("lengths", "batch_size"), SHORT)
def test_short_batch_leaves_no_other_length(lengths, batch_size, evidence):
    """Every block has 128 tokens, also where a batch has fewer."""
    lm_dataset = numbered(lengths).map(slide_33(), batched=True, batch_size=batch_size)
    evidence |= {"tokens per batch": batches(lengths, batch_size), "per block": list(map(len, ids(lm_dataset)))}
    assert {len(block) for block in ids(lm_dataset)} <= {128}


@pytest.mark.correction("chunk.blocks.short-batch")
@given(lengths=LENGTHS, block_size=BLOCK_SIZES, batch_size=BATCH_SIZES)
@settings(max_examples=15)
def test_short_batch_stays_whole(lengths, block_size, batch_size):
    """A batch with fewer tokens than a block becomes one block of what it has; only then is a block short."""
    lm_dataset = numbered(lengths).map(slide_33(block_size), batched=True, batch_size=batch_size)
    expected = []
    for total in batches(lengths, batch_size):
        whole, rest = divmod(total, block_size)
        expected += [block_size] * whole if whole else [rest] if rest else []
    assert [len(block) for block in ids(lm_dataset)] == expected


@pytest.mark.correction("chunk.blocks.short-batch")
@pytest.mark.parametrize(("lengths", "batch_size"), SHORT)
def test_without_the_condition_no_block_is_short(lengths, batch_size):
    """Without the `if`, a batch with fewer tokens than a block gives none."""
    block_size = 128

    def group_texts(examples):
        concatenated_examples = {k: list(chain(*examples[k])) for k in examples.keys()}
        total_length = len(concatenated_examples[list(examples.keys())[0]])
        total_length = (total_length // block_size) * block_size

        result = {
            k: [t[i : i + block_size] for i in range(0, total_length, block_size)]
            for k, t in concatenated_examples.items()
        }
        return result

    lm_dataset = numbered(lengths).map(group_texts, batched=True, batch_size=batch_size)
    whole = [total // 128 for total in batches(lengths, batch_size)]
    assert [len(block) for block in ids(lm_dataset)] == [128] * sum(whole)


@pytest.mark.claim("chunk.blocks.empty")
@pytest.mark.parametrize("lengths", [[], [0, 0, 0]], ids=["no-rows", "empty-rows"])
@pytest.mark.parametrize("num_proc", [None, 4])
def test_nothing_gives_no_blocks(lengths, num_proc):
    """A table without rows, or with empty ones only, gives no block and keeps its column."""
    lm_dataset = numbered(lengths).map(slide_33(), batched=True, num_proc=num_proc)
    assert (len(lm_dataset), lm_dataset.column_names) == (0, ["input_ids"])


@pytest.mark.claim("chunk.blocks.empty")
def test_empty_batch_gives_no_blocks():
    """A batch of empty rows among others, be it the first, leaves the blocks of the others as they are."""
    lm_dataset = numbered([0, 0, 8, 1, 0, 0, 8, 0]).map(slide_33(8), batched=True, batch_size=2)
    assert ids(lm_dataset) == [list(range(8)), list(range(9, 17))]


# --- the tail ---------------------------------------------------------------------------------------------------------


@pytest.mark.claim("chunk.drops-tail")
def test_tail_is_discarded(lm_datasets, evidence):
    """What is lost is the end of the long string, less than one block."""
    # Slide 33 says that the tail of the long string is discarded.
    lost = sorted(set(range(sum(SENTENCES))) - set(chain(*ids(lm_datasets["train"]))))
    evidence |= {"tokens": sum(SENTENCES), "lost": len(lost), "tail of the one string": sum(SENTENCES) % 128}
    assert lost == list(range(sum(SENTENCES)))[-(sum(SENTENCES) % 128) :]


@pytest.mark.correction("chunk.drops-tail")
def test_one_tail_per_batch_and_process(lm_datasets, evidence):
    """Each batch of 1,000 rows of each process loses its own tail: the tokens at the end of its string."""
    totals, lost_at_its_end = batches(SENTENCES, num_proc=4), tails(SENTENCES, 128, num_proc=4)
    expected = [
        token for end, tail in zip(accumulate(totals), lost_at_its_end, strict=True) for token in range(end - tail, end)
    ]
    lost = sorted(set(range(sum(SENTENCES))) - set(chain(*ids(lm_datasets["train"]))))
    evidence |= {"tails": lost_at_its_end, "lost": len(lost)}
    assert lost == expected


@pytest.mark.correction("chunk.drops-tail")
def test_one_batch_drops_one_tail():
    """With `batch_size=None` and one process, one tail is lost per split, and nothing else."""
    group_texts = slide_33()
    tokenized_datasets = DatasetDict({"train": numbered(SENTENCES), "validation": numbered(SENTENCES[:99])})
    lm_datasets = tokenized_datasets.map(
        group_texts,
        batched=True,
        batch_size=None,
    )
    for split, total in {"train": sum(SENTENCES), "validation": sum(SENTENCES[:99])}.items():
        whole = total // 128 * 128
        assert ids(lm_datasets[split]) == [list(range(start, start + 128)) for start in range(0, whole, 128)]


@pytest.mark.claim("chunk.drops-tail.one-batch")
@given(lengths=LENGTHS, block_size=BLOCK_SIZES)
@example(lengths=[8], block_size=8)
@example(lengths=[8, 7], block_size=8)
@settings(max_examples=15)
def test_a_batch_loses_its_tail(lengths, block_size):
    """A batch of one block or more loses the tokens behind its last whole block, and no others."""
    lengths = [block_size, *lengths]
    lm_dataset = numbered(lengths).map(slide_33(block_size), batched=True)
    kept = sum(lengths) - sum(lengths) % block_size
    assert set(chain(*ids(lm_dataset))) == set(range(kept))


@pytest.mark.claim("chunk.drops-tail.batch-size")
def test_batch_size_does_not_change_what_is_lost(evidence):
    """Batches of 1,000 rows lose as many tokens as batches of 10."""
    sentences = SENTENCES[:2_000]
    lost = {}
    for batch_size in (10, 100, 1_000):
        lm_dataset = numbered(sentences).map(slide_33(), batched=True, batch_size=batch_size)
        lost[batch_size] = sum(sentences) - sum(map(len, ids(lm_dataset)))
    evidence |= {"tokens": sum(sentences), "lost by batch size": lost}
    assert len(set(lost.values())) == 1


@pytest.mark.correction("chunk.drops-tail.batch-size")
@given(lengths=LENGTHS, block_size=BLOCK_SIZES, batch_size=BATCH_SIZES)
@settings(max_examples=25)
def test_each_batch_loses_a_tail(lengths, block_size, batch_size):
    """Lost is the sum of (tokens of the batch) mod (block size) over the batches that have a whole block."""
    lm_dataset = numbered(lengths).map(slide_33(block_size), batched=True, batch_size=batch_size)
    lost = sum(lengths) - sum(map(len, ids(lm_dataset)))
    assert lost == sum(tails(lengths, block_size, batch_size=batch_size))


@pytest.mark.correction("chunk.drops-tail.batch-size")
def test_a_batch_of_everything_loses_one_tail():
    """With `batch_size=None` the loss is less than a block, whatever the number of rows."""
    group_texts = slide_33()
    tokenized_datasets = DatasetDict({"train": numbered(SENTENCES[:2_000])})
    lm_datasets = tokenized_datasets.map(
        group_texts,
        batched=True,
        batch_size=None,
    )
    assert sum(SENTENCES[:2_000]) - sum(map(len, ids(lm_datasets["train"]))) == sum(SENTENCES[:2_000]) % 128


@pytest.mark.claim("chunk.drops-tail.num-proc")
def test_processes_do_not_change_what_is_lost(evidence):
    """Four processes lose as many tokens as one."""
    # Slide 32 gives the processes as a way to run in parallel, slide 33 repeats them.
    sentences = SENTENCES[:402]
    lost = {}
    for num_proc in (None, 4):
        lm_dataset = numbered(sentences).map(slide_33(), batched=True, num_proc=num_proc)
        lost[f"num_proc={num_proc}"] = sum(sentences) - sum(map(len, ids(lm_dataset)))
    evidence |= {"tokens": sum(sentences), "lost": lost}
    assert len(set(lost.values())) == 1


@pytest.mark.correction("chunk.drops-tail.num-proc")
@pytest.mark.parametrize("num_proc", [1, 3])
def test_each_process_loses_a_tail(num_proc, evidence):
    """Each process has its own rows, its own batches and so its own tails."""
    sentences = SENTENCES[:402]  # in thirds: 134 rows, in batches of 60, 60 and 14
    lm_dataset = numbered(sentences).map(slide_33(), batched=True, batch_size=60, num_proc=num_proc)
    expected = tails(sentences, 128, batch_size=60, num_proc=num_proc)
    evidence |= {"tails": expected}
    assert sum(sentences) - sum(map(len, ids(lm_dataset))) == sum(expected)


@pytest.mark.correction("chunk.drops-tail.num-proc")
def test_one_process_loses_one_tail():
    """One process with one batch loses less than a block."""
    group_texts = slide_33()
    tokenized_datasets = DatasetDict({"train": numbered(SENTENCES[:402])})
    lm_datasets = tokenized_datasets.map(
        group_texts,
        batched=True,
        batch_size=None,
    )
    assert sum(SENTENCES[:402]) - sum(map(len, ids(lm_datasets["train"]))) == sum(SENTENCES[:402]) % 128


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """Numbered sentences in files, as after `load_dataset`: only of such a table does `map` keep its results."""
    folder = str(tmp_path_factory.mktemp("sentences"))
    numbered(SENTENCES[:402]).save_to_disk(folder)
    return load_from_disk(folder)


@pytest.fixture(scope="module")
def first_blocks(on_disk):
    """What the call of slide 33 makes of them, in four processes; its results are kept."""
    return ids(on_disk.map(slide_33(), batched=True, num_proc=4))


@pytest.mark.claim("chunk.drops-tail.num-proc-again")
def test_second_call_uses_its_own_number_of_processes(on_disk, first_blocks, evidence):
    """After a call in four processes, the same call in one process loses one tail."""
    blocks = ids(on_disk.map(slide_33(), batched=True))
    evidence |= {
        "lost with num_proc=4": sum(SENTENCES[:402]) - sum(map(len, first_blocks)),
        "lost with num_proc=None": sum(SENTENCES[:402]) - sum(map(len, blocks)),
    }
    assert sum(SENTENCES[:402]) - sum(map(len, blocks)) == sum(SENTENCES[:402]) % 128


@pytest.mark.correction("chunk.drops-tail.num-proc-again")
@pytest.mark.parametrize("load_from_cache_file", [True, False])
def test_second_call_keeps_the_first_number_of_processes(on_disk, first_blocks, load_from_cache_file):
    """The files of the first call decide how many parts are made, also where they are to be made again."""
    again = on_disk.map(slide_33(), batched=True, load_from_cache_file=load_from_cache_file)
    assert ids(again) == first_blocks


@pytest.mark.correction("chunk.drops-tail.num-proc-again")
def test_another_batch_size_is_another_call(on_disk, first_blocks):
    """With `batch_size=None` the files of the first call are not looked at."""
    group_texts = slide_33()
    tokenized_datasets = DatasetDict({"train": on_disk})
    lm_datasets = tokenized_datasets.map(
        group_texts,
        batched=True,
        batch_size=None,
    )
    assert ids(lm_datasets["train"]) != first_blocks
    assert sum(SENTENCES[:402]) - sum(map(len, ids(lm_datasets["train"]))) == sum(SENTENCES[:402]) % 128


# --- every column -----------------------------------------------------------------------------------------------------


@pytest.mark.claim("chunk.all-columns")
@given(lengths=LENGTHS, block_size=BLOCK_SIZES, batch_size=BATCH_SIZES)
@settings(max_examples=15)
def test_columns_stay_aligned(lengths, block_size, batch_size):
    """In every block each token still has the values that it had in the other columns."""
    sentences = ids(numbered(lengths))
    tokenized = Dataset.from_dict(
        {
            "input_ids": sentences,
            "special_tokens_mask": [[token % 2 for token in sentence] for sentence in sentences],
            "token_type_ids": [[token % 3 for token in sentence] for sentence in sentences],
        }
    )
    blocks = tokenized.map(slide_33(block_size), batched=True, batch_size=batch_size)[:]
    assert blocks["special_tokens_mask"] == [[token % 2 for token in block] for block in blocks["input_ids"]]
    assert blocks["token_type_ids"] == [[token % 3 for token in block] for block in blocks["input_ids"]]


@pytest.mark.claim("chunk.all-columns")
def test_masks_stay_aligned(tokenizer, dataset, evidence):
    """After tokenising and cutting, the special-token mask is 1 exactly at [CLS] and [SEP]."""
    tokenized = dataset.map(
        lambda rows: tokenizer(rows["text"], return_special_tokens_mask=True),
        batched=True,
        remove_columns=["text", "source"],
    )
    blocks = tokenized.map(slide_33(), batched=True)[:]
    evidence |= {"blocks": len(blocks["input_ids"]), "columns": sorted(blocks)}
    assert {len(block) for column in blocks.values() for block in column} == {128}
    assert blocks["special_tokens_mask"] == [[int(token in (101, 102)) for token in row] for row in blocks["input_ids"]]


UNEQUAL = [pytest.param(29, id="longer"), pytest.param(12, id="shorter")]


@pytest.mark.claim("chunk.all-columns.unequal")
@pytest.mark.parametrize("length", UNEQUAL)
def test_column_of_another_length_is_cut_the_same_way(length, evidence):
    """A column that is longer or shorter than the first is cut into whole blocks, too."""
    tokenized = Dataset.from_dict({"input_ids": [list(range(20))], "labels": [list(range(length))]})
    blocks = tokenized.map(slide_33(8), batched=True)[:]
    evidence |= {"tokens": {"input_ids": 20, "labels": length}, "labels per block": list(map(len, blocks["labels"]))}
    assert [len(block) for block in blocks["labels"]] == [8] * (length // 8)


@pytest.mark.correction("chunk.all-columns.unequal")
@pytest.mark.parametrize("length", [29, 20, 12, 4])
def test_first_column_decides(length):
    """As many blocks are cut as the first column has; what is longer is lost, what is shorter leaves short blocks."""
    tokenized = Dataset.from_dict({"input_ids": [list(range(20))], "labels": [list(range(length))]})
    blocks = tokenized.map(slide_33(8), batched=True)[:]
    assert blocks["labels"] == [list(range(min(length, 8))), list(range(8, min(length, 16)))]


@pytest.mark.correction("chunk.all-columns.unequal")
@pytest.mark.parametrize("length", UNEQUAL)
def test_unequal_columns_can_be_refused(length):
    """One line in the function notices columns of unequal length."""

    def group_texts(examples):
        concatenated_examples = {k: list(chain(*examples[k])) for k in examples.keys()}
        assert len({len(t) for t in concatenated_examples.values()}) == 1

    tokenized = Dataset.from_dict({"input_ids": [list(range(20))], "labels": [list(range(length))]})
    with pytest.raises(AssertionError):
        tokenized.map(group_texts, batched=True)


@pytest.mark.claim("chunk.all-columns.text-column")
def test_other_column_of_text_is_cut_the_same_way(tokenizer, dataset, evidence):
    """With the column `source`, which tokenising leaves there, all blocks still have 128 tokens."""
    # Slide 31 shows a table with the columns `text` and `source`; slide 32 removes `text` alone.
    tokenized = dataset.map(lambda rows: tokenizer(rows["text"]), batched=True, remove_columns=["text"])
    blocks = tokenized.map(slide_33(), batched=True)[:]
    evidence |= {
        "columns": list(blocks),
        "tokens": sum(map(len, ids(tokenized))),
        "tokens in blocks": sum(map(len, blocks["input_ids"])),
        "a block of source": "|".join(blocks["source"][0])[:40],
    }
    assert {len(block) for block in blocks["input_ids"]} == {128}
    assert sum(map(len, ids(tokenized))) - sum(map(len, blocks["input_ids"])) < 128


@pytest.mark.correction("chunk.all-columns.text-column")
def test_text_is_cut_by_characters(tokenizer, dataset):
    """A column of text is joined character by character and, being the first, its length decides for the ids."""
    tokenized = dataset.map(lambda rows: tokenizer(rows["text"]), batched=True, remove_columns=["text"])
    blocks = tokenized.map(slide_33(), batched=True)[:]
    characters = "".join(dataset["source"])
    assert tokenized.column_names[0] == "source"
    assert blocks["source"] == [list(characters[end - 128 : end]) for end in range(128, len(characters) + 1, 128)]
    assert sum(map(len, blocks["input_ids"])) == len(characters) // 128 * 128


@pytest.mark.correction("chunk.all-columns.text-column")
def test_removing_all_old_columns_leaves_tokens_alone(tokenizer, dataset):
    """Where tokenising removes every old column, only tokens are cut."""
    dataset = DatasetDict({"train": dataset})

    def tokenize_function(examples):
        return tokenizer(examples["text"])

    tokenized_datasets = dataset.map(
        tokenize_function,
        batched=True,
        remove_columns=dataset["train"].column_names,
    )
    blocks = tokenized_datasets["train"].map(slide_33(), batched=True)[:]
    assert {len(block) for column in blocks.values() for block in column} == {128}


@pytest.mark.claim("chunk.all-columns.number-column")
def test_other_column_of_numbers_is_cut_the_same_way():
    """A column with one number per row goes through the printed function."""
    tokenized = numbered([5, 5]).add_column("id", [0, 1])
    tokenized.map(slide_33(8), batched=True)


@pytest.mark.correction("chunk.all-columns.number-column")
def test_number_column_has_to_go():
    """Only columns of lists can be joined: without the number the function runs."""
    dataset = DatasetDict({"train": Dataset.from_dict({"text": ["ab", "cd"], "id": [0, 1]})})

    def tokenize_function(examples):
        return {"input_ids": [list(map(ord, text)) for text in examples["text"]]}

    tokenized_datasets = dataset.map(
        tokenize_function,
        batched=True,
        remove_columns=dataset["train"].column_names,
    )
    lm_datasets = tokenized_datasets.map(slide_33(4), batched=True)
    assert ids(lm_datasets["train"]) == [list(b"abcd")]
