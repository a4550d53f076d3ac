"""Tests in; how many values they rest on, and values of what, in words out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from lesionlab.analysis.statistics.comparisons import Unit
from storage_schemas.results import EffectRow


def n_text(effects: Iterable[EffectRow]) -> str:
    """The n of tests: `60`, `60 against 10`; `52 to 60` where they differ. What it counts: `counted`."""
    pairs = [(effect.n, effect.n if effect.n_other is None else effect.n_other) for effect in effects]
    first, other = (span(numbers) for numbers in zip(*pairs, strict=True))
    return first if first == other else f"{first} against {other}"


def span(numbers: Iterable[int]) -> str:
    """`60`; `52 to 60` where they differ."""
    low, *others = sorted(set(numbers))
    return f"{low} to {others[-1]}" if others else str(low)


def counted(effect: EffectRow, unit: Unit) -> Literal["studies", "positions"]:
    """What n is of: tested studies, or positions in the test subset, each averaged over the folds."""
    return "positions" if effect.test == "unpaired-t" and unit == "fold-averaged" else "studies"
