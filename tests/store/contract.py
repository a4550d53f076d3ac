"""Contract of every store: a test class that each kind of store subclasses with its own `store` fixture."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import zarr
from zarr.storage import ObjectStore

from lesionlab.errors import Conflict, DamagedObject, MissingObject, ObjectExists, StoreError
from lesionlab.store.arrays import group_exists, read_array, read_attributes, write_group
from lesionlab.store.documents import create_document, move_pointer, read_document, read_pointer, write_document
from lesionlab.store.objects import Store, Tagged, open_store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas.base import Pointer
from storage_schemas.models import ModelName, TensorTransfer
from tests.store.processes import COUNTER, count_up, count_up_at, created, get

GROUP = "studies/a/sub-1/0123456789abcdef.zarr"
PROCESSES = 4
POINTER = "manifests/ms/current.json"


def brain(seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of a small study: two channels with edges that are not multiples of a chunk, one mask with two lesions."""
    label_IJK = np.zeros((70, 33, 65), np.uint8)
    label_IJK[5:8, 5:8, 5:8] = 1
    label_IJK[66:68, 30, 64] = 1
    image_CIJK = np.random.default_rng(seed).normal(size=(2, 70, 33, 65)).astype(np.float16)
    # Minus zero equals the fill value of an array but has other bytes.
    image_CIJK[1] = -0.0
    return {"image": image_CIJK, "label": label_IJK, "nothing": np.zeros((4, 5, 6), np.uint8)}


class Died(BaseException):
    """The writer has died."""


class DyingStore(Store):
    """A wrapper of a store that dies after a number of puts."""

    def __init__(self, store: Store, puts: int, *, by_signal: bool = False) -> None:
        super().__init__(store.uri, store.objects)
        self._store, self._puts, self._by_signal = store, puts, by_signal

    def put(self, key: str, data: bytes) -> None:
        if self._puts == 0:
            if self._by_signal:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Died
        self._puts -= 1
        self._store.put(key, data)


class ForgetfulStore(Store):
    """A wrapper of a store that keeps only half of each shard."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.uri, store.objects)
        self._store = store

    def put(self, key: str, data: bytes) -> None:
        self._store.put(key, data[: len(data) // 2] if "/c/" in key else data)


class InterruptedStore(Store):
    """A wrapper of a store that calls a function just before the group's metadata is put."""

    def __init__(self, store: Store, happens: Callable[[], None]) -> None:
        super().__init__(store.uri, store.objects)
        self._store, self._happens = store, happens

    def put(self, key: str, data: bytes) -> None:
        if key == f"{GROUP}/zarr.json":
            self._happens()
        self._store.put(key, data)


