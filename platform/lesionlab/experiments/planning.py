"""Plan the runs of an experiment from its spec, the target's manifest and split, and registered models.

Planning computes nothing, and it reports every fault that would make a run fail later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lesionlab.errors import SpecError
from lesionlab.experiments.cells import cells
from lesionlab.experiments.patient_register import Marked, unmarked
from lesionlab.experiments.randomisation import likely_copies
from lesionlab.experiments.registry import SourceModel
from lesionlab.experiments.seen import declared_overlaps, trained_on
from lesionlab.experiments.splits import Fold, Subset, fold_of, subsets_of
from storage_schemas.base import Slug
from storage_schemas.cohorts import Stripping
from storage_schemas.definitions import MetricDefinition
from storage_schemas.endpoints import Endpoint
from storage_schemas.experiments import ExperimentSpec, Plan, Source
from storage_schemas.manifests import Manifest
from storage_schemas.models import Adaptation, ModelCard, ModelName
from storage_schemas.policies import LeftOut
from storage_schemas.runs import Cell, Parent, RunSpec, TrainingConfig
from storage_schemas.splits import Split
from storage_schemas.tasks import Task, same_task, told_apart
from storage_schemas.versions import CURRENT

Parents = Mapping[tuple[Slug, int], SourceModel]
"""The source model by source name and network depth."""


def pretraining(spec: ExperimentSpec, source: Source, depth: int, manifest: Manifest) -> RunSpec:
    """The run that trains a source's default model of one depth on every study of its cohort.

    Raises SpecError if the cohort was preprocessed for another task or spacing, is empty, or is so small that training
    ends within the warm-up.
    """
    task, training = source.task or spec.task, source.training or spec.training
    check_fits(spec, task, manifest)
    if not manifest.studies:
        raise SpecError(f"cohort {manifest.cohort}: no studies to train {source.model} on; preprocess it again")
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


def testing_run(card: ModelCard, manifest: Manifest) -> RunSpec:
    """The run that tests a registered model on every study of a cohort, without training.

    Raises SpecError if the model is for another task or spacing than the cohort.
    """
    if not same_task(card.task, manifest.task) or card.spacing_mm != manifest.spacing_mm:
        wanted, found = told_apart(card.task, manifest.task)
        raise SpecError(
            f"model {card.name}@{card.version} is for {wanted} at {card.spacing_mm} mm, "
            f"but cohort {manifest.cohort} was preprocessed for {found} at {manifest.spacing_mm} mm; "
            "preprocess the cohort for the model"
        )
    if card.strip and not manifest.strip:
        raise SpecError(
            f"model {card.full_name} is for skull-stripped heads, but cohort {manifest.cohort} was preprocessed "
            "without stripping; preprocess it with --strip or, if its images come skull-stripped, with --stripped"
        )
    return RunSpec.named(
        experiment=f"evaluate-{card.name}",
        task=card.task,
        channels=card.channels,
        spacing_mm=card.spacing_mm,
        cell=Cell(arm="default", source=card.name, training_size=0, fold=1, seed=0, depth=card.architecture.depth),
        cohort=manifest.cohort,
        manifest=manifest.id,
        train=(),
        test=manifest.studies,
        parent=Parent(model=ModelName(name=card.name, version=card.version), weights_sha256=card.weights_sha256),
        architecture=card.architecture,
        training=TrainingConfig(patch_voxels=card.patch_voxels),
        inference=card.inference,
        metric=MetricDefinition(),
        seed=0,
        versions=CURRENT,
    )


def make_plan(
    spec: ExperimentSpec,
    manifest: Manifest,
    split: Split,
    parents: Parents,
    endpoint: Endpoint | None = None,
    left_out: Sequence[LeftOut] = (),
    marked: Marked = unmarked,
) -> Plan:
    """Resolve every cell to a complete run. `endpoint`: that of the experiment's first plan; None: this is the first.
    `left_out`: the sites that are not in the manifest because their policies forbid it. `marked`: recognises patients.

    Raises SpecError with all faults if the target's manifest, its split or the source models do not fit the spec, and
    DatasetError if a fold would leak a patient or an image from training to testing.
    """
    check_fits(spec, spec.task, manifest)
    subsets = subsets_of(split, manifest)
    faults = [
        *_misfits(spec, parents),
        *_shared_with_sources(spec, manifest, parents, marked),
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
    return Plan.named(
        spec=spec,
        manifest=manifest.id,
        split=split.id,
        versions=CURRENT,
        runs=tuple(runs),
        endpoint=endpoint or spec.endpoint,
        left_out=tuple(left_out),
    )


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
        return spec.training_of(cell.arm, cell)
    if cell.source is None:
        return spec.training
    # Inference windows have the size of the patches that the network was trained on.
    patch_voxels = parents[cell.source, cell.depth].card.patch_voxels
    return spec.training.model_copy(update={"patch_voxels": patch_voxels})


def check_fits(spec: ExperimentSpec, task: Task, manifest: Manifest) -> None:
    """Raises SpecError if a cohort was preprocessed for another task, spacing or stripping than the experiment's."""
    declared = spec.cohorts[manifest.cohort].strip if manifest.cohort in spec.cohorts else manifest.strip
    if declared != manifest.strip:
        raise SpecError(
            f"cohort {manifest.cohort}: experiment {spec.name} declares {_stripping(declared)}, but the cohort was "
            f"preprocessed with {_stripping(manifest.strip)}; preprocess it again"
            + {"deepbet": " with --strip", "already": " with --stripped", None: ""}[declared]
        )
    if same_task(task, manifest.task) and spec.spacing_mm == manifest.spacing_mm:
        return
    wanted, found = told_apart(task, manifest.task)
    raise SpecError(
        f"cohort {manifest.cohort}: experiment {spec.name} needs {wanted} at {spec.spacing_mm} mm, "
        f"but the cohort was preprocessed for {found} at {manifest.spacing_mm} mm; preprocess it again"
    )


