"""Models come from elsewhere and leave for elsewhere on the command line; what nobody can check is said everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch

from lesionlab.analysis.evidence import read_evidence
from lesionlab.errors import SpecError
from lesionlab.experiments.registry import find_model, source_model
from lesionlab.experiments.seen import seen_in_training
from lesionlab.experiments.store_planning import plan_experiment
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.imaging.volume import write_volume
from lesionlab.model.unet import build_unet
from lesionlab.store.objects import open_store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.models import Architecture, TensorTransfer
from tests.experiments.drawn import cohort_of
from tests.experiments.finished import SPEC
from tests.imaging.heads import THREE_MM, head
from tests.jobs.conftest import Lesionlab
from tests.parts import contribute

CARD = """
name: outside
task: flair-single
spacing_mm: 3.0
architecture: {depth: 1, base_channels: 2}
patch_voxels: 16
inference: {step_voxels: 16}
cohort: ms
training_studies: 40
declared:
  origin: University of Elsewhere
"""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights and card of a network that another program trained."""
    network = build_unet(Architecture(depth=1, base_channels=2), channels=1, seed=9)
    safetensors.torch.save_file(dict(network.state_dict()), tmp_path / "unet.safetensors")
    (tmp_path / "card.yaml").write_text(CARD)
    return tmp_path / "unet.safetensors"


@pytest.fixture
def imported(lesionlab: Lesionlab, weights: Path) -> str:
    result = lesionlab("import", weights, "--card", weights.with_name("card.yaml"))
    assert result.exit_code == 0, result.output
    assert "was not checked (--probe)" in result.output
    return result.output.split()[1].rstrip(":")


def test_an_imported_model_is_a_candidate_with_a_report_of_every_tensor(imported: str, file_store_uri: str) -> None:
    store = open_store(file_store_uri)
    card = find_model(store, imported)
    report = read_rows(store, [keys.MODEL_TRANSFER.build(name=card.name, version=card.version)], TensorTransfer)
    assert {row.origin for row in report} == {"source"}
    assert not store.exists(keys.CHAMPION.build(name="outside"))
    assert source_model(store, card).imported == (card,)


def test_importing_again_changes_nothing_and_other_weights_are_another_version(
    lesionlab: Lesionlab, imported: str, weights: Path, file_store_uri: str
) -> None:
    before = open_store(file_store_uri).list("")
    assert imported in lesionlab("import", weights, "--card", weights.with_name("card.yaml")).output
    assert open_store(file_store_uri).list("") == before
    other = build_unet(Architecture(depth=1, base_channels=2), channels=1, seed=10)
    safetensors.torch.save_file(dict(other.state_dict()), weights)
    again = lesionlab("import", weights, "--card", weights.with_name("card.yaml")).output
    assert imported not in again


def test_models_and_lineage_say_what_is_declared_and_unknown(lesionlab: Lesionlab, imported: str) -> None:
    (line,) = json.loads(lesionlab("models", "--json").stdout)
    assert (line["imported"], line["started_from"]) == (True, "unknown")
    assert "40 studies of ms, as declared (imported)" in lesionlab("models").output
    for command in (("lineage", imported), ("import", "--help")):
        assert lesionlab(*command).exit_code == 0
    told = " ".join(lesionlab("lineage", imported).output.split())
    assert "imported (University of Elsewhere): trained on 40 studies of ms, started from unknown" in told
    assert "leakage cannot be excluded" in told


@pytest.mark.parametrize(
    ("line", "other", "named"),
    [
        ("inference: {step_voxels: 16}", "", "step_voxels must not exceed the patch of the card (16)"),
        ("patch_voxels: 16", "patch_voxels: 17", "patch_voxels must be a multiple of 2"),
    ],
    ids=["the default step is longer than the patch", "the patch does not fit the depth"],
)
def test_a_card_with_which_no_scan_could_be_predicted_is_refused(
    lesionlab: Lesionlab, weights: Path, file_store_uri: str, line: str, other: str, named: str
) -> None:
    card = weights.with_name("card.yaml")
    card.write_text(CARD.replace(line, other))
    result = lesionlab("import", weights, "--card", card)
    assert (result.exit_code, named in " ".join(result.output.split())) == (1, True), result.output
    assert open_store(file_store_uri).list("models/") == []