class StoreContract:
    """Subclasses define the fixture `store`: an empty store of their kind."""

    def test_an_available_store_passes_its_check(self, store: Store) -> None:
        store.check()

    @pytest.mark.parametrize("size", [0, 1, 12_000_000], ids=["nothing", "one byte", "more than one part"])
    def test_get_returns_what_was_put(self, store: Store, size: int) -> None:
        data = np.random.default_rng(size).bytes(size)
        store.put("runs/1/weights.bin", data)
        assert store.get("runs/1/weights.bin") == data
        assert store.get_tagged("runs/1/weights.bin").data == data

    def test_a_second_put_replaces_the_first(self, store: Store) -> None:
        store.put("a/b.json", b"long and old")
        store.put("a/b.json", b"new")
        assert store.get("a/b.json") == b"new"

    def test_a_missing_object_is_reported_with_its_key(self, store: Store) -> None:
        for read in (store.get, store.get_tagged):
            with pytest.raises(MissingObject, match=r"wanted an object under a/b\.json, found none"):
                read("a/b.json")

    def test_a_prefix_is_not_an_object(self, store: Store) -> None:
        store.put("a/b/c.json", b"1")
        assert store.exists("a/b/c.json")
        assert not store.exists("a/b")
        assert not store.exists("a/b/d.json")
        with pytest.raises(MissingObject):
            store.get("a/b")

    def test_a_write_once_key_is_written_once(self, store: Store) -> None:
        store.create("ledger/1.json", b"first")
        with pytest.raises(ObjectExists, match=r"ledger/1\.json"):
            store.create("ledger/1.json", b"second")
        assert store.get("ledger/1.json") == b"first"

    def test_one_of_many_concurrent_creators_succeeds_and_the_others_raise(self, store: Store) -> None:
        def create(name: int) -> int | None:
            try:
                store.create("ledger/1.json", str(name).encode())
            except ObjectExists:
                return None
            return name

        with ThreadPoolExecutor(8) as pool:
            winners = [name for name in pool.map(create, range(8)) if name is not None]
        assert [int(store.get("ledger/1.json"))] == winners

    def test_replacing_needs_the_current_tag(self, store: Store) -> None:
        store.put("a.json", b"1")
        first = store.get_tagged("a.json")
        store.replace("a.json", b"2", first.tag)
        with pytest.raises(Conflict, match=r"a\.json was changed"):
            store.replace("a.json", b"3", first.tag)
        assert store.get("a.json") == b"2"
        store.replace("a.json", b"3", store.get_tagged("a.json").tag)
        assert store.get("a.json") == b"3"

    def test_an_object_deleted_meanwhile_is_not_replaced(self, store: Store) -> None:
        store.put("a.json", b"1")
        tag = store.get_tagged("a.json").tag
        store.delete("a.json")
        with pytest.raises(Conflict):
            store.replace("a.json", b"2", tag)
        assert not store.exists("a.json")

    def test_no_increment_of_concurrent_threads_is_lost(self, store: Store) -> None:
        store.put(COUNTER, b"0")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: count_up(store, 10), range(4)))
        assert store.get(COUNTER) == b"40"

    def test_a_listing_is_sorted_and_accepts_any_prefix(self, store: Store) -> None:
        keys = ["results/s/part-2.parquet", "results/s/part-1.parquet", "results/s/x.json", "results/sx/part-3.parquet"]
        for key in keys:
            store.put(key, b"1")
        assert store.list("results/s/part-") == ["results/s/part-1.parquet", "results/s/part-2.parquet"]
        assert store.list("results/s/") == sorted(keys[:3])
        assert store.list("results/s") == sorted(keys)
        assert store.list("") == sorted(keys)
        assert store.list("nothing/") == []

    def test_deleting_a_prefix_removes_nothing_else(self, store: Store) -> None:
        for key in ("runs/1/a.bin", "runs/1/b/c.bin", "runs/11/a.bin"):
            store.put(key, b"1")
        store.delete_prefix("runs/1/")
        assert store.list("") == ["runs/11/a.bin"]

    def test_deleting_a_missing_object_is_allowed(self, store: Store) -> None:
        store.delete("a/b.json")
        store.delete_prefix("a/")

    @pytest.mark.parametrize(
        "key", ["", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", "a/.", "a b", "a#1", "a\n"]
    )
    def test_a_key_that_is_not_a_plain_path_is_refused(self, store: Store, key: str) -> None:
        with pytest.raises(ValueError, match="wanted plain names"):
            store.put(key, b"1")
        with pytest.raises(ValueError, match="wanted plain names"):
            store.get(key)

    def test_a_document_is_read_back_equal(self, store: Store) -> None:
        document = ModelName(name="glioma", version="0" * 16)
        write_document(store, "models/a.json", document)
        assert read_document(store, "models/a.json", ModelName) == document

    @pytest.mark.parametrize(
        "data", [b"{", b"{}", b'{"name":"a","version":"0000000000000000","more":1}'], ids=["torn", "empty", "unknown"]
    )
    def test_an_invalid_document_is_refused_with_its_key(self, store: Store, data: bytes) -> None:
        store.put("models/a.json", data)
        with pytest.raises(StoreError, match=r"models/a\.json"):
            read_document(store, "models/a.json", ModelName)

    def test_creating_an_equal_document_again_is_allowed_but_not_another(self, store: Store) -> None:
        document = ModelName(name="glioma", version="0" * 16)
        assert create_document(store, "ledger/1.json", document)
        assert not create_document(store, "ledger/1.json", document)
        with pytest.raises(ObjectExists):
            create_document(store, "ledger/1.json", ModelName(name="glioma", version="1" * 16))
        assert read_document(store, "ledger/1.json", ModelName) == document

    def test_a_pointer_has_no_target_until_it_is_moved_to_one(self, store: Store) -> None:
        assert read_pointer(store, POINTER) is None
        for target in ("0" * 16, "1" * 16, "1" * 16):
            move_pointer(store, POINTER, target)
            assert read_pointer(store, POINTER) == target

    def test_a_pointer_moved_meanwhile_by_another_writer_keeps_that_target(self, store: Store) -> None:
        move_pointer(store, POINTER, "0" * 16)

        class Overtaken(Store):
            def get_tagged(self, key: str) -> Tagged:
                found = store.get_tagged(key)
                write_document(store, POINTER, Pointer(target="e" * 16))
                return found

            def replace(self, key: str, data: bytes, tag: str) -> None:
                store.replace(key, data, tag)

        with pytest.raises(Conflict):
            move_pointer(Overtaken(store.uri, store.objects), POINTER, "1" * 16)
        assert read_pointer(store, POINTER) == "e" * 16

    def test_arrays_and_attributes_are_read_back_byte_for_byte(self, store: Store) -> None:
        arrays, attributes = brain(), {"study_volume": {"axes": "CIJK", "spacing_mm": 1.0, "none": None}}
        assert not group_exists(store, GROUP)
        write_group(store, GROUP, arrays, attributes)
        assert group_exists(store, GROUP)
        assert read_attributes(store, GROUP) == attributes
        for name, array in arrays.items():
            back = read_array(store, GROUP, name)
            assert back.dtype == array.dtype
            assert back.shape == array.shape
            assert back.tobytes() == array.tobytes()

    def test_every_array_is_one_object(self, store: Store) -> None:
        write_group(store, GROUP, brain(), {})
        shards = [key for key in store.list(f"{GROUP}/") if not key.endswith("zarr.json")]
        assert shards == [f"{GROUP}/{name}" for name in ("image/c/0/0/0/0", "label/c/0/0/0", "nothing/c/0/0/0")]

    def test_plain_zarr_reads_the_group(self, store: Store) -> None:
        write_group(store, GROUP, brain(), {"axes": "CIJK"})
        group = zarr.open_group(ObjectStore(store.objects, read_only=True), path=GROUP, mode="r")
        assert group.attrs["axes"] == "CIJK"
        assert sorted(group.array_keys()) == ["image", "label", "nothing"]
        np.testing.assert_array_equal(group["label"][66:68, 30:31, 64:65], np.ones((2, 1, 1), np.uint8))

    def test_the_same_arrays_give_the_same_objects(self, store: Store) -> None:
        for key in ("a.zarr", "b.zarr"):
            write_group(store, key, brain(), {"seed": 0})
        names = [key.removeprefix("a.zarr/") for key in store.list("a.zarr/")]
        assert {n: store.get(f"a.zarr/{n}") for n in names} == {n: store.get(f"b.zarr/{n}") for n in names}

    @pytest.mark.parametrize("puts", [0, 1, 3, 5, 6])
    def test_a_writer_that_dies_leaves_no_group_and_the_next_one_repairs_it(self, store: Store, puts: int) -> None:
        with pytest.raises(Died):
            write_group(DyingStore(store, puts), GROUP, brain(), {})
        assert not group_exists(store, GROUP)
        with pytest.raises(MissingObject, match="wanted a complete Zarr group"):
            read_array(store, GROUP, "image")
        write_group(store, GROUP, brain(), {})
        assert read_array(store, GROUP, "image").tobytes() == brain()["image"].tobytes()

    def test_a_writer_that_dies_while_it_overwrites_leaves_no_mixture(self, store: Store) -> None:
        write_group(store, GROUP, brain(seed=0), {})
        with pytest.raises(Died):
            write_group(DyingStore(store, 2), GROUP, brain(seed=1), {})
        assert not group_exists(store, GROUP)

    def test_overwriting_removes_everything_of_the_old_group(self, store: Store) -> None:
        write_group(store, GROUP, brain(), {"old": True})
        write_group(store, GROUP, {"mask": np.ones((3, 3, 3), np.uint8)}, {})
        assert store.list(f"{GROUP}/") == [f"{GROUP}/{n}" for n in ("mask/c/0/0/0", "mask/zarr.json", "zarr.json")]
        assert read_attributes(store, GROUP) == {}

    def test_writing_the_identical_group_again_writes_nothing(self, store: Store) -> None:
        write_group(store, GROUP, brain(), {})
        write_group(DyingStore(store, 0), GROUP, brain(), {})
        assert group_exists(store, GROUP)

    @pytest.mark.parametrize("puts", [0, 3, 7], ids=["at once", "in the middle", "not at all"])
    def test_a_second_writer_of_the_identical_group_may_die_at_any_point(self, store: Store, puts: int) -> None:
        def second_writer() -> None:
            with suppress(Died):
                write_group(DyingStore(store, puts), GROUP, brain(), {})

        write_group(InterruptedStore(store, second_writer), GROUP, brain(), {})
        for name, array in brain().items():
            assert read_array(store, GROUP, name).tobytes() == array.tobytes()

    def test_a_store_that_corrupts_data_is_detected(self, store: Store) -> None:
        with pytest.raises(StoreError, match="wanted the bytes that were written, found others"):
            write_group(ForgetfulStore(store), GROUP, brain(), {})
        assert not group_exists(store, GROUP)

    def test_a_truncated_shard_is_reported_by_name(self, store: Store) -> None:
        write_group(store, GROUP, brain(), {})
        shard = f"{GROUP}/image/c/0/0/0/0"
        store.put(shard, store.get(shard)[:-100])
        with pytest.raises(DamagedObject, match=r"abcdef\.zarr/image/c/0/0/0/0 is damaged"):
            read_array(store, GROUP, "image")

    def test_a_missing_array_is_reported_with_the_existing_ones(self, store: Store) -> None:
        write_group(store, GROUP, brain(), {})
        with pytest.raises(MissingObject, match="wanted array 'imgae', found image, label, nothing"):
            read_array(store, GROUP, "imgae")

    def test_rows_of_several_objects_are_read_in_order(self, store: Store) -> None:
        rows = [TensorTransfer(tensor=f"t{n}", shape="3x3", origin="source", how="copied") for n in range(5)]
        for key, part in {"a.parquet": rows[:2], "b.parquet": [], "c.parquet": rows[2:]}.items():
            write_rows(store, key, part, TensorTransfer)
        assert read_rows(store, ["a.parquet", "b.parquet", "c.parquet"], TensorTransfer) == rows


class SharedStoreContract(StoreContract):
    """Additional contract of stores that several processes open by the same URI."""

    @pytest.fixture
    def pool(self) -> Iterator[Executor]:
        with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
            yield pool

    def test_another_process_reads_by_uri_what_this_one_wrote(self, store: Store, pool: Executor) -> None:
        store.put("a.json", b"1")
        assert pool.submit(get, store.uri, "a.json").result() == b"1"

    def test_no_increment_of_concurrent_processes_is_lost(self, store: Store, pool: Executor) -> None:
        store.put(COUNTER, b"0")
        done = [pool.submit(count_up_at, store.uri, 25, name, PROCESSES) for name in range(PROCESSES)]
        for process in done:
            process.result()
        assert int(store.get(COUNTER)) == 25 * PROCESSES

    def test_one_of_many_creating_processes_succeeds(self, store: Store, pool: Executor) -> None:
        done = [pool.submit(created, store.uri, name, PROCESSES) for name in range(PROCESSES)]
        won = [process.result() for process in done]
        for round_, winners in enumerate(zip(*won, strict=True)):
            assert winners.count(True) == 1
            assert int(store.get(f"ledger/{round_}.json")) == winners.index(True)

    def test_a_killed_writer_leaves_no_group_and_the_next_one_repairs_it(self, store: Store) -> None:
        writer = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(store.uri,))
        writer.start()
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
        assert store.list(f"{GROUP}/") != []
        assert not group_exists(store, GROUP)
        write_group(store, GROUP, brain(), {})
        assert group_exists(store, GROUP)


def _write_and_die(uri: str) -> None:
    write_group(DyingStore(open_store(uri), 3, by_signal=True), GROUP, brain(), {})
