"""Slide 32: one `map` call tokenises the column `text` in four processes."""

import os
import time

import pytest
from datasets import Dataset, DatasetDict
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from fixtures import corpus, messages, vocabulary

LINES = corpus.splits(train=400, validation=40, test=40)
OVER_LONG = "the " * 600  # 600 tokens; the model has 512 positions

# Letters, digits, punctuation, brackets as in "[SEP]", white space, an accent, a Chinese character, an emoji, and
# characters that the tokenizer drops. A short alphabet, because Hypothesis takes seconds to prepare all of Unicode.
TEXTS = st.text("aBcz09.,'#@[]\u00e9\u5bb6\U0001f600 \t\n\u00a0\u3000\u0301\u200b\x00\ufffd", max_size=60)
TABLES = st.lists(TEXTS, min_size=1, max_size=20)


@pytest.fixture(scope="module")
def model_id(tmp_path_factory):
    """A folder with an uncased BERT tokenizer: a small vocabulary with the published one's special ids."""
    return str(vocabulary.write_uncased(tmp_path_factory.mktemp("uncased")))


@pytest.fixture(scope="module")
def tokenizer(model_id):
    """The tokenizer of slide 26."""
    return AutoTokenizer.from_pretrained(model_id)


@pytest.fixture(scope="module")
def dataset():
    """Three splits of text lines, blank ones among them. They are in memory: `map` cannot reuse an earlier result."""
    return DatasetDict({split: Dataset.from_dict({"text": lines}) for split, lines in LINES.items()})


@pytest.fixture(scope="module")
def tokenized_datasets(dataset, tokenizer):
    """The call of slide 32."""

    def tokenize_function(examples):
        return tokenizer(examples["text"], return_special_tokens_mask=True)

    return dataset.map(
        tokenize_function,
        batched=True,
        num_proc=4,
        remove_columns=["text"],
    )


@pytest.fixture(scope="module")
def tokenize(tokenizer):
    """The call of slide 32 on a list of texts, in this process: a table of columns."""

    def tokenize(texts, **options):
        def tokenize_function(examples):
            return tokenizer(examples["text"], return_special_tokens_mask=True)

        table = Dataset.from_dict({"text": texts})
        # A fingerprint given saves `map` the pickling of the tokenizer, most of what this call would take.
        options.setdefault("new_fingerprint", table._fingerprint + "-tokenised")
        return table.map(tokenize_function, batched=True, remove_columns=["text"], **options)[:]

    return tokenize


@pytest.fixture
def said():
    """What transformers logs."""
    with messages.logged() as records:
        yield records


# --- one call, in batches, in four processes --------------------------------------------------------------------------


@pytest.mark.claim("tokenize.batched-map")
def test_map_tokenises_every_row(tokenized_datasets, tokenizer, evidence):
    """In each split each row has what the tokenizer makes of its text alone, in the order of the texts."""
    # Slide 32 says that one call, in batches and in 4 processes, tokenises the column "text".
    evidence["rows"] = {split: len(table) for split, table in tokenized_datasets.items()}
    assert list(tokenized_datasets) == list(LINES)
    for split, lines in LINES.items():
        expected = [dict(tokenizer(line, return_special_tokens_mask=True)) for line in lines]
        assert list(tokenized_datasets[split]) == expected


@pytest.mark.claim("tokenize.batched-map.processes")
@pytest.mark.parametrize("num_proc", [None, 1, 2])
def test_number_of_processes_does_not_matter(tokenized_datasets, tokenize, num_proc):
    """One process, two and four give the same table."""
    assert tokenize(LINES["test"], num_proc=num_proc) == tokenized_datasets["test"][:]


@pytest.mark.claim("tokenize.batched-map.batch-size")
@pytest.mark.parametrize("batch_size", [1, 7, 40, 1_000, None])
def test_batch_size_does_not_matter(tokenized_datasets, tokenize, batch_size):
    """Batches of any size give the same table."""
    assert tokenize(LINES["test"], batch_size=batch_size) == tokenized_datasets["test"][:]


@pytest.mark.claim("tokenize.batched-map.four-processes")
def test_four_processes_tokenise(dataset, tokenizer, tmp_path, evidence):
    """Four processes tokenise at the same time, none of which is this one."""

    def tokenize_function(examples):
        (tmp_path / str(os.getpid())).touch()
        # Wait for the others: one that is done early would take over the rows of one that starts late.
        deadline = time.monotonic() + 30
        while len(list(tmp_path.iterdir())) < 4 and time.monotonic() < deadline:
            time.sleep(0.005)
        return tokenizer(examples["text"], return_special_tokens_mask=True)

    dataset["train"].map(
        tokenize_function,
        batched=True,
        num_proc=4,
        remove_columns=["text"],
    )
    processes = {int(path.name) for path in tmp_path.iterdir()}
    evidence["processes"] = len(processes)
    assert os.getpid() not in processes
    assert len(processes) == 4


