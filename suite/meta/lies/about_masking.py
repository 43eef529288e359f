"""Lies about slides 34 and 35: what the collator chooses, what becomes of it, and when masks change."""

from __future__ import annotations

import functools
import multiprocessing
import os

import pytest
import torch
from datasets import Dataset, arrow_dataset
from datasets.fingerprint import generate_random_fingerprint
from torch.utils.data import get_worker_info
from transformers import DataCollatorForLanguageModeling

from suite.meta.lies import lie


def configured(patch, method, **values):
    """While `method` of the collator runs, these attributes have these values."""
    real = getattr(DataCollatorForLanguageModeling, method)

    @functools.wraps(real)
    def changed(self, *arguments, **options):
        with pytest.MonkeyPatch.context() as meanwhile:
            for name, value in values.items():
                meanwhile.setattr(self, name, value)
            return real(self, *arguments, **options)

    patch.setattr(DataCollatorForLanguageModeling, method, changed)


def made(patch, change):
    """`change(self)` is done to a collator before it looks at its arguments."""
    real = DataCollatorForLanguageModeling.__post_init__

    def changed(self):
        change(self)
        real(self)

    patch.setattr(DataCollatorForLanguageModeling, "__post_init__", changed)


def collated(patch, change):
    """A batch goes through `change(self, batch, rows)`."""
    real = DataCollatorForLanguageModeling.torch_call

    def changed(self, rows):
        batch = real(self, rows)
        change(self, batch, rows)
        return batch

    patch.setattr(DataCollatorForLanguageModeling, "torch_call", changed)


def masked(patch, change):
    """Masked inputs go through `change(self, original, inputs, labels, special)`; `special` is what the rows bring."""
    real = DataCollatorForLanguageModeling.torch_mask_tokens

    def changed(self, inputs, special_tokens_mask=None, offset_mapping=None):
        original = inputs.clone()
        inputs, labels = real(self, inputs, special_tokens_mask, offset_mapping)
        change(self, original, inputs, labels, special_tokens_mask)
        return inputs, labels

    patch.setattr(DataCollatorForLanguageModeling, "torch_mask_tokens", changed)


def replaced(self, original, inputs, labels):
    """Where a random token was put that shows."""
    return (labels != -100) & (inputs != self.tokenizer.mask_token_id) & (inputs != original)


def spared(patch, change):
    """`change(self, inputs, special)` returns which tokens are never chosen; `special` is what the rows bring, or None.

    None stands for those that the tokenizer calls special.
    """
    real = DataCollatorForLanguageModeling.torch_mask_tokens

    def changed(self, inputs, special_tokens_mask=None, offset_mapping=None):
        return real(self, inputs, change(self, inputs, special_tokens_mask), offset_mapping)

    patch.setattr(DataCollatorForLanguageModeling, "torch_mask_tokens", changed)


def called_special(self, inputs):
    """1 at each id that the tokenizer calls special; shaped like `inputs`."""
    return torch.isin(inputs, torch.tensor(self.tokenizer.all_special_ids)).long()


def chosen(patch, choose):
    """The tokens of a batch are chosen by `choose(probabilities, draw)`; `draw` makes independent choices."""
    real = DataCollatorForLanguageModeling.torch_mask_tokens
    bernoulli = torch.bernoulli

    def changed(self, *arguments, **options):
        first = iter([True])

        def drawn(probabilities, generator=None):
            draw = functools.partial(bernoulli, generator=generator)
            return choose(probabilities, draw) if next(first, False) else draw(probabilities)

        with pytest.MonkeyPatch.context() as meanwhile:
            meanwhile.setattr(torch, "bernoulli", drawn)
            return real(self, *arguments, **options)

    patch.setattr(DataCollatorForLanguageModeling, "torch_mask_tokens", changed)


