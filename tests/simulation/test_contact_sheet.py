"""The contact sheet shows all its datasets in one picture."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from docs.contact_sheet import contact_sheet
from lesionlab.errors import DatasetError


def test_the_sheet_grows_with_the_number_of_datasets(five_diseases: Path, follow_up: Path, tmp_path: Path) -> None:
    contact_sheet(five_diseases, [], tmp_path / "few.png")
    contact_sheet(five_diseases, [follow_up], tmp_path / "more.png")
    few, more = (Image.open(tmp_path / name) for name in ("few.png", "more.png"))
    assert few.width == more.width
    assert few.height < more.height


def test_real_scans_appear_next_to_simulated_ones(five_diseases: Path, real_data: Path, tmp_path: Path) -> None:
    real = [real_data / name for name in ("ms-crosssectional", "ms-longitudinal", "glioma-brats2021")]
    contact_sheet(five_diseases, real, tmp_path / "sheet.png")
    assert 100_000 < (tmp_path / "sheet.png").stat().st_size < 1_200_000


def test_a_dataset_without_masks_is_reported_by_name(five_diseases: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(five_diseases, bare, ignore=shutil.ignore_patterns("derivatives"))
    with pytest.raises(DatasetError, match=r"bare.*lesion mask"):
        contact_sheet(five_diseases, [bare], tmp_path / "sheet.png")
