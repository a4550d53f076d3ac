"""Train a data-parallel run over two Ray nodes of one worker each: `python over_two_nodes.py STORE_URI CACHE`.

Prints the ids of the nodes that trained.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import weights_bytes
from lesionlab.orchestration.distributed import run_distributed
from lesionlab.orchestration.room import Room
from lesionlab.store.objects import open_store
from lesionlab.training.loop import train
from tests.orchestration.test_distributed import drawn_run
from tests.training.drawn import copied_transfers


def train_here(worker, task):
    """Train the drawn run with a cache of this node; store each rank's node id and rank 0's weights."""
    studies, run = drawn_run()
    network, store = build_unet(run.architecture, 1, run.seed), open_store(task["store"])
    node = ray.get_runtime_context().get_node_id()
    checkpoints = RunCheckpoints(store, run.run_id, "001-test")
    train(run, network, copied_transfers(network), studies, checkpoints, worker, Path(task["cache"]) / node)
    store.put(f"nodes/{worker.rank}", node.encode())
    if worker.rank == 0:
        store.put("weights", weights_bytes(network))


if __name__ == "__main__":
    store_uri, cache = sys.argv[1:]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "resources": {"driver": 10}})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        run_distributed(
            train_here,
            {"store": store_uri, "cache": cache},
            name="0" * 16,
            workers=2,
            store_uri=store_uri,
            room=Room("cpu"),
        )
    finally:
        ray.shutdown()
        cluster.shutdown()
