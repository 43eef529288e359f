"""Slide 35: the collator chooses tokens with a probability of 15 % and makes them the labels.

`draw` is 16 epochs of the lecture's pipeline (slides 32, 33, 35) over a small corpus, about a million tokens; most
statistical specs look at it. Their tests are exact (`fixtures/statistics.py`), so they hold for any seed.
"""

import json
from itertools import chain
from typing import NamedTuple

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

from fixtures import checkpoints, corpus, vocabulary
from fixtures.statistics import TOKENS, assert_binomial

# New parameters and masks are drawn from torch's global generator.
pytestmark = pytest.mark.usefixtures("seeded")

BLOCK_SIZE = 128
EPOCHS = 16

# The vocabulary has no 餐 and no 厅: each becomes [UNK].
UNKNOWN = "the 餐 厅 of the city"


class Draw(NamedTuple):
    """What came out of the collator. All are (EPOCHS * blocks, BLOCK_SIZE); `ordinary` is neither [CLS] nor [SEP]."""

    original: torch.Tensor
    inputs: torch.Tensor
    labels: torch.Tensor
    ordinary: torch.Tensor

    @property
    def chosen(self):
        return self.labels != -100


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return AutoTokenizer.from_pretrained(vocabulary.write_uncased(tmp_path_factory.mktemp("uncased")))


@pytest.fixture(scope="module")
def tokenizer_without_mask(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    for name, content in vocabulary.bpe_files("gpt2").items():
        (folder / name).write_bytes(content)
    (folder / "config.json").write_text(json.dumps(checkpoints.config("gpt2", "causal-lm")))
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenized_dataset(tokenizer):
    """Slide 32: rows of unequal length, each from [CLS] to [SEP]."""
    dataset = Dataset.from_dict({"text": corpus.splits(train=2_000)["train"]})
    return dataset.map(
        lambda examples: tokenizer(examples["text"], return_special_tokens_mask=True),
        batched=True,
        remove_columns=["text"],
    )


@pytest.fixture(scope="module")
def lm_dataset(tokenized_dataset):
    """Slide 33: blocks of 128 tokens."""

    def group_texts(examples):
        joined = {name: list(chain(*rows)) for name, rows in examples.items()}
        total = len(joined["input_ids"]) // BLOCK_SIZE * BLOCK_SIZE
        return {
            name: [tokens[start : start + BLOCK_SIZE] for start in range(0, total, BLOCK_SIZE)]
            for name, tokens in joined.items()
        }

    return tokenized_dataset.map(group_texts, batched=True)


@pytest.fixture(scope="module")
def draw(tokenizer, lm_dataset, seed):
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)
    rows = list(lm_dataset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        batches = [data_collator(rows) for _ in range(EPOCHS)]
    special = torch.tensor(lm_dataset[:]["special_tokens_mask"]).bool()
    drawn = Draw(
        original=torch.tensor(lm_dataset[:]["input_ids"]).repeat(EPOCHS, 1),
        inputs=torch.cat([batch["input_ids"] for batch in batches]),
        labels=torch.cat([batch["labels"] for batch in batches]),
        ordinary=~special.repeat(EPOCHS, 1),
    )
    if drawn.ordinary.sum() < TOKENS:
        raise RuntimeError(f"a draw of {drawn.ordinary.sum()} tokens; the stated powers need {TOKENS}")
    return drawn


# --- the printed call -------------------------------------------------------------------------------------------------


@pytest.mark.claim("mask.rate.call")
def test_printed_call_collates(tokenizer, lm_dataset, evidence):
    """The printed call makes a function from a list of rows to a batch with labels."""
    data_collator = DataCollatorForLanguageModeling(
        tokenizer=tokenizer,
        mlm=True,
        mlm_probability=0.15,
    )

    batch = data_collator([lm_dataset[0], lm_dataset[1]])

    evidence["batch"] = {name: list(tensor.shape) for name, tensor in batch.items()}
    assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels"}


@pytest.mark.claim("mask.rate.shapes")
def test_labels_are_shaped_like_the_input(tokenizer, lm_dataset):
    """Input and labels are 64-bit integers, rows x tokens."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)

    batch = data_collator([lm_dataset[row] for row in range(7)])

    assert batch["input_ids"].shape == batch["labels"].shape == (7, BLOCK_SIZE)
    assert batch["input_ids"].dtype == batch["labels"].dtype == torch.int64


@pytest.mark.claim("mask.rate.padded")
def test_rows_are_padded_to_the_longest(tokenizer, tokenized_dataset):
    """Rows of unequal length become a rectangle: [PAD] behind the short ones, which gets no attention."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)
    rows = list(tokenized_dataset.select(range(40)))
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])

    batch = data_collator(rows)

    padding = torch.arange(int(lengths.max())) >= lengths[:, None]
    assert padding.any()
    assert batch["input_ids"].shape == batch["labels"].shape == padding.shape
    assert (batch["input_ids"][padding] == tokenizer.pad_token_id).all()
    assert torch.equal(batch["attention_mask"], (~padding).long())


