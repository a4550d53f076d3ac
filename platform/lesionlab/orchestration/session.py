"""Open a Ray session on this machine or on the cluster at RAY_ADDRESS."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from lesionlab.errors import TrainingError
from lesionlab.orchestration import TOO_LATE, cluster_address
from lesionlab.orchestration.cluster import checked_address, temp_folder
from lesionlab.orchestration.room import Room

DRIVER_RESOURCE = "driver"
"""Custom resource of the nodes that may host drivers of distributed runs; on a cluster, not the spot nodes."""

_OBJECT_STORE_BYTES = 100 * 2**20
"""By default Ray reserves a third of the memory; volumes never pass through it, so the minimum is enough."""


@contextmanager
def ray_session(cpus: int | None = None) -> Iterator[None]:
    """Open a Ray session for the duration of the block; an open session is used and left open.

    With RAY_ADDRESS it connects to that cluster. Otherwise it starts Ray on this machine for this process only, with
    `cpus` CPUs (None: all), on loopback and behind a random token, and stops it after the block.

    Raises TrainingError if no cluster answers at RAY_ADDRESS, if Ray cannot start here, or if Ray was imported before
    `lesionlab.orchestration`, which must set Ray's environment first: the session would listen on every interface
    without a token.
    """
    if ray.is_initialized():
        yield
        return
    address = checked_address()
    if address:
        _start(f"RAY_ADDRESS: cannot connect to {address}", address=address)
    elif TOO_LATE:
        raise TrainingError(
            "Ray was imported before lesionlab.orchestration, so a session on this machine would be open to other "
            f"users (not set in time: {', '.join(TOO_LATE)}); import lesionlab.orchestration first, or set RAY_ADDRESS"
        )
    else:
        _start(
            "Ray cannot start on this machine",
            address="local",
            num_cpus=cpus,
            resources={DRIVER_RESOURCE: 1000},
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=True,  # serves the state API; without it placement groups leak
            _temp_dir=temp_folder(),
        )
        # Ray makes its folders writable for everybody; its logs may quote what was handed to workers.
        node: Any = ray._private.worker._global_node
        Path(node.get_session_dir_path()).chmod(0o700)
    try:
        yield
    finally:
        ray.shutdown()


def _start(problem: str, **options: Any) -> None:
    """Call ray.init; its errors become a TrainingError of one line.

    A handler of SIGTERM that was there before stays: Ray's prints the stack of its C++ code and ends the process.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**options, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # Ray raises bare ones too
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise TrainingError(f"{problem}: {first}") from error
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


@dataclass(frozen=True)
class Capacity:
    """CPUs and GPUs of a session."""

    cpus: float
    gpus: float
    driver_resource: bool

    def driver(self) -> dict[str, float]:
        """Resources of the driver of a distributed run: almost none, or it would keep a worker from starting."""
        return {DRIVER_RESOURCE: 1} if self.driver_resource else {"CPU": 0.01}

    def cells(self, workers: int, room: Room) -> int:
        """How many runs of `workers` workers fit at once."""
        free_cpus = self.cpus if self.driver_resource or workers == 1 else self.cpus * 0.99
        free = free_cpus if room.device == "cpu" else min(free_cpus, self.gpus / room.gpus_per_worker)
        return int(free // workers)


def capacity() -> Capacity:
    """The capacity of the open session."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return Capacity(
        cpus=resources.get("CPU", 0), gpus=resources.get("GPU", 0), driver_resource=DRIVER_RESOURCE in resources
    )


@dataclass(frozen=True)
class Reserved:
    """How many of this program's requests for room a Ray session has granted, and how many it has not."""

    granted: int
    asked: int


def reserved(workers: int) -> Reserved:
    """The requests for runs of so many workers that have room; all requests of this program that wait for it."""
    job = ray.get_runtime_context().get_job_id()
    table: dict[str, dict[str, Any]] = ray.util.placement_group_table()
    own = [group for name, group in table.items() if name.endswith(job) and group["state"] != "REMOVED"]
    granted = sum(group["state"] == "CREATED" and len(group["bundles"]) == workers for group in own)
    return Reserved(granted, asked=sum(group["state"] != "CREATED" for group in own))


def refuse_if_too_small(what: str, workers: int, room: Room) -> None:
    """Raise TrainingError if a run of so many workers never fits into a session on this machine, which cannot grow.

    A cluster (RAY_ADDRESS) may get more nodes.
    """
    there = capacity()
    if not cluster_address() and not there.cells(workers, room):
        raise TrainingError(
            f"{what}: wanted {workers} workers, the Ray session has {there.cpus:g} CPUs and {there.gpus:g} GPUs; "
            "use fewer workers or a larger cluster"
        )
