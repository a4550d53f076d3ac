"""Lay out what a reviewer also asks for. All of it is ours, none the paper's."""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.methods.intervals import Interval
from lesionlab.analysis.methods.limits_of_agreement import Agreement
from lesionlab.analysis.sheets.sheet import Sheet, columns, compact
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.contrasts import Contrast
from lesionlab.analysis.statistics.further import BySite, Further
from lesionlab.analysis.statistics.pooled import FalsePositives, Pooled
from lesionlab.analysis.statistics.rater_agreement import MeanOf, RaterAgreement
from lesionlab.analysis.statistics.volume_agreement import ModelVolumes
from lesionlab.analysis.words import further as words
from lesionlab.analysis.words.models import METRICS, model_name, pair_name, stratum_name
from lesionlab.analysis.words.numbers import NONE, fixed, interval, or_dash, probability, signed
from storage_schemas.metrics import COLUMNS

Numbers = dict[str, float | None]


def rater_sheets(found: Further) -> dict[str, Sheet]:
    """Lay out agreement and differences, by file name; nothing without a rater."""
    sheets = {
        "ours-rater-agreement": agreement_sheet(found.agreement),
        "ours-rater-differences": differences_sheet(found.against_rater, found.margin),
    }
    return {name: compact(sheet) for name, sheet in sheets.items() if sheet.rows}


def further_sheets(found: Further) -> dict[str, Sheet]:
    """Lay out the other tables, by file name, of every analysis that has results."""
    sheets = {
        "ours-pooled": pooled_sheet(found.pooled),
        "ours-false-positive-counts": false_positives_sheet(found.false_positives),
        "ours-volume-agreement": volumes_sheet(found.volumes),
    }
    if found.margin is not None:
        sheets["ours-equivalence"] = equivalence_sheet(found.between_arms, found.margin)
    return {name: compact(sheet) for name, sheet in sheets.items() if sheet.rows}


def agreement_sheet(found: Sequence[RaterAgreement]) -> Sheet:
    """Lay out Grader 2 and every model against the reference, on the studies that Grader 2 read."""
    measured = [metric for metric in COLUMNS if any(metric in one.means for one in found)]
    shown = [metric for metric in measured if metric != "hd95_mm"]
    readers = [one.condition for one in found]
    return Sheet(
        words.AGREEMENT,
        columns(*words.AGREEMENT_COLUMNS, *(COLUMNS[metric].title for metric in shown), words.BIAS),
        tuple(
            (
                *(stratum_name(one.stratum), words.reader(one.condition, readers), _size(one.condition)),
                *(str(one.studies), str(one.patients)),
                *(words.mean_interval(one.means.get(metric)) for metric in shown),
                "" if one.volume is None else signed(one.volume.bias, 2) + words.brackets(one.volume.bias_interval),
            )
            for one in found
        ),
        heads=3,
        notes=(words.AGREEMENT_NOTE,),
        numbers=tuple(
            {name: value for metric in measured for name, value in _mean_numbers(metric, one.means.get(metric)).items()}
            | _volume_numbers(one.volume)
            for one in found
        ),
    )


def differences_sheet(found: Sequence[Contrast], margin: float | None) -> Sheet:
    """Lay out the difference of every model from Grader 2."""
    told = [one for one in found if one.mean is not None]
    return Sheet(
        words.DIFFERENCES,
        columns(*words.DIFFERENCE_COLUMNS, *(words.EQUIVALENCE_COLUMNS if margin is not None else ())),
        tuple(
            (stratum_name(one.stratum), METRICS[one.metric], *_model(one.pair.model), *_contrast(one, margin))
            for one in told
        ),
        heads=3,
        notes=(f"{words.OURS_TOO} {words.EACH_ALONE}", words.NO_MARGIN if margin is None else words.margin_is(margin)),
        sortable=True,
        numbers=tuple(_contrast_numbers(one) for one in told),
    )


def equivalence_sheet(found: Sequence[Contrast], margin: float) -> Sheet:
    """Lay out fine-tuned against de novo with the equivalence tests."""
    told = [one for one in found if one.mean is not None]
    return Sheet(
        words.EQUIVALENCE,
        columns(*words.CONTRAST_COLUMNS, *words.EQUIVALENCE_COLUMNS),
        tuple(
            (
                *(stratum_name(one.stratum), METRICS[one.metric], pair_name(one.pair)),
                str(one.pair.model.training_size or words.ALL_SIZES),
                *_contrast(one, margin),
            )
            for one in told
        ),
        heads=3,
        notes=(words.margin_is(margin), words.ALL_SIZES_NOTE),
        sortable=True,
        numbers=tuple(_contrast_numbers(one) for one in told),
    )


def volumes_sheet(found: Sequence[ModelVolumes]) -> Sheet:
    """Lay out bias and limits of agreement of the lesion volume of every model."""
    return Sheet(
        words.VOLUMES,
        columns(*words.VOLUME_COLUMNS),
        tuple(
            (
                *_model(one.condition),
                *(str(one.agreement.studies), str(one.agreement.patients)),
                *(signed(one.agreement.bias, 2), _interval(one.agreement.bias_interval)),
                *(fixed(one.agreement.sd, 2), words.limits(one.agreement)),
                NONE if one.agreement.reach is None else f"± {one.agreement.reach:.2f}",
                *(signed(one.slope, 2), fixed(one.total_share, 2)),
            )
            for one in found
        ),
        heads=2,
        notes=(words.VOLUMES_NOTE,),
        sortable=True,
        numbers=tuple(
            {"bias_ml": one.agreement.bias}
            | _bounds("bias_ml", one.agreement.bias_interval)
            | {"sd_ml": one.agreement.sd}
            | _bounds("limit_ml", one.agreement.limits)
            | {"limit_reach_ml": one.agreement.reach, "slope": one.slope, "predicted_share": one.total_share}
            for one in found
        ),
    )


