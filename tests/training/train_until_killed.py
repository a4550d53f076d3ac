"""A training in a process of its own that is killed (SIGKILL) in the middle of an epoch.

`python train_until_killed.py STORE_URI CACHE STEP`; what it trains is `interrupted_run`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from drawn import interrupted_run
from torch import nn

from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.store.objects import open_store
from lesionlab.training.loop import SoloWorker, train


class Fatal(nn.Module):
    """The network, until it is asked once too often."""

    def __init__(self, network: nn.Module, passes: int) -> None:
        super().__init__()
        self.network, self.passes = network, passes

    def forward(self, image_BCIJK: torch.Tensor) -> torch.Tensor:
        self.passes -= 1
        if self.passes < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.network(image_BCIJK)


class DoomedWorker(SoloWorker):
    """Trains `STEP` steps."""

    def parallel(self, network: nn.Module) -> nn.Module:
        return Fatal(network, int(sys.argv[3]))


studies, run = interrupted_run()
network = build_unet(run.architecture, 1, run.seed)
train(
    run,
    network,
    random_start(network),
    studies,
    open_store(sys.argv[1]),
    DoomedWorker(torch.device("cpu")),
    Path(sys.argv[2]),
)
