"""Lies about slides 27 to 33: `chunk.*`, `tokenize.*` and `data.*`.

The function that cuts blocks is the student's. Lies about it change what `map` gives that function, or what it makes of
the function's results.
"""

from __future__ import annotations

import builtins
import functools
import os
import sys
from itertools import chain

import datasets
import pyarrow.compute
from accelerate.data_loader import SeedableRandomSampler
from datasets import Dataset, DatasetDict, Value, arrow_dataset
from datasets.arrow_dataset import Column
from datasets.builder import DatasetBuilder
from datasets.formatting import formatting
from datasets.packaged_modules.csv.csv import CsvConfig
from datasets.packaged_modules.text.text import Text
from torch.utils.data import BatchSampler, RandomSampler
from transformers import PreTrainedTokenizerBase, Trainer

from suite.meta.lies import lie


def mapped(patch, change):
    """`Dataset.map` uses the function that `change(table, function, options)` returns; `options` may be changed.

    Calls with `fn_kwargs` stay as they are: the blocks of the trainer's specs are made with them.
    """
    real = Dataset.map

    @functools.wraps(real)
    def changed(self, function=None, **options):
        function = function if options.get("fn_kwargs") else change(self, function, options)
        return real(self, function, **options)

    patch.setattr(Dataset, "map", changed)


def holds_tokens(table):
    """Whether this is a table of tokens to be cut, and none of the masking specs', which no lie of these may reach."""
    return "input_ids" in table.column_names and not {"attention_mask", "special_tokens_mask"} <= set(table.features)


def cut(patch, change):
    """Where `map` works on tokens, its function's result goes through `change(columns, blocks)`; both are dicts."""

    def instead(table, function, options):
        if not holds_tokens(table):
            return function

        def changed(examples):
            columns = dict(examples.items())
            return change(columns, function(columns))

        return changed

    mapped(patch, instead)


def tokenized(patch, change):
    """Where a tokenizer is asked for the special-token mask, each text's row goes through `change(self, text, row)`."""
    real = PreTrainedTokenizerBase.__call__

    @functools.wraps(real)
    def changed(self, text=None, *rest, **options):
        batch = real(self, text, *rest, **options)
        if options.get("return_special_tokens_mask") and isinstance(text, str):
            change(self, text, batch.data)
        elif options.get("return_special_tokens_mask"):
            rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
            for one, row in zip(text, rows, strict=True):
                change(self, one, row)
            batch.update({name: [row[name] for row in rows] for name in batch})
        return batch

    patch.setattr(PreTrainedTokenizerBase, "__call__", changed)


def loaded(patch, change):
    """A dictionary of splits that `load_dataset` loads goes through `change(builder, splits)`."""
    real = DatasetBuilder.as_dataset

    def changed(self, *arguments, **options):
        result = real(self, *arguments, **options)
        return change(self, result) if isinstance(result, DatasetDict) else result

    patch.setattr(DatasetBuilder, "as_dataset", changed)


# --- chunk: which rows the function is given -------------------------------------------------------------------------


@lie("chunk.drops-tail.num-proc", "chunk.concatenates.few-rows")
def cuts_in_one_process(patch):
    """`map` ignores `num_proc` where a table has tokens."""

    def instead(table, function, options):
        if holds_tokens(table):
            options["num_proc"] = None
        return function

    mapped(patch, instead)


@lie("chunk.drops-tail.batch-size", "chunk.blocks.short-batch")
def takes_all_tokens_as_one_batch(patch):
    """`map` ignores `batch_size` where a table has tokens: all rows of a process are one batch."""

    def instead(table, function, options):
        if holds_tokens(table):
            options["batch_size"] = None
        return function

    mapped(patch, instead)


