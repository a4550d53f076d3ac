"""Train one run on a cluster again and again, each time with another loss, and print the ends as JSON.

Usage: `python losing_nodes.py FOLDER SCENARIO...`. The stores are FOLDER/<scenario>, each with the weights under
`weights`. The cluster has three nodes of one CPU; a node that a scenario takes away stays away.

It is run by hand and read: what a loss hits depends on the machine's speed, so no test waits for it. What to look for:
an error of null, a second start from a later step than the first, and the same bytes of weights in every folder.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import ray
import torch
from ray import cloudpickle
from ray.cluster_utils import Cluster
from ray.util.state import list_actors

from lesionlab.experiments.run_checkpoints import RunCheckpoints, newest_step
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import weights_bytes
from lesionlab.orchestration.progress import CellOutcome, SweepCell, SweepProgress, Watch
from lesionlab.orchestration.room import Room
from lesionlab.orchestration.sweep import run_sweep
from lesionlab.store.objects import open_store
from lesionlab.training.loop import train
from storage_schemas.runs import RunSpec
from tests.training.drawn import DrawnStudy, draw_study, make_run

PAUSE_S = 0.5
"""Of each step of a training that is disturbed, so that it can be caught in the middle."""

UNTIL_S = 400
"""A scenario that takes longer hangs."""


def drawn_run() -> tuple[list[DrawnStudy], RunSpec]:
    """Two epochs of 6 steps; the workers share a batch of 3 unevenly."""
    studies = [draw_study(1), draw_study(2)]
    return studies, make_run(
        studies, patches_per_study=4, augmentations=1, batch_size=3, workers=2, optimizer="sgd", learning_rate=1e-2
    )


class Paused(torch.nn.Module):
    """A network that takes its time."""

    def __init__(self, network: torch.nn.Module, pause_s: float) -> None:
        super().__init__()
        self.network, self._pause_s = network, pause_s

    def forward(self, image_BCIJK: torch.Tensor) -> torch.Tensor:
        time.sleep(self._pause_s)
        return self.network(image_BCIJK)


def train_here(worker, task):
    """Train the run with a checkpoint after each step; each start leaves rank, process and node of the worker."""
    studies, run = drawn_run()
    network, store = build_unet(run.architecture, 1, run.seed), open_store(task["store"])
    node = ray.get_runtime_context().get_node_id()
    start = json.dumps({"rank": worker.rank, "pid": os.getpid(), "node": node, "from": newest_step(store, run.run_id)})
    (Path(task["starts"]) / f"{time.time_ns()}-{worker.rank}").write_text(start)

    class Pausing(type(worker)):
        def parallel(self, network):
            return Paused(super().parallel(network), float(task["pause"]))

    worker = Pausing(worker.rank, worker.world_size, worker.device)
    checkpoints = RunCheckpoints(store, run.run_id, "001-test")
    cache = Path(task["cache"]) / node
    train(run, network, random_start(network), studies, checkpoints, worker, cache, checkpoint_s=0)
    if worker.rank == 0:
        store.put("weights", weights_bytes(network))


class Scenario:
    """A sweep of the run alone, in a thread, so that the main thread can disturb it."""

    def __init__(self, folder: Path, name: str, *, pause_s: float, wait_s: float) -> None:
        self.starts = folder / f"{name}-starts"
        self.starts.mkdir()
        self.store = open_store((folder / name).as_uri())
        self.run_id = drawn_run()[1].run_id
        self.seen: list[SweepProgress] = []
        task = {"store": self.store.uri, "starts": str(self.starts), "cache": str(folder / "caches")}
        cells = [SweepCell(self.run_id, task | {"pause": str(pause_s)})]
        self.future: Future[tuple[CellOutcome, ...]] = ThreadPoolExecutor(1).submit(
            run_sweep,
            train_here,
            cells,
            workers=2,
            store_uri=self.store.uri,
            room=Room("cpu", wait_s=wait_s),
            watch=Watch(cells, self.seen.append),
        )

    def begun(self) -> list[dict]:
        """Return once the training is within its first epoch; what each start of a worker left, in order."""
        deadline = time.monotonic() + UNTIL_S
        while newest_step(self.store, self.run_id) < 2 and not self.future.done() and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.workers()

    def workers(self) -> list[dict]:
        return [json.loads(path.read_text()) for path in sorted(self.starts.iterdir())]

    def end(self) -> dict:
        """Wait for it; the error with which it ended, the steps that it started from, and what it waited for."""
        (outcome,) = self.future.result(timeout=UNTIL_S)
        starts = [worker for worker in self.workers() if worker["rank"] == 0]
        return {
            "error": outcome.error,
            "starts": [worker["from"] for worker in starts],
            "waiting": sorted({progress.waiting for progress in self.seen} - {""}),
        }


def undisturbed(scenario: Scenario, cluster: Cluster) -> None:
    scenario.begun()


def kill_a_worker(scenario: Scenario, cluster: Cluster) -> None:
    os.kill(next(worker["pid"] for worker in scenario.begun() if worker["rank"] == 1), signal.SIGKILL)


def kill_the_controller(scenario: Scenario, cluster: Cluster) -> None:
    scenario.begun()
    (controller,) = list_actors(filters=[("class_name", "=", "TrainController"), ("state", "=", "ALIVE")])
    os.kill(controller.pid, signal.SIGKILL)


def announce_the_end_of_a_node(scenario: Scenario, cluster: Cluster) -> None:
    """As a cloud does before it takes a spot machine back."""
    from ray._raylet import GcsClient
    from ray.core.generated import autoscaler_pb2

    node = scenario.begun()[-1]["node"]
    preemption = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline_ms = int((time.time() + 120) * 1000)
    accepted, message = GcsClient(address=cluster.address).drain_node(node, preemption, "spot", deadline_ms)
    assert accepted, message


def take_a_node(scenario: Scenario, cluster: Cluster) -> None:
    """Kill a node of the run; as one is draining already, only one is left."""
    lost = next(worker["node"] for worker in scenario.begun() if worker["rank"] == 1)
    cluster.remove_node(next(node for node in cluster.worker_nodes if node.node_id == lost), allow_graceful=False)


def main(folder: Path, names: list[str]) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "resources": {"driver": 10}})
    ray.init(address=cluster.address, log_to_driver=False)
    os.environ["RAY_ADDRESS"] = cluster.address  # a cluster may grow, a session on this machine does not
    for _ in range(3):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    try:
        for name in names:
            began = time.monotonic()
            scenario = Scenario(
                folder,
                name,
                pause_s=0 if name == "undisturbed" else PAUSE_S,
                wait_s=15 if name == "take_a_node" else 300,
            )
            globals()[name](scenario, cluster)
            print(json.dumps({name: scenario.end() | {"seconds": time.monotonic() - began}}), flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
