"""Runs on several Ray nodes: without a shared cache, before the nodes are there, and while they are lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.store.objects import open_store
from lesionlab.training.loop import SoloWorker, train
from tests.orchestration import losing_nodes
from tests.orchestration.test_distributed import drawn_run
from tests.training.drawn import copied_transfers

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)]),
    "OMP_NUM_THREADS": "1",
}


@pytest.mark.slow
@pytest.mark.cluster
def test_a_sweep_waits_for_nodes_says_so_and_uses_those_that_come_later(tmp_path: Path) -> None:
    script = [sys.executable, Path(__file__).with_name("before_its_nodes.py")]
    told = subprocess.run(script, check=True, timeout=300, env=ENVIRONMENT, capture_output=True, text=True).stdout
    result = json.loads(told.splitlines()[-1])
    assert result["errors"] == [None] * 6
    assert "1 CPUs a run, 0 there" in result["waiting"]
    assert result["most_at_once"] >= 2  # one node with one CPU came first, then one with two
    assert result["nodes"] == 2
    assert result["gave_up"].startswith("sweep: waited 0.1 minutes for room (1 GPUs a run, 0 there)")


@pytest.mark.slow
@pytest.mark.cluster
def test_two_nodes_train_to_the_weights_of_one_worker(tmp_path: Path) -> None:
    store = open_store((tmp_path / "store").as_uri())
    subprocess.run(
        [sys.executable, Path(__file__).with_name("over_two_nodes.py"), store.uri, tmp_path / "caches"],
        check=True,
        timeout=300,
        env=ENVIRONMENT,
    )
    assert len({store.get(f"nodes/{rank}") for rank in (0, 1)}) == 2
    assert len(list((tmp_path / "caches").iterdir())) == 2
    studies, run = drawn_run()
    network = build_unet(run.architecture, 1, run.seed)
    checkpoints = RunCheckpoints(open_store("memory://"), run.run_id, "001-test")
    train(run, network, copied_transfers(network), studies, checkpoints, SoloWorker(), tmp_path / "own")
    over_nodes = load(store.get("weights"))
    for name, tensor in network.state_dict().items():
        # The workers sum their shares in another order; Adam amplifies the rounding.
        assert (over_nodes[name] - tensor.cpu()).abs().max() < 1e-4


@pytest.mark.slow
@pytest.mark.cluster
def test_runs_that_lose_workers_controllers_or_nodes_end_with_the_bytes_of_undisturbed_ones(tmp_path: Path) -> None:
    recovering = ("kill_a_worker", "kill_the_controller", "announce_the_end_of_a_node")
    script = [sys.executable, Path(__file__).with_name("losing_nodes.py"), tmp_path]
    # Ray runs its workers at a lower priority, which on a busy machine takes minutes.
    told = subprocess.run(
        [*script, "undisturbed", *recovering, "take_a_node"],
        check=True,
        timeout=900,
        env=ENVIRONMENT | {"RAY_worker_niceness": "0"},
        capture_output=True,
        text=True,
    ).stdout
    result = {name: end for line in told.splitlines() if line.startswith("{") for name, end in json.loads(line).items()}

    studies, run = losing_nodes.drawn_run()
    network = build_unet(run.architecture, 1, run.seed)
    checkpoints = RunCheckpoints(open_store("memory://"), run.run_id, "001-test")
    train(run, network, random_start(network), studies, checkpoints, SoloWorker(torch.device("cpu")), tmp_path / "own")
    of_two = (tmp_path / "undisturbed" / "weights").read_bytes()
    for name, tensor in load(of_two).items():  # the workers sum uneven shares in another order
        assert (tensor - network.state_dict()[name]).abs().max() < 1e-4

    assert result["undisturbed"]["starts"] == [0]
    for loss in recovering:
        assert result[loss]["error"] is None
        first, second = result[loss]["starts"]
        assert first == 0
        assert second >= 2, f"{loss}: the run started over"
        assert (tmp_path / loss / "weights").read_bytes() == of_two, loss

    # One node is left for two workers.
    assert "waited 0.25 minutes for 2 workers" in result["take_a_node"]["error"]
    assert result["take_a_node"]["waiting"] == ["2 CPUs a run, 1 there"]
