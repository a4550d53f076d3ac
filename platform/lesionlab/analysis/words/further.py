"""Words of what a reviewer also asks for: Grader 2, equivalence, volumes, pooled lesions, false positives, sites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lesionlab.analysis.methods.equivalence import Shown
from lesionlab.analysis.methods.interaction import LEAST_PER_SITE, NoSites, SiteInteraction
from lesionlab.analysis.methods.intervals import Covers, Interval
from lesionlab.analysis.methods.limits_of_agreement import Agreement
from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.statistics.conditions import Condition, Stratum
from lesionlab.analysis.statistics.contrasts import Contrast, Withheld
from lesionlab.analysis.statistics.further import Further
from lesionlab.analysis.statistics.rater_agreement import MeanOf
from lesionlab.analysis.words.captions import Caption
from lesionlab.analysis.words.models import METRICS, RATER, in_stratum, model_title, short_name, variant
from lesionlab.analysis.words.numbers import NONE, capital, count_of, fixed, listed, p_equals, signed
from lesionlab.analysis.words.numbers import interval as interval_of
from storage_schemas.metrics import PRIMARY

OURS_TOO = "Ours, not the paper's, which compares models with Grader 2 unpaired."
EACH_ALONE = "Each p value is of its line alone: none is corrected for the number of lines."
NO_MARGIN = (
    "No margin was declared (`margin` in the experiment file, before the data are seen), so nothing is said about "
    "equivalence or non-inferiority. A difference that is not significant shows neither."
)

_SHOWN: Mapping[Shown, str] = {
    Shown.EQUIVALENT: "equivalent",
    Shown.NON_INFERIOR: "non-inferior",
    Shown.INFERIOR: "inferior",
    Shown.INCONCLUSIVE: "inconclusive",
}
_WITHHELD: Mapping[Withheld, str] = {
    Withheld.NO_MARGIN: "",
    Withheld.NO_FRACTION: "",
    Withheld.FEW_PATIENTS: f"fewer than {LEAST_PATIENTS} patients",
    Withheld.NO_INTERVAL: "no CI",
}
_NO_SITES: Mapping[NoSites, str] = {
    NoSites.ONE_ARM: "one arm: nothing to compare",
    NoSites.FEW_SITES: f"fewer than two sites with at least {LEAST_PER_SITE} patients",
    NoSites.SITE_IS_NETWORK: "each network tests one site, so an effect of the site cannot be separated from training "
    "variability",
    NoSites.NOT_ESTIMABLE: "these values cannot tell the effects apart",
}
_COVERS: Mapping[Covers, str] = {
    Covers.THESE_NETWORKS: "patients, these networks",
    Covers.INDEPENDENT_NETWORKS: "folds",
    Covers.TRAINING_STUDIES: "mixed model, training subsets",
}

# Tables

AGREEMENT = f"Agreement with the reference on the studies that {RATER} read"
AGREEMENT_COLUMNS = ("Stratum", "Reader", "N", "Studies", "Patients")
BIAS = "Volume bias (ml)"
AGREEMENT_NOTE = (
    f"Every line is over studies that {RATER} read too: {RATER}'s is the inter-rater agreement. Mean [95 % CI] over "
    "studies, without undefined values. Volume bias: predicted − reference."
)
DIFFERENCES = f"Differences from {RATER}, paired by study"
DIFFERENCE_COLUMNS = ("Stratum", "Metric", "Model", "N", "n", "Patients", "Difference", "95 % CI", "CI over", "p")
EQUIVALENCE_COLUMNS = ("90 % CI", "p, non-inferior", "p, equivalent", "By the margin")
EQUIVALENCE = "Equivalence of fine-tuned and de novo"
CONTRAST_COLUMNS = ("Stratum", "Metric", "Comparison", *DIFFERENCE_COLUMNS[3:])
ALL_SIZES = "all"
ALL_SIZES_NOTE = (
    "N = all: the arm's effect over all training sizes, from the mixed model with training subset × arm, whose CI "
    "covers the choice of training studies; n counts values of both arms. CIs over folds ignore that training sets "
    "overlap."
)
VOLUMES = "Predicted and reference lesion volume"
VOLUME_COLUMNS = (
    *("Model", "N", "Studies", "Patients", "Bias (ml)", "95 % CI", "SD (ml)", "95 % limits (ml)", "95 % CI of a limit"),
    *("Slope", "Predicted / reference"),
)
VOLUMES_NOTE = (
    "Bias: mean of predicted − reference volume over studies. Limits of agreement: bias ± 1.96 SD of one "
    "difference (Bland and Altman); with several studies of a patient the SD adds the variances between and "
    "within patients (Bland and Altman 2007), so repeated studies do not narrow them. CI of a limit: that of "
    "the bias and that of the SD (Student's t over patients) together. Slope: change of the difference per ml"
    " of mean volume; far from 0 the difference depends on the volume, and constant limits do not describe "
    "it. Predicted / reference: all volume together."
)
POOLED = "Lesionwise sensitivity and PPV: mean over studies and pooled over lesions"
POOLED_COLUMNS = (
    "Model",
    "N",
    "Metric",
    "Mean over studies [95 % CI]",
    "n",
    "Pooled over lesions [95 % CI]",
    "Lesions",
)
POOLED_NOTE = (
    "Mean over studies: each study counts equally, as in the paper. Pooled: all lesions of all studies and seeds "
    "together; a study weighs by its lesions. Its CI knows that lesions of a patient, and of a network, are alike."
)
FALSE_POSITIVES = "False positives per study, and in studies without a lesion"
FALSE_POSITIVE_COLUMNS = (
    *("Model", "N", "Studies", "Per study [95 % CI]", "Most in a study", "Lesion-free studies"),
    *("Without false positive", "Per lesion-free study"),
)
FALSE_POSITIVES_NOTE = "Lesion-free: no lesion in the reference; sensitivity is undefined there, false positives count."
BY_SITE = "Fine-tuned − de novo by site"
BY_SITE_COLUMNS = ("Stratum", "Metric", "Site", "Patients", "Difference", "95 % CI", "Arm × site")
BY_SITE_NOTE = (
    "Mixed model of arm, training size and their interaction, site and arm × site; random effects: patient, patient × "
    "arm, training set and network. Arm × site: F test of equal differences at all sites, patients − sites degrees of "
    "freedom. Not a planned comparison, and not corrected. The intervals ignore that training sets overlap."
)


def margin_is(margin: float) -> str:
    """How statements on equivalence are made."""
    return (
        f"Declared margin: {margin:g}. Two one-sided tests at 5 % each (TOST), not corrected for several comparisons. "
        "Equivalent: the 90 % CI lies within the margins; non-inferior: above the lower margin; inferior: below it; "
        f"inconclusive: it includes the lower margin. At least {LEAST_PATIENTS} patients."
    )


def shown(contrast: Contrast) -> str:
    """`equivalent`, `inconclusive`, or why nothing is said."""
    if contrast.equivalence is not None:
        return _SHOWN[contrast.equivalence.shown]
    return _WITHHELD[contrast.withheld] if contrast.withheld else ""


def over(contrast: Contrast) -> str:
    """What its interval is over."""
    return _COVERS[contrast.difference.covers] if contrast.difference else NONE


def reader(condition: Condition, among: Sequence[Condition]) -> str:
    """`Grader 2`, `FT`, `DN, learning rate 1e-05`; with the default model if there are several."""
    sources = {other.source for other in among if other.arm == condition.arm}
    source = [f"from {condition.source}"] if len(sources) > 1 else []
    return ", ".join([short_name(condition), *source, *variant(condition, among)])


def mean_interval(mean: MeanOf | None, digits: int = 2) -> str:
    """`0.63 [0.56, 0.71]`."""
    return NONE if mean is None else fixed(mean.mean, digits) + brackets(mean.interval, digits)


def brackets(found: Interval | None, digits: int = 2) -> str:
    """` [0.56, 0.71]`; empty without an interval."""
    return "" if found is None else f" [{fixed(found.low, digits)}, {fixed(found.high, digits)}]"


def limits(agreement: Agreement) -> str:
    """`−1.20 to +0.80`."""
    return interval_of(agreement.limits, 2)


def interaction(found: SiteInteraction) -> str:
    """`F(2, 57) = 0.31, p = 0.735`, or why there is no test."""
    if found.reason is not None:
        return _NO_SITES[found.reason]
    if found.p is None or found.statistic is None:
        return NONE
    return f"F({found.between}, {found.within}) = {found.statistic:.2f}, {p_equals(found.p)}"


def left_out(sites: Iterable[tuple[str, int]]) -> str:
    """Which sites have too few patients."""
    named = [f"{site} ({count_of(patients, 'patient')})" for site, patients in sites]
    return f"Left out, with fewer than {LEAST_PER_SITE} patients: {listed(named)}." if named else ""


def lesions_listed(lesions: int, left_out: int, most: int) -> str:
    """What `tables/lesions.csv` holds."""
    told = f"`tables/lesions.csv` lists {count_of(lesions, 'lesion')}, one a line: every reference and predicted lesion"
    if not left_out:
        return f"{told} of every run."
    larger = f"of more than {most} false positives in a study only the {most} largest ({left_out} left out)"
    return f"{told} of every run, but {larger}."


def rater_sentences(found: Further) -> tuple[str, ...]:
    """What the paired comparisons with Grader 2 say of the models of the largest size, a sentence each."""
    trained = [one for one in found.against_rater if one.metric in PRIMARY and one.pair.model.trained]
    largest = max((one.pair.model.training_size for one in trained), default=0)
    own = [one for one in trained if one.pair.model.training_size == largest]
    by_model: dict[tuple[Stratum, Condition], list[Contrast]] = {}
    for one in own:
        if one.mean is not None:
            by_model.setdefault((one.stratum, one.pair.model), []).append(one)
    told = [_sentence(contrasts) for contrasts in by_model.values()]
    if any(one.difference and one.difference.covers is Covers.THESE_NETWORKS for one in own):
        told.append(
            "These intervals are over patients and conditional on the networks that tested them: they exclude training "
            "variability, so they speak of these networks, not of the next ones trained alike."
        )
    return (*told, NO_MARGIN if found.margin is None else margin_is(found.margin)) if told else ()


def _sentence(own: Sequence[Contrast]) -> str:
    """`Fine-tuned, 50 studies, minus Grader 2: sensitivity +0.100 [0.060, 0.140] (10 studies of …); PPV …`."""
    first = own[0]
    parts = [_difference(one) for one in own]
    return capital(f"{model_title(first.pair.model)}{in_stratum(first.stratum)}, minus {RATER}: {'; '.join(parts)}.")


def _difference(one: Contrast) -> str:
    interval = brackets(one.difference.interval(), 3) if one.difference else " (no CI)"
    by = f", {_SHOWN[one.equivalence.shown]} by the margin" if one.equivalence else ""
    studies = f"{count_of(one.n, 'study')} of {count_of(one.patients, 'patient')}"
    return f"{METRICS[one.metric]} {signed(one.mean)}{interval}{by} ({studies} that both read)"


# Figures

FOREST_AXIS = "Model − Grader 2"
AGREEMENT_AXES = ("Mean of predicted and reference volume (ml)", "Predicted − reference (ml)")


def forest(margin: float | None) -> Caption:
    """Of the differences from Grader 2."""
    band = " Band: the declared margin; thick part of a line: 90 % CI." if margin is not None else ""
    return Caption(
        f"Differences from {RATER} on the studies that both read.",
        f"Mean of the paired differences with 95 % CI.{band} {OURS_TOO}",
        f"Forest plot of the differences from {RATER}; the table has the numbers",
    )


def bland_altman() -> Caption:
    """Of the volumes of several models."""
    return Caption(
        "Predicted and reference lesion volume.",
        "Each point is a study. Line: bias; dashed: 95 % limits of agreement (Bland and Altman, repeated studies of a "
        "patient taken into account). Where points follow a slope, the difference depends on the volume. Models: those "
        "of the largest training size, and a second rater if there is one. Ours, not the paper's.",
        "Bland-Altman plots of lesion volume; the table has the numbers",
    )
