"""What is said of operating points and calibration."""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.statistics.matched import MISSED_BY, Fate, MatchedFinding
from lesionlab.analysis.statistics.operating import Estimate
from lesionlab.analysis.words.captions import Caption
from lesionlab.analysis.words.models import METRICS, effect_name, in_stratum
from lesionlab.analysis.words.numbers import NONE, fixed

FATES: dict[Fate, str] = {
    Fate.SURVIVES: "survives",
    Fate.DEPENDS: "depends on which model is moved",
    Fate.LOST: "does not survive",
    Fate.NOT_EXAMINED: "cannot be examined",
    Fate.EMERGES: "no finding, but significant when matched",
    Fate.NO_FINDING: "no finding",
}
CHOICE = (
    "A threshold is chosen for each network on its own training studies, by predictions of networks of the "
    "same model that were not trained on them (those of the other folds); a test study is not used directly. "
    "Between two of the 21 thresholds values are interpolated linearly. What remains: those networks may have"
    " been trained on the test study, which moves the threshold through their weights only."
)
OPERATING = "Operating points of every model"
OPERATING_COLUMNS = ("Stratum", "Model", "Average precision [95 % CI]")
AT_ONE = "At the threshold chosen for 1 false positive a study"
AT_ONE_COLUMNS = ("threshold", "sensitivity [95 % CI]", "false positives a study")
CALIBRATION_COLUMN = "Calibration error [95 % CI]"
OPERATING_NOTES = (
    CHOICE,
    "The threshold aims at 1 false positive a study on the training studies; on the test studies there may be more or "
    "fewer, as the last of its columns says, so compare sensitivities only where these agree.",
    "Average precision: area under lesionwise PPV over sensitivity, pooled over the lesions of a fold, stepwise over "
    "21 thresholds from 0.01 to 0.9999, mean over folds. CIs: Student's t over folds, over patients where folds are "
    "fewer than three (conditional on the trained networks), none for average precision and calibration error there.",
    "Calibration error: expected calibration error of the voxels with a probability of at least 0.01, mean over folds; "
    "the figure pools all folds, which can hide errors of single networks in opposite directions.",
)
MATCHED = "Paper-style comparisons at a matched operating point"
MATCHED_COLUMNS = ("Stratum", "Metric", "Comparison", "N")
OWN, NEW = "At the models' own thresholds", "Matched"
OWN_COLUMNS = ("difference", "p")
NEW_COLUMNS = ("moved", "on", "threshold", "n", "difference", "p", "p × m", "difference on the matched metric")
UNREACHED = "not reached at any threshold"
OUTCOME = "Outcome"
MATCHED_NOTES = (
    "A finding is a significant difference in sensitivity or PPV. One model is moved to the threshold at "
    "which it is as good as its rival on the other metric: the lowest such threshold for sensitivity, the "
    "highest for PPV; the rival keeps its own. Each of the two models is moved in turn, because the results "
    "may differ. Same test, same studies, same Bonferroni m. A finding survives if it stays significant in "
    "its direction whichever model is moved. A model that at no threshold is as good as its rival on the other "
    "metric cannot be matched; if it is the lower one, its rival is better on both.",
    "The difference on the matched metric is that of the test studies. Where it is more than "
    f"{MISSED_BY} the match failed there, and the row says little.",
    "A comparison cannot be examined if a threshold cannot be chosen for each network of either model: without "
    "probabilities, or where its training studies were not test studies of both models, as with a default model that "
    "was tested on one subset.",
    CHOICE,
)


def outcome(one: MatchedFinding) -> str:
    """`survives`, `depends on which model is moved; the match failed`."""
    failed = "; the match failed" if any(moved.missed for moved in one.moves) else ""
    return f"{FATES[one.fate]}{failed}"