@pytest.mark.claim("mask.rate.attention-mask")
def test_attention_mask_is_untouched(tokenizer, lm_dataset):
    """Masked tokens are attended to like any other, and the segments stay."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)
    rows = list(lm_dataset.select(range(8)))

    batch = data_collator(rows)

    assert batch["attention_mask"].tolist() == [row["attention_mask"] for row in rows]
    assert batch["token_type_ids"].tolist() == [row["token_type_ids"] for row in rows]


# --- 15 % of which tokens ---------------------------------------------------------------------------------------------


@pytest.mark.claim("mask.rate")
def test_15_percent_of_the_tokens_are_chosen(draw, evidence):
    """15 % of the tokens in the batches are chosen."""
    # Slide 35 gives one probability, for "masking". On slides 32 and 33 [CLS] and [SEP] are tokens like the others.
    evidence["chosen"], evidence["tokens"] = int(draw.chosen.sum()), draw.chosen.numel()

    assert_binomial(draw.chosen.sum(), draw.chosen.numel(), probability=0.15, what="chosen of all tokens")


@pytest.mark.correction("mask.rate")
def test_fewer_are_chosen_as_special_tokens_never_are(draw):
    """15 % of what is neither [CLS] nor [SEP] is chosen, so less than 15 % of all tokens."""
    assert draw.ordinary.float().mean() < 0.95
    assert not draw.chosen[~draw.ordinary].any()
    assert_binomial(draw.chosen.sum(), draw.ordinary.sum(), probability=0.15, what="chosen of the ordinary tokens")


@pytest.mark.claim("mask.rate.ordinary")
def test_15_percent_of_the_ordinary_tokens_are_chosen(draw, evidence):
    """15 % of the tokens that are not special are chosen."""
    chosen = draw.chosen[draw.ordinary]
    evidence["chosen"], evidence["tokens"] = int(chosen.sum()), chosen.numel()

    assert_binomial(chosen.sum(), chosen.numel(), probability=0.15, what="chosen of the ordinary tokens")


@pytest.mark.claim("mask.rate.become-mask")
def test_15_percent_become_the_mask_token(tokenizer, draw, evidence):
    """With a masking probability of 15 %, 15 % of the ordinary tokens become [MASK]."""
    masked = draw.inputs[draw.ordinary] == tokenizer.mask_token_id
    evidence["masked"], evidence["tokens"] = int(masked.sum()), masked.numel()

    assert_binomial(masked.sum(), masked.numel(), probability=0.15, what="[MASK] among the ordinary tokens")


@pytest.mark.correction("mask.rate.become-mask")
def test_12_percent_become_the_mask_token(tokenizer, draw):
    """80 % of the chosen 15 % become [MASK], which is 12 % of the ordinary tokens."""
    masked = draw.inputs[draw.ordinary] == tokenizer.mask_token_id

    # A random replacement, too, is [MASK] once in as many times as there are entries.
    probability = 0.15 * (0.8 + 0.1 / len(tokenizer))
    assert_binomial(masked.sum(), masked.numel(), probability=probability, what="[MASK] among the ordinary tokens")


@pytest.mark.claim("mask.rate.numpy")
def test_numpy_batches_have_the_same_rate(tokenizer, lm_dataset, seed):
    """Asked for numpy arrays, the collator chooses 15 % of the ordinary tokens, too."""
    data_collator = DataCollatorForLanguageModeling(
        tokenizer=tokenizer, mlm=True, mlm_probability=0.15, return_tensors="np"
    )
    ordinary = ~np.array(lm_dataset[:]["special_tokens_mask"], dtype=bool)
    np.random.seed(seed)

    batch = data_collator(list(lm_dataset))

    assert isinstance(batch["labels"], np.ndarray)
    assert batch["labels"].shape == batch["input_ids"].shape == ordinary.shape
    chosen = batch["labels"] != -100
    assert not chosen[~ordinary].any()
    assert_binomial(chosen.sum(), ordinary.sum(), probability=0.15, what="chosen of the ordinary tokens")


# --- any probability --------------------------------------------------------------------------------------------------


@pytest.mark.claim("mask.rate.any-probability")
@given(probability=st.floats(0, 1))
@settings(max_examples=20)
def test_any_probability_is_kept(tokenizer, lm_dataset, seed, probability):
    """Whatever probability is given, that share of the ordinary tokens is chosen."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=probability)
    rows = list(lm_dataset.select(range(80)))
    ordinary = ~torch.tensor([row["special_tokens_mask"] for row in rows]).bool()
    torch.manual_seed(seed)

    chosen = data_collator(rows)["labels"] != -100

    assert_binomial(chosen.sum(), ordinary.sum(), probability=probability, what="chosen of the ordinary tokens")


