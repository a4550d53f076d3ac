"""Check the order of two visits' labels against the acquisition times that the dataset states.

Times are used only for this comparison: they are neither stored nor reported. Each source is compared only with itself,
because different files may have their dates shifted by different amounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.layouts.bids_tree import BidsTree, Visit
from lesionlab.preprocessing.layouts.tabular import read_table
from lesionlab.preprocessing.paths import fault_of_file

_DATES = ("AcquisitionDateTime", "AcquisitionDate", "SeriesDate", "StudyDate", "ContentDate")
"""Sidecar keys with a date; `AcquisitionTime` is a time of day and says nothing about the order of visits."""


@dataclass(frozen=True)
class DatedScan:
    """One image and what may say when it was acquired."""

    visit: Visit
    image: Path
    sidecar: Mapping[str, Any]


def contradicting_sources(tree: BidsTree, first: DatedScan, second: DatedScan) -> list[str]:
    """Sources that say that `first` was acquired after `second`; missing or unreadable times do not count."""
    earlier, later = _times(tree, first), _times(tree, second)
    return [source for source in earlier if source in later and earlier[source] > later[source]]


def _times(tree: BidsTree, scan: DatedScan) -> dict[str, datetime]:
    """Acquisition time of an image by source."""
    visit = scan.visit
    values: dict[str, object] = {f"the sidecar's {key}": scan.sidecar.get(key) for key in _DATES}
    values["scans.tsv"] = _cell(tree, visit.folder, f"{visit.name}_scans.tsv", ("filename", f"anat/{scan.image.name}"))
    patient = Path(visit.subject)
    values["sessions.tsv"] = _cell(tree, patient, f"{visit.subject}_sessions.tsv", ("session_id", visit.session or ""))
    return {source: time for source, value in values.items() if (time := _time(value)) is not None}


def _cell(tree: BidsTree, folder: Path, name: str, row: tuple[str, str]) -> str | None:
    """The `acq_time` of the row whose column has this value."""
    if name not in tree.names(folder) or fault_of_file(tree.root / folder / name, tree.resolved):
        return None
    try:
        records = read_table(tree.root / folder / name).records()
    except DatasetError:
        return None
    return next((record.get("acq_time") for record in records if record.get(row[0]) == row[1]), None)


def _time(value: object) -> datetime | None:
    try:
        # Time zones do not matter between visits, and a time with a zone cannot be compared with one without.
        return datetime.fromisoformat(str(value)).replace(tzinfo=None)
    except ValueError:
        return None
