"""Open a Ray session: on this machine, or on the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray

from lesionlab.errors import TrainingError
from lesionlab.orchestration import TOO_LATE

DRIVER_RESOURCE = "driver"
"""Custom resource of the nodes where the drivers of distributed runs belong; on a cluster: off the spot nodes."""

_OBJECT_STORE_BYTES = 100 * 2**20
"""Ray asks for a third of the memory by default; volumes never travel through it, so the least will do."""


@contextmanager
def ray_session(cpus: int | None = None) -> Iterator[None]:
    """Ray, for as long as the block runs; a session that is open already is used and left open.

    With RAY_ADDRESS it connects to that cluster. Without, it starts Ray on this machine for this process alone, with
    `cpus` CPUs (None: all), and ends it with the block; it listens on loopback, behind a random token.

    Raises TrainingError where Ray was imported before `lesionlab.orchestration`, which sets Ray's environment for that:
    such a session would listen on every interface, without a token.
    """
    if ray.is_initialized():
        yield
        return
    if "RAY_ADDRESS" in os.environ:
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    elif TOO_LATE:
        raise TrainingError(
            "Ray was imported before lesionlab.orchestration, so a session on this machine would be open to others "
            f"(not set in time: {', '.join(TOO_LATE)}); import lesionlab.orchestration first, or set RAY_ADDRESS"
        )
    else:
        ray.init(
            address="local",
            num_cpus=cpus,
            resources={DRIVER_RESOURCE: 1000},
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=True,  # it serves the state API, without which placement groups leak
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    try:
        yield
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class Capacity:
    """What a session has to train on."""

    cpus: float
    gpus: float
    driver_resource: bool

    def worker(self) -> dict[str, float]:
        """What one worker asks for."""
        return {"CPU": 1, "GPU": 1} if self.gpus else {"CPU": 1}

    def driver(self) -> dict[str, float]:
        """What the driver of a distributed run asks for: nearly nothing, or it would keep a worker from starting."""
        return {DRIVER_RESOURCE: 1} if self.driver_resource else {"CPU": 0.01}

    def cells(self, workers: int) -> int:
        """How many runs of so many workers fit in at once."""
        free_cpus = self.cpus if self.driver_resource or workers == 1 else self.cpus * 0.99
        return int(min(free_cpus, self.gpus or free_cpus) // workers)


def capacity() -> Capacity:
    """Of the session that is open."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return Capacity(
        cpus=resources.get("CPU", 0), gpus=resources.get("GPU", 0), driver_resource=DRIVER_RESOURCE in resources
    )
