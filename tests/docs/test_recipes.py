"""The worked examples of the manual's recipes work: their code and their values are taken from the page and used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.integrity import read_scans
from storage_schemas.tasks import TASKS, Task
from tests.docs.test_pages import DOCS, blocks
from tests.preprocessing.drawn import draw_dataset


def module_of(recipe: str, number: int = 0) -> ModuleType:
    """A page's block as the module that it becomes."""
    module = ModuleType(f"example_{recipe}")
    sys.modules[module.__name__] = module
    code = "from __future__ import annotations\n" + blocks(DOCS / "recipes" / f"{recipe}.md", "python")[number]
    exec(compile(code, f"{recipe}.md", "exec"), vars(module))
    return module


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("example_")]:
        del sys.modules[name]


def test_the_task_is_a_valid_one_that_reads_two_contrasts() -> None:
    (written,) = blocks(DOCS / "recipes" / "task.md", "yaml")
    task = Task.model_validate(yaml.safe_load(written))
    assert task.channel_names == ("flair", "t2")
    assert [scan.suffix for scan in task.inputs] == ["FLAIR", "T2w"]


def drawn_folder(folder: Path) -> Path:
    """A folder per patient, as the recipe's hospital has them; the second patient lacks a mask."""
    drawn = draw_dataset(folder / "bids", "sub-01")
    (image,) = drawn.glob("sub-01/**/*_FLAIR.nii.gz")
    (mask,) = drawn.glob("derivatives/manual/**/*_mask.nii.gz")
    for patient, files in (("P01", {"flair": image, "lesions": mask}), ("P02", {"flair": image})):
        (folder / "hospital" / patient).mkdir(parents=True)
        for stem, source in files.items():
            (folder / "hospital" / patient / f"{stem}.nii.gz").write_bytes(source.read_bytes())
    return folder / "hospital"


def test_the_layout_finds_studies_and_tells_what_is_missing(tmp_path: Path) -> None:
    layout: Any = module_of("layout")
    root = drawn_folder(tmp_path)
    assert layout.is_hospital(root)
    assert not layout.is_hospital(tmp_path / "bids")
    found = layout.find_hospital(root, TASKS["flair-single"])
    assert [files.study for files in found.studies] == ["sub-P01"]
    assert read_scans(found.studies[0], TASKS["flair-single"]).reference.voxels.any()
    assert {exclusion.study: exclusion.faults for exclusion in found.faulty} == {
        "sub-P02": ("mask: wanted P02/lesions.nii.gz, found no such file; add it or exclude the study",)
    }
    with pytest.raises(DatasetError, match="choose flair-single"):
        layout.find_hospital(root, TASKS["flair-new"])


def test_the_store_opens_a_container_of_the_account_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "ours")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "bm8ga2V5")
    store = module_of("store").ContainerStore("az://scans/ms", "scans", "ms")
    assert store.uri == "az://scans/ms"
    assert store.objects.prefix == "ms"
