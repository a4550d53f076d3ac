"""Tasks run in separate processes on loopback only: every task has a result, a process that dies is replaced."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import ray

from lesionlab.errors import InputError, StoreError
from lesionlab.orchestration.pool import ATTEMPTS, START_S, pool_map, worth_a_pool
from lesionlab.orchestration.session import ray_session

MEMORY_BYTES = 2**28


def squared(number: int, folder: Path) -> tuple[int, str]:
    """The square and the number of threads; 2 always kills its process, 3 once, and -1 raises an error."""
    attempts = folder / str(number)
    with attempts.open("a") as file:
        file.write(".")
    if number == 2 or (number == 3 and attempts.read_text() == "."):
        os.kill(os.getpid(), signal.SIGKILL)
    if number == -1:
        raise StoreError("the disk is full")
    return number**2, os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"]


@pytest.mark.parametrize(
    ("tasks_s", "workers", "pays"), [(START_S, 2, False), (3 * START_S, 2, True), (1000 * START_S, 1, False)]
)
def test_a_pool_is_started_if_it_saves_more_time_than_its_start_costs(
    monkeypatch: pytest.MonkeyPatch, tasks_s: float, workers: int, pays: bool
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert worth_a_pool(tasks_s, workers) is pays


def test_a_named_cluster_is_always_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://somewhere:10001")
    assert worth_a_pool(1, 1)


@pytest.mark.slow
def test_every_task_has_one_result_on_one_thread_even_if_processes_die(tmp_path: Path) -> None:
    with ray_session(2):
        assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}
        results = list(
            pool_map(
                partial(squared, folder=tmp_path),
                range(6),
                memory_bytes=MEMORY_BYTES,
                lost=lambda number: (-number, "lost"),
            )
        )
        assert sorted(results) == [(-2, "lost"), (0, "1"), (1, "1"), (9, "1"), (16, "1"), (25, "1")]
        assert len((tmp_path / "2").read_text()) == ATTEMPTS
        assert len((tmp_path / "3").read_text()) == 2
        with pytest.raises(StoreError, match="the disk is full"):
            list(pool_map(partial(squared, folder=tmp_path), [-1], memory_bytes=MEMORY_BYTES, lost=lambda number: None))
        with pytest.raises(InputError, match=r"wanted .* GiB"):
            list(pool_map(partial(squared, folder=tmp_path), [1], memory_bytes=2**40, lost=lambda number: None))


@pytest.mark.slow
def test_at_most_as_many_tasks_as_workers_run_at_once(tmp_path: Path) -> None:
    def together(number: int) -> int:
        """The number of tasks that run while this one does."""
        mark = tmp_path / str(number)
        mark.touch()
        time.sleep(0.3)
        running = len(list(tmp_path.iterdir()))
        mark.unlink()
        return running

    with ray_session(4):
        counts = list(pool_map(together, range(8), memory_bytes=MEMORY_BYTES, lost=lambda number: -1, workers=2))
    assert 1 <= min(counts) <= max(counts) <= 2
