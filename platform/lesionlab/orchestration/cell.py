"""Execute one run from its RunSpec to its ledger entry; each worker calls this, under Ray or in one plain process.

It writes the model, result rows, predictions and the ledger entry to the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from torch import nn

from lesionlab.errors import InputError, StoreError, TrainingError, TransferError
from lesionlab.evaluation.study import StudyEvaluation, evaluate_mask, predict_study, store_prediction, worker_share
from lesionlab.experiments.caches.volumes import CachedVolume, open_cached
from lesionlab.experiments.leases import new_submission, this_user
from lesionlab.experiments.ledger import attempt_of, close_run
from lesionlab.experiments.provenance import ALL, code_version, run_libraries
from lesionlab.experiments.publishing import publish
from lesionlab.experiments.registry import card_of_run, find_model, model_weights
from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.experiments.run_history import RunHistory
from lesionlab.experiments.site_policies import refuse_forbidden
from lesionlab.experiments.withdrawn_models import refuse_withdrawn_studies
from lesionlab.model.devices import device_name
from lesionlab.model.ensemble import Ensemble, network_of
from lesionlab.model.transfer import load_pretrained, random_start, unchanged
from lesionlab.model.unet import UNet, build_unet
from lesionlab.model.weights import sha256_of, weights_bytes
from lesionlab.orchestration.attempts import Attempt, claimed
from lesionlab.orchestration.metrics import MeasuredHistory, MeasuredWorker, count_store_errors
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import write_rows
from lesionlab.training.loop import TrainingOutcome, Worker, train
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.manifests import ManifestEntry
from storage_schemas.models import TensorTransfer
from storage_schemas.results import LedgerEntry, LesionRow, OperatingRow, StudyRow
from storage_schemas.runs import RunSpec
from storage_schemas.versions import CURRENT, version_difference

TestedStudy = tuple[StudyRow, tuple[LesionRow, ...], tuple[OperatingRow, ...]]
StudyTester = Callable[[CachedVolume, ManifestEntry, int], Callable[[], StudyEvaluation]]
"""Predict one study and return what is left to do, for which a thread is enough; the last argument is its position in
the test subset, from 1."""

UNTRAINED = TrainingOutcome(epochs=0, steps=0, final_loss=None, seconds=0.0)


def worker_task(run: RunSpec, store_uri: str, cache: Path, submission: Digest | None = None) -> dict[str, str]:
    """Describe the run for a worker on any node: run, store URI, cache folder, and who submitted it, as plain strings.

    Runs with one `submission` belong to one execution of one command; by default this run is one of its own.
    """
    return {
        "run": run.canonical_json(),
        "store": store_uri,
        "cache": str(cache),
        "submission": submission or new_submission(),
        "holder": this_user(),
    }


def run_cell(worker: Worker, task: dict[str, str]) -> None:
    """Train (unless the arm is a default model or a rater), test, and write the ledger entry.

    A run that is complete is left alone. Raises RunHeld if another submission executes it at present, InputError if by
    now a site's policy forbids the run, or a study of it was withdrawn.
    """
    run = RunSpec.model_validate_json(task["run"])
    store, cache = open_store(task["store"]), Path(task["cache"])
    require_versions(run)
    with claimed(worker, run.run_id, store, submission=task["submission"], holder=task["holder"]) as attempt:
        if attempt is not None:
            advice = f"run {run.run_id} was planned before that; plan again with --replan"
            refuse_forbidden(store, (run,), advice)
            refuse_withdrawn_studies(store, (*run.train, *run.test), advice)
            count_store_errors()
            execute_run(MeasuredWorker(attempt.watched(worker), run), run, store, cache, attempt)


def execute_run(worker: Worker, run: RunSpec, store: Store, cache: Path, attempt: Attempt) -> None:
    """Train, test and store everything in the attempt's folder; last the ledger entry, then the experiment's rows."""
    outcome = UNTRAINED
    if run.cell is not None and run.cell.arm == "rater":
        test_study = rater_tester(run)
    else:
        network, transfers = starting_network(run, store)
        if worker.rank == 0:
            write_rows(store, keys.RUN_TRANSFER.of(attempt.name).build(run_id=run.run_id), transfers, TensorTransfer)
        if run.train:
            assert isinstance(network, UNet)  # starting_network refuses to train an ensemble
            volumes = [open_cached(store, entry, cache) for entry in run.train]
            checkpoints = RunCheckpoints(store, run.run_id, attempt.name)
            history = MeasuredHistory(RunHistory(store, run.run_id, attempt.name), run, worker.device)
            outcome = train(run, network, transfers, volumes, checkpoints, worker, cache, history)
            if worker.rank == 0:
                store_model(run, network, store, attempt.name)
        test_study = network_tester(run, network, worker)

    started = time.monotonic()
    tested = worker.gather(tested_share(run, test_study, store, worker, cache, attempt.name))
    if worker.rank != 0:
        return
    if isinstance(worker, MeasuredWorker):
        worker.used(time.monotonic() - started)
    store_rows(run, [study for part in tested for study in part], store, attempt.name)
    write_document(store, keys.RUN_SPEC.build(run_id=run.run_id), run)
    refuse_withdrawn_meanwhile(run, store, attempt.name)
    close_run(
        store,
        LedgerEntry(
            run_id=run.run_id,
            experiment=run.experiment,
            tested=len(run.test),
            epochs=outcome.epochs,
            steps=outcome.steps,
            final_loss=outcome.final_loss,
            workers=worker.world_size,
            device=device_name(worker.device),
            training_s=outcome.seconds,
            evaluation_s=time.monotonic() - started,
            attempt=attempt.name,
            attempts=attempt.number,
            lesionlab=version("lesionlab"),
            code=code_version(ALL),
            libraries=run_libraries(),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
    )
    publish(store, run)
    remove_other_attempts(store, run.run_id)


def refuse_withdrawn_meanwhile(run: RunSpec, store: Store, attempt: Slug) -> None:
    """Raise InputError if a study of the run was withdrawn while it was executed, and remove what the attempt wrote."""
    try:
        refuse_withdrawn_studies(
            store, (*run.train, *run.test), f"run {run.run_id} had begun; plan again with --replan"
        )
    except InputError:
        store.delete_prefix(f"{keys.ATTEMPT.build(run_id=run.run_id, attempt=attempt)}/")
        raise


def remove_other_attempts(store: Store, run_id: Digest) -> None:
    """Of a complete run, remove what does not count: the files of other attempts, and all checkpoints."""
    counts = keys.ATTEMPT.build(run_id=run_id, attempt=attempt_of(store, run_id)) + "/"
    for key in store.list(keys.ATTEMPT.prefix(run_id=run_id)):
        if not key.startswith(counts) or keys.RUN_CHECKPOINT.parse(key):
            store.delete(key)


def require_versions(run: RunSpec) -> None:
    """Raise TrainingError if the run was planned for other result versions than this code has."""
    if run.versions != CURRENT:
        raise TrainingError(f"run {run.run_id}: {version_difference(run.versions)}")


def starting_network(run: RunSpec, store: Store) -> tuple[UNet | Ensemble, tuple[TensorTransfer, ...]]:
    """The network before training, and its weight-transfer report; an ensemble if the run only tests one.

    Raises TransferError if the parent's weights are missing or altered, or if none of them was used.
    """
    network = build_unet(run.architecture, channels=len(run.channels), seed=run.seed)
    if run.parent is None:
        return network, random_start(network)
    name = f"{run.parent.model.name}@{run.parent.model.version}"
    # Check the weights against the sha256 in the run's identity, not against the registry's current card.
    card = find_model(store, name).model_copy(update={"weights_sha256": run.parent.weights_sha256})
    if card.members:
        if run.train:
            raise TransferError(f"model {name}: an ensemble cannot be trained; start from one of its networks")
        ensemble = network_of(card, model_weights(store, card))
        return ensemble, unchanged(ensemble)
    return network, load_pretrained(network, card, model_weights(store, card), run.channels, run.parent.adaptation)


def network_tester(run: RunSpec, network: nn.Module, worker: Worker) -> StudyTester:
    """Test studies by the network's predictions."""

    def test_study(volume: CachedVolume, entry: ManifestEntry, position: int) -> Callable[[], StudyEvaluation]:
        return predict_study(run, network, volume, entry, position, worker.device)

    return test_study


