"""An experiment becomes exactly its design; run ids change with whatever decides a result."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
import pytest

from lesionlab.errors import DatasetError, SpecError
from lesionlab.experiments.cells import cells, trainings
from lesionlab.experiments.patient_register import Marked, unmarked
from lesionlab.experiments.planning import make_plan, pretraining
from lesionlab.experiments.randomisation import draw_split
from lesionlab.experiments.registry import SourceModel
from storage_schemas.axes import Freezing
from storage_schemas.endpoints import Endpoint
from storage_schemas.experiments import ExperimentSpec, Plan
from storage_schemas.manifests import Likeness, Manifest, ManifestEntry
from storage_schemas.models import Adaptation, Architecture, InferenceConfig, ModelCard, ModelName
from storage_schemas.runs import Parent, RunSpec, TrainingConfig
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
    experiment: ExperimentSpec | None = None,
    default: ModelCard | None = None,
    cohort: Manifest | None = None,
    made_by: tuple[RunSpec, ...] = (),
    endpoint: Endpoint | None = None,
    marked: Marked = unmarked,
) -> Plan:
    """Plan against the given default model, or against a fitting one for each source and depth."""
    experiment, cohort = experiment or spec(), cohort or cohort_of(60)
    parents = {
        (source.model, depth): SourceModel(
            default or card(name=source.model, architecture=experiment.architecture_at(depth)), made_by
        )
        for source, depth in product(experiment.sources, experiment.network_depths)
    }
    return make_plan(experiment, cohort, draw_split(cohort, experiment.target), parents, endpoint, marked=marked)


def test_the_papers_flair_design_has_60_trainings_and_one_untrained_default_model() -> None:
    assert trainings(spec()) == 60
    assert Counter(cell.arm for cell in cells(spec())) == {"de-novo": 30, "fine-tuned": 30, "default": 1}


def test_every_study_is_tested_exactly_once_for_each_arm_and_size() -> None:
    tested = Counter(
        (run.cell.arm, run.cell.training_size, entry.study)
        for run in planned().runs
        for entry in run.test
        if run.cell and run.cell.arm != "default"
    )
    assert set(tested.values()) == {1}
    assert len(tested) == 2 * 5 * 60


def test_both_arms_of_a_fold_are_trained_on_the_same_studies() -> None:
    pairs: dict[tuple[int, int], set[tuple[str, ...]]] = {}
    for run in planned().runs:
        if run.cell and run.cell.arm != "default":
            key = run.cell.training_size, run.cell.fold
            pairs.setdefault(key, set()).add(tuple(entry.study for entry in run.train))
    assert all(len(training_sets) == 1 for training_sets in pairs.values())


def test_axes_are_crossed_and_freezing_applies_to_fine_tuning_only() -> None:
    experiment = spec(
        training_sizes=[10],
        depths=[3, 4],
        seeds=[0, 1],
        folds=[2, 5],
        learning_rates={"fine-tuned": [1e-5, 1e-4]},
        budgets=[{"epochs": 30}, {"steps": 2000}],
        freezings=[None, {"part": "encoder", "epochs": 5}],
    )
    count = Counter(cell.arm for cell in cells(experiment))
    each = 2 * 2 * 2 * 2
    assert count == {"default": 2, "de-novo": each, "fine-tuned": each * 2 * 2}
    assert len({cell.title() for cell in cells(experiment)}) == len(cells(experiment))
    assert len({run.run_id for run in planned(experiment).runs}) == len(cells(experiment))


def test_each_arm_is_trained_with_its_own_settings() -> None:
    experiment = spec(
        learning_rates={"fine-tuned": [1e-5]},
        budgets=[{"steps": 2000}],
        freezings=[{"part": "encoder"}],
        training={"learning_rate": 1e-3},
    )
    by_arm = {run.cell.arm: run.training for run in planned(experiment).runs if run.cell}
    assert by_arm["fine-tuned"] == TrainingConfig(learning_rate=1e-5, steps=2000, freezing=Freezing(part="encoder"))
    assert by_arm["de-novo"] == TrainingConfig(learning_rate=1e-3, steps=2000)


def test_a_common_freezing_does_not_change_de_novo_runs() -> None:
    frozen = spec(training={"freezing": {"part": "encoder"}})
    before, after = ({run.run_id for run in planned(experiment).runs} for experiment in (spec(), frozen))
    # The de novo runs and the default model, which is not trained.
    assert len(before & after) == 30 + 1


def test_the_default_model_is_tested_on_subset_1_without_training() -> None:
    default, *_ = planned().runs
    assert default.train == ()
    assert len(default.test) == 10
    assert default.parent is not None


def test_default_models_and_raters_are_tested_on_the_subsets_that_the_experiment_names() -> None:
    twice_masked = manifest(*(entry(number, second_rater=True) for number in range(60)))
    experiment = spec(default_tested_on="all-subsets", rater_tested_on="all-subsets")
    for arm in ("default", "rater"):
        tested = [
            e.study for run in planned(experiment, cohort=twice_masked).runs if run.cell.arm == arm for e in run.test
        ]
        assert sorted(tested) == [e.study for e in twice_masked.studies]
    assert not {"default", "rater"} & {cell.arm for cell in cells(spec(default_tested_on="nothing"))}


def test_a_default_model_predicts_in_windows_of_its_own_patch_size() -> None:
    default, *others = planned(default=card(patch_voxels=64)).runs
    assert default.training.patch_voxels == 64
    assert {run.training.patch_voxels for run in others} == {96}


def test_a_rater_arm_without_second_masks_is_refused_and_the_studies_are_named() -> None:
    with pytest.raises(SpecError, match=r"rater_tested_on: .* sub-\d{4}(, sub-\d{4}){9};"):
        planned(spec(rater_tested_on="first-subset"))


def test_run_ids_are_unique_and_equal_plans_have_equal_ids() -> None:
    ids = [run.run_id for run in planned().runs]
    assert len(set(ids)) == len(ids) == 61
    assert ids == [run.run_id for run in planned().runs]


def test_other_default_weights_change_fine_tuned_runs_but_not_de_novo_runs() -> None:
    before = {run.run_id for run in planned().runs}
    after = planned(default=card(weights_sha256="1" * 64)).runs
    assert {run.cell.arm for run in after if run.cell and run.run_id in before} == {"de-novo"}


def test_another_learning_rate_changes_every_training() -> None:
    before = {run.run_id for run in planned().runs}
    changed = spec(training=TrainingConfig(learning_rate=1e-3))
    assert {run.cell.arm for run in planned(changed).runs if run.cell and run.run_id in before} == {"default"}


def test_every_run_records_the_manifest_that_it_was_planned_on() -> None:
    plan = planned()
    assert {run.manifest for run in plan.runs} == {plan.manifest} == {cohort_of(60).id}
    assert pretraining(spec(), spec().sources[0], 4, glioma()).manifest == glioma().id


def test_pretraining_uses_every_study_of_the_source_at_the_given_depth_and_tests_none() -> None:
    run = pretraining(spec(), spec().sources[0], 3, glioma())
    assert (len(run.train), run.test, run.cell, run.parent) == (3, (), None, None)
    assert run.architecture == Architecture(depth=3)
    assert run.run_id != pretraining(spec(), spec().sources[0], 4, glioma()).run_id


def test_a_warm_up_longer_than_pretraining_is_refused() -> None:
    training = {"epochs": 1, "patches_per_study": 8, "augmentations": 1, "warmup_steps": 4}
    experiment = spec(sources=[{"model": "default", "cohort": "glioma", "training": training}])
    with pytest.raises(SpecError, match="at most the 3 steps that the 3 studies of cohort glioma take, found 4"):
        pretraining(experiment, experiment.sources[0], 4, glioma())


def test_a_default_model_of_another_depth_is_refused_and_the_difference_is_named() -> None:
    with pytest.raises(SpecError, match=r"at depth 4: depth: wanted 4, found 3"):
        planned(default=card(architecture=Architecture(depth=3)))


def test_a_declared_depth_is_allowed_but_not_for_an_untrained_test() -> None:
    adapted = [{"model": "default", "adaptation": {"depth": "shared-levels"}}]
    shallow = card(architecture=Architecture(depth=3))
    plan = planned(spec(sources=adapted, default_tested_on="nothing"), default=shallow)
    assert all(run.parent.adaptation == Adaptation(depth="shared-levels") for run in plan.runs if run.parent)
    with pytest.raises(SpecError, match="set default_tested_on: nothing"):
        planned(spec(sources=adapted), default=shallow)


TWO_CHANNELS = {"channels": {"before": {"zero": True}, "after": {"copy_of": "flair"}}}


def test_a_model_of_another_task_must_be_declared() -> None:
    cohort = cohort_of(60, task=TASKS["enhancing"])
    declared = {"model": "default", "task": "flair-single", "adaptation": TWO_CHANNELS}
    plan = planned(spec(task="enhancing", sources=[declared]), default=card(), cohort=cohort)
    assert {run.channels for run in plan.runs} == {("before", "after")}
    undeclared = spec(task="enhancing", sources=[{"model": "default"}])
    with pytest.raises(SpecError, match="task: wanted enhancing, found flair-single; channels: wanted before, after"):
        planned(undeclared, default=card(), cohort=cohort)


def test_a_source_of_another_task_is_pretrained_for_that_task() -> None:
    declared = {"model": "default", "cohort": "glioma", "task": "flair-single", "adaptation": TWO_CHANNELS}
    experiment = spec(task="enhancing", sources=[declared])
    assert experiment.task_of("glioma") == TASKS["flair-single"]
    assert experiment.task_of("ms") == TASKS["enhancing"]
    run = pretraining(experiment, experiment.sources[0], 4, glioma())
    assert (run.task, run.channels) == (TASKS["flair-single"], ("flair",))


def test_a_cohort_preprocessed_at_another_spacing_is_refused() -> None:
    with pytest.raises(SpecError, match=r"cohort ms: .* flair-single at 2.0 mm, but .* flair-single at 1.0 mm"):
        planned(spec(spacing_mm=2.0))


def trained_on(cohort: Manifest) -> RunSpec:
    experiment = spec()
    return pretraining(experiment, experiment.sources[0], 4, cohort)


def test_a_default_model_trained_on_a_test_image_is_refused() -> None:
    with pytest.raises(SpecError, match=r"source default: .* cohort glioma .* target ms .sub-0005"):
        planned(made_by=(trained_on(glioma(entry(2000, image=5))),))


def test_a_default_model_whose_parent_was_trained_on_a_test_image_is_refused() -> None:
    parent = trained_on(glioma(entry(2000, image=5)))
    child = trained_on(glioma()).model_copy(
        update={"parent": Parent(model=ModelName(name="first", version=parent.run_id), weights_sha256="0" * 64)}
    )
    with pytest.raises(SpecError, match="sub-0005"):
        planned(made_by=(child, parent))


def test_a_default_model_trained_on_a_changed_copy_of_a_test_image_or_mask_is_refused_with_both_names() -> None:
    """Signs of 2,491 cells in 312 bytes; the copy differs in 8 % of the signs, a stranger in half of them."""
    rng = np.random.default_rng(0)
    image, stranger = (rng.integers(0, 2, 312 * 8, dtype=np.uint8) for _ in range(2))
    copy = image ^ (rng.random(image.size) < 0.08)
    target = cohort_of(60)
    studies = list(target.studies)
    studies[5] = like(studies[5], fingerprints=(bits(image),))
    studies[6] = like(studies[6], mask_sha256="e" * 64)
    cohort = target.changed(studies=tuple(studies))
    copied = glioma(like(entry(2000), fingerprints=(bits(copy),)), like(entry(2001), mask_sha256="e" * 64))
    wanted = (
        "source default: studies of the target ms are likely copies of studies in its training cohort glioma "
        r"\(sub-0005, like sub-2000 there, sub-0006, like sub-2001 there\); compare them"
    )
    with pytest.raises(SpecError, match=wanted):
        planned(cohort=cohort, made_by=(trained_on(copied),))
    strange = glioma(like(entry(2000), fingerprints=(bits(stranger),)), like(entry(2001), mask_sha256="f" * 64))
    assert planned(cohort=cohort, made_by=(trained_on(strange),)).runs


def test_a_default_model_trained_on_a_test_image_in_another_storage_order_is_refused() -> None:
    cohort = cohort_of(60)
    studies = (like(cohort.studies[0], canonical_sha256=("d" * 64,)), *cohort.studies[1:])
    with pytest.raises(SpecError, match=r"source default: .* shares images or patients .* target ms .sub-0000\)"):
        planned(
            cohort=cohort.changed(studies=studies),
            made_by=(trained_on(glioma(like(entry(2000), canonical_sha256=("d" * 64,)))),),
        )


def like(study: ManifestEntry, **likeness: Any) -> ManifestEntry:
    return study.model_copy(update={"likeness": Likeness(**likeness)})


def bits(signs: np.ndarray) -> str:
    return base64.b64encode(np.packbits(signs).tobytes()).decode()


def test_a_patient_label_means_the_same_person_only_within_one_register() -> None:
    twin = glioma(entry(2000, patient="p5"))
    assert planned(made_by=(trained_on(twin),)).runs
    one_register = spec(cohorts={"ms": {"patient_register": "clinic"}, "glioma": {"patient_register": "clinic"}})
    with pytest.raises(SpecError, match="sub-0005"):
        planned(one_register, made_by=(trained_on(twin),))


def test_a_source_is_never_tested_on_a_patient_whom_the_consortiums_register_knows() -> None:
    def with_token(entries: Iterable[ManifestEntry], cohort: str) -> tuple[ManifestEntry, ...]:
        token = {"register_token": "a" * 64}
        return tuple(e.model_copy(update=token) if e.study in ("sub-0005", "sub-2000") else e for e in entries)

    twin = trained_on(glioma(entry(2000)))
    assert planned(made_by=(twin,)).runs
    with pytest.raises(SpecError, match=r"source default: its training cohort glioma .* target ms .sub-0005\)"):
        planned(made_by=(twin,), marked=with_token)


def test_a_source_is_never_tested_on_another_visit_of_its_training_patient() -> None:
    visit = manifest(entry(2000, patient="p5"))
    with pytest.raises(SpecError, match=r"source default: .* cohort ms "):
        planned(made_by=(trained_on(visit),))


SITES = {"cohort": "ms", "sites": ["a", "b", "c"]}


def three_sites() -> Manifest:
    return manifest(*(entry(number, site="abc"[number % 3]) for number in range(12)))


def test_leaving_one_site_out_tests_every_study_once_and_names_the_site() -> None:
    experiment = spec(target=SITES | {"design": "leave-one-site-out"}, training_sizes=[2, 8])
    runs = [run for run in planned(experiment, cohort=three_sites()).runs if run.cell.arm == "de-novo"]
    assert len(runs) == 2 * 3
    for run in runs:
        assert {e.site for e in run.test} == {run.cell.test_site}
        assert run.cell.test_site not in {e.site for e in run.train}
        assert len(run.train) == run.cell.training_size
        assert run.columns().test_site == run.cell.test_site


def test_training_on_one_site_tests_all_other_sites() -> None:
    experiment = spec(
        target=SITES | {"design": "train-on-one-site"}, training_sizes=[4], default_tested_on="all-subsets"
    )
    for run in planned(experiment, cohort=three_sites()).runs:
        if run.cell.arm == "default":
            assert {e.site for e in run.test} == {run.cell.test_site}
        else:
            assert {e.site for e in run.train} == {run.cell.train_site}
            assert {e.site for e in run.test} == {"a", "b", "c"} - {run.cell.train_site}


CROSS_SITE = SITES | {"design": "cross-site", "subsets": 2}


def test_cross_site_trains_every_network_on_the_same_number_of_studies_and_names_what_it_was_trained_on() -> None:
    runs = planned(spec(target=CROSS_SITE, training_sizes=[2]), cohort=three_sites()).runs
    trained = [run for run in runs if run.cell.arm == "de-novo"]
    assert len(trained) == 3 * 2 + 2 + 3
    for run in trained:
        sites = {e.site for e in run.train}
        assert len(run.train) == 2
        assert sites == {run.cell.train_site} or run.cell.train_site in ("all-sites", "other-sites")
        assert {e.site for e in run.test} == ({run.cell.test_site} if run.cell.test_site else {"a", "b", "c"})
        assert run.columns().train_site == run.cell.train_site
    assert planned(spec(target=CROSS_SITE, training_sizes=[2]), cohort=three_sites()).endpoint.de_novo.train_site == (
        "other-sites"
    )


def test_cross_site_refuses_a_size_that_one_site_cannot_train_and_names_it() -> None:
    cohort = manifest(*(entry(number, site="abc"[min(number // 6, 2)]) for number in range(16)))
    with pytest.raises(SpecError) as caught:
        planned(spec(target=CROSS_SITE, training_sizes=[2, 3]), cohort=cohort)
    assert "wanted 3, but a fold of c has 2" in str(caught.value)
    assert "of a " not in str(caught.value)


def test_a_training_size_that_no_fold_reaches_is_refused_and_smaller_folds_say_their_size() -> None:
    cohort = manifest(*(entry(number, site="a" if number < 2 else "b") for number in range(6)))
    by_site = {"cohort": "ms", "sites": ["a", "b"], "design": "leave-one-site-out"}
    with pytest.raises(SpecError, match="wanted 5 studies, but the largest leave-one-site-out fold has 4"):
        planned(spec(target=by_site, training_sizes=[5]), cohort=cohort)
    runs = planned(spec(target=by_site, training_sizes=[4]), cohort=cohort).runs
    sizes = {(run.cell.fold, run.columns().training_size, run.columns().trained_on) for run in runs if run.train}
    assert sizes == {(1, 4, 4), (2, 4, 2)}


def test_a_patient_at_two_sites_is_refused() -> None:
    cohort = manifest(*three_sites().studies, entry(99, patient="p1", site="c"))
    with pytest.raises(DatasetError, match="patient p1 was scanned at b and c"):
        planned(spec(target=SITES | {"design": "leave-one-site-out"}, training_sizes=[2]), cohort=cohort)


@pytest.mark.parametrize(
    ("declared", "metric"),
    [
        ({}, "ppv"),
        ({"goal": {"metric": "sensitivity"}}, "sensitivity"),
        ({"goal": {"metric": "sensitivity"}, "primary_endpoint": "dice"}, "dice"),
    ],
    ids=["as the paper's claim", "the goal's", "declared"],
)
def test_the_primary_endpoint_is_declared_or_the_goals_or_ppv(declared: dict[str, Any], metric: str) -> None:
    endpoint = planned(spec(**declared)).first_endpoint
    assert endpoint.metric == metric
    assert endpoint.fine_tuned is not None
    assert (endpoint.fine_tuned.source, endpoint.fine_tuned.depth) == ("default", 4)


def test_the_first_endpoint_stays_in_every_later_plan_and_in_no_run() -> None:
    first = planned()
    later = planned(spec(primary_endpoint="sensitivity"), endpoint=first.first_endpoint)
    assert (later.first_endpoint.metric, later.spec.endpoint.metric) == ("ppv", "sensitivity")
    assert later.id != first.id
    assert [run.run_id for run in later.runs] == [run.run_id for run in first.runs]


def test_a_plan_of_before_endpoints_is_that_of_its_spec() -> None:
    form = planned().stored_form()
    del form["endpoint"], form["spec"]["primary_endpoint"]
    assert Plan.from_stored(form).first_endpoint == spec().endpoint