@pytest.mark.claim("tokenize.batched-map.many-rows")
def test_function_gets_many_rows_at_a_time(dataset, evidence):
    """The function gets lists of texts, 1,000 at most: here the 100 that each process has, and 1,000 of 1,200."""

    def rows_of_batch(examples):
        return {"rows": [len(examples["text"])] * len(examples["text"])}

    many = Dataset.from_dict({"text": LINES["train"] * 3})
    seen = {
        "400 rows, 4 processes": dataset["train"].map(rows_of_batch, batched=True, num_proc=4)[:]["rows"],
        "1200 rows, 1 process": many.map(rows_of_batch, batched=True)[:]["rows"],
    }
    evidence["rows per call"] = {case: sorted(set(rows)) for case, rows in seen.items()}
    assert seen["400 rows, 4 processes"] == [100] * 400
    assert seen["1200 rows, 1 process"] == [1_000] * 1_000 + [200] * 200


@pytest.mark.claim("tokenize.batched-map.whole-text")
def test_over_long_text_is_tokenised_whole(model_id, said, evidence):
    """Nothing of a text is cut off, not even where it is longer than the model's 512 positions."""
    tokenizer = AutoTokenizer.from_pretrained(model_id)  # one that has not warned yet: it does so once

    def tokenize_function(examples):
        return tokenizer(examples["text"], return_special_tokens_mask=True)

    dataset = Dataset.from_dict({"text": ["the", OVER_LONG]})
    tokenized = dataset.map(tokenize_function, batched=True, remove_columns=["text"])
    the = tokenizer.convert_tokens_to_ids("the")
    evidence |= {
        "tokens": len(tokenized[1]["input_ids"]),
        "the tokenizer's limit": tokenizer.model_max_length,
        "said": [record.getMessage() for record in said],
    }
    assert tokenized[1]["input_ids"] == [101, *[the] * 600, 102]


# --- the mask of special tokens ---------------------------------------------------------------------------------------


@pytest.mark.claim("tokenize.special-mask")
def test_mask_is_one_at_both_ends(tokenized_datasets, evidence):
    """In every row the mask is 1 first and last, and 0 between."""
    masks = [mask for table in tokenized_datasets.values() for mask in table[:]["special_tokens_mask"]]
    evidence |= {"rows": len(masks), "rows with nothing between": masks.count([1, 1])}
    assert all(mask == [1, *[0] * (len(mask) - 2), 1] for mask in masks)


@pytest.mark.claim("tokenize.special-mask")
@given(texts=TABLES)
@example(texts=["", " \t\n", "\u00a0\u3000", OVER_LONG])
@settings(max_examples=10)
def test_mask_of_any_text(tokenize, texts):
    """Whatever the text, be it empty, blank or over-long, the mask is 1 first and last, and 0 between."""
    masks = tokenize(texts)["special_tokens_mask"]
    assert all(mask == [1, *[0] * (len(mask) - 2), 1] for mask in masks)


@pytest.mark.claim("tokenize.special-mask.spelled-out")
@pytest.mark.parametrize("token", ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]"])
def test_mask_marks_every_special_token(tokenizer, tokenize, evidence, token):
    """A special token that the text spells out is marked, too."""
    [ids], [mask] = (tokenize([f"a {token} b"])[column] for column in ("input_ids", "special_tokens_mask"))
    evidence |= {"text": f"a {token} b", "input_ids": ids, "special_tokens_mask": mask}
    assert mask == [int(number in tokenizer.all_special_ids) for number in ids]


@pytest.mark.correction("tokenize.special-mask.spelled-out")
@pytest.mark.parametrize("token", ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]"])
def test_spelled_out_token_has_its_id_but_no_mark(tokenizer, tokenize, token):
    """A special token in the text becomes that token's id, with a 0 in the mask."""
    [ids], [mask] = (tokenize([f"a {token} b"])[column] for column in ("input_ids", "special_tokens_mask"))
    assert ids[2] == tokenizer.convert_tokens_to_ids(token)
    assert (len(ids), mask) == (5, [1, 0, 0, 0, 1])


@pytest.mark.correction("tokenize.special-mask.spelled-out")
def test_mask_can_be_made_from_the_ids(tokenizer):
    """Asked for the mask of finished ids, the tokenizer marks every special token."""
    input_ids = tokenizer("a [SEP] b")["input_ids"]
    mask = tokenizer.get_special_tokens_mask(
        input_ids,
        already_has_special_tokens=True,
    )
    assert mask == [1, 0, 1, 0, 1]


# --- columns ----------------------------------------------------------------------------------------------------------


@pytest.mark.claim("tokenize.removes-text")
def test_text_is_gone(tokenized_datasets, evidence):
    """No split has the column `text` afterwards."""
    evidence["columns"] = tokenized_datasets.column_names
    assert all("text" not in table.column_names for table in tokenized_datasets.values())


