"""Train `interrupted_run` in a separate process that kills itself (SIGKILL) within an epoch.

Usage: `python train_until_killed.py STORE_URI CACHE STEP`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from drawn import interrupted_run
from torch import nn

from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.store.objects import open_store
from lesionlab.training.loop import SoloWorker, train


class KillingNetwork(nn.Module):
    """Kills the process at the first forward pass after `passes` passes."""

    def __init__(self, network: nn.Module, passes: int) -> None:
        super().__init__()
        self.network, self.passes = network, passes

    def forward(self, image_BCIJK: torch.Tensor) -> torch.Tensor:
        self.passes -= 1
        if self.passes < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.network(image_BCIJK)


class KilledWorker(SoloWorker):
    """Trains STEP steps; then the process is killed."""

    def parallel(self, network: nn.Module) -> nn.Module:
        return KillingNetwork(network, int(sys.argv[3]))


studies, run = interrupted_run()
network = build_unet(run.architecture, 1, run.seed)
train(
    run,
    network,
    random_start(network),
    studies,
    RunCheckpoints(open_store(sys.argv[1]), run.run_id, "001-killed"),
    KilledWorker(torch.device("cpu")),
    Path(sys.argv[2]),
)
