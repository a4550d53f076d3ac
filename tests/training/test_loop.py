"""Training: reproducible, resumable without a trace, and it learns."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from lesionlab.errors import TrainingError
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import weights_bytes
from lesionlab.model.windows import head_probability
from lesionlab.store.objects import open_store
from lesionlab.training.checkpoint import Progress, save_checkpoint
from lesionlab.training.loop import SoloWorker, augmented_copies, batches, epoch_patches, train
from lesionlab.training.optimizers import build_optimizer
from storage_schemas import keys
from storage_schemas.axes import Freezing
from tests.training.drawn import draw_study, interrupted_run, make_run, taken_over

CPU = SoloWorker(torch.device("cpu"))


class Watched(SoloWorker):
    """Keeps what is reported."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        object.__setattr__(self, "reports", [])

    def report(self, metrics):
        self.reports.append(metrics)


class Stop(Exception):
    """What ends a training before its time."""


class StoppedWorker(SoloWorker):
    """Trains so many steps, then it is stopped."""

    def __init__(self, steps: int) -> None:
        super().__init__(torch.device("cpu"))
        object.__setattr__(self, "left", steps)

    def parallel(self, network):
        def step(image_BCIJK):
            if not self.left:
                raise Stop
            object.__setattr__(self, "left", self.left - 1)
            return network(image_BCIJK)

        return step


def train_drawn(run, studies, store, cache, worker=CPU, receipt_of=random_start):
    network = build_unet(run.architecture, len(run.channels), run.seed)
    return network, train(run, network, receipt_of(network), studies, store, worker, cache)


def weights_after(run, studies, cache, receipt_of=random_start):
    """Every tensor of the trained network by name."""
    network, _ = train_drawn(run, studies, open_store("memory://"), cache, receipt_of=receipt_of)
    return network.state_dict()


def changed(run, weights):
    """Names of the tensors that the training of `run` moved."""
    start = build_unet(run.architecture, len(run.channels), run.seed).state_dict()
    return {name for name, tensor in weights.items() if not torch.equal(tensor, start[name])}


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
    assert header["run_id"] == run.run_id
    assert header["progress"] == {"epochs": 2, "steps": outcome.steps, "loss": outcome.final_loss}
    assert header["optimizer"]["kind"] == "Adam"
    (group,) = header["optimizer"]["groups"]
    assert (group["lr"], group["betas"], group["params"][-1]) == (1e-3, [0.9, 0.999], "head.bias")
    slots = {name.removeprefix("optimizer.head.bias.") for name in names if name.startswith("optimizer.head.bias.")}
    assert slots == {"exp_avg", "exp_avg_sq", "step"}
    assert "model.head.bias" in names


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    studies, store = [draw_study(1)], open_store("memory://")
    ours, other = make_run(studies), make_run(studies, seed=9)
    train_drawn(other, studies, store, tmp_path)
    store.put(keys.RUN_CHECKPOINT.build(run_id=ours.run_id), store.get(keys.RUN_CHECKPOINT.build(run_id=other.run_id)))
    with pytest.raises(TrainingError, match=f"wanted a checkpoint of run {ours.run_id}, found one of {other.run_id}"):
        train_drawn(ours, studies, store, tmp_path)


def test_a_checkpoint_of_another_optimiser_is_refused(tmp_path):
    studies, store = [draw_study(1)], open_store("memory://")
    ours, other = make_run(studies), make_run(studies, optimizer="sgd")
    key = keys.RUN_CHECKPOINT.build(run_id=ours.run_id)
    network = build_unet(other.architecture, 1, other.seed)
    progress = Progress(epochs=1, steps=2, loss=0.5)
    save_checkpoint(store, ours.run_id, progress, network, build_optimizer(network, other.training))
    with pytest.raises(TrainingError, match=f"{key}: wanted the state of Adam, found that of SGD; delete it"):
        train_drawn(ours, studies, store, tmp_path)


OPTIMIZERS = ["adam", "adamw", "sgd"]


def test_each_optimiser_trains_another_network(tmp_path):
    studies = [draw_study(1)]
    weights = [
        weights_after(make_run(studies, optimizer=name), studies, tmp_path)["head.weight"] for name in OPTIMIZERS
    ]
    assert not any(torch.equal(one, other) for one, other in combinations(weights, 2))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_equal_trainings_leave_equal_checkpoints(optimizer, tmp_path):
    studies, stores = [draw_study(1)], [open_store("memory://"), open_store("memory://")]
    run = make_run(studies, optimizer=optimizer)
    for store in stores:
        train_drawn(run, studies, store, tmp_path)
    one, other = (store.get(keys.RUN_CHECKPOINT.build(run_id=run.run_id)) for store in stores)
    assert one == other


