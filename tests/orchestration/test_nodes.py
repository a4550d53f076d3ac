"""A data-parallel run on several Ray nodes without a shared cache gives the weights of one worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load

from lesionlab.model.unet import build_unet
from lesionlab.store.objects import open_store
from lesionlab.training.loop import SoloWorker, train
from tests.orchestration.test_distributed import drawn_run
from tests.training.drawn import copied_transfers


@pytest.mark.slow
@pytest.mark.cluster
def test_two_nodes_train_to_the_weights_of_one_worker(tmp_path: Path) -> None:
    store = open_store((tmp_path / "store").as_uri())
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, Path(__file__).with_name("over_two_nodes.py"), store.uri, tmp_path / "caches"],
        check=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "platform"), str(root)]), "OMP_NUM_THREADS": "1"},
    )
    assert len({store.get(f"nodes/{rank}") for rank in (0, 1)}) == 2
    assert len(list((tmp_path / "caches").iterdir())) == 2
    studies, run = drawn_run()
    network = build_unet(run.architecture, 1, run.seed)
    train(run, network, copied_transfers(network), studies, open_store("memory://"), SoloWorker(), tmp_path / "own")
    over_nodes = load(store.get("weights"))
    for name, tensor in network.state_dict().items():
        # The workers sum their shares in another order; Adam amplifies the rounding.
        assert (over_nodes[name] - tensor.cpu()).abs().max() < 1e-4
