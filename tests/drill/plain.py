"""Faults that need no cluster: of the storage, of stored objects, of caches, of permissions, of clocks."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lesionlab.experiments.leases import STALE_S
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.keys import KeyPattern
from tests.drill.experiment import runs
from tests.drill.stage import Stage, Told, brief, signs_of_work
from tests.drill.table import Outcome
from tests.faulty_s3 import FAULTS, mixture, no_fault

SLOW = "300 ms more for each request"
REQUESTS: dict[str, dict[str, float]] = {
    "10 % of requests answered 503": {"slow_down": 0.10},
    "5 % of connections reset": {"reset": 0.05},
    "5 % of answers lost after the request was executed": {"lost_answer": 0.05},
    "5 % of bodies truncated": {"truncated": 0.05},
    SLOW: {},
}

READ = (
    *(keys.CURRENT_PART, keys.PART, keys.MANIFEST),
    *(keys.MODEL_CARD, keys.MODEL_WEIGHTS),
)
"""Kinds of objects that a sweep reads."""

LEFT = (
    keys.CURRENT_PLAN,
    keys.PLAN,
    keys.SPLIT,
    keys.LEDGER,
    keys.STUDY_ROWS,
    keys.LESION_ROWS,
    keys.OPERATING_ROWS,
    keys.RUN_STUDY_ROWS,
    keys.RUN_ENTRY,
)
"""Kinds of objects that a sweep leaves, and that the next command reads."""

TARGET_STUDIES = tuple(f"sites/drawn/volumes/sub-00{number}/" for number in range(1, 5))
VOLUME_PARTS = ("zarr.json", "image/zarr.json", "image/c/", "label/c/", "native_label/c/")


def requests_fail(stage: Stage, seed: int) -> Iterator[Outcome]:
    """Requests meet faults by chance, or are slow."""
    for number, injected in enumerate(REQUESTS):
        name = f"requests-{number}"
        store, before = stage.store(name), stage.proxy.seen.copy()
        began = time.monotonic()
        stage.proxy.latency_s = 0.3 if injected == SLOW else 0.0
        stage.proxy.rule = mixture(seed, **REQUESTS[injected])
        try:
            told = stage.sweep(name)
        finally:
            stage.proxy.rule, stage.proxy.latency_s = no_fault, 0.0
        met = stage.proxy.seen - before
        faults = sum(met[fault] for fault in FAULTS)
        seen = f"{brief(stage, told)}; {met.total() - faults} requests, {faults} with the fault"
        yield stage.outcome(injected, store, told, began, seen=seen)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one of them changed."""
    changed = bytearray(data)
    changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def objects_rot(stage: Stage, seed: int, kinds: Sequence[KeyPattern | str] = ()) -> Iterator[Outcome]:
    """One byte is changed in one object of each kind, or of these kinds, before a sweep or after it."""
    stage, chance = replace(stage, on_s3=False), random.Random(seed)
    for number, kind in enumerate(kinds or (*READ, *VOLUME_PARTS, *LEFT)):
        objects = stage.after if kind in LEFT else stage.before
        key = chance.choice([key for key in sorted(objects) if is_of(kind, key)])
        name = f"rot-{number}"
        store = stage.store(name, objects | {key: damaged(objects[key], chance)})
        began = time.monotonic()
        told = stage.sweep(name)
        if kind in LEFT and told.code == 0:
            told = stage.command(name, "analyse", "drill", "--out", stage.folder / f"{name}-report")
        yield stage.outcome(f"one byte changed in `{told_kind(kind)}`", store, told, began, named=name_of(kind, key))


def told_kind(kind: KeyPattern | str) -> str:
    """The kind in the table."""
    return f"{keys.STUDY_VOLUME.template}/{kind}" if isinstance(kind, str) else kind.template


def name_of(kind: KeyPattern | str, key: str) -> str:
    """What a message about a damaged object must contain: its id, or all of its key."""
    found = {} if isinstance(kind, str) else kind.parse(key) or {}
    ids = [found[field] for field in ("digest", "version", "run_id") if field in found]
    return ids[0] if ids else key.partition(".zarr/")[0]


def is_of(kind: KeyPattern | str, key: str) -> bool:
    """Whether an object is of a kind: of a pattern, also inside an attempt, or a part of a study volume."""
    if isinstance(kind, str):
        # The other cohort's native labels are not read by a sweep.
        return key.startswith(TARGET_STUDIES) and key.partition(".zarr/")[2].startswith(kind)
    if key.endswith("/current.json") and kind not in (keys.CURRENT_PART, keys.CURRENT_PLAN):
        return False
    run, attempts, rest = key.partition("/attempts/")
    return bool(kind.parse(key) or (attempts and kind.parse(f"{run}/{rest.partition('/')[2]}")))


