"""Map a function over items in parallel worker processes; yield results as they finish.

Each task has one thread and one CPU, on this machine or on the cluster at RAY_ADDRESS.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from lesionlab.errors import InputError
from lesionlab.orchestration import cluster_address
from lesionlab.orchestration.session import ray_session

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 3
"""Attempts at one task; if its process dies each time, the task counts as lost."""

ONE_THREAD = {
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Environment of each worker process, set before any import: one task runs on each CPU."""


def pool_map(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    memory_bytes: int,
    lost: Callable[[Item], Result],
    workers: int | None = None,
    ready: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Yield `work(item)` for every item in order of completion, at most `workers` at once (None: as many as fit).

    A task needs one CPU and `memory_bytes`; it is submitted only when they are free. A task whose process dies (out of
    memory, machine lost) is repeated, up to ATTEMPTS times in all; then `lost(item)` replaces its result. Exceptions of
    `work` are re-raised. Closing the iterator ends the running tasks. `ready` is called when Ray has started.

    Raises InputError if no machine has room for a single task.
    """
    with ray_session(workers):
        ready()
        room = min(free_places(memory_bytes), workers or len(items))
        task: Any = ray.remote(lambda item: work(item)).options(  # Ray takes functions only, no partial ones
            num_cpus=1,
            memory=memory_bytes,
            # Ray does not count tasks killed for memory and would restart them without end.
            max_retries=0,
            runtime_env={"env_vars": ONE_THREAD},
        )
        waiting = deque((item, 1) for item in items)
        running: dict[Any, tuple[Item, int]] = {}
        while waiting or running:
            while waiting and len(running) < room:
                item, attempt = waiting.popleft()
                running[task.remote(item)] = (item, attempt)
            (done,), _ = ray.wait(list(running), num_returns=1)
            item, attempt = running.pop(done)
            try:
                yield ray.get(done)
            except RayTaskError as error:
                raise error.cause from None
            except RayError:
                if attempt == ATTEMPTS:
                    yield lost(item)
                else:
                    waiting.append((item, attempt + 1))


def free_places(memory_bytes: int) -> int:
    """How many tasks of one CPU and `memory_bytes` fit into the open session. Raises InputError if none fits."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    places = sum(int(min(node.get("CPU", 0), node.get("memory", 0) // memory_bytes)) for node in machines)
    if not places:
        raise InputError(
            f"wanted a machine with one CPU and {memory_bytes / 2**30:.1f} GiB of memory per study, "
            f"found {len(machines)} with less; use a larger machine or a coarser model grid"
        )
    return places


def worth_a_pool(tasks_s: float, workers: int) -> bool:
    """Whether a pool saves more time than its start costs (START_S); always true if RAY_ADDRESS names a cluster."""
    return bool(cluster_address()) or tasks_s * (1 - 1 / workers) > START_S


START_S = 15.0
"""Start-up time of a pool on this machine: Ray (7 s) plus the import of ANTs in each worker."""