def rater_tester(run: RunSpec) -> StudyTester:
    """Test studies by the second rater's masks, scored like a model's predictions."""

    def test_study(volume: CachedVolume, entry: ManifestEntry, position: int) -> Callable[[], StudyEvaluation]:
        if volume.second_label_ijk is None:
            raise StoreError(
                f"{entry.study}: the manifest lists a second rater's mask, but its volume {entry.volume} has none; "
                "preprocess the cohort again"
            )
        return partial(evaluate_mask, run, volume.second_label_ijk, volume, entry, position, inference_s=0.0)

    return test_study


def tested_share(
    run: RunSpec, test_study: StudyTester, store: Store, worker: Worker, cache: Path, attempt: Slug
) -> list[TestedStudy]:
    """Test this worker's share of the studies and store the predictions; each study is tested by one worker.

    A thread scores and stores a study while the network has the next one; at most one study waits for it.
    """
    positions = {entry.study: place for place, entry in enumerate(run.test, start=1)}
    tested: list[TestedStudy] = []

    def finish(rest: Callable[[], StudyEvaluation]) -> TestedStudy:
        evaluation = rest()
        store_prediction(store, evaluation, attempt)
        return evaluation.row, evaluation.lesions, evaluation.operating

    with ThreadPoolExecutor(1, thread_name_prefix="lesionlab-score") as beside:
        before: Future[TestedStudy] | None = None
        for entry in worker_share(run.test, worker.rank, worker.world_size):
            rest = test_study(open_cached(store, entry, cache), entry, positions[entry.study])
            if before is not None:
                tested.append(before.result())
            before = beside.submit(finish, rest)
        if before is not None:
            tested.append(before.result())
    return tested


