"""Slides 34 and 35: masks made inside `map` are static, those made in the collator dynamic.

That two masks differ is asserted of rows with 60 ordinary tokens or more. At 15 % each, two independent masks agree on
all of them with a probability of less than 0.745 ** 60 = 2e-8 for one row alone, and 1e-200 for a block of rows.
"""

import copy
import time
from itertools import chain

import pytest
import torch
from datasets import Dataset, load_dataset
from torch.utils.data import DataLoader, get_worker_info
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    default_data_collator,
)

from fixtures import checkpoints, corpus, vocabulary
from fixtures.statistics import assert_binomial, sign_flip_p

# New parameters and masks are drawn from torch's global generator.
pytestmark = pytest.mark.usefixtures("seeded")

BLOCK_SIZE = 128


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return AutoTokenizer.from_pretrained(vocabulary.write_uncased(tmp_path_factory.mktemp("uncased")))


def group_texts(examples):
    """Slide 33: blocks of 128 tokens."""
    joined = {name: list(chain(*rows)) for name, rows in examples.items()}
    total = len(joined["input_ids"]) // BLOCK_SIZE * BLOCK_SIZE
    return {
        name: [tokens[start : start + BLOCK_SIZE] for start in range(0, total, BLOCK_SIZE)]
        for name, tokens in joined.items()
    }


@pytest.fixture(scope="module")
def lm_dataset(tokenizer):
    """Slides 32 and 33: blocks of 128 tokens that are still to be masked."""
    dataset = Dataset.from_dict({"text": corpus.splits(train=400)["train"]})
    tokenized = dataset.map(
        lambda examples: tokenizer(examples["text"], return_special_tokens_mask=True),
        batched=True,
        remove_columns=["text"],
    )
    return tokenized.map(group_texts, batched=True)


@pytest.fixture
def data_collator(tokenizer):
    """The printed call of slide 35."""
    return DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)


def labels_of(loader):
    """The labels of one epoch, in the order they are served; (rows, BLOCK_SIZE)."""
    return torch.cat([batch["labels"] for batch in loader])


def rows_that_differ(masks, others):
    """How many rows are masked in different places."""
    return int(((masks != -100) != (others != -100)).any(dim=1).sum())


# --- masks made in the collator change --------------------------------------------------------------------------------


@pytest.mark.claim("mask.dynamic")
def test_masks_change_between_calls(data_collator, lm_dataset, evidence):
    """Called twice with the same rows, the collator masks each of them in other places."""
    rows = list(lm_dataset)

    differing = rows_that_differ(data_collator(rows)["labels"], data_collator(rows)["labels"])

    evidence["rows"], evidence["masked in other places"] = len(rows), differing
    assert differing == len(rows)


@pytest.mark.claim("mask.dynamic.rows-stay")
def test_rows_are_left_as_they_are(data_collator, lm_dataset):
    """Masking changes the batch, not the rows it was made from."""
    rows = list(lm_dataset)
    before = copy.deepcopy(rows)

    data_collator(rows)

    assert rows == before


@pytest.mark.claim("mask.dynamic.independent")
def test_masks_do_not_depend_on_the_last_ones(data_collator, lm_dataset):
    """A token is chosen in both of two calls as often as chance has it: 15 % of 15 %."""
    rows = list(lm_dataset)
    ordinary = ~torch.tensor(lm_dataset[:]["special_tokens_mask"]).bool()

    first, second = data_collator(rows)["labels"] != -100, data_collator(rows)["labels"] != -100

    both = (first & second)[ordinary]
    assert_binomial(both.sum(), both.numel(), probability=0.15**2, what="tokens chosen in both calls")


@pytest.mark.claim("mask.dynamic.epochs")
def test_masks_change_from_epoch_to_epoch(data_collator, lm_dataset, evidence):
    """Through a `DataLoader`, the same row is masked in other places in each epoch."""
    loader = DataLoader(lm_dataset, batch_size=16, collate_fn=data_collator)

    differing = rows_that_differ(labels_of(loader), labels_of(loader))

    rows = len(lm_dataset)
    evidence["rows"], evidence["masked in other places"] = rows, differing
    assert differing == rows


