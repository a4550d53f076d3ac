"""Lay out the comparisons of models from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.sheets.listings import significance
from lesionlab.analysis.sheets.sheet import Sheet, columns, compact
from lesionlab.analysis.statistics.effects import Effect
from lesionlab.analysis.words import elsewhere as words
from lesionlab.analysis.words.models import model_title, stratum_name
from lesionlab.analysis.words.numbers import or_dash, probability, signed, span
from lesionlab.analysis.words.reasons import note


def elsewhere_sheets(effects: Sequence[Effect]) -> dict[str, Sheet]:
    """Lay out every comparison with a model from elsewhere, by file name, in the metrics that have values."""
    every = [effect for effect in effects if effect.pair is not None and effect.pair.other.arm == "other"]
    measured = {effect.metric for effect in every if effect.n}
    own = [effect for effect in every if effect.metric in measured]
    if not own:
        return {}
    sheet = Sheet(
        words.TITLE,
        columns(*words.COLUMNS),
        tuple(_line(effect) for effect in own),
        heads=3,
        notes=(words.family_note(span(effect.family for effect in own)),),
        sortable=True,
        numbers=tuple({"difference": effect.difference, "p": effect.p} for effect in own),
    )
    return {"ours-models-from-elsewhere": compact(sheet)}


def _line(effect: Effect) -> tuple[str, ...]:
    assert effect.pair is not None
    return (
        *(stratum_name(effect.stratum), effect.metric),
        " versus ".join(model_title(model) for model in effect.pair),
        *(or_dash(effect.training_size), str(effect.n), signed(effect.difference)),
        *(probability(effect.p), probability(effect.p_bonferroni), significance(effect), note(effect)),
    )
