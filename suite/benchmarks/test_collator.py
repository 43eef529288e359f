"""The masking collator (slide 35): every form in which `datasets` serves rows, by itself, in a loader, on a GPU.

The reference collator and the limit run in turns with the library's.
"""

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


#: Rows in a batch of a loader -> batches of an epoch.
EPOCHS = {16: 64, 256: 16}


def loader(dataset, batch, collate, workers=0, pinned=False):
    """A `DataLoader` whose workers stay from one epoch to the next, so that their start is not what is timed."""
    return DataLoader(
        dataset,
        batch_size=batch,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pinned,
    )


def exhaust(batches):
    """Have each batch on the host."""
    for _ in batches:
        pass


def copy(batches, device):
    """Have each batch on the device; from pinned memory without waiting for it."""
    for made in batches:
        for tensor in made.values():
            tensor.to(device, non_blocking=True)


def of_an_epoch(loaders, batch, length, epoch):
    """Contestants: `epoch(loader)` for each of the loaders, by name; the first is the subject."""
    rows = batch * EPOCHS[batch]
    work = {"tokens": rows * length, "rows": rows, "once": True}
    return [
        Contestant(name, partial(epoch, made), role="variant" if place else "subject", **work)
        for place, (name, made) in enumerate(loaders.items())
    ]


@pytest.mark.parametrize("batch", EPOCHS)
def test_in_a_loader(measure, library, reference, tokenizer, batch):
    """An epoch through `DataLoader`, on the host."""
    dataset = forms.batch("lists", forms.blocks(batch * EPOCHS[batch], 128, len(tokenizer)))
    loaders = {f"library, {workers} workers": loader(dataset, batch, library, workers) for workers in (0, 2, 4)}
    loaders["reference, 0 workers"] = loader(dataset, batch, reference)
    measure(f"loader, lists, {batch} x 128", of_an_epoch(loaders, batch, 128, exhaust), warm_up=1)


@pytest.mark.gpu
@pytest.mark.parametrize("batch", EPOCHS)
def test_in_a_loader_and_copied_to_the_device(measure, library, reference, tokenizer, device, batch):
    """An epoch through `DataLoader`, each batch copied to the device: from pageable memory, and from pinned."""
    dataset = forms.batch("lists", forms.blocks(batch * EPOCHS[batch], 128, len(tokenizer)))
    loaders = {
        f"library, {workers} workers, {'pinned' if pinned else 'pageable'}": loader(
            dataset, batch, library, workers, pinned
        )
        for workers in (0, 2, 4)
        for pinned in (False, True)
    }
    loaders["reference, 0 workers, pinned"] = loader(dataset, batch, reference, pinned=True)
    contestants = of_an_epoch(loaders, batch, 128, partial(copy, device=device))
    measure(f"loader and copy, lists, {batch} x 128", contestants, warm_up=1)


@pytest.mark.gpu
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("form", ["lists", "arrays"])
def test_copied_to_the_device(measure, library, reference, tokenizer, device, form, batch):
    """Collated on the host and copied: from pageable memory, and from pinned memory without waiting."""
    length = 128
    features = forms.batch(form, forms.blocks(batch, length, len(tokenizer)))
    work = {"tokens": batch * length, "rows": batch}

    def copied(collate, pin):
        made = collate(features)
        for tensor in made.values():
            (tensor.pin_memory() if pin else tensor).to(device, non_blocking=pin)

    contestants = [
        Contestant("library, pageable", partial(copied, library, False), role="subject", **work),
        Contestant("library, pinned", partial(copied, library, True), **work),
        Contestant("reference, pinned", partial(copied, reference, True), role="reference", **work),
    ]
    measure(f"collator and copy, {form}, {batch} x {length}", contestants)


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
