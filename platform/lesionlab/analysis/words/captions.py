"""Wording of figures: titles, captions, axis labels, legends, marks, and descriptions for screen readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lesionlab.analysis.methods.curve import Direction, Saving
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.endpoints import Decision, Judgement
from lesionlab.analysis.statistics.headline import Headline
from lesionlab.analysis.statistics.tables import PerformanceTable
from lesionlab.analysis.statistics.volumes import ByVolume
from lesionlab.analysis.words import headline
from lesionlab.analysis.words.models import METRICS, RATER, about, comparison_name, in_stratum, short_name, variant
from lesionlab.analysis.words.numbers import capital, signed
from lesionlab.analysis.words.tables import PAPER, PAPER_METRICS, studies_of
from storage_schemas.metrics import COLUMNS, FRACTIONS, Metric
from storage_schemas.splits import Target

Mark = Literal["*", "&", "#"]
Role = Literal["trained", "tested", "unused"]


@dataclass(frozen=True)
class Caption:
    """What is below a figure, and what describes it to a screen reader."""

    title: str
    text: str
    label: str


TRAINING_SIZE_AXIS = "Labelled training studies (number)"

# The answer

DIFFERENCE_PANEL = "Does fine-tuning help?"
DIFFERENCE_AXIS = "Difference, fine-tuned − de novo"
DE_NOVO_BETTER, FINE_TUNED_BETTER = "← de novo better", "fine-tuned better →"


def answer(found: Headline) -> Caption:
    """Of the picture at the top."""
    left = (
        "Left: fine-tuned − de novo with its 95 % CI, averaged over the training sizes; bold: the primary endpoint. "
        if found.endpoints.primary and found.endpoints.primary.difference is not None
        else ""
    )
    right = (
        "Right: mean by number of labelled training studies with 95 % CI; dotted line: the target; "
        "arrow: the saving, where one is claimed. These CIs are of each arm alone and say nothing about the "
        "difference, which is taken within each study."
        if found.learned
        else ""
    )
    return Caption("The answer at a glance.", left + right, " ".join(headline.sentences(found)))


def endpoint_mark(judged: Judgement, *, primary: bool) -> str:
    """`PPV +0.12, significant`; the result stands at the primary endpoint alone."""
    name = capital(METRICS[judged.metric])
    result = {
        Decision.HIGHER: ", significant",
        Decision.LOWER: ", significant",
        Decision.NOT_SHOWN: ", not significant",
    }
    return f"{name} {signed(judged.difference, 2)}{result.get(judged.decision, '') if primary else ''}"


def learning_panel(metric: Metric) -> str:
    """Title of the panel of the learning curves."""
    return f"{capital(METRICS[metric])} by number of labelled studies"


def saving_mark(saving: Saving) -> str:
    """`saves 21 studies`, `needs 5 more`."""
    number, exact = round(saving.size[0]), saving.is_exact
    about = f"{'' if exact else 'at least '}{number}"
    return f"needs {about} more" if saving.direction is Direction.MORE else f"saves {about} studies"


# Bars

PANELS: dict[Metric, str] = {
    "sensitivity": "Lesionwise sensitivity",
    "ppv": "Lesionwise positive predictive value",
}
BAR_AXIS = "Mean over studies ± 1 SE"
NO_SIZE, NO_VALUE = "none", "no value"
MARKS: Mapping[Mark, str] = {
    "*": "differs from the default model",
    "&": f"differs from {RATER}",
    "#": "fine-tuned differs from de novo",
}


def bars(table: PerformanceTable) -> Caption:
    """Of the performance by training size."""
    return Caption(
        f"Performance by training size{about(table)}.",
        "Lesionwise sensitivity and PPV, mean over the tested studies; error bars: ±1 standard error, "
        "which treats the studies of a fold as independent. Each study counts equally. Marks: tests of "
        f"the table, significant after Bonferroni. Form: Figures 3A to 5A of {PAPER}.",
        "Bar chart of sensitivity and PPV by model and training size; the table has the numbers",
    )


def mark_key(marks: Iterable[Mark]) -> str:
    """`* differs from the default model     & differs from Grader 2`."""
    return "     ".join(f"{mark} {MARKS[mark]}" for mark in marks)


# Learning curves

CURVE_AXES = {name: f"{PAPER_METRICS.get(name, COLUMNS[name].title)} (fraction)" for name in FRACTIONS}


def curves(comparison: ArmComparison) -> Caption:
    """Of the learning curves of one arm comparison."""
    return Caption(
        f"Learning curves: {comparison_name(comparison)}{in_stratum(comparison.stratum)}.",
        "Mean with 95 % CI over the studies that have a value under both arms, by training size (logarithmic axis). "
        "Dotted line: target. Thick mark on the horizontal axis: where an arm reaches it. Ours, not the paper's.",
        "Learning curves; the table of labelled studies that each arm needs has the numbers",
    )


# Detection by lesion volume

VOLUME_AXIS = "Volume of the reference lesion (mm³)"
SENSITIVITY_AXIS = "Sensitivity (fraction of reference lesions)"
NO_LESION = "none"


def volumes(found: ByVolume) -> Caption:
    """Of the sensitivity by volume of the reference lesion."""
    over = "folds" if found.unit == "fold" else "patients, conditional on the trained networks"
    return Caption(
        "Detection by lesion volume.",
        f"Fraction of reference lesions found, in {studies_of(found)}. n counts each reference lesion once, for all "
        "models and seeds; classes without reference lesions are marked 'none'. A class excludes its lower bound and "
        f"includes its upper bound. Lines: 95 % CI over {over}; none if all lesions or no lesion was found, or if "
        "these are too few. Ours, not the paper's. The table has every model.",
        "Bar chart of sensitivity by volume class; the table has the numbers",
    )


def class_tick(title: str, lesions: int) -> str:
    """Of one volume class."""
    return f"{title}\nn = {lesions}"


# Slices

REFERENCE, PREDICTION = "Reference", "Prediction"
PATIENTS_RIGHT = "R"
CHANNELS = {
    "flair": "FLAIR",
    "subtraction": "Follow-up − initial",
    "follow-up": "FLAIR, follow-up",
    "after": "T1 with gadolinium",
    "enhancement": "T1, after − before",
}
"""Of each task the last channel: the image on which the lesions are seen."""
NOT_TESTED = "not tested\non this study"
NO_PREDICTION = "no prediction\nin the store"


def slices(table: PerformanceTable, studies: Sequence[str]) -> Caption:
    """Of the slices of some studies with the outlines of every shown model."""
    return Caption(
        f"What each model detects and misses{about(table)}.",
        "Axial native slices, patient's right on the left. Solid: reference; dashed: prediction. Counts are for the "
        "whole study. Models: all untrained ones, and the trained ones at the smallest and the largest training size. "
        "Studies: of those on which most of these models were tested, the ones with the smallest, the median and the "
        "largest reference lesion volume; predictions play no part in the choice. Slice: the one with the largest area "
        f"of reference lesion. Form: Figures 3B to 5B of {PAPER}.",
        f"Slices of {', '.join(studies)} with outlines of every model",
    )


def slice_of(lesions: int, volume_ml: float, z_mm: float) -> str:
    """Which slice of a study it is, and what the study has in all."""
    return f"{lesions} lesions, {volume_ml:.1f} ml\nslice at z = {z_mm:.0f} mm"


def counts_of(true_positives: int, reference: int, false_positives: int) -> str:
    """What a model detected in the whole study."""
    return f"true positives {true_positives} of {reference}\nfalse positives {false_positives}"


def seed_of(seed: int, seeds: int) -> str:
    """Which of several seeds is shown; appended to the counts."""
    return f"\nseed {seed} of {seeds} seeds"


def model_above(model: Condition, among: Sequence[Condition]) -> str:
    """`FT, N = 50`; below it what tells the model from others of its arm: its source, rate, freezing."""
    size = f", N = {model.training_size}" if model.trained else ""
    sources = {other.source for other in among if other.arm == model.arm}
    source = [f"from {model.source}"] if len(sources) > 1 else []
    return "\n".join([short_name(model) + size, *source, *variant(model, among)])


# The rotation of subsets

ROLES: Mapping[Role, str] = {"trained": "training", "tested": "testing", "unused": "not used"}
SUBSET, SITE, FOLD = "Subset", "Site", "Fold"
ROTATION = Caption(
    "Training and testing.",
    f"Rows: folds; columns: subsets. Form: Figure S3 of {PAPER}.",
    "Diagram of the folds; the table of subsets names the studies",
)


def size_panel(size: int) -> str:
    """Title of the panel of one training size."""
    return f"N = {size}"


def design_panel(design: str, largest: int) -> str:
    """Title of the one panel of a design whose sizes use the same subsets."""
    return f"{design}, N up to {largest}"


def rotation_key(marks: Mapping[Role, str], sites: Sequence[str], parts: int = 1) -> str:
    """The legend of the rotation as text; it names the sites if the subsets are sites or parts of them."""
    roles = "; ".join(f"{mark} {ROLES[role]}" for role, mark in marks.items())
    named = ", ".join(f"{_from_to(place * parts, parts)} {site}" for place, site in enumerate(sites))
    return f"{roles}; columns are subsets{f': {named}' if named else ''}"


def cross_site_key(target: Target) -> str:
    """What the networks of each fold of cross-site are trained on."""
    single = ", ".join(f"{_from_to(place * target.parts, target.parts)} {s}" for place, s in enumerate(target.sites))
    pooled = _from_to(target.subset_count, target.parts)
    others = _from_to(target.subset_count + target.parts, len(target.sites))
    return f"folds train on one site: {single}; on all sites: {pooled}; on all but the tested site: {others}"


def _from_to(before: int, count: int) -> str:
    """`5–8`: the `count` numbers after `before`."""
    return str(before + 1) if count == 1 else f"{before + 1}–{before + count}"
