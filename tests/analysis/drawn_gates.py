"""Rows of a champion and a candidate on one benchmark, drawn from known differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lesionlab.analysis.statistics.external import TableRow
from storage_schemas.rules import Rule

SITES = ("north", "south", "west")


def rule(*conditions: dict[str, object], **changes: object) -> Rule:
    fields: dict[str, object] = {"model": "ms", "benchmark": "b" * 16, "conditions": conditions}
    return Rule.named(**fields | changes)


def rows(sensitivity: Sequence[float | None] | NDArray[np.float64], ppv: object = None) -> list[TableRow]:
    """One study of each patient, at three sites in turn; PPV as sensitivity unless given."""
    other = sensitivity if ppv is None else ppv
    return [
        TableRow(
            study=f"sub-{number:03d}",
            patient=f"p{number}",
            site=SITES[number % 3],
            fold=1,
            position=number + 1,
            arm="default",
            sensitivity=value,
            ppv=other[number],  # type: ignore[index]
        )
        for number, value in enumerate(sensitivity)
    ]
