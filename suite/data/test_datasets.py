"""Slides 27 to 31: loading a dataset, its tables, columns and rows, and how prepared data is served."""

import random
from itertools import chain

import pytest
import torch
from datasets import Dataset, DatasetDict, load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

from fixtures import corpus, vocabulary

LINES = corpus.splits(train=90, validation=20, test=15)
SOURCES = {split: corpus.sources(lines) for split, lines in LINES.items()}
SIZES = {"train": 90, "validation": 20, "test": 15}
FORMS = ["text", "parquet", "jsonl", "csv"]
BUILDERS = {"text": "text", "parquet": "parquet", "jsonl": "json", "csv": "csv"}


def sizes(dataset):
    """Rows of each split."""
    return {split: len(table) for split, table in dataset.items()}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """An uncased BERT tokenizer with a small vocabulary."""
    return AutoTokenizer.from_pretrained(vocabulary.write_uncased(tmp_path_factory.mktemp("uncased")))


# --- the package ------------------------------------------------------------------------------------------------------


@pytest.mark.claim("data.package-name")
def test_library_is_called_dataset():
    """`load_dataset` comes from the library `dataset`."""
    # Slides 27 and 28 name the library `dataset`; slide 30 imports from `datasets`.
    from dataset import load_dataset  # noqa: F401


@pytest.mark.correction("data.package-name")
def test_library_is_called_datasets():
    """`load_dataset` comes from the library `datasets`."""
    from datasets import load_dataset

    assert load_dataset.__module__.startswith("datasets.")


# --- a dictionary of tables -------------------------------------------------------------------------------------------


@pytest.mark.claim("data.splits")
@pytest.mark.parametrize("form", FORMS)
def test_loaded_dataset_is_a_dictionary_of_three_tables(hub, evidence, form):
    """Loaded from the Hub, the dataset is a dictionary from train, validation and test to tables."""
    # Slide 31 says that `dataset` is a dictionary with these three keys, like three tables.
    hub.dataset("iohadrubin/wikitext-103-raw-v1", corpus.repo_files(LINES, form))
    dataset = load_dataset("iohadrubin/wikitext-103-raw-v1")
    evidence |= {"type": type(dataset).__name__, "rows": sizes(dataset)}
    assert isinstance(dataset, dict)
    assert all(isinstance(table, Dataset) for table in dataset.values())
    assert list(dataset) == ["train", "validation", "test"]
    assert sizes(dataset) == SIZES


@pytest.mark.correction("data.splits")
@pytest.mark.parametrize("form", FORMS)
def test_loaded_dataset_has_test_before_validation(hub, form):
    """Loaded from the Hub, the dataset is a dictionary of the three tables; the test split is not the last."""
    hub.dataset("iohadrubin/wikitext-103-raw-v1", corpus.repo_files(LINES, form))
    dataset = load_dataset("iohadrubin/wikitext-103-raw-v1")
    assert isinstance(dataset, dict)
    assert all(isinstance(table, Dataset) for table in dataset.values())
    assert [split for split in dataset if split != "train"] == ["test", "validation"]
    assert sizes(dataset) == SIZES


@pytest.mark.claim("data.splits.local-files")
@pytest.mark.parametrize("form", FORMS)
def test_local_files_give_the_same_dictionary(tmp_path, form):
    """Loaded from files on this machine, the dataset has the same three tables."""
    for name, content in corpus.repo_files(LINES, form).items():
        (tmp_path / name).write_bytes(content)
    [suffix] = {path.suffix for path in tmp_path.iterdir()} - {".md"}
    data_files = {split: str(tmp_path / f"{split}{suffix}") for split in LINES}
    dataset = load_dataset(BUILDERS[form], data_files=data_files, cache_dir=str(tmp_path / "cache"))
    assert isinstance(dataset, dict)
    assert (list(dataset), sizes(dataset)) == (["train", "validation", "test"], SIZES)


@pytest.mark.claim("data.splits.every-repo")
def test_every_dataset_has_three_tables(hub, evidence):
    """A dataset whose repo has one file has the keys of slide 31, too."""
    hub.dataset("iohadrubin/wikitext-103-raw-v1", {"lines.txt": "one\ntwo\n"})
    dataset = load_dataset("iohadrubin/wikitext-103-raw-v1")
    evidence["rows"] = sizes(dataset)
    assert list(dataset) == ["train", "validation", "test"]


