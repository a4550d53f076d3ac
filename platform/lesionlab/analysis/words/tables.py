"""Titles, columns and notes of tables; the key of the paper's tables is in `keys`."""

from __future__ import annotations

from lesionlab.analysis.methods.intervals import LEAST_CLUSTERS, Covers
from lesionlab.analysis.methods.mixed import FixedEffect, MixedModel, NotFitted
from lesionlab.analysis.statistics.null_test import NotRun
from lesionlab.analysis.statistics.tables import PerformanceTable
from lesionlab.analysis.statistics.volumes import ByVolume
from lesionlab.analysis.words.cautions import CONDITIONAL
from lesionlab.analysis.words.models import about
from lesionlab.analysis.words.numbers import count_of
from storage_schemas.experiments import Source
from storage_schemas.metrics import COLUMNS, Metric

PAPER = "Wahlig et al. 2023"

# The paper's tables

PAPER_METRICS: dict[Metric, str] = {"sensitivity": "Lesionwise sensitivity", "ppv": "Lesionwise PPV"}
TRANSFER_METRICS: dict[Metric, str] = {"dice": "Dice score", **PAPER_METRICS}
PERFORMANCE_COLUMNS = ("Model", "Method")
MEAN = "mean ± SE"
TRANSFER_COLUMNS = ("Target training", "Model")
TRANSFER_BLOCKS = {
    "default": "None: tested as they are",
    "fine-tuned": "Leave one patient out: fine-tuned on the others",
}
TRANSFER_NOTE = "Means over the tested studies, without studies for which the metric is undefined."


def performance_title(table: PerformanceTable, task: str | None, number: str | None = None) -> str:
    """`Performance, FLAIR lesions; depth 3. Form: Table S1 of Wahlig et al. 2023`."""
    form = f". Form: Table {number} of {PAPER}" if number else ""
    return f"Performance{f', {task}' if task else ''}{about(table)}{form}"


def transfer_tests_title(table: PerformanceTable, task: str) -> str:
    """Of the tests that supplement the paper's Table 4."""
    return f"Performance, {task}{about(table)}. Tests that supplement Table 4 of {PAPER}"


def transfer_title(task: str, *, printed: bool) -> str:
    """Of Table 4, if the task is one of the paper."""
    return f"Performance, {task}{f'. Form: Table 4 of {PAPER}' if printed else ''}"


def own_title(metric: Metric, table: PerformanceTable) -> str:
    """`Dice; depth 3`: of a metric of ours in the form of the paper's tables."""
    return f"{COLUMNS[metric].title}{about(table)}"


def source_name(source: Source) -> str:
    """`Fine-tuned 10` for a model of another experiment, else the model's own name."""
    origin = source.trained_in
    if origin is None:
        return source.model
    return f"{ {'fine-tuned': 'Fine-tuned', 'de-novo': 'De novo'}[origin.arm] } {origin.training_size}"


# Long tables

METRIC_TITLES = tuple(column.title for column in COLUMNS.values())
EVERY_STUDY = "Every tested study under every model"
ONE_STUDY = "Results of every model that was tested on this study"
STUDY_COLUMNS = ("Study", "Site", "Model", "N")
STUDY_COUNTS = ("Fold", "Seed", "Reference lesions", "True positives", "Predicted lesions")
STUDY_METRICS = (*METRIC_TITLES, "Reference (ml)", "Predicted (ml)")

EVERY_COMPARISON = "Every comparison"
COMPARISON_COLUMNS = (
    *("Metric", "Test", "Stratum", "Comparison", "N", "n", "Undefined", "Difference", "Statistic", "p", "p × m", "m"),
    *("Significant", "Holm-adjusted p (ours)", "Welch's p (ours)", "Note"),
)
COMPARISON_NOTES = (
    "Difference: mean of the first model minus mean of the second, in the unit of the test. m: planned comparisons of "
    "the same kind in one column of the table.",
    "Holm-adjusted p values are corrected, as p × m is. Welch's p values are not corrected and do not pool variances. "
    "Both are ours: significance does not depend on them.",
)
YES, NO = "yes", "no"

SITES = "Performance by site"
SITE_COLUMNS = ("Site", "Model", "N")
SITE_METRICS = ("Studies", *METRIC_TITLES)
SITES_NOTE = "Mean ± standard error over the tested studies of the site. No tests: sites were not a planned comparison."

VOLUMES = "Detection by lesion volume"
VOLUME_COLUMNS = ("Model", "N")
VOLUME = "Volume (mm³)"
REFERENCE_GROUP, PREDICTED_GROUP = "Reference", "Predicted"
REFERENCE_COUNTS = ("lesions", "true positives", "sensitivity")
PREDICTED_COUNTS = ("lesions", "true positives", "PPV")
VOLUMES_NOTE = "Lesions of all tested studies pooled, each seed counted; a study weighs by its number of lesions."

