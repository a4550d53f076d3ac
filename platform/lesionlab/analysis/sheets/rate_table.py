"""Lay out the learning rates that were chosen within the training studies."""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.sheets.sheet import Sheet, columns
from lesionlab.analysis.statistics.chosen_rates import RateChoice
from lesionlab.analysis.words import rates as words
from lesionlab.analysis.words.models import model_title
from lesionlab.analysis.words.numbers import NONE, fixed


def rates_sheet(choices: Sequence[RateChoice]) -> Sheet:
    """One row for each model and fold: the chosen rate, and the mean F1 of every rate that it was chosen from."""
    rates = sorted({judged.rate for choice in choices for judged in choice.judged})
    rows, numbers = [], []
    for choice in choices:
        by_rate = {judged.rate: judged for judged in choice.judged}
        studies = max(judged.studies for judged in choice.judged)
        found = [by_rate[rate].mean if rate in by_rate else None for rate in rates]
        rows.append(
            (
                *(model_title(choice.model), str(choice.fold), f"{choice.rate:g}", str(studies)),
                *(NONE if mean is None else fixed(mean, 2) for mean in found),
            )
        )
        numbers.append({f"f1_at_{rate:g}": mean for rate, mean in zip(rates, found, strict=True)})
    return Sheet(
        words.CHOSEN_RATES,
        (*columns(*words.COLUMNS), *columns(*(f"{rate:g}" for rate in rates), group=words.F1_AT)),
        tuple(rows),
        heads=2,
        notes=(words.CHOSEN_NOTE,),
        numbers=tuple(numbers),
    )
