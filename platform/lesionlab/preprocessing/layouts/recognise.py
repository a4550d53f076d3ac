"""A path in; the studies of the dataset there, whatever its layout, out.

A layout is three things: what is looked for, whether it is there, and how the studies are found. A new one is a module
with these three and one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.files import Dataset
from lesionlab.preprocessing.layouts import bids, isbi, msseg2, table
from storage_schemas.base import Slug
from storage_schemas.tasks import Task


@dataclass(frozen=True)
class Layout:
    """One way in which datasets come."""

    name: str
    looked_for: str
    fits: Callable[[Path], bool]
    find: Callable[[Path, Task, Slug | None], Dataset]


LAYOUTS = (
    Layout("BIDS", bids.LOOKED_FOR, bids.is_bids, bids.find_studies),
    Layout("ISBI 2015", isbi.LOOKED_FOR, isbi.is_isbi2015, isbi.find_isbi2015),
    Layout("MSSEG-2", msseg2.LOOKED_FOR, msseg2.is_msseg2, msseg2.find_msseg2),
    Layout("table", table.LOOKED_FOR, table.is_table, table.find_in_table),
)


def open_dataset(path: Path, task: Task, site: Slug | None = None) -> Dataset:
    """The studies of a task: the top folder of a dataset, or a table of paths, in.

    `site` is that of studies whose dataset names none. Raises DatasetError where no layout fits, or the one that fits
    holds no data for this task.
    """
    if not path.exists():
        raise DatasetError(f"{path}: there is no such folder or file; give the top folder of a dataset")
    layout = next((layout for layout in LAYOUTS if layout.fits(path)), None)
    if layout is None:
        looked_for = "; ".join(f"{layout.name}: {layout.looked_for}" for layout in LAYOUTS)
        raise DatasetError(
            f"{path}: this is no dataset that is known here; looked for {looked_for}; give its top folder"
        )
    return layout.find(path, task, site)