def store_model(run: RunSpec, network: UNet, store: Store, attempt: Slug) -> None:
    """Store the weights and then the model card."""
    weights = weights_bytes(network)
    store.put(keys.RUN_WEIGHTS.of(attempt).build(run_id=run.run_id), weights)
    card = card_of_run(run, sha256_of(weights))
    write_document(store, keys.RUN_CARD.of(attempt).build(run_id=run.run_id), card)


def store_rows(run: RunSpec, tested: list[TestedStudy], store: Store, attempt: Slug) -> None:
    """Store one Parquet part each of study rows, lesion rows and rows at all thresholds; a pretraining run has none."""
    if run.cell is None:
        return
    ordered = sorted(tested, key=lambda study: study[0].position)
    found, wanted = [row.study for row, _, _ in ordered], [entry.study for entry in run.test]
    if found != wanted:
        raise AssertionError(f"run {run.run_id}: wanted one row for each of {wanted}, found {found}")
    lesions = [lesion for _, own, _ in ordered for lesion in own]
    points = [point for _, _, own in ordered for point in own]
    rows = [row for row, _, _ in ordered]
    write_rows(store, keys.RUN_LESION_ROWS.of(attempt).build(run_id=run.run_id), lesions, LesionRow)
    write_rows(store, keys.RUN_OPERATING_ROWS.of(attempt).build(run_id=run.run_id), points, OperatingRow)
    write_rows(store, keys.RUN_STUDY_ROWS.of(attempt).build(run_id=run.run_id), rows, StudyRow)
