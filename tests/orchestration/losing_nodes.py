"""Train one run on three workers of a cluster again and again, each time with another loss; print the ends as JSON.

Usage: `python losing_nodes.py FOLDER`. The stores are FOLDER/<scenario>, each with the weights under `weights`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ray
import torch
from ray import cloudpickle
from ray.cluster_utils import Cluster
from ray.util.state import list_actors

import lesionlab.orchestration  # sets Ray's environment, so it comes first  # noqa: F401
from lesionlab.errors import LesionlabError
from lesionlab.experiments.run_checkpoints import RunCheckpoints, newest_step
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import weights_bytes
from lesionlab.orchestration.distributed import run_distributed
from lesionlab.orchestration.room import Room
from lesionlab.store.objects import open_store
from lesionlab.training.loop import train
from tests.training.drawn import draw_study, make_run

cloudpickle.register_pickle_by_value(sys.modules[__name__])

PAUSE_S = 0.3
"""Of each step of a training that is disturbed, so that it can be caught in the middle."""


def drawn_run():
    """Two epochs of 8 steps; three workers share a batch of 4 unevenly."""
    studies = [draw_study(1), draw_study(2)]
    return studies, make_run(studies, patches_per_study=8, workers=3, optimizer="sgd", learning_rate=1e-2)


def train_here(worker, task):
    """Train the run with a checkpoint after each step; each start leaves rank, process and node of the worker."""
    studies, run = drawn_run()
    network, store = build_unet(run.architecture, 1, run.seed), open_store(task["store"])
    node = ray.get_runtime_context().get_node_id()
    start = json.dumps({"rank": worker.rank, "pid": os.getpid(), "node": node, "from": newest_step(store, run.run_id)})
    (Path(task["starts"]) / f"{time.time_ns()}-{worker.rank}").write_text(start)

    class Paused(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, image_BCIJK):
            time.sleep(float(task["pause"]))
            return self.network(image_BCIJK)

    class Pausing(type(worker)):
        def parallel(self, network):
            return Paused(super().parallel(network))

    worker = Pausing(worker.rank, worker.world_size, worker.device)
    checkpoints = RunCheckpoints(store, run.run_id, "001-test")
    cache = Path(task["cache"]) / node
    train(run, network, random_start(network), studies, checkpoints, worker, cache, checkpoint_s=0)
    if worker.rank == 0:
        store.put("weights", weights_bytes(network))


class Scenario:
    """One training of the run, in a thread, so that the main thread can disturb it."""

    def __init__(self, folder, name, pause=PAUSE_S, wait_s=300.0):
        self.starts = folder / f"{name}-starts"
        self.starts.mkdir()
        self.store = open_store((folder / name).as_uri())
        self._room = Room("cpu", wait_s=wait_s)
        self._task = {"store": self.store.uri, "starts": str(self.starts), "cache": str(folder / "caches")}
        self._task["pause"] = str(pause)
        self._thread = ThreadPoolExecutor(1)

    def begin(self):
        """Start it and return when it is within its first epoch, or later."""
        run = drawn_run()[1]
        self.future = self._thread.submit(
            run_distributed,
            train_here,
            self._task,
            name=run.run_id,
            workers=3,
            store_uri=self.store.uri,
            room=self._room,
        )
        deadline = time.monotonic() + 180
        while newest_step(self.store, run.run_id) < 3 and not self.future.done() and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.workers()

    def workers(self):
        """What each start of a worker left, in order."""
        return [json.loads(path.read_text()) for path in sorted(self.starts.iterdir())]

    def end(self):
        """Wait for it; the error with which it ended, or its starts."""
        try:
            self.future.result(timeout=300)
        except LesionlabError as error:
            return {"error": str(error)}
        return {"starts": [worker["from"] for worker in self.workers() if worker["rank"] == 0]}


def kill_a_worker(scenario, cluster):
    os.kill(next(worker["pid"] for worker in scenario.begin() if worker["rank"] == 1), signal.SIGKILL)


def kill_the_controller(scenario, cluster):
    scenario.begin()
    (controller,) = list_actors(filters=[("class_name", "=", "TrainController"), ("state", "=", "ALIVE")])
    os.kill(controller.pid, signal.SIGKILL)


def announce_the_end_of_a_node(scenario, cluster):
    from ray._raylet import GcsClient
    from ray.core.generated import autoscaler_pb2

    node = next(worker["node"] for worker in scenario.begin() if worker["rank"] == 2)
    preemption = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline_ms = int((time.time() + 120) * 1000)
    accepted, message = GcsClient(address=cluster.address).drain_node(node, preemption, "spot", deadline_ms)
    assert accepted, message


def take_a_node(scenario, cluster):
    """Kill a node of the run; as one is draining already, only two are left."""
    lost = next(worker["node"] for worker in scenario.begin() if worker["rank"] == 1)
    cluster.remove_node(next(node for node in cluster.worker_nodes if node.node_id == lost), allow_graceful=False)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = "10"  # Ray's default of 60 s would only take longer
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "resources": {"driver": 10}})
    ray.init(address=cluster.address, log_to_driver=False)
    os.environ["RAY_ADDRESS"] = cluster.address  # a cluster may grow, a session on this machine does not
    for _ in range(4):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    told = {}
    scenario = Scenario(folder, "undisturbed", pause=0)
    scenario.begin()
    told["undisturbed"] = scenario.end()
    for disturb in (kill_a_worker, kill_the_controller, announce_the_end_of_a_node, take_a_node):
        scenario = Scenario(folder, disturb.__name__, wait_s=6 if disturb is take_a_node else 300)
        began = time.monotonic()
        disturb(scenario, cluster)
        told[disturb.__name__] = scenario.end() | {"seconds": time.monotonic() - began}
        print(json.dumps(told), flush=True)