@pytest.mark.claim("mask.dynamic.workers")
def test_workers_make_different_masks(data_collator, lm_dataset):
    """Two worker processes that get the same row mask it in different places."""
    batches = []

    def collate(rows):
        return data_collator(rows) | {"worker": torch.tensor(get_worker_info().id)}

    # The same row 16 times: batches of 8, of which each worker takes one.
    for batch in DataLoader(lm_dataset.select([0] * 16), batch_size=8, collate_fn=collate, num_workers=2):
        batches.append((int(batch["worker"]), batch["labels"]))

    (one, first), (other, second) = batches
    assert {one, other} == {0, 1}
    assert rows_that_differ(first, second) == 8


@pytest.mark.claim("mask.dynamic.worker-epochs")
def test_masks_of_workers_change_from_epoch_to_epoch(data_collator, lm_dataset):
    """With worker processes, too, a row is masked in other places in each epoch."""
    loader = DataLoader(lm_dataset, batch_size=16, collate_fn=data_collator, num_workers=2)

    assert rows_that_differ(labels_of(loader), labels_of(loader)) == len(lm_dataset)


# --- and repeat under a seed ------------------------------------------------------------------------------------------


@pytest.mark.claim("mask.dynamic.repeatable")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_masks_repeat_under_a_seed(data_collator, lm_dataset, num_workers):
    """After `torch.manual_seed` the same two epochs come again, with and without worker processes."""
    loader = DataLoader(lm_dataset, batch_size=16, collate_fn=data_collator, num_workers=num_workers)

    torch.manual_seed(7)
    once = [labels_of(loader), labels_of(loader)]
    torch.manual_seed(7)
    again = [labels_of(loader), labels_of(loader)]

    assert torch.equal(torch.stack(once), torch.stack(again))


@pytest.mark.claim("mask.dynamic.own-seed")
@pytest.mark.needs("transformers>=4.50")
def test_own_seed_repeats_the_masks(tokenizer, lm_dataset):
    """A collator with a `seed` of its own has the same masks again, and other ones in each call."""
    rows = list(lm_dataset)
    one = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15, seed=7)
    other = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15, seed=7)

    first, second = one(rows)["labels"], one(rows)["labels"]
    torch.rand(1)

    assert torch.equal(other(rows)["labels"], first)
    assert torch.equal(other(rows)["labels"], second)
    assert rows_that_differ(first, second) == len(rows)


@pytest.mark.claim("mask.dynamic.own-seed-epochs")
@pytest.mark.needs("transformers>=4.50")
def test_masks_under_its_own_seed_change_from_epoch_to_epoch(tokenizer, lm_dataset, evidence):
    """With a `seed` of its own and worker processes, the collator makes other masks in each epoch."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15, seed=7)
    loader = DataLoader(lm_dataset, batch_size=16, collate_fn=data_collator, num_workers=2)

    differing = rows_that_differ(labels_of(loader), labels_of(loader))

    rows = len(lm_dataset)
    evidence["rows"], evidence["masked in other places"] = rows, differing
    assert differing == rows


@pytest.mark.correction("mask.dynamic.own-seed-epochs")
@pytest.mark.needs("transformers>=4.50")
def test_new_workers_start_again_with_the_seed(tokenizer, lm_dataset):
    """Each epoch has new workers, which begin at the seed again: static masks, unless the workers persist."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15, seed=7)
    new = DataLoader(lm_dataset, batch_size=16, collate_fn=data_collator, num_workers=2)
    kept = DataLoader(lm_dataset, batch_size=16, collate_fn=data_collator, num_workers=2, persistent_workers=True)

    assert torch.equal(labels_of(new), labels_of(new))
    assert rows_that_differ(labels_of(kept), labels_of(kept)) == len(lm_dataset)


def two_workers(data_collator, row):
    """The labels that two worker processes give to 8 copies each of one row; batches go to the workers in turn."""
    loader = DataLoader([row] * 16, batch_size=8, collate_fn=data_collator, num_workers=2)
    first, second = (batch["labels"] for batch in loader)
    return first, second


@pytest.mark.claim("mask.dynamic.own-seed-workers")
@pytest.mark.needs("transformers>=4.50")
def test_workers_under_one_seed_make_different_masks(tokenizer, lm_dataset, evidence):
    """A collator with a `seed` of its own masks differently in each worker process."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15, seed=7)

    differing = rows_that_differ(*two_workers(data_collator, lm_dataset[0]))

    evidence["rows"], evidence["masked in other places"] = 8, differing
    assert differing == 8


@pytest.mark.claim("mask.dynamic.own-seed-used")
@pytest.mark.needs("transformers>=4.50")
def test_workers_of_a_used_collator_make_different_masks(tokenizer, lm_dataset, evidence):
    """It does so also when it has made a batch in the main process before."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15, seed=7)
    data_collator([lm_dataset[0]])

    differing = rows_that_differ(*two_workers(data_collator, lm_dataset[0]))

    evidence["rows"], evidence["masked in other places"] = 8, differing
    assert differing == 8