EXCLUDED = "Excluded and repaired studies"
VERDICT_COLUMNS = ("Study", "Verdict", "Code", "Where", "Finding and action")
VERDICTS = {"quarantined": "excluded", "repaired": "repaired", "pass": "passed"}

HASH_COLUMNS = ("What", "Name", "Digest")
EVERY_HASH = "Every run, trained network, study volume, native image and file of this report"
EVERY_FILE_HASH = "Every file of this report"

# The endpoints

ENDPOINTS = "Endpoints: the numbers behind these sentences"
ENDPOINT_COLUMNS = (
    *("Endpoint", "Stratum", "Metric", "Comparison", "N", "n", "Patients", "Difference", "95 % CI", "The CI covers"),
    *("df", "p", "p, Holm", "Result", "Labelled studies saved"),
)
PRIMARY_ENDPOINT, SECONDARY_ENDPOINT = "primary", "secondary"
ENDPOINT_NOTES = (
    "Difference: fine-tuned − de novo, averaged over the training sizes N that both arms share; n: studies with a "
    "value under both. With a p value it is the arm's effect in a mixed model with training subset × arm "
    "(multi-membership) besides patient, patient × arm, training set, network and site. Without one it is the mean of "
    "the studies' own differences, with Student's t over folds, or over patients where there are too few folds.",
    "Holm's correction is over all secondary endpoints. Ours, not the paper's.",
)

# Supplementary tables

_INTERVALS = (
    "95 % CIs over folds (Student's t) cover the sampling of test patients and training variability, but ignore that "
    f"the training sets of folds overlap. {CONDITIONAL}"
)
LEARNING = "Labelled studies that each arm needs"
LEARNING_COLUMNS = (*("Stratum", "Metric", "Arm", "Target", "Target mean", "Studies needed [95 % CI]", "CI over"),)
LEARNING_NOTE = (
    "Curves are constrained to be non-decreasing (isotonic regression) and are linear in log2 N between the trained "
    f"sizes. {_INTERVALS}"
)
SIZES = "Effect sizes"
SIZE_COLUMNS = (*("Stratum", "Metric", "Comparison", "N", "n", "Difference", "95 % CI", "CI over", "d_z", "Patients"),)
SIZES_NOTE = f"Difference: mean over paired studies. d_z: mean difference / SD of the differences. {_INTERVALS}"
MIXED = "Mixed models"
MIXED_COLUMNS = ("Stratum", "Metric", "Comparison", "Term", "Estimate", "95 % CI", "df", "p", "Note")
MIXED_NOTE = (
    "Random effects: patient, patient × arm, training set, network and site, as far as these data can separate them; "
    "SD is the standard deviation of each. Student's t; degrees of freedom: number of training sets, or of patients "
    "if fewer, minus 1, or minus 2 with several training sizes. The intervals ignore that training sets overlap: the "
    "verdict rests on the models of the endpoints, not on these."
)
ENDPOINT_MODELS = "Mixed models of the endpoints"
ENDPOINT_MODELS_NOTE = (
    "The models that the endpoints are judged by. Random effects: training subset × arm (multi-membership: a network "
    "has the mean of its subsets' effects), patient, patient × arm, training set, network and site, as far as these "
    "data can separate them; SD is the standard deviation of each. Student's t; degrees of freedom: number of "
    "training subsets, or of patients if fewer, minus 1 (fewer where some folds were not run)."
)
HOLM = "Comparisons that change under Holm's correction"
WELCH = "Unpaired comparisons that change under Welch's test"
CHANGE_COLUMNS = ("Stratum", "Metric", "Comparison", "N", "p in the table", "p × m", "Change")
NULL = "Type I error of each method"
NULL_COLUMNS = ("Stratum", "Metric", "Comparison", "Method", "Rate", "99.9 % CI", "Simulated experiments", "Note")
NULL_NOTE = (
    "The tests of this experiment, simulated without any effect: a method at 5 % should be wrong in 5 % of the "
    "simulations. They are drawn with all SDs of the endpoint's mixed model (of the one without training subset × arm "
    "where the design does not support it); the interval includes the uncertainty of these SDs."
)
SD = "SD: {}"
TERMS: dict[FixedEffect, str] = {
    FixedEffect.MEAN: "mean",
    FixedEffect.ARM: "fine-tuned − de novo",
    FixedEffect.DOUBLING: "doubling of the training size",
    FixedEffect.ARM_BY_DOUBLING: "doubling, fine-tuned − de novo",
}
RANDOM_EFFECTS = {
    "patient": "patient",
    "patient_fine_tuned": "patient × arm",
    "training_set": "training set",
    "network": "network",
    "site": "site",
    "subset_fine_tuned": "training subset × arm",
    "residual": "residual",
}
NOT_FITTED: dict[NotFitted, str] = {
    NotFitted.NO_VARIANCE: "fewer than two different values: no variance to explain",
    NotFitted.NO_RESIDUAL: "no residual variance to test against",
    NotFitted.ONE_CONDITION: "one arm at one training size: nothing to compare",
    NotFitted.NO_REPEATS: "no patient, training set, network or site with repeated values: use the plain tests",
    NotFitted.TOO_FEW_VALUES: "fewer values than fixed effects",
    NotFitted.SUBSETS_UNKNOWN: "the training subsets of the networks are not known",
    NotFitted.ONE_ARM: "one arm: nothing to compare",
    NotFitted.FEW_SUBSETS: f"fewer than {LEAST_CLUSTERS} training subsets",
    NotFitted.NO_DISJOINT_SIZE: "no training size at which no two folds share training studies",
}
NOT_RUN: dict[NotRun, str] = {
    NotRun.ONE_ARM: "not run: it needs both arms, fine-tuned and de novo",
    NotRun.VARIANCES_UNKNOWN: "not run: the variances are not known",
}


