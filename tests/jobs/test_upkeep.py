"""`fsck` names one changed bit in every kind of object and `--repair` restores it or lets the next run make it again;
`gc` removes what nothing refers to and nothing else."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet
import pytest

from lesionlab.errors import StoreError
from lesionlab.experiments.champions import Person, promote
from lesionlab.experiments.leases import claim_run
from lesionlab.experiments.ledger import attempt_of, completed
from lesionlab.experiments.registry import find_model
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.experiments.upkeep.fsck import Checked, check_store
from lesionlab.experiments.upkeep.garbage import delete_garbage, find_garbage
from lesionlab.experiments.upkeep.kinds import KINDS, kind_of, place_of
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store, open_store
from lesionlab.training.checkpoint import is_whole
from storage_schemas import keys
from tests.jobs.conftest import TINY, Lesionlab

NOW = timedelta(0)
ANN = Person("ann@north", datetime(2026, 1, 2, tzinfo=UTC))

NOT_IN_A_FINISHED_EXPERIMENT = {
    *(keys.LEASE, keys.FAILURE, keys.RUN_CHECKPOINT, keys.STUDY_PICTURE),
    *(keys.COHORT, keys.RECEIPT, keys.WITHDRAWAL, keys.SALT_CHECK, keys.SITE_PREDICTION),
    *(keys.RESCORED_STUDY_ROWS, keys.RESCORED_LESION_ROWS),
    *(keys.SUBMISSION, keys.SUBMISSION_ATTEMPT, keys.SUBMISSION_OUTCOME, keys.SUBMISSION_PROGRESS),
    *(keys.ACTIVE_SWEEP,),
    *(keys.CHAMPION, keys.DECISION),
    *(keys.BENCHMARK, keys.RULE, keys.TICKET, keys.GATE_OUTCOME, keys.GATE_ROWS, keys.GATE_GRADES),
    *(keys.SELF_GRADE, keys.SEALED_VOLUME, keys.POLICY, keys.SMALLEST_COUNTS, keys.AUDIT),
    *(keys.RETRAIN_DECISION, keys.RETRAIN_OUTCOME),
}
"""Kinds of which it has no object; the tests put one there, except of submissions, which only a cluster has, and of the
audit, which only stores of several sites have."""


def run_tiny(folder: Path) -> None:
    """Run the tiny experiment in one plain process, in a folder that may hold a store already."""
    command = [sys.executable, "-m", "jobs.run", str(TINY), "--plain"]
    root = str(TINY.parents[2])
    environment = os.environ | {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def rows(store: Store) -> list[dict[str, object]]:
    """Every published study row, without the column of wall times."""
    tables = [pyarrow.parquet.read_table(io.BytesIO(store.get(key))) for key in store.list("results/tiny/studies/")]
    return [row for table in tables for row in table.drop_columns("inference_s").to_pylist()]


@pytest.fixture
def folder(finished_tiny: Path, tmp_path: Path) -> Path:
    """A copy of the folder in which the tiny experiment has run."""
    shutil.copytree(finished_tiny / ".lesionlab", tmp_path / ".lesionlab")
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Store:
    return open_store((folder / ".lesionlab" / "store").as_uri())


def check(store: Store, *, repair: bool = False) -> Checked:
    return check_store(store, is_whole, repair=repair)


def places(store: Store) -> dict[str, str]:
    """One object of each kind, by the kind's template, that the experiment has."""
    found = {}
    for key in store.list(""):
        kind = kind_of(place) if (place := place_of(key)) else None
        if kind:
            found[kind[0].template] = key
    return found


