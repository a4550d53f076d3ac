"""A study file becomes exactly its design, and ids that change with whatever decides a result."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest

from lesionlab.errors import DatasetError, SpecError
from lesionlab.experiments.cells import cells, trainings
from lesionlab.experiments.planning import make_plan, pretraining
from lesionlab.experiments.randomisation import draw_split
from lesionlab.experiments.registry import SourceModel
from storage_schemas.experiments import ExperimentSpec, Plan
from storage_schemas.manifests import Manifest
from storage_schemas.models import Adaptation, Architecture, InferenceConfig, ModelCard, ModelName
from storage_schemas.runs import Freezing, Parent, RunSpec, TrainingConfig
from storage_schemas.tasks import TASKS
from tests.experiments.drawn import cohort_of, entry, manifest


def spec(**changes: Any) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
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


def glioma(*entries: Any) -> Manifest:
    return manifest(*(entries or [entry(1000 + number) for number in range(3)]), cohort="glioma")


def card(**changes: Any) -> ModelCard:
    return ModelCard.model_validate(
        {
            "name": "default",
            "version": "0" * 16,
            "task": TASKS["flair-single"],
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


def planned(
    study: ExperimentSpec | None = None,
    default: ModelCard | None = None,
    cohort: Manifest | None = None,
    made_by: tuple[RunSpec, ...] = (),
) -> Plan:
    """Resolve against one default model, or, where none is given, one as every source and depth wants it."""
    study, cohort = study or spec(), cohort or cohort_of(60)
    parents = {
        (source.model, depth): SourceModel(
            default or card(name=source.model, architecture=study.architecture_at(depth)), made_by
        )
        for source, depth in product(study.sources, study.network_depths)
    }
    return make_plan(study, cohort, draw_split(cohort, study.target), parents)


def test_the_papers_flair_design_is_sixty_trainings_and_one_untrained_default_model() -> None:
    assert trainings(spec()) == 60
    assert Counter(cell.arm for cell in cells(spec())) == {"de-novo": 30, "fine-tuned": 30, "default": 1}


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


def test_axes_multiply_and_what_freezes_is_fine_tuned_only() -> None:
    study = spec(
        training_sizes=[10],
        depths=[3, 4],
        seeds=[0, 1],
        folds=[2, 5],
        learning_rates={"fine-tuned": [1e-5, 1e-4]},
        budgets=[{"epochs": 30}, {"steps": 2000}],
        freezings=[None, {"part": "encoder", "epochs": 5}],
    )
    count = Counter(cell.arm for cell in cells(study))
    each = 2 * 2 * 2 * 2
    assert count == {"default": 2, "de-novo": each, "fine-tuned": each * 2 * 2}
    assert len({cell.title() for cell in cells(study)}) == len(cells(study))
    assert len({run.run_id for run in planned(study).runs}) == len(cells(study))


def test_a_cell_is_trained_as_it_says() -> None:
    study = spec(
        learning_rates={"fine-tuned": [1e-5]},
        budgets=[{"steps": 2000}],
        freezings=[{"part": "encoder"}],
        training={"learning_rate": 1e-3},
    )
    by_arm = {run.cell.arm: run.training for run in planned(study).runs if run.cell}
    assert by_arm["fine-tuned"] == TrainingConfig(learning_rate=1e-5, steps=2000, freezing=Freezing(part="encoder"))
    assert by_arm["de-novo"] == TrainingConfig(learning_rate=1e-3, steps=2000)


def test_a_freezing_that_all_fine_tuned_share_leaves_the_de_novo_runs_as_they_are() -> None:
    frozen = spec(training={"freezing": {"part": "encoder"}})
    before, after = ({run.run_id for run in planned(study).runs} for study in (spec(), frozen))
    # The de novo runs, and the default model, which is not trained.
    assert len(before & after) == 30 + 1


def test_the_default_model_is_tested_on_subset_one_and_trained_on_nothing() -> None:
    default, *_ = planned().runs
    assert default.train == ()
    assert len(default.test) == 10
    assert default.parent is not None


def test_default_models_and_raters_are_tested_where_the_study_file_says() -> None:
    graded = manifest(*(entry(number, second_rater=True) for number in range(60)))
    study = spec(default_tested_on="all-subsets", rater_tested_on="all-subsets")
    for arm in ("default", "rater"):
        tested = [e.study for run in planned(study, cohort=graded).runs if run.cell.arm == arm for e in run.test]
        assert sorted(tested) == [e.study for e in graded.studies]
    assert not {"default", "rater"} & {cell.arm for cell in cells(spec(default_tested_on="nothing"))}


def test_a_default_model_sees_in_windows_as_large_as_its_own_patches() -> None:
    default, *others = planned(default=card(patch_voxels=64)).runs
    assert default.training.patch_voxels == 64
    assert {run.training.patch_voxels for run in others} == {96}


def test_a_rater_without_second_masks_is_refused_with_the_studies_named() -> None:
    with pytest.raises(SpecError, match=r"found none of sub-\d{4}(, sub-\d{4}){9}; add these masks"):
        planned(spec(rater_tested_on="first-subset"))


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
    assert {run.cell.arm for run in planned(changed).runs if run.cell and run.run_id in before} == {"default"}


def test_every_run_carries_the_manifest_that_it_was_planned_on() -> None:
    plan = planned()
    assert {run.manifest for run in plan.runs} == {plan.manifest} == {cohort_of(60).id}
    assert pretraining(spec(), spec().sources[0], 4, glioma()).manifest == glioma().id


def test_pretraining_uses_every_study_of_the_source_at_the_depth_that_is_asked_for_and_tests_none() -> None:
    run = pretraining(spec(), spec().sources[0], 3, glioma())
    assert (len(run.train), run.test, run.cell, run.parent) == (3, (), None, None)
    assert run.architecture == Architecture(depth=3)
    assert run.run_id != pretraining(spec(), spec().sources[0], 4, glioma()).run_id


def test_a_warm_up_that_a_default_models_cohort_cannot_reach_is_refused() -> None:
    training = {"epochs": 1, "patches_per_study": 8, "augmentations": 1, "warmup_steps": 4}
    study = spec(sources=[{"model": "default", "cohort": "glioma", "training": training}])
    with pytest.raises(SpecError, match="at most the 3 steps that the 3 studies of cohort glioma take, found 4"):
        pretraining(study, study.sources[0], 4, glioma())


def test_a_default_model_of_another_depth_is_refused_with_what_differs() -> None:
    with pytest.raises(SpecError, match=r"does not fit study paper at depth 4: depth: wanted 4, found 3"):
        planned(default=card(architecture=Architecture(depth=3)))


def test_a_declared_depth_is_allowed_and_reaches_every_run_but_is_not_tested_untrained() -> None:
    adapted = [{"model": "default", "adaptation": {"depth": "shared-levels"}}]
    shallow = card(architecture=Architecture(depth=3))
    plan = planned(spec(sources=adapted, default_tested_on="nothing"), default=shallow)
    assert all(run.parent.adaptation == Adaptation(depth="shared-levels") for run in plan.runs if run.parent)
    with pytest.raises(SpecError, match="levels that start fresh"):
        planned(spec(sources=adapted), default=shallow)


TWO_CHANNELS = {"channels": {"before": {"zero": True}, "after": {"copy_of": "flair"}}}


def test_a_model_of_another_task_is_taken_only_where_that_is_declared() -> None:
    cohort = cohort_of(60, task=TASKS["enhancing"])
    declared = {"model": "default", "task": "flair-single", "adaptation": TWO_CHANNELS}
    plan = planned(spec(task="enhancing", sources=[declared]), default=card(), cohort=cohort)
    assert {run.channels for run in plan.runs} == {("before", "after")}
    undeclared = spec(task="enhancing", sources=[{"model": "default"}])
    with pytest.raises(SpecError, match="task: wanted enhancing, found flair-single; channels: wanted before, after"):
        planned(undeclared, default=card(), cohort=cohort)


def test_a_source_of_another_task_is_pretrained_for_that_task() -> None:
    declared = {"model": "default", "cohort": "glioma", "task": "flair-single", "adaptation": TWO_CHANNELS}
    study = spec(task="enhancing", sources=[declared])
    assert study.task_of("glioma") == TASKS["flair-single"]
    assert study.task_of("ms") == TASKS["enhancing"]
    run = pretraining(study, study.sources[0], 4, glioma())
    assert (run.task, run.channels) == (TASKS["flair-single"], ("flair",))


def test_a_cohort_prepared_at_another_spacing_is_refused() -> None:
    with pytest.raises(SpecError, match=r"wants flair-single at 2.0 mm, but .* at 1.0 mm"):
        planned(spec(spacing_mm=2.0))


def trained_on(cohort: Manifest, study: ExperimentSpec | None = None) -> RunSpec:
    study = study or spec()
    return pretraining(study, study.sources[0], 4, cohort)


def test_a_default_model_that_saw_a_test_image_is_refused() -> None:
    with pytest.raises(SpecError, match=r"cohort glioma, which trained it, shares images .* target ms .sub-0005"):
        planned(made_by=(trained_on(glioma(entry(2000, image=5))),))


def test_a_default_model_whose_own_parent_saw_a_test_image_is_refused() -> None:
    parent = trained_on(glioma(entry(2000, image=5)))
    child = trained_on(glioma()).model_copy(
        update={"parent": Parent(model=ModelName(name="first", version=parent.run_id), weights_sha256="0" * 64)}
    )
    with pytest.raises(SpecError, match="sub-0005"):
        planned(made_by=(child, parent))


def test_a_patient_label_means_one_person_only_within_one_register() -> None:
    twin = glioma(entry(2000, patient="p5"))
    assert planned(made_by=(trained_on(twin),)).runs
    one_register = spec(cohorts={"ms": {"patient_register": "clinic"}, "glioma": {"patient_register": "clinic"}})
    with pytest.raises(SpecError, match="sub-0005"):
        planned(one_register, made_by=(trained_on(twin),))


def test_another_visit_of_a_patient_on_whom_a_source_was_trained_never_tests_it() -> None:
    visit = manifest(entry(2000, patient="p5"))
    with pytest.raises(SpecError, match="cohort ms, which trained it, shares images or patients"):
        planned(made_by=(trained_on(visit),))


SITES = {"cohort": "ms", "sites": ["a", "b", "c"]}


def three_sites() -> Manifest:
    return manifest(*(entry(number, site="abc"[number % 3]) for number in range(12)))


def test_leaving_one_site_out_tests_every_study_once_and_says_which_site() -> None:
    study = spec(target=SITES | {"design": "leave-one-site-out"}, training_sizes=[2, 8])
    runs = [run for run in planned(study, cohort=three_sites()).runs if run.cell.arm == "de-novo"]
    assert len(runs) == 2 * 3
    for run in runs:
        assert {e.site for e in run.test} == {run.cell.test_site}
        assert run.cell.test_site not in {e.site for e in run.train}
        assert len(run.train) == run.cell.training_size
        assert run.columns().test_site == run.cell.test_site


def test_training_on_one_site_tests_all_others() -> None:
    study = spec(target=SITES | {"design": "train-on-one-site"}, training_sizes=[4], default_tested_on="all-subsets")
    for run in planned(study, cohort=three_sites()).runs:
        if run.cell.arm == "default":
            assert {e.site for e in run.test} == {run.cell.test_site}
        else:
            assert {e.site for e in run.train} == {run.cell.train_site}
            assert {e.site for e in run.test} == {"a", "b", "c"} - {run.cell.train_site}


def test_a_size_that_no_fold_has_is_refused_and_a_fold_with_fewer_says_how_many() -> None:
    cohort = manifest(*(entry(number, site="a" if number < 2 else "b") for number in range(6)))
    by_site = {"cohort": "ms", "sites": ["a", "b"], "design": "leave-one-site-out"}
    with pytest.raises(SpecError, match="wanted 5 studies, but no fold of leave-one-site-out has more than 4"):
        planned(spec(target=by_site, training_sizes=[5]), cohort=cohort)
    runs = planned(spec(target=by_site, training_sizes=[4]), cohort=cohort).runs
    asked = {(run.cell.fold, run.columns().training_size, run.columns().trained_on) for run in runs if run.train}
    assert asked == {(1, 4, 4), (2, 4, 2)}


def test_a_patient_at_two_sites_is_refused() -> None:
    cohort = manifest(*three_sites().studies, entry(99, patient="p1", site="c"))
    with pytest.raises(DatasetError, match="patient p1 was scanned at b and c"):
        planned(spec(target=SITES | {"design": "leave-one-site-out"}, training_sizes=[2]), cohort=cohort)
