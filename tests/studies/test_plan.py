"""A study file becomes exactly the paper's design, and ids that change with whatever decides a result."""

from collections import Counter

import pytest

from lesionlab.errors import SpecError
from lesionlab.studies.plan import cells, make_plan, pretraining, trainings
from storage_schemas.manifests import Manifest
from storage_schemas.models import Architecture, InferenceConfig, ModelCard
from storage_schemas.runs import Plan, StudySpec, TrainingConfig
from tests.studies.test_splits import cohort_of, entry, manifest


def spec(**changes: object) -> StudySpec:
    return StudySpec.model_validate(
        {
            "name": "paper",
            "title": "flair-single",
            "task": "flair-single",
            "cohorts": {"ms": {}, "glioma": {}},
            "target": {"cohort": "ms"},
            "sources": [{"model": "default", "cohort": "glioma"}],
            "training_sizes": [10, 20, 30, 40, 50],
            **changes,
        }
    )


def glioma() -> Manifest:
    return manifest(*(entry(1000 + number) for number in range(3))).model_copy(update={"cohort": "glioma"})


def card(**changes: object) -> ModelCard:
    return ModelCard.model_validate(
        {
            "name": "default",
            "version": "0" * 16,
            "task": "flair-single",
            "architecture": Architecture(),
            "channels": ("flair",),
            "spacing_mm": 1.0,
            "patch_voxels": 96,
            "inference": InferenceConfig(),
            "weights_sha256": "0" * 64,
            "cohort": "glioma",
            "training_studies": 3,
            **changes,
        }
    )


def planned(study: StudySpec | None = None, default: ModelCard | None = None) -> Plan:
    return make_plan(study or spec(), {"ms": cohort_of(60), "glioma": glioma()}, {"default": default or card()})


def test_the_papers_flair_design_is_sixty_trainings_and_one_untrained_default_model() -> None:
    assert trainings(spec()) == 60
    assert Counter(cell.arm for cell in cells(spec())) == {"de-novo": 30, "fine-tuned": 30, "default": 1}


def test_the_papers_enhancing_design_is_twenty_four_trainings() -> None:
    assert trainings(spec(target={"cohort": "ms", "subsets": 4}, training_sizes=[10, 20, 30])) == 24


def test_every_study_is_tested_exactly_once_for_each_arm_and_size() -> None:
    tested = Counter(
        (run.cell.arm, run.cell.training_size, study.study)
        for run in planned().runs
        for study in run.test
        if run.cell and run.cell.arm != "default"
    )
    assert set(tested.values()) == {1}
    assert len(tested) == 2 * 5 * 60


def test_both_arms_of_a_fold_are_trained_on_the_same_studies() -> None:
    pairs: dict[tuple[int, int], set[tuple[str, ...]]] = {}
    for run in planned().runs:
        if run.cell and run.cell.arm != "default":
            key = run.cell.training_size, run.cell.fold
            pairs.setdefault(key, set()).add(tuple(study.study for study in run.train))
    assert all(len(training_sets) == 1 for training_sets in pairs.values())


def test_the_default_model_is_tested_on_subset_one_and_trained_on_nothing() -> None:
    default, *_ = planned().runs
    assert default.train == ()
    assert len(default.test) == 10
    assert default.parent is not None


def test_run_ids_are_unique_and_equal_plans_have_equal_ids() -> None:
    ids = [run.run_id for run in planned().runs]
    assert len(set(ids)) == len(ids) == 61
    assert ids == [run.run_id for run in planned().runs]


def test_other_weights_of_the_default_model_make_other_fine_tuned_runs_and_the_same_de_novo_runs() -> None:
    before = {run.run_id for run in planned().runs}
    after = planned(default=card(weights_sha256="1" * 64)).runs
    assert {run.cell.arm for run in after if run.cell and run.run_id in before} == {"de-novo"}


def test_another_learning_rate_makes_every_training_another_run() -> None:
    before = {run.run_id for run in planned().runs}
    changed = spec(training=TrainingConfig(learning_rate=1e-3))
    assert not before & {run.run_id for run in planned(changed).runs}


def test_pretraining_uses_every_study_of_the_source_and_tests_none() -> None:
    run = pretraining(spec(), spec().sources[0], glioma())
    assert (len(run.train), run.test, run.cell, run.parent) == (3, (), None, None)


def test_a_default_model_of_another_depth_is_refused_with_what_differs() -> None:
    with pytest.raises(SpecError, match=r"architecture: wanted .*depth=4.* found .*depth=3"):
        planned(default=card(architecture=Architecture(depth=3)))


def test_a_cohort_prepared_at_another_spacing_is_refused() -> None:
    with pytest.raises(SpecError, match=r"wants flair-single at 2.0 mm, but .* at 1.0 mm"):
        planned(spec(spacing_mm=2.0))


def test_a_default_model_that_saw_a_test_image_is_refused() -> None:
    leaking = manifest(entry(5)).model_copy(update={"cohort": "glioma"})
    with pytest.raises(SpecError, match="shares images with the target ms"):
        make_plan(spec(), {"ms": cohort_of(60), "glioma": leaking}, {"default": card()})
