"""A function and what it shall be done for in; its results as they come, each from a process of its own, out.

One thread and one CPU a task, on this machine or on the cluster that RAY_ADDRESS names.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from lesionlab.errors import InputError
from lesionlab.orchestration.session import ray_session

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 3
"""How often the process of one task may die before the task is given up."""

ONE_THREAD = {
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Of each worker, before anything is imported there: so many tasks as there are CPUs run side by side."""


def pool_map(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    memory_bytes: int,
    lost: Callable[[Item], Result],
    workers: int | None = None,
) -> Iterator[Result]:
    """`work` of every item, as they get done; at most `workers` (None: as many as there is room for) at once.

    A task asks for one CPU and `memory_bytes`, and no task is handed out before there is room for it. One whose process
    dies (killed for memory, machine gone) is done again, ATTEMPTS times in all; then `lost` says what stands in place
    of its result. What `work` raises is raised here. Whoever stops asking for results ends the tasks that still run.

    Raises InputError where no machine has room for even one.
    """
    with ray_session(workers):
        room = min(free_places(memory_bytes), workers or len(items))
        task: Any = ray.remote(lambda item: work(item)).options(  # Ray takes functions only, no partial ones
            num_cpus=1,
            memory=memory_bytes,
            # Ray's own count leaves out those killed for memory, which it starts again without end.
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
    """How many tasks of one CPU and so much memory the open session holds at once. Raises InputError for none."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    places = sum(int(min(node.get("CPU", 0), node.get("memory", 0) // memory_bytes)) for node in machines)
    if not places:
        raise InputError(
            f"wanted a machine with one CPU and {memory_bytes / 2**30:.1f} GiB of memory for each study, "
            f"found {len(machines)} with less; use a larger one, or a coarser model grid"
        )
    return places


def worth_a_pool(tasks_s: float, workers: int) -> bool:
    """Whether so many seconds of work are sooner done by a pool, which costs START_S first; RAY_ADDRESS asks for it."""
    return "RAY_ADDRESS" in os.environ or tasks_s * (1 - 1 / workers) > START_S


START_S = 15.0
"""Of a pool on this machine: Ray itself (7 s), and one import of ANTs in each of the workers."""
