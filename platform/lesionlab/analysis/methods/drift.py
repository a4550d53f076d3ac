"""Compare two samples of one property, and find the words of one that the other lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scipy import stats

LEAST = 3
"""With fewer values on a side no distribution can be compared."""


def shift_p(before: Sequence[float], now: Sequence[float]) -> float | None:
    """Two-sided p of the two-sample Kolmogorov-Smirnov test; None with fewer than LEAST values on a side.

    It sees a change of spread or shape too, as a change of the mean alone would not.
    """
    if min(len(before), len(now)) < LEAST:
        return None
    return float(stats.ks_2samp(before, now, method="exact" if len(before) * len(now) < 10_000 else "asymp").pvalue)


def unseen(before: Iterable[str], now: Iterable[str]) -> tuple[str, ...]:
    """Words that only the second sample has, sorted."""
    return tuple(sorted(set(now) - set(before)))
