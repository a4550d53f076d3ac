"""Count true positives among lesions by volume class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

BOUNDS_MM3 = (3.0, 10.0, 50.0, 100.0)
"""MSSEG-2 drops lesions up to the first bound. The others are ours: of the 2273 lesions of 20 patients of Lesjak et al.
2018, 15, 22, 40, 11 and 12 % are in the five classes."""

_ROUNDING = 1e-5
"""Relative precision of a voxel volume: three voxels of 1 mm³ count as 3 mm³."""


class Judged(Protocol):
    """A scored lesion: a ScoredLesion or a LesionRow."""

    @property
    def volume_mm3(self) -> float: ...
    @property
    def outcome(self) -> str: ...


@dataclass(frozen=True)
class SizeClass:
    """Lesions and hits of one volume class."""

    over_mm3: float
    up_to_mm3: float | None
    """Inclusive upper bound; None: no bound."""
    lesions: int
    hits: int

    @property
    def share(self) -> float | None:
        """Sensitivity of the class, or PPV if the lesions are predicted ones; None without lesions."""
        return self.hits / self.lesions if self.lesions else None

    def title(self) -> str:
        """`≤ 3`, `3–10`, `> 100`, `all`."""
        if self.up_to_mm3 is None:
            return f"> {self.over_mm3:g}" if self.over_mm3 else "all"
        return f"{self.over_mm3:g}–{self.up_to_mm3:g}" if self.over_mm3 else f"≤ {self.up_to_mm3:g}"


def detection_by_size(lesions: Iterable[Judged]) -> tuple[SizeClass, ...]:
    """Classes of one mask's lesions by volume, smallest first, then all lesions; empty classes are included."""
    judged = list(lesions)
    lows, highs = (0.0, *BOUNDS_MM3), (*BOUNDS_MM3, None)
    return tuple(_counted(judged, low, high) for low, high in (*zip(lows, highs, strict=True), (0.0, None)))


def _counted(lesions: list[Judged], low: float, high: float | None) -> SizeClass:
    within = [
        lesion
        for lesion in lesions
        if lesion.volume_mm3 > low * (1 + _ROUNDING) and (high is None or lesion.volume_mm3 <= high * (1 + _ROUNDING))
    ]
    return SizeClass(low, high, len(within), sum(lesion.outcome == "true-positive" for lesion in within))
