"""What is said of operating points and calibration."""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.statistics.matched import Fate, MatchedFinding
from lesionlab.analysis.statistics.operating import Estimate
from lesionlab.analysis.words.captions import Caption
from lesionlab.analysis.words.models import METRICS, effect_name, in_stratum
from lesionlab.analysis.words.numbers import NONE, fixed

FATES: dict[Fate, str] = {
    Fate.SURVIVES: "survives",
    Fate.LOST: "does not survive",
    Fate.UNREACHABLE: "does not survive: the other metric cannot be matched at any threshold",
    Fate.NOT_EXAMINED: "cannot be examined",
    Fate.EMERGES: "no finding, but significant when matched",
    Fate.NO_FINDING: "no finding",
}
CHOICE = (
    "A threshold is chosen for each network on its own training studies, by predictions of networks of the same model "
    "that were not trained on them (those of the other folds); a test study never takes part. Between two of the 21 "
    "thresholds values are interpolated linearly. What remains: those networks may have been trained on the test "
    "study, which moves the threshold through their weights only."
)
OPERATING = "Operating points of every model"
OPERATING_COLUMNS = ("Stratum", "Model", "Average precision [95 % CI]")
AT_ONE = "At 1 false positive a study"
AT_ONE_COLUMNS = ("threshold", "sensitivity [95 % CI]", "false positives a study")
CALIBRATION_COLUMN = "Calibration error [95 % CI]"
OPERATING_NOTES = (
    CHOICE,
    "Average precision: area under lesionwise PPV over sensitivity, pooled over the lesions of a fold, stepwise over "
    "21 thresholds from 0.01 to 0.9999, mean over folds. CIs: Student's t over folds, over patients where folds are "
    "fewer than three (conditional on the trained networks), none for average precision and calibration error there.",
    "Calibration error: expected calibration error of the voxels with a probability of at least 0.01.",
)
MATCHED = "Paper-style comparisons at a matched operating point"
MATCHED_COLUMNS = ("Stratum", "Metric", "Comparison", "N")
OWN, NEW = "At the models' own thresholds", "Matched"
OWN_COLUMNS = ("difference", "p")
NEW_COLUMNS = ("on", "threshold", "n", "difference", "p", "p × m", "difference on the matched metric")
OUTCOME = "Outcome"
MATCHED_NOTES = (
    "A finding is a significant difference in sensitivity or PPV. The model that is higher is moved to the threshold "
    "at which it is as good as its rival on the other metric: the lowest such threshold for sensitivity, the "
    "highest for PPV; the rival keeps its own. Same test, same Bonferroni m. The difference on the matched metric is "
    "that of the test studies.",
    CHOICE,
)


def survival(compared: Sequence[MatchedFinding]) -> str:
    """`7 of 9 paper-style findings survive at a matched operating point; 2 do not: …`"""
    findings = [one for one in compared if one.effect.significant]
    if not findings:
        return (
            "There is no paper-style finding (significant difference in sensitivity or PPV) to examine at a matched "
            "operating point."
        )
    kept = sum(one.fate is Fate.SURVIVES for one in findings)
    every = f"{len(findings)} paper-style finding{'s' * (len(findings) > 1)}"
    lost = [one for one in findings if one.fate in (Fate.LOST, Fate.UNREACHABLE)]
    unknown = [one for one in findings if one.fate is Fate.NOT_EXAMINED]
    parts = [f"{kept} of {every} (significant differences in sensitivity or PPV) survive at a matched operating point"]
    if lost:
        parts.append(f"{len(lost)} may be an effect of the threshold: {_named(lost)}")
    if unknown:
        parts.append(
            f"{len(unknown)} cannot be examined, because there are no probabilities or no training folds on which both "
            f"models were tested: {_named(unknown)}"
        )
    emerging = [one for one in compared if one.fate is Fate.EMERGES]
    if emerging:
        parts.append(f"{len(emerging)} further {'are' if len(emerging) > 1 else 'is'} significant only there")
    return "; ".join(parts) + "."


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
        "false positive a study; fewer than 0.1 are drawn at 0.1. A second rater has one threshold and so one point. "
        "Ours, not the paper's.",
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