@pytest.mark.correction("mask.dynamic.own-seed-used")
@pytest.mark.needs("transformers>=4.50")
def test_workers_inherit_the_state_of_a_used_collator(tokenizer, lm_dataset):
    """Its generator is made at the first batch; forked after that, all workers go on from the same state."""
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15, seed=7)
    data_collator([lm_dataset[0]])

    first, second = two_workers(data_collator, lm_dataset[0])

    assert torch.equal(first, second)


# --- masks made inside map do not -------------------------------------------------------------------------------------


@pytest.fixture
def tokenize_and_mask(tokenizer):
    """What slide 34 warns of: masking logic in the function of slide 32."""

    def tokenize_function(examples):
        tokenized = tokenizer(examples["text"], return_special_tokens_mask=True)
        tokenized["labels"] = []
        for ids, special in zip(tokenized["input_ids"], tokenized["special_tokens_mask"], strict=True):
            chosen = (torch.rand(len(ids)) < 0.15) & (torch.tensor(special) == 0)
            tokenized["labels"].append(torch.where(chosen, torch.tensor(ids), -100).tolist())
            ids[:] = torch.where(chosen, tokenizer.mask_token_id, torch.tensor(ids)).tolist()
        return tokenized

    return tokenize_function


@pytest.mark.claim("mask.static-in-map")
def test_masks_made_in_map_never_change(tokenize_and_mask, evidence):
    """Masked in the function given to `map`, each row comes with the same mask, epoch after epoch."""
    dataset = Dataset.from_dict({"text": corpus.splits(train=400)["train"]})
    lm_dataset = dataset.map(tokenize_and_mask, batched=True, remove_columns=["text"]).map(group_texts, batched=True)
    loader = DataLoader(lm_dataset, batch_size=16, collate_fn=default_data_collator)

    epochs = [list(loader) for _ in range(3)]

    masked = torch.cat([batch["labels"] for batch in epochs[0]]) != -100
    evidence["masked tokens"], evidence["tokens"] = int(masked.sum()), masked.numel()
    assert masked.any()
    for name in ("input_ids", "labels"):
        first, second, third = (torch.cat([batch[name] for batch in epoch]) for epoch in epochs)
        assert torch.equal(first, second)
        assert torch.equal(first, third)


@pytest.mark.claim("mask.static-in-map.collator")
def test_collator_called_in_map_is_static(data_collator, lm_dataset):
    """The very collator of slide 35, called inside `map`, gives masks that do not change."""

    def mask(examples):
        rows = [dict(zip(examples, row, strict=True)) for row in zip(*examples.values(), strict=True)]
        batch = data_collator(rows)
        return {"input_ids": batch["input_ids"].tolist(), "labels": batch["labels"].tolist()}

    masked = lm_dataset.map(mask, batched=True)
    loader = DataLoader(masked, batch_size=16, collate_fn=default_data_collator)

    first, second = labels_of(loader), labels_of(loader)

    assert (first != -100).any(dim=1).all()
    assert torch.equal(first, second)


@pytest.mark.claim("mask.static-in-map.cached")
def test_masks_made_in_map_are_cached(tokenize_and_mask, tmp_path, seed):
    """Run again, with another seed, `map` brings the old masks from its cache; without the cache it makes new ones."""
    files = corpus.write_text(tmp_path / "corpus", corpus.splits(train=400))
    dataset = load_dataset("text", data_files=str(files["train"]), split="train", cache_dir=str(tmp_path / "cache"))

    first = dataset.map(tokenize_and_mask, batched=True)
    torch.manual_seed(seed + 1)
    second = dataset.map(tokenize_and_mask, batched=True)
    third = dataset.map(tokenize_and_mask, batched=True, load_from_cache_file=False)

    assert second[:] == first[:]
    assert third[:]["labels"] != first[:]["labels"]