def caches_rot(stage: Stage, seed: int) -> Iterator[Outcome]:
    """One byte is changed in a file of each node cache."""
    stage, chance = replace(stage, on_s3=False), random.Random(seed)
    cache = stage.folder / "rotten-cache"
    stage.store("fills-cache")
    assert stage.sweep("fills-cache", LESIONLAB_CACHE=str(cache)).code == 0
    kinds: dict[str, list[Path]] = {}
    for path in sorted(path for path in cache.rglob("*") if path.is_file() and path.stat().st_size):
        kinds.setdefault(f"{path.relative_to(cache).parts[0]}/…/{path.name}", []).append(path)
    for number, (kind, paths) in enumerate(kinds.items()):
        path = chance.choice(paths)
        sound = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(damaged(sound, chance))
        store = stage.store(f"cache-{number}")
        began = time.monotonic()
        told = stage.sweep(f"cache-{number}", LESIONLAB_CACHE=str(cache))
        path.write_bytes(sound)
        yield stage.outcome(f"one byte changed in the node cache, `{kind}`", store, told, began)


def permission_is_removed(stage: Stage, seed: int) -> Iterator[Outcome]:
    """The credentials may read and no longer write."""
    store, began = stage.store("reader"), time.monotonic()
    keys_of_reader = stage.server.environment(reader=True) | {"AWS_ENDPOINT_URL_S3": stage.proxy.endpoint}
    told = stage.sweep("reader", **keys_of_reader)
    yield stage.outcome("permission to write removed", store, told, began, named="refuses access")


def cache_is_full(stage: Stage, seed: int) -> Iterator[Outcome]:
    """The node's cache lies on a disk of 64 kB; only root can make one."""
    if os.getuid() != 0:
        return
    folder = stage.folder / "small-disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True).returncode:
        return
    try:
        store, began = stage.store("full"), time.monotonic()
        told = stage.sweep("full", LESIONLAB_CACHE=str(folder))
        yield stage.outcome("cache disk full (64 kB)", store, told, began, named=str(folder))
    finally:
        subprocess.run(["umount", folder], check=True)


def clock_is_wrong(stage: Stage, seed: int) -> Iterator[Outcome]:
    """Of two submitters one has a clock that is 10 minutes behind."""
    store, began = stage.store("clock"), time.monotonic()
    first, second = (stage.submit("clock", "--plain", slow_clock_s=behind_s) for behind_s in (0, 600))
    yield of_two(stage, store, first.end(), second.end(), began, "two submitters, the clock of one 10 minutes behind")


def storage_is_silent(stage: Stage, seed: int) -> Iterator[Outcome]:
    """Of two submitters one trains and one waits while the storage does not answer for longer than a claim lives."""
    store, began = stage.store("silent"), time.monotonic()
    first, second = stage.submit("silent", "--plain"), stage.submit("silent", "--plain")
    first.until(lambda: "executed by" in first.text() + second.text())
    with stage.proxy.outage():
        time.sleep(STALE_S + 15)
    answers = time.monotonic()
    before = signs_of_work(store)
    first.until(lambda: signs_of_work(store) - before)
    recovered_s = time.monotonic() - answers
    injected = f"two submitters, no answer from the storage for {STALE_S + 15:.0f} s"
    yield of_two(stage, store, first.end(), second.end(), began, injected, recovered_s=recovered_s)


def of_two(
    stage: Stage, store: Store, first: Told, second: Told, began: float, injected: str, **more: float
) -> Outcome:
    """What two submitters of one experiment led to: neither may fail, and no run may be paid twice."""
    starts = [entry.attempts for entry in ledger_entries(store, runs(store)).values()]
    seen = f"both completed; each of {len(starts)} runs was started once"
    if max(starts, default=2) > 1:
        seen, second = f"runs were started {starts} times", Told(1, "Traceback: a run was paid twice")
    elif first.code or second.code:
        seen = brief(stage, first if first.code else second)
    return stage.outcome(injected, store, first if first.code else second, began, seen=seen, **more)


FAULTS_WITHOUT_CLUSTER: dict[str, Callable[[Stage, int], Iterator[Outcome]]] = {
    "requests": requests_fail,
    "objects": objects_rot,
    "caches": caches_rot,
    "permission": permission_is_removed,
    "disk": cache_is_full,
    "clock": clock_is_wrong,
    "silence": storage_is_silent,
}
