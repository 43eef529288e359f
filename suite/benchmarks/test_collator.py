"""The masking collator (slide 35): every form in which `datasets` serves rows, by itself, in a loader, on a GPU.

The reference collator and the limit run in turns with the library's.
"""

import contextlib
from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import DataCollatorForLanguageModeling

from suite.benchmarks import forms, kernel, limits
from suite.benchmarks.reference import ReferenceCollator
from suite.benchmarks.run import Contestant

#: 16 is the slide's.
BATCHES = (16, 256, 1024)
LENGTHS = (128, 512)


@pytest.fixture
def library(tokenizer):
    return DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)


@pytest.fixture
def reference(tokenizer):
    return ReferenceCollator(tokenizer)


@pytest.fixture
def limit(run):
    """A function: the limit for a shape on a device, a list of one contestant; of none without a compiler."""

    def contestants(shape, device):
        try:
            call = limits.collator(shape, device, run.timer)
        except kernel.NoCompiler as error:
            run.skip(f"collator limit, {device}", str(error))
            return []
        return [Contestant("limit", call, shape[0] * shape[1], shape[0], role="limit", limit="limit")]

    return contestants


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("form", forms.FORMS)
def test_alone(run, measure, library, reference, limit, tokenizer, form, batch, length):
    """Rows in, tensors out, on the host."""
    features = forms.batch(form, forms.blocks(batch, length, len(tokenizer)))
    # The library takes rows. Where they would be columns, it is given the tensors that are nearest to them.
    rows = forms.batch("tensors", forms.blocks(batch, length, len(tokenizer))) if form == "columns" else features
    work = {"tokens": batch * length, "rows": batch, "limit": "limit"}
    contestants = [
        Contestant("library", partial(library, rows), role="subject", **work),
        Contestant("reference", partial(reference, features), role="reference", **work),
    ]

    measure(f"collator, {form}, {batch} x {length}", contestants + limit((batch, length), "cpu"), seconds=1, warm_up=1)


@pytest.mark.parametrize("batch", [16, 256])
def test_in_a_loader(measure, library, reference, tokenizer, batch):
    """An epoch through `DataLoader`, workers included in what is timed, except for their start."""
    length, batches = 128, {16: 64, 256: 16}[batch]
    dataset = forms.batch("lists", forms.blocks(batch * batches, length, len(tokenizer)))
    work = {"tokens": batch * batches * length, "rows": batch * batches, "once": True}

    def epoch(loader):
        for _ in loader:
            pass

    with contextlib.ExitStack() as stack:
        loaders = {}
        for workers in (0, 2, 4):
            keep = {"persistent_workers": True} if workers else {}
            loaders[f"library, {workers} workers"] = DataLoader(
                dataset, batch_size=batch, collate_fn=library, num_workers=workers, **keep
            )
        loaders["reference, 0 workers"] = DataLoader(dataset, batch_size=batch, collate_fn=reference)
        stack.callback(loaders.clear)
        contestants = [
            Contestant(name, partial(epoch, loader), role="variant" if place else "subject", **work)
            for place, (name, loader) in enumerate(loaders.items())
        ]
        measure(f"loader, lists, {batch} x {length}", contestants, warm_up=1)


@pytest.mark.gpu
@pytest.mark.parametrize("batch", [16, 256])
def test_copied_to_the_device(measure, library, reference, tokenizer, batch):
    """Collated on the host and copied: from pageable memory, and from pinned memory without waiting."""
    length = 128
    features = forms.batch("lists", forms.blocks(batch, length, len(tokenizer)))
    work = {"tokens": batch * length, "rows": batch}

    def copied(collate, pin):
        made = collate(features)
        for tensor in made.values():
            (tensor.pin_memory() if pin else tensor).to("cuda", non_blocking=pin)

    contestants = [
        Contestant("library, pageable", partial(copied, library, False), role="subject", **work),
        Contestant("library, pinned", partial(copied, library, True), **work),
        Contestant("reference, pinned", partial(copied, reference, True), role="reference", **work),
    ]
    measure(f"collator and copy, lists, {batch} x {length}", contestants)


@pytest.mark.parametrize("batch", [16, 256, 1024])
def test_on_tensors_that_are_on_the_device(measure, library, reference, limit, tokenizer, device, batch):
    """What the reference makes stays on the device; the library goes through lists on the host, if it does not refuse.

    On a CPU this is the same code on the host.
    """
    length = 128
    ids = forms.blocks(batch, length, len(tokenizer))
    columns, rows = forms.batch("columns", ids, device), forms.batch("tensors", ids, device)
    work = {"tokens": batch * length, "rows": batch, "limit": "limit"}
    contestants = [
        Contestant("reference", partial(reference, columns), role="subject", **work),
        Contestant("library", partial(library, rows), **work),
    ]

    measure(f"collator on the device, {batch} x {length}", contestants + limit((batch, length), device))


def test_what_is_masked_on_the_device_is_masked_by_the_rule(reference, tokenizer, device):
    """Labels and special tokens; rates are the masking specs' business (`suite/meta/test_bench_reference.py`)."""
    ids = forms.blocks(256, 128, len(tokenizer))

    batch = reference(forms.batch("columns", ids, device))

    inputs, labels = batch["input_ids"].cpu(), batch["labels"].cpu()
    chosen = labels != -100
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(inputs[~chosen], ids[~chosen])
    assert not chosen[:, 0].any()
    assert 0.14 < chosen.float().mean() < 0.155
