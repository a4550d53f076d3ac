"""Lay out what one experiment finds under two metric definitions, side by side.

`before` is the experiment's own definition, `now` the other one.
"""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.sheets.listings import significance
from lesionlab.analysis.sheets.sheet import Sheet, columns, compact
from lesionlab.analysis.statistics.changes import Change
from lesionlab.analysis.statistics.conclusions import Conclusion
from lesionlab.analysis.statistics.effects import Effect
from lesionlab.analysis.statistics.volumes import ByVolume, Sensitivity
from lesionlab.analysis.words import tables as words
from lesionlab.analysis.words.definitions import about, before_and_after, changed, conclusion_change
from lesionlab.analysis.words.models import effect_name, model_title, stratum_name
from lesionlab.analysis.words.numbers import fixed, or_dash, probability, signed


def comparisons_sheet(found: Sequence[Change], title: str) -> Sheet:
    """Lay out every comparison of the paper's protocol."""
    return compact(
        Sheet(
            title,
            (
                *columns(*words.DEFINITION_COLUMNS),
                *columns(*words.DEFINITION_NUMBERS, group=words.BEFORE),
                *columns(*words.DEFINITION_NUMBERS, group=words.NOW),
                *columns(words.CHANGE),
            ),
            tuple(
                (
                    *(stratum_name(change.before.stratum), change.before.metric, change.before.test),
                    *(effect_name(change.before), or_dash(change.before.training_size)),
                    *(*_numbers(change.before), *_numbers(change.after), changed(change)),
                )
                for change in found
            ),
            heads=4,
            sortable=True,
        )
    )


def conclusions_sheet(found: Sequence[Conclusion], title: str) -> Sheet:
    """Lay out verdicts, the labelled studies that each arm needs, and savings."""
    return compact(
        Sheet(
            title,
            columns(*words.CONCLUSION_COLUMNS),
            tuple(
                (stratum_name(one.stratum), about(one), *before_and_after(one), conclusion_change(one)) for one in found
            ),
            heads=2,
            sortable=True,
        )
    )


def volumes_sheet(before: ByVolume, now: ByVolume, title: str) -> Sheet:
    """Lay out sensitivity by volume class; definitions may disagree on what one lesion is, and so on their number."""
    return Sheet(
        title,
        (
            *columns(*words.DEFINITION_VOLUME_COLUMNS),
            *columns(*words.DEFINITION_VOLUME_COUNTS, group=words.BEFORE),
            *columns(*words.DEFINITION_VOLUME_COUNTS, group=words.NOW),
        ),
        tuple(
            (
                *(model_title(model), before.titles[place]),
                *(str(before.lesions[place]), _share(before.models[model][place])),
                *(str(now.lesions[place]), _share(now.models[model][place])),
            )
            for model in before.models
            if model in now.models
            for place in range(len(before.titles))
        ),
        heads=2,
        notes=(words.definition_volumes_note(before, now),),
    )


def _numbers(effect: Effect) -> tuple[str, ...]:
    numbers = signed(effect.difference), probability(effect.p), probability(effect.p_bonferroni)
    return (*numbers, significance(effect))


def _share(one: Sensitivity | None) -> str:
    return fixed(None if one is None else one.share, 2)
