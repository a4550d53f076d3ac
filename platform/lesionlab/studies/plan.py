"""From a study file to runs: StudySpec, manifests and registered models in; cells, and from them RunSpecs, out.

Enumeration is a list of values: nothing is computed, so a plan costs no GPU second.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from lesionlab.errors import SpecError
from lesionlab.studies.code import RUNS, code_version
from lesionlab.studies.splits import Fold, rotate, rotating_subsets
from storage_schemas.base import Slug
from storage_schemas.manifests import Manifest
from storage_schemas.models import ModelCard, ModelName
from storage_schemas.runs import Cell, Parent, Plan, RunSpec, Source, StudySpec
from storage_schemas.tasks import TASKS


def cells(spec: StudySpec) -> tuple[Cell, ...]:
    """Every cell of the design, in the order of the paper's tables: default models, then size by size.

    Default models are tested untrained on subset 1, as in the paper; all others once on every subset.
    """
    untrained = [
        Cell(arm="default", source=source.model, training_size=0, fold=1, seed=spec.seeds[0]) for source in spec.sources
    ]
    origins = [None, *(source.model for source in spec.sources)]
    folds = range(1, spec.target.subsets + 1)
    trained = [
        Cell(arm="fine-tuned" if origin else "de-novo", source=origin, training_size=size, fold=fold, seed=seed)
        for size, origin, fold, seed in product(spec.training_sizes, origins, folds, spec.seeds)
    ]
    return (*untrained, *trained)


def trainings(spec: StudySpec) -> int:
    """How many networks the sweep trains; default models, which it only tests, not counted."""
    return sum(cell.arm != "default" for cell in cells(spec))


def pretraining(spec: StudySpec, source: Source, manifest: Manifest) -> RunSpec:
    """The run that makes a source's default model from every study of its cohort.

    Raises SpecError where the cohort was prepared for another task or spacing, or is empty.
    """
    _fits(spec, manifest)
    if not manifest.studies:
        raise SpecError(f"cohort {manifest.cohort}: no study to train {source.model} on; preprocess its dataset again")
    return RunSpec(
        study_name=source.model,
        task=spec.task,
        channels=TASKS[spec.task].channel_names,
        spacing_mm=spec.spacing_mm,
        cell=None,
        cohort=manifest.cohort,
        train=manifest.studies,
        test=(),
        parent=None,
        architecture=spec.architecture,
        training=source.training or spec.training,
        inference=spec.inference,
        metric=spec.metric,
        seed=spec.seeds[0],
        code_version=code_version(RUNS),
    )


def make_plan(spec: StudySpec, manifests: Mapping[Slug, Manifest], parents: Mapping[Slug, ModelCard]) -> Plan:
    """Resolve every cell to a complete run.

    `manifests` holds the manifests of the target and of all source cohorts, `parents` the card of every source.
    Raises SpecError where they do not fit the spec, DatasetError where the target cannot be split without a leak.
    """
    target = manifests[spec.target.cohort]
    _fits(spec, target)
    _sources_are_apart(spec, manifests)
    subsets = rotating_subsets(target, spec.target)
    channels = TASKS[spec.task].channel_names
    for card in parents.values():
        _can_start_from(spec, card)
    version = code_version(RUNS)
    runs = []
    for cell in cells(spec):
        if cell.arm == "default":
            fold = Fold(train=(), test=subsets[cell.fold - 1])
        else:
            fold = rotate(subsets, cell.training_size, cell.fold)
        runs.append(
            RunSpec(
                study_name=spec.name,
                task=spec.task,
                channels=channels,
                spacing_mm=spec.spacing_mm,
                cell=cell,
                cohort=target.cohort,
                train=fold.train,
                test=fold.test,
                parent=_parent(parents[cell.source]) if cell.source else None,
                architecture=spec.architecture,
                training=spec.training,
                inference=spec.inference,
                metric=spec.metric,
                seed=cell.seed,
                code_version=version,
            )
        )
    return Plan(spec=spec, manifest=target.digest(), runs=tuple(runs))


def _parent(card: ModelCard) -> Parent:
    return Parent(model=ModelName(name=card.name, version=card.version), weights_sha256=card.weights_sha256)


def _fits(spec: StudySpec, manifest: Manifest) -> None:
    wanted, found = (spec.task, spec.spacing_mm), (manifest.task, manifest.spacing_mm)
    if wanted != found:
        raise SpecError(
            f"cohort {manifest.cohort}: study {spec.name} wants {wanted[0]} at {wanted[1]} mm, "
            f"but the cohort was prepared for {found[0]} at {found[1]} mm; preprocess it again"
        )


def _can_start_from(spec: StudySpec, card: ModelCard) -> None:
    pairs = {
        "task": (spec.task, card.task),
        "channels": (TASKS[spec.task].channel_names, card.channels),
        "spacing_mm": (spec.spacing_mm, card.spacing_mm),
        "architecture": (spec.architecture, card.architecture),
    }
    faults = [f"{name}: wanted {wanted}, found {found}" for name, (wanted, found) in pairs.items() if wanted != found]
    if faults:
        raise SpecError(
            f"default model {card.name}@{card.version} does not fit study {spec.name}: "
            + "; ".join(faults)
            + "; change the study file or pretrain another model"
        )


def _sources_are_apart(spec: StudySpec, manifests: Mapping[Slug, Manifest]) -> None:
    """A study that a default model was trained on must never test it."""
    target = manifests[spec.target.cohort]
    for source in spec.sources:
        if source.cohort is None:
            continue
        images = {entry.image_sha256 for entry in target.studies}
        shared = [entry.study for entry in manifests[source.cohort].studies if entry.image_sha256 in images]
        if shared:
            raise SpecError(
                f"source {source.model}: its cohort {source.cohort} shares images with the target {target.cohort} "
                f"({', '.join(shared)}); a model must not be tested on what it was trained on"
            )
