"""From a study file to runs: ExperimentSpec, the target's manifest and split, and registered models in; RunSpecs out.

Nothing is computed, so a plan costs no GPU second; whatever a run would fail at is said here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lesionlab.errors import SpecError
from lesionlab.experiments.cells import cells
from lesionlab.experiments.registry import SourceModel
from lesionlab.experiments.splits import Fold, Subset, fold_of, subsets_of
from storage_schemas.base import Slug
from storage_schemas.experiments import ExperimentSpec, Plan, Source
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.models import Adaptation, ModelName
from storage_schemas.runs import Cell, Parent, RunSpec, TrainingConfig
from storage_schemas.splits import Split
from storage_schemas.tasks import Task, same_task, told_apart
from storage_schemas.versions import CURRENT

Parents = Mapping[tuple[Slug, int], SourceModel]
"""The model that a source means at a depth of the study."""


def pretraining(spec: ExperimentSpec, source: Source, depth: int, manifest: Manifest) -> RunSpec:
    """The run that makes a source's default model of one depth from every study of its cohort.

    Raises SpecError where the cohort was prepared for another task or spacing, is empty, or ends within the warm-up.
    """
    task, training = source.task or spec.task, source.training or spec.training
    _fits(spec, task, manifest)
    if not manifest.studies:
        raise SpecError(f"cohort {manifest.cohort}: no study to train {source.model} on; preprocess its dataset again")
    steps = training.all_steps(len(manifest.studies))
    if training.warmup_steps > steps:
        raise SpecError(
            f"source {source.model}: warmup_steps: wanted at most the {steps} steps that the {len(manifest.studies)} "
            f"studies of cohort {manifest.cohort} take, found {training.warmup_steps}"
        )
    return RunSpec.named(
        experiment=source.model,
        task=task,
        channels=task.channel_names,
        spacing_mm=spec.spacing_mm,
        cell=None,
        cohort=manifest.cohort,
        manifest=manifest.id,
        train=manifest.studies,
        test=(),
        parent=None,
        architecture=spec.architecture_at(depth),
        training=training,
        inference=spec.inference,
        metric=spec.metric,
        seed=spec.seeds[0],
        versions=CURRENT,
    )


def make_plan(spec: ExperimentSpec, manifest: Manifest, split: Split, parents: Parents) -> Plan:
    """Resolve every cell to a complete run.

    Raises SpecError, all faults at once, where the target's manifest, its split or the sources' models do not fit the
    spec, and DatasetError where a fold would leak.
    """
    _fits(spec, spec.task, manifest)
    subsets = subsets_of(split, manifest)
    faults = [
        *_misfits(spec, parents),
        *_shared_with_sources(spec, manifest, parents),
        *_sizes_out_of_reach(spec, subsets),
        *_lacking_second_masks(spec, subsets),
    ]
    if faults:
        raise SpecError(*faults)
    runs = []
    for cell in cells(spec):
        fold = _fold(spec, cell, subsets)
        runs.append(
            RunSpec.named(
                experiment=spec.name,
                task=spec.task,
                channels=spec.task.channel_names,
                spacing_mm=spec.spacing_mm,
                cell=cell,
                cohort=manifest.cohort,
                manifest=manifest.id,
                train=fold.train,
                test=fold.test,
                parent=_parent(spec, cell, parents),
                architecture=spec.architecture_at(cell.depth),
                training=_training(spec, cell, parents),
                inference=spec.inference,
                metric=spec.metric,
                seed=cell.seed,
                versions=CURRENT,
            )
        )
    return Plan.named(spec=spec, manifest=manifest.id, split=split.id, versions=CURRENT, runs=tuple(runs))


def _fold(spec: ExperimentSpec, cell: Cell, subsets: Sequence[Subset]) -> Fold:
    if cell.training_size:
        return fold_of(subsets, spec.target, cell.training_size, cell.fold)
    return Fold(train=(), test=subsets[cell.fold - 1])


def _parent(spec: ExperimentSpec, cell: Cell, parents: Parents) -> Parent | None:
    if cell.source is None:
        return None
    card = parents[cell.source, cell.depth].card
    adaptation = next(source.adaptation for source in spec.sources if source.model == cell.source)
    name = ModelName(name=card.name, version=card.version)
    return Parent(model=name, weights_sha256=card.weights_sha256, adaptation=adaptation)


def _training(spec: ExperimentSpec, cell: Cell, parents: Parents) -> TrainingConfig:
    if cell.arm in ("fine-tuned", "de-novo"):
        return spec.training_of(cell.arm, (cell.learning_rate, cell.budget, cell.freezing))
    if cell.source is None:
        return spec.training
    # A network sees in windows as large as the patches that it was trained on.
    patch_voxels = parents[cell.source, cell.depth].card.patch_voxels
    return spec.training.model_copy(update={"patch_voxels": patch_voxels})


def _fits(spec: ExperimentSpec, task: Task, manifest: Manifest) -> None:
    if same_task(task, manifest.task) and spec.spacing_mm == manifest.spacing_mm:
        return
    wanted, found = told_apart(task, manifest.task)
    raise SpecError(
        f"cohort {manifest.cohort}: study {spec.name} wants {wanted} at {spec.spacing_mm} mm, "
        f"but the cohort was prepared for {found} at {manifest.spacing_mm} mm; preprocess it again"
    )


def _misfits(spec: ExperimentSpec, parents: Parents) -> Iterable[str]:
    """What is declared may differ, and nothing else."""
    channels = spec.task.channel_names
    for source in spec.sources:
        for depth in spec.network_depths:
            card = parents[source.model, depth].card
            names = told_apart(source.task or spec.task, card.task)
            wanted = {"task": names[0], "spacing_mm": spec.spacing_mm}
            found = {"task": names[1], "spacing_mm": card.spacing_mm}
            faults = [
                f"{name}: wanted {wanted[name]}, found {found[name]}" for name in wanted if wanted[name] != found[name]
            ]
            faults += (source.adaptation or Adaptation()).misfits(card, spec.architecture_at(depth), channels)
            if card.architecture.depth != depth and spec.default_tested_on != "nothing":
                faults.append(
                    "levels that start fresh have nothing to be tested untrained; set default_tested_on: nothing"
                )
            if faults:
                yield (
                    f"default model {card.name}@{card.version} does not fit study {spec.name} at depth {depth}: "
                    + "; ".join(faults)
                    + "; declare the difference in the study file, or pretrain another model"
                )


def _shared_with_sources(spec: ExperimentSpec, manifest: Manifest, parents: Parents) -> Iterable[str]:
    """A study that a default model, or what that one started from, was trained on must never test it.

    Images are compared by their voxels. Patients are compared within one cohort, and where two cohorts name them from
    one register: labels of different datasets mean nothing to each other, since every dataset has a sub-01.
    """
    for source in spec.sources:
        runs = {run.run_id: run for depth in spec.network_depths for run in parents[source.model, depth].made_by}
        for run in runs.values():
            shared = [entry.study for entry in manifest.studies if _seen(entry, run, spec)]
            if shared:
                yield (
                    f"source {source.model}: cohort {run.cohort}, which trained it, shares images or patients with "
                    f"the target {manifest.cohort} ({', '.join(shared)}); a model is not tested on what trained it"
                )


def _seen(entry: ManifestEntry, run: RunSpec, spec: ExperimentSpec) -> bool:
    register, other = (
        spec.cohorts[name].patient_register if name in spec.cohorts else None
        for name in (spec.target.cohort, run.cohort)
    )
    same_people = run.cohort == spec.target.cohort or (register is not None and register == other)
    return any(entry.images & seen.images or (same_people and entry.patient == seen.patient) for seen in run.train)


def _sizes_out_of_reach(spec: ExperimentSpec, subsets: Sequence[Subset]) -> Iterable[str]:
    for size in spec.training_sizes:
        found = max(len(fold_of(subsets, spec.target, size, fold).train) for fold in spec.fold_numbers)
        if found < size:
            yield f"training_sizes: wanted {size} studies, but no fold of {spec.target.design} has more than {found}"


def _lacking_second_masks(spec: ExperimentSpec, subsets: Sequence[Subset]) -> Iterable[str]:
    graded = [cell.fold for cell in cells(spec) if cell.arm == "rater"]
    lacking = [entry.study for fold in graded for entry in subsets[fold - 1] if not entry.second_rater]
    if lacking:
        yield (
            f"rater_tested_on: wanted a second rater's mask of every tested study, found none of "
            f"{', '.join(lacking)}; add these masks, draw subset 1 from those that have one "
            "(second_rater_first: true), or set rater_tested_on: nothing"
        )
