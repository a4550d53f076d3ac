"""Recognise the layout of a dataset and find its studies.

A layout has three parts: a description of what it looks for, a test whether a path fits, and a function that finds the
studies. A new layout is a module with these three and one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.files import Dataset
from lesionlab.preprocessing.layouts import bids, brats, isbi, msseg2, table
from storage_schemas.base import Slug
from storage_schemas.tasks import Task


@dataclass(frozen=True)
class Layout:
    """One supported layout of datasets."""

    name: str
    looked_for: str
    fits: Callable[[Path], bool]
    find: Callable[[Path, Task, Slug | None], Dataset]


LAYOUTS = (
    Layout("BIDS", bids.LOOKED_FOR, bids.is_bids, bids.find_studies),
    Layout("ISBI 2015", isbi.LOOKED_FOR, isbi.is_isbi2015, isbi.find_isbi2015),
    Layout("MSSEG-2", msseg2.LOOKED_FOR, msseg2.is_msseg2, msseg2.find_msseg2),
    Layout("BraTS", brats.LOOKED_FOR, brats.is_brats, brats.find_brats),
    Layout("table", table.LOOKED_FOR, table.is_table, table.find_in_table),
)


def open_dataset(
    path: Path, task: Task, site: Slug | None = None, *, absolute_paths: bool = False, every_fault: bool = False
) -> Dataset:
    """Find the studies of a task in the top folder of a dataset or in a table of paths.

    `site` is the site of studies whose dataset names none. `absolute_paths`: a table may name files anywhere. Raises
    DatasetError if no layout fits, if the dataset has no data for this task or, unless `every_fault` wants its studies
    all the same, if the dataset as a whole cannot be used.
    """
    if not path.exists():
        raise DatasetError(f"{path}: there is no such folder or file; give the top folder of a dataset")
    layout = next((layout for layout in LAYOUTS if layout.fits(path)), None)
    if layout is None:
        looked_for = "; ".join(f"{layout.name}: {layout.looked_for}" for layout in LAYOUTS)
        raise DatasetError(
            f"{path}: wanted a dataset in a known layout ({looked_for}), found none; give the dataset's top folder"
        )
    if absolute_paths and layout.find is table.find_in_table:
        return table.find_in_table(path, task, site, absolute_paths=True)
    if every_fault and layout.find is bids.find_studies:
        return bids.find_studies(path, task, site, every_fault=True)
    return layout.find(path, task, site)
