"""A model's training studies are found in a cohort by image, copy and patient, through all its ancestors."""

from __future__ import annotations

import pytest

from lesionlab.experiments.planning import pretraining
from lesionlab.experiments.registry import SourceModel
from lesionlab.experiments.seen import Seen, seen_in_training
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.manifests import Likeness, Manifest, ManifestEntry
from storage_schemas.models import Architecture, InferenceConfig, ModelCard, ModelName
from storage_schemas.runs import Parent, RunSpec
from storage_schemas.tasks import TASKS
from tests.experiments.drawn import entry, manifest

COHORT = manifest(entry(1), entry(2), entry(3))


def trained(*studies: ManifestEntry, cohort: str = "glioma", parent: RunSpec | None = None) -> RunSpec:
    experiment = ExperimentSpec.model_validate(
        {
            "name": "e",
            "title": "t",
            "task": "flair-single",
            "cohorts": {"another": {}, cohort: {}},
            "target": {"cohort": "another"},
            "sources": [{"model": "m", "cohort": cohort}],
            "training_sizes": [10],
        }
    )
    run = pretraining(experiment, experiment.sources[0], 4, manifest(*studies, cohort=cohort))
    if parent is None:
        return run
    name = ModelName(name="first", version=parent.run_id)
    return run.changed(parent=Parent(model=name, weights_sha256="0" * 64))


def model(*made_by: RunSpec) -> SourceModel:
    card = ModelCard(
        name="m",
        version=made_by[0].run_id if made_by else "0" * 16,
        task=TASKS["flair-single"],
        architecture=Architecture(),
        channels=("flair",),
        spacing_mm=1.0,
        patch_voxels=96,
        inference=InferenceConfig(),
        weights_sha256="0" * 64,
        cohort="glioma",
        training_studies=1,
    )
    return SourceModel(card, made_by)


def found(*made_by: RunSpec, cohort: Manifest = COHORT, same_people: bool = False) -> Seen:
    return seen_in_training(cohort, model(*made_by), same_people=same_people)


STRANGER = entry(1000)


@pytest.mark.parametrize(
    ("seen", "cohort", "reason"),
    [
        (entry(2), "ms", "same image as sub-0002 in cohort ms"),
        (entry(2, image=77), "ms", "same study as sub-0002 in cohort ms"),
        (entry(2000, image=2), "glioma", "same image as sub-2000 in cohort glioma"),
        (entry(2000, further=(2,)), "glioma", "same image as sub-2000 in cohort glioma"),
        (entry(2000, patient="p2"), "ms", "same patient as sub-2000 in cohort ms"),
        (entry(2000, patient="p2"), "glioma", None),
        (entry(2, patient="other", image=77), "glioma", None),
    ],
    ids=["itself", "new-image", "renamed", "other-channel", "visit", "namesake", "same-number"],
)
def test_a_study_is_found_by_its_image_anywhere_and_by_its_labels_in_its_own_cohort(
    seen: ManifestEntry, cohort: str, reason: str | None
) -> None:
    assert found(trained(STRANGER, seen, cohort=cohort)).reasons == ({"sub-0002": reason} if reason else {})


def test_a_changed_copy_of_a_mask_is_found() -> None:
    mask = Likeness(mask_sha256="e" * 64)
    cohort = manifest(entry(1), entry(2).model_copy(update={"likeness": mask}))
    seen = found(trained(entry(2000).model_copy(update={"likeness": mask})), cohort=cohort)
    assert seen.reasons == {"sub-0002": "mask likely copied from sub-2000 in cohort glioma"}


def test_training_studies_of_an_ancestor_count() -> None:
    grandparent = trained(entry(3), cohort="ms")
    parent = trained(entry(1001), parent=grandparent)
    child = trained(entry(1002), parent=parent)
    assert found(child, parent, grandparent).reasons == {"sub-0003": "same image as sub-0003 in cohort ms"}


def test_one_shared_image_under_one_label_makes_two_cohorts_one_register() -> None:
    """The same dataset preprocessed under another name, with another visit of a second patient."""
    seen = found(trained(entry(2000, image=1, patient="p1"), entry(2001, patient="p2"), cohort="ms-2024"))
    assert seen.reasons == {
        "sub-0001": "same image as sub-2000 in cohort ms-2024",
        "sub-0002": "same patient as sub-2001 in cohort ms-2024",
    }


def test_namesakes_of_another_cohort_are_told_and_count_only_if_the_user_says_so() -> None:
    other = trained(entry(2000, patient="p2"))
    assert (found(other).reasons, found(other).namesakes) == ({}, {"glioma": ("p2",)})
    assert found(other, same_people=True).reasons == {"sub-0002": "same patient as sub-2000 in cohort glioma"}


def test_a_history_that_the_store_does_not_have_whole_is_told() -> None:
    parent = trained(entry(1001))
    child = trained(entry(1002), parent=parent)
    assert [found(*runs).whole for runs in ((), (child,), (child, parent))] == [False, False, True]
