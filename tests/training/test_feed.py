"""Batches that are cut ahead equal those that are cut on demand; errors arrive; no thread stays."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest
import torch

from lesionlab.errors import TrainingError
from lesionlab.model import devices
from lesionlab.training.augmented import AugmentedVolume
from lesionlab.training.feed import BUFFERS, Ahead, feed, load
from lesionlab.training.patches import find_places
from storage_schemas.runs import TrainingConfig
from tests.training.drawn import PATCH_VOXELS, draw_study


@dataclass(frozen=True)
class Patch:
    """A patch that is drawn already."""

    volume: AugmentedVolume
    start: np.ndarray
    warp: None = None


CPU = torch.device("cpu")
TRAINING = TrainingConfig(patch_voxels=PATCH_VOXELS)


def shares_of(batches, size=3, edge=32):
    """Batches of patches of one drawn head; with an `edge` below the patch's the volume repeats its border."""
    study = draw_study(1)
    image_CIJK, label_IJK = study.image_CIJK[:, :edge, :edge], study.label_IJK[:edge, :edge]
    image_CIJK.flags.writeable = label_IJK.flags.writeable = False  # as memory maps are
    places = find_places(image_CIJK, label_IJK, PATCH_VOXELS, np.random.default_rng(0))
    volume = AugmentedVolume("sub-001", 0, image_CIJK, label_IJK, places)
    last = [max(0, n - PATCH_VOXELS) for n in label_IJK.shape]
    starts = np.random.default_rng(1).integers(0, last, size=(batches, size, 3), endpoint=True)
    return [[Patch(volume, start) for start in batch] for batch in starts]


def feeders():
    return [thread for thread in threading.enumerate() if thread.name == "lesionlab-feed"]


@pytest.mark.parametrize("edge", [32, 12], ids=["whole patches", "a volume smaller than a patch"])
def test_batches_cut_ahead_are_those_cut_on_demand_though_buffers_are_reused(edge):
    shares = shares_of(3 * BUFFERS, edge=edge)
    shares[4] = shares[4][:2]  # a worker's share may be smaller
    with Ahead(shares, TRAINING, CPU) as ahead:
        found = list(ahead)
    assert len(found) == len(shares)
    for share, batch in zip(shares, found, strict=True):
        for ours, wanted in zip(batch, load(share, TRAINING, CPU), strict=True):
            assert ours.dtype == wanted.dtype
            assert torch.equal(ours, wanted)
    assert {tensor.dtype for tensor in found[0]} == {torch.float32, torch.int64}
    assert not feeders()


def test_at_most_as_many_batches_as_buffers_are_cut_ahead():
    asked = []

    def shares():
        for number, share in enumerate(shares_of(12)):
            asked.append(number)
            yield share

    with Ahead(shares(), TRAINING, CPU) as ahead:
        batches = iter(ahead)
        next(batches)
        deadline = time.monotonic() + 5
        while len(asked) < BUFFERS + 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(asked) == BUFFERS + 2  # one used, the buffers full, and one share that waits for a buffer
        assert len(list(batches)) == 11
    assert not feeders()


class Unreadable:
    """A memory map on a disk that fails."""

    shape = (1, 32, 32, 32)

    def __getitem__(self, index):
        raise OSError(5, "Input/output error")


def test_an_error_while_cutting_is_raised_in_the_training_thread_after_the_good_batches():
    shares = shares_of(4)
    good = shares[2][0].volume
    shares[2][1] = Patch(AugmentedVolume("sub-002", 0, Unreadable(), good.label_IJK, good.places), shares[2][1].start)
    used = []

    def train():
        with Ahead(shares, TRAINING, CPU) as ahead:
            for batch in ahead:
                used.append(batch)

    with pytest.raises(OSError, match="Input/output error"):
        train()
    assert len(used) == 2
    assert not feeders()


@pytest.mark.parametrize("used", [0, 1, 2])
def test_an_error_in_the_training_thread_leaves_no_thread(used):
    def train():
        with Ahead(shares_of(50), TRAINING, CPU) as ahead:
            list(islice(iter(ahead), used))
            raise TrainingError("stop")

    with pytest.raises(TrainingError, match="stop"):
        train()
    assert not feeders()


@pytest.mark.parametrize("on_gpu", [False, True])
def test_the_thread_is_for_a_gpu_only(on_gpu, monkeypatch):
    monkeypatch.setattr(devices, "on_gpu", lambda device: on_gpu)
    with feed(shares_of(9), TRAINING, CPU) as batches:
        next(batches)
        assert bool(feeders()) == on_gpu


def test_the_time_spent_waiting_for_batches_is_counted():
    def slowly():
        for share in shares_of(2):
            time.sleep(0.2)
            yield share

    with Ahead(slowly(), TRAINING, CPU) as ahead:
        assert len(list(ahead)) == 2
    assert ahead.waited_s > 0.3


@pytest.mark.slow
def test_memory_stays_flat_over_ten_thousand_patches():
    import resource

    shares = shares_of(10)

    def many():
        for _ in range(125):
            yield from ([*share, *share, *share][:8] for share in shares)

    seen = []
    with Ahead(many(), TRAINING, CPU) as ahead:
        for number, _ in enumerate(ahead):
            if number in (200, 1249):
                seen.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert seen[1] - seen[0] < 10_000  # KiB; ten thousand patches have 80 MiB in float16
