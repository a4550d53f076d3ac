"""Lay out the report's long tables: every tested study, every comparison, sites, lesion volumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lesionlab.analysis.sheets.sheet import Sheet, columns, compact
from lesionlab.analysis.statistics.conditions import Condition, condition_of, rows_by_condition
from lesionlab.analysis.statistics.effects import Effect
from lesionlab.analysis.statistics.rows import Row
from lesionlab.analysis.statistics.summary import summarise
from lesionlab.analysis.words import tables as words
from lesionlab.analysis.words.models import arm_name, effect_name, stratum_name
from lesionlab.analysis.words.numbers import NONE, fixed, mean_se, or_dash, probability, signed
from lesionlab.analysis.words.reasons import note
from storage_schemas.axes import axes_of, text_of
from storage_schemas.experiments import Undefined
from storage_schemas.lesion_sizes import detection_by_size
from storage_schemas.metrics import COLUMNS, METRICS
from storage_schemas.results import LesionRow, StudyRow
from storage_schemas.verdicts import VerdictRow


def studies_sheet(rows: Sequence[StudyRow], title: str) -> Sheet:
    """Lay out every tested study under every model."""
    axes = varying_axes([condition_of(row) for row in rows])
    return Sheet(
        title,
        columns(*words.STUDY_COLUMNS, *axes.values(), *words.STUDY_COUNTS, *words.STUDY_METRICS),
        tuple(
            (
                *(row.study, row.site, arm_name(row.arm, row.source), str(row.training_size)),
                *(text_of(getattr(row, axis)) or NONE for axis in axes),
                *map(str, (row.fold, row.seed, row.reference_lesions, row.true_positives)),
                str(row.predicted_lesions),
                *(fixed(row.measured(metric), COLUMNS[metric].digits) for metric in METRICS),
                *(fixed(volume, 2) for volume in (row.reference_ml, row.predicted_ml)),
            )
            for row in rows
        ),
        heads=3,
        sortable=True,
    )


def effects_sheet(effects: Sequence[Effect], title: str) -> Sheet:
    """Lay out every comparison of the paper's protocol."""
    sheet = Sheet(
        title,
        columns(*words.COMPARISON_COLUMNS),
        tuple(
            (
                *(effect.metric, effect.test, stratum_name(effect.stratum), effect_name(effect)),
                or_dash(effect.training_size),
                str(effect.n) if effect.n_other is None else f"{effect.n} / {effect.n_other}",
                str(effect.undefined),
                signed(effect.difference),
                fixed(effect.statistic, 2),
                probability(effect.p),
                probability(effect.p_bonferroni),
                str(effect.family),
                significance(effect),
                probability(effect.p_holm),
                probability(effect.p_welch),
                note(effect),
            )
            for effect in effects
        ),
        heads=4,
        notes=words.COMPARISON_NOTES,
        sortable=True,
    )
    return compact(sheet)


def significance(effect: Effect) -> str:
    """`yes`, `no`; a dash where there is no p."""
    return words.YES if effect.significant else or_dash(None if effect.p is None else words.NO)


def sites_sheet(rows: Sequence[Row], models: Sequence[Condition], title: str, undefined: Undefined) -> Sheet:
    """Lay out mean ± SE of every model at every site; undefined values count as the experiment declares."""
    axes = varying_axes(models)
    lines = []
    for site in sorted({row.site for row in rows}):
        own = [row for row in rows if row.site == site]
        tested = rows_by_condition(own)
        summaries_of = summarise(own, [model for model in models if model in tested], undefined)
        found = {(summary.condition, summary.metric): summary for summary in summaries_of}
        for model in dict.fromkeys(model for model, _ in found):
            lines.append(
                (
                    *(site, arm_name(model.arm, model.source), str(model.training_size)),
                    *(text_of(getattr(model, axis)) or NONE for axis in axes),
                    str(len({row.study for row in tested[model]})),
                    *(mean_se(found[model, metric]) for metric in METRICS),
                )
            )
    return Sheet(
        title,
        columns(*words.SITE_COLUMNS, *axes.values(), *words.SITE_METRICS),
        tuple(lines),
        heads=2,
        notes=(words.SITES_NOTE,),
        sortable=True,
    )


def volumes_sheet(lesions: Mapping[Condition, Sequence[LesionRow]], title: str) -> Sheet:
    """Lay out detection by lesion volume: sensitivity for the reference lesions, PPV for the predicted ones."""
    axes = varying_axes(list(lesions))
    lines = []
    for model, own in lesions.items():
        drawn = detection_by_size(lesion for lesion in own if lesion.side == "reference")
        predicted = detection_by_size(lesion for lesion in own if lesion.side == "prediction")
        for reference, prediction in zip(drawn, predicted, strict=True):
            lines.append(
                (
                    *(arm_name(model.arm, model.source), str(model.training_size)),
                    *(text_of(getattr(model, axis)) or NONE for axis in axes),
                    reference.title(),
                    *(str(reference.lesions), str(reference.hits), fixed(reference.share, 2)),
                    *(str(prediction.lesions), str(prediction.hits), fixed(prediction.share, 2)),
                )
            )
    return Sheet(
        title,
        (
            *columns(*words.VOLUME_COLUMNS, *axes.values(), words.VOLUME),
            *columns(*words.REFERENCE_COUNTS, group=words.REFERENCE_GROUP),
            *columns(*words.PREDICTED_COUNTS, group=words.PREDICTED_GROUP),
        ),
        tuple(lines),
        heads=3 + len(axes),
        notes=(words.VOLUMES_NOTE,),
    )


def verdicts_sheet(verdicts: Iterable[VerdictRow], title: str) -> Sheet:
    """Lay out the findings of quality control: excluded studies first, then repaired ones."""
    shown = [row for row in verdicts if row.verdict != "pass"]
    return Sheet(
        title,
        columns(*words.VERDICT_COLUMNS),
        tuple(
            (row.study, words.VERDICTS[row.verdict], row.code or "", row.place or "", row.what or "")
            for row in sorted(shown, key=lambda row: (row.verdict != "quarantined", row.study))
        ),
        sortable=True,
    )


def hashes_sheet(hashes: Iterable[tuple[str, str, str]], title: str) -> Sheet:
    """Lay out digests, each with what it is of and its name."""
    return Sheet(title, columns(*words.HASH_COLUMNS), tuple(hashes), heads=2, sortable=True)


def varying_axes(models: Sequence[Condition]) -> dict[str, str]:
    """Return name and title of every axis, besides arm, source and size, on which the models differ.

    Untrained models count if they have a value: default models have a depth. A rater is no network.
    """
    networks = [model for model in models if model.arm != "rater"]
    found = {}
    for name, axis in axes_of("stratum", "method or stratum", "method").items():
        values = [(model.trained, getattr(model, name)) for model in networks]
        if len({value for trained, value in values if trained or value is not None}) > 1:
            found[name] = axis.title
    return found