@pytest.mark.parametrize("steps", [1, 5, 8], ids="after {} steps".format)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_stopped_and_gone_on_with_any_optimiser_is_undisturbed(optimizer, steps, tmp_path):
    studies, store, whole = [draw_study(1), draw_study(2)], open_store("memory://"), open_store("memory://")
    freezing = Freezing(part="encoder", epochs=2)  # until the third epoch the frozen part has no optimiser state
    run = make_run(studies, optimizer=optimizer, learning_rate=1e-2, epochs=3, warmup_steps=6, freezing=freezing)
    with pytest.raises(Stop):
        train_drawn(run, studies, store, tmp_path, StoppedWorker(steps), taken_over)
    train_drawn(run, studies, store, tmp_path, receipt_of=taken_over)
    train_drawn(run, studies, whole, tmp_path, receipt_of=taken_over)
    key = keys.RUN_CHECKPOINT.build(run_id=run.run_id)
    assert store.get(key) == whole.get(key)


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
    places = [
        [(patch.volume.study, patch.volume.copy, *patch.start) for patch in patches]
        for patches in (first, again, second)
    ]
    assert places[0] == places[1]
    assert sorted(places[0]) != sorted(places[2])
    assert len(places[0]) == 2 * 2 * 4
    assert {place[:2] for place in places[0]} == {(copy.study, copy.copy) for copy in copies}


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


def test_a_budget_of_steps_that_ends_with_an_epoch_trains_what_the_epochs_train(tmp_path):
    studies = [draw_study(1), draw_study(2)]
    by_epochs, by_steps = (
        weights_after(make_run(studies, **b), studies, tmp_path) for b in ({"epochs": 2}, {"steps": 8})
    )
    assert all(torch.equal(by_epochs[name], by_steps[name]) for name in by_epochs)


def test_the_last_epoch_ends_where_the_steps_are_reached_and_reports_say_how_far_it_is(tmp_path):
    studies = [draw_study(1), draw_study(2)]
    run = make_run(studies, steps=6)
    _, outcome = train_drawn(run, studies, open_store("memory://"), tmp_path, watched := Watched())
    assert (outcome.epochs, outcome.steps) == (2, 6)
    assert [(report["step"], report["steps"]) for report in watched.reports] == [(4, 6), (6, 6)]


def test_warm_up_takes_its_part_of_the_first_step(tmp_path):
    studies = [draw_study(1)]
    one_step = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-2}

    def moved(**training):
        run = make_run(studies, **one_step, **training)
        start, end = build_unet(run.architecture, 1, run.seed).state_dict(), weights_after(run, studies, tmp_path)
        return max(float((end[name] - start[name]).abs().max()) for name in end)

    assert moved() == pytest.approx(1e-2, rel=1e-3)  # Adam's first step is the learning rate itself
    assert moved(warmup_steps=4) == pytest.approx(1e-2 / 4, rel=1e-3)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(
    ("part", "trained"), [("encoder", ("up.", "merge.", "head.")), ("all-but-head", ("head.",))], ids=["encoder", "all"]
)
def test_a_frozen_part_keeps_the_sources_weights_and_statistics(part, trained, norm, tmp_path):
    studies = [draw_study(1)]
    run = make_run(studies, norm=norm, freezing=Freezing(part=part))
    weights = weights_after(run, studies, tmp_path, taken_over)
    assert changed(run, weights) == {name for name in weights if name.startswith(trained)}


def test_what_is_thawed_learns_from_then_on_with_an_optimiser_of_its_own_age(tmp_path):
    studies, store = [draw_study(1)], open_store("memory://")
    run = make_run(studies, norm="batch", epochs=3, freezing=Freezing(part="encoder", epochs=2))
    network, _ = train_drawn(run, studies, store, tmp_path, receipt_of=taken_over)
    assert changed(run, network.state_dict()) == set(network.state_dict())
    checkpoint = safetensors.torch.load(store.get(keys.RUN_CHECKPOINT.build(run_id=run.run_id)))
    ages = {part: int(checkpoint[f"optimizer.{part}.weight.step"]) for part in ("entry.conv1", "head")}
    assert ages == {"entry.conv1": 2, "head": 6}
    assert int(checkpoint["model.entry.norm1.num_batches_tracked"]) == 2


def test_a_de_novo_training_ignores_freezing(tmp_path):
    studies = [draw_study(1)]
    free, bound = (
        weights_after(make_run(studies, freezing=freezing), studies, tmp_path)
        for freezing in (None, Freezing(part="all-but-head"))
    )
    assert all(torch.equal(free[name], bound[name]) for name in free)


@pytest.mark.parametrize("steps", [2, 4, 5, 8, 9], ids="after {} steps".format)
@pytest.mark.parametrize("frozen_epochs", [1, 2])
def test_stopped_before_at_or_after_the_thaw_a_training_goes_on_to_the_same_bytes(steps, frozen_epochs, tmp_path):
    studies, store = [draw_study(1), draw_study(2)], open_store("memory://")
    freezing = Freezing(part="encoder", epochs=frozen_epochs)
    run = make_run(studies, norm="batch", steps=10, warmup_steps=7, freezing=freezing)  # epochs of 4, 4 and 2 steps
    with pytest.raises(Stop):
        train_drawn(run, studies, store, tmp_path, StoppedWorker(steps), taken_over)
    resumed, _ = train_drawn(run, studies, store, tmp_path, receipt_of=taken_over)
    undisturbed, _ = train_drawn(run, studies, open_store("memory://"), tmp_path, receipt_of=taken_over)
    assert weights_bytes(resumed) == weights_bytes(undisturbed)