@pytest.mark.claim("mask.rate.any-probability")
def test_probability_0_chooses_nothing(tokenizer, lm_dataset):
    """With probability 0 the batch is the rows, and no token has a label."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.0)
    rows = list(lm_dataset.select(range(80)))

    batch = data_collator(rows)

    assert batch["input_ids"].tolist() == [row["input_ids"] for row in rows]
    assert (batch["labels"] == -100).all()


@pytest.mark.claim("mask.rate.any-probability")
def test_probability_1_chooses_all_ordinary_tokens(tokenizer, lm_dataset):
    """With probability 1 each ordinary token is chosen."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=1.0)
    rows = list(lm_dataset.select(range(80)))

    chosen = data_collator(rows)["labels"] != -100

    assert chosen.long().tolist() == [[1 - special for special in row["special_tokens_mask"]] for row in rows]


@pytest.mark.claim("mask.rate.whole-number")
@pytest.mark.parametrize("probability", [0, 1])
def test_probability_may_be_a_whole_number(tokenizer, lm_dataset, probability):
    """0 and 1 may be given as `int`."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=probability)

    chosen = data_collator([lm_dataset[0]])["labels"] != -100

    assert chosen.any() == bool(probability)


@pytest.mark.correction("mask.rate.whole-number")
@pytest.mark.parametrize("probability", [0, 1])
def test_probability_has_to_be_a_float(tokenizer, lm_dataset, probability):
    """As `int` they give an error when a batch is made; 0.0 and 1.0 do not."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=probability)
    with pytest.raises(NotImplementedError, match="bernoulli"):
        data_collator([lm_dataset[0]])

    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=float(probability))
    chosen = data_collator([lm_dataset[0]])["labels"] != -100

    assert chosen.any() == bool(probability)


@pytest.mark.claim("mask.rate.out-of-range")
@pytest.mark.parametrize("probability", [-0.15, 1.5, 15.0])
def test_what_is_no_probability_is_refused(tokenizer, lm_dataset, probability):
    """What is no probability, such as 15 for 15 %, gives an error and no batch."""

    def collate():
        data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=probability)
        return data_collator([lm_dataset[0]])

    with pytest.raises((ValueError, RuntimeError)):
        collate()


# --- what becomes of the chosen ---------------------------------------------------------------------------------------


@pytest.mark.claim("mask.rate.labels")
def test_label_is_the_original_id_or_ignored(draw):
    """A label is the token's original id, or -100, which the loss leaves out."""
    assert draw.chosen.any()
    assert not draw.chosen.all()
    assert torch.equal(draw.labels[draw.chosen], draw.original[draw.chosen])