def flip(store: Store, key: str) -> None:
    """Change one bit in the middle of the object."""
    data = bytearray(store.get(key))
    data[len(data) // 2] ^= 4
    store.put(key, bytes(data))


def test_a_finished_experiment_is_sound(store: Store) -> None:
    assert check(store).damage == ()
    assert set(places(store)) >= {kind.template for kind in KINDS} - {k.template for k in NOT_IN_A_FINISHED_EXPERIMENT}


def with_one_flipped_in_each_kind(store: Store) -> set[str]:
    """Flip a bit in an object of each kind; the places, without those of runs whose ledger entry cannot be read."""
    damaged = places(store)
    volume = next(key for key in store.list("sites/") if "/image/c/" in key)
    prediction = next(key for key in store.list("runs/") if "/mask/c/" in key)
    for key in (*damaged.values(), volume, prediction):
        flip(store, key)
    unread = {values["run_id"] for key in damaged.values() if (values := keys.LEDGER.parse(key))}
    flipped = {place_of(key) or key.partition(".zarr/")[0] + ".zarr" for key in (*damaged.values(), volume, prediction)}
    return {place for place in flipped if not any(f"/{run_id}/attempts" in place for run_id in unread)}


def test_one_changed_bit_in_each_kind_of_object_is_named_with_what_to_do(store: Store) -> None:
    wanted = with_one_flipped_in_each_kind(store)
    found = check(store).damage
    assert wanted <= {damage.key for damage in found}
    assert all("fsck --repair" in damage.remedy or "lesionlab" in damage.remedy for damage in found)


@pytest.mark.slow
def test_damage_in_each_kind_of_object_is_repaired_by_running_again(store: Store, folder: Path) -> None:
    """All kinds at once, with the same results."""
    before = rows(store)
    with_one_flipped_in_each_kind(store)
    check(store, repair=True)
    run_tiny(folder)
    assert [damage for damage in check(store, repair=True).damage if not damage.repaired] == []
    assert check(store).damage == ()
    assert rows(store) == before


def test_what_has_a_second_copy_is_restored_byte_for_byte(store: Store) -> None:
    """The model from the run that made it, a run from the plan, a split from the cohort, results from the rows."""
    told = {
        keys.MODEL_WEIGHTS: "copied from the run's own model",
        keys.MODEL_CARD: "copied from the run's own model",
        keys.MODEL_TRANSFER: "copied from the run's own model",
        keys.RUN_SPEC: "copied from a plan",
        keys.SPLIT: "drawn again",
        keys.STUDY_ROWS: "copied from the run's own rows",
        keys.LESION_ROWS: "copied from the run's own rows",
        keys.OPERATING_ROWS: "copied from the run's own rows",
    }
    run_id = current_plan(store, "tiny").runs[0].run_id
    found = {key: kind for key in store.list("") for kind in told if kind.parse(key)}
    damaged = {kind: key for key, kind in found.items() if kind != keys.RUN_SPEC or run_id in key}
    before = {key: store.get(key) for key in damaged.values()}
    for key in before:
        flip(store, key)
    assert {damage.key: damage.remedy for damage in check(store, repair=True).damage} == {
        key: told[kind] for kind, key in damaged.items()
    }
    assert {key: store.get(key) for key in before} == before
    assert check(store).damage == ()


def fresh(store: Store) -> Store:
    """The store as another process opens it."""
    return open_store(store.uri)


def test_for_a_damaged_ledger_entry_its_copy_counts_and_is_put_back_if_its_attempts_files_are_whole(
    store: Store,
) -> None:
    run_id = current_plan(store, "tiny").runs[0].run_id
    key, attempt = keys.LEDGER.build(run_id=run_id), attempt_of(store, run_id)
    data, folder = store.get(key), keys.ATTEMPT.build(run_id=run_id, attempt=attempt)
    copy = keys.RUN_ENTRY.of(attempt).build(run_id=run_id)
    assert store.get(copy) == data
    flip(store, copy)
    (damage,) = check(fresh(store), repair=True).damage
    assert (damage.key, damage.repaired, store.get(copy)) == (copy, True, data)

    flip(store, key)
    assert completed(fresh(store), [run_id]) == {run_id}, "the run is not paid again"
    assert attempt_of(fresh(store), run_id) == attempt
    (damage,) = check(fresh(store), repair=True).damage
    assert (damage.key, damage.repaired, store.get(key)) == (key, True, data)
    assert check(fresh(store)).damage == ()

    for lacking in (next(k for k in store.list(folder) if k.endswith(end)) for end in ("studies.parquet", "c/0/0/0")):
        whole = store.get(lacking)
        for harm in (lambda lacking=lacking: flip(store, lacking), lambda lacking=lacking: store.delete(lacking)):
            flip(store, key)
            harm()
            found = {damage.key: damage for damage in check(fresh(store), repair=True).damage}
            assert not found[key].repaired
            assert f"executes run {run_id} again" in found[key].remedy
            assert store.get(key) == b"", "the run is executed again"
            store.put(lacking, whole)
            store.put(key, data)

    flip(store, key)
    other = keys.RUN_ENTRY.of("002-other").build(run_id=run_id)  # two complete attempts: which one counted?
    store.put(other, data)
    assert completed(fresh(store), [run_id]) == set()
    assert [damage.repaired for damage in check(fresh(store), repair=True).damage] == [False]
    store.delete(other)
    assert [damage.repaired for damage in check(fresh(store), repair=True).damage] == [True]


def test_a_missing_object_that_something_refers_to_is_damage(store: Store) -> None:
    weights = next(key for key in store.list("models/") if keys.MODEL_WEIGHTS.parse(key))
    data = store.get(weights)
    store.delete(weights)
    (damage,) = check(store, repair=True).damage
    assert (damage.key, damage.what, damage.repaired) == (weights, "it is missing", True)
    assert store.get(weights) == data


def test_a_run_whose_output_is_lost_is_executed_again(store: Store) -> None:
    key = next(key for key in store.list("runs/") if keys.RUN_STUDY_ROWS.template.split("/")[-1] in key)
    run_id = key.split("/")[1]
    store.delete(key)
    (damage,) = check(store, repair=True).damage
    assert not damage.repaired
    assert f"executes run {run_id} again" in damage.remedy
    assert store.get(keys.LEDGER.build(run_id=run_id)) == b""
    assert check(store).damage == ()


def test_what_a_sweep_makes_again_while_the_store_is_checked_is_left_alone(store: Store) -> None:
    key = next(key for key in store.list("runs/") if keys.RUN_STUDY_ROWS.template.split("/")[-1] in key)
    entry = keys.LEDGER.build(run_id=key.split("/")[1])
    data, before = store.get(key), store.get(entry)
    store.delete(key)

    def swept(done: int, total: int) -> None:
        if done == total:
            store.put(key, data)

    assert check_store(store, is_whole, repair=True, progress=swept).damage == ()
    assert store.get(entry) == before, "the run is not paid again"


def test_a_damaged_or_lost_champion_is_the_one_of_the_newest_decision_again(store: Store) -> None:
    promote(store, find_model(store, "tiny-glioma").full_name, "the only one", ANN)
    key = keys.CHAMPION.build(name="tiny-glioma")
    data = store.get(key)
    for damage_it in (lambda: flip(store, key), lambda: store.delete(key)):
        damage_it()
        (damage,) = check(store, repair=True).damage
        assert (damage.key, damage.remedy) == (key, "pointed to the newest decision")
        assert store.get(key) == data


def test_a_damaged_decision_is_named_and_one_that_never_counted_is_garbage(store: Store) -> None:
    decision = promote(store, find_model(store, "tiny-glioma").full_name, "the only one", ANN)
    other = decision.changed(by="bob@south")
    lost, key = (keys.DECISION.build(name="tiny-glioma", digest=each.id) for each in (other, decision))
    write_document(store, lost, other)
    assert [found.key for found in find_garbage(store, NOW) if "history" in found.key] == [lost]
    flip(store, key)
    (damage,) = check(store, repair=True).damage
    assert (damage.key, damage.repaired) == (key, False)


def test_the_command_tells_programs_and_people(lesionlab: Lesionlab, store: Store) -> None:
    flip(store, keys.CURRENT_PLAN.build(experiment="tiny"))
    told = lesionlab("fsck", "--store", store.uri)
    assert told.exit_code == 3
    assert "plans/tiny/current.json" in told.output
    assert "lesionlab sweep" in told.output
    (damage,) = json.loads(lesionlab("fsck", "--store", store.uri, "--json").stdout)
    assert (damage["key"], damage["repaired"]) == ("plans/tiny/current.json", False)


def test_nothing_of_a_finished_experiment_is_garbage(store: Store) -> None:
    assert [found.key for found in find_garbage(store, NOW) if not found.key.startswith("clock/")] == []


def test_what_nothing_refers_to_is_garbage_and_the_rest_stays(store: Store, folder: Path) -> None:
    kept = {key: store.get(key) for key in store.list("")}
    run_id = current_plan(store, "tiny").runs[0].run_id
    volume = next(key for key in store.list("sites/") if key.endswith(".zarr/zarr.json")).rpartition("/")[0]
    orphan = f"{volume.rpartition('/')[0]}/{'e' * 16}.zarr"
    dead = keys.RUN_CHECKPOINT.build(run_id=run_id, attempt="009-dead", steps="000000001")
    garbage = {
        f"{orphan}/zarr.json": orphan,
        f"{orphan}/image/c/0/0/0/0": orphan,
        dead: dead,
        f"runs/{run_id}/attempts/009-dead/model/weights.safetensors": "",
        f"runs/{run_id}/attempts/{attempt_of(store, run_id)}/checkpoints/000000002.safetensors": "",
        f"runs/{run_id}/ray/0123/state.json": f"runs/{run_id}/ray/",
        "clock/0123": "",
        keys.FAILURE.build(run_id=run_id): "",
        keys.ACTIVE_SWEEP.build(experiment="tiny", submission="a" * 16): "",
    }
    for key in garbage:
        store.put(key, b"left over")
    found = find_garbage(store, NOW)
    assert {unit.key for unit in found} == {unit or key for key, unit in garbage.items()}
    assert find_garbage(store) == []  # younger than the safe age
    deleted = delete_garbage(store, found, NOW)
    assert deleted == found
    assert {key: store.get(key) for key in store.list("")} == kept


def test_an_unfinished_run_keeps_what_it_would_resume_from(store: Store) -> None:
    run_id = current_plan(store, "tiny").runs[-1].run_id
    store.delete(keys.LEDGER.build(run_id=run_id))
    with claim_run(store, run_id, "a" * 16, "eva@north") as claim:
        checkpoints = [
            keys.RUN_CHECKPOINT.build(run_id=run_id, attempt=attempt, steps=f"{steps:09d}")
            for attempt, steps in ((claim.attempt, 1), ("001-a", 2), ("001-a", 3), ("001-a", 4))
        ]
        for key in checkpoints:
            store.put(key, b"a checkpoint")
        store.put(keys.RUN_CARD.of(claim.attempt).build(run_id=run_id), b"being written")
        found = {unit.key for unit in find_garbage(store, NOW)}
    assert not found & {checkpoints[0], *checkpoints[2:], keys.RUN_CARD.of(claim.attempt).build(run_id=run_id)}
    assert checkpoints[1] in found


def test_while_a_claim_is_damaged_every_attempt_at_its_run_is_kept(store: Store) -> None:
    run_id = current_plan(store, "tiny").runs[-1].run_id
    store.delete(keys.LEDGER.build(run_id=run_id))
    claim = claim_run(store, run_id, "a" * 16, "eva@north")
    card = keys.RUN_CARD.of(claim.attempt).build(run_id=run_id)
    store.put(card, b"being written")
    flip(store, keys.LEASE.build(run_id=run_id))
    assert card not in {unit.key for unit in find_garbage(store, NOW)}


@pytest.mark.parametrize("kind", [keys.PART, keys.MANIFEST, keys.PLAN, keys.RUN_SPEC, keys.LEDGER, keys.CHAMPION])
def test_nothing_is_deleted_while_it_cannot_be_told_what_is_in_use(store: Store, kind: keys.KeyPattern) -> None:
    promote(store, find_model(store, "tiny-glioma").full_name, "the only one", ANN)
    key = places(store)[kind.template]
    flip(store, key)
    with pytest.raises(StoreError, match=rf"{key} cannot be read; nothing was deleted"):
        find_garbage(store, NOW)


def test_gc_lists_and_deletes_on_request(lesionlab: Lesionlab, store: Store, folder: Path) -> None:
    cache = folder / "cache" / "augmented" / "0123456789abcdef"
    cache.mkdir(parents=True)
    (cache / "image_CIJK.npy").write_bytes(b"1")
    os.utime(cache, (0, 0))
    call = ("gc", "--store", store.uri, "--cache", folder / "cache")
    assert "lesionlab gc --delete" in lesionlab(*call).output
    assert cache.exists()
    assert lesionlab(*call, "--older-than", "1e12").exit_code == 2
    told = json.loads(lesionlab(*call, "--delete", "--json").stdout)
    assert [found["key"] for found in told] == [str(cache)]
    assert not cache.exists()


def test_pretrain_never_replaces_good_weights_by_damaged_ones(lesionlab: Lesionlab, store: Store, folder: Path) -> None:
    registered = keys.MODEL_WEIGHTS.build(name="tiny-glioma", version=find_model(store, "tiny-glioma").version)
    run_id, data = registered.split("/")[2], store.get(registered)
    own = keys.RUN_WEIGHTS.of(attempt_of(store, run_id)).build(run_id=run_id)
    flip(store, own)
    call = ("pretrain", TINY, "--store", store.uri, "--plain", "--cache", folder / "cache", "--work", folder)
    assert lesionlab(*call).exit_code == 0
    assert store.get(registered) == data
    flip(store, registered)
    result = lesionlab(*call)
    assert result.exit_code == 1
    assert f"{own} is damaged" in result.output
    store.put(own, data)
    assert lesionlab(*call).exit_code == 0
    assert store.get(registered) == data
