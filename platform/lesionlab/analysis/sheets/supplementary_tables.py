"""Lay out the supplementary analyses. All of them are ours, none the paper's."""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.methods.curve import Crossing, Saving
from lesionlab.analysis.methods.intervals import Interval
from lesionlab.analysis.methods.mixed import MixedModel
from lesionlab.analysis.sheets.sheet import Sheet, columns, compact
from lesionlab.analysis.statistics.changes import Change
from lesionlab.analysis.statistics.endpoints import Judgement
from lesionlab.analysis.statistics.learning import Aim, Learning
from lesionlab.analysis.statistics.null_test import NullTest
from lesionlab.analysis.statistics.supplementary import Fitted, PairedSize, Supplementary
from lesionlab.analysis.words import tables as words
from lesionlab.analysis.words.curves import aim_name, clusters, crossing
from lesionlab.analysis.words.definitions import changed
from lesionlab.analysis.words.models import comparison_name, effect_name, model_name, pair_name, stratum_name
from lesionlab.analysis.words.numbers import NONE, fixed, interval, or_dash, probability, signed


def supplementary_sheets(supplementary: Supplementary) -> dict[str, Sheet]:
    """Lay them out, by file name, for every analysis that has results."""
    sheets = {
        "ours-learning": learning_sheet(supplementary.learning),
        "ours-effect-sizes": sizes_sheet(supplementary.sizes),
        "ours-mixed-models": mixed_sheet(supplementary.mixed),
        "ours-holm": changes_sheet(supplementary.holm, words.HOLM),
        "ours-welch": changes_sheet(supplementary.welch, words.WELCH),
        "ours-null": null_sheet(supplementary.null),
    }
    return {name: compact(sheet) for name, sheet in sheets.items() if sheet.rows}


def learning_sheet(learning: Sequence[Learning]) -> Sheet:
    """Lay out the labelled studies that each arm needs to reach its aim; no rows without an aim."""
    return Sheet(
        words.LEARNING,
        columns(*words.LEARNING_COLUMNS),
        tuple(
            (
                *(stratum_name(learned.stratum), learned.metric, model_name(arm.way)),
                *(aim_name(learned.aim), fixed(learned.aim.mean, 2)),
                crossing(arm.crossing) if arm.crossing else NONE,
                clusters(learned.clusters, learned.unit),
            )
            for learned in learning
            if learned.aim is not None
            for arm in learned.arms
        ),
        heads=3,
        notes=(words.LEARNING_NOTE,),
        sortable=True,
        numbers=tuple(
            _crossing_numbers(learned.aim, arm.crossing) | _saving_numbers(learned.saving if arm.fine_tuned else None)
            for learned in learning
            if learned.aim is not None
            for arm in learned.arms
        ),
    )


def _crossing_numbers(aim: Aim, found: Crossing | None) -> dict[str, float | None]:
    studies = None if found is None else found.studies
    return {"target_mean": aim.mean, "studies": studies} | _bounds("studies", found.interval if found else None)


def _saving_numbers(saving: Saving | None) -> dict[str, float | None]:
    """Of fine-tuned versus de novo; bounded by the means, then by the confidence interval."""
    least, most = (None, None) if saving is None else (saving.least, saving.most)
    return {"saving_least": least, "saving_most": most} | _bounds("saving", saving.interval if saving else None)


def _bounds(of: str, interval: Interval | None) -> dict[str, float | None]:
    """Of a 95 % confidence interval."""
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {f"{of}_low": low, f"{of}_high": high}


def sizes_sheet(sizes: Sequence[PairedSize]) -> Sheet:
    """Lay out how large the difference between the arms is."""
    return Sheet(
        words.SIZES,
        columns(*words.SIZE_COLUMNS),
        tuple(
            (
                *(stratum_name(paired.stratum), paired.metric, pair_name(paired.pair)),
                *(str(paired.pair.model.training_size), str(paired.n)),
                *(signed(paired.size.difference), interval(paired.size.interval)),
                clusters(paired.size.clusters, paired.size.unit),
                *(fixed(paired.size.standardised, 2), str(paired.size.patients)),
            )
            for paired in sizes
        ),
        heads=3,
        notes=(words.SIZES_NOTE,),
        sortable=True,
        numbers=tuple(
            {"difference": paired.size.difference}
            | _bounds("difference", paired.size.interval)
            | {"standardised": paired.size.standardised}
            for paired in sizes
        ),
    )