@pytest.mark.correction("data.splits.every-repo")
def test_one_file_is_all_train(hub):
    """Where neither file names nor the card tell of splits, all is in `train`; a part of it can be asked for."""
    hub.dataset("iohadrubin/wikitext-103-raw-v1", {"lines.txt": "line\n" * 50})
    assert sizes(load_dataset("iohadrubin/wikitext-103-raw-v1")) == {"train": 50}
    train, validation = load_dataset(
        "iohadrubin/wikitext-103-raw-v1",
        split=["train[:90%]", "train[90%:]"],
    )
    assert (len(train), len(validation)) == (45, 5)


@pytest.mark.claim("data.splits.records")
@pytest.mark.parametrize("form", ["text", "parquet", "jsonl"])
def test_tables_have_the_records_of_the_repo(hub, form):
    """The rows are the repo's records, in their order; a line of text comes without its line feed."""
    hub.dataset("iohadrubin/wikitext-103-raw-v1", corpus.repo_files(LINES, form))
    dataset = load_dataset("iohadrubin/wikitext-103-raw-v1")
    written = {
        split: [line.removesuffix("\n") for line in lines] if form == "text" else lines
        for split, lines in LINES.items()
    }
    assert {split: table[:]["text"] for split, table in dataset.items()} == written


@pytest.mark.claim("data.splits.csv-records")
def test_csv_has_the_records_of_the_repo(hub, evidence):
    """From csv files, too, the rows are the repo's records."""
    hub.dataset("iohadrubin/wikitext-103-raw-v1", corpus.repo_files(LINES, "csv"))
    dataset = load_dataset("iohadrubin/wikitext-103-raw-v1")
    evidence |= {"empty records": LINES["train"].count(""), "None": dataset["train"][:]["text"].count(None)}
    assert {split: table[:]["text"] for split, table in dataset.items()} == LINES


@pytest.mark.correction("data.splits.csv-records")
def test_empty_csv_field_becomes_none(hub):
    """Of a csv file, an empty text comes as None; told to keep it, the reader gives the text."""
    hub.dataset("iohadrubin/wikitext-103-raw-v1", corpus.repo_files(LINES, "csv"))
    dataset = load_dataset("iohadrubin/wikitext-103-raw-v1")
    assert dataset["train"][:]["text"] == [line or None for line in LINES["train"]]
    dataset = load_dataset(
        "iohadrubin/wikitext-103-raw-v1",
        keep_default_na=False,
    )
    assert dataset["train"][:]["text"] == LINES["train"]


@pytest.mark.correction("data.splits.csv-records")
def test_tokenizer_refuses_none(tokenizer):
    """A tokenizer fails on a text that is None."""
    with pytest.raises((TypeError, ValueError)):
        tokenizer(["a text", None])


@pytest.mark.claim("data.splits.cache")
@pytest.mark.parametrize("form", ["text", "parquet"])
def test_second_load_comes_from_the_cache(hub, evidence, form):
    """Loaded again, the dataset is the same and no content of any file is sent."""
    hub.dataset("iohadrubin/wikitext-103-raw-v1", corpus.repo_files(LINES, form))
    first = load_dataset("iohadrubin/wikitext-103-raw-v1")
    sent = hub.log.file_bytes
    hub.log.clear()
    second = load_dataset("iohadrubin/wikitext-103-raw-v1")
    evidence |= {
        "bytes": {"first": sent, "second": hub.log.file_bytes},
        "asked for": sorted(hub.log.files("iohadrubin/wikitext-103-raw-v1")),
    }
    assert sent > 0
    assert hub.log.file_bytes == 0
    assert {split: table[:] for split, table in second.items()} == {split: table[:] for split, table in first.items()}


# --- columns and rows -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A dataset with the columns of slide 31's, from files: its tables are on disk, as those of a downloaded one."""
    folder = tmp_path_factory.mktemp("files")
    for name, content in corpus.repo_files(LINES, "parquet", source=True).items():
        (folder / name).write_bytes(content)
    data_files = {split: str(folder / f"{split}.parquet") for split in LINES}
    return load_dataset("parquet", data_files=data_files, cache_dir=str(folder / "cache"))


