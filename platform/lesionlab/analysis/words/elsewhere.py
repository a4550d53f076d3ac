"""What is said of models from elsewhere."""

from __future__ import annotations

from lesionlab.analysis.statistics.elsewhere import TrainedElsewhere

TITLE = "Models from elsewhere versus every other model"
COLUMNS = ("Stratum", "Metric", "Comparison", "N", "n", "Difference", "p", "p × m", "Significant", "Note")


def family_note(m: str) -> str:
    """Of the table of comparisons."""
    return (
        "Difference: the first model's mean minus the second one's, over the studies with a value under both; "
        f"two-tailed paired t tests; one Bonferroni family for each metric and stratum (m = {m})."
    )


def training(model: TrainedElsewhere) -> str:
    """`What nnU-Net was trained on is not declared: that it has seen the test studies (leakage) cannot be excluded.`"""
    if model.declared is None:
        return (
            f"What {model.name} was trained on is not declared: that it has seen studies or patients of this table "
            "(leakage) cannot be excluded, and may explain any advantage that it has."
        )
    return f"{model.name} was trained on: {model.declared.rstrip('.')} (declared by the user, not checked)."
