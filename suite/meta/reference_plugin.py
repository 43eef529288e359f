"""Puts the benchmarks' reference collator in the library's place: `pytest -p suite.meta.reference_plugin ...`.

`--reference kernel` takes the C function, `--reference tensors` the tensor expression that a GPU runs. What is not
masking (`mlm=False`, the arguments' checks) stays the library's.
"""

from __future__ import annotations

from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reference", choices=["kernel", "tensors"], required=True)


@pytest.hookimpl(trylast=True)  # after conftest.py has set the environment in which libraries are imported
def pytest_configure(config: pytest.Config) -> None:
    import transformers

    from suite.benchmarks import kernel
    from suite.benchmarks.reference import ReferenceCollator

    compiled = config.option.reference == "kernel"
    if compiled:
        kernel.library()  # without a compiler the tensors would be tried twice

    class Reference(transformers.DataCollatorForLanguageModeling):  # type: ignore[misc, name-defined]
        def __call__(self, features: Any, *arguments: Any, **options: Any) -> Any:
            if not self.mlm:
                return super().__call__(features, *arguments, **options)
            own = ReferenceCollator(self.tokenizer, self.mlm_probability, compiled=compiled)
            return own([dict(row) for row in features])

    transformers.DataCollatorForLanguageModeling = Reference