def model_note(model: MixedModel) -> str:
    """Why a mixed model was not fitted, or what it leaves out."""
    if model.not_fitted is not None:
        return NOT_FITTED[model.not_fitted]
    omitted = ", ".join(f"{RANDOM_EFFECTS[one.effect]} ({one.levels})" for one in model.omitted)
    notes = [f"not separable as random effects in these data: {omitted}"] if omitted else []
    if model.covers == Covers.THESE_NETWORKS:
        notes.append(CONDITIONAL)
    return "; ".join(notes)


# Two metric definitions

BEFORE, NOW = "Before", "Now"
DEFINITION_NUMBERS = ("Difference", "p", "p × m", "Significant")
DEFINITION_COLUMNS = ("Stratum", "Metric", "Test", "Comparison", "N")
CHANGE = "Change"
CONCLUSION_COLUMNS = ("Stratum", "Conclusion", BEFORE, NOW, CHANGE)
DEFINITION_VOLUME_COLUMNS = ("Model", VOLUME)
DEFINITION_VOLUME_COUNTS = ("lesions", "sensitivity")


def comparisons_title(definitions: str) -> str:
    """Of every comparison under two definitions."""
    return f"Comparisons: {definitions}"


def conclusions_title(definitions: str) -> str:
    """Of every conclusion under two definitions."""
    return f"Conclusions: {definitions}"


def definition_volumes_title(definitions: str) -> str:
    """Of sensitivity by volume under two definitions."""
    return f"Sensitivity by lesion volume: {definitions}"


def definition_volumes_note(before: ByVolume, now: ByVolume) -> str:
    """Which studies the two halves are over."""
    return f"Before: {studies_of(before)}. Now: {studies_of(now)}. Each reference lesion counts once."


def studies_of(found: ByVolume) -> str:
    """`12 studies tested under all of these models; 1 study tested under only some of them is left out`."""
    told = f"{count_of(found.studies, 'study')} tested under all of these models"
    if not found.left_out:
        return told
    verb = "is" if found.left_out == 1 else "are"
    return f"{told}; {count_of(found.left_out, 'study')} tested under only some of them {verb} left out"


# The cohort

ALL = "all"
UNKNOWN = "not known"
CHARACTERISTICS, SCANNERS = "patients and acquisition", "scanner models"
COHORT_COLUMNS = ("Characteristic", "Value")
STUDIES, PATIENTS, SEX, AGE = "Studies", "Patients", "Sex", "Age (years)"
SEXES = {"F": "female", "M": "male", "O": "other"}
FIELD, ECHO, REPETITION, ACQUISITION, SCANNER = "Field strength", "TE (ms)", "TR (ms)", "Acquisition", "Scanner"
INITIAL, FOLLOW_UP = ", initial", ", follow-up"
SUBSET, UNUSED, TRAINING, TESTING = "subset {}", "unused", "training", "testing (subset 1)"


def cohort_about(cohort: str, task: str) -> str:
    """What the titles of the cohort's tables start with: `Cohort ms, flair-single`."""
    return f"Cohort {cohort}, {task}"


# The screen


def screen_title(source: str | None, stratum: str) -> str:
    """`Default model: glioma; depth 3`."""
    return "; ".join([f"Default model: {source}"] * bool(source) + [stratum] * bool(stratum))


SCREEN_COLUMNS = ("Model", "N")
SCREEN_METRICS = {metric: column.title for metric, column in COLUMNS.items()}
