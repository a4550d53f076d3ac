"""The columns of a result row that the statistics need; StudyRow and the rows of external tables have them.

No lesion counts, no volumes.
"""

from __future__ import annotations

from typing import Protocol

from storage_schemas.axes import Arm, Narrower
from storage_schemas.metrics import Metric


class TestedRow(Protocol):
    """One study tested under one model, without its metrics; names and units as in StudyRow."""

    @property
    def study(self) -> str: ...

    @property
    def patient(self) -> str: ...

    @property
    def site(self) -> str: ...

    @property
    def position(self) -> int: ...

    @property
    def arm(self) -> Arm: ...

    @property
    def source(self) -> str | None: ...

    @property
    def training_size(self) -> int: ...

    @property
    def fold(self) -> int: ...

    @property
    def seed(self) -> int: ...

    def only(self, kind: type[Narrower]) -> Narrower:
        """Its axes, all or some of them."""
        ...


class Row(TestedRow, Protocol):
    """One study tested under one model. An undefined metric is None."""

    def measured(self, metric: Metric) -> float | None:
        """Its value of a metric."""
        ...