@pytest.mark.claim("data.columns")
@pytest.mark.parametrize("column", ["text", "source"])
def test_column_is_a_list(dataset, evidence, column):
    """`dataset["train"][column]` is a list."""
    # Slide 31 says that each column is a list, and that dataset["train"]["source"] is one.
    evidence["type"] = f"{type(dataset['train'][column]).__module__}.{type(dataset['train'][column]).__name__}"
    assert isinstance(dataset["train"][column], list)


@pytest.mark.correction("data.columns")
def test_column_reads_like_a_list(dataset):
    """It is a `Column`, which reads each value from the table when it is asked for; a slice of it is a list."""
    column = dataset["train"]["source"]
    assert type(column).__name__ == "Column"
    assert (len(column), column[0], column[-1]) == (90, SOURCES["train"][0], SOURCES["train"][-1])
    assert column == SOURCES["train"]
    assert isinstance(column[:], list)
    assert column[:] == SOURCES["train"]


@pytest.mark.correction("data.columns")
def test_column_of_all_rows_is_a_list(dataset):
    """Taking all rows first gives a list."""
    column = dataset["train"][:]["source"]
    assert isinstance(column, list)
    assert column == SOURCES["train"]


@pytest.mark.claim("data.columns.values")
def test_columns_have_the_values_in_order(dataset, evidence):
    """Each table has the columns `text` and `source`, with the values of all rows in their order."""
    evidence["columns"] = dataset.column_names
    for split, table in dataset.items():
        assert table.column_names == ["text", "source"]
        assert (list(table["text"]), list(table["source"])) == (LINES[split], SOURCES[split])


@pytest.mark.claim("data.columns.equal-lengths")
def test_columns_are_equally_long(dataset):
    """Each column of a table has as many values as the table has rows."""
    assert all(len(table[column]) == len(table) for table in dataset.values() for column in table.column_names)


@pytest.mark.claim("data.columns.types")
def test_columns_have_a_type(dataset, evidence):
    """The table says the type of each column, and the values are of it."""
    features = dataset["train"].features
    evidence["features"] = {name: feature.dtype for name, feature in features.items()}
    assert {name: feature.dtype for name, feature in features.items()} == {"text": "string", "source": "string"}
    assert all(type(value) is str for row in dataset["train"] for value in row.values())


@pytest.mark.claim("data.rows")
@given(row=st.integers(0, 89))
@settings(max_examples=20)
def test_row_is_a_dictionary(dataset, row):
    """A row is a dictionary from the names of all columns to that row's values."""
    # Slide 31 says that each row is a dictionary, and that dataset["train"][0] is one.
    assert type(dataset["train"][row]) is dict
    assert dataset["train"][row] == {"text": LINES["train"][row], "source": SOURCES["train"][row]}


@pytest.mark.claim("data.rows.of-column")
@given(row=st.integers(0, 89))
@settings(max_examples=20)
def test_row_of_column_is_column_of_row(dataset, row):
    """The value is the same, be the column named first or the row."""
    assert dataset["train"]["source"][row] == dataset["train"][row]["source"]


@pytest.mark.claim("data.rows.numbered-like-a-list")
@given(row=st.integers(-100, 100))
@settings(max_examples=40)
def test_rows_are_numbered_like_a_list(dataset, row):
    """Rows are numbered from 0, negative numbers count from the end, and what is outside is an IndexError."""
    if -90 <= row < 90:
        assert dataset["train"][row]["text"] == LINES["train"][row]
    else:
        with pytest.raises(IndexError):
            dataset["train"][row]


@pytest.mark.claim("data.rows.numbered-like-a-list")
@pytest.mark.parametrize("row", [0, 89, -1, -90])
def test_first_and_last_row(dataset, row):
    """The first and the last row can be had from either end."""
    assert dataset["train"][row]["text"] == LINES["train"][row]


@pytest.mark.claim("data.rows.numbered-like-a-list")
@pytest.mark.parametrize("row", [90, -91, 10**9])
def test_no_row_outside(dataset, row):
    """There is no row before the first and none after the last."""
    with pytest.raises(IndexError):
        dataset["train"][row]


