"""One study by two definitions in; what either finds, side by side, as sheets out.

`before` is the study's own definition, `now` the other one.
"""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.sheets.numbers import fixed, or_dash, probability, signed
from lesionlab.analysis.sheets.sheet import Sheet, columns, compact
from lesionlab.analysis.statistics.changes import Change
from lesionlab.analysis.statistics.conclusions import Conclusion
from lesionlab.analysis.statistics.volumes import ByVolume, Sensitivity


def comparisons_sheet(found: Sequence[Change], title: str) -> Sheet:
    """Every comparison of the paper's protocol."""
    numbers = ("Difference", "p", "p × m", "Significant")
    return compact(
        Sheet(
            title,
            (
                *columns("Stratum", "Metric", "Test", "Comparison", "N"),
                *columns(*numbers, group="Before"),
                *columns(*numbers, group="Now"),
                *columns("What changes"),
            ),
            tuple(
                (
                    *(change.before.stratum, change.before.metric, change.before.test, change.before.comparison),
                    or_dash(change.before.training_size),
                    *(
                        text
                        for effect in (change.before, change.after)
                        for text in (
                            signed(effect.difference),
                            probability(effect.p),
                            probability(effect.p_bonferroni),
                            "yes" if effect.significant else or_dash(None if effect.p is None else "no"),
                        )
                    ),
                    "; ".join(change.what),
                )
                for change in found
            ),
            heads=4,
            sortable=True,
        )
    )


def conclusions_sheet(found: Sequence[Conclusion], title: str) -> Sheet:
    """Verdicts, and the numbers of labelled studies that reach the aim."""
    return compact(
        Sheet(
            title,
            columns("Stratum", "About", "Before", "Now", "What changes"),
            tuple((one.stratum, one.about, one.before, one.after, one.what) for one in found),
            heads=2,
            sortable=True,
        )
    )


def rescored_volumes_sheet(before: ByVolume, now: ByVolume, title: str) -> Sheet:
    """Sensitivity by class of volume; definitions may disagree on what one lesion is, and so on their number."""
    return Sheet(
        title,
        (
            *columns("Model", "Volume (mm³)"),
            *columns("lesions", "sensitivity", group="Before"),
            *columns("lesions", "sensitivity", group="Now"),
        ),
        tuple(
            (
                *(model.title(), before.titles[place]),
                *(str(before.lesions[place]), _share(before.models[model][place])),
                *(str(now.lesions[place]), _share(now.models[model][place])),
            )
            for model in before.models
            if model in now.models
            for place in range(len(before.titles))
        ),
        heads=2,
        notes=(f"Before: {before.text()}. Now: {now.text()}. Each reference lesion is counted once.",),
    )


def _share(one: Sensitivity | None) -> str:
    return fixed(None if one is None else one.share, 2)
