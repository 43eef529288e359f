"""Puts the benchmarks' reference collator in the library's place: `pytest -p suite.meta.reference_plugin ...`.

`--reference kernel` takes the C function; `gpu` the GPU's kernel in its place, which Triton interprets on the host if
TRITON_INTERPRET=1 is in the environment; `tensors` the tensor expression. What is not masking (`mlm=False`, the
arguments' checks) stays the library's.
"""

from __future__ import annotations

from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reference", choices=["kernel", "gpu", "tensors"], required=True)


@pytest.hookimpl(trylast=True)  # after conftest.py has set the environment in which libraries are imported
def pytest_configure(config: pytest.Config) -> None:
    import transformers

    from suite.benchmarks import kernel
    from suite.benchmarks.reference import ReferenceCollator

    compiled = config.option.reference != "tensors"
    if compiled:
        kernel.library()  # without a compiler the tensors would be tried twice
    if config.option.reference == "gpu":
        from suite.benchmarks import gpu_kernel

        kernel.mask = gpu_kernel.mask

    class Reference(transformers.DataCollatorForLanguageModeling):  # type: ignore[misc, name-defined]
        def __call__(self, features: Any, *arguments: Any, **options: Any) -> Any:
            if not self.mlm:
                return super().__call__(features, *arguments, **options)
            own = ReferenceCollator(self.tokenizer, self.mlm_probability, compiled=compiled)
            return own([dict(row) for row in features])

    transformers.DataCollatorForLanguageModeling = Reference