@pytest.mark.claim("mask.rate.unchosen-stay")
def test_unchosen_tokens_stay(draw):
    """A token without a label stands in the input as it was."""
    assert torch.equal(draw.inputs[~draw.chosen], draw.original[~draw.chosen])


@pytest.mark.claim("mask.rate.80-masked")
def test_80_percent_of_the_chosen_become_the_mask_token(tokenizer, draw, evidence):
    """80 % of the chosen tokens become [MASK]."""
    masked = draw.inputs[draw.chosen] == tokenizer.mask_token_id
    evidence["masked"], evidence["chosen"] = int(masked.sum()), masked.numel()

    # A random replacement, too, is [MASK] once in as many times as there are entries.
    probability = 0.8 + 0.1 / len(tokenizer)
    assert_binomial(masked.sum(), masked.numel(), probability=probability, what="[MASK] among the chosen")


@pytest.mark.claim("mask.rate.10-random")
def test_10_percent_of_the_chosen_become_another_token(tokenizer, draw, evidence):
    """10 % of the chosen tokens become a random one."""
    inputs, original = draw.inputs[draw.chosen], draw.original[draw.chosen]
    replaced = (inputs != tokenizer.mask_token_id) & (inputs != original)
    evidence["replaced"], evidence["chosen"] = int(replaced.sum()), replaced.numel()

    # Two entries of the vocabulary do not show as a random replacement: [MASK] and the token itself.
    probability = 0.1 * (1 - 2 / len(tokenizer))
    assert_binomial(replaced.sum(), replaced.numel(), probability=probability, what="replaced among the chosen")


@pytest.mark.claim("mask.rate.10-kept")
def test_10_percent_of_the_chosen_are_kept_and_labelled(tokenizer, draw, evidence):
    """10 % of the chosen tokens stand in the input unchanged, and have a label all the same."""
    kept = draw.inputs[draw.chosen] == draw.original[draw.chosen]
    evidence["kept"], evidence["chosen"] = int(kept.sum()), kept.numel()

    probability = 0.1 + 0.1 / len(tokenizer)  # a random replacement may be the token itself
    assert_binomial(kept.sum(), kept.numel(), probability=probability, what="unchanged among the chosen")


@pytest.fixture(scope="module")
def replacements(tokenizer, seed):
    """The ids that random replacement put in the place of one and the same word; (about 26,000,)."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=1.0)
    word = tokenizer.convert_tokens_to_ids("the")
    rows = [{"input_ids": [word] * 512, "special_tokens_mask": [0] * 512}] * 512
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inputs = data_collator(rows)["input_ids"]
    return inputs[(inputs != word) & (inputs != tokenizer.mask_token_id)]


@pytest.mark.claim("mask.rate.random-uniform")
def test_random_replacements_come_from_the_whole_vocabulary(tokenizer, replacements, evidence):
    """Each entry of the vocabulary is as likely as any other to replace a token."""
    visible = set(range(len(tokenizer))) - {tokenizer.convert_tokens_to_ids("the"), tokenizer.mask_token_id}
    quarter = len(tokenizer) // 4
    lower, middle, even = range(2 * quarter), range(quarter, 3 * quarter), range(0, len(tokenizer), 2)
    n, ids = len(replacements), replacements.tolist()
    evidence["replacements"], evidence["different entries"] = n, len(set(ids))

    # One half misses what another shows: a vocabulary cut off, one with a bend, one with gaps.
    assert visible.issuperset(ids)
    in_lower, in_middle, are_even = (sum(entry in half for entry in ids) for half in (lower, middle, even))
    assert_binomial(in_lower, n, probability=len(visible & set(lower)) / len(visible), what="in the lower half")
    assert_binomial(in_middle, n, probability=len(visible & set(middle)) / len(visible), what="in the middle half")
    assert_binomial(are_even, n, probability=len(visible & set(even)) / len(visible), what="even ids")


@pytest.mark.claim("mask.rate.random-special")
def test_random_replacement_may_be_a_special_token(tokenizer, replacements, evidence):
    """A word may be replaced by [PAD], [UNK], [CLS] or [SEP], as often as by any other entry."""
    special = set(tokenizer.all_special_ids) - {tokenizer.mask_token_id}
    count = sum(entry in special for entry in replacements.tolist())
    evidence["special"], evidence["replacements"] = count, len(replacements)

    entries = len(tokenizer) - 2  # [MASK] and the word itself do not show
    assert_binomial(count, len(replacements), probability=len(special) / entries, what="special replacements")


# --- special tokens ---------------------------------------------------------------------------------------------------


@pytest.mark.claim("mask.rate.ends-never")
def test_ends_are_never_chosen(tokenizer, tokenized_dataset):
    """[CLS] and [SEP] are not chosen, even where everything else is."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=1.0)
    rows = list(tokenized_dataset.select(range(80)))
    tokens = torch.tensor(list(chain(*(row["input_ids"] for row in rows))))

    batch = data_collator(rows)

    labels = batch["labels"][batch["attention_mask"] == 1]
    ends = (tokens == tokenizer.cls_token_id) | (tokens == tokenizer.sep_token_id)
    assert ends.sum() == 2 * len(rows)
    assert torch.equal(labels == -100, ends)


