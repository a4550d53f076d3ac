"""What stands beside the paper's statistics in; its sheets out. All of it is ours."""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.methods.intervals import Interval
from lesionlab.analysis.methods.random_effects import NAMES
from lesionlab.analysis.sheets.numbers import fixed, or_dash, probability, signed
from lesionlab.analysis.sheets.sheet import NONE, Sheet, columns, compact
from lesionlab.analysis.statistics.changes import Change
from lesionlab.analysis.statistics.learning import Learning
from lesionlab.analysis.statistics.null_test import NullTest
from lesionlab.analysis.statistics.supplementary import Fitted, PairedSize, Supplementary

_WHAT_LIMITS_HOLD = (
    "Limits over folds (Student's t) hold the chance of who was tested and that of training, but not that the training "
    "sets of folds overlap; limits over patients hold for these very networks only."
)


def supplementary_sheets(supplementary: Supplementary) -> dict[str, Sheet]:
    """By file name; a part that the study has nothing for is left out."""
    sheets = {
        "ours-learning": learning_sheet(supplementary.learning),
        "ours-effect-sizes": sizes_sheet(supplementary.sizes),
        "ours-mixed-models": mixed_sheet(supplementary.mixed),
        "ours-holm": changes_sheet(supplementary.holm, "Comparisons that end otherwise by Holm's correction"),
        "ours-welch": changes_sheet(supplementary.welch, "Unpaired comparisons that end otherwise by Welch's test"),
        "ours-null": null_sheet(supplementary.null),
    }
    return {name: compact(sheet) for name, sheet in sheets.items() if sheet.rows}


def learning_sheet(learning: Sequence[Learning]) -> Sheet:
    """Where each arm reaches what it is to reach; nothing where there is no aim."""
    return Sheet(
        "Labelled studies that each arm needs",
        columns("Stratum", "Metric", "Arm", "Aim", "Aim's mean", "Reached at N [95 % interval]", "Limits over"),
        tuple(
            (
                *(learned.stratum, learned.metric, arm.model),
                learned.aim.name,
                fixed(learned.aim.mean, 2),
                arm.crossing.text() if arm.crossing else NONE,
                f"{learned.clusters} {learned.unit}s",
            )
            for learned in learning
            if learned.aim is not None
            for arm in learned.arms
        ),
        heads=3,
        notes=(
            "Between the trained sizes the curve is straight over log2 N, and more studies are taken never to harm. "
            + _WHAT_LIMITS_HOLD,
        ),
        sortable=True,
    )


def sizes_sheet(sizes: Sequence[PairedSize]) -> Sheet:
    """How large the difference of the methods is."""
    return Sheet(
        "How large the differences are",
        columns(
            *("Stratum", "Metric", "Comparison", "N", "n", "Difference", "95 % interval", "Limits over", "d_z"),
            "Patients",
        ),
        tuple(
            (
                *(paired.stratum, paired.metric, paired.comparison, str(paired.training_size), str(paired.n)),
                signed(paired.size.difference),
                interval(paired.size.interval),
                f"{paired.size.clusters} {paired.size.unit}s",
                fixed(paired.size.standardised, 2),
                str(paired.size.patients),
            )
            for paired in sizes
        ),
        heads=3,
        notes=(
            "Mean difference over studies; d_z is the mean difference over the SD of the differences. "
            + _WHAT_LIMITS_HOLD,
        ),
        sortable=True,
    )


def mixed_sheet(fitted: Sequence[Fitted]) -> Sheet:
    """One line a fixed effect, then one for each SD; a model that could not be fitted has one line that says why."""
    lines: list[tuple[str, ...]] = []
    for one in fitted:
        about, note = (one.stratum, one.metric, one.comparison), one.model.note
        degrees = str(one.model.degrees)
        lines += [
            (
                *(*about, term.name, signed(term.estimate), interval(Interval(term.low, term.high))),
                *(degrees, probability(term.p), note),
            )
            for term in one.model.terms
        ]
        lines += [(*about, f"SD: {NAMES[name]}", fixed(sd, 3), *[NONE] * 3, "") for name, sd in one.model.sd.items()]
        if not one.model.terms:
            lines.append((*about, *[NONE] * 5, note))
    return Sheet(
        "Mixed models",
        columns("Stratum", "Metric", "Comparison", "Term", "Estimate", "95 % interval", "df", "p", "Note"),
        tuple(lines),
        heads=4,
        notes=(
            "Random effects: patient, patient × arm, training set, network and site, where these data can tell them "
            "apart; SD is what each adds to the spread. Student's t; degrees of freedom: training sets (or patients, "
            "if fewer) less 1, or 2 with several training sizes. That training sets overlap is not in the limits.",
        ),
        sortable=True,
    )


def changes_sheet(found: Sequence[Change], title: str) -> Sheet:
    """Only what ends otherwise than in the paper's tables."""
    return Sheet(
        title,
        columns("Stratum", "Metric", "Comparison", "N", "p in the table", "p × m", "Here"),
        tuple(
            (
                *(change.before.stratum, change.before.metric, change.before.comparison),
                or_dash(change.before.training_size),
                probability(change.before.p),
                probability(change.before.p_bonferroni),
                "; ".join(change.what),
            )
            for change in found
        ),
        heads=3,
        sortable=True,
    )


def null_sheet(tests: Sequence[NullTest]) -> Sheet:
    """How often each method is wrong at 5 %."""
    lines: list[tuple[str, ...]] = []
    for test in tests:
        about = (test.stratum, test.metric, test.comparison)
        lines += [
            (*about, rate.method, fixed(rate.rate, 3), f"{rate.low:.3f} to {rate.high:.3f}", str(rate.repetitions), "")
            for rate in test.rates
        ]
        if not test.rates:
            lines.append((*about, NONE, NONE, NONE, NONE, test.note))
    return Sheet(
        "How often each method finds an effect where there is none",
        columns("Stratum", "Metric", "Comparison", "Method", "Rate", "99.9 % interval", "Simulated studies", "Note"),
        tuple(lines),
        heads=4,
        notes=(
            "The study's own tests are simulated without an effect; a method at 5 % should be wrong in 5 % of them. "
            "They are drawn with all SDs of the mixed model; the interval also holds that these SDs are estimates.",
        ),
        sortable=True,
    )


def interval(limits: Interval | None) -> str:
    """`−0.010 to +0.120`."""
    return NONE if limits is None else f"{signed(limits.low)} to {signed(limits.high)}"
