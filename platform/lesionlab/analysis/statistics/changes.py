"""The same comparisons by two definitions in; those that end otherwise, and in what, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage_schemas.results import EffectRow


@dataclass(frozen=True)
class Change:
    """One comparison by both, which may end otherwise."""

    before: EffectRow
    after: EffectRow
    what: tuple[str, ...]
    """In words; nothing where it ends alike."""


def changes(before: Sequence[EffectRow], after: Sequence[EffectRow]) -> tuple[Change, ...]:
    """The comparisons that gain or lose significance, turn round, or can be computed by one definition only.

    Raises ValueError as `compared` does.
    """
    return tuple(change for change in compared(before, after) if change.what)


def compared(before: Sequence[EffectRow], after: Sequence[EffectRow]) -> tuple[Change, ...]:
    """Every comparison, also where nothing changes.

    Both are the effects of one design, in its order. Raises ValueError where they are not.
    """
    if [_what_is_compared(effect) for effect in before] != [_what_is_compared(effect) for effect in after]:
        raise ValueError("wanted the same comparisons in the same order, as one design gives them")
    pairs = zip(before, after, strict=True)
    return tuple(Change(first, second, _differences(first, second)) for first, second in pairs)


def _differences(before: EffectRow, after: EffectRow) -> tuple[str, ...]:
    what = []
    if (before.p is None) != (after.p is None):
        what.append("cannot be computed any more" if after.p is None else "can be computed now")
    elif before.significant != after.significant:
        what.append("significant now" if after.significant else "not significant any more")
    if (before.difference or 0) * (after.difference or 0) < 0:
        what.append("other direction")
    return tuple(what)


def _what_is_compared(effect: EffectRow) -> tuple[object, ...]:
    return effect.metric, effect.test, effect.comparison, effect.training_size, effect.stratum