@pytest.mark.claim("mask.rate.ends-never")
def test_ends_are_found_without_the_mask_of_slide_32(tokenizer, lm_dataset):
    """Where the rows bring no `special_tokens_mask`, the collator works it out: same tokens, also inside a block."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=1.0)
    rows = [{"input_ids": ids} for ids in lm_dataset[:80]["input_ids"]]

    chosen = data_collator(rows)["labels"] != -100

    assert (~chosen).long().tolist() == lm_dataset[:80]["special_tokens_mask"]


@pytest.mark.claim("mask.rate.padding-never")
@pytest.mark.parametrize(
    "columns", [["input_ids", "special_tokens_mask"], ["input_ids"]], ids=["with mask", "without mask"]
)
def test_padding_is_never_chosen(tokenizer, tokenized_dataset, columns):
    """[PAD] is not chosen, with or without `special_tokens_mask`, even where everything else is."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=1.0)
    rows = [{name: row[name] for name in columns} for row in tokenized_dataset.select(range(80))]
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])

    batch = data_collator(rows)

    padding = torch.arange(int(lengths.max())) >= lengths[:, None]
    assert padding.any()
    assert (batch["labels"][padding] == -100).all()
    assert (batch["input_ids"][padding] == tokenizer.pad_token_id).all()


@pytest.mark.claim("mask.rate.special-never")
def test_no_special_token_is_chosen(tokenizer, evidence):
    """No special token is ever a label."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=1.0)

    batch = data_collator([tokenizer(UNKNOWN, return_special_tokens_mask=True)])

    labels = set(batch["labels"].flatten().tolist())
    special = tokenizer.convert_ids_to_tokens(sorted(labels & set(tokenizer.all_special_ids)))
    evidence["special labels"] = special
    assert special == []


@pytest.mark.correction("mask.rate.special-never")
def test_unknown_token_is_chosen_by_the_mask_of_slide_32(tokenizer):
    """[UNK] in a text is a special token for the collator, but none for the `special_tokens_mask` of slide 32."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=1.0)
    row = tokenizer(UNKNOWN, return_special_tokens_mask=True)

    with_mask = data_collator([row])["labels"]
    without = data_collator([{"input_ids": row["input_ids"]}])["labels"]

    assert (with_mask == tokenizer.unk_token_id).sum() == 2
    assert (without == tokenizer.unk_token_id).sum() == 0


@pytest.fixture
def served(tokenizer, tokenized_dataset):
    """A function: the columns that reach the collator of a Trainer with these arguments."""

    def columns(training_args):
        data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)
        seen = set()

        def collate(rows):
            seen.update(*rows)
            return data_collator(rows)

        trainer = Trainer(
            model=BertForMaskedLM(BertConfig.from_dict(checkpoints.config("bert", "masked-lm"))),
            args=training_args,
            train_dataset=tokenized_dataset,
            data_collator=collate,
        )
        next(iter(trainer.get_train_dataloader()))
        return seen

    return columns


