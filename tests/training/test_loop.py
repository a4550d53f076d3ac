"""Training: reproducible, resumable without a trace, and it learns."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

from lesionlab.errors import TrainingError
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import weights_bytes
from lesionlab.model.windows import head_probability
from lesionlab.store.objects import open_store
from lesionlab.training.loop import SoloWorker, augmented_copies, batches, epoch_patches, train
from storage_schemas import keys

from .drawn import draw_study, interrupted_run, make_run

CPU = SoloWorker(torch.device("cpu"))


class Watched(SoloWorker):
    """Keeps what is reported."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        object.__setattr__(self, "reports", [])

    def report(self, metrics):
        self.reports.append(metrics)


def train_drawn(run, studies, store, cache, worker=CPU):
    network = build_unet(run.architecture, len(run.channels), run.seed)
    return network, train(run, network, studies, store, worker, cache)


def test_one_seed_gives_one_network_and_another_seed_another(tmp_path):
    studies = [draw_study(1), draw_study(2)]
    first, again, other = (
        weights_bytes(train_drawn(make_run(studies, seed), studies, open_store("memory://"), tmp_path / str(place))[0])
        for place, seed in enumerate((0, 0, 1))
    )
    assert first == again
    assert first != other


def test_the_global_random_state_neither_decides_nor_moves(tmp_path):
    studies = [draw_study(1)]
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state()
    first = weights_bytes(train_drawn(make_run(studies), studies, open_store("memory://"), tmp_path)[0])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    np.random.seed(2)
    assert weights_bytes(train_drawn(make_run(studies), studies, open_store("memory://"), tmp_path)[0]) == first


def test_a_training_that_was_killed_in_mid_epoch_goes_on_to_the_same_bytes(tmp_path, file_store_uri):
    studies, run = interrupted_run()
    script = Path(__file__).with_name("train_until_killed.py")
    command = [sys.executable, str(script), file_store_uri, str(tmp_path / "cache"), "6"]
    killed = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    torch.set_num_threads(1)
    undisturbed, whole = train_drawn(run, studies, open_store("memory://"), tmp_path / "cache")
    resumed, rest = train_drawn(run, studies, open_store(file_store_uri), tmp_path / "cache", watched := Watched())
    assert [report["epoch"] for report in watched.reports] == [2, 3]
    assert (
        (rest.epochs, rest.steps, rest.final_loss)
        == (whole.epochs, whole.steps, whole.final_loss)
        == (
            3,
            12,
            whole.final_loss,
        )
    )
    assert weights_bytes(resumed) == weights_bytes(undisturbed)


def test_a_finished_training_is_not_trained_again(tmp_path):
    studies, store = [draw_study(1)], open_store("memory://")
    network, first = train_drawn(make_run(studies), studies, store, tmp_path)
    again, second = train_drawn(make_run(studies), studies, store, tmp_path, watched := Watched())
    assert watched.reports == []
    assert second.final_loss == first.final_loss
    assert weights_bytes(again) == weights_bytes(network)


def test_a_checkpoint_is_plain_safetensors_and_says_how_far_it_is(tmp_path):
    studies, store = [draw_study(1)], open_store("memory://")
    run = make_run(studies)
    _, outcome = train_drawn(run, studies, store, tmp_path / "cache")
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(store.get(keys.RUN_CHECKPOINT.build(run_id=run.run_id)))
    with safetensors.safe_open(path, "pt") as checkpoint:
        header = json.loads(checkpoint.metadata()["training"])
        names = set(checkpoint.keys())
    assert header == {"run_id": run.run_id, "epochs": 2, "steps": outcome.steps, "loss": outcome.final_loss}
    assert {"model.head.bias", "adam.head.bias.exp_avg", "adam.head.bias.exp_avg_sq", "adam.head.bias.step"} <= names


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    studies, store = [draw_study(1)], open_store("memory://")
    ours, other = make_run(studies), make_run(studies, seed=9)
    train_drawn(other, studies, store, tmp_path)
    store.put(keys.RUN_CHECKPOINT.build(run_id=ours.run_id), store.get(keys.RUN_CHECKPOINT.build(run_id=other.run_id)))
    with pytest.raises(TrainingError, match=f"wanted a checkpoint of run {ours.run_id}, found one of {other.run_id}"):
        train_drawn(ours, studies, store, tmp_path)


def test_a_loss_that_is_not_finite_stops_the_training_and_says_where(tmp_path):
    study = draw_study(1)
    study.image_CIJK[:] = np.nan
    with pytest.raises(TrainingError, match="found nan in epoch 1, step 1; lower the learning rate"):
        train_drawn(make_run([study]), [study], open_store("memory://"), tmp_path)


def test_every_patch_is_seen_once_an_epoch_in_an_order_of_its_own(tmp_path):
    studies = [draw_study(1), draw_study(2)]
    run = make_run(studies)
    copies = augmented_copies(run, studies, CPU, tmp_path)
    first, again, second = (epoch_patches(run, epoch, copies) for epoch in (0, 0, 1))
    places = [[(patch.volume.digest, *patch.start) for patch in patches] for patches in (first, again, second)]
    assert places[0] == places[1]
    assert sorted(places[0]) != sorted(places[2])
    assert len(places[0]) == 2 * 2 * 4
    assert {digest for digest, *_ in places[0]} == {copy.digest for copy in copies}


@pytest.mark.parametrize(("patches", "size"), [(8, 4), (10, 4), (3, 8)])
def test_batches_are_whole_and_hold_every_patch(patches, size):
    cut = list(batches(list(range(patches)), size))
    assert {len(batch) for batch in cut} == {size}
    assert [patch for batch in cut for patch in batch][:patches] == list(range(patches))
    assert len(cut) == math.ceil(patches / size)


def test_a_small_network_learns_to_find_bright_balls(tmp_path):
    studies = [draw_study(number) for number in range(1, 4)]
    run = make_run(studies, patches_per_study=8, augmentations=3, epochs=6, batch_size=4, learning_rate=1e-2)
    network, _ = train_drawn(run, studies, open_store("memory://"), tmp_path, watched := Watched())
    losses = [report["loss"] for report in watched.reports]
    assert losses[-1] < 0.3 * losses[0]
    unseen = draw_study(99)
    found_IJK = head_probability(network, unseen.image_CIJK, 16, 8, torch.device("cpu")) > 0.5
    overlap = np.logical_and(found_IJK, unseen.label_IJK).sum()
    assert 2 * overlap / (found_IJK.sum() + unseen.label_IJK.sum()) > 0.6