@pytest.mark.claim("data.rows.iteration")
def test_a_table_is_iterated_by_rows(dataset):
    """A loop over a table gives its rows, each a dictionary."""
    rows = [{"text": text, "source": source} for text, source in zip(LINES["train"], SOURCES["train"], strict=True)]
    assert list(dataset["train"]) == rows


@pytest.mark.claim("data.rows.slice")
def test_slice_gives_rows(dataset, evidence):
    """Several rows are a list of dictionaries."""
    evidence["type of dataset['train'][:2]"] = type(dataset["train"][:2]).__name__
    assert dataset["train"][:2] == [dataset["train"][0], dataset["train"][1]]


@pytest.mark.correction("data.rows.slice")
@given(start=st.integers(-100, 100), stop=st.integers(-100, 100))
@settings(max_examples=25)
def test_slice_gives_columns(dataset, start, stop):
    """A slice is one dictionary, from column name to the list of those rows' values."""
    rows = slice(start, stop)
    assert dataset["train"][rows] == {"text": LINES["train"][rows], "source": SOURCES["train"][rows]}


@pytest.mark.correction("data.rows.slice")
def test_selected_rows_are_dictionaries(dataset):
    """Selecting rows makes a smaller table, and that can be listed row by row."""
    rows = list(dataset["train"].select(range(2)))
    assert rows == [dataset["train"][0], dataset["train"][1]]


# --- serving ----------------------------------------------------------------------------------------------------------

BLOCKS = 45  # 5 batches of 8 and one of 5


@pytest.fixture(scope="module")
def lm_datasets(tokenizer):
    """Blocks of 128 tokens with the columns of slide 32, as slide 33 leaves them."""
    rows = tokenizer(corpus.splits(train=600)["train"], return_special_tokens_mask=True)
    strings = {name: list(chain(*values)) for name, values in rows.items()}
    blocks = {name: [t[i * 128 : (i + 1) * 128] for i in range(BLOCKS)] for name, t in strings.items()}
    return DatasetDict({"train": Dataset.from_dict(blocks), "validation": Dataset.from_dict(blocks)})


class Recording:
    """A collator that also writes down which columns the blocks come with."""

    def __init__(self, collator):
        self.collator = collator
        self.columns = set()

    def __call__(self, blocks):
        self.columns.update(*blocks)
        return self.collator(blocks)


@pytest.fixture
def make_trainer(tokenizer, lm_datasets, tmp_path):
    """Makes the trainer of slide 41, with a tiny model and batches of 8."""

    def make_trainer(training_args=None, **options):
        training_args = training_args or TrainingArguments(
            output_dir=str(tmp_path), per_device_train_batch_size=8, report_to="none", **options
        )
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        return Trainer(
            model=AutoModelForMaskedLM.from_config(BertConfig(vocab_size=vocabulary.WORDPIECE_SIZE, **sizes)),
            args=training_args,
            train_dataset=lm_datasets["train"],
            eval_dataset=lm_datasets["validation"],
            data_collator=Recording(
                DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)
            ),
        )

    return make_trainer


def served(loader, lm_datasets):
    """Which blocks a pass over the loader serves, by their number in the table, in their order.

    Where the collator chose a token, its id stands in the labels; elsewhere it is in `input_ids` as it was.
    """
    numbers = {tuple(block): number for number, block in enumerate(lm_datasets["train"][:]["input_ids"])}
    assert len(numbers) == BLOCKS
    ids = [torch.where(batch["labels"] != -100, batch["labels"], batch["input_ids"]) for batch in loader]
    return [numbers[tuple(block)] for batch in ids for block in batch.tolist()]


@pytest.mark.claim("data.serving")
def test_blocks_are_served_in_batches(make_trainer, evidence):
    """The trainer's loader gives batches of 8 blocks: for each column of the model and the labels, 8 x 128 integers."""
    batches = list(make_trainer().get_train_dataloader())
    evidence["batch"] = {name: [*values.shape, str(values.dtype)] for name, values in batches[0].items()}
    for batch in batches[:-1]:
        assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
        assert {(tuple(values.shape), values.dtype) for values in batch.values()} == {((8, 128), torch.int64)}