def test_faults_of_card_and_weights_store_nothing(lesionlab: Lesionlab, weights: Path, file_store_uri: str) -> None:
    card = weights.with_name("card.yaml")
    card.write_text(CARD.replace("base_channels: 2", "base_channels: 3"))
    result = lesionlab("import", weights, "--card", card)
    assert (result.exit_code, "nothing was imported" in result.output) == (1, True)
    card.write_text("name: Outside\ntask: nothing\n")
    result = lesionlab("import", weights, "--card", card)
    assert result.exit_code == 1
    for place in ("name", "task", "patch_voxels", "declared"):
        assert place in result.output
    assert open_store(file_store_uri).list("models/") == []


def test_an_experiment_that_starts_from_it_says_so_and_never_tests_its_declared_patients(
    lesionlab: Lesionlab, imported: str, weights: Path, file_store_uri: str
) -> None:
    store = open_store(file_store_uri)
    manifest = contribute(store, cohort_of(6, spacing_mm=3.0))
    version = imported.partition("@")[2]
    source = {"model": "outside", "version": version}
    plan = plan_experiment(ExperimentSpec.model_validate(SPEC | {"sources": [source]}), store)
    store_plan(store, plan)
    assert [card.full_name for card in read_evidence(store, plan).imported] == [imported]
    card = weights.with_name("card.yaml")
    card.write_text(CARD + "  patients: [p3]\n  ancestry: [nnU-Net of 2024]\n")
    leaked = find_model(store, lesionlab("import", weights, "--card", card).output.split()[1].rstrip(":"))
    assert leaked.started_from == "nnU-Net of 2024, as declared"
    found = seen_in_training(manifest, source_model(store, leaked))
    assert (list(found.reasons), found.whole) == (["sub-0003"], False)
    again = ExperimentSpec.model_validate(SPEC | {"sources": [source | {"version": leaked.version}]})
    with pytest.raises(SpecError, match=r"sub-0003: same patient as declared for the imported outside@"):
        plan_experiment(again, store)


def test_predict_says_what_is_unknown(lesionlab: Lesionlab, imported: str, tmp_path: Path) -> None:
    write_volume(tmp_path / "FLAIR.nii.gz", head(THREE_MM))
    result = lesionlab("predict", tmp_path / "FLAIR.nii.gz", "--model", imported, "--out", tmp_path / "mask.nii.gz")
    assert "leakage cannot be excluded" in " ".join(result.output.split()), result.output


def test_a_model_leaves_as_a_bundle_and_comes_back_as_the_same_weights(
    lesionlab: Lesionlab, imported: str, weights: Path, tmp_path: Path, file_store_uri: str
) -> None:
    out = tmp_path / "bundle"
    result = lesionlab("export", imported, "--to", "monai", "--out", out)
    assert result.exit_code == 0, result.output
    assert "probabilities were compared" in result.output
    again = lesionlab("export", imported, "--to", "monai", "--out", out)
    assert (again.exit_code, "already exists" in again.output) == (1, True)
    card = weights.with_name("card.yaml")
    card.write_text(CARD.replace("outside", "back"))
    back = lesionlab("import", out, "--card", card)
    assert back.exit_code == 0, back.output
    store = open_store(file_store_uri)
    sums = {find_model(store, name).weights_sha256 for name in ("outside", "back")}
    assert len(sums) == 1
    assert list(tmp_path.glob(".*.draft")) == []


def test_an_unknown_model_is_not_exported(lesionlab: Lesionlab, tmp_path: Path) -> None:
    result = lesionlab("export", "nobody", "--to", "onnx", "--out", tmp_path / "m.onnx")
    assert (result.exit_code, "is not registered" in result.output) == (1, True)