def survival(compared: Sequence[MatchedFinding]) -> str:
    """`7 of 9 paper-style findings survive at a matched operating point; 2 do not: …`"""
    findings = [one for one in compared if one.effect.significant]
    if not findings:
        return (
            "There is no paper-style finding (significant difference in sensitivity or PPV) to examine at a matched "
            "operating point." + _emerging(compared)
        )
    by_fate = {fate: [one for one in findings if one.fate is fate] for fate in Fate}
    every = f"{len(findings)} paper-style finding{'s' * (len(findings) > 1)}"
    kept = len(by_fate[Fate.SURVIVES])
    parts = [f"{kept} of {every} (significant differences in sensitivity or PPV) survive at a matched operating point"]
    told = {
        Fate.DEPENDS: "{} only if one of the two models is moved and not the other: {}",
        Fate.LOST: "{} may be an effect of the threshold: {}",
        Fate.NOT_EXAMINED: "{} cannot be examined, because there are no probabilities or no training studies on which "
        "both models were tested: {}",
    }
    parts += [told[fate].format(len(by_fate[fate]), _named(by_fate[fate])) for fate in told if by_fate[fate]]
    return "; ".join(parts) + "." + _emerging(compared)


def _emerging(compared: Sequence[MatchedFinding]) -> str:
    """What is significant at a matched operating point only."""
    told = {
        Fate.EMERGES: "significant only at a matched operating point",
        Fate.DEPENDS: "significant only if one of the two models is moved",
    }
    sentences = []
    for fate, what in told.items():
        found = [one for one in compared if one.fate is fate and not one.effect.significant]
        if found:
            sentences.append(f" {len(found)} further {'are' if len(found) > 1 else 'is'} {what}: {_named(found)}.")
    return "".join(sentences)


def _named(findings: Sequence[MatchedFinding]) -> str:
    return ", ".join(
        f"{METRICS[one.effect.metric]} of {effect_name(one.effect)}"
        + (f" at N = {one.effect.training_size}" if one.effect.training_size else "")
        + in_stratum(one.effect.stratum)
        for one in findings
    )


def estimate(found: Estimate | None, digits: int = 2) -> str:
    """`0.71 [0.65, 0.76]`; without brackets where there is no interval."""
    if found is None:
        return NONE
    if found.low is None or found.high is None:
        return fixed(found.mean, digits)
    return f"{fixed(found.mean, digits)} [{fixed(found.low, digits)}, {fixed(found.high, digits)}]"


def thresholds(found: Sequence[float]) -> str:
    """`0.7`, `0.5 to 0.9` over the folds."""
    if not found:
        return NONE
    return f"{found[0]:.3g}" if len(found) == 1 else f"{found[0]:.3g} to {found[-1]:.3g}"


# Figures

FROC_X, FROC_Y = "False positives a study (mean)", "Sensitivity (mean)"
AT_SIZE = "{} training studies"
ANY_SIZE = "Not trained on the target"
OWN_POINT = "own threshold"
RELIABILITY_X = "Predicted probability"
VOXELS, LESIONS = "Voxels", "Predicted lesions, by highest probability"
VOXEL_Y, LESION_Y = "Share in the reference mask", "Share of true positives"
PERFECT = "perfect calibration"


def froc(table: str) -> Caption:
    """Of the FROC curves of one table."""
    return Caption(
        f"FROC{table}.",
        "Mean sensitivity against mean number of false positives a study, at 21 thresholds from 0.01 to 0.9999; every "
        "study counts equally. Large marker: the threshold at which the predictions were scored. Vertical line: one "
        "false positive a study; fewer than 0.1 are drawn at 0.1. A marker without a curve: a rater, who has one "
        "threshold. Ours, not the paper's.",
        "FROC curves by model and training size; froc.csv has the numbers",
    )


def calibration(table: str) -> Caption:
    """Of the reliability diagrams of one table."""
    return Caption(
        f"Calibration{table}, largest training size.",
        "How often a predicted probability comes true, pooled over all test studies: of voxels with a probability of "
        "at least 0.01, and of predicted lesions by their highest probability. Marker area: number of voxels or "
        "lesions, as its logarithm. On the diagonal, probabilities are right. Ours, not the paper's.",
        "Reliability diagrams of voxels and lesions; calibration.csv has the numbers",
    )