def _stripping(strip: Stripping | None) -> str:
    return f"strip: {strip}" if strip else "no stripping"


def _misfits(spec: ExperimentSpec, parents: Parents) -> Iterable[str]:
    """One fault for each source model that differs from the spec in more than its adaptation declares."""
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
            if card.strip and not spec.cohorts[spec.target.cohort].strip:
                faults.append("it was trained on skull-stripped heads: declare strip for every cohort")
            if card.members:
                faults.append(f"wanted one network to start from, found an ensemble of {card.networks}")
            if card.architecture.depth != depth and spec.default_tested_on != "nothing":
                faults.append("randomly initialised levels cannot be tested untrained; set default_tested_on: nothing")
            if faults:
                yield (
                    f"default model {card.name}@{card.version} does not fit experiment {spec.name} at depth {depth}: "
                    + "; ".join(faults)
                    + "; declare the difference in the experiment file, or pretrain another model"
                )


def _shared_with_sources(spec: ExperimentSpec, manifest: Manifest, parents: Parents, marked: Marked) -> Iterable[str]:
    """One fault for each source model whose training data, or whose parent's, overlap with the target cohort.

    Images are compared by their voxels, in any storage order and scale; likely copies of an image or a mask are faults
    too. Patient labels are compared only within a cohort or between cohorts of one patient register: every dataset has
    a sub-01. `marked` studies of one entry of the consortium's register are of one patient.
    """
    target = marked(manifest.studies, manifest.cohort)
    for source in spec.sources:
        models = [parents[source.model, depth] for depth in spec.network_depths]
        for card in {card.version: card for model in models for card in model.imported}.values():
            if _one_register(spec, card.cohort) and (found := dict(declared_overlaps(manifest.studies, card))):
                yield (
                    f"source {source.model}: target {manifest.cohort}: {', '.join(found)}: "
                    f"{', '.join(sorted(set(found.values())))}; never test a model on its training data"
                )
        runs = {run.run_id: run for model in models for run in model.made_by}
        for run in runs.values():
            trained, same_people = marked(run.train, run.cohort), _one_register(spec, run.cohort)
            shared = [entry.study for entry in target if trained_on(entry, trained, same_people=same_people)]
            if shared:
                yield (
                    f"source {source.model}: its training cohort {run.cohort} shares images or patients with the "
                    f"target {manifest.cohort} ({', '.join(shared)}); never test a model on its training data"
                )
            copies = likely_copies(manifest.studies, run.train)
            pairs = {entry.study: seen.study for entry, seen, _ in copies if entry.study not in shared}
            if pairs:
                named = ", ".join(f"{study}, like {seen} there" for study, seen in pairs.items())
                yield (
                    f"source {source.model}: studies of the target {manifest.cohort} are likely copies of studies in "
                    f"its training cohort {run.cohort} ({named}); compare them, then exclude them from one cohort"
                )


def _one_register(spec: ExperimentSpec, cohort: Slug) -> bool:
    """Whether patient labels of a cohort mean the same people as those of the target."""
    register, other = (
        spec.cohorts[name].patient_register if name in spec.cohorts else None for name in (spec.target.cohort, cohort)
    )
    return cohort == spec.target.cohort or (register is not None and register == other)


def _sizes_out_of_reach(spec: ExperimentSpec, subsets: Sequence[Subset]) -> Iterable[str]:
    for size in spec.training_sizes:
        if spec.target.design == "cross-site":
            yield from _unequal_sites(spec, subsets, size)
            continue
        found = max(len(fold_of(subsets, spec.target, size, fold).train) for fold in spec.fold_numbers)
        if found < size:
            yield f"training_sizes: wanted {size} studies, but the largest {spec.target.design} fold has {found}"


def _unequal_sites(spec: ExperimentSpec, subsets: Sequence[Subset], size: int) -> Iterable[str]:
    """One fault for each site that cannot train as many studies as the others."""
    fewest: dict[str, int] = {}
    for fold in spec.fold_numbers:
        trained_on = spec.target.train_site(fold) or ""
        found = len(fold_of(subsets, spec.target, size, fold).train)
        fewest[trained_on] = min(found, fewest.get(trained_on, found))
    for trained_on, found in fewest.items():
        if found < size:
            yield (
                f"training_sizes: cross-site trains every network on the same number of studies; wanted {size}, but a "
                f"fold of {trained_on} has {found}; give smaller sizes, more subsets, or leave the site out"
            )


def _lacking_second_masks(spec: ExperimentSpec, subsets: Sequence[Subset]) -> Iterable[str]:
    rated = [cell.fold for cell in cells(spec) if cell.arm == "rater"]
    lacking = [entry.study for fold in rated for entry in subsets[fold - 1] if not entry.second_rater]
    if lacking:
        yield (
            f"rater_tested_on: wanted a second rater's mask for every tested study, found none for "
            f"{', '.join(lacking)}; add these masks, draw subset 1 from studies with a second mask "
            "(second_rater_first: true), or set rater_tested_on: nothing"
        )
