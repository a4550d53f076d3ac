"""The built-in experiment files are the paper's designs: 264 trainings, planned from manifests without voxels."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from itertools import product

import pytest

from jobs.shared.experiment_files import load_spec
from lesionlab.experiments.cells import cells, trainings
from lesionlab.experiments.planning import make_plan, pretraining
from lesionlab.experiments.randomisation import draw_split
from lesionlab.experiments.registry import SourceModel
from storage_schemas.axes import TrainedArm
from storage_schemas.experiments import ExperimentSpec, Plan
from storage_schemas.manifests import Manifest
from storage_schemas.models import InferenceConfig, ModelCard
from tests.experiments.drawn import entry, manifest

PAPER = {"wahlig2023-flair-single": (180, 60), "wahlig2023-flair-new": (60, 60), "wahlig2023-enhancing": (24, 40)}
"""Number of trainings, number of target studies."""


def resolved(spec: ExperimentSpec, target: Manifest) -> Plan:
    """The plan if every source were registered at every depth of the experiment."""
    parents = {
        (source.model, depth): SourceModel(
            ModelCard(
                name=source.model,
                version=f"{depth:016x}",
                task=spec.task,
                architecture=spec.architecture_at(depth),
                channels=spec.task.channel_names,
                spacing_mm=spec.spacing_mm,
                patch_voxels=spec.training.patch_voxels,
                inference=InferenceConfig(),
                weights_sha256=sha256(f"{source.model} {depth}".encode()).hexdigest(),
                cohort="elsewhere",
                training_studies=1,
            ),
            made_by=(),
        )
        for source, depth in product(spec.sources, spec.network_depths)
    }
    return make_plan(spec, target, draw_split(target, spec.target), parents)


def target_of(spec: ExperimentSpec, studies: int) -> Manifest:
    """`studies` patients, ten of them with a second rater's mask."""
    entries = (entry(number, second_rater=number < 10) for number in range(studies))
    return manifest(*entries, cohort=spec.target.cohort, task=spec.task)


def test_the_three_tasks_have_264_trainings_with_distinct_ids() -> None:
    plans = [resolved(spec := load_spec(name), target_of(spec, studies)) for name, (_, studies) in PAPER.items()]
    trained = [run.run_id for plan in plans for run in plan.runs if run.train]
    assert len(trained) == len(set(trained)) == 180 + 60 + 24 == 264
    assert [trainings(plan.spec) for plan in plans] == [count for count, _ in PAPER.values()]


@pytest.mark.parametrize("name", PAPER)
def test_every_study_is_tested_exactly_once_per_arm_size_depth_and_seed(name: str) -> None:
    spec, (count, studies) = load_spec(name), PAPER[name]
    plan = resolved(spec, target_of(spec, studies))
    tested = Counter(
        (run.cell.arm, run.cell.training_size, run.cell.depth, run.cell.seed, e.study)
        for run in plan.runs
        for e in run.test
        if run.cell and run.train
    )
    assert set(tested.values()) == {1}
    # Each training tests the ten studies of its fold.
    assert len(tested) == count * 10


@pytest.mark.parametrize("name", [*PAPER, "wahlig2023-isbi"])
def test_every_network_of_a_paper_design_is_trained_at_the_same_learning_rate(name: str) -> None:
    spec = load_spec(name)
    arms: tuple[TrainedArm, ...] = ("fine-tuned", "de-novo")
    rates = {spec.training_of(arm, axes).learning_rate for arm in arms for axes in spec.variants(arm)}
    assert rates == {1e-4}


def test_subset_one_tests_the_default_models_and_the_second_rater() -> None:
    spec = load_spec("wahlig2023-flair-single")
    plan = resolved(spec, target_of(spec, 60))
    untrained = [run for run in plan.runs if run.cell and not run.train]
    assert Counter(run.cell.arm for run in untrained if run.cell) == {"default": 3, "rater": 1}
    assert {run.test for run in untrained} == {untrained[0].test}
    assert all(e.second_rater for e in untrained[0].test)


def test_the_isbi_design_fine_tunes_six_models_for_each_of_five_patients() -> None:
    spec = load_spec("wahlig2023-isbi")
    timepoints = [(patient, time) for patient, count in enumerate((4, 4, 5, 4, 4)) for time in range(count)]
    isbi = manifest(
        *(entry(10 * patient + time, patient=f"training0{patient + 1}") for patient, time in timepoints),
        cohort=spec.target.cohort,
    )
    assert trainings(spec) == 6 * 5
    plan = resolved(spec, isbi)
    assert len({run.run_id for run in plan.runs}) == len(plan.runs) == 30 + 30
    for run in plan.runs:
        left_out = {e.patient for e in run.test}
        assert len(left_out) == 1
        if run.train:
            assert len(run.train) == 21 - len(run.test)
            assert left_out.isdisjoint(e.patient for e in run.train)
    direct = Counter((run.cell.source, e.study) for run in plan.runs for e in run.test if not run.train)
    assert len(direct) == 6 * 21
    assert set(direct.values()) == {1}


def test_each_source_of_the_isbi_design_names_one_cell_of_the_flair_experiment() -> None:
    there = cells(load_spec("wahlig2023-flair-single"))
    meant = [
        [cell.title() for cell in there if source.trained_in and source.trained_in.means(cell)]
        for source in load_spec("wahlig2023-isbi").sources
    ]
    assert [titles[0] for titles in meant] == [
        f"{who}, {size} studies, fold 1" for size in (10, 30, 50) for who in ("de novo", "fine-tuned from mixed-flair")
    ]
    assert {len(titles) for titles in meant} == {1}


@pytest.mark.parametrize(
    ("name", "studies"),
    [("wahlig2023-flair-single", 293 + 34), ("wahlig2023-flair-new", 198), ("wahlig2023-enhancing", 463)],
)
def test_default_models_are_pretrained_on_cohorts_of_the_papers_size_at_each_depth(name: str, studies: int) -> None:
    spec = load_spec(name)
    (source,) = spec.sources
    cohort = spec.cohorts[source.cohort or ""].simulate
    assert cohort is not None
    assert cohort.studies == studies
    drawn = manifest(entry(1000), cohort=source.cohort or "", task=spec.task)
    made = {pretraining(spec, source, depth, drawn).run_id for depth in spec.network_depths}
    assert len(made) == len(spec.network_depths)