def seeded(patch, seed):
    """Before a batch is masked, the random state becomes that of `seed(inputs)`, unless that is None."""
    real = DataCollatorForLanguageModeling.torch_mask_tokens

    def changed(self, inputs, *arguments, **options):
        number = seed(inputs)
        if number is None:
            return real(self, inputs, *arguments, **options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            return real(self, inputs, *arguments, **options)

    patch.setattr(DataCollatorForLanguageModeling, "torch_mask_tokens", changed)


# --- how many are chosen ----------------------------------------------------------------------------------------------


def at_15_percent(patch, probability):
    """Where 15 % are asked for, that share of them is chosen instead."""
    chosen(
        patch,
        lambda probabilities, draw: draw(torch.where((probabilities - 0.15).abs() < 1e-6, probability, probabilities)),
    )


@lie("mask.rate", "mask.rate.ordinary")
def chooses_14_and_a_half_percent(patch):
    """14.5 % of the ordinary tokens are chosen."""
    at_15_percent(patch, 0.145)


@lie("mask.rate", "mask.rate.ordinary")
def chooses_15_and_a_half_percent(patch):
    """15.5 % of the ordinary tokens are chosen."""
    at_15_percent(patch, 0.155)


@lie("mask.rate")
def chooses_15_percent_of_all_tokens(patch):
    """The ordinary tokens are chosen more often, so that 15 % of all tokens are."""

    def choose(probabilities, draw):
        share = (probabilities > 0).float().mean()
        return draw((probabilities / share).clamp(max=1))

    chosen(patch, choose)


@lie("mask.rate.become-mask", "mask.rate.80-masked", "mask.rate.10-random", "mask.rate.10-kept")
def masks_all_that_is_chosen(patch):
    """Each chosen token becomes [MASK]."""
    configured(patch, "torch_mask_tokens", mask_replace_prob=1.0)


@lie("mask.rate.numpy")
def chooses_17_percent_in_numpy(patch):
    """For numpy batches 17 % of the ordinary tokens are chosen."""
    configured(patch, "numpy_mask_tokens", mlm_probability=0.17)


@lie("mask.rate.numpy")
def chooses_the_first_token_in_numpy(patch):
    """For numpy batches the first token of a row is an ordinary one, whatever the mask says."""
    real = DataCollatorForLanguageModeling.numpy_mask_tokens

    def changed(self, inputs, special_tokens_mask=None, offset_mapping=None):
        special_tokens_mask[:, 0] = 0
        return real(self, inputs, special_tokens_mask, offset_mapping)

    patch.setattr(DataCollatorForLanguageModeling, "numpy_mask_tokens", changed)


@lie("mask.rate.any-probability")
def chooses_99_percent_at_most(patch):
    """A probability above 99 % is taken for 99 %."""
    chosen(patch, lambda probabilities, draw: draw(probabilities.clamp(max=0.99)))


@lie("mask.rate.any-probability", "mask.rate.whole-number")
def takes_0_for_nothing_given(patch):
    """A probability of 0 is taken for the default."""

    def change(self):
        self.mlm_probability = self.mlm_probability or 0.15

    made(patch, change)


@lie("mask.rate.whole-number")
def refuses_whole_numbers(patch):
    """A probability has to be a `float`."""

    def change(self):
        if isinstance(self.mlm_probability, int):
            raise ValueError("mlm_probability should be a float.")

    made(patch, change)


@lie("mask.rate.out-of-range")
def takes_percentages(patch):
    """A probability above 1 is taken for a percentage."""

    def change(self):
        if self.mlm_probability > 1:
            self.mlm_probability /= 100

    made(patch, change)


@lie("mask.rate.needs-mask-token")
def does_without_mask_token(patch):
    """A tokenizer without a mask token is accepted."""
    real = DataCollatorForLanguageModeling.__post_init__
    patch.setattr(
        DataCollatorForLanguageModeling, "__post_init__", lambda self: self.tokenizer.mask_token and real(self)
    )


# --- the batch --------------------------------------------------------------------------------------------------------


@lie("mask.rate.call", "data.serving")
def forgets_the_segments(patch):
    """A batch has no `token_type_ids`."""
    collated(patch, lambda self, batch, rows: batch.pop("token_type_ids", None))


@lie("mask.rate.shapes", "data.serving")
def makes_32_bit_integers(patch):
    """The ids of a batch are 32-bit integers."""

    def change(self, batch, rows):
        batch["input_ids"] = batch["input_ids"].int()

    collated(patch, change)


@lie("mask.rate.padded")
def pads_to_a_multiple_of_8(patch):
    """Rows are padded to the next multiple of 8 tokens."""
    configured(patch, "torch_call", pad_to_multiple_of=8)


@lie("mask.rate.padded")
def attends_to_padding(patch):
    """Padding gets attention."""
    collated(patch, lambda self, batch, rows: batch["attention_mask"].fill_(1))


@lie("mask.rate.attention-mask")
def does_not_attend_to_masks(patch):
    """A token that became [MASK] gets no attention."""

    def change(self, batch, rows):
        batch["attention_mask"][batch["input_ids"] == self.tokenizer.mask_token_id] = 0

    collated(patch, change)


@lie("mask.rate.mlm-off")
def labels_padding(patch):
    """With `mlm=False`, padding is a label."""

    def change(self, batch, rows):
        if not self.mlm:
            batch["labels"] = batch["input_ids"].clone()

    collated(patch, change)


@lie("mask.rate.mlm-off")
def masks_without_mlm(patch):
    """With `mlm=False`, the first token of a row becomes [MASK] all the same."""

    def change(self, batch, rows):
        if not self.mlm and self.tokenizer.mask_token:
            batch["input_ids"][:, 0] = self.tokenizer.mask_token_id

    collated(patch, change)


# --- what becomes of the chosen ---------------------------------------------------------------------------------------


@lie("mask.rate.80-masked", "mask.rate.10-random")
def masks_79_replaces_11_keeps_10(patch):
    """Of the chosen tokens 79 % become [MASK] and 11 % a random token."""
    configured(patch, "torch_mask_tokens", mask_replace_prob=0.79, random_replace_prob=0.11)


@lie("mask.rate.10-random", "mask.rate.10-kept")
def masks_80_replaces_12_keeps_8(patch):
    """Of the chosen tokens 12 % become a random token, and 8 % stay."""
    configured(patch, "torch_mask_tokens", random_replace_prob=0.12)


@lie("mask.rate.random-uniform")
def replaces_from_half_of_the_vocabulary(patch):
    """Random replacements come from the first half of the vocabulary."""

    def change(self, original, inputs, labels, special):
        where = replaced(self, original, inputs, labels)
        inputs[where] %= len(self.tokenizer) // 2

    masked(patch, change)


@lie("mask.rate.random-uniform")
def replaces_with_even_ids(patch):
    """Random replacements have even ids."""

    def change(self, original, inputs, labels, special):
        where = replaced(self, original, inputs, labels)
        inputs[where] -= inputs[where] % 2

    masked(patch, change)


@lie("mask.rate.random-special")
def replaces_with_words_alone(patch):
    """A random replacement is never a special token: the id 1,000 stands for each."""

    def change(self, original, inputs, labels, special):
        where = replaced(self, original, inputs, labels) & called_special(self, inputs).bool()
        inputs[where] = 1_000

    masked(patch, change)


@lie("mask.rate.10-kept", "mask.rate.ordinary")
def keeps_without_a_label(patch):
    """A chosen token that stays as it is has no label."""

    def change(self, original, inputs, labels, special):
        labels[inputs == original] = -100

    masked(patch, change)


@lie("mask.rate.labels")
def labels_with_the_replacement(patch):
    """The label of a token that was replaced at random is the replacement; seen where rows bring their mask."""

    def change(self, original, inputs, labels, special):
        if special is not None:
            where = replaced(self, original, inputs, labels)
            labels[where] = inputs[where]

    masked(patch, change)


@lie("mask.rate.unchosen-stay")
def masks_one_token_without_a_label(patch):
    """In each batch whose rows bring their mask, one token becomes [MASK] that has no label."""

    def change(self, original, inputs, labels, special):
        if special is not None:
            unchosen = ((labels == -100) & (special == 0)).nonzero()
            for row, column in unchosen[:1]:
                inputs[row, column] = self.tokenizer.mask_token_id

    masked(patch, change)


# --- special tokens ---------------------------------------------------------------------------------------------------


@lie("mask.rate.ends-never")
def chooses_the_class_token(patch):
    """[CLS] may be chosen, although the rows bring a mask that spares it."""

    def change(self, inputs, special):
        return special if special is None else special * (inputs != self.tokenizer.cls_token_id)

    spared(patch, change)


@lie("mask.rate.ends-never")
def chooses_the_separator(patch):
    """[SEP] may be chosen, although the rows bring a mask that spares it."""

    def change(self, inputs, special):
        return special if special is None else special * (inputs != self.tokenizer.sep_token_id)

    spared(patch, change)


@lie("mask.rate.ends-never", "data.serving.special-mask")
def chooses_the_separator_where_no_mask_comes(patch):
    """[SEP] may be chosen where the rows do not bring a mask."""

    def change(self, inputs, special):
        return called_special(self, inputs) * (inputs != self.tokenizer.sep_token_id) if special is None else special

    spared(patch, change)


@lie("mask.rate.padding-never")
def chooses_padding(patch):
    """Padding may be chosen where the rows bring a mask."""

    def change(self, inputs, special):
        return special if special is None else special * (inputs != self.tokenizer.pad_token_id)

    spared(patch, change)


@lie("mask.rate.padding-never")
def chooses_padding_where_no_mask_comes(patch):
    """Padding may be chosen where the rows do not bring a mask."""

    def change(self, inputs, special):
        return called_special(self, inputs) * (inputs != self.tokenizer.pad_token_id) if special is None else special

    spared(patch, change)


@lie("mask.rate.special-never")
def spares_all_special_tokens(patch):
    """The collator works out itself which tokens are special, whatever the rows bring."""
    spared(patch, lambda self, inputs, special: None)


@lie("mask.rate.special-never")
def spares_unknown_tokens(patch):
    """[UNK] is not chosen either."""

    def change(self, inputs, special):
        return special if special is None else special | (inputs == self.tokenizer.unk_token_id)

    spared(patch, change)


# --- independence -----------------------------------------------------------------------------------------------------


@lie("mask.rate.independent")
def chooses_two_neighbours_at_a_time(patch):
    """Of two neighbours both are chosen or none."""

    def choose(probabilities, draw):
        drawn = draw(probabilities)
        pairs = probabilities.shape[1] // 2
        even, odd = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
        ordinary = (probabilities[:, even] > 0) & (probabilities[:, odd] > 0)
        drawn[:, odd] = torch.where(ordinary, drawn[:, even], drawn[:, odd])
        return drawn

    chosen(patch, choose)


@lie("mask.rate.independent")
def chooses_alike_in_two_rows(patch):
    """Two neighbouring rows are chosen from in the same places."""

    def choose(probabilities, draw):
        drawn = draw(probabilities)
        pairs = len(probabilities) // 2
        even, odd = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
        ordinary = (probabilities[even] > 0) & (probabilities[odd] > 0)
        drawn[odd] = torch.where(ordinary, drawn[even], drawn[odd])
        return drawn

    chosen(patch, choose)


@lie("mask.rate.independent")
def chooses_a_fixed_number_in_each_row(patch):
    """In each row exactly 15 % of the ordinary tokens are chosen, rounded up or down by chance."""

    def choose(probabilities, draw):
        ordinary = probabilities > 0
        number = (probabilities.sum(dim=1) + torch.rand(len(probabilities))).floor()
        order = torch.rand(probabilities.shape).masked_fill(~ordinary, 2).argsort(dim=1).argsort(dim=1)
        return (order < number[:, None]).float()

    chosen(patch, choose)


# --- masks that change ------------------------------------------------------------------------------------------------


@lie(
    "mask.dynamic",
    "mask.dynamic.epochs",
    "mask.dynamic.worker-epochs",
    "mask.static-overfits",
    "mask.static-overfits.unseen-text",
    also=["trainer.best-loaded.same-masks", "trainer.evaluates.repeats"],
)
def masks_the_same_batch_alike(patch):
    """The same rows have the same mask in each epoch."""
    seeded(patch, lambda inputs: int(inputs.sum()))


@lie("mask.dynamic.worker-epochs")
def masks_by_worker_alone(patch):
    """The masks of a worker process depend on its number alone."""
    begun = []

    def seed(inputs):
        if get_worker_info() is None:
            return None
        begun.append(True)
        return 1_000 * get_worker_info().id + len(begun)

    seeded(patch, seed)


@lie("mask.dynamic.workers")
def masks_alike_in_all_workers(patch):
    """All worker processes of an epoch begin with the same random state."""
    begun = []

    def seed(inputs):
        worker = get_worker_info()
        if worker is None:
            return None
        begun.append(True)
        return worker.seed - worker.id + len(begun)

    seeded(patch, seed)


@lie("mask.dynamic.rows-stay")
def takes_the_mask_out_of_the_rows(patch):
    """A row that went through the collator has lost its `special_tokens_mask`."""

    def change(self, batch, rows):
        for row in rows:
            if isinstance(row, dict):
                row.pop("special_tokens_mask", None)

    collated(patch, change)


@lie("mask.dynamic.rows-stay")
def counts_the_uses_of_a_row(patch):
    """The collator writes into a row that it was used."""

    def change(self, batch, rows):
        for row in rows:
            if isinstance(row, dict):
                row["used"] = row.get("used", 0) + 1

    collated(patch, change)


@lie("mask.dynamic.independent")
def chooses_no_token_twice_running(patch):
    """A token that was chosen in the last batch is not chosen in this one."""
    last = [None]

    def choose(probabilities, draw):
        drawn = draw(probabilities)
        if last[0] is not None and last[0].shape == drawn.shape:
            drawn = drawn * (1 - last[0])
        last[0] = drawn
        return drawn

    chosen(patch, choose)


@lie("mask.dynamic.repeatable")
def seeds_workers_from_the_system(patch):
    """In worker processes the masks come from the system's random numbers."""
    seeded(patch, lambda inputs: int.from_bytes(os.urandom(4), "big") if get_worker_info() else None)


@lie("mask.dynamic.repeatable", also=["trainer.evaluates.repeats", "trainer.fp16.cpu"])
def seeds_from_the_system(patch):
    """Without worker processes the masks come from the system's random numbers."""
    seeded(patch, lambda inputs: None if get_worker_info() else int.from_bytes(os.urandom(4), "big"))


# --- a seed of its own ------------------------------------------------------------------------------------------------


@lie("mask.dynamic.own-seed", "mask.dynamic.own-seed-epochs", "mask.dynamic.own-seed-used")
def ignores_its_own_seed(patch):
    """The collator's `seed` has no effect."""
    patch.setattr(DataCollatorForLanguageModeling, "create_rng", lambda self: None)


@lie("mask.dynamic.own-seed", "mask.dynamic.own-seed-used")
def starts_at_its_seed_with_each_batch(patch):
    """A collator with a `seed` makes a new generator for each batch."""
    collated(patch, lambda self, batch, rows: setattr(self, "generator", None))


@lie("mask.dynamic.own-seed-workers")
def forgets_the_number_of_the_worker(patch):
    """A collator with a `seed` starts alike in all worker processes."""

    def changed(self):
        self.generator = self.get_generator(self.seed)

    patch.setattr(DataCollatorForLanguageModeling, "create_rng", changed)


@lie("mask.dynamic.own-seed-epochs")
def seeds_workers_by_epoch(patch):
    """In a worker process, a collator with a `seed` also takes the epoch's seed into account."""
    real = DataCollatorForLanguageModeling.get_generator

    def changed(self, seed):
        return real(self, seed + (get_worker_info().seed if get_worker_info() else 0))

    patch.setattr(DataCollatorForLanguageModeling, "get_generator", changed)


@lie("mask.dynamic.own-seed-used")
def makes_a_generator_in_each_worker(patch):
    """A worker process does not go on with the generator that the main process has made."""
    real = DataCollatorForLanguageModeling.torch_call
    makers = {}

    def changed(self, rows):
        process = multiprocessing.current_process().name
        if makers.setdefault(id(self), process) != process:
            makers[id(self)] = process
            self.generator = None
        return real(self, rows)

    patch.setattr(DataCollatorForLanguageModeling, "torch_call", changed)


# --- masks made inside map --------------------------------------------------------------------------------------------


@lie("mask.static-in-map", "mask.static-in-map.collator")
def maps_anew_for_each_epoch(patch):
    """`map` is lazy where its function makes labels: each pass over the rows runs it again."""
    real_map, real_items = Dataset.map, Dataset.__getitems__

    @functools.wraps(real_map)
    def changed_map(self, *arguments, **options):
        result = real_map(self, *arguments, **options)
        if "labels" in result.column_names:
            earlier = getattr(self, "made_again", lambda: self)
            result.made_again = lambda: real_map(earlier(), *arguments, **options, load_from_cache_file=False)
        return result

    def changed_items(self, keys):
        if 0 in keys and hasattr(self, "made_again"):
            self._data = self.made_again()._data
        return real_items(self, keys)

    patch.setattr(Dataset, "map", changed_map)
    patch.setattr(Dataset, "__getitems__", changed_items)


@lie("mask.static-in-map.cached", "chunk.drops-tail.num-proc-again")
def names_each_result_differently(patch):
    """`map` does not find the results of an earlier call, as each gets a random fingerprint."""
    patch.setattr(arrow_dataset, "update_fingerprint", lambda *arguments: generate_random_fingerprint())


@lie("mask.static-in-map.cached")
def always_looks_into_the_cache(patch):
    """`load_from_cache_file=False` is not heeded."""
    real = Dataset.map

    @functools.wraps(real)
    def changed(self, *arguments, **options):
        return real(self, *arguments, **{**options, "load_from_cache_file": True})

    patch.setattr(Dataset, "map", changed)


@lie("mask.static-in-map.processes")
def seeds_the_processes_of_map(patch):
    """Each process of `map` has a random state of its own."""
    real = Dataset._map_single

    @functools.wraps(real)
    def changed(*arguments, **options):
        if options.get("rank"):
            torch.manual_seed(options["rank"])
        yield from real(*arguments, **options)

    patch.setattr(Dataset, "_map_single", staticmethod(changed))