@pytest.mark.claim("mask.rate.mask-served")
def test_special_tokens_mask_reaches_the_collator(served, tmp_path, evidence):
    """The `special_tokens_mask` that slide 32 asks for tells the collator of slide 41 what not to choose."""
    columns = served(TrainingArguments(output_dir=str(tmp_path), report_to="none"))

    evidence["columns"] = sorted(columns)
    assert "special_tokens_mask" in columns


@pytest.mark.correction("mask.rate.mask-served")
def test_trainer_drops_the_special_tokens_mask(served, tmp_path, monkeypatch):
    """`Trainer` drops the columns that the model does not take, and so this one, unless told not to."""
    monkeypatch.chdir(tmp_path)
    training_args = TrainingArguments(
        output_dir="./bert-wikitext2-mlm",
        report_to="none",
    )
    assert served(training_args) == {"input_ids", "token_type_ids", "attention_mask"}

    training_args = TrainingArguments(
        output_dir="./bert-wikitext2-mlm",
        remove_unused_columns=False,
        report_to="none",
    )
    assert "special_tokens_mask" in served(training_args)


# --- independence -----------------------------------------------------------------------------------------------------


@pytest.mark.claim("mask.rate.independent")
def test_neighbours_are_chosen_independently(draw, evidence):
    """Two tokens side by side are both chosen as often as chance has it: no runs, no words."""
    pairs = draw.ordinary[:, 0::2] & draw.ordinary[:, 1::2]
    both = (draw.chosen[:, 0::2] & draw.chosen[:, 1::2])[pairs]
    evidence["both chosen"], evidence["pairs"] = int(both.sum()), both.numel()

    assert_binomial(both.sum(), both.numel(), probability=0.15**2, what="neighbours both chosen")


@pytest.mark.claim("mask.rate.independent")
def test_rows_are_masked_independently(draw):
    """The same position in two neighbouring rows is chosen in both as often as chance has it."""
    even = draw.chosen.shape[0] // 2 * 2
    pairs = draw.ordinary[0:even:2] & draw.ordinary[1:even:2]
    both = (draw.chosen[0:even:2] & draw.chosen[1:even:2])[pairs]

    assert_binomial(both.sum(), both.numel(), probability=0.15**2, what="same position in two rows both chosen")


@pytest.mark.claim("mask.rate.independent")
def test_number_of_chosen_tokens_varies_by_row(draw, evidence):
    """A row has no fixed number of chosen tokens: it spreads as widely as independent choices do."""
    first = draw.ordinary & (draw.ordinary.cumsum(dim=1) <= 100)  # the first hundred ordinary tokens of a row
    full = first.sum(dim=1) == 100
    counts = (draw.chosen & first)[full].sum(dim=1)
    near = (counts >= 13) & (counts <= 17)
    evidence["rows"], evidence["rows with 13 to 17 of 100"] = near.numel(), int(near.sum())

    probability = float(binom.cdf(17, 100, 0.15) - binom.cdf(12, 100, 0.15))
    assert_binomial(near.sum(), near.numel(), probability=probability, what="rows with 13 to 17 of 100 tokens chosen")


# --- without masking --------------------------------------------------------------------------------------------------


@pytest.mark.claim("mask.rate.mlm-off")
def test_without_mlm_nothing_is_masked(tokenizer, tokenized_dataset):
    """With `mlm=False` the input stays, and each token but [PAD] is its own label."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=False)
    rows = list(tokenized_dataset.select(range(80)))

    batch = data_collator(rows)

    attended = batch["attention_mask"] == 1
    assert not attended.all()
    assert batch["input_ids"][attended].tolist() == list(chain(*(row["input_ids"] for row in rows)))
    assert torch.equal(batch["labels"][attended], batch["input_ids"][attended])
    assert (batch["labels"][~attended] == -100).all()


@pytest.mark.claim("mask.rate.needs-mask-token")
def test_tokenizer_without_mask_token_is_refused(tokenizer_without_mask, evidence):
    """Without a mask token there is nothing to mask with: the collator is not even made."""
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the text is evidence, not the thing compared
        DataCollatorForLanguageModeling(tokenizer=tokenizer_without_mask, mlm=True, mlm_probability=0.15)

    evidence["message"] = str(refusal.value)
