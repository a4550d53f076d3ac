"""Rows of the results in; the report's long tables out: every tested study, every comparison, sites, lesion volumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lesionlab.analysis.sheets.numbers import fixed, or_dash, probability, signed
from lesionlab.analysis.sheets.sheet import NONE, Column, Sheet, columns, compact
from lesionlab.analysis.statistics.conditions import METRICS, Condition, condition_of, method, rows_by_condition
from lesionlab.analysis.statistics.rows import Row
from lesionlab.analysis.statistics.summary import summarise
from lesionlab.analysis.statistics.tables import mean_se
from storage_schemas.axes import axes_of, text_of
from storage_schemas.experiments import Undefined
from storage_schemas.lesion_sizes import detection_by_size
from storage_schemas.results import EffectRow, LesionRow, StudyRow
from storage_schemas.verdicts import VerdictRow


def studies_sheet(rows: Sequence[StudyRow], title: str) -> Sheet:
    """Every tested study under every model."""
    axes = varying_axes([condition_of(row) for row in rows])
    return Sheet(
        title,
        columns(
            *("Study", "Site", "Model", "N", *axes.values(), "Fold", "Seed"),
            *("Lesions", "Found", "Predicted", "Spurious", "Sensitivity", "PPV", "Dice"),
            *("Reference (ml)", "Predicted (ml)"),
        ),
        tuple(
            (
                *(row.study, row.site, method(row.arm, row.source), str(row.training_size)),
                *(text_of(getattr(row, axis)) or NONE for axis in axes),
                *(str(number) for number in (row.fold, row.seed)),
                *(
                    str(count)
                    for count in (row.reference_lesions, row.true_positives, row.predicted_lesions, row.false_positives)
                ),
                *(fixed(value, 2) for value in (row.sensitivity, row.ppv, row.dice)),
                *(fixed(volume, 2) for volume in (row.reference_ml, row.predicted_ml)),
            )
            for row in rows
        ),
        heads=3,
        sortable=True,
    )


def effects_sheet(effects: Sequence[EffectRow], title: str) -> Sheet:
    """Every comparison of the paper's protocol."""
    sheet = Sheet(
        title,
        columns(
            *("Metric", "Test", "Stratum", "Comparison", "N", "n", "Undefined", "Difference"),
            *("Statistic", "p", "p × m", "m", "Significant", "Holm's p × (ours)", "Welch's p (ours)", "Note"),
        ),
        tuple(
            (
                *(effect.metric, effect.test, effect.stratum, effect.comparison),
                or_dash(effect.training_size),
                str(effect.n) if effect.n_other is None else f"{effect.n} / {effect.n_other}",
                str(effect.undefined),
                signed(effect.difference),
                fixed(effect.statistic, 2),
                probability(effect.p),
                probability(effect.p_bonferroni),
                str(effect.family),
                "yes" if effect.significant else or_dash(None if effect.p is None else "no"),
                probability(effect.p_holm),
                probability(effect.p_welch),
                effect.note,
            )
            for effect in effects
        ),
        heads=4,
        notes=(
            "A difference is the first model's mean minus the second's, in the unit of the test; m is the number of "
            "comparisons of the same kind planned in one column of the table.",
            "Holm's p × (corrected, as p × m is) and Welch's p (variances not pooled; not corrected) are ours: what is "
            "called significant does not depend on them.",
        ),
        sortable=True,
    )
    return compact(sheet)


def sites_sheet(rows: Sequence[Row], models: Sequence[Condition], title: str, undefined: Undefined) -> Sheet:
    """Mean ± SE of every model at every site; undefined values count as the study declares."""
    axes = varying_axes(models)
    lines = []
    for site in sorted({row.site for row in rows}):
        own = [row for row in rows if row.site == site]
        tested = rows_by_condition(own)
        summaries_of = summarise(own, [model for model in models if model in tested], undefined)
        found = {(summary.condition, summary.metric): summary for summary in summaries_of}
        for model in dict.fromkeys(model for model, _ in found):
            summaries = [found[model, metric] for metric in METRICS]
            lines.append(
                (
                    *(site, method(model.arm, model.source), str(model.training_size)),
                    *(text_of(getattr(model, axis)) or NONE for axis in axes),
                    str(len({row.study for row in tested[model]})),
                    *map(mean_se, summaries),
                )
            )
    return Sheet(
        title,
        columns("Site", "Model", "N", *axes.values(), "Studies", "Sensitivity", "PPV", "Dice"),
        tuple(lines),
        heads=2,
        notes=(
            "Mean ± standard error over the site's tested studies; no tests: sites were not planned as a comparison.",
        ),
        sortable=True,
    )


def volumes_sheet(lesions: Mapping[Condition, Sequence[LesionRow]], title: str) -> Sheet:
    """Detection by lesion volume: of the reference lesions those found, of the predicted ones those true."""
    axes = varying_axes(list(lesions))
    lines = []
    for model, own in lesions.items():
        drawn = detection_by_size(lesion for lesion in own if lesion.side == "reference")
        predicted = detection_by_size(lesion for lesion in own if lesion.side == "prediction")
        for reference, prediction in zip(drawn, predicted, strict=True):
            lines.append(
                (
                    *(method(model.arm, model.source), str(model.training_size)),
                    *(text_of(getattr(model, axis)) or NONE for axis in axes),
                    reference.title(),
                    *(str(reference.lesions), str(reference.hits), fixed(reference.share, 2)),
                    *(str(prediction.lesions), str(prediction.hits), fixed(prediction.share, 2)),
                )
            )
    return Sheet(
        title,
        (
            *columns("Model", "N", *axes.values(), "Volume (mm³)"),
            *columns("lesions", "found", "sensitivity", group="Reference"),
            *columns("lesions", "true", "PPV", group="Predicted"),
        ),
        tuple(lines),
        heads=3 + len(axes),
        notes=(
            "Lesions of all tested studies together, several seeds counted each; so a study weighs by its lesions.",
        ),
    )


def verdicts_sheet(verdicts: Iterable[VerdictRow], title: str) -> Sheet:
    """What was found at the door: excluded studies first, then repaired ones."""
    told = [row for row in verdicts if row.verdict != "pass"]
    return Sheet(
        title,
        columns("Study", "Verdict", "Code", "Where", "What was found, and what was done"),
        tuple(
            (row.study, _VERDICTS[row.verdict], row.code or "", row.place or "", row.what or "")
            for row in sorted(told, key=lambda row: (row.verdict != "quarantined", row.study))
        ),
        sortable=True,
    )


def hashes_sheet(hashes: Iterable[tuple[str, str, str]], title: str) -> Sheet:
    """What it is, its name, its digest."""
    return Sheet(title, (Column("What"), Column("Name"), Column("Digest")), tuple(hashes), heads=2, sortable=True)


def varying_axes(models: Sequence[Condition]) -> dict[str, str]:
    """Name and title of every axis, beside arm, source and size, on which the models differ.

    Untrained models count where they have a value: default models have a depth. A rater is no network.
    """
    networks = [model for model in models if model.arm != "rater"]
    found = {}
    for name, axis in axes_of("stratum", "method or stratum", "method").items():
        values = [(model.trained, getattr(model, name)) for model in networks]
        if len({value for trained, value in values if trained or value is not None}) > 1:
            found[name] = axis.title
    return found


_VERDICTS = {"quarantined": "excluded", "repaired": "repaired", "pass": "passed"}
