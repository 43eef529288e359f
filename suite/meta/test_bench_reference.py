"""The reference collator follows the rules of slide 35: the masking claims' own specs judge it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from suite.benchmarks import forms, kernel
from suite.benchmarks.reference import IGNORED, ReferenceCollator

HOUSE = Path(__file__).parents[2]
SIZE, MASK = 5_000, 103


class Tokenizer:
    """What the collator asks of a tokenizer."""

    mask_token_id, pad_token_id = MASK, 0
    all_special_ids = (0, 100, 101, 102, 103)

    def __len__(self):
        return SIZE


@pytest.fixture(params=[True, False], ids=["kernel", "tensors"])
def collator(request):
    return ReferenceCollator(Tokenizer(), compiled=request.param)


@pytest.mark.parametrize("which", ["kernel", "tensors"])
def test_masking_specs_agree(which, tmp_path):
    """In the library's place it passes every spec of the masking rule, and refutes what the library refutes."""
    # What Trainer serves is Trainer's business, and takes long; the reference makes no numpy arrays.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "suite.meta.reference_plugin", f"--reference={which}"]
    command += [
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
        "suite/data/test_masking.py",
        "-k",
        "not served and not drops and not numpy",
    ]

    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, timeout=600, env=dict(os.environ))

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|xfailed)", done.stdout)}
    assert counts["passed"] > 25, done.stdout[-500:]


@pytest.mark.parametrize("form", [form for form in forms.FORMS if form != "unmarked"])
def test_forms_give_the_same_batch(collator, form):
    """Lists, arrays, tensors and columns under one seed: the same batch, whose input stays as it was."""
    ids = forms.blocks(7, 33, SIZE)
    torch.manual_seed(3)
    expected = collator(forms.batch("lists", ids))
    given = forms.batch(form, ids)

    torch.manual_seed(3)
    batch = collator(given)

    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        name: tensor.tolist() for name, tensor in expected.items()
    }
    again = given["input_ids"] if form == "columns" else torch.stack([torch.as_tensor(it["input_ids"]) for it in given])
    assert torch.equal(again, ids)
    assert set(batch) == {"input_ids", "attention_mask", "labels"}


def test_seed_decides(collator):
    """After `torch.manual_seed` the same batches come again, and each call draws anew."""
    batch = forms.batch("columns", forms.blocks(16, 128, SIZE))
    torch.manual_seed(5)
    first, second = collator(batch)["labels"], collator(batch)["labels"]

    torch.manual_seed(5)

    assert torch.equal(collator(batch)["labels"], first)
    assert not torch.equal(first, second)


def test_shorter_rows_are_padded(collator):
    """Padding gets the padding id, no attention and no label, with and without `special_tokens_mask`."""
    rows = forms.batch("lists", forms.blocks(2, 8, SIZE))
    rows[0] = {name: column[:5] for name, column in rows[0].items()}

    batch = collator(rows)

    assert batch["input_ids"][0, 5:].tolist() == [0, 0, 0]
    assert batch["attention_mask"].sum(dim=1).tolist() == [5, 8]
    assert (batch["labels"][0, 5:] == IGNORED).all()


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_ends_of_probability(probability):
    """At 0 nothing is chosen, at 1 everything that is no special token."""
    ids = forms.blocks(64, 128, SIZE)
    batch = forms.batch("columns", ids)

    for compiled in (True, False):
        labels = ReferenceCollator(Tokenizer(), probability, compiled=compiled)(batch)["labels"]
        assert torch.equal(labels != IGNORED, (batch["special_tokens_mask"] == 0) & bool(probability))


def test_kernel_draws_the_numbers_of_its_generator():
    """sfc64 in C gives numpy's own sequence for the same state: the limit draws what a real generator draws."""
    inputs, labels = kernel.write_once((1, 512), seed=11)

    bits = np.random.SFC64()
    state = bits.state
    state["state"]["state"][:] = [11, 11, 11, 1]
    bits.state = state
    bits.random_raw(12)
    assert inputs.flatten().tolist() == bits.random_raw(256).view(np.uint32).tolist()
    assert (labels == IGNORED).all()


def test_without_a_compiler_tensors_are_used(monkeypatch):
    """A machine without a C compiler is told, and the collator works all the same."""
    monkeypatch.setenv("CC", "no-such-compiler --fast")
    kernel.library.cache_clear()
    try:
        with pytest.raises(kernel.NoCompiler, match=r"no C compiler \(no-such-compiler\)"):
            kernel.library()
    finally:
        monkeypatch.undo()
        kernel.library.cache_clear()


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_no_probability_is_refused(probability):
    """With the value that was given."""
    with pytest.raises(ValueError, match=f"mlm_probability is {probability}"):
        ReferenceCollator(Tokenizer(), probability)
