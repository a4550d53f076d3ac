"""The experiment of the drill: drawn studies, a default model, four trainings; and the digests of its results."""

from __future__ import annotations

import hashlib
import io
import json

import pyarrow.parquet

from lesionlab.experiments.ledger import ledger_entries
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.store.arrays import write_group
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.manifests import Manifest
from storage_schemas.tasks import TASKS
from storage_schemas.volumes import ATTRIBUTE
from tests.parts import contribute
from tests.training.drawn import draw_study

NAME = "drill"
STEPS_PER_EPOCH = 4

_SPEC = """
name: drill
title: drawn patients, a default model from two others
task: flair-single
spacing_mm: 2.0
cohorts: {drawn-ms: {}, drawn-glioma: {}}
target: {cohort: drawn-ms, subsets: 2, subset_size: 2}
sources:
  - model: drawn-glioma
    cohort: drawn-glioma
    training: &training
      patch_voxels: 16
      patches_per_study: 4
      augmentations: 1
      epochs: 1
      batch_size: 2
      learning_rate: 1.0e-3
training_sizes: [2]
architecture: {depth: 1, base_channels: 2}
training: {<<: *training, epochs: EPOCHS}
inference: {step_voxels: 16}
"""


def spec(epochs: int) -> str:
    """The experiment's file, with this length of each of its four trainings."""
    return _SPEC.replace("EPOCHS", str(epochs))


def store_cohorts(store: Store) -> None:
    """Store volumes and manifests of four and of two drawn studies, as `lesionlab preprocess` leaves them."""
    for cohort, numbers in {"drawn-ms": range(1, 5), "drawn-glioma": range(5, 7)}.items():
        entries = []
        for study in map(draw_study, numbers):
            entry = study.entry.model_copy(update={"image_sha256": study.entry.volume * 4})
            place = entry.volume_key
            arrays = {"image": study.image_CIJK, "label": study.label_IJK, "native_label": study.label_IJK}
            write_group(store, place, arrays, {ATTRIBUTE: study.card.stored_form()})
            entries.append(entry)
        manifest = Manifest.named(cohort=cohort, task=TASKS["flair-single"], spacing_mm=2.0, studies=tuple(entries))
        contribute(store, manifest)


def runs(store: Store) -> list[str]:
    """The ids of the experiment's runs."""
    return [run.run_id for run in current_plan(store, NAME).runs]


def results(store: Store) -> dict[str, str]:
    """Digests of each run's published rows, without the wall times, and of its weights; of complete runs only."""
    found = {}
    for run_id, entry in ledger_entries(store, runs(store)).items():
        for kind in (keys.STUDY_ROWS, keys.LESION_ROWS, keys.OPERATING_ROWS):
            key = kind.build(experiment=NAME, run_id=run_id)
            table = pyarrow.parquet.read_table(io.BytesIO(store.get(key)))
            table = table.drop_columns([name for name in ("inference_s",) if name in table.column_names])
            found[key] = hashlib.sha256(json.dumps(table.to_pylist(), default=str).encode()).hexdigest()
        weights = keys.RUN_WEIGHTS.of(entry.attempt).build(run_id=run_id)
        if store.exists(weights):
            found[f"weights of {run_id}"] = hashlib.sha256(store.get(weights)).hexdigest()
    return found
