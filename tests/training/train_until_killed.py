"""Train `interrupted_run` in processes that kill themselves (SIGKILL) after these numbers of steps.

Usage: `python train_until_killed.py FOLDER STEP…`; the store of each is FOLDER/STEP, and the cache FOLDER/cache.
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
    """Trains so many steps; then the process is killed, at the latest before it stores the model."""

    def __init__(self, steps: int) -> None:
        super().__init__(torch.device("cpu"))
        object.__setattr__(self, "steps", steps)

    def parallel(self, network: nn.Module) -> nn.Module:
        return KillingNetwork(network, self.steps)


def train_and_die(folder: Path, steps: int) -> None:
    """Save a checkpoint after each step, if the one before it is written, and die."""
    studies, run = interrupted_run()
    network = build_unet(run.architecture, 1, run.seed)
    store = open_store((folder / str(steps)).as_uri())
    checkpoints = RunCheckpoints(store, run.run_id, "001-killed")
    train(
        run,
        network,
        random_start(network),
        studies,
        checkpoints,
        KilledWorker(steps),
        folder / "cache",
        checkpoint_s=0,
    )
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    for steps in map(int, sys.argv[2:]):
        child = os.fork()  # starts at once: importing torch takes seconds
        if not child:
            train_and_die(Path(sys.argv[1]), steps)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
