"""An experiment whose networks are finished but were never trained: its plan, ledger entries and models in a store."""

from __future__ import annotations

from lesionlab.experiments.registry import card_of_run
from lesionlab.experiments.store_planning import plan_experiment
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import UNet, build_unet
from lesionlab.model.weights import sha256_of, weights_bytes
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store
from lesionlab.store.tables import write_rows
from storage_schemas import keys
from storage_schemas.experiments import ExperimentSpec, Plan
from storage_schemas.models import TensorTransfer
from storage_schemas.runs import RunSpec
from tests.experiments.drawn import cohort_of, ledger_entry
from tests.parts import contribute

SPEC = {
    "name": "alone",
    "title": "de novo alone",
    "task": "flair-single",
    "spacing_mm": 3.0,
    "cohorts": {"ms": {}},
    "target": {"cohort": "ms", "subsets": 3, "subset_size": 2},
    "training_sizes": [2, 4],
    "architecture": {"depth": 1, "base_channels": 2},
    "training": {"patch_voxels": 16, "batch_size": 2},
    "inference": {"step_voxels": 16, "threshold": 0.01},
}
"""Three folds of two sizes, de novo."""


def finish_experiment(store: Store, **changes: object) -> Plan:
    """Plan the experiment on drawn studies and finish its runs; equal runs have equal networks."""
    cohort = cohort_of(6, spacing_mm=3.0)
    contribute(store, cohort)
    plan = plan_experiment(ExperimentSpec.model_validate(SPEC | changes), store)
    store_plan(store, plan)
    for run in plan.runs:
        finish(store, run)
    return plan


def finish(store: Store, run: RunSpec, network: UNet | None = None) -> None:
    """Store the run's network and its ledger entry; without a network, one that is drawn from the run's id."""
    network = network or build_unet(run.architecture, channels=1, seed=int(run.run_id, 16) % 2**32)
    weights = weights_bytes(network)
    card = card_of_run(run, sha256_of(weights))
    entry = ledger_entry(run.run_id, experiment=run.experiment, tested=len(run.test), lesionlab="0")
    store.put(keys.RUN_WEIGHTS.build(run_id=run.run_id), weights)
    write_rows(store, keys.RUN_TRANSFER.build(run_id=run.run_id), random_start(network), TensorTransfer)
    write_document(store, keys.RUN_CARD.build(run_id=run.run_id), card)
    write_document(store, keys.RUN_SPEC.build(run_id=run.run_id), run)
    write_document(store, keys.LEDGER.build(run_id=run.run_id), entry)