@pytest.mark.claim("tokenize.removes-text.only-it")
def test_other_columns_stay(tokenizer):
    """Another column stays as it was."""
    sources = corpus.sources(LINES["test"])
    dataset = Dataset.from_dict({"text": LINES["test"], "source": sources})

    def tokenize_function(examples):
        return tokenizer(examples["text"], return_special_tokens_mask=True)

    tokenized = dataset.map(tokenize_function, batched=True, remove_columns=["text"])
    assert tokenized[:].get("source") == sources


@pytest.mark.claim("tokenize.columns")
def test_result_has_the_two_printed_columns(tokenized_datasets):
    """Each split has `input_ids` and `special_tokens_mask`."""
    assert all({"input_ids", "special_tokens_mask"} <= set(table.column_names) for table in tokenized_datasets.values())


@pytest.mark.claim("tokenize.columns.no-others")
def test_result_has_no_other_columns(tokenized_datasets, evidence):
    """Each split has `input_ids` and `special_tokens_mask`, and nothing else."""
    evidence["columns"] = tokenized_datasets["train"].column_names
    assert all({"input_ids", "special_tokens_mask"} == set(table.column_names) for table in tokenized_datasets.values())


@pytest.mark.correction("tokenize.columns.no-others")
def test_result_has_four_columns(tokenized_datasets):
    """A BERT tokenizer also gives `token_type_ids`, all 0 here, and `attention_mask`, all 1."""
    for table in tokenized_datasets.values():
        assert set(table.column_names) == {"input_ids", "token_type_ids", "attention_mask", "special_tokens_mask"}
        assert {number for row in table[:]["token_type_ids"] for number in row} == {0}
        assert {number for row in table[:]["attention_mask"] for number in row} == {1}


@pytest.mark.correction("tokenize.columns.no-others")
def test_other_columns_can_be_declined(dataset, tokenizer):
    """The tokenizer leaves out the two others if told so."""

    def tokenize_function(examples):
        return tokenizer(
            examples["text"],
            return_special_tokens_mask=True,
            return_token_type_ids=False,
            return_attention_mask=False,
        )

    tokenized_datasets = dataset.map(tokenize_function, batched=True, remove_columns=["text"])
    assert {name for table in tokenized_datasets.values() for name in table.column_names} == {
        "input_ids",
        "special_tokens_mask",
    }


@pytest.mark.claim("tokenize.columns.equal-lengths")
@given(texts=TABLES)
@settings(max_examples=10)
def test_columns_of_a_row_have_equal_lengths(tokenize, texts):
    """In each row, every column has one value per token."""
    columns = tokenize(texts)
    assert all(len(set(map(len, row))) == 1 for row in zip(*columns.values(), strict=True))


@pytest.mark.claim("tokenize.columns.dictionary")
def test_result_is_like_a_dictionary_of_columns(tokenized_datasets):
    """The result's `input_ids` is the list of the rows' ids."""
    # Slide 32 prints the result as {"input_ids": [[101, ...], ...], "special_tokens_mask": [[1, ...], ...]}.
    assert tokenized_datasets["input_ids"][0][0] == 101


@pytest.mark.correction("tokenize.columns.dictionary")
def test_slice_of_a_split_is_a_dictionary_of_columns(tokenized_datasets, tokenizer):
    """The result is a dictionary of splits; some rows of a split come as what is printed."""
    rows = tokenized_datasets["train"][:2]
    assert list(tokenized_datasets) == ["train", "validation", "test"]
    assert rows == dict(tokenizer(LINES["train"][:2], return_special_tokens_mask=True))


# --- ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.claim("tokenize.ids")
def test_every_row_starts_with_101_and_ends_with_102(tokenized_datasets, evidence):
    """In each split each row starts with 101 and ends with 102."""
    rows = [ids for table in tokenized_datasets.values() for ids in table[:]["input_ids"]]
    evidence |= {"rows": len(rows), "rows of the two alone": rows.count([101, 102])}
    assert {(ids[0], ids[-1]) for ids in rows} == {(101, 102)}


@pytest.mark.claim("tokenize.ids")
@given(texts=TABLES)
@example(texts=[OVER_LONG])
@settings(max_examples=10)
def test_ends_of_any_text(tokenize, texts):
    """Whatever the text, its first id is 101 and its last 102."""
    rows = tokenize(texts)["input_ids"]
    assert {(ids[0], ids[-1]) for ids in rows} == {(101, 102)}


@pytest.mark.claim("tokenize.ids.class-and-separator")
def test_101_and_102_are_class_and_separator(tokenizer):
    """101 is the id of [CLS] and 102 that of [SEP]."""
    assert (tokenizer.cls_token, tokenizer.sep_token) == ("[CLS]", "[SEP]")
    assert tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"]) == [101, 102]


@pytest.mark.claim("tokenize.ids.blank")
@pytest.mark.parametrize("text", ["", " ", " \n", "\t\r\n", "\u00a0", "\u3000"])
def test_blank_text_has_the_two_ends_alone(tokenize, text):
    """A text with nothing but white space becomes 101, 102."""
    assert tokenize([text])["input_ids"] == [[101, 102]]
