"""Two small experiments: all arms at two depths, and one that starts from a model of the other."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from jobs.shared.cohorts import dataset_of, open_for, preprocess_dataset
from jobs.shared.stages import pretrain_sources, sweep_experiment
from lesionlab.errors import InputError, SpecError
from lesionlab.evaluation.lesionwise import score
from lesionlab.evaluation.study import read_prediction
from lesionlab.experiments.ledger import attempt_of
from lesionlab.experiments.registry import find_model, models
from lesionlab.experiments.source_models import finished_run
from lesionlab.experiments.store_planning import resolve_plan
from lesionlab.store.arrays import read_array
from lesionlab.store.documents import read_card, read_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.cohorts import CohortPlan
from storage_schemas.definitions import MetricDefinition
from storage_schemas.experiments import ExperimentSpec, Plan, TrainedIn
from storage_schemas.models import TensorTransfer
from storage_schemas.results import StudyRow
from storage_schemas.splits import Split
from storage_schemas.volumes import ATTRIBUTE, StudyVolumeCard

TRAINING = {"patch_voxels": 16, "patches_per_study": 2, "augmentations": 1, "epochs": 1, "batch_size": 2}


def spec(**changes: Any) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "name": "arms",
            "title": "all arms at two depths",
            "task": "flair-single",
            "spacing_mm": 4.0,
            "cohorts": {"arms-ms": {}, "arms-glioma": {}, "others": {}},
            "target": {"cohort": "arms-ms", "subsets": 2, "subset_size": 2, "second_rater_first": True},
            "sources": [{"model": "arms-glioma", "cohort": "arms-glioma"}],
            "default_tested_on": "all-subsets",
            "rater_tested_on": "first-subset",
            "training_sizes": [2],
            "depths": [1, 2],
            "learning_rates": {"fine-tuned": [1e-4]},
            "architecture": {"depth": 1, "base_channels": 2},
            "training": TRAINING,
            "inference": {"step_voxels": 16},
        }
        | changes
    )


def continued(**changes: Any) -> ExperimentSpec:
    """An experiment that starts from a model of the first one and leaves one patient out."""
    taken = {"experiment": "arms", "arm": "fine-tuned", "training_size": 2, "fold": 1, "depth": 1}
    return spec(
        name="going-on",
        target={"cohort": "others", "design": "leave-one-patient-out", "patients": 2},
        sources=[{"model": "arms-ft-2", "trained_in": taken}],
        training_sizes=[1],
        depths=[],
        rater_tested_on="nothing",
        de_novo=False,
    ).model_copy(update=changes)


def second_mask_of(mask_ijk: np.ndarray) -> np.ndarray:
    """A second rater's mask: nothing in one half of the head."""
    mask_ijk[: mask_ijk.shape[0] // 2] = 0
    return mask_ijk


def add_second_masks(bids: Path, studies: int) -> None:
    """Give the first studies of the dataset masks of a second rater."""
    manual, second = bids / "derivatives" / "manual", bids / "derivatives" / "grader2"
    shutil.copytree(manual, second)
    for patient in sorted(second.glob("sub-*"))[studies:]:
        shutil.rmtree(patient)
    for path in second.rglob("*_mask.nii.gz"):
        image = nib.load(path)
        nib.save(nib.Nifti1Image(second_mask_of(np.asanyarray(image.dataobj).copy()), image.affine, image.header), path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three simulated cohorts, preprocessed."""
    folder = tmp_path_factory.mktemp("arms")
    store = open_store((folder / "store").as_uri())
    plans = {
        "arms-ms": CohortPlan(pathology="ms", studies=4, seed=1, spacing_mm=4.0),
        "arms-glioma": CohortPlan(pathology="glioma", studies=2, seed=2, spacing_mm=4.0),
        "others": CohortPlan(pathology="ms", studies=2, seed=3, spacing_mm=4.0),
    }
    for name, plan in plans.items():
        bids = dataset_of(name, plan, folder)
        if name == "arms-ms":
            add_second_masks(bids, studies=2)
        preprocess_dataset(store, *open_for(spec(), name, bids), name, exclude_faulty=False, plain=True)
    return store


@pytest.fixture(scope="module")
def plan(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan of the first experiment, pretrained and swept."""
    cache = tmp_path_factory.mktemp("cache")
    pretrain_sources(spec(), store, cache, plain=True)
    return sweep_experiment(spec(), store, cache, plain=True)


def masks_of(store: Store, key: str) -> dict[str, Any]:
    card = read_card(store, key, ATTRIBUTE, StudyVolumeCard)
    arrays = {name: read_array(store, key, name) for name in ("native_label", "second_label")}
    return arrays | {"affine": card.native_grid.affine}


def rows_of(store: Store, plan: Plan) -> list[StudyRow]:
    parts = [keys.STUDY_ROWS.build(experiment=plan.spec.name, run_id=run.run_id) for run in plan.runs]
    return read_rows(store, parts, StudyRow)


def test_every_arm_has_its_rows_at_each_depth(store: Store, plan: Plan) -> None:
    found = Counter((row.arm, row.depth, row.learning_rate, row.trained_on) for row in rows_of(store, plan))
    assert found == {
        ("rater", 1, None, 0): 2,
        **{("default", depth, None, 0): 4 for depth in (1, 2)},
        **{("de-novo", depth, None, 2): 4 for depth in (1, 2)},
        **{("fine-tuned", depth, 1e-4, 2): 4 for depth in (1, 2)},
    }


def test_each_depth_has_its_own_default_model_and_none_is_put_into_use(store: Store, plan: Plan) -> None:
    made = [card for card in models(store) if card.name == "arms-glioma"]
    assert sorted(card.architecture.depth for card in made) == [1, 2]
    with pytest.raises(InputError, match="no version was promoted yet, and there are 2"):
        find_model(store, "arms-glioma")
    for run in plan.runs:
        if run.parent:
            parent = next(card for card in made if card.version == run.parent.model.version)
            assert parent.architecture == run.architecture


def test_the_second_raters_masks_are_scored_like_a_models(store: Store, plan: Plan) -> None:
    (run,) = (run for run in plan.runs if run.cell and run.cell.arm == "rater")
    rows = {row.study: row for row in rows_of(store, plan) if row.arm == "rater"}
    for entry in run.test:
        volume = entry.volume_key
        group = masks_of(store, volume)
        expected = score(
            group["native_label"], second_mask_of(group["native_label"].copy()), group["affine"], MetricDefinition()
        )
        row = rows[entry.study]
        assert (row.true_positives, row.false_positives, row.predicted_lesions) == (
            expected.true_positives,
            0,
            len(expected.prediction),
        )
        assert np.array_equal(read_prediction(store, run.run_id, entry.study).mask_ijk, group["second_label"])
    assert not store.exists(keys.RUN_CARD.of(attempt_of(store, run.run_id)).build(run_id=run.run_id))


def test_the_split_is_stored_under_the_digest_in_the_plan(store: Store, plan: Plan) -> None:
    (key,) = store.list("splits/arms-ms/")
    split = read_document(store, key, Split)
    assert plan.split == split.id
    tested = {run.cell.fold: [e.study for e in run.test] for run in plan.runs if run.cell and run.train}
    assert [tested[fold] for fold in (1, 2)] == [list(subset) for subset in split.subsets]


def test_a_model_of_a_finished_experiment_is_registered_under_its_new_name_and_fine_tuned(
    store: Store, plan: Plan, tmp_path: Path
) -> None:
    (taken,) = pretrain_sources(continued(), store, tmp_path, plain=True)
    assert (taken.name, taken.parent.name if taken.parent else None) == ("arms-ft-2", "arms-glioma")
    further = sweep_experiment(continued(), store, tmp_path, plain=True)
    assert Counter(row.arm for row in rows_of(store, further)) == {"default": 2, "fine-tuned": 2}
    for run in further.runs:
        assert run.parent is not None
        assert run.parent.model.version == taken.version
    trained = next(run.run_id for run in further.runs if run.train)
    transfers = keys.RUN_TRANSFER.of(attempt_of(store, trained)).build(run_id=trained)
    assert {tensor.origin for tensor in read_rows(store, [transfers], TensorTransfer)} == {"source"}


def test_a_model_of_another_experiment_is_not_tested_on_its_training_data(
    store: Store, plan: Plan, tmp_path: Path
) -> None:
    again = {"cohort": "arms-ms", "design": "leave-one-patient-out", "patients": 4}
    leaking = continued(target=spec(target=again).target)
    pretrain_sources(leaking, store, tmp_path, plain=True)
    with pytest.raises(SpecError, match=r"source arms-ft-2: .* cohort arms-ms "):
        resolve_plan(leaking, store)


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        ({"arm": "de-novo", "training_size": 2, "fold": 1}, r"wanted one cell, found 2 \(.*depth 1.*; .*depth 2"),
        ({"arm": "de-novo", "training_size": 50, "fold": 1}, "wanted one cell, found 0; "),
    ],
    ids=["several", "none"],
)
def test_an_ambiguous_or_missing_model_is_refused(store: Store, plan: Plan, wanted: dict[str, Any], fault: str) -> None:
    with pytest.raises(SpecError, match=fault):
        finished_run(store, TrainedIn(experiment="arms", **wanted))


def test_an_experiment_that_was_never_swept_is_named(store: Store) -> None:
    with pytest.raises(InputError, match="experiment nobody: "):
        finished_run(store, TrainedIn(experiment="nobody", arm="de-novo", training_size=2, fold=1))
