"""Headings and sentences of the report's pages. Text between backticks is shown as code.

The templates hold the layout; they name what they show by these constants and functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lesionlab.analysis.statistics.comparisons import Unit
from lesionlab.analysis.statistics.conditions import Condition, Stratum
from lesionlab.analysis.statistics.effects import Effect
from lesionlab.analysis.words.captions import MARKS
from lesionlab.analysis.words.models import in_stratum, model_title
from lesionlab.analysis.words.numbers import count_of, listed
from lesionlab.analysis.words.tables import PAPER
from storage_schemas.cohorts import CohortPlan
from storage_schemas.definitions import MetricDefinition
from storage_schemas.experiments import Goal, Undefined
from storage_schemas.metrics import COLUMNS

# Every report

SECTIONS: Mapping[str, str] = {
    "performance": "Performance",
    "rater": "Against Grader 2",
    "further": "Pooled lesions, false positives and volumes",
    "sites": "Sites",
    "studies": "Studies",
    "supplementary": "Supplementary analyses",
    "training": "Training",
    "operating": "Operating points and calibration",
    "models": "Models in use",
    "cohort": "Patients and scanners",
    "design": "Design",
    "made-from": "Source of the data",
    "definitions": "Definitions",
    "hashes": "Hashes",
    "left-out": "What this report leaves out",
}
"""Headings by anchor; a page has some of them, in an order of its own."""

TAB_TITLE = "{}: lesionlab report"
CONTENTS = "Sections"
ANSWER = "The answer"
BY_VOLUME, EVERY_MODEL = "By lesion volume", "Every model, as a table"
OURS = "All of this is ours, not the paper's. Stars and p values above do not depend on it."
NOTHING_OURS = "None: there are no results to analyse."
FOOTER = f"Made by lesionlab from {{}}. Protocol after {PAPER}."
FROM_STORE = "the results in the store alone; the same results give this file byte for byte"
FROM_NARROWED = "the results of the hospitals, narrowed before anything was computed"
NO_COHORT = "Nothing is known of the patients, or of too few."
FROM_TABLE = "this table alone; the same table gives this file byte for byte"
SIMULATED, SIMULATED_STUDY = "Simulated studies", "Simulated study"
NONE = "None."


def preliminary(missing: int, planned: int) -> str:
    """Flag an unfinished experiment."""
    return f"Preliminary: {missing} of {planned} cells have no results yet"


def of_experiment(name: str, task: str, digest: str) -> str:
    """Below the title of a report."""
    return f"Experiment `{name}` · task: {task} · analysis `{digest}`"


def of_table(name: str, digest: str) -> str:
    """Below the title of the report of a table."""
    return f"Made from the table `{name}` alone · analysis `{digest}`"


def table_report_title(name: str) -> str:
    """Title of the report of a table."""
    return f"Results in {name}"


# Definitions

LESION, HIT, SENSITIVITY, PPV, DICE = "Lesion", "Hit", "Sensitivity", "PPV", "Dice"
SENSITIVITY_IS = "true-positive reference lesions / reference lesions of a study; undefined without a reference lesion"
PPV_IS = "true-positive predicted lesions / predicted lesions of a study; undefined without a predicted lesion"
DICE_IS = "voxelwise overlap of both masks; undefined if both are empty; not in the paper's Tables 3, 5 and 6"
F1, FALSE_POSITIVES, SURFACE = "F1", "False positives", "ASSD and HD95"
F1_IS = "harmonic mean of sensitivity and PPV of a study; 0 if only one mask has lesions, undefined if neither has"
FALSE_POSITIVES_ARE = "predicted lesions of a study without a hit; in studies without a lesion too"
SURFACE_IS = (
    "average symmetric surface distance and the larger one of the two directed 95th percentiles (Hausdorff), in mm "
    "between voxel centres of both masks' surfaces; undefined if a mask is empty"
)
METRIC_DEFINITION = "Metric definition"
EXTERNAL_LESION, EXTERNAL_METRICS = "Lesion and hit", ", ".join(column.title for column in COLUMNS.values())
EXTERNAL_LESION_IS = "as defined where the table was made; the table does not say how"
EXTERNAL_METRICS_ARE = "as the table gives them for each study; an empty field is an undefined value"
MEANS = "Means"
MEANS_ARE = (
    "over studies, each with its own value and equal weight: a mean sensitivity of 0.65 is the studies' mean share of "
    "reference lesions, not the share of all lesions together"
)
VERDICT = "Verdict"
VERDICT_IS = (
    "on the primary endpoint, one metric of one comparison, averaged over the training sizes that both arms share; "
    "significant if p ≤ 0.05 in a mixed model with training subset × arm, which is claimed only where that model can "
    "be fitted and every cell of the comparison has results. All other endpoints are secondary, with Holm's "
    "correction. The paper's tests and stars do not depend on it"
)
UNDEFINED = "Undefined values"
UNIT, TESTS, BONFERRONI, MARKS_TITLE = "Unit of analysis", "Tests", "Bonferroni", "Marks"
TESTS_ARE = (
    "one-way repeated-measures ANOVA over all trained models, without correction for non-sphericity; two-tailed paired "
    "t test, fine-tuned versus de novo; two-tailed unpaired Student t test with pooled variance, each trained model "
    "versus the default model and versus Grader 2"
)


def lesion_is(definition: MetricDefinition) -> str:
    """What counts as a lesion."""
    touching = {6: "a face", 18: "a face or an edge", 26: "a face, an edge or a corner"}[definition.connectivity]
    smallest = "smaller components are dropped from both masks"
    if not definition.minimum_volume_mm3:
        smallest = "a lesion may be a single voxel"
    return (
        f"a connected component of a mask in native space ({definition.lesion_in_words()}): voxels are connected if "
        f"they share {touching}; {smallest}"
    )


def hit_is(definition: MetricDefinition) -> str:
    """What counts as a hit."""
    return (
        f"{definition.hit_in_words()} with the other mask. A hit makes a lesion a true positive; without one a "
        "reference lesion is missed, and a predicted lesion is a false positive"
    )


def undefined_is(policy: Undefined) -> str:
    """How undefined values count."""
    if policy == "exclude":
        return "left out of means and tests, and counted; never taken for 0 or 1"
    return (
        "PPV without a predicted lesion counts as 0 in a study with reference lesions; every other undefined value is "
        "left out of means and tests; all are counted"
    )


def unit_is(unit: Unit) -> str:
    """What the tests compare."""
    positions = (
        "fold-averaged: positions in the test subset, each averaged over the folds (this reproduces the p values "
        f"printed in {PAPER})"
    )
    unpaired = positions if unit == "fold-averaged" else "per study: every tested study"
    return (
        f"unpaired tests: {unpaired}. Paired tests and the ANOVA compare studies. Several seeds of one study are "
        "averaged first"
    )


def bonferroni_is(effects: Iterable[Effect]) -> str:
    """The correction, with m of every kind of comparison."""
    families = dict.fromkeys(f"m = {e.family} for {e.test}" for e in effects if e.test != "rm-anova")
    return (
        "significant if p ≤ 0.05/m, where m is the number of planned comparisons of one kind in one column of one "
        f"table: {'; '.join(families)}"
    )


def marks_are() -> str:
    """What the marks of tables and figures mean."""
    told = "; ".join(f"{mark} {meaning}" for mark, meaning in MARKS.items())
    return f"all after Bonferroni. In tables, a star after a p value: significant. In figures, above a bar: {told}"


# The report of an experiment

NO_STUDIES = "No study has results yet."
NO_EXCLUSIONS = NONE
STUDY_LIST = ("Study", "Site", "Lesions", "Volume (ml)")
MISSED_BY, FALSE_POSITIVES_OF = "Missed: {}", "False positives: {}"
STUDY_PAGES = "The page of a study shows slices through every missed lesion and every false positive of these models."
CLICK_TO_SORT = "Click a heading to sort."
DESIGN_PARTS = {
    "missing": "Cells without results",
    "excluded": "Excluded and repaired studies",
    "cohorts": "Cohorts",
    "settings": "Network, training and inference",
}
SUBSET_LIST = ("Subset", "Number", "Studies")
NOT_USED = "not used"


def no_facts(cohort: str) -> str:
    """Why there are no Tables 1 and 2."""
    return (
        f"Tables 1 and 2 are missing: cohort `{cohort}` was preprocessed without facts on its studies; "
        "`lesionlab preprocess` keeps them."
    )


def design(studies: int, cohort: str, subsets: int, how: str, done: int, planned: int) -> str:
    """How the experiment was carried out."""
    drawn = f"were divided into {subsets} subsets ({how})"
    if how == "rotation":
        drawn = f"were randomised to {subsets} subsets used in rotation"
    return (
        f"{studies} labelled studies of cohort `{cohort}` passed quality control and {drawn}. Every model is tested "
        f"only on studies that it was not trained on. {done} of {planned} cells have results."
    )


def cohort_origin(simulated: CohortPlan | None) -> str:
    """Where a cohort comes from."""
    if simulated is None:
        return "given as a BIDS dataset"
    kinds = simulated.pathology if isinstance(simulated.pathology, str) else ", ".join(simulated.pathology)
    return f"simulated: {simulated.studies} studies, {kinds}, seed {simulated.seed}"


LABELLED = "the labelled studies"
NO_ROLE = "not used"


def default_model(model: str) -> str:
    """The role of a cohort that a default model is trained on."""
    return f"default model {model}"


NO_VALUE = "none"


# The report of a table

COLUMNS_READ, TARGET, ANNOTATION, REPETITIONS, MARGIN = (
    "columns read",
    "target",
    "annotation",
    "repetitions of the null test",
    "margin of equivalence",
)
USUAL_TARGET = "default"


def target(goal: Goal) -> str:
    """The declared target."""
    return USUAL_TARGET if goal.target is None else f"{goal.metric} {goal.target:g}"


def annotation(minutes: float) -> str:
    """A person's time for one study."""
    return f"{minutes:g} minutes per study"


