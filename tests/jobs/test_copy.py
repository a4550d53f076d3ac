"""An experiment and all that it refers to is copied, store to store; nothing different is overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lesionlab.errors import ObjectExists, StoreError
from lesionlab.experiments.registry import register
from lesionlab.experiments.store_planning import plan_experiment
from lesionlab.experiments.stored_plans import current_plan, find_plan
from lesionlab.experiments.upkeep.copying import compare, copy_objects, verify
from lesionlab.experiments.upkeep.reach import reach
from lesionlab.store.arrays import write_group
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.volumes import ATTRIBUTE
from tests.experiments.drawn import cohort_of
from tests.experiments.finished import finish_experiment
from tests.jobs.conftest import Lesionlab
from tests.parts import contribute
from tests.training.drawn import draw_study


def whole(data: bytes) -> bool:
    return True


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an experiment, its volumes and a model, and with a cohort that it does not use."""
    folder = tmp_path_factory.mktemp("drawn")
    store = open_store(folder.as_uri())
    plan = finish_experiment(store)
    card = draw_study(1).card.stored_form()
    for entry in {entry.volume: entry for run in plan.runs for entry in (*run.train, *run.test)}.values():
        write_group(store, entry.volume_key, {"image": np.full((1, 2, 2, 2), 7, np.float32)}, {ATTRIBUTE: card})
    register(store, plan.runs[0].run_id, "drawn-model")
    contribute(store, cohort_of(3, cohort="other"))
    store.put(keys.RUN_CHECKPOINT.build(run_id=plan.runs[0].run_id, attempt="a-1", steps="10"), b"old")
    return folder


@pytest.fixture
def source(drawn: Path, tmp_path: Path) -> Store:
    shutil.copytree(drawn, tmp_path / "from")
    return open_store((tmp_path / "from").as_uri())


@pytest.fixture
def target(tmp_path: Path) -> Store:
    return open_store((tmp_path / "to").as_uri())


def test_whatever_the_experiment_refers_to_is_there_afterwards_and_nothing_else(
    lesionlab: Lesionlab, source: Store, target: Store
) -> None:
    dry = lesionlab("copy", "alone", source.uri, target.uri, "--dry-run")
    assert "nothing was written" in dry.output
    assert target.list("") == []
    done = lesionlab("copy", "alone", source.uri, target.uri)
    assert done.exit_code == 0, done.output
    there = {key: target.get(key) for key in target.list("")}
    assert {key.partition("/")[0] for key in there} == {
        *("sites", "manifests", "splits", "plans", "runs", "ledger", "models"),
    }
    left = set(source.list("")) - there.keys()
    assert all("/other/" in key or "/checkpoints/" in key for key in left)
    assert all(data == source.get(key) for key, data in there.items())
    plan = current_plan(source, "alone")
    assert plan_experiment(plan.spec, target) == plan == find_plan(target, "alone")
    again = lesionlab("copy", "alone", source.uri, target.uri)
    assert f"{len(there)} there already; 0 of 0.0 MB copied; " in again.output


def test_a_cohort_is_copied_without_the_experiments_on_it(lesionlab: Lesionlab, source: Store, target: Store) -> None:
    assert lesionlab("copy", "ms", source.uri, target.uri).exit_code == 0
    assert {key.partition("/")[0] for key in target.list("")} == {"sites", "manifests", "splits"}
    refused = lesionlab("copy", "nobody", source.uri, target.uri)
    assert refused.exit_code == 1
    assert "nobody: neither an experiment nor a cohort" in refused.output
    assert lesionlab("copy", "ms", source.uri, source.uri).exit_code == 1


def test_a_copy_that_was_stopped_counts_for_nobody_and_goes_on(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = reach(source, "alone")
    every = [key for stage in found.stages for key in stage]
    for stop in range(0, len(every), 7):
        left = [stop]

        def create(key: str, data: bytes, left: list[int] = left) -> str:
            left[0] -= 1
            if left[0] < 0:
                raise StoreError("the disk is full")
            return type(target).create(target, key, data)

        monkeypatch.setattr(target, "create", create)
        with pytest.raises(StoreError):
            copy_objects(source, target, found.stages)
        assert find_plan(target, "alone") is None
        verify(target, target.list(""), whole)
    monkeypatch.undo()
    copy_objects(source, target, found.stages)
    assert compare(source, target, every).missing == frozenset()
    assert find_plan(target, "alone") is not None


def test_nothing_different_is_overwritten_and_then_nothing_is_copied(
    lesionlab: Lesionlab, source: Store, target: Store
) -> None:
    (card,) = [key for key in source.list("models/") if keys.MODEL_CARD.parse(key)]
    target.put(card, b"other")
    refused = lesionlab("copy", "alone", source.uri, target.uri)
    assert refused.exit_code == 1
    assert f"1 objects are there with other content, and none is overwritten: {card}" in refused.output
    assert target.list("") == [card]
    with pytest.raises(ObjectExists):
        copy_objects(source, target, [[card]])


def test_what_was_damaged_before_is_named(lesionlab: Lesionlab, source: Store, target: Store) -> None:
    chunk = next(key for key in source.list("sites/") if ".zarr/image/c/" in key)
    data = source.get(chunk)
    source.put(chunk, data[:-1] + bytes([data[-1] ^ 1]))
    told = lesionlab("copy", "alone", source.uri, target.uri)
    assert told.exit_code == 1
    assert f"{chunk.partition('.zarr/')[0]}.zarr" in told.output


@pytest.mark.s3
@pytest.mark.slow
def test_from_a_laptop_to_a_bucket_and_back_an_experiment_is_done_and_gives_the_same_report(
    lesionlab: Lesionlab, finished_tiny: Path, s3_store_uri: str, tmp_path: Path
) -> None:
    laptop, back = (finished_tiny / ".lesionlab" / "store").as_uri(), (tmp_path / "back").as_uri()
    for origin, place in ((laptop, s3_store_uri), (s3_store_uri, back)):
        done = lesionlab("copy", "tiny", origin, place)
        assert done.exit_code == 0, done.output
    spec = Path(__file__).with_name("tiny.yaml")
    assert "to do" not in lesionlab("sweep", spec, "--dry-run", "--store", back).output
    shown = [lesionlab("analyse", "tiny", "--store", uri, "--null-repetitions", "0").output for uri in (laptop, back)]
    assert shown[0].rpartition("reports/")[2] == shown[1].rpartition("reports/")[2]
    assert lesionlab("fsck", "--store", back).exit_code == 0
