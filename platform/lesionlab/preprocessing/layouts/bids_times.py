"""Two visits of a patient in; where the dataset says that they were not in the order of their labels, out.

Times serve for this comparison alone: they are neither kept nor told. Each source is compared with itself only, for
dates may have been shifted by another amount in one file than in the next.
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
"""Sidecar keys that hold a date; `AcquisitionTime` is a time of day and says nothing of the order of visits."""


@dataclass(frozen=True)
class DatedScan:
    """One image and all that may say when it was taken."""

    visit: Visit
    image: Path
    sidecar: Mapping[str, Any]


def sources_against(tree: BidsTree, first: DatedScan, second: DatedScan) -> list[str]:
    """The sources that say that `first` was taken after `second`; those that say nothing, or not readably, are none."""
    earlier, later = _times(tree, first), _times(tree, second)
    return [source for source in earlier if source in later and earlier[source] > later[source]]


def _times(tree: BidsTree, scan: DatedScan) -> dict[str, datetime]:
    """When an image was taken, by the source that says so."""
    visit = scan.visit
    told: dict[str, object] = {f"the sidecar's {key}": scan.sidecar.get(key) for key in _DATES}
    told["scans.tsv"] = _cell(tree, visit.folder, f"{visit.name}_scans.tsv", ("filename", f"anat/{scan.image.name}"))
    patient = Path(visit.subject)
    told["sessions.tsv"] = _cell(tree, patient, f"{visit.subject}_sessions.tsv", ("session_id", visit.session or ""))
    return {source: time for source, value in told.items() if (time := _time(value)) is not None}


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
        # Hours of time zone decide nothing between visits, and a time with a zone does not compare with one without.
        return datetime.fromisoformat(str(value)).replace(tzinfo=None)
    except ValueError:
        return None
