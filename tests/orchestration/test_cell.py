"""A run counts as done only when all its output is stored, and never starts from altered weights."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from lesionlab.errors import InputError, RunHeld, StoreError, TrainingError, TransferError
from lesionlab.evaluation.study import StudyEvaluation, evaluate_study
from lesionlab.experiments import leases
from lesionlab.experiments.caches.volumes import CachedVolume, open_cached
from lesionlab.experiments.leases import claim_run
from lesionlab.experiments.ledger import completed, ledger_entries
from lesionlab.experiments.publishing import publish, publish_missing
from lesionlab.experiments.registry import card_of_run
from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.experiments.run_history import stored_history
from lesionlab.experiments.withdrawal import withdraw
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import sha256_of, weights_bytes
from lesionlab.orchestration import cell
from lesionlab.orchestration.cell import run_cell, starting_network, worker_task
from lesionlab.orchestration.execution import execute
from lesionlab.store.arrays import write_group
from lesionlab.store.documents import read_document, write_document
from lesionlab.store.files import FileStore
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import read_rows
from lesionlab.training.loop import SoloWorker, train
from storage_schemas import keys
from storage_schemas.leases import Failure
from storage_schemas.manifests import ManifestEntry
from storage_schemas.models import InferenceConfig, ModelName
from storage_schemas.results import LesionRow, StudyRow
from storage_schemas.runs import Cell, Parent, RunSpec
from storage_schemas.versions import CURRENT
from storage_schemas.volumes import ATTRIBUTE
from tests.training.drawn import DrawnStudy, draw_study, make_run

CPU = SoloWorker(torch.device("cpu"))
DE_NOVO = Cell(arm="de-novo", source=None, training_size=1, fold=1, seed=0, depth=2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "store").as_uri())


def stored(store: Store, study: DrawnStudy) -> DrawnStudy:
    """Store the study's volume; the native grid is the model grid."""
    key = study.entry.volume_key
    arrays = {"image": study.image_CIJK, "label": study.label_IJK, "native_label": study.label_IJK}
    write_group(store, key, arrays, {ATTRIBUTE: study.card.stored_form()})
    return study


def run_with_one_test(store: Store, **training: object) -> RunSpec:
    """A run that trains on one drawn study and tests another."""
    seen, unseen = stored(store, draw_study(1)), stored(store, draw_study(2))
    return make_run([seen], epochs=1, **training).changed(
        test=(unseen.entry,), cell=DE_NOVO, inference=InferenceConfig(step_voxels=16)
    )


def do(run: RunSpec, store: Store, tmp_path: Path) -> None:
    run_cell(CPU, worker_task(run, store.uri, tmp_path / "cache"))


def test_the_ledger_records_what_a_run_did_and_what_made_it(store: Store, tmp_path: Path) -> None:
    run = run_with_one_test(store)
    do(run, store, tmp_path)
    entry = ledger_entries(store, [run.run_id])[run.run_id]
    assert (entry.tested, entry.epochs, entry.steps, entry.workers, entry.device) == (1, 1, 2, 1, "cpu")
    assert (entry.attempts, entry.experiment) == (1, "drawn")
    assert {"python", "numpy", "torch", "zarr"} <= entry.libraries.keys()
    assert len(entry.code) == 16
    assert not store.exists(keys.LEASE.build(run_id=run.run_id))
    assert not RunCheckpoints(store, run.run_id, entry.attempt).names()
    (row,) = stored_history(store, run.run_id)
    assert (row.epoch, row.step, row.loss) == (1, 2, entry.final_loss)


