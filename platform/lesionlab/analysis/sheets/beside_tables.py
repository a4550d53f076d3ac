"""What stands beside the paper's statistics in; its sheets out. All of it is ours."""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.methods.intervals import Interval
from lesionlab.analysis.sheets.numbers import fixed, or_dash, probability, signed
from lesionlab.analysis.sheets.sheet import NONE, Sheet, columns, compact
from lesionlab.analysis.statistics.beside import Beside, Fitted, NullTest, PairedSize
from lesionlab.analysis.statistics.changes import Change
from lesionlab.analysis.statistics.learning import Learning


def beside_sheets(beside: Beside) -> dict[str, Sheet]:
    """By file name; a part that the study has nothing for is left out."""
    sheets = {
        "ours-learning": learning_sheet(beside.learning),
        "ours-effect-sizes": sizes_sheet(beside.sizes),
        "ours-mixed-models": mixed_sheet(beside.mixed),
        "ours-holm": changes_sheet(beside.holm, "Comparisons that end otherwise by Holm's correction"),
        "ours-welch": changes_sheet(beside.welch, "Unpaired comparisons that end otherwise by Welch's test"),
        "ours-null": null_sheet(beside.null),
    }
    return {name: compact(sheet) for name, sheet in sheets.items() if sheet.rows}


def learning_sheet(learning: Sequence[Learning]) -> Sheet:
    """Where each arm reaches what it is to reach; nothing where there is no aim."""
    return Sheet(
        "Labelled studies that each arm needs",
        columns("Setting", "Metric", "Arm", "Aim", "Aim's mean", "Reached at N [95 % interval]"),
        tuple(
            (
                *(learned.setting, learned.metric, arm.model),
                learned.aim.name,
                fixed(learned.aim.mean, 2),
                arm.crossing.text() if arm.crossing else NONE,
            )
            for learned in learning
            if learned.aim is not None
            for arm in learned.arms
        ),
        heads=3,
        notes=(
            "Between the trained sizes the curve is straight over log2 N, and more studies are taken never to harm; "
            "intervals draw patients with replacement.",
        ),
        sortable=True,
    )


def sizes_sheet(sizes: Sequence[PairedSize]) -> Sheet:
    """How large the difference of the methods is."""
    return Sheet(
        "How large the differences are",
        columns("Setting", "Metric", "Comparison", "N", "n", "Difference", "95 % interval", "d_z", "Patients"),
        tuple(
            (
                *(paired.setting, paired.metric, paired.comparison, str(paired.training_size), str(paired.n)),
                signed(paired.size.difference),
                interval(paired.size.interval),
                fixed(paired.size.standardised, 2),
                str(paired.size.patients),
            )
            for paired in sizes
        ),
        heads=3,
        notes=(
            "Mean difference over studies; percentile bootstrap over patients; d_z is the mean difference over the SD "
            "of the differences.",
        ),
        sortable=True,
    )


def mixed_sheet(fitted: Sequence[Fitted]) -> Sheet:
    """One line a fixed effect; a model that could not be fitted has one line that says why."""
    lines: list[tuple[str, ...]] = []
    for one in fitted:
        about = (one.setting, one.metric, one.comparison)
        lines += [
            (*about, term.name, signed(term.estimate), interval(Interval(term.low, term.high)), probability(term.p), "")
            for term in one.model.terms
        ]
        if not one.model.terms:
            lines.append((*about, NONE, NONE, NONE, NONE, one.model.note))
    return Sheet(
        "Mixed models",
        columns("Setting", "Metric", "Comparison", "Term", "Estimate", "95 % interval", "p", "Note"),
        tuple(lines),
        heads=4,
        notes=("Random effects: patient, training set, network and site, where there are enough of them.",),
        sortable=True,
    )


def changes_sheet(found: Sequence[Change], title: str) -> Sheet:
    """Only what ends otherwise than in the paper's tables."""
    return Sheet(
        title,
        columns("Setting", "Metric", "Comparison", "N", "p in the table", "p × m", "Here"),
        tuple(
            (
                *(change.before.setting, change.before.metric, change.before.comparison),
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
        about = (test.setting, test.metric, test.comparison)
        lines += [
            (*about, rate.method, fixed(rate.rate, 3), f"{rate.low:.3f} to {rate.high:.3f}", str(rate.repetitions), "")
            for rate in test.rates
        ]
        if not test.rates:
            lines.append((*about, NONE, NONE, NONE, NONE, test.note))
    return Sheet(
        "How often each method finds an effect where there is none",
        columns("Setting", "Metric", "Comparison", "Method", "Rate", "95 % interval", "Repetitions", "Note"),
        tuple(lines),
        heads=4,
        notes=(
            "Studies like this one are simulated without an effect; a method at 5 % should be wrong in 5 % of them.",
        ),
        sortable=True,
    )


def interval(limits: Interval | None) -> str:
    """`−0.010 to +0.120`."""
    return NONE if limits is None else f"{signed(limits.low)} to {signed(limits.high)}"
