"""Begin a sweep on a cluster without nodes, add two of them later, and print as JSON what was seen."""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

import lesionlab.orchestration  # sets Ray's environment, so it comes first  # noqa: F401
from lesionlab.errors import TrainingError
from lesionlab.orchestration.progress import SweepCell, SweepProgress, Watch
from lesionlab.orchestration.room import Room
from lesionlab.orchestration.sweep import run_sweep

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def work(worker, task):
    """Take a while, and the first two until they run at once: a busy machine starts a node late."""
    worker.report({"epoch": 1, "step": 1, "steps": 1, "loss": 0.5, "seconds": 8.0})
    began = Path(task["began"])
    (began / task["name"]).touch()
    deadline = time.monotonic() + 120
    while len(list(began.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(6)


if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "resources": {"driver": 10}})
    ray.init(address=cluster.address, log_to_driver=False)
    os.environ["RAY_ADDRESS"] = cluster.address  # a cluster may grow, a session on this machine does not
    began = Path(sys.argv[1])
    names = [f"{number:016x}" for number in range(6)]
    cells = [SweepCell(name, {"began": str(began), "name": name}) for name in names]
    seen: list[SweepProgress] = []
    gave_up = ""
    try:
        run_sweep(work, cells[:1], workers=1, store_uri="", room=Room("cuda", wait_s=6))
    except TrainingError as error:
        gave_up = str(error)
    with ThreadPoolExecutor(1) as pool:
        watch = Watch(cells, seen.append)
        sweep = pool.submit(run_sweep, work, cells, workers=1, store_uri="", room=Room("cpu", wait_s=120), watch=watch)
        time.sleep(12)
        cluster.add_node(num_cpus=1)  # in the main thread, as Ray demands
        time.sleep(6)
        cluster.add_node(num_cpus=2)
        outcomes = sweep.result()
    nodes = sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())
    print(
        json.dumps(
            {
                "errors": [outcome.error for outcome in outcomes],
                "waiting": sorted({progress.waiting for progress in seen}),
                "most_at_once": max(len(progress.running) for progress in seen),
                "nodes": nodes,
                "gave_up": gave_up,
            }
        )
    )
    ray.shutdown()
    cluster.shutdown()
