"""Runs on several Ray nodes: without a shared cache, and before the nodes are there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load

from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.model.unet import build_unet
from lesionlab.store.objects import open_store
from lesionlab.training.loop import SoloWorker, train
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
    script = [sys.executable, Path(__file__).with_name("before_its_nodes.py"), tmp_path]
    told = subprocess.run(script, check=True, timeout=300, env=ENVIRONMENT, capture_output=True, text=True).stdout
    result = json.loads(told.splitlines()[-1])
    assert result["errors"] == [None] * 6
    assert "1 CPU a run, 0 there" in result["waiting"]
    assert result["most_at_once"] >= 2  # one node with one CPU came first, then one with two
    assert result["nodes"] == 2
    assert result["gave_up"].startswith("sweep: waited 0.1 minutes for room (1 GPU a run, 0 there)")


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
        assert (over_nodes[name] - tensor.cpu()).abs().max() < 1e-5