def endpoint_models_sheet(judged: Sequence[Judgement]) -> Sheet:
    """Lay out the models that the endpoints are judged by, as `mixed_sheet`."""
    models = [Fitted(one.comparison, one.metric, one.model) for one in judged if one.model]
    return compact(mixed_sheet(models, words.ENDPOINT_MODELS, words.ENDPOINT_MODELS_NOTE))


def mixed_sheet(fitted: Sequence[Fitted], title: str = words.MIXED, note: str = words.MIXED_NOTE) -> Sheet:
    """Lay out one line per fixed effect, then one per SD; a model that could not be fitted has one line with why."""
    lines: list[tuple[str, ...]] = []
    for one in fitted:
        about = (stratum_name(one.comparison.stratum), one.metric, comparison_name(one.comparison))
        degrees, remark = str(one.model.degrees), words.model_note(one.model)
        lines += [
            (
                *(*about, words.TERMS[term.effect], signed(term.estimate), interval(Interval(term.low, term.high))),
                *(degrees, probability(term.p), remark),
            )
            for term in one.model.terms
        ]
        lines += [
            (*about, words.SD.format(words.RANDOM_EFFECTS[name]), fixed(sd, 3), *[NONE] * 3, "")
            for name, sd in one.model.sd.items()
        ]
        if not one.model.terms:
            lines.append((*about, *[NONE] * 5, remark))
    return Sheet(
        title,
        columns(*words.MIXED_COLUMNS),
        tuple(lines),
        heads=4,
        notes=(note,),
        sortable=True,
        numbers=tuple(numbers for one in fitted for numbers in _mixed_numbers(one.model)),
    )


def _mixed_numbers(model: MixedModel) -> list[dict[str, float | None]]:
    """One per line of the sheet."""
    terms: list[dict[str, float | None]] = [
        {"estimate": term.estimate} | _bounds("estimate", Interval(term.low, term.high)) | {"p_value": term.p}
        for term in model.terms
    ]
    sds: list[dict[str, float | None]] = [{"estimate": sd} for sd in model.sd.values()]
    return [*terms, *sds] if terms else [*sds, {}]


def changes_sheet(found: Sequence[Change], title: str) -> Sheet:
    """Lay out only what changes from the paper's tables."""
    return Sheet(
        title,
        columns(*words.CHANGE_COLUMNS),
        tuple(
            (
                *(stratum_name(change.before.stratum), change.before.metric, effect_name(change.before)),
                or_dash(change.before.training_size),
                probability(change.before.p),
                probability(change.before.p_bonferroni),
                changed(change),
            )
            for change in found
        ),
        heads=3,
        sortable=True,
        numbers=tuple(
            {
                "p_value": change.before.p,
                "p_bonferroni": change.before.p_bonferroni,
                "p_holm": change.before.p_holm,
                "p_welch": change.before.p_welch,
            }
            for change in found
        ),
    )


def null_sheet(tests: Sequence[NullTest]) -> Sheet:
    """Lay out how often each method is wrong at 5 %."""
    lines: list[tuple[str, ...]] = []
    for test in tests:
        about = (stratum_name(test.comparison.stratum), test.metric, comparison_name(test.comparison))
        lines += [
            (*about, rate.method, fixed(rate.rate, 3), f"{rate.low:.3f} to {rate.high:.3f}", str(rate.repetitions), "")
            for rate in test.rates
        ]
        if not test.rates:
            lines.append((*about, NONE, NONE, NONE, NONE, words.NOT_RUN[test.not_run] if test.not_run else ""))
    return Sheet(
        words.NULL,
        columns(*words.NULL_COLUMNS),
        tuple(lines),
        heads=4,
        notes=(words.NULL_NOTE,),
        sortable=True,
        numbers=tuple(numbers for test in tests for numbers in _null_numbers(test)),
    )


def _null_numbers(test: NullTest) -> list[dict[str, float | None]]:
    """One per line of the sheet."""
    rates: list[dict[str, float | None]] = [
        {"type_one_error": rate.rate, "type_one_error_low": rate.low, "type_one_error_high": rate.high}
        for rate in test.rates
    ]
    return rates or [{}]