def counts(studies: int, patients: int, sites: int) -> str:
    """`60 studies of 54 patients at 3 sites`."""
    return f"{count_of(studies, 'study')} of {count_of(patients, 'patient')} at {count_of(sites, 'site')}"


def external_table(name: str, lines: int, counted: str) -> str:
    """What the report of a table can and cannot say."""
    return (
        f"The external table `{name}`: {lines} lines, each a study tested under one model; {counted}. No image and no "
        "mask was available, so there are no slices, no study pages, and no tables of patients and scanners. A table "
        "does not show whether networks were trained on the patients that they are tested on."
    )


def compared_masks(cohort: str, lines: int, counted: str, empty: Sequence[tuple[str, str]]) -> str:
    """What the report of scored masks can and cannot say."""
    none = "; ".join(f"{model}: {study}" for model, study in empty)
    return (
        f"The masks of each model from elsewhere, scored on cohort `{cohort}` against the same reference masks and by "
        f"the same definition as every other model: {lines} lines, each a study tested under one model; {counted}. "
        + (f"Without a mask, counted as nothing found: {none}. " if empty else "")
        + "How these masks were made is not known here."
    )


# The page of a study

BACK = "Back to the report"
STUDY_HEADINGS = {"counts": "Counts", "mistakes": "Missed lesions and false positives", "hashes": "Hashes"}
MISTAKE_COLUMNS = ("Outcome", "Model", "Lesion", "Volume (mm³)", "x (mm)", "y (mm)", "z (mm)", "Overlap")
OUTCOMES = {"missed": "missed", "false-positive": "false positive"}
SLICES = "Axial native slices through the middle of each lesion, patient's right on the left;"
REFERENCE_LINE, PREDICTION_LINE = "reference,", "prediction of that model."
COORDINATES = "Coordinates are in world millimetres (RAS+)."
FILTER, MODEL, OUTCOME, EVERY = "Click a heading to sort, or show only", "model", "outcome", "all"
VOLUME_HASH, IMAGE_HASH, RUN_HASH = "study volume", "voxels of the native image, sha256", "run: {}"
STUDY_FOOTER = "Made by lesionlab from the results in the store alone. Not for diagnosis."