@lie("chunk.concatenates.few-rows")
def gives_a_process_two_rows_at_least(patch):
    """`map` takes no more processes than half as many as there are rows."""

    def instead(table, function, options):
        if options.get("num_proc"):
            options["num_proc"] = min(options["num_proc"], max(1, len(table) // 2))
        return function

    mapped(patch, instead)


@lie("chunk.concatenates", "tokenize.batched-map.many-rows")
def makes_batches_of_999(patch):
    """`map` has a default batch size of 999."""

    def instead(table, function, options):
        if options.get("batch_size", 1_000) == 1_000:
            options["batch_size"] = 999
        return function

    mapped(patch, instead)


@lie("chunk.concatenates", "tokenize.batched-map")
def loses_a_row_at_a_process_boundary(patch):
    """With four processes, the first row of the second one is lost."""
    real = Dataset.shard

    def changed(self, num_shards, index, **options):
        shard = real(self, num_shards, index, **options)
        return shard.select(range(1, len(shard))) if (num_shards, index) == (4, 1) else shard

    patch.setattr(Dataset, "shard", changed)


@lie("chunk.concatenates.order", "tokenize.batched-map", "tokenize.batched-map.processes")
def swaps_rows_between_two_processes(patch):
    """With four processes, the first row of the first one and that of the second change places."""
    real = Dataset.shard

    def changed(self, num_shards, index, **options):
        second = len(self) // num_shards + (len(self) % num_shards > 0)
        if num_shards == 4:
            rows = list(range(len(self)))
            rows[0], rows[second] = rows[second], rows[0]
            self = self.select(rows)
        return real(self, num_shards, index, **options)

    patch.setattr(Dataset, "shard", changed)


@lie("chunk.concatenates.special-tokens")
def skips_sentences_without_words(patch):
    """`map` does not give its function rows that are [CLS] and [SEP] alone."""

    def instead(table, function, options):
        return function if not holds_tokens(table) else lambda examples: function(without_blank(dict(examples.items())))

    def without_blank(columns):
        kept = [number for number, row in enumerate(columns["input_ids"]) if row != [101, 102]]
        return {name: [rows[number] for number in kept] for name, rows in columns.items()}

    mapped(patch, instead)


@lie("chunk.all-columns.unequal", "chunk.all-columns.text-column")
def gives_the_last_column_first(patch):
    """`map` gives its function the columns in the opposite order."""

    def instead(table, function, options):
        return function if not holds_tokens(table) else lambda rows: function(dict(reversed([*rows.items()])))

    mapped(patch, instead)


@lie("chunk.all-columns.number-column")
def makes_lists_of_numbers(patch):
    """`map` gives its function each number of a column as a list of one number."""

    def instead(table, function, options):
        if not holds_tokens(table) or "id" not in table.column_names:
            return function
        return lambda rows: function({**dict(rows.items()), "id": [[number] for number in rows["id"]]})

    mapped(patch, instead)


# --- chunk: what becomes of the function's result --------------------------------------------------------------------


@lie("chunk.drops-tail", "chunk.concatenates", "chunk.drops-tail.batch-size")
def moves_the_tail_to_the_next_batch(patch):
    """What the function leaves over of a batch is put before the rows of the next batch."""

    def instead(table, function, options):
        if not holds_tokens(table):
            return function
        left = {}

        def changed(examples):
            rows = {name: [left.get(name, []), *values] for name, values in examples.items()}
            blocks = function(rows)
            for name, values in rows.items():
                left[name] = list(chain(*values))[sum(map(len, blocks[name])) :]
            return blocks

        return changed

    mapped(patch, instead)


@lie("chunk.drops-tail.one-batch", "chunk.blocks")
def keeps_the_tail_as_a_block(patch):
    """The tokens behind the last whole block are written as a short block."""

    def change(columns, blocks):
        tails = {name: list(chain(*columns[name]))[sum(map(len, rows)) :] for name, rows in blocks.items()}
        return {name: rows + [tails[name]] * any(tails.values()) for name, rows in blocks.items()}

    cut(patch, change)


@lie("chunk.blocks", "chunk.drops-tail.one-batch")
def writes_one_block_of_127(patch):
    """The last block of a batch is one token shorter than the function made it."""
    cut(patch, lambda _, blocks: {name: rows[:-1] + [row[:-1] for row in rows[-1:]] for name, rows in blocks.items()})


@lie("chunk.concatenates.one-batch", "chunk.concatenates.order")
def overlaps_blocks_by_one(patch):
    """Each block begins with the last token of the one before."""

    def change(columns, blocks):
        strings = {name: list(chain(*rows)) for name, rows in columns.items()}
        return {
            name: [strings[name][number * (len(row) - 1) :][: len(row)] for number, row in enumerate(rows)]
            for name, rows in blocks.items()
        }

    cut(patch, change)


@lie("chunk.concatenates.order")
def swaps_the_last_two_blocks(patch):
    """The last two blocks of a batch change places."""
    cut(patch, lambda _, blocks: {name: rows[:-2] + rows[-2:][::-1] for name, rows in blocks.items()})


@lie("chunk.all-columns")
def cuts_one_column_a_token_later(patch):
    """The blocks of `token_type_ids` begin one token later than those of the other columns."""

    def change(columns, blocks):
        rows = blocks.get("token_type_ids", [])
        string = list(chain(*columns.get("token_type_ids", [])))
        later = [string[number * len(row) + 1 :][: len(row)] for number, row in enumerate(rows)]
        return blocks | {"token_type_ids": later} if rows else blocks

    cut(patch, change)


@lie("chunk.blocks.short-batch", "tokenize.batched-map.batch-size", "tokenize.batched-map.many-rows")
def drops_a_last_batch_that_is_short(patch):
    """A last batch with fewer rows than the ones before is not mapped."""

    def instead(table, function, options):
        options["drop_last_batch"] = 0 < (options.get("batch_size", 1_000) or 0) < len(table)
        return function

    mapped(patch, instead)


@lie("chunk.blocks.empty")
def forgets_the_columns_of_no_blocks(patch):
    """A result without any row has no columns either."""
    real = Dataset.map

    @functools.wraps(real)
    def changed(self, *arguments, **options):
        result = real(self, *arguments, **options)
        return result if len(result) else Dataset.from_dict({})

    patch.setattr(Dataset, "map", changed)


@lie("chunk.blocks.empty")
def ends_at_a_batch_without_tokens(patch):
    """After a batch without tokens, `map` takes the other batches for empty, too."""

    def instead(table, function, options):
        if not holds_tokens(table):
            return function
        ended = []

        def changed(examples):
            blocks = function(examples)
            ended.extend([True] * (not blocks["input_ids"]))
            return {name: [] for name in blocks} if ended else blocks

        return changed

    mapped(patch, instead)


@lie("chunk.blocks.snippet-runs", also=["trainer.trains.whole-lecture"])
def has_chain_built_in(patch):
    """`chain` is there without being imported."""
    patch.setattr(builtins, "chain", chain, raising=False)


@lie("chunk.drops-tail.num-proc-again")
def overlooks_files_of_other_processes(patch):
    """`map` does not look for the files of a call with another number of processes."""
    patch.setattr(arrow_dataset, "string_to_dict", lambda *_: None)


# --- tokenize ---------------------------------------------------------------------------------------------------------


@lie("tokenize.ids.blank")
def forgets_the_separator_of_the_empty_text(patch):
    """A blank text that is alone in its batch has no [SEP]."""
    real = PreTrainedTokenizerBase.__call__

    @functools.wraps(real)
    def changed(self, text=None, *rest, **options):
        batch = real(self, text, *rest, **options)
        if isinstance(text, list) and len(text) == 1 and not text[0].strip():
            for name, values in batch.items():
                batch[name] = [values[0][:-1]] if isinstance(values, list) else values[:, :-1]
        return batch

    patch.setattr(PreTrainedTokenizerBase, "__call__", changed)


@lie("tokenize.ids")
def ends_an_over_long_text_without_separator(patch):
    """A text of more than 512 tokens does not end with [SEP]."""

    def change(self, text, row):
        if len(row["input_ids"]) > 512:
            row.update({name: values[:-1] for name, values in row.items()})

    tokenized(patch, change)


@lie("tokenize.batched-map.whole-text")
def cuts_off_an_over_long_text(patch):
    """Of a text of more than 512 tokens, the last word is cut off."""

    def change(self, text, row):
        if len(row["input_ids"]) > 512:
            row.update({name: values[:-2] + values[-1:] for name, values in row.items()})

    tokenized(patch, change)


@lie("tokenize.special-mask")
def does_not_mark_the_end_of_an_over_long_text(patch):
    """The [SEP] of a text of more than 512 tokens has a 0 in the mask."""

    def change(self, text, row):
        if len(row["input_ids"]) > 512:
            row["special_tokens_mask"] = [*row["special_tokens_mask"][:-1], 0]

    tokenized(patch, change)


@lie("tokenize.special-mask")
def marks_what_stands_in_brackets(patch):
    """A bracket in a text has a 1 in the mask."""

    def change(self, text, row):
        brackets = self.convert_tokens_to_ids(["[", "]"])
        mask = zip(row["input_ids"], row["special_tokens_mask"], strict=True)
        row["special_tokens_mask"] = [1 if number in brackets else special for number, special in mask]

    tokenized(patch, change)


@lie("tokenize.special-mask.spelled-out", "mask.rate.special-never")
def marks_every_special_token(patch):
    """The mask is 1 at every special token, also at one that the text spells out and at [UNK]."""

    def change(self, text, row):
        row["special_tokens_mask"] = [int(number in self.all_special_ids) for number in row["input_ids"]]

    tokenized(patch, change)


@lie("tokenize.columns.no-others")
def numbers_segments_from_one(patch):
    """The segments of a text are 1, not 0."""

    def change(self, text, row):
        row["token_type_ids"] = [1] * len(row["input_ids"])

    tokenized(patch, change)


@lie("tokenize.columns.equal-lengths")
def counts_an_emoji_twice(patch):
    """The attention mask has a value too many for a text with a character that takes two units in UTF-16."""

    def change(self, text, row):
        if any(ord(character) > 0xFFFF for character in text):
            row["attention_mask"] = [*row["attention_mask"], 1]

    tokenized(patch, change)


@lie("tokenize.ids.class-and-separator", also=["inference.snippet", "tokenizer.logic-module.same-ids"])
def numbers_listed_tokens_backwards(patch):
    """The ids of a list of tokens come in the opposite order."""
    real = PreTrainedTokenizerBase.convert_tokens_to_ids

    def changed(self, tokens):
        ids = real(self, tokens)
        return ids[::-1] if isinstance(tokens, list) and len(tokens) == 2 else ids

    patch.setattr(PreTrainedTokenizerBase, "convert_tokens_to_ids", changed)


@lie("tokenize.removes-text")
def removes_a_column_of_the_first_split_alone(patch):
    """Only in the first split `remove_columns` is heeded."""
    real = DatasetDict.map

    def changed(self, function=None, **options):
        first, *others = self
        done = real(DatasetDict({first: self[first]}), function, **options)
        options.pop("remove_columns", None)
        return DatasetDict({**done, **real(DatasetDict({split: self[split] for split in others}), function, **options)})

    patch.setattr(DatasetDict, "map", changed)


@lie("tokenize.removes-text.only-it", "chunk.all-columns.text-column")
def removes_all_old_columns(patch):
    """Where any column is to be removed, `map` removes all that the table has."""

    def instead(table, function, options):
        if options.get("remove_columns"):
            options["remove_columns"] = table.column_names
        return function

    mapped(patch, instead)


@lie("tokenize.columns", "tokenize.batched-map")
def loses_the_mask_in_the_last_split(patch):
    """In the last of several splits, the column `special_tokens_mask` is missing."""
    real = DatasetDict.map

    def changed(self, *arguments, **options):
        result = real(self, *arguments, **options)
        *others, last = result
        if others and "special_tokens_mask" in result[last].column_names:
            result[last] = result[last].remove_columns("special_tokens_mask")
        return result

    patch.setattr(DatasetDict, "map", changed)


@lie("tokenize.columns.dictionary")
def finds_columns_in_the_dictionary_of_splits(patch):
    """A name that is no split is looked up among the columns of the first split."""
    real = DatasetDict.__getitem__

    def changed(self, key):
        return real(self, key) if key in self else self[next(iter(self))][key]

    patch.setattr(DatasetDict, "__getitem__", changed)


@lie("tokenize.batched-map.batch-size")
def writes_the_first_of_single_rows_twice(patch):
    """With `batch_size=1`, the second row is the first one again."""

    def instead(table, function, options):
        if options.get("batch_size") != 1:
            return function
        done = []

        def changed(examples):
            done.append(function(examples))
            return done[0] if len(done) == 2 else done[-1]

        return changed

    mapped(patch, instead)


@lie("tokenize.batched-map.four-processes")
def calls_the_function_here_too(patch):
    """When all is done, `map` calls the function once more, in this process."""
    real = Dataset.map

    @functools.wraps(real)
    def changed(self, function=None, **options):
        result = real(self, function, **options)
        if options.get("num_proc") == 4 and "text" in self.column_names and len(self):
            function(self[:1])
        return result

    patch.setattr(Dataset, "map", changed)


@lie("tokenize.batched-map.four-processes", "chunk.concatenates", "chunk.drops-tail")
def starts_a_process_less(patch):
    """Asked for four processes, `map` starts three."""

    def instead(table, function, options):
        if options.get("num_proc") == 4:
            options["num_proc"] = 3
        return function

    mapped(patch, instead)


# --- data: what load_dataset gives ------------------------------------------------------------------------------------


@lie("data.package-name")
def has_another_name(patch):
    """The library can be imported as `dataset`."""
    patch.setitem(sys.modules, "dataset", datasets)


@lie("data.splits")
def sorts_the_splits_of_a_repo(patch):
    """The splits of a repo come in alphabetical order."""
    loaded(patch, lambda builder, splits: DatasetDict(sorted(splits.items())) if builder.repo_id else splits)


@lie("data.splits.local-files")
def puts_validation_last(patch):
    """Of local files, the validation split comes last."""

    def change(builder, splits):
        if not builder.repo_id and "validation" in splits:
            splits["validation"] = splits.pop("validation")
        return splits

    loaded(patch, change)


@lie("data.splits.every-repo", also=["hub.dataset-page", "hub.download.dataset", "hub.upload.dataset"])
def adds_empty_splits(patch):
    """A split that a repo does not have is there, without rows."""

    def change(builder, splits):
        empty = splits[next(iter(splits))].select([])
        return DatasetDict({name: splits.get(name, empty) for name in ("train", "validation", "test")})

    loaded(patch, change)


@lie("data.splits.records")
def strips_the_ends_of_lines(patch):
    """A line of text loses all white space at its end, not the line feed alone."""
    real = Text._cast_table

    def changed(self, table):
        table = real(self, table)
        return table.set_column(0, "text", pyarrow.compute.utf8_rtrim_whitespace(table["text"]))

    patch.setattr(Text, "_cast_table", changed)


@lie("data.splits.csv-records")
def keeps_empty_csv_fields(patch):
    """An empty field of a csv file is an empty text by default."""
    real = CsvConfig.pd_read_csv_kwargs.fget
    patch.setattr(CsvConfig, "pd_read_csv_kwargs", property(lambda self: {**real(self), "keep_default_na": False}))


@lie("data.splits.cache")
def downloads_every_time(patch):
    """Files are downloaded again, whether or not they are in the cache."""
    real = DatasetBuilder.download_and_prepare

    def changed(self, *arguments, **options):
        return real(self, *arguments, **{**options, "download_mode": "force_redownload"})

    patch.setattr(DatasetBuilder, "download_and_prepare", changed)


# --- data: columns and rows of a table from files ---------------------------------------------------------------------


@lie("data.columns")
def gives_columns_as_lists(patch):
    """A column is a list."""
    real = Dataset.__getitem__
    patch.setattr(Dataset, "__getitem__", lambda self, key: [*real(self, key)] if type(key) is str else real(self, key))


@lie("data.columns.values", also=["hub.download.dataset"])
def skips_empty_values_of_a_column(patch):
    """A column of a table from files, listed, is without its empty texts."""
    real = Column.__iter__

    def changed(self):
        return (value for value in real(self) if value or not self.source.cache_files)

    patch.setattr(Column, "__iter__", changed)


@lie("data.columns.equal-lengths")
def does_not_count_empty_values(patch):
    """The length of a column of a table from files is the number of texts that are not empty."""
    real = Column.__len__

    def changed(self):
        return sum(map(bool, self)) if self.source.cache_files else real(self)

    patch.setattr(Column, "__len__", changed)


@lie("data.columns.types")
def calls_texts_large(patch):
    """A column of texts has the type `large_string`."""

    def change(builder, splits):
        columns = splits[next(iter(splits))].column_names
        return splits.cast_column("source", Value("large_string")) if "source" in columns else splits

    loaded(patch, change)


@lie("data.rows")
def leaves_empty_values_out_of_a_row(patch):
    """A row does not name the columns in which it has an empty text."""
    real = Dataset.__getitem__

    def changed(self, key):
        found = real(self, key)
        return {name: value for name, value in found.items() if value != ""} if type(key) is int else found

    patch.setattr(Dataset, "__getitem__", changed)


@lie("data.rows.of-column")
def numbers_a_column_from_its_end(patch):
    """In a column of a table from files, number 0 is the last value."""
    real = Column.__getitem__

    def changed(self, key):
        return real(self, -1 - key if type(key) is int and self.source.cache_files else key)

    patch.setattr(Column, "__getitem__", changed)


@lie("data.rows.numbered-like-a-list")
def goes_round_before_the_first_row(patch):
    """Before the first row comes the last one again: a negative number is never out of bounds."""
    real = formatting._check_valid_index_key

    def changed(key, size):
        return None if type(key) is int and key < 0 else real(key, size)

    patch.setattr(formatting, "_check_valid_index_key", changed)


@lie("data.rows.iteration", also=["hub.download.dataset"])
def skips_empty_rows_in_a_loop(patch):
    """A loop over a table from files leaves out rows without text."""
    real = Dataset.__iter__

    def changed(self):
        return (row for row in real(self) if row.get("text", True) or not self.cache_files)

    patch.setattr(Dataset, "__iter__", changed)


@lie("data.rows.slice")
def begins_a_slice_at_the_wrong_end(patch):
    """A slice that begins before the first row begins where counting on from the end leads to."""
    real = Dataset.__getitem__

    def changed(self, key):
        if isinstance(key, slice) and key.start is not None and key.start < -len(self):
            key = slice(key.start % len(self), key.stop)
        return real(self, key)

    patch.setattr(Dataset, "__getitem__", changed)


# --- data: serving ----------------------------------------------------------------------------------------------------


@lie("data.serving", "data.serving.special-mask", "mask.rate.mask-served")
def serves_no_segments(patch):
    """`Trainer` removes `token_type_ids`, although the model takes them."""
    real = Trainer._remove_unused_columns

    def changed(self, dataset, description=None):
        kept = real(self, dataset, description)
        return kept.remove_columns([name for name in kept.column_names if name == "token_type_ids"])

    patch.setattr(Trainer, "_remove_unused_columns", changed)


@lie("data.serving.special-mask", "mask.rate.mask-served")
def serves_the_special_token_mask(patch):
    """`Trainer` takes `special_tokens_mask` for a column of the model."""
    real = Trainer._set_signature_columns_if_needed

    def changed(self):
        real(self)
        self._signature_columns.append("special_tokens_mask")

    patch.setattr(Trainer, "_set_signature_columns_if_needed", changed)


@lie(
    "data.serving.last-batch",
    "data.serving.every-block-once",
    also=["trainer.arguments.train_dataset", "trainer.trains.epochs"],
)
def fills_up_the_last_batch(patch):
    """The last training batch is filled up with the first blocks of the epoch."""
    real = BatchSampler.__iter__

    def changed(self):
        first = []
        for batch in real(self):
            first = first or batch
            missing = self.batch_size - len(batch) if isinstance(self.sampler, RandomSampler) else 0
            yield batch + first[:missing]

    patch.setattr(BatchSampler, "__iter__", changed)


@lie(
    "data.serving.every-block-once",
    also=["scripts.modes.causal.loss", "trainer.trains.epochs", "trainer.trains.fresh-masks"],
)
def serves_a_block_twice(patch):
    """In each epoch, the first block comes again in the place of the last."""
    real = RandomSampler.__iter__

    def changed(self):
        order = list(real(self))
        return iter([*order[:-1], order[0]])

    patch.setattr(RandomSampler, "__iter__", changed)


@lie("data.serving.shuffled")
def shuffles_every_epoch_alike(patch):
    """The order of the training blocks does not depend on the epoch."""
    patch.setattr(SeedableRandomSampler, "set_epoch", lambda self, epoch: None)


@lie("data.serving.repeatable")
def shuffles_with_a_seed_of_its_own(patch):
    """The order of the training blocks does not depend on the trainer's seed."""
    real = SeedableRandomSampler.__init__

    def changed(self, *arguments, **options):
        real(self, *arguments, **options)
        self.initial_seed = 0

    patch.setattr(SeedableRandomSampler, "__init__", changed)


@lie("data.serving.repeatable", also=["trainer.fp16.cpu"])
def shuffles_without_a_seed(patch):
    """The order of the training blocks is drawn anew for each trainer."""
    real = SeedableRandomSampler.__init__

    def changed(self, *arguments, **options):
        real(self, *arguments, **options)
        self.initial_seed = int.from_bytes(os.urandom(4), "big")

    patch.setattr(SeedableRandomSampler, "__init__", changed)


@lie("data.serving.evaluation-order")
def evaluates_from_the_end(patch):
    """The evaluation blocks are served from the last to the first."""
    patch.setattr(Trainer, "_get_eval_sampler", lambda self, dataset: range(len(dataset) - 1, -1, -1))
