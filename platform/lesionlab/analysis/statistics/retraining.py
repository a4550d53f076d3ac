"""Ask whether what came in since the last training resembles it, and what the learning curve promises of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lesionlab.analysis.methods.drift import shift_p, unseen
from lesionlab.analysis.statistics.conditions import mean_of_defined, value_of
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.axes import Arm
from storage_schemas.metrics import FractionMetric
from storage_schemas.retraining import Gain, Shift


@dataclass(frozen=True)
class Described:
    """One study: its numbers and words by property."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)


def shifts(before: Sequence[Described], now: Sequence[Described], level: float) -> tuple[Shift, ...]:
    """Compare every property of the studies of two times; a number drifted where its p is at most level / tests."""
    numeric = sorted({name for study in now for name in study.numbers})
    values = {name: (_numbers(before, name), _numbers(now, name)) for name in numeric}
    ps = {name: shift_p(*sides) for name, sides in values.items()}
    tests = max(sum(p is not None for p in ps.values()), 1)
    found = [
        Shift(
            name=name,
            before=len(old),
            now=len(new),
            median_before=float(np.median(old)) if old else None,
            median_now=float(np.median(new)),
            p=ps[name],
            drifted=(p := ps[name]) is not None and p <= level / tests,
        )
        for name, (old, new) in values.items()
    ]
    for name in sorted({name for study in now for name in study.words}):
        old_words, new_words = ([study.words[name] for study in side if name in study.words] for side in (before, now))
        new = unseen(old_words, new_words)
        found.append(Shift(name=name, before=len(old_words), now=len(new_words), new=new, drifted=bool(new)))
    return tuple(found)


def _numbers(studies: Iterable[Described], name: str) -> list[float]:
    return [study.numbers[name] for study in studies if name in study.numbers]


def expected_gain(
    rows: Iterable[Row], arm: Arm, source: str | None, metric: FractionMetric, size_before: int, size_now: int
) -> Gain:
    """What one arm's learning curve promises between two training sizes.

    Means over studies are interpolated linearly between the trained sizes and made non-decreasing; below the smallest
    size the curve is flat. Beyond the largest size nobody knows.
    """
    networks: dict[int, dict[tuple[int, int], list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.arm == arm and row.source == source:
            networks[row.training_size][row.fold, row.seed].append(value_of(row, metric))
    means = {
        size: [mean for own in of_size.values() if (mean := mean_of_defined(own)) is not None]
        for size, of_size in sorted(networks.items())
    }
    means = {size: own for size, own in means.items() if own}
    if not means or size_now > max(means):
        return Gain(size_before=size_before, size_now=size_now, largest=max(means, default=None))
    sizes = list(means)
    rising = np.maximum.accumulate([float(np.mean(own)) for own in means.values()])
    at_before, at_now = (float(np.interp(size, sizes, rising)) for size in (size_before, size_now))
    nearest = min(sizes, key=lambda size: abs(size - size_now))
    noise = float(np.std(means[nearest], ddof=1)) if len(means[nearest]) > 1 else None
    return Gain(size_before=size_before, size_now=size_now, largest=sizes[-1], expected=at_now - at_before, noise=noise)
