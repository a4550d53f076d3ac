"""Compare the same tests under two metric definitions or corrections: which results change, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from lesionlab.analysis.statistics.effects import Effect


class Difference(Enum):
    """How the result of a comparison changes."""

    NOW_TESTABLE = auto()
    NO_LONGER_TESTABLE = auto()
    NOW_SIGNIFICANT = auto()
    NO_LONGER_SIGNIFICANT = auto()
    REVERSED = auto()
    """The difference changes its sign."""


@dataclass(frozen=True)
class Change:
    """One comparison under both; without differences where the result stays the same."""

    before: Effect
    after: Effect
    differences: tuple[Difference, ...]


def changes(before: Sequence[Effect], after: Sequence[Effect]) -> tuple[Change, ...]:
    """Return the comparisons that gain or lose significance, reverse, or are testable under one definition only.

    Raises ValueError as `compared` does.
    """
    return tuple(change for change in compared(before, after) if change.differences)


def compared(before: Sequence[Effect], after: Sequence[Effect]) -> tuple[Change, ...]:
    """Pair every comparison, including those that stay the same.

    Both must be the effects of one design, in its order; otherwise raises ValueError.
    """
    if [effect.about for effect in before] != [effect.about for effect in after]:
        raise ValueError("wanted the same comparisons in the same order, as one design gives them")
    pairs = zip(before, after, strict=True)
    return tuple(Change(first, second, _differences(first, second)) for first, second in pairs)


def _differences(before: Effect, after: Effect) -> tuple[Difference, ...]:
    found = []
    if (before.p is None) != (after.p is None):
        found.append(Difference.NO_LONGER_TESTABLE if after.p is None else Difference.NOW_TESTABLE)
    elif before.significant != after.significant:
        found.append(Difference.NOW_SIGNIFICANT if after.significant else Difference.NO_LONGER_SIGNIFICANT)
    if (before.difference or 0) * (after.difference or 0) < 0:
        found.append(Difference.REVERSED)
    return tuple(found)
