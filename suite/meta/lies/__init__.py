"""Lies: small wrong versions of the library's behaviour, each of which the claims it names have to notice.

A conformance suite is worth what it notices. Each lie is a function named after what it does wrong, with the lie as its
docstring. It gets a `pytest.MonkeyPatch`, changes the library (never a spec), and is tried in a process of its own:

    @lie("mask.rate")
    def masks_a_little_less(patch):
        \"\"\"14.5 % of the tokens are chosen.\"\"\"

A lie may be noticed by other claims of the part of the lecture that the claims it names belong to (`unrelated` in
`reports/lies.py`). Where one rightly shows elsewhere, too, it says so: `@lie("tokenizer.files", also=["mask.*"])`.

`tox -e lies` tries them all; see `plugin.py`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

Change = Callable[[pytest.MonkeyPatch], Any]


class LieError(ValueError):
    """A lie without a docstring, without claims, or with a name that is taken."""


@dataclass(frozen=True)
class Lie:
    """A change of the library's behaviour and the ids of the claims that each have to notice it.

    `also` are glob patterns for ids of claims of other parts that rightly notice it as well.
    """

    name: str
    claims: tuple[str, ...]
    also: tuple[str, ...]
    says: str
    tell: Change


_LIES: dict[str, Lie] = {}


def lie(*claims: str, also: Sequence[str] = ()) -> Callable[[Change], Change]:
    """Register a lie under its function's name; `claims` are the ids that have to notice it. `also`: see `Lie`.

    Raises LieError.
    """

    def register(tell: Change) -> Change:
        name = tell.__name__
        if not claims or not tell.__doc__ or name in _LIES:
            raise LieError(f"{name}: a lie needs claims that notice it, a docstring, and a name of its own")
        _LIES[name] = Lie(name, claims, tuple(also), " ".join(tell.__doc__.split()), tell)
        return tell

    return register


def lies() -> dict[str, Lie]:
    """All lies by name: those of every module of this package whose name begins with `about_`."""
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("about_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_LIES.items()))
