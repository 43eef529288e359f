"""Which lies can be told at the same time: those about the same parts of the lecture that change different things.

A claim of another part should notice none of them. Where it notices none while all are told, it is taken to notice
none of them alone: no two change the same thing, though one may keep another from being reached. So the cross product
of lies and unrelated claims takes a run for each pool, not for each lie. What notices a pool is asked of each half of
it, until the lie is alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

import pytest

from reports.ledger import Ledger
from suite.meta.lies import Lie


def pools(ledger: Ledger, lies: Iterable[Lie]) -> list[list[str]]:
    """The names of lies, in pools. Tells each lie in this process, and takes it back."""
    found: dict[tuple[object, ...], list[tuple[list[str], set[str]]]] = {}
    for lie in lies:
        with pytest.MonkeyPatch.context() as patch:
            lie.tell(patch)
            changes = {f"{_name(owner)}.{name}" for owner, name, _ in patch._setattr}
            changes |= {f"{_name(owner)}[{key}]" for owner, key, _ in patch._setitem}
        parts = frozenset(ledger.part_of(ledger[claim]).title for claim in lie.claims)
        # What a lie changes by other means is not known: it is told alone.
        alike = found.setdefault((parts, lie.also, "" if changes else lie.name), [])
        names, changed = next((pool for pool in alike if not pool[1] & changes), ([], set()))
        if not names:
            alike.append((names, changed))
        names.append(lie.name)
        changed |= changes
    return [names for alike in found.values() for names, _ in alike]


def _name(owner: object) -> str:
    """A name for what has an attribute or an item changed; things of one type have the same."""
    if isinstance(owner, ModuleType):
        return owner.__name__
    kind = owner if isinstance(owner, type) else type(owner)
    return f"{kind.__module__}.{kind.__qualname__}"