def pooled_sheet(found: Sequence[Pooled]) -> Sheet:
    """Lay out the mean of the studies' shares beside the share of all lesions."""
    return Sheet(
        words.POOLED,
        columns(*words.POOLED_COLUMNS),
        tuple(
            (
                *(*_model(one.condition), COLUMNS[one.metric].title, words.mean_interval(one.mean)),
                str(one.mean.n if one.mean else 0),
                *(
                    (NONE, NONE)
                    if one.pooled is None
                    else (
                        fixed(one.pooled.share, 2) + words.brackets(one.pooled.interval),
                        f"{one.pooled.hits} / {one.pooled.lesions}",
                    )
                ),
            )
            for one in found
        ),
        heads=3,
        notes=(words.POOLED_NOTE,),
        sortable=True,
        numbers=tuple(
            _mean_numbers("mean", one.mean)
            | {"pooled": one.pooled.share if one.pooled else None}
            | _bounds("pooled", one.pooled.interval if one.pooled else None)
            for one in found
        ),
    )


def false_positives_sheet(found: Sequence[FalsePositives]) -> Sheet:
    """Lay out false positives per study, and those of studies without a lesion."""
    return Sheet(
        words.FALSE_POSITIVES,
        columns(*words.FALSE_POSITIVE_COLUMNS),
        tuple(
            (
                *(*_model(one.condition), str(one.studies), fixed(one.per_study, 2) + words.brackets(one.interval)),
                *(or_dash(one.most), str(one.lesion_free)),
                *(
                    (f"{one.lesion_free_clean} of {one.lesion_free}", fixed(one.per_lesion_free, 2))
                    if one.lesion_free
                    else (NONE, NONE)
                ),
            )
            for one in found
        ),
        heads=2,
        notes=(words.FALSE_POSITIVES_NOTE,),
        sortable=True,
        numbers=tuple(
            {"per_study": one.per_study}
            | _bounds("per_study", one.interval)
            | {"per_lesion_free_study": one.per_lesion_free}
            for one in found
        ),
    )


def site_differences_sheet(found: Sequence[BySite]) -> Sheet:
    """Lay out the difference between the arms at each site with the test of arm × site, or why there is none."""
    rows, numbers = [], list[Numbers]()
    for one in found:
        about = (stratum_name(one.comparison.stratum), METRICS[one.metric])
        told = words.interaction(one.found)
        for site in one.found.sites:
            rows.append((*about, site.site, str(site.patients), signed(site.estimate), interval(site.interval), told))
            test: Numbers = {"f": one.found.statistic, "p_value": one.found.p}
            numbers.append({"difference": site.estimate} | _bounds("difference", site.interval) | test)
        if not one.found.sites:
            rows.append((*about, NONE, NONE, NONE, NONE, told))
            numbers.append({})
    left_out = dict.fromkeys(words.left_out(one.found.left_out) for one in found)
    return compact(
        Sheet(
            words.BY_SITE,
            columns(*words.BY_SITE_COLUMNS),
            tuple(rows),
            heads=3,
            notes=(words.BY_SITE_NOTE, *filter(None, left_out)),
            numbers=tuple(numbers),
        )
    )


def _model(condition: Condition) -> tuple[str, str]:
    return model_name(condition), _size(condition)


def _size(condition: Condition) -> str:
    return str(condition.training_size) if condition.trained else NONE


def _contrast(one: Contrast, margin: float | None) -> tuple[str, ...]:
    found, tested = one.difference, one.equivalence
    told = (
        *(str(one.n), str(one.patients), signed(one.mean)),
        *((NONE, NONE, NONE) if found is None else (interval(found.interval()), words.over(one), probability(found.p))),
    )
    if margin is None:
        return told
    by = (
        (NONE, NONE, NONE)
        if tested is None
        else (interval(tested.interval), probability(tested.p_lower), probability(tested.p))
    )
    return (*told, *by, words.shown(one) or NONE)


def _contrast_numbers(one: Contrast) -> Numbers:
    found, tested = one.difference, one.equivalence
    return (
        {"difference": one.mean, "error": found.error if found else None, "degrees": found.degrees if found else None}
        | _bounds("difference", found.interval() if found else None)
        | {"p_value": found.p if found else None}
        | _bounds("difference_90", tested.interval if tested else None)
        | {"p_lower": tested.p_lower if tested else None, "p_upper": tested.p_upper if tested else None}
    )


def _volume_numbers(found: Agreement | None) -> Numbers:
    if found is None:
        return {}
    bias: Numbers = {"bias_ml": found.bias}
    return bias | _bounds("bias_ml", found.bias_interval) | _bounds("limit_ml", found.limits)


def _mean_numbers(name: str, mean: MeanOf | None) -> Numbers:
    values: Numbers = {name: mean.mean if mean else None} | _bounds(name, mean.interval if mean else None)
    return values | {f"{name}_n": mean.n if mean else None}


def _bounds(of: str, found: Interval | None) -> Numbers:
    low, high = (None, None) if found is None else (found.low, found.high)
    return {f"{of}_low": low, f"{of}_high": high}


def _interval(found: Interval | None) -> str:
    return interval(found, 2)
