"""A small finished study, drawn from known effects: its plan, its rows, and (for slices) its volumes in a store."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lesionlab.analysis.report import ReportResult, write_report
from lesionlab.experiments.registry import card_of_run
from lesionlab.store.arrays import write_group
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import write_rows
from storage_schemas import keys
from storage_schemas.base import digest_of
from storage_schemas.cohorts import Cohort, CohortPlan
from storage_schemas.experiments import ExperimentSpec, Plan, Source
from storage_schemas.facts import StudyFacts
from storage_schemas.manifests import Exclusion, Manifest, ManifestEntry
from storage_schemas.models import ModelCard, ModelName
from storage_schemas.results import LesionRow, StudyColumns, StudyRow
from storage_schemas.runs import Cell, Parent, RunSpec
from storage_schemas.splits import Split, Target
from storage_schemas.tasks import TASKS
from storage_schemas.verdicts import Finding, StudyVerdict, VerdictRow
from storage_schemas.versions import CURRENT
from storage_schemas.volumes import (
    ATTRIBUTE,
    PREDICTION_ATTRIBUTE,
    Grid,
    Normalisation,
    PredictionCard,
    StudyVolumeCard,
)

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
def spec() -> ExperimentSpec:
    return ExperimentSpec(
        name="drawn",
        title="A drawn study",
        task=TASKS["flair-single"],
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
def manifest(spec: ExperimentSpec) -> Manifest:
    rng = np.random.default_rng(5)
    return Manifest.named(
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
        excluded=(
            Exclusion(
                study="sub-013",
                findings=(Finding(code="mask-not-binary", place="mask", what="<empty> & not binary: values 0, 1, 7"),),
            ),
        ),
        parts={"north": "a" * 16},
    )


@pytest.fixture(scope="session")
def split(spec: ExperimentSpec, manifest: Manifest) -> Split:
    names = [entry.study for entry in manifest.studies]
    subsets = tuple(tuple(names[start : start + SUBSET_SIZE]) for start in range(0, len(names), SUBSET_SIZE))
    return Split.named(manifest=manifest.id, target=spec.target, subsets=subsets, unused=())


@pytest.fixture(scope="session")
def plan(spec: ExperimentSpec, manifest: Manifest, split: Split) -> Plan:
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
        return RunSpec.named(
            experiment=spec.name,
            task=spec.task,
            channels=("flair",),
            spacing_mm=spec.spacing_mm,
            cell=cell,
            cohort=spec.target.cohort,
            manifest=manifest.id,
            train=tuple(entry for subset in before for entry in subset),
            test=subsets[cell.fold - 1],
            parent=parent if cell.source else None,
            architecture=spec.architecture,
            training=spec.training,
            inference=spec.inference,
            metric=spec.metric,
            seed=cell.seed,
            versions=CURRENT,
        )

    return Plan.named(
        spec=spec, manifest=manifest.id, split=split.id, versions=CURRENT, runs=tuple(run(cell) for cell in cells)
    )


@pytest.fixture(scope="session")
def cells(plan: Plan) -> tuple[Cell, ...]:
    return tuple(run.cell for run in plan.runs if run.cell is not None)


def draw_row(run: RunSpec, position: int, rng: np.random.Generator) -> StudyRow:
    """One tested study: true and false positives are drawn at the arm's known rates."""
    entry = run.test[position - 1]
    kind = (run.cell.arm, run.cell.training_size)
    found, wrong = int(rng.binomial(entry.lesions, DETECTION[kind])), int(rng.poisson(SPURIOUS[kind]))
    return StudyRow(
        **run.columns().model_dump(),
        study=entry.study,
        patient=entry.patient,
        site=entry.site,
        position=position,
        definition=run.metric.label(),
        reference_lesions=entry.lesions,
        predicted_lesions=found + wrong,
        true_positives=found,
        false_positives=wrong,
        sensitivity=found / entry.lesions,
        ppv=found / (found + wrong) if found + wrong else None,
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
                    "source": None if arm in ("de-novo", "rater") else "drawn-glioma",
                    "training_size": size,
                    "fold": fold,
                    "position": position,
                    "study": f"sub-{fold}{position:02d}",
                    "patient": f"{fold}{position:02d}",
                    "seed": seed,
                    "sensitivity": value,
                }
            )
            for (arm, size), studies in values.items()
            for (fold, position), value in studies.items()
        ]

    return build


NATIVE_SHAPE = (14, 16, 6)
NATIVE = Grid(shape=NATIVE_SHAPE, affine=((-2, 0, 0, 14), (0, 2, 0, -16), (0, 0, 4, -12), (0, 0, 0, 1)))
"""A head of 28 × 32 × 24 mm, stored from right to left as scanners often do."""