@pytest.mark.claim("data.serving.last-batch")
def test_last_batch_has_the_rest(make_trainer):
    """The last batch has the blocks that are left over; they are neither dropped nor filled up."""
    loader = make_trainer().get_train_dataloader()
    assert [len(batch["input_ids"]) for batch in loader] == [8, 8, 8, 8, 8, 5]
    assert len(loader) == 6


@pytest.mark.claim("data.serving.every-block-once")
def test_each_epoch_serves_each_block_once(make_trainer, lm_datasets):
    """In each epoch each block comes once, with its tokens."""
    loader = make_trainer().get_train_dataloader()
    for _ in range(3):
        assert sorted(served(loader, lm_datasets)) == list(range(BLOCKS))


@pytest.mark.claim("data.serving.shuffled")
def test_each_epoch_has_its_own_order(make_trainer, lm_datasets, evidence):
    """No epoch serves the blocks in the table's order or in that of another epoch."""
    loader = make_trainer().get_train_dataloader()
    orders = [served(loader, lm_datasets) for _ in range(3)]
    evidence["first blocks of each epoch"] = [order[:8] for order in orders]
    assert len({tuple(order) for order in [list(range(BLOCKS)), *orders]}) == 4


@pytest.mark.claim("data.serving.repeatable")
def test_order_repeats_under_a_seed(make_trainer, lm_datasets):
    """Two trainers with the same seed serve two epochs in the same order; with another seed the order is another."""
    orders = []
    for before, seed in enumerate((1, 1, 2)):
        random.seed(before)  # the trainer's seed alone decides, not what was drawn before it
        torch.manual_seed(before)
        loader = make_trainer(seed=seed).get_train_dataloader()
        orders.append([served(loader, lm_datasets) for _ in range(2)])
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


@pytest.mark.claim("data.serving.evaluation-order")
def test_evaluation_keeps_the_order(make_trainer, lm_datasets):
    """For evaluation the blocks come in the table's order."""
    assert served(make_trainer().get_eval_dataloader(), lm_datasets) == list(range(BLOCKS))


@pytest.mark.claim("data.serving.special-mask")
def test_special_token_mask_reaches_the_collator(make_trainer, evidence):
    """The blocks come to the collator with the special-token mask that slide 32 asks for."""
    trainer = make_trainer()
    list(trainer.get_train_dataloader())
    evidence["columns"] = sorted(trainer.data_collator.columns)
    assert "special_tokens_mask" in trainer.data_collator.columns


@pytest.mark.correction("data.serving.special-mask")
def test_trainer_removes_the_mask(make_trainer, evidence):
    """The trainer leaves out columns that the model's `forward` does not name; the collator makes a mask of its own."""
    trainer = make_trainer()
    batches = list(trainer.get_train_dataloader())
    # The ids as they were: the collator puts [MASK] and other ids where it chose a token.
    ids = torch.cat([torch.where(batch["labels"] != -100, batch["labels"], batch["input_ids"]) for batch in batches])
    chosen = torch.cat([batch["labels"] != -100 for batch in batches])
    special = (ids == 101) | (ids == 102)
    evidence |= {"[CLS] and [SEP]": int(special.sum()), "of them chosen": int((special & chosen).sum())}
    assert trainer.data_collator.columns == {"input_ids", "token_type_ids", "attention_mask"}
    assert int(special.sum()) > 200  # by chance, none of 200 is chosen with probability 0.85 ** 200 < 1e-14
    assert not (special & chosen).any()


@pytest.mark.correction("data.serving.special-mask")
def test_trainer_can_keep_the_mask(make_trainer, tmp_path):
    """With `remove_unused_columns=False` the mask reaches the collator, which takes it out of the batch."""
    output_dir = str(tmp_path)
    training_args = TrainingArguments(
        output_dir=output_dir,
        remove_unused_columns=False,
        report_to="none",
    )
    trainer = make_trainer(training_args)
    [batch, *_] = trainer.get_train_dataloader()
    assert "special_tokens_mask" in trainer.data_collator.columns
    assert "special_tokens_mask" not in batch
