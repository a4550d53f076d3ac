"""`lesionlab models` lists every registered version, for people on any screen and for programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from lesionlab.store.documents import create_document
from lesionlab.store.objects import open_store
from storage_schemas import keys
from storage_schemas.models import Architecture, InferenceConfig, ModelCard, ModelName
from storage_schemas.tasks import TASKS
from tests.jobs.conftest import Lesionlab

NAME, VERSION, PARENT = "real-glioma-of-three-hospitals-and-a-long-name", "0123456789abcdef", "f" * 16


@pytest.fixture
def registered(file_store_uri: str) -> str:
    """The URI of a store with one model, fine-tuned from another."""
    card = ModelCard(
        name=NAME,
        version=VERSION,
        task=TASKS["flair-single"],
        architecture=Architecture(depth=3),
        channels=("flair",),
        spacing_mm=1.0,
        patch_voxels=16,
        inference=InferenceConfig(),
        weights_sha256="0" * 64,
        parent=ModelName(name="parent", version=PARENT),
        cohort="gliomas",
        training_studies=7,
    )
    create_document(open_store(file_store_uri), keys.MODEL_CARD.build(name=NAME, version=VERSION), card)
    return file_store_uri


def test_a_pipe_gets_every_model_in_one_whole_line(
    lesionlab: Lesionlab, registered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")
    (line,) = [line for line in lesionlab("models").output.splitlines() if "gliomas" in line]
    for text in (NAME, VERSION, "flair-single", "7 studies of gliomas", f"parent@{PARENT}"):
        assert text in line


@pytest.mark.parametrize("columns", ["80", "20", "1"])
def test_on_a_narrow_screen_a_long_name_is_folded_and_not_cut(
    lesionlab: Lesionlab, registered: str, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    output = lesionlab("models").output
    _, *lines = output[output.index("┏") :].splitlines()
    assert max(map(len, lines)) <= 80
    assert "".join(line.split("│")[1].strip() for line in lines if line.startswith("│")) == NAME


def test_csv_and_json_have_every_column(lesionlab: Lesionlab, registered: str, tmp_path: Path) -> None:
    (line,) = json.loads(lesionlab("models", "--json", "--csv", tmp_path / "models.csv").stdout)
    assert line == {
        "model": NAME,
        "version": VERSION,
        "champion": False,
        "task": "flair-single",
        "spacing_mm": 1.0,
        "depth": 3,
        "cohort": "gliomas",
        "training_studies": 7,
        "networks": 1,
        "parent": "parent",
        "parent_version": PARENT,
        "decision": None,
        "decided_at": None,
        "withdrawn": "",
        "imported": False,
        "started_from": f"parent@{PARENT}",
    }
    with (tmp_path / "models.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {name: "" if value is None else str(value) for name, value in line.items()}
        ]


def test_an_empty_store_is_named_with_the_command_that_registers_models(
    lesionlab: Lesionlab, file_store_uri: str
) -> None:
    assert lesionlab("models").output.startswith(f"no models in {file_store_uri} yet; ")