def no_room_for(monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    """From now on, objects with this in their key cannot be written."""
    put = FileStore.put

    def full(self: FileStore, key: str, data: bytes) -> None:
        if lost in key:
            raise StoreError(f"{key}: the disk is full")
        put(self, key, data)

    monkeypatch.setattr(FileStore, "put", full)


@pytest.mark.parametrize("lost", ["lesions.parquet", "studies.parquet", "model/card.json", "run.json"])
def test_a_run_with_missing_results_is_not_done(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    run = run_with_one_test(store)
    no_room_for(monkeypatch, lost)
    with pytest.raises(StoreError, match="disk is full"):
        do(run, store, tmp_path)
    assert not completed(store, [run.run_id])
    failure = read_document(store, keys.FAILURE.build(run_id=run.run_id), Failure)
    assert (failure.kind, failure.number) == ("refused", 1)
    assert failure.message.endswith("the disk is full")
    monkeypatch.undo()
    do(run, store, tmp_path)
    entry = ledger_entries(store, [run.run_id])[run.run_id]
    assert entry.attempts == 2
    assert not store.exists(keys.FAILURE.build(run_id=run.run_id))
    # Only the attempt that counts is left.
    folders = {key.split("/")[3] for key in store.list(f"runs/{run.run_id}/attempts/")}
    assert folders == {entry.attempt}


@pytest.mark.parametrize("lost", ["studies/part-", "lesions/part-"])
def test_a_finished_run_whose_rows_were_not_published_is_published_by_the_next_command(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    run = run_with_one_test(store)
    no_room_for(monkeypatch, lost)
    with pytest.raises(StoreError, match="disk is full"):
        execute([run], store, tmp_path / "cache", plain=True)
    assert completed(store, [run.run_id])
    assert not store.exists(keys.FAILURE.build(run_id=run.run_id)), "the run itself did not fail"
    monkeypatch.undo()
    assert execute([run], store, tmp_path / "cache", plain=True) == 0
    assert len(read_rows(store, [keys.STUDY_ROWS.build(experiment="drawn", run_id=run.run_id)], StudyRow)) == 1
    assert read_rows(store, [keys.LESION_ROWS.build(experiment="drawn", run_id=run.run_id)], LesionRow)


def test_a_complete_run_is_not_trained_again(store: Store, tmp_path: Path) -> None:
    run = run_with_one_test(store)
    do(run, store, tmp_path)
    before = {key: store.get(key) for key in store.list("")}

    class Refuses(SoloWorker):
        def report(self, metrics: dict[str, float]) -> None:
            raise AssertionError("the run was trained again")

    run_cell(Refuses(torch.device("cpu")), worker_task(run, store.uri, tmp_path / "cache"))
    assert {key: store.get(key) for key in store.list("")} == before


@pytest.mark.parametrize("by", ["policy", "withdrawal"])
def test_a_run_that_a_site_forbids_after_the_plan_is_refused_though_its_volumes_are_on_the_node(
    store: Store, tmp_path: Path, by: str
) -> None:
    run = run_with_one_test(store)
    for entry in (*run.train, *run.test):
        open_cached(store, entry, tmp_path / "cache")
    if by == "policy":
        store.put(keys.POLICY.build(site="drawn"), b"site: drawn\nleaves: nothing\n")
        why = "site drawn: 2 studies planned, but its policy lets nothing leave"
    else:
        (gone,) = run.train
        withdraw(store, "drawn", [gone.study], "2026-11-28")
        why = f"{gone.study}: withdrawn by its site"
    with pytest.raises(InputError, match=why):
        do(run, store, tmp_path)
    assert not completed(store, [run.run_id])


@pytest.mark.parametrize(
    ("when", "which"), [("store_model", "train"), ("store_rows", "test")], ids=["after training", "after testing"]
)
def test_a_run_whose_study_is_withdrawn_meanwhile_is_never_complete_and_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, which: str
) -> None:
    run = run_with_one_test(store)
    (gone,) = getattr(run, which)
    original = getattr(cell, when)

    def meanwhile(*arguments: object) -> None:
        original(*arguments)
        withdraw(store, "drawn", [gone.study], "2026-11-28")

    monkeypatch.setattr(cell, when, meanwhile)
    with pytest.raises(InputError, match=f"{gone.study}: withdrawn by its site"):
        do(run, store, tmp_path)
    assert not completed(store, [run.run_id])
    assert store.list(keys.ATTEMPT.prefix(run_id=run.run_id)) == []
    assert store.list("results/") == []
    failure = read_document(store, keys.FAILURE.build(run_id=run.run_id), Failure)
    assert failure.kind == "refused", "it is not retried"


def test_a_run_that_another_submission_executes_is_left_to_it(store: Store, tmp_path: Path) -> None:
    run = run_with_one_test(store)
    with claim_run(store, run.run_id, "a" * 16, "eva@north"):
        with pytest.raises(RunHeld, match="executed by eva@north since 20"):
            do(run, store, tmp_path)
        assert not store.list(f"runs/{run.run_id}/attempts/")
        assert not store.exists(keys.FAILURE.build(run_id=run.run_id))


def test_a_holder_that_was_taken_for_dead_and_comes_back_changes_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_with_one_test(store)
    monkeypatch.setattr(leases, "STALE_S", -1.0)  # every claim of another submission is void at once

    class Overtaken(SoloWorker):
        """While it tests, another submission takes the run over and completes it."""

        def gather(self, value: Any) -> list[Any]:
            if isinstance(value, list) and value and isinstance(value[0], tuple):  # the tested studies
                do(run, store, tmp_path)
                self.seen.update({key: store.get(key) for key in store.list("")})
            return [value]

        seen: ClassVar[dict[str, bytes]] = {}

    run_cell(Overtaken(torch.device("cpu")), worker_task(run, store.uri, tmp_path / "other"))
    assert ledger_entries(store, [run.run_id])[run.run_id].attempts == 2
    assert {key: store.get(key) for key in store.list("")} == Overtaken.seen


def test_cpu_training_is_deterministic_whatever_torch_settings_were_made_before(store: Store, tmp_path: Path) -> None:
    torch.use_deterministic_algorithms(False)
    seen: list[bool] = []

    class Looking(SoloWorker):
        def report(self, metrics: dict[str, float]) -> None:
            seen.append(torch.are_deterministic_algorithms_enabled())

    run = run_with_one_test(store)
    run_cell(Looking(torch.device("cpu")), worker_task(run, store.uri, tmp_path / "cache"))
    assert seen == [True]


def test_a_parent_with_a_replaced_registry_entry_is_refused_by_the_runs_sha256(store: Store) -> None:
    run = run_with_one_test(store)
    name = ModelName(name="glioma", version="a" * 16)
    weights = weights_bytes(build_unet(run.architecture, channels=1, seed=1))
    child = run.changed(parent=Parent(model=name, weights_sha256=sha256_of(weights)))
    register(store, run, name, weights)
    network, transfers = starting_network(child, store)
    assert weights_bytes(network) == weights
    assert {row.origin for row in transfers} == {"source"}
    # Other weights under the same name and version, with a matching card.
    register(store, run, name, weights_bytes(build_unet(run.architecture, channels=1, seed=2)))
    with pytest.raises(TransferError, match="weights were altered"):
        starting_network(child, store)


def register(store: Store, run: RunSpec, name: ModelName, weights: bytes) -> None:
    card = card_of_run(run, sha256_of(weights)).model_copy(
        update={"name": name.name, "version": name.version, "cohort": "tumours", "training_studies": 1}
    )
    place = {"name": name.name, "version": name.version}
    store.put(keys.MODEL_WEIGHTS.build(**place), weights)
    write_document(store, keys.MODEL_CARD.build(**place), card)


def test_a_run_planned_with_other_result_versions_is_not_executed(store: Store, tmp_path: Path) -> None:
    run = run_with_one_test(store)
    older = run.changed(versions=CURRENT.model_copy(update={"training": CURRENT.training + 1}))
    with pytest.raises(TrainingError, match=rf"training {CURRENT.training + 1} \(this code has {CURRENT.training}\)"):
        do(older, store, tmp_path)
    assert store.list("runs/") == []


def test_another_experiment_reuses_a_finished_run_under_its_own_names(store: Store, tmp_path: Path) -> None:
    run = run_with_one_test(store)
    do(run, store, tmp_path)
    theirs = run.changed(experiment="theirs", metric=run.metric.model_copy(update={"name": "own"}))
    assert theirs.run_id == run.run_id
    assert execute([theirs], store, tmp_path / "cache", plain=True) == 0
    place = {"experiment": "theirs", "run_id": run.run_id}
    (row,) = read_rows(store, [keys.STUDY_ROWS.build(**place)], StudyRow)
    (own,) = read_rows(store, [keys.STUDY_ROWS.build(experiment="drawn", run_id=run.run_id)], StudyRow)
    assert (row.experiment, row.definition) == ("theirs", theirs.metric.label())
    assert row.model_copy(update={"experiment": "drawn", "definition": own.definition}) == own
    assert len(read_rows(store, [keys.LESION_ROWS.build(**place)], LesionRow)) > 0
    assert publish_missing(store, [theirs]) == 0


def test_publishing_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    run = run_with_one_test(store)
    do(run, store, tmp_path)
    before = {key: store.get(key) for key in store.list("results/")}
    publish(store, run)
    assert {key: store.get(key) for key in store.list("results/")} == before


def test_a_run_resumes_with_another_number_of_workers(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_with_one_test(store, batch_size=2)
    run = run.changed(training=run.training.model_copy(update={"epochs": 3}))
    monkeypatch.setattr(cell, "train", partial(train, checkpoint_s=0))  # a checkpoint and a report after each step

    class Stops(SoloWorker):
        def report(self, metrics: dict[str, float]) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cell(Stops(torch.device("cpu")), worker_task(run, store.uri, tmp_path / "cache"))
    assert RunCheckpoints(store, run.run_id, "any").names()
    wider = run.changed(training=run.training.model_copy(update={"workers": 2}))
    assert wider.run_id == run.run_id
    steps: list[float] = []

    class Watches(SoloWorker):
        def report(self, metrics: dict[str, float]) -> None:
            steps.append(metrics["step"])

    run_cell(Watches(torch.device("cpu")), worker_task(wider, store.uri, tmp_path / "cache"))
    assert steps[0] == 2


def test_a_run_is_refused_once_a_site_forbids_it_and_its_reason_is_kept(store: Store, tmp_path: Path) -> None:
    run = run_with_one_test(store)
    site = run.train[0].site
    store.put(keys.POLICY.build(site=site), f"site: {site}\nleaves: rows\nexpires: 2020-01-01\n".encode())
    with pytest.raises(InputError, match=f"site {site}: 2 studies planned, but its policy expired"):
        do(run, store, tmp_path)
    assert completed(store, [run.run_id]) == set()
    assert store.list(keys.RUN_CHECKPOINT.prefix(run_id=run.run_id)) == []


def test_a_study_is_scored_while_the_network_has_the_next_one(store: Store, tmp_path: Path) -> None:
    studies = [stored(store, draw_study(number)) for number in (2, 3, 4)]
    run = run_with_one_test(store).changed(test=tuple(study.entry for study in studies))
    network = build_unet(run.architecture, channels=1, seed=0)
    tester, begun, threads = cell.network_tester(run, network, CPU), [threading.Event() for _ in studies], set()

    def watched(volume: CachedVolume, entry: ManifestEntry, position: int) -> Callable[[], StudyEvaluation]:
        begun[position - 1].set()
        rest = tester(volume, entry, position)

        def scored() -> StudyEvaluation:
            threads.add(threading.current_thread().name)
            assert begun[min(position, 2)].wait(10), "the next study waits for the scores of this one"
            return rest()

        return scored

    found = cell.tested_share(run, watched, store, CPU, tmp_path, "001-drawn")
    wanted = [
        evaluate_study(run, network, open_cached(store, study.entry, tmp_path), study.entry, place, CPU.device)
        for place, study in enumerate(studies, start=1)
    ]
    for (row, lesions, points), one in zip(found, wanted, strict=True):
        assert row.model_copy(update={"inference_s": 0.0}) == one.row.model_copy(update={"inference_s": 0.0})
        assert (lesions, points) == (one.lesions, one.operating)
    assert len(threads) == 1
    assert threading.current_thread().name not in threads


def test_an_error_in_scoring_ends_the_run(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_with_one_test(store)

    def refuses(*_: object) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(cell, "store_prediction", refuses)
    with pytest.raises(StoreError, match="no space left"):
        do(run, store, tmp_path)
    assert not completed(store, [run.run_id])