@pytest.fixture
def masked_in_two_processes(tokenize_and_mask, tmp_path):
    """The same 40 texts masked by each of two processes; (labels of the first, labels of the second)."""
    texts = corpus.splits(train=40)["train"]

    def tokenize_function(examples, rank):
        (tmp_path / str(rank)).touch()
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2:  # or one process might do the work of both
            if time.monotonic() > deadline:
                raise TimeoutError("the second process did not start")
            time.sleep(0.01)
        return tokenize_and_mask(examples)

    dataset = Dataset.from_dict({"text": texts + texts})
    labels = dataset.map(tokenize_function, batched=True, with_rank=True, num_proc=2)[:]["labels"]
    return labels[:40], labels[40:]


@pytest.mark.claim("mask.static-in-map.processes")
def test_map_processes_make_different_masks(masked_in_two_processes, evidence):
    """With `num_proc`, each process makes masks of its own."""
    first, second = masked_in_two_processes

    differing = sum(one != other for one, other in zip(first, second, strict=True))

    evidence["texts"], evidence["masked in other places"] = len(first), differing
    assert differing > 0


@pytest.mark.correction("mask.static-in-map.processes")
def test_map_processes_make_the_same_masks(masked_in_two_processes):
    """The processes are forks with the same random state, so they draw the same numbers and make the same masks."""
    first, second = masked_in_two_processes

    assert any(label != -100 for row in first for label in row)
    assert first == second


# --- and overfit more -------------------------------------------------------------------------------------------------

PAIRS = 12
STEPS = 60

# Were there no effect of the size asserted, the exact tests below would see one with at most this probability. They
# miss a real one only if it shrinks: the mean differences are more than 13 standard errors above what is asserted.
FALSE_VERDICT = 0.001


@pytest.fixture(scope="module")
def experiment(tokenizer, lm_dataset, seed):
    """`PAIRS` pairs of tiny BERTs, with the same start, data and number of steps; one of a pair has static masks.

    They learn 8 rows of 32 tokens by heart, one step an epoch. Returns for each of "static" and "dynamic" a list of
    (loss on what it was trained on, loss on 64 rows that it has not seen), in nats per chosen token.
    """
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)
    rows = [
        {"input_ids": row["input_ids"][:32], "special_tokens_mask": row["special_tokens_mask"][:32]}
        for row in lm_dataset.select(range(72))
    ]
    seen, unseen = rows[:8], rows[8:]

    def loss(model, batches):
        model.eval()
        with torch.no_grad():
            return sum(model(**batch).loss.item() for batch in batches) / len(batches)

    def losses(kind, pair):
        torch.manual_seed(seed * PAIRS + pair)
        model = BertForMaskedLM(BertConfig.from_dict(checkpoints.config("bert", "masked-lm")))
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        test = data_collator(unseen)
        static = data_collator(seen)
        model.train()
        for _ in range(STEPS):
            model(**(static if kind == "static" else data_collator(seen))).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        trained_on = [static] if kind == "static" else [data_collator(seen) for _ in range(4)]
        return loss(model, trained_on), loss(model, [test])

    with torch.random.fork_rng(devices=[]):
        return {kind: [losses(kind, pair) for pair in range(PAIRS)] for kind in ("static", "dynamic")}


@pytest.mark.slow
@pytest.mark.claim("mask.static-overfits")
def test_static_masks_overfit_more(experiment, evidence):
    """The gap between the loss on unseen and on seen text is wider with static masks, by 1 nat or more."""
    gaps = {kind: [test - trained for trained, test in pairs] for kind, pairs in experiment.items()}
    wider = [static - dynamic for static, dynamic in zip(gaps["static"], gaps["dynamic"], strict=True)]

    p = sign_flip_p([difference - 1 for difference in wider])

    evidence["mean gap"] = {kind: round(sum(values) / PAIRS, 2) for kind, values in gaps.items()}
    evidence["wider by"], evidence["p"] = [round(difference, 2) for difference in wider], p
    assert p <= FALSE_VERDICT


@pytest.mark.slow
@pytest.mark.claim("mask.static-overfits.unseen-text")
def test_static_masks_are_worse_on_unseen_text(experiment, evidence):
    """After as many steps, the loss on unseen text is higher with static masks, by 0.5 nats or more."""
    unseen = {kind: [test for _, test in pairs] for kind, pairs in experiment.items()}
    higher = [static - dynamic for static, dynamic in zip(unseen["static"], unseen["dynamic"], strict=True)]

    p = sign_flip_p([difference - 0.5 for difference in higher])

    evidence["mean loss on unseen text"] = {kind: round(sum(values) / PAIRS, 2) for kind, values in unseen.items()}
    evidence["higher by"], evidence["p"] = [round(difference, 2) for difference in higher], p
    assert p <= FALSE_VERDICT
