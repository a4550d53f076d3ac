"""The statistics of one study by two definitions in; what either lets the study say, side by side, out.

A conclusion is a verdict on fine-tuning, the number of labelled studies at which a way of training reaches its aim, or
whether a saving is shown. The comparisons behind them are in `changes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lesionlab.analysis.methods.curve import Crossing, Saving
from lesionlab.analysis.statistics.compute import Statistics
from lesionlab.analysis.statistics.learning import Learning
from lesionlab.analysis.statistics.verdicts import verdicts


@dataclass(frozen=True)
class Conclusion:
    """One thing that the study says."""

    stratum: str
    about: str
    """`sensitivity: fine-tuned from glioma reaches Grader 2`."""
    before: str
    after: str
    what: str
    """What changes, in words; empty where nothing does."""


def conclusions(before: Statistics, after: Statistics) -> tuple[Conclusion, ...]:
    """All of one design, in its order, also those that stay."""
    return (*_verdicts(before, after), *_of_curves(before.supplementary.learning, after.supplementary.learning))


def _verdicts(before: Statistics, after: Statistics) -> Iterable[Conclusion]:
    for table, other in zip(before.tables, after.tables, strict=True):
        for own, theirs in zip(
            verdicts(table, before.supplementary), verdicts(other, after.supplementary), strict=True
        ):
            # The number of studies behind a verdict is no part of it.
            same = own.partition("; paired over")[0] == theirs.partition("; paired over")[0]
            yield Conclusion(table.stratum, "verdict", own, theirs, "" if same else "another verdict")


def _of_curves(before: Iterable[Learning], after: Iterable[Learning]) -> Iterable[Conclusion]:
    for one, other in zip(before, after, strict=True):
        aim = next((learned.aim.name for learned in (one, other) if learned.aim), "its aim")
        for arm, changed in zip(one.arms, other.arms, strict=True):
            about = f"{one.metric}: {arm.model} reaches {aim}"
            told = (_reached(arm.crossing), _reached(changed.crossing))
            yield Conclusion(one.stratum, about, *told, _moved(arm.crossing, changed.crossing))
        if one.saving or other.saving:
            was, now = _shown(one.saving), _shown(other.saving)
            about = f"{one.metric}: saving of {one.comparison}"
            yield Conclusion(one.stratum, about, was, now, "" if was == now else f"{now} now")


def _reached(crossing: Crossing | None) -> str:
    return "no results" if crossing is None else f"N {crossing.text()}" if _met(crossing) else crossing.text()


def _moved(before: Crossing | None, after: Crossing | None) -> str:
    if before is None or after is None:
        return "" if before is after else "cannot be told any more" if after is None else "can be told now"
    if _met(before) != _met(after):
        return "reached now" if _met(after) else "not reached any more"
    return "at another N" if _met(before) and round(before.studies) != round(after.studies) else ""


def _met(crossing: Crossing) -> bool:
    return bool(np.isfinite(crossing.studies))


def _shown(saving: Saving | None) -> str:
    return "shown" if saving is not None and saving.shown else "not shown"
