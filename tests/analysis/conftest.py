"""A small finished study, drawn from known effects: its plan, its rows, and (for slices) its volumes in a store."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from storage_schemas.base import digest_of
from storage_schemas.cohorts import CohortPlan
from storage_schemas.manifests import Exclusion, Manifest, ManifestEntry
from storage_schemas.models import ModelName
from storage_schemas.results import StudyRow
from storage_schemas.runs import Cell, Cohort, Parent, Plan, RunSpec, Source, StudySpec, Target

SUBSETS, SUBSET_SIZE = 3, 4
DETECTION = {
    ("default", 0): 0.35,
    ("fine-tuned", 4): 0.6,
    ("fine-tuned", 8): 0.7,
    ("de-novo", 4): 0.3,
    ("de-novo", 8): 0.5,
}
SPURIOUS = {
    ("default", 0): 0.4,
    ("fine-tuned", 4): 2.0,
    ("fine-tuned", 8): 1.5,
    ("de-novo", 4): 9.0,
    ("de-novo", 8): 5.0,
}


@pytest.fixture(scope="session")
def spec() -> StudySpec:
    return StudySpec(
        name="drawn",
        title="A drawn study",
        task="flair-single",
        spacing_mm=2.0,
        cohorts={
            "drawn-ms": Cohort(simulate=CohortPlan(pathology="ms", studies=12, seed=1)),
            "drawn-glioma": Cohort(simulate=CohortPlan(pathology="glioma", studies=6, seed=2)),
        },
        target=Target(cohort="drawn-ms", subsets=SUBSETS, subset_size=SUBSET_SIZE),
        sources=(Source(model="drawn-glioma", cohort="drawn-glioma"),),
        training_sizes=(4, 8),
    )


@pytest.fixture(scope="session")
def manifest(spec: StudySpec) -> Manifest:
    rng = np.random.default_rng(5)
    return Manifest(
        cohort=spec.target.cohort,
        task=spec.task,
        spacing_mm=spec.spacing_mm,
        studies=tuple(
            ManifestEntry(
                study=f"sub-{number:03d}",
                patient=f"{number:03d}",
                site=("north", "south")[number % 2],
                volume=digest_of(number),
                image_sha256=digest_of(number) * 4,
                lesions=int(rng.integers(3, 40)),
                lesion_volume_ml=float(rng.uniform(0.5, 20)),
            )
            for number in range(1, SUBSETS * SUBSET_SIZE + 1)
        ),
        excluded=(Exclusion(study="sub-013", faults=("mask <empty> & not binary: values 0, 1, 7",)),),
    )


@pytest.fixture(scope="session")
def plan(spec: StudySpec, manifest: Manifest) -> Plan:
    subsets = [manifest.studies[start : start + SUBSET_SIZE] for start in range(0, len(manifest.studies), SUBSET_SIZE)]
    cells = [Cell(arm="default", source="drawn-glioma", training_size=0, fold=1, seed=0)] + [
        Cell(arm=arm, source=source, training_size=size, fold=fold, seed=0)
        for size in spec.training_sizes
        for arm, source in (("fine-tuned", "drawn-glioma"), ("de-novo", None))
        for fold in range(1, SUBSETS + 1)
    ]
    parent = Parent(model=ModelName(name="drawn-glioma", version="a" * 16), weights_sha256="b" * 64)

    def run(cell: Cell) -> RunSpec:
        before = [subsets[(cell.fold - 2 - back) % SUBSETS] for back in range(cell.training_size // SUBSET_SIZE)]
        return RunSpec(
            study_name=spec.name,
            task=spec.task,
            channels=("flair",),
            spacing_mm=spec.spacing_mm,
            cell=cell,
            cohort=spec.target.cohort,
            train=tuple(entry for subset in before for entry in subset),
            test=subsets[cell.fold - 1],
            parent=parent if cell.source else None,
            architecture=spec.architecture,
            training=spec.training,
            inference=spec.inference,
            metric=spec.metric,
            seed=cell.seed,
            code_version="c" * 16,
        )

    return Plan(spec=spec, manifest=manifest.digest(), runs=tuple(run(cell) for cell in cells))


@pytest.fixture(scope="session")
def cells(plan: Plan) -> tuple[Cell, ...]:
    return tuple(run.cell for run in plan.runs if run.cell is not None)


def draw_row(run: RunSpec, position: int, rng: np.random.Generator) -> StudyRow:
    """One tested study: lesions found and spurious drawn with the arm's known rates."""
    entry = run.test[position - 1]
    kind = (run.cell.arm, run.cell.training_size)
    found, spurious = int(rng.binomial(entry.lesions, DETECTION[kind])), int(rng.poisson(SPURIOUS[kind]))
    return StudyRow(
        **run.columns().model_dump(),
        study=entry.study,
        patient=entry.patient,
        site=entry.site,
        position=position,
        definition=run.metric.label(),
        reference_lesions=entry.lesions,
        predicted_lesions=found + spurious,
        found=found,
        spurious=spurious,
        sensitivity=found / entry.lesions,
        ppv=found / (found + spurious) if found + spurious else None,
        dice=float(np.clip(rng.normal(DETECTION[kind] * 0.9, 0.05), 0, 1)),
        reference_ml=entry.lesion_volume_ml,
        predicted_ml=entry.lesion_volume_ml * float(rng.uniform(0.6, 1.2)),
        inference_s=float(rng.uniform(1, 2)),
    )


@pytest.fixture(scope="session")
def rows(plan: Plan) -> list[StudyRow]:
    rng = np.random.default_rng(11)
    return [draw_row(run, position, rng) for run in plan.runs for position in range(1, len(run.test) + 1)]


@pytest.fixture(scope="session")
def table_of(rows: list[StudyRow]) -> Callable[..., list[StudyRow]]:
    """Rows with hand-written sensitivities: `table_of({("de-novo", 4): {(fold, position): value, …}, …})`."""

    def build(values: dict[tuple[str, int], dict[tuple[int, int], float | None]], seed: int = 0) -> list[StudyRow]:
        return [
            rows[0].model_copy(
                update={
                    "arm": arm,
                    "source": None if arm == "de-novo" else "drawn-glioma",
                    "training_size": size,
                    "fold": fold,
                    "position": position,
                    "study": f"sub-{fold}{position:02d}",
                    "seed": seed,
                    "sensitivity": value,
                }
            )
            for (arm, size), studies in values.items()
            for (fold, position), value in studies.items()
        ]

    return build
