"""The reference collator follows the rules of slide 35: the masking claims' own specs judge it."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from suite.benchmarks import forms, kernel, reference
from suite.benchmarks.reference import IGNORED, ReferenceCollator

HOUSE = Path(__file__).parents[2]

#: Triton has wheels for Linux alone.
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no Triton")

COMPILE = """
import sys
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from suite.benchmarks import gpu_kernel

pointers = {name: "*i64" for name in ("ids", "special", "inputs", "labels")}
numbers = {name: "i32" for name in ("tokens", "masked", "replaced", "chosen", "mask_id", "scale")} | {"seed": "i64"}
for kernel in (gpu_kernel._mask, gpu_kernel._write_once):
    signature = {name: (pointers | numbers).get(name, "constexpr") for name in kernel.arg_names}
    made = compile(ASTSource(kernel, signature, {"block": gpu_kernel.BLOCK}), GPUTarget("cuda", int(sys.argv[1]), 32))
    print(kernel.__name__, *(name for name in made.asm if name == "cubin"))
"""
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


def run_python(*arguments, **environment):
    """A fresh Python: whether Triton interprets its kernels is decided when it is imported."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, timeout=600, env=os.environ | environment)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def passed(which, *selected):
    """How many of the selected specs or tests pass with a reference in the library's place; none fails."""
    options = ["-q", "-n0", "-pno:cacheprovider", "-psuite.meta.reference_plugin", f"--reference={which}"]
    said = run_python("-m", "pytest", *options, *selected, TRITON_INTERPRET="1")
    return int(re.findall(r"(\d+) passed", said)[-1])


@pytest.mark.parametrize("which", ["kernel", "tensors", pytest.param("gpu", marks=needs_triton)])
def test_specs_of_the_rule_agree(which):
    """In the library's place it passes every spec of the masking rule, and refutes what the library refutes."""
    # What Trainer serves is Trainer's business, and takes long; the reference makes no numpy arrays.
    assert passed(which, "suite/data/test_masking.py", "-knot served and not drops and not numpy") > 25


@needs_triton
def test_each_device_has_its_function():
    """C on the host, Triton on a GPU, tensors elsewhere."""
    from suite.benchmarks import gpu_kernel

    chosen = [reference._compiled(device) for device in ("cpu", "cuda", "mps")]

    assert chosen == [kernel.mask, gpu_kernel.mask, None]


@needs_triton
def test_what_is_tested_here_holds_for_the_gpus_kernel():
    """Triton interprets it on the host, in the place of the function in C."""
    assert passed("gpu", __file__, "-k(kernel and (forms or seed or padded or kinds)) or ends") == 10


@needs_triton
def test_gpus_kernel_draws_the_numbers_of_its_generator():
    """Philox4x32-10: the first number is that of Random123's test vectors for a counter and a key of zeros."""
    script = "from suite.benchmarks import gpu_kernel; print(*gpu_kernel.write_once((1, 2000), device='cpu'))"

    said = run_python("-c", f"import torch; torch.set_printoptions(profile='full'); {script}", TRITON_INTERPRET="1")

    numbers = [int(it) for it in re.findall(r"-?\d+", said)]
    assert numbers[0] == 0x6627E8D5
    assert len(set(numbers[:2000])) == 2000
    assert numbers[2000:] == [IGNORED] * 2000


@needs_triton
@pytest.mark.parametrize("architecture", [80, 90])
def test_gpus_kernel_compiles(architecture, tmp_path):
    """For an A100 and for an H100 or H200, with the types that it is given: Triton needs no GPU for that."""
    said = run_python("-c", COMPILE, str(architecture), TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path))

    assert said.split() == ["_mask", "cubin", "_write_once", "cubin"]


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


@pytest.mark.parametrize("kind", [torch.int32, torch.bool])
def test_other_kinds_of_numbers_give_the_same_batch(collator, kind):
    """Ids of 32 bits, and a special tokens' mask of yes and no."""
    batch = forms.batch("columns", forms.blocks(16, 128, SIZE))
    torch.manual_seed(5)
    expected = collator(dict(batch))
    ids, special = batch["input_ids"], batch["special_tokens_mask"].to(kind)

    torch.manual_seed(5)
    made = collator(batch | {"input_ids": ids.to(torch.int32), "special_tokens_mask": special})

    assert all(torch.equal(made[name], expected[name]) for name in ("input_ids", "labels"))
    assert made["input_ids"].dtype == torch.int64


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
