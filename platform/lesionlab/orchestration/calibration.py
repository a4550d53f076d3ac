"""Measure how fast a device trains and tests the networks of an experiment, on random patches.

It measures the network's steps alone: reading studies and making their copies come on top.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Sequence
from math import prod

import torch

from lesionlab.experiments.costs import Rate, testing_kind, training_kind
from lesionlab.model.devices import arithmetic
from lesionlab.model.unet import build_unet
from lesionlab.model.windows import window_starts
from lesionlab.training.compiling import fastest, restore
from lesionlab.training.loop import SoloWorker, add_gradients, configure_torch
from lesionlab.training.optimizers import build_optimizer
from lesionlab.training.schedule import steps_alike
from storage_schemas.runs import RunSpec

CALIBRATION_S = 60.0
"""For all networks and settings of an experiment together."""

HEAD_MM = (182, 218, 182)
"""The box of the ICBM152 template: a typical head."""

_LEAST = 3
"""Measurements of each."""


def calibrated(runs: Sequence[RunSpec], device: torch.device, budget_s: float = CALIBRATION_S) -> dict[Hashable, Rate]:
    """Rates of each kind of work among the runs on this device; each is measured at least three times."""
    training = {training_kind(run): run for run in runs if run.train}
    testing = {testing_kind(run): run for run in runs if run.test and not (run.cell and run.cell.arm == "rater")}
    share_s = budget_s / max(1, len(training) + len(testing))
    worker = SoloWorker(device)
    configure_torch(worker)
    found = {kind: _training_rate(run, worker, share_s) for kind, run in training.items()}
    raters = {testing_kind(run): Rate(0, 0, None, 0) for run in runs if run.cell and run.cell.arm == "rater"}
    return found | {kind: _test_rate(run, worker, share_s) for kind, run in testing.items()} | raters


def _training_rate(run: RunSpec, worker: SoloWorker, budget_s: float) -> Rate:
    own = run.training
    network = build_unet(run.architecture, channels=len(run.channels), seed=run.seed).to(worker.device)
    optimizer = build_optimizer(network, own)
    network.train()
    patches = -(-own.batch_size // own.workers)
    image_BCIJK = torch.randn((patches, len(run.channels), *(own.patch_voxels,) * 3), device=worker.device)
    label_BIJK = (image_BCIJK[:, 0] > 2).long()
    forward = fastest(network, optimizer, run, steps_alike(run, 0), worker)

    def step() -> None:
        optimizer.zero_grad()
        add_gradients(own, forward, image_BCIJK, label_BIJK, worker)
        optimizer.step()

    rate = _measured(step, own.batch_size, worker.device, budget_s)
    restore(network, optimizer)
    return rate


def _test_rate(run: RunSpec, worker: SoloWorker, budget_s: float) -> Rate:
    edge, step = run.training.patch_voxels, run.inference.step_voxels
    network = build_unet(run.architecture, channels=len(run.channels), seed=run.seed).to(worker.device).eval()
    window_BCIJK = torch.randn((1, len(run.channels), edge, edge, edge), device=worker.device)
    voxels = [max(edge, round(side / run.spacing_mm)) for side in HEAD_MM]
    windows = prod(len(window_starts(side, edge, step)) for side in voxels)

    def look() -> None:
        with torch.no_grad(), arithmetic(worker.device, run.inference.precision):
            network(window_BCIJK)

    return _measured(look, 1 / windows, worker.device, budget_s)


def _measured(work: Callable[[], None], units: float, device: torch.device, budget_s: float) -> Rate:
    """The rate of work that does so many units each time."""
    times: list[float] = []
    work()
    end = time.monotonic() + budget_s
    while len(times) < _LEAST or time.monotonic() < end:
        _finish(device)
        began = time.monotonic()
        work()
        _finish(device)
        times.append(time.monotonic() - began)
    middle = statistics.median(times)
    return Rate(0.0, middle / units, statistics.stdev(times) / middle, 0)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
