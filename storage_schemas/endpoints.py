"""Define the primary endpoint of an experiment: the one metric and the one comparison that its verdict rests on."""

from __future__ import annotations

from storage_schemas.axes import ModelAxes
from storage_schemas.base import Document
from storage_schemas.metrics import FractionMetric

DEFAULT_METRIC: FractionMetric = "ppv"
"""Of an experiment that declares neither an endpoint nor a goal: the claim of Wahlig et al. 2023 is about PPV."""


class Endpoint(Document):
    """One metric and one arm comparison, over all training sizes. It plays no part in any run's result."""

    metric: FractionMetric
    fine_tuned: ModelAxes | None
    """How the fine-tuned networks are trained, with training size 0; None without that arm."""
    de_novo: ModelAxes | None