def of_study(site: str, lesions: int, volume_ml: float, experiment: str, digest: str) -> str:
    """Below the title of a study's page."""
    return (
        f"Site `{site}` · {count_of(lesions, 'reference lesion')}, {volume_ml:.2f} ml · experiment `{experiment}`, "
        f"analysis `{digest}`"
    )


def mistakes_of(models: Sequence[Condition]) -> str:
    """Whose mistakes are shown."""
    if not models:
        return "None of the models whose mistakes are shown was tested on this study."
    return f"Models: {'; '.join(map(model_title, models))}."


def left_out(count: int, most: int) -> str:
    """That only the largest mistakes are shown."""
    verb = "is" if count == 1 else "are"
    return f"{count} more {verb} not shown: only the {most} largest of each model are."


def no_prediction(model: Condition) -> str:
    """That a predicted mask is missing."""
    return f"{model_title(model)}: its predicted mask is not in the store."


def picture(outcome: str, volume_mm3: float) -> str:
    """Describe one slice to a screen reader."""
    return f"{OUTCOMES[outcome]}, {volume_mm3:.0f} mm³"


def models_shown(shown: int, candidates: int, tested: int, which: str) -> str:
    """Which of the tested models the study pages show."""
    first = f", the first {shown} of {candidates}" if shown < candidates else ""
    verb = "is" if shown == 1 else "are"
    return f"{shown} of the {tested} tested models {verb} shown: those {which}{first}."


def trained_on(size: int, stratum: Stratum) -> str:
    """Which models are candidates for the study pages."""
    return f"trained on {count_of(size, 'study')}{in_stratum(stratum)}"


UNTRAINED = "not trained on the target"


def seeds_shown(seeds: Sequence[int]) -> str:
    """Which of several seeds the study pages show."""
    return f"For each study, the lowest of the seeds {listed(seeds)} that has results is shown."


# Hashes

ANALYSIS, PLAN, MANIFEST, SPLIT, TABLE = "analysis", "plan", "manifest", "split", "table, sha256"
DEFAULT_WEIGHTS = "weights of the default model, sha256"
RESULT_VERSION, CODE_OF_ANALYSIS, VERSION_OF = "result version", "code of the analysis", "version of"
RUN, WEIGHTS = "run", "trained weights, sha256"
FILE = "file of this report, sha256"