def draw_study(entry: ManifestEntry, spec: ExperimentSpec) -> tuple[StudyVolumeCard, dict[str, np.ndarray]]:
    """A bright ball for a head, and one lesion per study, in its upper half at the patient's right."""
    model_grid = Grid(shape=(14, 16, 12), affine=((2, 0, 0, -12), (0, 2, 0, -16), (0, 0, 2, -12), (0, 0, 0, 1)))
    where_ijk = np.stack(np.meshgrid(*(np.arange(n) for n in model_grid.shape), indexing="ij"), axis=-1)
    where_mm = where_ijk * 2.0 - [12, 16, 12]
    image = np.where(np.linalg.norm(where_mm, axis=-1) < 12, 1.0, -1.0) + 0.1 * np.sin(where_mm).sum(axis=-1)
    native_label = np.zeros(NATIVE_SHAPE, dtype=np.uint8)
    native_label[4, 8, 3] = 1
    native_label[3:5, 7:9, 4] = 1
    card = StudyVolumeCard(
        study=entry.study,
        patient=entry.patient,
        site=entry.site,
        task=spec.task,
        channels=("flair",),
        spacing_mm=2.0,
        model_grid=model_grid,
        native_grid=NATIVE,
        normalisation=(Normalisation(image="flair", mean=100.0, sd=20.0),),
        sources=(),
        version=1,
    )
    return card, {"image": image[None].astype(np.float16), "native_label": native_label}


def draw_lesions(row: StudyRow) -> list[LesionRow]:
    """Of the one lesion of the study and the one of the prediction, as if their overlap were not enough for a hit."""
    columns = {name: getattr(row, name) for name in StudyColumns.model_fields}
    reference = LesionRow(
        **columns, side="reference", lesion=1, outcome="missed", volume_mm3=80, x_mm=7, y_mm=-1, z_mm=3.2, overlap=0.4
    )
    return [
        reference,
        reference.model_copy(
            update={
                "side": "prediction",
                "outcome": "false-positive",
                "volume_mm3": 128.0,
                "x_mm": 5.0,
                "y_mm": 1.0,
                "z_mm": 2.0,
            }
        ),
    ]


WEIGHTS = "e" * 64
"""What every trained model's card says of its weights."""


def draw_card(run: RunSpec) -> ModelCard:
    """Of the model that a run trained."""
    return card_of_run(run, WEIGHTS)


@pytest.fixture(scope="session")
def draw_store(plan: Plan, manifest: Manifest, split: Split, rows: list[StudyRow]) -> Callable[..., Store]:
    """Makes stores with all that a finished study leaves: manifest, volumes, models' cards, rows and predictions."""

    def build(uri: str = "memory://") -> Store:
        store = open_store(uri)
        cohort = {"cohort": manifest.cohort, "digest": manifest.id}
        write_document(store, keys.MANIFEST.build(**cohort), manifest)
        write_document(store, keys.SPLIT.build(cohort=manifest.cohort, digest=split.id), split)
        facts = [
            StudyFacts(study=e.study, patient=e.patient, site=e.site, field_strength_t=3) for e in manifest.studies
        ]
        tables = cohort | {"site": "north", "digest": manifest.parts["north"]}
        write_rows(store, keys.FACTS.build(**tables), facts, StudyFacts)
        outside = (
            StudyVerdict(study=e.study, patient="013", site="north", findings=e.findings) for e in manifest.excluded
        )
        verdicts = [row for verdict in outside for row in verdict.rows()]
        write_rows(store, keys.VERDICTS.build(**tables), verdicts, VerdictRow)
        for entry in manifest.studies:
            card, arrays = draw_study(entry, plan.spec)
            key = entry.volume_key
            write_group(store, key, arrays, {ATTRIBUTE: card.stored_form()})
        for run in plan.runs:
            own = [row for row in rows if row.run_id == run.run_id]
            place = {"experiment": plan.spec.name, "run_id": run.run_id}
            write_rows(store, keys.STUDY_ROWS.build(**place), own, StudyRow)
            if run.cell.arm in ("fine-tuned", "de-novo"):
                write_document(store, keys.RUN_CARD.build(run_id=run.run_id), draw_card(run))
            lesions = [lesion for row in own for lesion in draw_lesions(row)]
            write_rows(store, keys.LESION_ROWS.build(**place), lesions, LesionRow)
            for entry in run.test:
                mask = np.zeros(NATIVE_SHAPE, dtype=np.uint8)
                mask[4:6, 8:10, 3:5] = 1
                card = PredictionCard(run_id=run.run_id, study=entry.study, native_grid=NATIVE)
                key = keys.PREDICTION.build(run_id=run.run_id, study=entry.study)
                write_group(store, key, {"mask": mask}, {PREDICTION_ATTRIBUTE: card.stored_form()})
        return store

    return build


@pytest.fixture
def drawn_store(draw_store: Callable[[], Store]) -> Store:
    """A finished study that the test may change."""
    return draw_store()


NULL_REPETITIONS = 1
"""The null test costs the most, and has tests of its own."""


@pytest.fixture(scope="session")
def written(draw_store: Callable[[], Store], plan: Plan) -> tuple[Store, ReportResult]:
    """A finished study with its report, for tests that only read."""
    store = draw_store()
    return store, write_report(store, plan, NULL_REPETITIONS)
